"""A dry run asks the world what a run would meet, and leaves it as it is: all shipped playbooks, simulated estate."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from orchestrator_kit import Act, House, blind, house, lost, refused
from sim_daemon_kit import ESTATE, PLAYBOOKS
from sim_kit import Sim, State

from dr.action import Context, Done, Holds, Reading, Seen, StepArgs
from dr.actions import ACTIONS
from dr.engine import ahead
from dr.engine.ahead import Met, look_ahead
from dr.engine.perform import Performer
from dr.errors import StepFailed
from dr.playbook.read import plans_of
from monitor.clients import dns

pytestmark = pytest.mark.anyio
TOKEN = 12
STEPS = """
kind: backup
summary: One of each
steps:
  - { id: first, action: look, site: from, timeout_s: 60 }
  - { id: beside, action: other, site: from, timeout_s: 60 }
  - { id: write, action: write, site: from, needs: [first], timeout_s: 60 }
  - { id: after, action: look, site: from, needs: [write], timeout_s: 60 }
  - { id: by, action: write, site: from, needs: [write], args: { note: "${steps.write.value}" }, timeout_s: 60 }
finally:
  - { id: last, action: write, site: from, timeout_s: 60 }
"""


@pytest.fixture
def estate(tmp_path: Path) -> Any:
    asked = dns.query_a, dns.replace_a
    yield Sim(tmp_path / "truth.json", ESTATE)
    dns.query_a, dns.replace_a = asked


async def met(sim: Sim, playbook: str) -> Mapping[str, Met]:
    """Return what the steps of NCTS' run would meet; nothing was ordered, and all is as it was."""
    world = sim.world(lambda _system: None, lambda _system: ())
    performer = Performer(ACTIONS, world, lambda *_: pytest.fail("a dry run tells nobody"))
    plan = next(plan for plan in plans_of(PLAYBOOKS[playbook], ESTATE, ACTIONS) if plan.system == "ncts")
    before, orders = deepcopy(sim.picture()), sim.orders()
    found = await look_ahead(performer, plan, TOKEN, sim.clock.now())
    assert (sim.picture(), sim.orders()) == (before, orders)
    assert [one.step for one in found] == [step.id for step in plan.steps]
    assert all(one.sentence for one in found)
    return {one.step: one.met for one in found}


def dark(state: State) -> None:
    state["cut"] = ["main"]


@pytest.mark.parametrize("playbook", sorted(PLAYBOOKS))
@pytest.mark.parametrize("lost_main", [False, True])
async def test_it_changes_nothing_whatever_is_planned(estate: Sim, playbook: str, lost_main: bool) -> None:
    if lost_main:
        estate.arrange(dark)
    assert await met(estate, playbook)


async def test_it_says_what_is_so_and_what_is_to_be_done(estate: Sim) -> None:
    found = await met(estate, "switchover")
    wanted = {"source": Met.AS_WANTED, "target": Met.AS_WANTED, "front-ready": Met.AS_WANTED, "catch-up": Met.AS_WANTED}
    wanted |= {"drain": Met.TO_DO, "fence-from": Met.TO_DO, "promote": Met.TO_DO, "names": Met.TO_DO}
    wanted |= {"old-power": Met.HOLDS, "old-machines": Met.HOLDS, "all-there": Met.NOT_ASKED, "service": Met.NOT_ASKED}
    assert {step: found[step] for step in wanted} == wanted


async def test_what_would_stop_it_is_in_the_way(estate: Sim) -> None:
    estate.arrange(dark)
    found = await met(estate, "switchover")
    assert (found["source"], found["target"]) == (Met.IN_THE_WAY, Met.AS_WANTED)
    assert found["drain"] is Met.NOT_KNOWN
    assert (await met(estate, "failback"))["source"] is Met.IN_THE_WAY


class Look(Reading):
    """Looks, as a test says."""

    name = "look"
    summary = "look"
    outputs = ("value",)
    Args = StepArgs

    def __init__(self, does: Any) -> None:
        self.does = does

    async def run(self, args: StepArgs, context: Context) -> Done:
        return await self.does(context)  # type: ignore[no-any-return]  # a test's


