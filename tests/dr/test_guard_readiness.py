"""The guard of readiness: red refuses a drill and lets an automatic failover wait; nobody's decision is held up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from engine_kit import plan, step
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_kit import TEXTS, Act, acts, house

from dr.action import Context, Done, StepArgs
from dr.errors import RunRefused
from dr.guard import Facts, Ruling, Verdict
from dr.guards.readiness import readiness
from dr.journal.event import RunAccepted
from dr.journal.fold import begin
from dr.journal.override import Override
from dr.journal.run import Run, RunState
from dr.readiness.lights import NEEDED_ALONE, STOOD_ON, Check, Light, Readiness

NAMES = ("replica", "machines", "access", "fence", "capacity", "playbook-failover", "drill", "backups")
KINDS = ("drill", "failover", "switchover", "failback", "reprotect", "backup", "verify")
NOTHING = Facts((), (), {})


DRILL = """
kind: drill
summary: Look at the other side
steps:
  - { id: before, action: production_state, site: to, timeout_s: 60 }
  - { id: looks, action: look, site: to, timeout_s: 60, needs: [before] }
finally:
  - { id: after, action: production_unchanged, site: to, timeout_s: 60, args: { expect: "${steps.before.digest}" } }
"""


class ExpectArgs(StepArgs):
    """What production must be."""

    expect: str = ""


async def written_down(context: Context) -> Done:
    return Done({"digest": "as it was"})


def ready(**lights: Light) -> Readiness:
    checks = tuple(Check(name, lights.get(name, Light.GREEN), f"what is so of {name}") for name in NAMES)
    return Readiness("ncts", "dr", 100.0, checks)


def run_of(kind: str = "drill", origin: str = "person", *, automatic: bool = False, approved: str = "") -> Run:
    accepted = RunAccepted(100.0, plan(step("look"), kind=kind).to_json(), "ana", "", origin, "", 0.0, 0.0)
    return replace(begin("one", accepted), automatic=automatic, approved_by=approved)


def asked(run: Run, found: Readiness | None, **facts: object) -> Verdict:
    verdict = readiness(run, replace(NOTHING, readiness=found, **facts), None, 100.0)  # type: ignore[arg-type]  # fields of it
    assert verdict.guard == "readiness"
    assert verdict.sentence
    return verdict


@given(
    lights=st.fixed_dictionaries({name: st.sampled_from(Light) for name in NAMES}),
    kind=st.sampled_from(KINDS),
    origin=st.sampled_from(["person", "schedule", "alarm"]),
    automatic=st.booleans(),
    approved=st.sampled_from(["", "boris"]),
)
def test_what_is_held_up_and_what_never_is(
    lights: dict[str, Light], kind: str, origin: str, *, automatic: bool, approved: str
) -> None:
    found = ready(**lights)
    red = {name for name, light in lights.items() if light is Light.RED}
    ruling = asked(run_of(kind, origin, automatic=automatic, approved=approved), found).ruling
    if kind == "drill":
        assert (ruling is Ruling.REFUSE) == bool(red & STOOD_ON)
    else:
        assert ruling is not Ruling.REFUSE
    moves = kind in {"failover", "switchover", "failback", "reprotect"}
    alone = moves and automatic and not approved
    unknown = {name for name, light in lights.items() if light is Light.UNKNOWN}
    assert (ruling is Ruling.WAIT) == (alone and bool((red | unknown) & NEEDED_ALONE))


def test_a_refusal_says_what_is_red_and_the_way_out() -> None:
    verdict = asked(run_of(), ready(capacity=Light.RED, drill=Light.RED))
    assert verdict.reason == "red"
    assert "not ready at dr: capacity red (what is so of capacity)" in verdict.sentence
    assert "what is so of drill" not in verdict.sentence, "an overdue drill is no reason to hold none"
    assert "'karaula override readiness ncts --for 1h --reason …'" in verdict.sentence


def test_whoever_goes_on_is_told() -> None:
    verdict = asked(run_of("failover"), ready(access=Light.RED, replica=Light.UNKNOWN, drill=Light.AMBER))
    assert (verdict.ruling, verdict.reason) == (Ruling.ALLOW, "red-told")
    assert (
        "access red (what is so of access); replica unknown (what is so of replica); amber: drill. " in verdict.sentence
    )
    assert "holds up no failover that a person decides" in verdict.sentence
    assert asked(run_of(), ready()).reason == "green"
    assert asked(run_of(), ready(replica=Light.UNKNOWN)).reason == "unknown-told"
    assert asked(run_of("backup"), ready(access=Light.RED)).reason == "not-asked"
    assert asked(run_of(), None).reason == "not-known"


def test_one_persons_override_lets_a_persons_drill_go_and_no_scheduled_one() -> None:
    made = Override("override/1", "ncts", "readiness", "ana", "the vendor is here today only", 50.0, 200.0)
    red = ready(machines=Light.RED)
    verdict = asked(run_of(), red, overrides=(made,))
    assert (verdict.ruling, verdict.reason) == (Ruling.ALLOW, "overridden")
    assert "the vendor is here today only" in verdict.sentence
    assert asked(run_of(origin="schedule"), red, overrides=(made,)).ruling is Ruling.REFUSE
    assert asked(run_of(), red, overrides=(replace(made, expires_at=99.0),)).ruling is Ruling.REFUSE


@pytest.mark.anyio
async def test_a_run_is_asked_by_what_is_so_when_it_is_asked_for(tmp_path: Path) -> None:
    before = Act("production_state", does=written_down, outputs=("digest",))
    after = Act("production_unchanged", Args=ExpectArgs)
    acting = acts(production_state=before, production_unchanged=after)
    async with house(tmp_path, acting, {**TEXTS, "drill": DRILL}) as at:
        now = {"ncts": ready(access=Light.RED)}
        at.orchestrator.reload(replace(at.orchestrator.world, readiness=now.get), at.orchestrator.rules)
        with pytest.raises(RunRefused, match="a drill would stand on what is not ready"):
            await at.submit("drill")
        run = await at.submit("failover")
        assert run.state is RunState.WAITING
        assert [note.ruling for note in run.guards if note.guard == "readiness"] == ["allow"]
        assert (await at.until(await at.approve(run))).state is RunState.SUCCEEDED, "a person's failover is let through"
        now["ncts"] = ready()
        drill = await at.until(await at.submit("drill"))
        assert [note.reason for note in drill.guards if note.guard == "readiness"] == ["green"]
