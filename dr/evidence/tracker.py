"""Findings tracked to their closure: entered from reports or by people, with an action, its owner and its date.

What the report of a run finds (critical or a warning) is entered once the run has ended, and again after a crash until
it is there; the same finding of the same system that is not over yet is *seen again*, not entered twice. A finding is
closed by another person than the one who did the work; taking a risk as it is needs a reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from dr.engine.names import unknown
from dr.errors import IllegalEvent, RunRefused
from dr.evidence.collect import Finding, findings, measures
from dr.forecast import Forecast
from dr.journal.event import Event
from dr.journal.finding import (
    PREFIX,
    SEVERITIES,
    ActionAgreed,
    ActionDone,
    FindingAccepted,
    FindingClosed,
    FindingEntered,
    FindingEvent,
    FindingReopened,
    FindingSeenAgain,
    FindingState,
    TrackedFinding,
    after,
)
from dr.journal.run import Run
from dr.journal.sqlite import SqliteJournal
from monitor.clock import Clock

T = TypeVar("T")
DAEMON = "karaula"
FARTHEST_S = 100 * 366 * 86400.0


class Runs(Protocol):
    """Where runs are (dr.engine.orchestrator.Orchestrator)."""

    def runs(self) -> list[Run]:
        """Return every run."""
        ...

    def events(self, run_id: str) -> list[Event]:
        """Return the run's journal."""
        ...

    def in_thread(self, call: Callable[[], T]) -> Awaitable[T]:
        """Run a blocking call on the journal in its own thread."""
        ...


