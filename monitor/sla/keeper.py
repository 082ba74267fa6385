"""What the watch has to tell the ledger: when it ran, what it knew since when, what it measured, what was agreed.

Called once a second, before and after statuses are worked out, it decides which rows are due; writing them is the
record's work. A crash loses the time since the last mark (a minute at most), which is then nobody's time: UNKNOWN. Pure
but for what it remembers.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from monitor.sla.ledger import ChainBegun, Mark, Row, Sighting, TermsRow
from monitor.sla.measure import Quarters
from monitor.sla.period import MINUTE_US, SECOND_US, us
from monitor.sla.terms import terms_of, to_text
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from monitor.inventory.model import Inventory
    from monitor.probe import Observation
    from monitor.status.state import Status

log = logging.getLogger(__name__)

MARK_EVERY_US = MINUTE_US
YOUNG_MARK_EVERY_US = 5 * SECOND_US  # in a chain's first minute, so that a report has something to show at once
CLOCK_STEP_US = SECOND_US  # wall time that differs by more from the machine's own, within a tick, was set


class Keeper:
    """Follows the watch; one for each start of it."""

    def __init__(self, inventory: Inventory, last_chain: int, last_terms: TermsRow | None) -> None:
        """Begin after the chain and terms that the ledger ends with."""
        self._inventory = inventory
        self._chain = last_chain
        self._terms = last_terms
        self._quarters = Quarters()
        self._unseen: set[str] = set()
        self._begun_us: int | None = None
        self._why = "start"
        self.error = ""
        self._marked_us = self._ticked_us = self._ticked_mono_us = 0

    def observed(self, observation: Observation, status: Status | None) -> None:
        """Take in a measurement of a link; other subjects are passed over."""
        if observation.subject.startswith("link/"):
            self._quarters.add(observation, Health.UNKNOWN if status is None else status.health)

    def moved(self, now: float, monotonic: float) -> list[Row]:
        """Take in the time (Unix seconds, and the machine's own); return the rows of a break, if there was one.

        They come before whatever changed since the last tick: what changed belongs to what begins now.
        """
        return self._kept(lambda: self._moved(now, monotonic))

    def _moved(self, now: float, monotonic: float) -> list[Row]:
        now_us, mono_us = us(now), us(monotonic)
        step_us, own_us = now_us - self._ticked_us, mono_us - self._ticked_mono_us
        before_us = self._ticked_us
        self._ticked_us, self._ticked_mono_us = now_us, mono_us
        if self._begun_us is None:
            return self._begin(self._why, now_us)
        if step_us <= 0 or abs(step_us - own_us) > CLOCK_STEP_US:
            return self._broken("clock", before_us)
        if own_us > us(self._inventory.polling.stale_after_s):
            return self._broken("stall", before_us)
        return []

    def tick(self, statuses: Mapping[str, Status]) -> list[Row]:
        """Return the rows that are due at the time that ``moved`` was told."""
        return self._kept(lambda: self._tick(statuses))

    def _tick(self, statuses: Mapping[str, Status]) -> list[Row]:
        now_us = self._ticked_us
        rows: list[Row] = []
        for subject in sorted(self._unseen):
            status = statuses.get(subject)
            if status is not None and status.health is not Health.UNKNOWN:
                self._unseen.discard(subject)
                rows.append(Sighting(self._chain, subject, now_us, status.health.value, status.reason))
        young = self._begun_us is not None and now_us - self._begun_us <= MARK_EVERY_US
        if now_us - self._marked_us >= (YOUNG_MARK_EVERY_US if young else MARK_EVERY_US):
            rows += self._mark()
        rows += self._quarters.over(now_us, self._chain)
        self.error = ""
        return rows

    def reload(self, inventory: Inventory) -> list[Row]:
        """Change to a new inventory: a link that is gone with the old one is nobody's from now on."""
        return self._kept(lambda: self._reload(inventory))

    def _reload(self, inventory: Inventory) -> list[Row]:
        self._inventory = inventory
        return self._broken("reload", self._ticked_us) if self._begun_us is not None else []

    def lost(self) -> list[Row]:
        """Begin anew: rows and flips that waited to be written are given up, their time is nobody's."""
        return self._kept(self._lost)

    def _lost(self) -> list[Row]:
        return [] if self._begun_us is None else self._begin("lost", self._ticked_us)

    def end(self) -> list[Row]:
        """Return the last rows; nothing comes after them."""
        return self._kept(self._end)

    def _end(self) -> list[Row]:
        return [] if self._begun_us is None else [*self._mark(), *self._quarters.over(None, self._chain)]

    def _kept(self, work: Callable[[], list[Row]]) -> list[Row]:
        """Return the rows of ``work``; after a defect none, and what is kept begins anew: its time is nobody's."""
        try:
            rows = work()
        except Exception as error:  # the border of the keeper: its defect must not stop statuses and alarms
            said = f"the ledger of service levels is not kept: {type(error).__name__}: {error}"
            if said != self.error:
                log.exception("the ledger of service levels is not kept")
            self.error = said
            self._begun_us, self._why = None, "lost"
            return []
        return rows

    def _broken(self, why: str, until_us: int) -> list[Row]:
        """End the chain at ``until_us`` and begin the next at the present tick."""
        rows: list[Row] = list(self._mark(until_us))
        rows += self._quarters.over(None, self._chain)
        return [*rows, *self._begin(why, self._ticked_us)]

    def _begin(self, why: str, now_us: int) -> list[Row]:
        self._chain += 1
        self._begun_us = self._marked_us = now_us
        terms = terms_of(self._inventory)
        self._unseen = {link.subject for link in terms.links}
        rows: list[Row] = [ChainBegun(self._chain, why, now_us)]
        body = to_text(terms)
        last = self._terms  # if they are of the future, they were noted while the clock was wrong
        if last is None or last.body != body or last.at_us > now_us:
            self._terms = TermsRow(1 if last is None else last.number + 1, now_us, body)
            rows.append(self._terms)
        return rows

    def _mark(self, until_us: int | None = None) -> list[Mark]:
        end_us = self._ticked_us if until_us is None else until_us
        if end_us <= self._marked_us:
            return []
        mark = Mark(self._chain, self._marked_us, end_us)
        self._marked_us = end_us
        return [mark]
