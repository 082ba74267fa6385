"""From an alarm to a prepared run: which response fits, how long the alarm must have stood, and what withdraws it.

``mode: prepare`` makes a run that waits for a person; ``notify`` only leaves the alarm to the notifier. ``automatic``
asks for a run that begins by itself; whether it may is for the guards to say, and else it is one that was prepared. For
votes that are not complete it waits a little: for as long as a vote may be old. An alarm
that clears withdraws the run that nobody has approved yet. Nothing is prepared for an alarm that is withheld (while
the monitor is isolated, until it has heard of the subject since its start, during a planned downtime) until that is
over and the alarm still stands. What a guard refused (a backup was under way, a pause was in force) is asked for again
once no guard refuses it and the alarm still stands: it is not queued, it is found needed anew. What a person denied,
or let run out, is not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dr.alerts import asks_for
from dr.engine import commands
from dr.engine.orchestrator import Orchestrator, Request
from dr.errors import PlaybookError, RunRefused
from dr.guard import Ruling
from dr.guards.quorum import NAME as QUORUM
from dr.journal.event import Event
from dr.journal.run import Run, RunState
from monitor.inventory.behaviour import Response

log = logging.getLogger(__name__)
DAEMON = "karaula"


@dataclass(frozen=True, slots=True)
class AlarmNote:
    """What the trigger needs of an alarm. ``ref`` is unique for one raising of it.

    ``service_lost_at`` is when the subject was last seen working (Unix seconds, 0: not known). ``labels`` are those of
    an alert of Alertmanager's; None: it is an alarm of our own.
    """

    ref: str
    name: str
    subject: str
    since: float
    reason: str
    service_lost_at: float
    labels: Mapping[str, str] | None = None


class Trigger:
    """Holds the alarms that some response waits on; ticked from outside."""

    def __init__(
        self,
        responses: Mapping[str, Response],
        orchestrator: Orchestrator,
        now: Callable[[], float],
        withheld: Callable[[AlarmNote], str] = lambda _: "",
    ) -> None:
        """``withheld`` says why nothing may be prepared for an alarm now; empty: it may.

        ``refusals`` has, by alarm, why the run that a response asks for is not prepared.
        """
        self._responses = responses
        self._orchestrator = orchestrator
        self._now = now
        self._withheld = withheld
        self._standing: dict[str, AlarmNote] = {}
        self._answered: set[tuple[str, str]] = set()
        self.refusals: dict[str, str] = {}

    def reload(self, responses: Mapping[str, Response]) -> None:
        """Answer by ``responses`` from now on; what was answered stays so."""
        self._responses = responses

    def raised(self, alarm: AlarmNote) -> None:
        """Take note of an alarm that rose, or that stood when the daemon started."""
        self._standing[alarm.ref] = alarm

    def cleared(self, ref: str) -> None:
        """Take note that the alarm is over."""
        self._standing.pop(ref, None)
        self.refusals.pop(ref, None)
        self._answered = {answer for answer in self._answered if answer[1] != ref}

    async def tick(self) -> None:
        """Prepare what is due, withdraw what is no longer wanted. Raises StateError; the next tick tries again."""
        for alarm in list(self._standing.values()):
            for key, response in self._responses.items():
                if response.mode == "notify" or (key, alarm.ref) in self._answered:
                    continue
                if not _fits(response, alarm):
                    continue
                if against := self._withheld(replace(alarm, subject=f"system/{response.system}")):
                    self.refusals[alarm.ref] = against
                    continue
                self.refusals.pop(alarm.ref, None)
                stood_s = self._now() - alarm.since
                due = stood_s >= response.grace_s or stood_s < 0  # a clock set back must not hold up a preparation
                if due and not self._votes_to_come(response, stood_s):
                    await self._prepare(key, response, alarm)
        await self._withdraw()

    async def _prepare(self, key: str, response: Response, alarm: AlarmNote) -> None:
        """Ask for the run, once for each raising of the alarm, also over a restart."""
        origin_ref = f"{key}:{alarm.ref}"
        earlier = [run for run in self._orchestrator.runs() if run.origin_ref == origin_ref]
        if not all(_refused(run) for run in earlier):
            self._answered.add((key, alarm.ref))
            return
        if earlier and (still := self._against(response)):
            self.refusals[alarm.ref] = still
            return
        request = Request(
            playbook=response.playbook,
            system=response.system,
            requester=DAEMON,
            reason=f"{alarm.name}: {alarm.reason}",
            origin="alarm",
            origin_ref=origin_ref,
            service_lost_at=alarm.service_lost_at,
            alarm_at=alarm.since,
            automatic=response.mode == "automatic",
        )
        try:
            await self._orchestrator.submit(request)
        except RunRefused as error:
            self.refusals[alarm.ref] = str(error)
            log.warning("response %s prepared nothing: %s", key, error)
        except PlaybookError as error:
            self.refusals[alarm.ref] = str(error)
            log.warning("response %s prepared nothing: %s", key, error)
            self._answered.add((key, alarm.ref))
        else:
            self.refusals.pop(alarm.ref, None)
            self._answered.add((key, alarm.ref))

    def _votes_to_come(self, response: Response, stood_s: float) -> bool:
        """Tell whether an automatic run had better wait for vantage points that have not seen yet what we have."""
        world = self._orchestrator.world
        over = not 0 <= stood_s < response.grace_s + world.inventory.vantage.vote_max_age_s
        system = world.inventory.systems.get(response.system)
        if response.mode != "automatic" or over or system is None:
            return False
        poll = world.poll(response.system, system.protected_site)
        return poll is not None and not poll.reached

    def pages(self) -> dict[str, str]:
        """Say, by run, what runs by itself, or was to and waits for a person; not what a person has approved."""
        said = {}
        for run in self._orchestrator.runs():
            if run.automatic and not run.state.final and not run.approved_by:
                waits = run.state is RunState.WAITING
                said[run.id] = f"{run.id} {'waits for a person: ' + _why(run) if waits else 'runs without an approval'}"
        return said

    def _against(self, response: Response) -> str:
        """Return what a guard would say against the run now, asked without leaving a trace; empty: nothing."""
        try:
            plan = self._orchestrator.plan(response.playbook, response.system)
        except (RunRefused, PlaybookError) as error:
            return str(error)
        verdicts = self._orchestrator.verdicts(plan, DAEMON, "alarm")
        against = [verdict for verdict in verdicts if verdict.ruling is Ruling.REFUSE]
        return str(RunRefused(against[0].guard, against[0].sentence)) if against else ""

    async def _withdraw(self) -> None:
        """Cancel prepared runs whose alarm has cleared, or whose response is gone, before anybody approved them."""
        wanted = {f"{key}:{ref}" for key in self._responses for ref in self._standing}
        for run in self._orchestrator.runs():
            if run.origin != "alarm" or run.state is not RunState.WAITING or run.origin_ref in wanted:
                continue
            try:
                stands = run.origin_ref.partition(":")[2] in self._standing
                await self._orchestrator.command(run.id, _withdraw_unanswered if stands else _withdraw)
            except RunRefused as error:
                log.info("run %s is not withdrawn: %s", run.id, error)


def _fits(response: Response, alarm: AlarmNote) -> bool:
    """Tell whether the response is to this alarm, or to an alert with such labels."""
    if alarm.labels is not None:
        return asks_for(response, alarm.labels)
    return alarm.name == response.alarm and alarm.subject == f"system/{response.system}"


def _withdraw(run: Run, now: float) -> Sequence[Event]:
    return commands.withdraw(run, DAEMON, "the alarm cleared before anybody approved", now)


def _withdraw_unanswered(run: Run, now: float) -> Sequence[Event]:
    return commands.withdraw(run, DAEMON, "the response to the alarm is no longer in the inventory", now)


def _refused(run: Run) -> bool:
    """Tell whether a guard, and no person, ended the run before it was let in."""
    decided = run.approval_expires_at is not None or run.started_at is not None
    return run.state.final and not decided and any(note.ruling == Ruling.REFUSE.value for note in run.guards)


def _why(run: Run) -> str:
    """Say what keeps the run from beginning, each thing once: what the vantage points say others may repeat."""
    waits = [note for note in run.guards if note.ruling == Ruling.WAIT.value]
    votes = str(run.poll)
    elsewhere = any(votes in note.sentence for note in waits if note.guard != QUORUM)
    said = [note.sentence for note in waits if note.guard != QUORUM or not elsewhere]
    return "; ".join(dict.fromkeys(said))
