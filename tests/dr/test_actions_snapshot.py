"""The cookbook's patch with a snapshot before it, as whole runs: what is left of the snapshot, whatever people say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from orchestrator_kit import ROOT
from sim_kit import Sim, State

from dr.actions import ACTIONS
from dr.engine.commands import answer
from dr.engine.orchestrator import Orchestrator, Request, Rules
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.journal.run import Run, RunState, StepState
from dr.journal.sqlite import SqliteJournal
from dr.playbook.read import read_playbooks
from monitor.clients import dns
from monitor.inventory.read import read

pytestmark = pytest.mark.anyio
ESTATE = read(ROOT / "inventory.yaml")
RECIPE = "patched-standby"
PATIENCE_S = 60.0


@asynccontextmanager
async def staged(folder: Path, sim: Sim) -> AsyncIterator[Orchestrator]:
    page = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
    text = page.partition(f"`{RECIPE}.yaml`")[2].partition("```yaml\n")[2].partition("```")[0]
    (folder / f"{RECIPE}.yaml").write_text(text, encoding="utf-8")
    asked = dns.query_a, dns.replace_a
    rules = Rules(read_playbooks(folder), ACTIONS, RUN_GUARDS, STEP_GUARDS, ESTATE.sha256)
    world = sim.world(lambda _system: None, lambda _system: ())
    orchestrator = Orchestrator(SqliteJournal(folder / "journal.db"), world, rules, epoch_seen=lambda _system: 1)
    await orchestrator.start()
    try:
        yield orchestrator
    finally:
        await orchestrator.stop()
        dns.query_a, dns.replace_a = asked


async def until(orchestrator: Orchestrator, run_id: str, so: Callable[[Run], bool]) -> Run:
    come = asyncio.Event()

    def listen(_changed: Run | None = None, _events: object = ()) -> None:
        if so(orchestrator.run(run_id)):
            come.set()

    orchestrator.subscribe(listen)
    listen()
    async with asyncio.timeout(PATIENCE_S):
        await come.wait()
    return orchestrator.run(run_id)


def older(state: State) -> None:
    state["machines"]["vc-dr"]["ncts-db-1"]["snapshots"].append("older")


@pytest.mark.parametrize(
    ("said", "status", "state", "step"),
    [
        ("no", 0, RunState.FAILED, StepState.UNDONE),
        ("yes", 1, RunState.FAILED, StepState.SUCCEEDED),
        ("yes", 0, RunState.SUCCEEDED, StepState.SUCCEEDED),
    ],
)
async def test_the_snapshot_goes_with_a_no_and_stays_for_a_patch(
    said: str, status: int, state: RunState, step: StepState, tmp_path: Path
) -> None:
    sim = Sim(tmp_path / "truth.json", ESTATE)
    sim.arrange(older)
    sim.statuses["patchctl"] = status
    sim.lost = {"snapshot"}
    async with staged(tmp_path, sim) as orchestrator:
        run = await orchestrator.submit(Request(RECIPE, "ncts", "ana", "a patch"))
        asking = await until(
            orchestrator, run.id, lambda one: one.steps["release"].state is StepState.IN_PROGRESS or one.state.final
        )
        ours = str(asking.steps["before"].outputs["snapshot"])
        kept = sim.state["machines"]["vc-dr"]
        assert kept["ncts-db-1"]["snapshots"] == ["older", ours]
        assert not any(one["snapshots"] for name, one in kept.items() if name != "ncts-db-1")
        await orchestrator.command(run.id, lambda one, now: answer(one, "release", "boris", said, "", now))
        ended = await until(orchestrator, run.id, lambda one: one.state.final)
    assert (ended.state, ended.steps["before"].state) == (state, step), ended.end_reason
    assert kept["ncts-db-1"]["snapshots"] == (["older"] if step is StepState.UNDONE else ["older", ours])
    assert not sim.lost, "no answer got lost"
