"""A World on a running lab, single actions in it, and whole runs through the real orchestrator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from estate_kit import REPOSITORY, RunningLab

from dr.action import Context, Done, Seen
from dr.actions import ACTIONS
from dr.backups.catalog import Backup, newest
from dr.engine.commands import approve
from dr.engine.orchestrator import Orchestrator, Request, Rules
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.journal.run import Run, RunState
from dr.journal.sqlite import SqliteJournal
from dr.playbook.read import read_playbooks
from dr.world import World
from monitor.clients.http import HttpClient
from monitor.clients.redfish import RedfishClient
from monitor.clients.ssh import SshPool
from monitor.clients.vsphere import VcenterSession
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.read import read


@asynccontextmanager
async def world_of(
    lab: RunningLab, newest_backup: Callable[[str], Backup | None] = lambda _system: None
) -> AsyncIterator[World]:
    # nobody watches here, so rules over what was observed could never hold
    inventory = read(lab.inventory).model_copy(update={"safety": {}})
    clock, credentials = RealClock(), Credentials(lab.credentials)
    ca_file = credentials.path(inventory.trust.tls_ca)
    http = HttpClient(ca_file, clock=clock)
    ssh = SshPool(credentials, credentials.path(inventory.trust.known_hosts), clock)
    vcenters = {
        key: VcenterSession(
            one.address,
            one.port,
            one.user,
            credentials.secret(one.credential),
            ca_file,
            deadline_s=5,
            clock=clock,
        )
        for key, one in inventory.vcenters.items()
    }
    try:
        yield World(inventory, credentials, clock, ssh, vcenters, http, RedfishClient(http), newest_backup)
    finally:
        await ssh.close()
        await http.close()
        for vcenter in vcenters.values():
            await vcenter.close()


@dataclass
class Desk:
    """Runs and probes single actions for one system."""

    world: World
    system: str = "ncts"
    run_id: str = "ncts-test-20261124-000000"
    token: int = 7
    said: list[str] = field(default_factory=list)

    def context(self, timeout_s: float, attempt: int) -> Context:
        return Context(self.run_id, "step", attempt, "key", self.token, timeout_s, self.world, self.said.append)

    async def run(self, action: str, site: str, *, timeout_s: float = 60, attempt: int = 1, **args: Any) -> Done:
        one = ACTIONS[action]
        model = one.Args.model_validate({"system": self.system, "site": site, **args})
        done = await one.run(model, self.context(timeout_s, attempt))
        assert set(done.outputs) == set(one.outputs)
        return done

    async def probe(self, action: str, site: str, **args: Any) -> Seen:
        one = ACTIONS[action]
        seen = await one.probe(
            one.Args.model_validate({"system": self.system, "site": site, **args}), self.context(5, 1)
        )
        assert not seen.outputs or set(seen.outputs) == set(one.outputs)
        return seen

    async def undo(self, action: str, site: str, done: Done, **args: Any) -> None:
        one = ACTIONS[action]
        await one.undo(
            one.Args.model_validate({"system": self.system, "site": site, **args}), self.context(60, 1), done.outputs
        )


@asynccontextmanager
async def orchestrator_of(lab: RunningLab, folder: Path, epoch_seen: int = 1) -> AsyncIterator[Orchestrator]:
    async with world_of(lab, lambda system: newest(orchestrator.runs(), system)) as world:
        orchestrator = Orchestrator(
            SqliteJournal(folder / "journal.db"),
            world,
            Rules(read_playbooks(REPOSITORY / "playbooks"), ACTIONS, RUN_GUARDS, STEP_GUARDS, "hash"),
            epoch_seen=lambda _system: epoch_seen,
        )
        await orchestrator.start()
        try:
            yield orchestrator
        finally:
            await orchestrator.stop()


async def carried_out(
    orchestrator: Orchestrator, playbook: str, system: str = "ncts", within_s: float = 300, **lost_at: float
) -> Run:
    """Ask for a run, approve it where it waits, and return it when it has ended or stopped for a person.

    ``lost_at``: service_lost_at and alarm_at, as an alarm would give them.
    """
    run = await orchestrator.submit(Request(playbook, system, "asker", "a test", "person", "", **lost_at))
    if run.plan.attended:
        await orchestrator.command(run.id, lambda one, now: approve(one, "approver", "go", run.plan_hash, now))
    stopped = asyncio.Event()

    def listen(_changed: Run | None = None, _events: object = ()) -> None:
        now = orchestrator.run(run.id)
        if now.state.final or now.state is RunState.PAUSED:
            stopped.set()

    orchestrator.subscribe(listen)
    listen()
    async with asyncio.timeout(within_s):
        await stopped.wait()
    return orchestrator.run(run.id)
