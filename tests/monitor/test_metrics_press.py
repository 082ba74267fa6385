"""The page that is made before it is asked for."""

from __future__ import annotations

import asyncio
import gzip
import threading
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from watch_kit import TimelineClock

from monitor.metrics import press as press_module
from monitor.metrics.catalog import Family, Metric
from monitor.metrics.export import OPENMETRICS, PLAIN, accepted, wants_openmetrics
from monitor.metrics.press import OLDEST_S, WARM_S, Press

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio
THINGS = Metric("karaula_test_things", "gauge", "", ("thing",), "Things")
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


class Printer:
    """Something to print; counts how often it was asked, and in which threads."""

    def __init__(self, samples: int = 100) -> None:
        self.taken = 0
        self.samples = samples
        self.threads: set[str] = set()

    def __call__(self) -> Callable[[], list[Family]]:
        self.taken += 1
        number = float(self.taken)

        def picture() -> list[Family]:
            self.threads.add(threading.current_thread().name)
            return [Family(THINGS, tuple(((f"t{each}",), number) for each in range(self.samples)))]

        return picture


async def live(press: Press, clock: TimelineClock, seconds: float) -> None:
    """Let time pass in steps, and the thread that prints end in between."""
    for _ in range(int(seconds * 2)):
        await clock.advance(0.5)
        while press._one.locked():  # noqa: ASYNC110 - a thread's end
            await asyncio.sleep(0.001)


async def test_a_small_page_is_made_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(press_module, "SMALL_S", 60.0)
    clock, printer = TimelineClock(), Printer()
    press = Press(printer, clock)
    running = asyncio.create_task(press.run())
    for number in (1, 2, 3):
        page = await press.page("", "")
        assert (page.content_type, page.encoding) == (PLAIN, "")
        assert f'karaula_test_things{{thing="t7"}} {number}.0' in page.body.decode()
        await live(press, clock, 5)
    assert printer.taken == 3
    assert threading.current_thread().name not in printer.threads
    running.cancel()


async def test_a_large_page_is_made_in_advance_for_as_long_as_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(press_module, "SMALL_S", 0.0)
    clock, printer = TimelineClock(), Printer()
    press = Press(printer, clock)
    running = asyncio.create_task(press.run())
    await live(press, clock, 20)
    assert printer.taken == 0, "nobody has asked"
    await press.page("", "")
    await live(press, clock, 5)
    before = printer.taken
    assert before >= 5
    page = await press.page("", "")
    assert printer.taken == before, "it was there"
    assert "karaula_page_timestamp_seconds 1.79" in page.body.decode()
    await live(press, clock, WARM_S + 1)
    cold = printer.taken
    await live(press, clock, 20)
    assert printer.taken == cold, "nobody asks any more"
    await press.page("", "")
    assert printer.taken == cold + 1, f"older than {OLDEST_S} s is not handed out"
    running.cancel()


async def test_it_rests_nineteen_times_as_long_as_it_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(press_module, "SMALL_S", 0.0)
    clock, printer = TimelineClock(), Printer()
    press = Press(printer, clock)
    monkeypatch.setattr(press, "_rendered", lambda *_: ({(False, False): press_module.Page(b"", PLAIN, "")}, 0.2, 1))
    running = asyncio.create_task(press.run())
    await press.page("", "")
    await live(press, clock, 40)
    assert 9 <= printer.taken <= 11
    running.cancel()


async def test_scrapers_at_once_share_one_page_and_each_gets_its_form() -> None:
    printer = Printer()
    press = Press(printer, TimelineClock())
    forms = [("", ""), (PROMETHEUS_2, "gzip"), ("", "gzip"), (PROMETHEUS_2, "identity")]
    pages = await asyncio.gather(*(press.page(*form) for form in forms))
    assert printer.taken <= 2, "the first did not know of the others yet"
    pages = await asyncio.gather(*(press.page(*form) for form in forms))
    assert [page.content_type for page in pages] == [PLAIN, OPENMETRICS, PLAIN, OPENMETRICS]
    assert [page.encoding for page in pages] == ["", "gzip", "gzip", ""]
    assert gzip.decompress(pages[1].body) == pages[3].body
    assert gzip.decompress(pages[2].body) == pages[0].body
    shown = {family.name: family for family in parse_openmetrics(pages[3].body.decode())}
    assert len(shown["karaula_test_things"].samples) == 100
    assert shown["karaula_page_timestamp_seconds"].unit == "seconds"
    assert not any(sample.exemplar for family in shown.values() for sample in family.samples)


async def test_a_tiny_page_is_not_packed() -> None:
    page = await Press(Printer(1), TimelineClock()).page("", "gzip")
    assert page.encoding == ""
    assert page.body.startswith(b"# HELP karaula_test_things")


async def test_a_page_that_cannot_be_made_fails_its_scrape_and_not_the_next() -> None:
    printer, broken = Printer(), [True]

    def take() -> Callable[[], list[Family]]:
        if broken[0]:
            raise ValueError("given twice")
        return printer()

    press = Press(take, TimelineClock())
    with pytest.raises(ValueError, match="given twice"):
        await press.page("", "")
    broken[0] = False
    assert (await press.page("", "")).body


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        (PROMETHEUS_2, True),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.9", False),
        ("application/openmetrics-text;version=2.0.0,text/plain", False),
        ("application/openmetrics-text;q=nan", False),
        ("application/openmetrics-text;q=-1", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False),
        (";;;=,,,q", False),
    ],
)
def test_openmetrics_only_for_who_takes_it(accept: str, openmetrics: bool) -> None:
    assert wants_openmetrics(accept) is openmetrics


@pytest.mark.parametrize(
    ("header", "quality"),
    [
        ("gzip", 1.0),
        ("deflate, gzip;q=0.5", 0.5),
        ("gzip;q=0", 0.0),
        ("GZIP", 1.0),
        ("", 0.0),
        ("br", 0.0),
        ("x-gzip", 0.0),
    ],
)
def test_gzip_only_for_who_takes_it(header: str, quality: float) -> None:
    assert accepted(header, "gzip") == quality
