"""The shipped playbooks without an estate: steps take a given time and change nothing; all else is the real thing.

Engine, guards, performer and journal are the product's own, and the journal's disk is a real one. Only what an action
does in the world, and what a look at the world finds, is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from deploy.environment import ROOT
from dr.action import Action, Context, Done, Holds, Output, Seen
from dr.actions import ACTIONS
from dr.engine.commands import approve
from dr.engine.orchestrator import Orchestrator, Request, Rules
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.journal.run import Run, RunState
from dr.journal.sqlite import SqliteJournal
from dr.loss import Loss
from dr.playbook.read import read_playbooks
from dr.world import World
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.read import read

Took = Callable[[str], float]
# What actions yield that others are held against; every other output is a word.
YIELDS: Mapping[str, Output] = {
    "proof": "PROVEN", "lost": 0, "lost_known": "exact", "rpa_s": 0.0, "records": 48_211, "position": 48_211,
    "bytes": 1_500_000_000, "restored_bytes": 1_900_000_000, "free_bytes": 90_000_000_000, "taken_at": 1_790_000_000.0,
    "age_s": 3600.0, "took_s": 2.5, "required_level": "L4", "sha256": "0123456789abcdef" * 4, "copies": 2,
    "append_only": True,
}  # fmt: skip


class StandIn:
    """Declares what the real action declares; takes ``took(step)`` seconds, says a few lines, and is believed."""

    def __init__(self, real: Action, took: Took) -> None:
        """Stand in for ``real``."""
        self.name, self.summary, self.outputs = real.name, real.summary, real.outputs
        self.reads_only, self.undoable, self.probe_limit_s = real.reads_only, real.undoable, real.probe_limit_s
        self.Args = real.Args
        self.effects = real.effects
        self._took = took

    async def run(self, args: Any, context: Context) -> Done:
        """Wait, and yield what the action yields."""
        context.say(f"{self.name} of {args.system} at {args.site}")
        if (seconds := self._took(context.step)) > 0:
            await context.world.clock.sleep(seconds)
        context.say("done")
        named = {"backup": f"of-{context.run_id}", "scratch": f"verify-{context.run_id}"}
        return Done({name: YIELDS.get(name, named.get(name, "a word")) for name in self.outputs})

    async def probe(self, args: Any, context: Context) -> Seen:
        """See the effect hold."""
        del context
        return Seen(Holds.YES, f"the effect of {self.name} holds for {args.system} at {args.site}")

    async def undo(self, args: Any, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Do nothing."""
        del args, context, outputs
        return Done()


@contextlib.asynccontextmanager
async def engine(journal: Path, took: Took) -> AsyncIterator[Orchestrator]:
    """Run the recovery half on the shipped inventory and playbooks, with stand-ins for its actions."""
    inventory = read(ROOT / "inventory.yaml")
    inventory = inventory.model_copy(update={"safety": {}, "windows": {}})  # nobody observes; any hour will do
    none: Any = None
    world = World(
        inventory, Credentials(None), RealClock(), none, {}, none, none, lambda _system: None,
        expected_loss=lambda *_: Loss(0.0, 0, "nothing is behind"),
    )  # fmt: skip
    actions: Any = {name: StandIn(action, took) for name, action in ACTIONS.items()}
    rules = Rules(read_playbooks(ROOT / "playbooks"), actions, RUN_GUARDS, STEP_GUARDS, inventory.sha256)
    orchestrator = Orchestrator(SqliteJournal(journal), world, rules, epoch_seen=lambda _system: 0)
    try:
        await orchestrator.start()
        yield orchestrator
    finally:
        await orchestrator.stop()


async def ask(orchestrator: Orchestrator, playbook: str, system: str) -> Run:
    """Ask for a run, and have it approved where it needs that; return it as it begins."""
    run = await orchestrator.submit(Request(playbook, system, "ana", "a measurement"))
    if run.state is RunState.WAITING:
        run = await orchestrator.command(run.id, lambda run, now: approve(run, "bojan", "", "", now))
    return run


async def whole(orchestrator: Orchestrator, playbook: str, system: str) -> Run:
    """Carry out a whole run. Anything but success ends the bench."""
    over = asyncio.Event()
    leave = orchestrator.subscribe(lambda run, _events: over.set() if run.state.final else None)
    try:
        run = await ask(orchestrator, playbook, system)
        await over.wait()
    finally:
        leave()
    run = orchestrator.run(run.id)
    assert run.state is RunState.SUCCEEDED, f"{run.id} ended {run.state}: {run.end_reason or run.pause_reason}"
    return run
