"""The sole wiring place: reads the files, makes every part, starts them in order, stops them in reverse.

A start that fails half way rolls back what it had begun and leaves one clear message. Nothing here decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from console import sight
from console.api.desk import Desk
from console.clients import Clients, Made
from console.drifting import Drifting
from console.due import start_due, started_by
from console.files import Changes, Files, differences, read_files, unusable
from console.lastgood import LastGood
from console.morning import Morning
from console.options import Options
from console.proofs import Proofs
from console.readiness import Readying
from console.recovery_figures import recovery_families
from console.reload import (
    REFUSED_ALARM,
    UNUSABLE_ALARM,
    WAIT_FOR_REQUEST_S,
    Refused,
    Reloaded,
    against,
    in_short,
    stale_probes,
    tells_alike,
    told,
)
from console.reporting import Reporting
from console.responding import Responding
from console.seen import epoch_known, epoch_seen, heads
from console.serving import Doors, load_front, loopback_only
from console.supervisor import of_this_process
from console.telling import RunTeller, health_of
from console.ticks import Ticks
from console.version import VERSION
from dr.backups.catalog import catalog
from dr.engine.joint import JointRuns
from dr.engine.orchestrator import Orchestrator, Rules
from dr.engine.resume import unfinished
from dr.engine.tenure import local_tenure
from dr.evidence.keep import Keeper
from dr.evidence.tracker import Tracker
from dr.extensions import installed
from dr.forecast import Past
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.guards.shard import only_on_the_first
from dr.journal.run import ACTIVE
from dr.journal.sqlite import SqliteJournal
from dr.markers import Markers
from dr.schedule import Scheduler
from monitor.alarms.patience import hold_s
from monitor.channels import channels
from monitor.clients.http import HttpClient
from monitor.clock import Clock, RealClock
from monitor.credential import Credentials
from monitor.errors import KaraulaError, StateError
from monitor.inventory.behaviour import Response, Schedule
from monitor.inventory.model import Inventory
from monitor.metrics import configuration
from monitor.metrics.catalog import Family
from monitor.metrics.estate import families
from monitor.metrics.press import Press
from monitor.notify import Notifier
from monitor.status.votes import poll
from monitor.targets import make_probes, targets
from monitor.watch import EVALUATION, Watch

log = logging.getLogger(__name__)
TRIGGER_TICK_S = JOURNAL_TICK_S = MARKERS_TICK_S = 1
CALENDAR_TICK_S = 5
EVIDENCE_TICK_S = RETIRED_TICK_S = 2
ANCHOR_ALARM = ("evidence-not-anchored", "karaula/evidence")
JOURNAL_ALARM = ("journal-failing", "karaula/journal")


class Daemon:
    """All parts of a running Karaula."""

    def __init__(self, options: Options, clock: Clock | None = None) -> None:
        """Read the files, or what is kept of them; nothing is started yet. Raises InventoryError and StateError."""
        self.options = options
        self.clock: Clock = clock or RealClock()
        self.credentials = Credentials(options.credentials)
        self.markers = Markers(options.state, lambda: self.orchestrator.world, lambda k: self.watch.evidence(k).primary)
        self.proofs = Proofs(options.state)
        self.readying = Readying(lambda: self.watch, lambda: self.orchestrator, self.proofs)
        self.last_good = LastGood(options, self.credentials)
        self.files, self.loaded_at, self.refused = self.last_good.start(self.clock.now())
        self.clients = Clients(
            self.credentials,
            self.clock,
            backups=lambda system: catalog(self.orchestrator.runs(), system),
            isolated=lambda: self.watch.isolated,
            newest_marker=self.markers.newest,
            health=lambda subject: health_of(self.watch, subject),
            poll=lambda system, site: poll(self.inventory, system, site, self.watch, self.clock.now()),
            proof=self.proofs.find,
            readiness=self.readying.of,
            expected_loss=lambda *place: sight.expected_loss(self.watch, *place),
            observed=lambda subject: sight.observed(self.watch, self.inventory, subject),
        )
        self._reloading = asyncio.Lock()
        self.doors = Doors(options.socket or options.state / "karaula.sock", loopback_only(options.host), options.port)
        self._undo = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """Start every part. Raises StateError (and rolls back) when one cannot."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop in reverse order; runs under way are left to the next start."""
        await self._undo.aclose()

    async def _start(self) -> None:
        state = self.options.state
        try:
            state.mkdir(mode=0o750, parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"the state folder {state} cannot be made: {error.strerror}") from error
        journal = SqliteJournal(state / "journal.sqlite")
        journal_guard = self._undo.enter_context(contextlib.ExitStack())
        journal_guard.callback(journal.close)
        self.doors.bind()
        self._undo.push_async_callback(self.doors.close)
        made = self.clients.make(self.files)
        self.clients.take(made)
        self.notices = made.notices
        self._undo.push_async_callback(self.clients.close)
        self.watch = self._make_watch(state, made.notices)
        self.ticks = Ticks(self.watch.pulse)
        self._undo.push_async_callback(self.watch.stop)
        self.orchestrator = Orchestrator(
            journal,
            made.world,
            self._rules(self.files),
            epoch_seen=lambda system: epoch_seen(self.watch, self.inventory, system),
            epoch_known=lambda system: epoch_known(self.watch, self.inventory, system),
        )
        self.past = Past(self.orchestrator)
        self._undo.push_async_callback(self.orchestrator.stop)
        self.joints = JointRuns(self.orchestrator)
        self._undo.push_async_callback(self.joints.stop)
        journal_guard.pop_all()  # the orchestrator closes it now
        self.tenure = local_tenure(state, self.inventory.lease, self.orchestrator)
        self._undo.push_async_callback(self.tenure.stop)
        await self.tenure.start()
        await self.watch.start()
        if not self.options.shard.recovers and (begun := unfinished(journal)):
            raise StateError(
                f"run {begun[0]} in {state} is not over, and shard {self.options.shard} does no recovery; "
                "start the daemon of this folder as shard 1"
            )
        await self.orchestrator.start()
        await self.joints.start()
        responses, schedules = self._by_itself
        self.responding = Responding(self.watch, self.orchestrator, self.clock, self.inventory, responses)
        self.scheduler = Scheduler(
            journal.calendar,
            self.orchestrator.in_thread,
            schedules,
            self.inventory.estate.timezone,
            self.clock,
            lambda due: start_due(self.orchestrator, due),
            lambda ref: started_by(self.orchestrator, ref),
        )
        await self.scheduler.recover()
        self.morning = Morning(journal.calendar, self.orchestrator, self.clock, sends=self.options.shard.recovers)
        self.tracker = Tracker(journal, self.orchestrator, self.clock)
        await self.tracker.load()
        self.drifting = Drifting(self.watch, self.orchestrator, self.clock, lambda: self.inventory)
        reports = (self.orchestrator, self.joints, self.past, self.clock, lambda: self.inventory)
        self.reporting = Reporting(*reports, self.drifting)
        self.keeper = Keeper(made.world, lambda: heads(self.orchestrator, self.watch))
        self._start_ticks()
        self._hold_alarms()
        await self.last_good.keep(self.files, self.loaded_at)
        self._start_press()
        self.front = await load_front(self._desk(), self.doors.host_headers)
        await self.doors.open(self.front)
        self._undo.push_async_callback(self.doors.close)  # first of all: nobody is to meet parts that have stopped

    # -- parts -------------------------------------------------------------------------------------------------------

    @property
    def inventory(self) -> Inventory:
        """The inventory that holds now."""
        return self.files.inventory

    def _rules(self, files: Files) -> Rules:
        here = () if self.options.shard.recovers else (only_on_the_first(str(self.options.shard)),)
        return Rules(files.playbooks, installed().actions, (*here, *RUN_GUARDS), STEP_GUARDS, files.inventory.sha256)

    @property
    def _by_itself(self) -> tuple[Mapping[str, Response], Mapping[str, Schedule]]:
        """What this daemon starts by itself: nothing, where it only watches."""
        inventory = self.inventory
        return (inventory.responses, inventory.schedules) if self.options.shard.recovers else ({}, {})

    def _make_watch(self, state: Path, notices: HttpClient) -> Watch:
        watched = self.files.watched
        notifier = Notifier(channels(watched, notices), self.clock, hold_s(watched.polling))
        probes = make_probes(watched, self.credentials, self.clock)
        return Watch(watched, targets(watched), probes, state, self.clock, notifier)

    def _desk(self) -> Desk:
        return Desk(
            version=VERSION,
            inventory=self.files.watched,
            shard=self.options.shard,
            watch=self.watch,
            orchestrator=self.orchestrator,
            joints=self.joints,
            responding=self.responding,
            credentials=self.credentials,
            scheduler=self.scheduler,
            clock=self.clock,
            metrics=self._press.page,
            problems=self.problems,
            faults=self.faults,
            reload=self.reload,
            not_ready=self.not_ready,
            reporting=self.reporting,
            drifting=self.drifting,
            past=self.past,
            readying=self.readying,
            tracker=self.tracker,
            refusals=lambda: self.responding.trigger.refusals,
        )

    # -- a changed inventory -----------------------------------------------------------------------------------------

    async def reload(self, by: str) -> Reloaded:
        """Read the files anew and go on by them, or as before when anything is wrong with them.

        Raises InventoryError with every mistake, CredentialError, RunRefused when a run under way forbids it,
        StateError. Nothing has changed then, and an alarm stands until the files are read well.
        """
        async with self._reloading:
            supervisor = of_this_process()
            supervisor.tell("RELOADING=1", f"MONOTONIC_USEC={int(self.clock.monotonic() * 1e6)}")
            try:
                done = await self._reload()
            except KaraulaError as error:
                self.refused = Refused(self.clock.now(), in_short(error))
                log.error("the configuration that %s asked to reload is refused: %s", by, error)  # noqa: TRY400 - foreseen, told in full
                raise
            else:
                self.refused = None
                await self.last_good.keep(self.files, self.loaded_at)
                log.warning("the configuration was reloaded for %s: %s", by, done.changes)
                return done
            finally:
                self._hold_alarms()
                supervisor.tell("READY=1", f"STATUS={self.refused.reason if self.refused else 'watching'}")

    def _hold_alarms(self) -> None:
        self.watch.hold(*REFUSED_ALARM, self.refused.reason if self.refused else None)
        stuck = unusable(self.files)
        self.watch.hold(*UNUSABLE_ALARM, "; ".join(stuck) or None)
        for sentence in stuck:
            log.error("%s", sentence)

    async def _reload(self) -> Reloaded:
        before = self.files
        files, changes, stale = await asyncio.to_thread(self._read_and_compare, before)
        async with self.orchestrator.no_requests(WAIT_FOR_REQUEST_S):
            runs = self.orchestrator.runs()
            against(runs, files.inventory)
            notes = told(runs, before, files)
            if changes:
                await self._apply(files, stale)
        self.loaded_at = self.clock.now()
        return Reloaded(self.loaded_at, changes, notes)

    def _read_and_compare(self, before: Files) -> tuple[Files, Changes, frozenset[str]]:
        """Return the files, what differs, and the probes to be made anew; slow for a large estate: not on the loop."""
        files = read_files(self.options, self.credentials)
        return files, differences(before, files), stale_probes(before, files)

    async def _apply(self, files: Files, stale: frozenset[str]) -> None:
        """Go on by ``files``, all parts in one step of the event loop: nobody meets a half. Raises KaraulaError."""
        inventory = files.inventory
        fresh = make_probes(files.watched, self.credentials, self.clock, stale)
        made: Made | None = None
        try:
            made = self.clients.make(files)
            same_channels = made.notices is self.notices and tells_alike(self.inventory, inventory)
            told_by = None if same_channels else channels(inventory, made.notices)
            self.watch.reload(files.watched, targets(files.watched), {**self.watch.probes, **fresh}, told_by)
        except BaseException:
            if made is not None:
                self.clients.drop(made)
            for probe in fresh.values():
                await probe.close()
            raise
        # From here on nothing can fail: every part is handed what was read and made.
        self.clients.take(made)
        self.notices, self.files = made.notices, files
        self.orchestrator.reload(made.world, self._rules(files))
        self.keeper.reload(made.world)
        responses, schedules = self._by_itself
        self.responding.reload(inventory, responses)
        self.scheduler.reload(schedules, inventory.estate.timezone)
        self.front.change(self._desk())

    # -- what the parts ask of one another ---------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """Return what is wrong with the daemon itself or with what it was told, one sentence each."""
        refused = [self.refused.sentence(self.loaded_at, self.inventory.estate.timezone)] if self.refused else []
        mine = [*self.tenure.problems(), *self.orchestrator.problems(), *self.keeper.problems(), *self.ticks.problems()]
        found = [*mine, *self.morning.problems(), *self.watch.problems(), *refused]
        return [*found, *self.last_good.problems(), *unusable(self.files)]

    def faults(self) -> list[str]:
        """Return what the daemon itself cannot do, one sentence each; no other server's illness is among them.

        Nor is a refused configuration: whoever restarted the daemon for that would lose the good one.
        """
        return [*self.tenure.problems(), *self.orchestrator.problems(), *self.watch.faults(), *self.ticks.problems()]

    def not_ready(self) -> list[str]:
        """Return why the picture is not complete, or is not kept up to date any more."""
        return [*self.watch.not_ready(), *self.watch.pulse.problems()]

    def _picture(self) -> Callable[[], tuple[Family, ...]]:
        view, recovery = self.watch.view(), tuple(self._recovery_families())
        read = configuration.families(
            self.loaded_at, self.inventory.sha256, self.options.shard, refused=self.refused is not None
        )
        return lambda: (*families(view), *recovery, *read)

    def _start_press(self) -> None:
        self._press = Press(self._picture, self.clock, lambda: self.watch.pulse.next_beat(EVALUATION))
        running = asyncio.create_task(self._press.run(), name="press")
        self._undo.callback(running.cancel)

    def _recovery_families(self) -> Iterator[Family]:
        if not self.options.shard.recovers:
            return iter(())  # another daemon's to say
        parts = (self.orchestrator, self.scheduler, self.keeper, self.past, self.tracker, self.readying, self.reporting)
        return recovery_families(*parts)

    # -- time --------------------------------------------------------------------------------------------------------

    def _start_ticks(self) -> None:
        teller = RunTeller(self.watch, self.orchestrator, self.clock)
        for part, name, tick, every_s in (
            ("tick/journal", "journal's health", self._watch_journal, JOURNAL_TICK_S),
            ("tick/responses", "alarms' responses", self.responding.tick, TRIGGER_TICK_S),
            ("tick/telling", "runs' messages", teller.tick, JOURNAL_TICK_S),
            ("tick/calendar", "calendar", self.scheduler.tick, CALENDAR_TICK_S),
            ("tick/morning", "morning's message", lambda: self.morning.tick(self.inventory), CALENDAR_TICK_S),
            ("tick/evidence", "record's signed head", self._keep_evidence, EVIDENCE_TICK_S),
            *([("tick/markers", "markers", self.markers.tick, MARKERS_TICK_S)] if self.options.shard.recovers else ()),
            ("tick/findings", "list of findings", self.tracker.tick, EVIDENCE_TICK_S),
            ("tick/drift", "comparing of what runs have set", self.drifting.tick, EVIDENCE_TICK_S),
            ("tick/retired", "old connections", self._close_retired, RETIRED_TICK_S),
        ):
            self.ticks.add(part, name, tick, every_s)
        self.ticks.start()
        self._undo.callback(self.ticks.stop)

    async def _watch_journal(self) -> None:
        """Let an alarm stand for as long as the journal of runs cannot be written."""
        await self.orchestrator.recheck()
        self.watch.hold(*JOURNAL_ALARM, self.orchestrator.journal_error or None)

    async def _keep_evidence(self) -> None:
        """Sign and send away the journal's head; an alarm stands while a place does not have it."""
        await self.keeper.tick()
        told = self.keeper.to_tell(isolated=bool(self.watch.isolated))
        self.watch.hold(*ANCHOR_ALARM, "; ".join(told) or None)

    async def _close_retired(self) -> None:
        """Let go of the clients that a reload has replaced, once no run can be using them."""
        if not any(run.state in ACTIVE for run in self.orchestrator.runs()):
            await self.clients.close_retired()
