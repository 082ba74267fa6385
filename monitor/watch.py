"""The watch: polling, status, history, alarms and telling people, behind one door for the console and for recovery.

It decides nothing: polled observations go to the board, once a second the board's changes go to the record and the
alarm book. A part that fails is logged and shown (``problems``); the others go on. All methods belong to the event
loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING

from monitor.alarms.book import Book, Circumstances, joined
from monitor.alarms.patience import hold_s, waits_s
from monitor.downtimes import Downtimes
from monitor.metrics.estate import families
from monitor.metrics.sheet import View
from monitor.poller import Poller
from monitor.pulse import Pulse
from monitor.record import Record
from monitor.sla.keeper import Keeper
from monitor.sla.office import Office
from monitor.sla.records import Archive
from monitor.status.board import Board, recorded_from
from monitor.status.downtime import coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from pathlib import Path

    from monitor.clock import Clock
    from monitor.history import Notice
    from monitor.inventory.model import Inventory
    from monitor.metrics.catalog import Family
    from monitor.notify import Channel, Notifier
    from monitor.probe import Observation, Probe, Target
    from monitor.status.alarm import Alarm
    from monitor.status.board import Evidence
    from monitor.status.downtime import Downtime
    from monitor.status.source import SourceStats
    from monitor.status.state import Flip, Status

log = logging.getLogger(__name__)

TICK_S = 1.0
EVALUATION = "evaluation"
EVALUATION_WITHIN_S = 15.0
UNKNOWN_AFTER = 3  # times stale_after_s: how long a subject may be UNKNOWN before that is an alarm
REMEMBERED_HALF_LIVES = 10  # after a restart: what is older counts for less than a thousandth of a change
LONGEST_STOP_S = 5.0
HISTORY_ALARM = ("history-failing", "karaula/history")
ISOLATED_ALARM = ("isolated", "karaula/uplink")


class Watch:
    """Watches the estate of one inventory."""

    def __init__(
        self,
        inventory: Inventory,
        targets: Iterable[Target],
        probes: Mapping[str, Probe],
        state_dir: Path,
        clock: Clock,
        notifier: Notifier | None = None,
    ) -> None:
        """Prepare. Nothing is opened before ``start``; ``stop`` closes the probes."""
        self._inventory = inventory
        self._clock = clock
        self._state_dir = state_dir
        self._probes = probes
        self._notifier = notifier
        self._targets = tuple(targets)
        self.pulse = Pulse(clock)
        self._poller = Poller(self._targets, probes, self._observed, clock, pulse=self.pulse)
        self._board = Board(inventory, clock.now())
        self._waits_s = waits_s(self._board.ties, inventory.polling)
        self._book = Book()
        self._record: Record | None = None
        self._keeper: Keeper | None = None
        self._downtimes: Downtimes | None = None
        self._covered: Mapping[str, Downtime] = {}
        self.sla: Office | None = None
        self._listeners: list[Callable[[Alarm], None]] = []
        self._raised_total: Counter[str] = Counter()
        self._started_at = self._evaluated_at = clock.now()
        self._ticking: asyncio.Task[None] | None = None
        self._tick_error = ""
        self.asked_all = False  # whether everything was asked once, or had its time to answer, and was then judged
        self._own: dict[tuple[str, str], str | None] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Open the history, take up where it ends, and begin. Raises StateError."""
        record = self._record = Record(self._state_dir / "history.sqlite", self._clock)
        now = self._started_at = self._evaluated_at = self._clock.now()
        self._downtimes = Downtimes(self._state_dir / "downtimes.sqlite")
        recent = record.history.flips_since(now - REMEMBERED_HALF_LIVES * self._inventory.flapping.half_life_s)
        self._board = Board(self._inventory, now, recorded_from(record.history.last_flips()), recent)
        self._book = Book(record.history.alarms(active_only=True))
        self._keeper = Keeper(self._inventory, record.ledger.last_chain(), record.ledger.last_terms())
        archive = Archive(record.ledger.path, record.history)
        self.sla = Office(archive, record.with_ledger, self._clock, self._downtimes.between)
        record.start()
        if self._notifier is not None:
            await self._notifier.start(record, *self._told())
        await self._poller.start()
        self.sla.start()
        self.pulse.expect(EVALUATION, "states and alarms have not been worked out", EVALUATION_WITHIN_S)
        self._ticking = asyncio.create_task(self._tick_for_ever(), name="evaluate")

    async def stop(self) -> None:
        """End everything in reverse order and close the probes; safe when not started."""
        await self._apart("poller", self._poller.stop())
        self.pulse.forget(EVALUATION)
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        if self._notifier is not None:
            await self._apart("notifier", self._notifier.stop())
        for retiring in tuple(self._retiring):
            retiring.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        for name, probe in self._probes.items():
            await self._apart(f"probe {name}", probe.close())
        if self.sla is not None:
            await self._apart("service levels", self.sla.stop())
        if self._record is not None:
            if self._keeper is not None:
                self._record.note(self._keeper.end())
            await self._apart("history", self._record.stop())
        if self._downtimes is not None:
            await self._apart("downtimes", self._downtimes.close())

    def reload(
        self,
        inventory: Inventory,
        targets: Iterable[Target],
        probes: Mapping[str, Probe] | None = None,
        channels: Iterable[Channel] | None = None,
    ) -> None:
        """Change to a new inventory without a pause. Raises KeyError (and changes nothing) when a probe is missing.

        ``probes`` and ``channels`` are all that there are to be, None where they stay. A probe that is not among them
        is closed once nobody waits for its answer. What stays keeps its status, alarms and history. Raises StateError
        (and changes nothing) when new channels cannot be told what is owed.
        """
        targets = tuple(targets)
        told: tuple[list[Notice], dict[str, Alarm]] = ([], {}) if channels is None else self._told()
        before = {target.subject: target.params for target in self._targets}
        changed = [each.subject for each in targets if before.get(each.subject, each.params) != each.params]
        self._poller.retarget(targets, probes)
        if probes is not None:
            for name, probe in self._probes.items():
                if probes.get(name) is not probe:
                    self._retire(name, probe)
            self._probes = probes
        self._targets = targets
        self._inventory = inventory
        self._board.reload(inventory, self._clock.now(), changed)
        self._waits_s = waits_s(self._board.ties, inventory.polling)
        if self._keeper is not None and self._record is not None:
            self._record.note(self._keeper.reload(inventory))
        if channels is not None and self._notifier is not None:
            self._notifier.reload(channels, *told)
        if self._notifier is not None:
            self._notifier.hold_s = hold_s(inventory.polling)

    @property
    def probes(self) -> Mapping[str, Probe]:
        """The probes by kind."""
        return self._probes

    def _retire(self, name: str, probe: Probe) -> None:
        async def end() -> None:
            try:
                await self._poller.drained(probe)
            finally:
                await self._apart(f"probe {name}", probe.close())

        task = asyncio.create_task(end(), name=f"retire probe {name}")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def _told(self) -> tuple[list[Notice], dict[str, Alarm]]:
        """Return what people were told or are owed, and the alarms that this is about. Raises StateError."""
        if self._record is None:
            return [], {}
        notices = self._record.history.notices()
        about = {notice.alarm_id: self._record.history.alarm(notice.alarm_id) for notice in notices}
        return notices, {key: alarm for key, alarm in about.items() if alarm is not None}

    # -- what is true --------------------------------------------------------------------------------------------------

    def statuses(self) -> Mapping[str, Status]:
        """Return every status by subject."""
        return self._board.statuses()

    def status(self, subject: str) -> Status | None:
        """Return the status of ``subject``; None when nothing of that name is watched."""
        return self._board.status(subject)

    def observation(self, subject: str) -> Observation | None:
        """Return the newest observation of ``subject``, whatever it said."""
        return self._board.newest(subject)

    def last_good(self, subject: str) -> Observation | None:
        """Return the newest observation of ``subject`` that was OK, however old; None when there was none."""
        return self._board.good().get(subject)

    def evidence(self, system: str) -> Evidence:
        """Return when and where ``system`` was last seen active, and its database's last known primary position."""
        return self._board.evidence(system)

    def alarms(self, *, active_only: bool = True) -> list[Alarm]:
        """Return the standing alarms, or the newest of all; oldest first."""
        standing = self._book.standing()
        if active_only or self._record is None:
            return standing
        found = {alarm.id: alarm for alarm in self._record.alarms()}
        found |= {alarm.id: alarm for alarm in standing}
        return sorted(found.values(), key=lambda alarm: (alarm.since, alarm.key))

    def flips(self, subject: str | None = None, limit: int = 100) -> list[Flip]:
        """Return the newest flips (of ``subject``), newest first."""
        return [] if self._record is None else self._record.flips(subject, limit)

    def sources(self) -> list[SourceStats]:
        """Return the counters of every kind of probe."""
        return self._poller.stats()

    def flapping(self) -> frozenset[str]:
        """Return the subjects that flap."""
        return self._board.flapping()

    @property
    def isolated(self) -> str:
        """Why the monitor takes itself for cut off from the estate; empty while it does not."""
        return self._board.isolated

    def unjudged(self) -> frozenset[str]:
        """Return the subjects that cannot be seen now, or were not heard since: their alarms say nothing."""
        return self._board.unjudged()

    @property
    def downtimes(self) -> Downtimes:
        """The record of planned downtimes. Raises RuntimeError before the start."""
        if self._downtimes is None:
            raise RuntimeError("the watch has not started")
        return self._downtimes

    def covered(self) -> Mapping[str, Downtime]:
        """Return the planned downtime that covers each covered subject now."""
        return self._covered

    def subscribe(self, callback: Callable[[Alarm], None]) -> Callable[[], None]:
        """Call ``callback`` with each alarm that is raised (``active``) or cleared; return how to end that.

        It is called on the event loop and must not block; what it raises is logged.
        """
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    def hold(self, name: str, subject: str, reason: str | None) -> None:
        """Let alarm ``name`` of ``subject`` (``karaula/…``) stand from the next tick until ``reason`` is None."""
        self._own[name, subject] = reason

    def faults(self) -> list[str]:
        """Return what the watch itself cannot do, one sentence each; nothing that is another server's doing."""
        found = [self._tick_error] if self._tick_error else []
        parts = (self._record, self._downtimes, self.sla, self._keeper)
        found += [part.error for part in parts if part is not None and part.error]
        return [*found, *self.pulse.problems()]

    def problems(self) -> list[str]:
        """Return what is wrong with the watch, one sentence each: its faults, and what it cannot get rid of."""
        channels = () if self._notifier is None else self._notifier.stats()
        return self.faults() + [
            f"{stats.pending} message{'s wait' if stats.pending > 1 else ' waits'} to be sent by {stats.channel}: "
            f"{stats.last_error}"
            for stats in channels
            if stats.last_error and stats.pending
        ]

    def not_ready(self) -> list[str]:
        """Return why the picture is not complete yet; empty once everything was asked, or had its time to answer."""
        if self._ticking is None:
            return ["the watch has not started"]
        if self._clock.now() - self._started_at > self._inventory.polling.stale_after_s:
            return []
        silent = sum(self._board.newest(target.subject) is None for target in self._targets)
        return [f"{silent} of {len(self._targets)} targets have not been asked yet"] if silent else []

    def snapshot(self) -> list[Family]:
        """Return what ``/metrics`` shows of the estate."""
        return families(self.view())

    def view(self) -> View:
        """Return what is known at this moment, as copies that do not change any more."""
        return View(
            inventory=self._inventory,
            statuses=self._board.statuses(),
            good=dict(self._board.good()),
            alarms=tuple(self._book.standing()),
            raised_total=dict(self._raised_total),
            sources=tuple(self._poller.stats()),
            skipped=self._poller.skipped(),
            channels=() if self._notifier is None else tuple(self._notifier.stats()),
            started_at=self._started_at,
            evaluated_at=self._evaluated_at,
            history_failing=self._record is not None and bool(self._record.error),
            history_pending=0 if self._record is None else self._record.pending,
            parts_silent_s=self.pulse.silent_s(),
            links=self._board.links(),
            loop_lag_s=self.pulse.worst_lag_s(),
            month=None if self.sla is None else self.sla.current,
            isolated=self._board.isolated,
            flapping=self._board.flapping(),
            covered=frozenset(self._covered),
        )

    # -- the working of it -----------------------------------------------------------------------------------------

    def _observed(self, observation: Observation) -> None:
        self._board.observe(observation, self._clock.monotonic())
        if self._keeper is not None:
            self._keeper.observed(observation, self._board.status(observation.subject))

    async def _tick_for_ever(self) -> None:
        while True:
            due = self._clock.monotonic() + TICK_S
            await self._clock.sleep(TICK_S)
            self.pulse.late(self._clock.monotonic() - due)
            try:
                await self.tick()
                self._tick_error = ""
                self.pulse.beat(EVALUATION)
            except Exception as error:  # one bad tick must not end the watch: the outermost border of its task
                log.exception("statuses could not be worked out")
                self._tick_error = f"statuses could not be worked out: {type(error).__name__}: {error}"

    async def tick(self) -> None:
        """Work out what changed by now. Called once a second by itself."""
        if self._record is None:
            return
        now = self._clock.now()
        self._follow_time(self._record, now)
        self.asked_all = self.asked_all or not self.not_ready()
        self._record.keep(self._board.tick(now), (), ())  # whatever else fails: the board says each flip once
        statuses = self._board.statuses()
        await asyncio.sleep(0)  # in a large estate either half takes some ten milliseconds
        self._covered = await self._planned(statuses, now)
        unknown_after_s = UNKNOWN_AFTER * self._inventory.polling.stale_after_s
        own = {HISTORY_ALARM: self._record.error or None, **self._own}
        if self._board.knows_isolation:
            own[ISOLATED_ALARM] = self._board.isolated or None
        ours = [self._book.hold(*place, reason, now) for place, reason in own.items()]
        agreements = None if self.sla is None else self.sla.conditions
        around = Circumstances(self._board.flapping(), self._board.unjudged(), self._covered, agreements)
        changes = joined([*ours, self._book.update(statuses, self._board.alarming(), now, unknown_after_s, around)])
        self._record.keep((), changes.raised, changes.cleared)
        if self._keeper is not None:  # after the flips, for a mark vouches for them
            self._record.note(self._keeper.tick(statuses))
        self._raised_total.update(alarm.name for alarm in changes.raised)
        self._evaluated_at = now
        for alarm in (*changes.raised, *changes.cleared):
            self._tell(alarm)
        if self._notifier is not None:
            self._notifier.consider(self._book.standing(), changes.cleared, now, self._waits_s)

    async def _planned(self, statuses: Mapping[str, Status], now: float) -> Mapping[str, Downtime]:
        """Open and end windows of the calendar, and return which downtime covers which subject."""
        self.downtimes.tick(self._inventory.downtimes, self._inventory.estate.timezone, now)
        await self.downtimes.save()
        return coverage(self.downtimes.in_force(now), self._board.alarming(), statuses, self._board.ailing())

    def _follow_time(self, record: Record, now: float) -> None:
        """Note whether time went on as it should since the last tick; before the flips of this one."""
        if self._keeper is None:
            return
        if record.given_up:
            record.given_up = False
            record.note(self._keeper.lost())
        record.note(self._keeper.moved(now, self._clock.monotonic()))

    def _tell(self, alarm: Alarm) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(alarm)
            except Exception:  # a listener's mistake is its own: the border to the rest of the program
                log.exception("a listener failed on alarm %s", alarm.key)

    async def _apart(self, what: str, ending: Coroutine[None, None, None]) -> None:
        try:
            async with asyncio.timeout(LONGEST_STOP_S):
                await ending
        except Exception:  # what cannot be ended must not keep the others from ending: the border of the shutdown
            log.exception("%s did not end well", what)
