"""Prints the page of metrics before it is asked for, so that a scrape of a large estate costs a copy of some bytes.

A small page is made when it is asked for and is always the newest. One that takes longer is made in advance for as long
as somebody scrapes, in a thread, from copies that the event loop took in one moment, and takes at most a twentieth of a
processor; how old it is stands in it (``karaula_page_timestamp_seconds``). A page older than ``OLDEST_S`` is never
handed out: the scraper waits for a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from monitor.metrics import catalog as m
from monitor.metrics.catalog import Family
from monitor.metrics.export import OPENMETRICS, Exporter, accepted, wants_openmetrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from monitor.clock import Clock

log = logging.getLogger(__name__)

SMALL_S = 0.02  # processor time
WAKE_S = 0.5
LONGEST_MOMENT_S = 3.0
REST = 19  # times as long as it worked
OLDEST_S = 10.0
WARM_S = 150.0  # Prometheus' longest sensible interval is two minutes
GZIP_LEVEL = 1  # measured: level 6 takes three times as long for a page a sixth smaller
GZIP_FROM_BYTES = 1400  # fits into one packet as it is

Picture: TypeAlias = "Callable[[], Iterable[Family]]"
Form: TypeAlias = "tuple[bool, bool]"  # OpenMetrics, gzip


@dataclass(frozen=True, slots=True)
class Page:
    """A body with its content type and encoding (empty: as it is)."""

    body: bytes
    content_type: str
    encoding: str


class Press:
    """Keeps the newest page in the forms that were asked for lately. Belongs to the event loop."""

    def __init__(
        self, take: Callable[[], Picture], clock: Clock, good_moment: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """``take`` copies what is to be shown and returns what makes the families of it, which runs in a thread.

        ``good_moment`` waits until little else is to be done for a while (the end of an evaluation).
        """
        self._take = take
        self._clock = clock
        self._good_moment = good_moment
        self._exporter = Exporter()
        self._pages: dict[Form, Page] = {}
        self._asked: dict[Form, float] = {}
        self._taken = 0.0  # monotonic
        self._rested = 0.0
        self._cost_s = 0.0
        self._samples = 0
        self._one = asyncio.Lock()

    async def page(self, accept: str, accept_encoding: str) -> Page:
        """Return the page in the form that the scraper asks for (its two headers)."""
        form = (wants_openmetrics(accept), accepted(accept_encoding, "gzip") > 0)
        asked = self._asked[form] = self._clock.monotonic()
        if not self._good(form, asked):
            async with self._one:
                if not self._good(form, asked):
                    await self._print()
        return self._pages[form]

    async def run(self) -> None:
        """Keep a large page new for as long as it is asked for; ends when cancelled."""
        while True:
            await self._clock.sleep(WAKE_S)
            now = self._clock.monotonic()
            self._asked = {form: at for form, at in self._asked.items() if now - at < WARM_S}
            if self._asked and self._cost_s >= SMALL_S and now >= self._rested:
                if self._good_moment is not None:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LONGEST_MOMENT_S):
                            await self._good_moment()
                try:
                    async with self._one:
                        await self._print()
                except Exception:  # who scrapes next is told; the next page may be well: the border of the press
                    log.exception("the page of metrics could not be printed")

    def _good(self, form: Form, asked: float) -> bool:
        """Return whether the page that is there may be handed out to who asked at that moment."""
        newest_needed = asked if self._cost_s < SMALL_S else asked - OLDEST_S
        return form in self._pages and self._taken >= newest_needed

    async def _print(self) -> None:
        self._taken = self._clock.monotonic()
        picture, about = self._take(), self._about()
        forms = tuple(self._asked)
        self._pages, self._cost_s, self._samples = await asyncio.to_thread(self._rendered, picture, about, forms)
        self._rested = self._clock.monotonic() + REST * self._cost_s

    def _about(self) -> tuple[Family, ...]:
        """Return what the page says of itself."""
        return (
            Family(m.PAGE_TAKEN, (((), self._clock.now()),)),
            Family(m.PAGE_RENDER, (((), self._cost_s),)),
            Family(m.PAGE_SAMPLES, (((), float(self._samples)),)),
        )

    def _rendered(
        self, picture: Picture, about: tuple[Family, ...], forms: tuple[Form, ...]
    ) -> tuple[dict[Form, Page], float, int]:
        """Return the pages, the processor time they took, and how many samples. Runs in a thread, one at a time."""
        begun = time.thread_time()
        gc.disable()  # it would walk through everything for 100,000 tuples that are gone in a moment, and find no cycle
        try:
            return self._made(picture, about, forms, begun)
        finally:
            gc.enable()

    def _made(
        self, picture: Picture, about: tuple[Family, ...], forms: tuple[Form, ...], begun: float
    ) -> tuple[dict[Form, Page], float, int]:
        families = (*picture(), *about)
        pages = {}
        for openmetrics in sorted({form[0] for form in forms}):
            body, content_type = self._exporter.render(families, OPENMETRICS if openmetrics else "")
            pages[openmetrics, False] = Page(body, content_type, "")
            if (openmetrics, True) in forms:
                small = len(body) < GZIP_FROM_BYTES
                packed = body if small else gzip.compress(body, GZIP_LEVEL, mtime=0)
                pages[openmetrics, True] = Page(packed, content_type, "" if small else "gzip")
        return pages, time.thread_time() - begun, sum(len(family.samples) for family in families)