async def done(_context: Context) -> Done:
    return Done({"value": "hunter2"})


async def broken(_context: Context) -> Any:
    raise ZeroDivisionError("hunter2")


async def forever(context: Context) -> Any:
    await context.world.clock.sleep(1e9)


async def not_there(_context: Context) -> Seen:
    return Seen(Holds.NO, "it is not there")


async def seen(here: House, *steps: str) -> list[tuple[Met, str]]:
    plan = here.orchestrator.plan("one", "ncts")
    found = {
        one.step: one
        for one in await look_ahead(
            here.orchestrator.performer, plan, here.orchestrator.tokens.above("ncts"), here.clock.now()
        )
    }
    assert here.orchestrator.runs() == []
    return [(found[step].met, found[step].sentence) for step in steps]


@pytest.mark.parametrize(
    ("look", "probe", "first", "write"),
    [
        (done, not_there, (Met.AS_WANTED, "value=***"), (Met.TO_DO, "it is not there")),
        (refused, not_there, (Met.IN_THE_WAY, "no"), (Met.TO_DO, "it is not there")),
        (lost, blind, (Met.NOT_KNOWN, "no reply"), (Met.NOT_KNOWN, "it does not answer")),
        (
            broken,
            broken,
            (Met.NOT_KNOWN, 'broke: ZeroDivisionError: "***"'),
            (Met.NOT_KNOWN, 'ZeroDivisionError: "***"'),
        ),
        (forever, forever, (Met.NOT_KNOWN, "no answer within"), (Met.NOT_KNOWN, "no answer to the probe within")),
    ],
)
async def test_each_answer_has_its_word(
    look: Any, probe: Any, first: Any, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "LIMIT_S", 0.2)
    (tmp_path / "one").write_text("hunter2")
    other = Look(done)
    other.at_once = False  # type: ignore[misc]  # of this one
    writes = Act("write", ("backup", "written"), sees=probe)
    actions: Any = {"look": Look(look), "other": other, "write": writes}
    async with house(tmp_path, actions, {"one": STEPS}, credentials=tmp_path) as here:
        here.orchestrator.world.credentials.secret("one")
        said = await seen(here, "first", "write", "beside", "after", "by", "last")
    for (word, sentence), (wanted, part) in zip(said, (first, write), strict=False):
        assert (word, part in sentence) == (wanted, True), sentence
    assert "hunter2" not in str(said)
    assert {word for word, _ in said[2:]} == {Met.NOT_ASKED}
    assert [sentence for _, sentence in said[2:]] == [
        "it takes its time, or tells people, and so is left to the run",
        "it looks at what has come about by then: it comes after write",
        "it goes by what an earlier step yields: steps.write.value",
        "it comes at the end, whatever became of the others",
    ]
    assert writes.calls == ["probe"]


async def test_it_is_asked_under_the_token_that_would_be_drawn_and_draws_none(tmp_path: Path) -> None:
    tokens: list[int] = []

    async def told(context: Context) -> Seen:
        tokens.append(context.token)
        raise StepFailed("it is not so")

    actions: Any = {"look": Look(done), "other": Look(done), "write": Act("write", ("backup", "written"), sees=told)}
    async with house(tmp_path, actions, {"one": STEPS}, epochs=lambda _system: 41) as here:
        assert await seen(here, "write") == [(Met.NOT_KNOWN, "it is not so")]
        assert await seen(here, "write") == [(Met.NOT_KNOWN, "it is not so")]
    assert tokens == [42, 42]


def test_no_action_that_lasts_or_tells_is_done_in_a_dry_run() -> None:
    """Every one that only looks was thought about."""
    done_then = {name for name, action in ACTIONS.items() if getattr(action, "at_once", False)}
    left = {name for name, action in ACTIONS.items() if action.reads_only} - done_then
    assert left == {"ask", "notify", "backup_check", "copy_check", "restic_check", "pgbackrest_check", "restore_check"}
    assert all(ACTIONS[name].reads_only for name in done_then)