class Tracker:
    """All findings; every change is on the disk before it counts."""

    def __init__(self, journal: SqliteJournal, runs: Runs, clock: Clock) -> None:
        self._journal = journal
        self._runs = runs
        self._clock = clock
        self._findings: dict[str, TrackedFinding] = {}
        self._looked_at: set[str] = set()

    async def load(self) -> None:
        """Take up what the journal holds. Raises StateError."""
        self._findings = {each.id: each for each in await self._runs.in_thread(self._journal.findings)}

    async def tick(self) -> None:
        """Enter what the reports of ended runs found. Raises StateError; the next tick goes on where it broke."""
        for run in sorted(self._runs.runs(), key=lambda run: (run.ended_at or 0.0, run.id)):
            if not run.state.final or run.id in self._looked_at:
                continue
            for found in _found(run, self._runs.events(run.id)):
                await self._take(run, found)
            self._looked_at.add(run.id)

    # -- looking -------------------------------------------------------------------------------------------------------

    def all(self) -> list[TrackedFinding]:
        """Return every finding, oldest first."""
        return list(self._findings.values())

    def standing(self) -> list[TrackedFinding]:
        """Return those that somebody still has to do something about, the worst and oldest first."""
        left = [each for each in self._findings.values() if not each.state.over]
        return sorted(left, key=lambda each: (SEVERITIES.index(each.severity), each.entered_at))

    def finding(self, number: str) -> TrackedFinding:
        """Return the finding of that number. Raises RunRefused."""
        found = self._findings.get(PREFIX + number.removeprefix(PREFIX))
        if found is None:
            known = [key.removeprefix(PREFIX) for key in self._findings]
            raise RunRefused("finding", unknown("finding", number, known))
        return found

    async def history(self, number: str) -> list[Event]:
        """Return all that was written of the finding, in its order. Raises StateError, RunRefused."""
        found = self.finding(number)
        stories = await self._runs.in_thread(lambda: self._journal.stories_of([found.id]))
        return stories[found.id].events

    # -- people's words ------------------------------------------------------------------------------------------------

    async def enter(self, by: str, system: str, severity: str, what: str, run: str = "") -> TrackedFinding:
        """Enter what a person found. Raises StateError, RunRefused."""
        if severity not in SEVERITIES:
            raise RunRefused("finding", unknown("severity", severity, SEVERITIES))
        return await self._entered(FindingEntered(self._clock.now(), by, run, system, severity, _said(what, "words")))

    async def agree(self, number: str, by: str, owner: str, due_at: float, what: str) -> TrackedFinding:
        """Agree on an action. Raises StateError, RunRefused."""
        now = self._clock.now()
        if due_at <= now:
            raise RunRefused("finding", "the day on which an action is to be done must lie ahead")
        if due_at > now + FARTHEST_S:
            raise RunRefused("finding", "the day on which an action is to be done lies more than a hundred years ahead")
        action = ActionAgreed(now, by, _said(owner, "an owner"), due_at, _said(what, "words: what will be done"))
        return await self._follow(number, action, "its action cannot be agreed on any more: it is {state}")

    async def done(self, number: str, by: str, evidence: str) -> TrackedFinding:
        """Say that the action was done, and where that can be seen. Raises StateError, RunRefused."""
        word = ActionDone(self._clock.now(), by, _said(evidence, "evidence: where it can be seen"))
        return await self._follow(number, word, "it is {state}; first agree on an action, with an owner and a date")

    async def close(self, number: str, by: str, comment: str) -> TrackedFinding:
        """Close it as another person. Raises StateError, RunRefused."""
        found = self.finding(number)
        word = FindingClosed(self._clock.now(), by, comment)
        against = {
            FindingState.DONE: f"what was done is closed by another person than {found.done_by}",
            FindingState.AGREED: f"{found.owner} has still to say that it was done, and where that can be seen",
        }
        return await self._follow(number, word, against.get(found.state, "it is {state}; only what was done is closed"))

    async def accept(self, number: str, by: str, reason: str) -> TrackedFinding:
        """Take the risk as it is. Raises StateError, RunRefused."""
        word = FindingAccepted(self._clock.now(), by, _said(reason, "a reason"))
        return await self._follow(number, word, "it is {state} already")

    async def reopen(self, number: str, by: str, reason: str) -> TrackedFinding:
        """Open it again. Raises StateError, RunRefused."""
        word = FindingReopened(self._clock.now(), by, _said(reason, "a reason"))
        return await self._follow(number, word, "it is {state}, it was not closed")

    # -- inside --------------------------------------------------------------------------------------------------------

    async def _take(self, run: Run, found: Finding) -> None:
        alike = [each for each in self._findings.values() if (each.system, each.what) == (run.system, found.what)]
        if any(run.id in each.runs for each in alike):
            return
        for each in alike:
            if not each.state.over:
                await self._write(each, FindingSeenAgain(self._clock.now(), run.id))
                return
        entered = FindingEntered(self._clock.now(), DAEMON, run.id, run.system, found.severity, found.what)
        await self._entered(entered)

    async def _entered(self, event: FindingEntered) -> TrackedFinding:
        number = len(await self._runs.in_thread(lambda: self._journal.names(PREFIX))) + 1
        finding_id = f"{PREFIX}{number}"
        return await self._written(finding_id, 0, after(finding_id, None, event), event)

    async def _follow(self, number: str, event: FindingEvent, against: str) -> TrackedFinding:
        found = self.finding(number)
        try:
            return await self._write(found, event)
        except IllegalEvent as error:
            said = against.format(state=found.state.replace("-", " "))
            raise RunRefused("finding", f"finding {found.id.removeprefix(PREFIX)}: {said}") from error

    async def _write(self, found: TrackedFinding, event: FindingEvent) -> TrackedFinding:
        return await self._written(found.id, found.events, after(found.id, found, event), event)

    async def _written(self, finding_id: str, seq: int, changed: TrackedFinding, event: Event) -> TrackedFinding:
        await self._runs.in_thread(lambda: self._journal.append(finding_id, seq, (event,)))
        self._findings[finding_id] = changed
        return changed


def _found(run: Run, events: Sequence[Event]) -> list[Finding]:
    """Return what the run's report found that somebody should see to; each once.

    A run that never began (refused, denied, withdrawn when its alarm cleared) has shown nothing of the estate.
    """
    if run.started_at is None:
        return []
    found = findings(run, measures(run, events, Forecast(0)), ())
    return [each for each in dict.fromkeys(found) if each.severity in SEVERITIES]


def _said(text: str, what: str) -> str:
    if not text.strip():
        raise RunRefused("finding", f"this needs {what}")
    return text.strip()
