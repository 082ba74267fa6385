"""VERIFIED: a proof of this very plan, young enough and of enough disturbances; else an alarm only prepares."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from engine_kit import plan, step
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_kit import ROOT, house

from console import proofs
from console.main import karaula
from console.version import VERSION
from dr.actions import ACTIONS
from dr.guard import Facts, Verdict
from dr.guards.verification import verification
from dr.journal.event import ApprovalAsked, Approved, RunAccepted
from dr.journal.fold import begin, fold
from dr.journal.run import Run, RunState
from dr.playbook.model import Plan, PlannedStep
from dr.playbook.plan import make_plan
from dr.playbook.read import plans_of, read_playbooks
from dr.playbook.subject import Subject
from dr.proof import Proof, fingerprint, missing
from monitor.errors import StateError
from monitor.inventory.read import read
from monitor.inventory.recovery import Proofs

PLAN = plan(step("look", args={"note": "x"}))
PROOF = Proof(fingerprint(PLAN), "failover", "ncts", 2, 1000.0, VERSION, 9)
WANTED = Proofs(max_age_s=600.0, faults=2)


def run_of(origin: str, *, approved: bool = False) -> Run:
    run = begin("one", RunAccepted(0.0, PLAN.to_json(), "ana", "", origin, "", 0.0, 0.0))
    if approved:
        run = fold(run, ApprovalAsked(0.0, 9e9, run.plan_hash))
        run = fold(run, Approved(1.0, "boris", "", run.plan_hash))
    return run


def ruled(verdict: Verdict) -> tuple[str, str]:
    assert verdict.sentence
    return verdict.ruling.value, verdict.reason


@pytest.mark.parametrize(
    ("proof", "now", "lacks"),
    [
        (PROOF, 1000.0, ""),
        (PROOF, 1600.0, ""),
        (PROOF, 900.0, ""),  # a clock set back makes no proof old
        (PROOF, 1601.0, "its proof is 10 min old, more than 10 min"),
        (replace(PROOF, faults=1), 1000.0, "up to 1 disturbances, 2 are demanded"),
        (None, 1000.0, "nobody has proven failover of ncts as it stands written now"),
    ],
)
def test_what_an_alarm_starts_is_verified_or_waits(proof: Proof | None, now: float, lacks: str) -> None:
    facts = Facts((), (), {}, proof=proof, unverified=missing(proof, PLAN, WANTED, now))
    verdict = verification(run_of("alarm"), facts, None, now)
    assert ruled(verdict) == (("wait", "not-verified") if lacks else ("allow", "verified"))
    assert lacks in verdict.sentence
    others = [verification(run_of(origin), facts, None, now) for origin in ("person", "schedule")]
    assert {ruled(each) for each in others} == {("allow", "not-verified-told" if lacks else "verified")}
    decided = verification(run_of("alarm", approved=True), facts, None, now)
    assert decided.ruling.value == "allow"


CHANGES: list[Callable[[PlannedStep], PlannedStep]] = [
    lambda step: replace(step, args={**step.args, "note": "y"}),
    lambda step: replace(step, site="main"),
    lambda step: replace(step, timeout_s=6.0),
    lambda step: replace(step, retries=1),
    lambda step: replace(step, effects=(("a", "b", "c"),)),
    lambda step: replace(step, on_failure="continue"),
    lambda step: replace(step, action="peek"),
]


@given(st.sampled_from(CHANGES))
def test_whatever_is_changed_is_another_plan(change: Callable[[PlannedStep], PlannedStep]) -> None:
    other = replace(PLAN, steps=tuple(change(each) for each in PLAN.steps))
    assert fingerprint(other) != PROOF.fingerprint
    assert fingerprint(replace(PLAN, system="ite")) != PROOF.fingerprint
    assert fingerprint(replace(PLAN, rpo_s=1.0)) == PROOF.fingerprint, "no step goes by it"


def test_a_runs_own_name_is_no_part_of_the_plan() -> None:
    files, estate = read_playbooks(ROOT / "playbooks"), read(ROOT / "inventory.yaml")
    for name, file in files.items():
        system = estate.systems["ncts"]
        sites = (system.protected_site, system.recovery_site)
        known = {fingerprint(each) for each in plans_of(file, estate, ACTIONS) if each.system == "ncts"}
        for way in (sites, sites[::-1]):
            run_id = f"ncts-{name}-20261124-003000"
            made, _ = make_plan(name, file.playbook, Subject(estate, "", "ncts", *way, run_id), ACTIONS)
            assert isinstance(made, Plan)
            if not made.attended or way == sites:
                assert (fingerprint(made, run_id) in known) == (name not in {"failback", "reprotect"})


# -- the record --------------------------------------------------------------------------------------------------------


def test_the_record_is_replaced_whole_and_read_anew(tmp_path: Path) -> None:
    reader = proofs.Proofs(tmp_path)
    assert reader.find(PROOF.fingerprint) is None
    proofs.record(tmp_path, [PROOF, replace(PROOF, fingerprint="old", version="0.0")], [])
    assert reader.find(PROOF.fingerprint) == PROOF
    assert reader.find("old") is None, "another version of Karaula has another engine"
    proofs.record(tmp_path, [], [PROOF.fingerprint])
    assert reader.find(PROOF.fingerprint) is None
    assert [path.name for path in tmp_path.iterdir()] == [proofs.NAME]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"proofs": [{}]}', '{"proofs": 1}', "[" * 9000, '{"proofs": [1]}'])
def test_a_damaged_record_proves_nothing_and_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / proofs.NAME).write_text(text)
    with pytest.raises(StateError, match="remove it and prove again"):
        proofs.record(tmp_path, [PROOF], [])
    reader = proofs.Proofs(tmp_path)
    assert reader.find(PROOF.fingerprint) is None
    assert "remove it and prove again" in reader.error


def test_prove_writes_down_what_is_proven_and_takes_out_what_is_refuted(tmp_path: Path) -> None:
    state, folder = tmp_path / "state", tmp_path / "playbooks"
    state.mkdir()
    folder.mkdir()
    text = (ROOT / "playbooks" / "backup.yaml").read_text()
    (folder / "backup.yaml").write_text(text)
    for name in ("verify", "drill", "failover"):
        (folder / f"{name}.yaml").write_text((ROOT / "playbooks" / f"{name}.yaml").read_text())
    words = ["prove", "backup", "--faults", "1", "--state", str(state), "--inventory", str(ROOT / "inventory.yaml")]
    done = CliRunner().invoke(karaula, [*words, "--playbooks", str(folder)])
    assert (done.exit_code, f"written down in {state}/proofs.json" in done.output) == (0, True), done.output
    found = json.loads((state / "proofs.json").read_text())["proofs"]
    assert {(each["playbook"], each["system"], each["faults"]) for each in found} == {
        ("backup", system, 1) for system in ("cdeps", "ncts", "ite", "exim")
    }
    none = CliRunner().invoke(karaula, [*words[:-3], str(tmp_path / "no"), *words[-2:], "--playbooks", str(folder)])
    assert f"not written down: there is no folder {tmp_path}/no" in none.output


@pytest.mark.anyio
async def test_a_run_by_an_alarm_asks_for_its_proof(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        known: dict[str, Proof] = {}
        world = replace(at.orchestrator.world, proof=known.get)
        at.orchestrator.reload(world, at.orchestrator.rules)
        run = await at.submit(requester="karaula", origin="alarm", origin_ref="x:1")
        assert run.state is RunState.WAITING
        (note,) = [note for note in run.guards if note.guard == "verification"]
        assert (note.ruling, note.reason) == ("wait", "not-verified")
        key = fingerprint(run.plan, run.id)
        known[key] = replace(PROOF, fingerprint=key, at=at.clock.now())
        made = at.orchestrator.plan("failover", "ncts")
        (verdict,) = [
            each for each in at.orchestrator.verdicts(made, "karaula", "alarm") if each.guard == "verification"
        ]
        assert ruled(verdict) == ("allow", "verified")
