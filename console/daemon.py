"""The sole wiring place: reads the files, makes every part, starts them in order, stops them in reverse.

A start that fails half way rolls back what it had begun and leaves one clear message. Nothing here decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import hashlib
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from console.api.app import make_app
from console.api.desk import Desk
from console.serving import Doors, loopback_only
from console.supervisor import of_this_process
from console.version import VERSION
from dr import metrics as dr_metrics
from dr.actions import ACTIONS
from dr.backups.catalog import newest
from dr.engine.orchestrator import Orchestrator, Request, Rules
from dr.evidence.report import Report
from dr.evidence.report import report as make_report
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.journal.sqlite import SqliteJournal
from dr.playbook.read import PlaybookFile, check, read_playbooks
from dr.schedule import DueRun, Scheduler
from dr.trigger import AlarmNote, Trigger
from dr.world import World
from monitor.channels import channels
from monitor.clients.http import HttpClient
from monitor.clients.redfish import RedfishClient
from monitor.clients.ssh import SshPool
from monitor.clients.vsphere import VcenterSession
from monitor.clock import Clock, RealClock
from monitor.credential import Credentials
from monitor.errors import InventoryError, StateError
from monitor.inventory.model import Inventory
from monitor.inventory.read import missing_credentials, read
from monitor.metrics.catalog import Family
from monitor.metrics.estate import families
from monitor.metrics.press import Page, Press
from monitor.notify import Notifier
from monitor.status.alarm import Alarm
from monitor.targets import make_probes, targets
from monitor.watch import Watch

log = logging.getLogger(__name__)
TRIGGER_TICK_S = 1
CALENDAR_TICK_S = 5
JOURNAL_TICK_S = 1
TICK_LATE_S = 15.0
JOURNAL_ALARM = ("journal-failing", "karaula/journal")
VCENTER_DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """Where the daemon finds and keeps things, and where it listens."""

    inventory: Path
    playbooks: Path
    state: Path
    credentials: Path | None
    host: str = "127.0.0.1"
    port: int = 8470
    socket: Path | None = None


def read_files(options: Options) -> tuple[Inventory, dict[str, PlaybookFile], Credentials]:
    """Read and check everything that a person wrote. Raises InventoryError with every mistake of all files."""
    inventory = read(options.inventory)
    playbooks = read_playbooks(options.playbooks)
    credentials = Credentials(options.credentials)
    problems = [*check(playbooks, inventory, ACTIONS), *missing_credentials(inventory, credentials)]
    if problems:
        raise InventoryError(sorted(problems))
    return inventory, playbooks, credentials


class Daemon:
    """All parts of a running Karaula."""

    def __init__(self, options: Options, clock: Clock | None = None) -> None:
        """Read the files; nothing is started yet. Raises InventoryError and StateError."""
        self.options = options
        self.clock: Clock = clock or RealClock()
        self.inventory, self.playbooks, self.credentials = read_files(options)
        self.doors = Doors(options.socket or options.state / "karaula.sock", loopback_only(options.host), options.port)
        self._undo = contextlib.AsyncExitStack()
        self._ticks: dict[str, str] = {}

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
        self.watch = self._make_watch(state)
        self._undo.push_async_callback(self.watch.stop)
        world = self._make_world()
        self.orchestrator = Orchestrator(journal, world, self._rules(), epoch_seen=self._epoch_seen)
        self._undo.push_async_callback(self.orchestrator.stop)
        journal_guard.pop_all()  # the orchestrator closes it now
        await self.watch.start()
        await self.orchestrator.start()
        self.trigger = Trigger(self.inventory.responses, self.orchestrator, self.clock.now)
        for alarm in self.watch.alarms(active_only=True):
            self.trigger.raised(self._note(alarm))
        self.watch.subscribe(self._alarm_changed)
        self.scheduler = Scheduler(
            journal,
            self.orchestrator.in_thread,
            self.inventory.schedules,
            self.inventory.estate.timezone,
            self.clock,
            self._start_due,
            self._started_by,
        )
        await self.scheduler.recover()
        self._start_ticks()
        self._start_press()
        await self.doors.open(make_app(self._desk(), self.doors.host_headers))
        self._undo.push_async_callback(self.doors.close)  # first of all: nobody is to meet parts that have stopped

    # -- parts -------------------------------------------------------------------------------------------------------

    def _make_watch(self, state: Path) -> Watch:
        ca_file = self.credentials.path(self.inventory.trust.tls_ca)
        http = HttpClient(ca_file, clock=self.clock)
        self._undo.push_async_callback(http.close)
        notifier = Notifier(channels(self.inventory, http), self.clock)
        probes = make_probes(self.inventory, self.credentials, self.clock)
        return Watch(self.inventory, targets(self.inventory), probes, state, self.clock, notifier)

    def _make_world(self) -> World:
        """Make the recovery half's own clients: a probe that hangs must not hold up a failover."""
        trust = self.inventory.trust
        ca_file = self.credentials.path(trust.tls_ca)
        ssh = SshPool(self.credentials, self.credentials.path(trust.known_hosts), self.clock)
        self._undo.push_async_callback(ssh.close)
        http = HttpClient(ca_file, clock=self.clock)
        self._undo.push_async_callback(http.close)
        vcenters = {}
        for key, entry in self.inventory.vcenters.items():
            vcenters[key] = VcenterSession(
                entry.address,
                entry.port,
                entry.user,
                self.credentials.secret(entry.credential),
                ca_file,
                deadline_s=VCENTER_DEADLINE_S,
                clock=self.clock,
                datacenter=entry.datacenter,
            )
            self._undo.push_async_callback(vcenters[key].close)
        return World(
            inventory=self.inventory,
            credentials=self.credentials,
            clock=self.clock,
            ssh=ssh,
            vcenters=vcenters,
            http=http,
            redfish=RedfishClient(http),
            newest_backup=lambda system: newest(self.orchestrator.runs(), system),
        )

    def _rules(self) -> Rules:
        digest = hashlib.sha256(self.options.inventory.read_bytes()).hexdigest()
        return Rules(self.playbooks, ACTIONS, RUN_GUARDS, STEP_GUARDS, digest)

    def _desk(self) -> Desk:
        return Desk(
            version=VERSION,
            inventory=self.inventory,
            watch=self.watch,
            orchestrator=self.orchestrator,
            scheduler=self.scheduler,
            clock=self.clock,
            metrics=self._metrics,
            problems=self.problems,
            faults=self.faults,
            not_ready=self.not_ready,
            report=self.report,
        )

    # -- what the parts ask of one another ---------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """Return what is wrong with the daemon itself, one sentence each."""
        return [*self.orchestrator.problems(), *self.watch.problems(), *self._ticks.values()]

    def faults(self) -> list[str]:
        """Return what the daemon itself cannot do, one sentence each; no other server's illness is among them."""
        return [*self.orchestrator.problems(), *self.watch.faults(), *self._ticks.values()]

    def not_ready(self) -> list[str]:
        """Return why the picture is not complete, or is not kept up to date any more."""
        return [*self.watch.not_ready(), *self.watch.pulse.problems()]

    async def report(self, run_id: str) -> Report:
        """Return the run's report. Raises RunRefused for an unknown run."""
        run = self.orchestrator.run(run_id)
        outputs = {(item.step, item.attempt): item.text for item in await self.orchestrator.outputs(run.id)}
        return make_report(run, self.orchestrator.events(run.id), outputs, self.inventory, self.clock.now())

    async def _metrics(self, accept: str, accept_encoding: str) -> Page:
        return await self._press.page(accept, accept_encoding)

    def _picture(self) -> Callable[[], tuple[Family, ...]]:
        view, recovery = self.watch.view(), tuple(self._recovery_families())
        return lambda: (*families(view), *recovery)

    def _start_press(self) -> None:
        self._press = Press(self._picture, self.clock)
        running = asyncio.create_task(self._press.run(), name="press")
        self._undo.callback(running.cancel)

    def _recovery_families(self) -> Iterator[Family]:
        sites = {key: tuple(system.sites) for key, system in self.inventory.systems.items()}
        return dr_metrics.collect(self.orchestrator, sites, self.scheduler.upcoming)

    def _epoch_seen(self, system: str) -> int:
        """Return the highest fencing token that the system's databases were seen to hold."""
        subjects = [f"database/{system}/{site}" for site in self.inventory.systems[system].sites]
        seen = [self.watch.last_good(subject) for subject in subjects]
        seen += [self.watch.observation(subject) for subject in subjects]  # one that is stopped is not OK
        return max((int(each.values.get("epoch", 0)) for each in seen if each is not None), default=0)

    def _alarm_changed(self, alarm: Alarm) -> None:
        if alarm.cleared_at is None:
            self.trigger.raised(self._note(alarm))
        else:
            self.trigger.cleared(str(alarm.id))

    def _note(self, alarm: Alarm) -> AlarmNote:
        kind, _, key = alarm.subject.partition("/")
        lost_at = 0.0
        if kind == "system" and (seen_at := self.watch.evidence(key).service_ok_at) is not None:
            lost_at = seen_at
        return AlarmNote(str(alarm.id), alarm.name, alarm.subject, alarm.since, alarm.reason, lost_at)

    async def _start_due(self, due: DueRun) -> str:
        request = Request(
            playbook=due.schedule.playbook,
            system=due.schedule.system,
            requester="karaula",
            reason=f"scheduled: {due.job}",
            origin="schedule",
            origin_ref=due.ref,
        )
        return (await self.orchestrator.submit(request)).id

    def _started_by(self, ref: str) -> str | None:
        return next((run.id for run in self.orchestrator.runs() if run.origin_ref == ref), None)

    # -- time --------------------------------------------------------------------------------------------------------

    def _start_ticks(self) -> None:
        ticker = AsyncIOScheduler(timezone="UTC")
        for part, name, tick, every_s in (
            ("tick/journal", "journal's health", self._watch_journal, JOURNAL_TICK_S),
            ("tick/responses", "alarms' responses", self.trigger.tick, TRIGGER_TICK_S),
            ("tick/calendar", "calendar", self.scheduler.tick, CALENDAR_TICK_S),
        ):
            self.watch.pulse.expect(part, f"nobody has looked after the {name}", every_s + TICK_LATE_S)
            ticker.add_job(
                self._ticked,
                "interval",
                args=(part, name, tick),
                seconds=every_s,
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
            )
        ticker.start()
        self._undo.callback(ticker.shutdown, wait=False)

    async def _watch_journal(self) -> None:
        """Let an alarm stand for as long as the journal of runs cannot be written."""
        await self.orchestrator.recheck()
        self.watch.hold(*JOURNAL_ALARM, self.orchestrator.journal_error or None)

    async def _ticked(self, part: str, name: str, tick: Callable[[], Awaitable[None]]) -> None:
        """Tick; what goes wrong is shown until it goes right, and tried again at the next tick."""
        try:
            await tick()
        except StateError as error:
            self._ticks[name] = f"the {name} cannot be kept: {error}"
        except Exception as error:  # the border of a tick: a defect in one must not stop the others
            log.exception("the %s broke", name)
            self._ticks[name] = f"the {name} broke: {type(error).__name__}: {error}"
        else:
            self._ticks.pop(name, None)
        self.watch.pulse.beat(part)


async def run_until_signal(options: Options, started: Callable[[Daemon], None]) -> None:
    """Run a daemon until SIGTERM or SIGINT; ``started`` is called once it serves. Raises what ``Daemon`` raises."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    daemon = Daemon(options)
    await daemon.start()
    started(daemon)
    supervisor = of_this_process()
    supervisor.tell("READY=1")
    feeding = asyncio.create_task(supervisor.feed(daemon.watch.pulse.problems), name="supervisor")
    try:
        await stop.wait()
    finally:
        feeding.cancel()
        supervisor.tell("STOPPING=1")
        await daemon.stop()


def serve(options: Options, started: Callable[[Daemon], None]) -> None:
    """Run the daemon in this process until it is told to stop; a supervisor's SIGABRT leaves where every thread was."""
    faulthandler.enable()
    asyncio.run(run_until_signal(options, started))
