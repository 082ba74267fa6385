"""A daemon's recovery half over the simulated estate, from its start until its run is over or waits for a person.

Playbooks, actions, guards, engine, journal and lease are the shipped ones. Only waits between two attempts are cut
to nothing: they prove nothing here, and a test pays for each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim_kit import NAP_S, Sim, State

from dr.actions import ACTIONS
from dr.backups.catalog import catalog, newest
from dr.engine import joint_course
from dr.engine.commands import approve
from dr.engine.joint import JointRuns
from dr.engine.orchestrator import Orchestrator, Request, Rules
from dr.errors import RunRefused
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.journal.run import Run, RunState
from dr.journal.sqlite import SqliteJournal
from dr.lease import Tenancy
from dr.leases.local import LocalLease
from dr.playbook.parameters import Wish
from dr.playbook.read import PlaybookFile, read_playbooks
from monitor.errors import StateError
from monitor.inventory.read import read

ROOT = Path(__file__).resolve().parents[1]
SYSTEM = "ncts"
LEASE_S = 3600.0  # what a lease that ends does is looked at elsewhere
PATIENCE_S = 60.0


def _unhurried(files: dict[str, PlaybookFile]) -> dict[str, PlaybookFile]:
    for file in files.values():
        for step in (*file.playbook.steps, *file.playbook.finally_steps):
            step.__dict__["retry_wait_s"] = 0.0
    return files


ESTATE = read(ROOT / "inventory.yaml")
PLAYBOOKS = _unhurried(read_playbooks(ROOT / "playbooks"))


def _nothing(_state: State) -> None:
    return None


def _main_is_lost(state: State) -> None:
    """Cut main off; the recovery side has its database alone under power."""
    state["cut"] = ["main"]
    for name, machine in state["machines"]["vc-dr"].items():
        machine["on"] = "-db-" in name
    for key, database in state["databases"].items():
        if key.endswith("/main"):
            database["records"].append(f"{key}-never-arrived")


def _main_is_back(state: State) -> None:
    state["cut"] = []


@dataclass(frozen=True)
class Scenario:
    """What is asked for, of which systems, after what, and how the estate stands then."""

    name: str
    playbook: str
    systems: tuple[str, ...] = (SYSTEM,)
    after: str = ""
    arrange: Callable[[State], None] = _nothing
    forced: bool = False

    @property
    def joint(self) -> bool:
        return self.systems != (SYSTEM,)


SCENARIOS = {
    one.name: one
    for one in (
        Scenario("backup", "backup"),
        Scenario("verify", "verify", after="backup"),
        Scenario("drill", "drill"),
        Scenario("switchover", "switchover"),
        Scenario("failover", "failover", arrange=_main_is_lost),
        Scenario("failover --forced", "failover", arrange=_main_is_lost, forced=True),
        Scenario("reprotect", "reprotect", after="failover", arrange=_main_is_back),
        Scenario("failback", "failback", after="failover", arrange=_main_is_back),
        Scenario("failover all", "failover", systems=("all",), arrange=_main_is_lost),
    )
}


class Daemon:
    """One process's worth of a daemon; journal and lease are in ``folder``/state, the truth beside it."""

    def __init__(self, folder: Path, sim: Sim | None = None) -> None:
        """Raises StateError where the state cannot be used."""
        self.sim = sim or Sim(folder / "truth.json", ESTATE)
        state = folder / "state"
        state.mkdir(exist_ok=True)
        self.lease = LocalLease(state, LEASE_S, time.monotonic)
        try:
            epoch = self.lease.acquire().epoch
            self.journal = SqliteJournal(state / "journal.sqlite")
        except StateError:
            self.lease.release()
            raise
        world = self.sim.world(
            lambda system: newest(self.orchestrator.runs(), system),
            lambda system: catalog(self.orchestrator.runs(), system),
        )
        rules = Rules(PLAYBOOKS, ACTIONS, RUN_GUARDS, STEP_GUARDS, ESTATE.sha256)
        self.orchestrator = Orchestrator(self.journal, world, rules, epoch_seen=self.epoch_seen)
        self.orchestrator.tenancy = lambda: Tenancy(held=True, epoch=epoch)
        self.joints = JointRuns(self.orchestrator)

    def epoch_seen(self, system: str) -> int:
        return max(one["epoch"] for key, one in self.sim.state["databases"].items() if key.startswith(f"{system}/"))

    async def start(self) -> None:
        await self.orchestrator.start()
        await self.joints.start()

    async def stop(self) -> None:
        await self.joints.stop()
        await self.orchestrator.stop()
        self.lease.release()

    # -- people --------------------------------------------------------------------------------------------------------

    def runs(self, scenario: Scenario) -> Sequence[Run]:
        return [run for run in self.orchestrator.runs() if run.plan.playbook == scenario.playbook]

    async def ask(self, scenario: Scenario) -> None:
        """Ask for the scenario's run unless there is one. Raises StateError."""
        wish = Wish(forced=scenario.forced)
        if scenario.joint and not self.joints.joints():
            await self.joints.submit(scenario.playbook, scenario.systems, "ana", "a test", wish)
        elif not scenario.joint and not self.runs(scenario):
            await self.orchestrator.submit(Request(scenario.playbook, SYSTEM, "ana", "a test", wish=wish))

    async def approve(self, scenario: Scenario) -> None:
        """Approve what waits for it. Raises RunRefused."""
        if scenario.joint:
            joint = self.joints.joints()[0]
            if joint.state == "WAITING":
                await self.joints.command(
                    joint.id, lambda one, _runs, now: joint_course.approve(one, "boris", "", "", now)
                )
            return
        run = self.runs(scenario)[0]
        if run.state is RunState.WAITING:
            await self.orchestrator.command(run.id, lambda one, now: approve(one, "boris", "", "", now))

    def standing(self, scenario: Scenario) -> tuple[str, str]:
        """Return the state of what was asked for, and why only a person can move it (empty: it moves, or is over)."""
        if scenario.joint:
            joint = self.joints.joints()[0]
            why = "" if joint.final else joint_course.stands_still(joint, self.joints.runs(joint))
            return joint.state, why or joint.end_reason
        run = self.runs(scenario)[0]
        busy = any(record.state.value == "IN_PROGRESS" for record in run.steps.values())
        return run.state.value, "" if busy else run.pause_reason or run.end_reason

    async def until_it_stands(self, scenario: Scenario) -> dict[str, Any]:
        """See to it that it is approved, wait until it is over or waits for a person otherwise, and say which."""
        give_up = time.monotonic() + PATIENCE_S
        refused = ""
        while time.monotonic() < give_up:
            state, why = self.standing(scenario)
            if state == "WAITING":
                try:
                    await self.approve(scenario)
                except RunRefused as error:
                    refused = str(error)
            elif why or state in {"SUCCEEDED", "SUCCEEDED_WITH_WARNINGS", "FAILED", "CANCELED"}:
                refused = refused or (why if state == "CANCELED" else "")
                return {"state": state, "why": why, "refused": refused, "problems": self.orchestrator.problems()}
            await asyncio.sleep(0.002)
        return {"state": f"{state} for ever", "why": why, "problems": self.orchestrator.problems()}


async def live(
    folder: Path,
    scenario: Scenario,
    prepare: Callable[[Daemon], None] = lambda _daemon: None,
    while_waiting: Callable[[Daemon], None] | None = None,
) -> dict[str, Any]:
    """Be a daemon: start, see to it that the scenario's run is asked for and approved, and wait for its end."""
    daemon = Daemon(folder)
    prepare(daemon)
    await daemon.start()
    try:
        await daemon.ask(scenario)
        if while_waiting is not None:
            while_waiting(daemon)
            await asyncio.sleep(2 * NAP_S)
        return await daemon.until_it_stands(scenario)
    finally:
        await daemon.stop()
