"""What the night proved, in findings and in the morning's words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from engine_kit import plan, step
from orchestrator_kit import INVENTORY
from test_catalog import LADDER, PASSED, WITH_WARNINGS, backup, climbed_to, fell, kept, ran

from dr.backups import morning
from dr.backups.proof import Proof, proof_of, proofs
from dr.evidence.collect import _of_step
from dr.journal.event import RunEnded, StepFailed, StepIgnored, StepStarted
from dr.journal.run import Run
from monitor.inventory.backups import BackupPolicy, SecondPlace
from monitor.inventory.systems import System

HOUR_S = 3600.0


def system(**policy: Any) -> System:
    entry = BackupPolicy.model_validate({"vault": "vault", "max_age_s": 26 * HOUR_S} | policy)
    return INVENTORY.systems["ncts"].model_copy(update={"backup": entry})


def said(runs: list[Run], now: float = 400.0, **policy: Any) -> Proof:
    return proof_of(runs, "ncts", system(**policy), now)


def test_a_night_that_proved_everything_has_no_findings() -> None:
    proof = said([backup(), climbed_to(5, "L4")])
    assert (proof.well, proof.met, proof.findings) == (True, True, ())
    assert (proof.proven_age_s, proof.nominal_age_s) == (300.0, 300.0)


def test_no_backup_and_one_that_was_not_tried_are_told_apart() -> None:
    assert said([]).findings == ("no backup was ever taken",)
    assert said([backup()]).findings == (
        "the newest backup ncts-1 was not verified yet",
        "no backup is proven to L4: a loss now could not be made good for certain",
    )


def test_a_corrupt_newer_backup_leaves_the_proven_age_beside_the_nominal_one() -> None:
    good, bad = backup(), backup("ncts-2", 200.0)
    chosen = {"backup": "ncts-2", "required_level": "L4"}
    why = StepFailed(302.0, "bytes", 1, "a flipped byte", False, False, "")
    ended = RunEnded(303.0, "FAILED", "")
    fell = ran("v2", 300.0, LADDER, chosen, StepStarted(301.0, "bytes", 1, "k", 1), why, ended)
    proof = said([good, climbed_to(5, "L4"), bad, fell], now=500.0)
    assert (proof.proven_age_s, proof.nominal_age_s) == (400.0, 300.0)
    assert proof.findings == ("the newest backup ncts-2 fell at L1 (its checksums hold): a flipped byte",)
    assert proof.met
    assert not proof.well


def test_an_old_proof_is_told_with_what_the_policy_allows() -> None:
    proof = said([backup(), climbed_to(5, "L4")], now=100.0 + 30 * HOUR_S)
    assert proof.findings == ("the newest proven backup is 30.0 h old; the policy allows 26 h",)
    assert not proof.met


def test_budgets_of_time_and_space() -> None:
    outputs = {"backup": "ncts-1", "required_level": "L0"}
    slow = ran("v", 300.0, plan(step("select", action="backup_select"), kind="verify"), outputs,
               RunEnded(5000.0, "SUCCEEDED", ""))  # fmt: skip
    proof = said([backup(), slow], now=5001.0, verify_within_s=3600.0, required_level="L0")
    assert proof.findings == ("its verification took 4700 s; the time budget is 3600 s",)
    assert proof.newest is not None
    full = replace(proof.newest, took_s=1.0, restored_bytes=100_000_000, free_bytes=5_000_000)
    assert "nearly full: it had 5 MB beside a copy of 100 MB" in _findings(full)


def _findings(newest: Any) -> str:
    from dr.backups.proof import _of_budgets  # noqa: PLC0415 - a backup with figures, without a run that yields them

    return " ".join(_of_budgets(newest, system().backup))


def test_one_place_only_is_a_finding_and_so_is_a_second_that_cannot_be_trusted() -> None:
    store = {
        "method": "pg_dump",
        "folder": "/srv/x",
        "postgresql": {"connections": {"main": "x", "dr": "x"}, "database": "d", "question": "SELECT 1"},
    }
    runs = [backup(), climbed_to(5, "L4")]
    assert "in one place only" in said(runs, store=store).findings[0]
    second = SecondPlace(repository="rclone:x", password="p")
    assert said(runs, store=store, second_place=second).findings == (
        "the newest backup ncts-1 is taken, in one place only: it was not copied yet",
    )
    runs.append(kept("backup_copy", copied="ncts-1"))
    assert said(runs, store=store, second_place=second).well
    bad = ran("k", 500.0, plan(step("keep", action="x"), step("check", "keep", action="copy_check"), kind="verify"), {},
              StepStarted(501.0, "check", 1, "k", 1),
              StepFailed(502.0, "check", 1, "it is not append-only", False, False, ""),
              StepIgnored(502.0, "check", "", ""), RunEnded(503.0, "SUCCEEDED_WITH_WARNINGS", ""))  # fmt: skip
    (finding,) = said([*runs, bad], store=store, second_place=second).findings
    assert finding.startswith("second place: it is not append-only")
    two = kept("copy_check", copies=2, append_only=True)
    proof = said([*runs, two], store=store, second_place=second)
    assert (proof.copies, proof.append_only, proof.findings) == (2, True, ())


SECOND = SecondPlace(repository="rclone:x", password="p")
UNREACHED = ran(
    "k",
    500.0,
    plan(step("keep", action="x"), step("check", "keep", action="copy_check"), kind="verify"),
    {},
    StepStarted(501.0, "check", 1, "k", 1),
    StepFailed(502.0, "check", 1, "it cannot be opened", False, False, ""),
    StepIgnored(502.0, "check", "karaula", ""),
    RunEnded(503.0, "SUCCEEDED_WITH_WARNINGS", ""),
)


def test_taken_in_one_place_only_is_said_once_and_everywhere_alike() -> None:
    runs = [fell("ncts-1", 100.0, PASSED, WITH_WARNINGS), climbed_to(5, "L4")]
    sentence = "the newest backup ncts-1 is taken, in one place only: no route"
    for known in (runs, [*runs, UNREACHED]):
        proof = said(known, second_place=SECOND)
        assert (proof.copies, proof.append_only, proof.one_place) == (1, False, ("ncts-1",))
        assert proof.findings == (sentence,), "a second place that is away is one thing to look at"
        assert proof.met, "it counts"
        text = morning.text([proof], "Customs")
        assert "its level L4 of L4; taken, in one place only\n" in text
        assert f"  ! {sentence}\n" in text
    made_up = said([*runs, kept("backup_copy", copied="ncts-1")], second_place=SECOND)
    assert (made_up.copies, made_up.one_place, made_up.findings) == (2, (), ())


def test_an_older_one_that_is_owed_is_not_forgotten_when_the_newest_is_in_two_places() -> None:
    older = [fell(f"ncts-{number}", 10.0 + number, PASSED, WITH_WARNINGS) for number in (1, 2)]
    newest = [backup("ncts-9", 100.0), climbed_to(5, "L4", of="ncts-9"), kept("backup_copy", copied="ncts-9")]
    proof = said([*older, *newest], second_place=SECOND)
    assert (proof.copies, proof.one_place) == (2, ("ncts-2", "ncts-1"))
    (finding,) = proof.findings
    assert finding.startswith("2 older backups are taken, in one place only: ncts-2, ncts-1; the next backup or")
    both = [*older, fell("ncts-9", 100.0, PASSED, WITH_WARNINGS), climbed_to(5, "L4", of="ncts-9")]
    (finding,) = said(both, second_place=SECOND).findings
    assert finding.endswith("ncts-9 is taken, in one place only: no route; so are 2 older: ncts-2, ncts-1")


def test_yesterdays_look_at_the_second_place_says_nothing_of_todays_backup() -> None:
    looked = kept("copy_check", copies=2, append_only=True)  # at 501
    proof = said([looked, fell("ncts-2", 600.0, PASSED, WITH_WARNINGS)], second_place=SECOND, now=700.0)
    assert (proof.copies, proof.append_only) == (1, False)
    copied = [looked, backup("ncts-2", 400.0), kept("backup_copy", copied="ncts-2")]
    assert said(copied, second_place=SECOND, now=700.0).copies == 2


def test_the_message_says_the_worst_first_and_every_figure() -> None:
    systems = {"ite": system(), "ncts": system()}
    found = proofs([backup(), climbed_to(5, "L4")], systems, 400.0)
    assert [proof.system for proof in found] == ["ite", "ncts"]
    assert morning.subject(found).startswith("Backups: 1 of 2 proven as young as they must be; look at ")
    text = morning.text(found, "Customs")
    assert "  ! no backup was ever taken\n" in text
    assert "proven RPO 0.1 h of at most 26 h, newest backup: 0.1 h old" in text
    assert "verification took 10 s of at most 14400 s" in text
    well = proofs([backup(), climbed_to(5, "L4")], {"ncts": system()}, 400.0)
    assert morning.subject(well) == "Backups: 1 of 1 proven as young as they must be"


@pytest.mark.parametrize("required", ["L0", "L2", "L4"])
def test_the_required_level_is_the_inventorys_and_stands_beside_what_was_reached(required: str) -> None:
    proof = said([backup(), climbed_to(3, required)], required_level=required)
    assert proof.required == required
    assert proof.met == (required <= "L2")


def test_what_the_retention_removed_stands_in_the_runs_report() -> None:
    run = kept("backup_expire", removed="ncts-1 ncts-2", kept=7)
    (finding,) = _of_step(run, run.steps["keep"])
    assert (finding.severity, finding.what) == ("info", "the retention removed 2: ncts-1 ncts-2")
