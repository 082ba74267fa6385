"""The catalogue of backups as a view over runs: it shows only what a restore can be held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from engine_kit import plan, step
from hypothesis import given
from hypothesis import strategies as st

from dr.backups.catalog import LEVELS, catalog, newest, owed, proven_at
from dr.journal.event import (
    CancelAsked,
    Event,
    RunAccepted,
    RunEnded,
    RunStarted,
    StepFailed,
    StepIgnored,
    StepStarted,
    StepSucceeded,
)
from dr.journal.fold import fold_all
from dr.journal.run import Run

MANIFEST: dict[str, Any] = {
    "backup": "ncts-1",
    "taken_at": 100.0,
    "records": 5,
    "position": 9,
    "newest_id": "d9",
    "bytes": 1000,
    "sha256": "ab",
}
BACKUP = plan(step("backup", action="backup", effects=(("a", "backup", "written"),)), kind="backup")
VERIFY = plan(step("select", action="backup_select"), step("content", "select", action="restore_check"), kind="verify")


def ran(run_id: str, at: float, the_plan: Any, outputs: Mapping[str, Any], *ends: Event) -> Run:
    first, *_ = the_plan.steps
    events: list[Event] = [
        RunAccepted(at, the_plan.to_json(), "ana", "", "schedule", "", 0.0, 0.0),
        RunStarted(at, 1),
        StepStarted(at, first.id, 1, "k", 1),
        StepSucceeded(at + 1, first.id, 1, dict(outputs), "", ""),
        *ends,
    ]
    return fold_all(run_id, events)


def backup(name: str = "ncts-1", at: float = 100.0, **changes: Any) -> Run:
    outputs = {**MANIFEST, "backup": name, "taken_at": at, **changes}
    return ran(f"run-{name}", at, BACKUP, outputs, RunEnded(at + 2, "SUCCEEDED", ""))


def verified(name: str, at: float, state: str) -> Run:
    ends: list[Event] = []
    if state == "SUCCEEDED":
        ends += [StepStarted(at, "content", 1, "k", 1), StepSucceeded(at + 1, "content", 1, {}, "", "")]
    if state == "CANCELED":
        ends += [CancelAsked(at, "ana", "not now")]
    return ran(f"verify-{at}", at, VERIFY, {"backup": name}, *ends, RunEnded(at + 2, state, "because"))


def test_a_backup_is_proven_by_a_verification_that_succeeded() -> None:
    runs = [backup(), backup("ncts-2", 200.0), verified("ncts-1", 300.0, "SUCCEEDED")]
    one, two = catalog(runs, "ncts")
    assert (one.verified_at, two.verified_at) == (302.0, None)
    assert newest(runs, "ncts") == two
    assert proven_at(runs, "ncts") == 100.0
    assert catalog(runs, "ite") == []
    assert newest(runs, "ite") is proven_at(runs, "ite") is None


def test_a_later_failure_unproves_and_never_advances_the_recovery_point() -> None:
    runs = [backup(), verified("ncts-1", 300.0, "SUCCEEDED"), verified("ncts-1", 400.0, "FAILED")]
    (one,) = catalog(runs, "ncts")
    assert (one.verified_at, one.failed) == (None, "because")
    assert proven_at(runs, "ncts") is None


def test_a_verification_that_a_person_canceled_found_out_nothing() -> None:
    runs = [backup(), verified("ncts-1", 300.0, "SUCCEEDED"), verified("ncts-1", 400.0, "CANCELED")]
    assert proven_at(runs, "ncts") == 100.0
    assert catalog(runs, "ncts")[0].failed == ""


def test_a_verification_of_what_the_journal_does_not_know_is_left_alone() -> None:
    assert catalog([verified("other", 300.0, "SUCCEEDED")], "ncts") == []


@pytest.mark.parametrize("name", list(MANIFEST))
def test_a_backup_without_its_whole_manifest_is_not_offered(name: str) -> None:
    """An output that could not be kept, or that a probe after a crash could not tell."""
    outputs = {key: value for key, value in MANIFEST.items() if key != name}
    runs = [ran("run", 1.0, BACKUP, outputs, RunEnded(3.0, "SUCCEEDED", "")), backup("ncts-0", 50.0)]
    assert [one.id for one in catalog(runs, "ncts")] == ["ncts-0"]


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(MANIFEST, st.text() | st.integers() | st.booleans())))
def test_whatever_a_backup_yields_the_catalogue_can_be_shown(outputs: dict[str, Any]) -> None:
    for one in catalog([ran("run", 1.0, BACKUP, outputs)], "ncts"):
        assert isinstance(one.taken_at, float)
        assert isinstance(one.id, str)


LADDER = plan(
    step("select", action="backup_select"),
    step("bytes", "select", action="backup_check"),
    step("restore", "bytes", action="restore", effects=(("a", "scratch", "restored"),)),
    step("boots", "restore", action="restore_start", effects=(("a", "scratch server", "running"),)),
    step("content", "boots", action="restore_check"),
    kind="verify",
)
LEVEL_STEPS = ("select", "bytes", "restore", "boots", "content")


def climbed_to(level: int, required: str, *, ignored: bool = False, of: str = "ncts-1") -> Run:
    """Return a verification that passed so many levels and fell at the next, or passed over it."""
    ends: list[Event] = []
    for name in LEVEL_STEPS[1:level]:
        ends += [StepStarted(300.0, name, 1, "k", 1), StepSucceeded(301.0, name, 1, {}, "", "")]
    state = "SUCCEEDED"
    if level < len(LEVEL_STEPS):
        name = LEVEL_STEPS[level]
        ends += [StepStarted(300.0, name, 1, "k", 1), StepFailed(301.0, name, 1, "a flipped byte", False, False, "")]
        if ignored:
            ends += [StepIgnored(301.0, name, "ana", "it is only a test")]
            for later in LEVEL_STEPS[level + 1 :]:
                ends += [StepStarted(302.0, later, 1, "k", 1), StepSucceeded(303.0, later, 1, {}, "", "")]
        state = "SUCCEEDED_WITH_WARNINGS" if ignored else "FAILED"
    return ran("verify", 300.0, LADDER, {"backup": of, "required_level": required}, *ends,
               RunEnded(310.0, state, "because"))  # fmt: skip


@pytest.mark.parametrize("required", LEVELS)
@pytest.mark.parametrize("reached", range(1, 6))
def test_a_backup_is_proven_exactly_when_it_passed_the_required_level(required: str, reached: int) -> None:
    (one,) = catalog([backup(), climbed_to(reached, required)], "ncts")
    passed = LEVELS[reached - 1]
    assert one.level == passed
    assert (one.verified_at is not None) == (passed >= required)
    assert one.fell_at == (LEVELS[reached] if reached < 5 else "")
    assert one.failed == ("a flipped byte" if reached < 5 else "")
    assert one.took_s == 10.0


@pytest.mark.parametrize("skipped", range(1, 5))
def test_a_level_that_was_passed_over_counts_as_failed_though_the_run_went_on(skipped: int) -> None:
    (one,) = catalog([backup(), climbed_to(skipped, "L4", ignored=True)], "ncts")
    assert one.verified_at is None
    assert (one.level, one.fell_at) == (LEVELS[skipped - 1], LEVELS[skipped])
    assert proven_at([backup(), climbed_to(skipped, "L4", ignored=True)], "ncts") is None


def test_a_corrupt_newer_backup_does_not_advance_the_proven_recovery_point() -> None:
    bad = backup("ncts-2", 200.0)
    failed = ran("v", 300.0, LADDER, {"backup": "ncts-2", "required_level": "L4"}, RunEnded(310.0, "FAILED", "x"))
    runs = [backup(), verified("ncts-1", 150.0, "SUCCEEDED"), bad, failed]
    assert proven_at(runs, "ncts") == 100.0


@pytest.mark.parametrize(
    ("proven_to", "required", "counts"), [("L1", "L4", False), ("L4", "L1", True), ("L4", "L4", True)]
)
def test_what_was_proven_when_less_was_required_is_not_proven_now(
    proven_to: str, required: str, *, counts: bool
) -> None:
    runs = [backup(), climbed_to(LEVELS.index(proven_to) + 1, proven_to)]
    assert proven_at(runs, "ncts", required) == (100.0 if counts else None)
    assert proven_at(runs, "ncts") == 100.0, "it was, then"


def test_a_backup_is_not_younger_than_the_step_that_wrote_it() -> None:
    """A database's clock was ahead for a night: every later night would verify that backup, and call it fresh."""
    ahead = ran("ahead", 100.0, BACKUP, {**MANIFEST, "taken_at": 2_600_000.0}, RunEnded(102.0, "SUCCEEDED", ""))
    behind = ran("behind", 100.0, BACKUP, {**MANIFEST, "taken_at": 40.0}, RunEnded(102.0, "SUCCEEDED", ""))
    assert [one.taken_at for one in catalog([ahead], "ncts")] == [101.0]
    assert [one.taken_at for one in catalog([behind], "ncts")] == [40.0]
    later = backup("ncts-2", 200.0)
    assert getattr(newest([ahead, later], "ncts"), "id", "") == "ncts-2"


CHOSEN = "${steps.select.backup}"
BOUND = {
    "bytes": {"backup": CHOSEN, "sha256": "${steps.select.sha256}"},
    "restore": {"backup": CHOSEN, "scratch": "verify-1"},
    "boots": {"backup": "ncts-1", "scratch": "verify-1"},
    "content": {"scratch": "verify-1", "records": "${steps.select.records}", "newest_id": "d9"},
}


@pytest.mark.parametrize(
    ("step_id", "args", "falls_at"),
    [
        ("bytes", {}, ""),
        ("bytes", {"backup": "ncts-0"}, "L1"),
        ("bytes", {"sha256": "cd"}, "L1"),
        ("restore", {"backup": "ncts-0"}, "L2"),
        ("boots", {"scratch": "verify-0"}, "L3"),
        ("content", {"scratch": "verify-0"}, "L4"),
        ("content", {"records": 4}, "L4"),
        ("content", {"newest_id": "${steps.bytes.newest_id}"}, "L4"),
    ],
)
def test_a_level_counts_only_for_the_backup_that_was_chosen(step_id: str, args: dict[str, Any], falls_at: str) -> None:
    """A playbook that restores one backup and chose another proves neither."""
    steps = [
        replace(each, args={**BOUND.get(each.id, {}), **(args if each.id == step_id else {})}) for each in LADDER.steps
    ]
    ends: list[Event] = []
    for name in LEVEL_STEPS[1:]:
        ends += [StepStarted(300.0, name, 1, "k", 1), StepSucceeded(301.0, name, 1, {}, "", "")]
    chosen = {**MANIFEST, "required_level": "L4"}
    run = ran("verify", 300.0, replace(LADDER, steps=tuple(steps)), chosen, *ends, RunEnded(310.0, "SUCCEEDED", ""))
    (one,) = catalog([backup(), run], "ncts")
    assert one.fell_at == falls_at
    assert (one.verified_at is None) == bool(falls_at)
    assert not falls_at or f"step '{step_id}' went by {next(iter(args))}" in one.failed


def test_of_two_steps_of_a_level_both_must_have_passed() -> None:
    twice = plan(*LADDER.steps, step("again", "content", action="restore_check", on_failure="continue"), kind="verify")
    ends: list[Event] = []
    for name in LEVEL_STEPS[1:]:
        ends += [StepStarted(300.0, name, 1, "k", 1), StepSucceeded(301.0, name, 1, {}, "", "")]
    ends += [StepStarted(302.0, "again", 1, "k", 1), StepFailed(303.0, "again", 1, "it differs", False, False, "")]
    ends += [StepIgnored(304.0, "again", "karaula", "the playbook says on_failure: continue")]
    chosen = {"backup": "ncts-1", "required_level": "L4"}
    for the_plan in (twice, replace(twice, steps=tuple(reversed(twice.steps[1:])))):
        steps = (twice.steps[0], *(each for each in the_plan.steps if each.id != "select"))
        run = ran(
            "v", 300.0, replace(twice, steps=steps), chosen, *ends, RunEnded(310.0, "SUCCEEDED_WITH_WARNINGS", "")
        )
        (one,) = catalog([backup(), run], "ncts")
        assert (one.verified_at, one.level, one.fell_at) == (None, "L3", "L4")


def kept(action: str, **outputs: Any) -> Run:
    return ran(f"keep-{action}", 500.0, plan(step("keep", action=action), kind="verify"), outputs,
               RunEnded(502.0, "SUCCEEDED", ""))  # fmt: skip


def test_what_retention_removed_is_no_recovery_point_any_more_and_stays_on_record() -> None:
    runs = [backup(), backup("ncts-2", 200.0), verified("ncts-1", 300.0, "SUCCEEDED")]
    runs.append(kept("backup_expire", removed="ncts-2 other", kept=1))
    one, two = catalog(runs, "ncts")
    assert (one.removed_at, two.removed_at) == (None, 501.0)
    assert newest(runs, "ncts") == one
    (copied, _) = catalog([*runs, kept("backup_copy", copied="ncts-1")], "ncts")
    assert copied.copied_at == 501.0


IN_TWO = plan(
    step("backup", action="backup", effects=(("a", "backup", "written"),)),
    step("copy", "backup", action="backup_copy"),
    kind="backup",
)
PASSED = StepIgnored(104.0, "copy", "karaula", "the playbook says on_failure: continue")
WITH_WARNINGS = RunEnded(105.0, "SUCCEEDED_WITH_WARNINGS", "passed over: copy")


def fell(name: str, at: float = 100.0, *ends: Event, why: str = "no route") -> Run:
    """Return a run that took a backup and could not copy it; without ``ends`` it is not over."""
    tried: list[Event] = [
        StepStarted(at + 2, "copy", 1, "k", 1),
        StepFailed(at + 3, "copy", 1, f"{name} is taken, in one place only: {why}", False, False, ""),
    ]
    return ran(f"run-{name}", at, IN_TWO, {**MANIFEST, "backup": name, "taken_at": at}, *tried, *ends)


@pytest.mark.parametrize(
    "ends",
    [
        (PASSED, WITH_WARNINGS),
        (RunEnded(105.0, "FAILED", "step 'copy' failed"),),  # of an earlier version's playbook, or of one's own
        (CancelAsked(104.0, "ana", "not now"), RunEnded(105.0, "CANCELED", "canceled by ana: not now")),
    ],
)
def test_a_backup_that_could_not_be_copied_is_owed_until_it_is(ends: tuple[Event, ...]) -> None:
    runs = [fell("ncts-1", 100.0, *ends)]
    (one,) = catalog(runs, "ncts")
    assert (one.one_place, one.copied_at, owed([one])) == ("no route", None, [one])
    (kept_here, two) = catalog([*runs, backup("ncts-2", 200.0)], "ncts")
    assert owed([kept_here, two]) == [one], "the other was not to be copied"
    (made_up, _) = catalog([*runs, backup("ncts-2", 200.0), kept("backup_copy", copied="ncts-2 ncts-1")], "ncts")
    assert (made_up.one_place, made_up.copied_at, owed([made_up])) == ("", 501.0, [])
    (gone,) = catalog([*runs, kept("backup_expire", removed="ncts-1", kept=0)], "ncts")
    assert owed([gone]) == [], "what is not kept is owed to nobody"


def test_while_its_run_goes_on_a_backup_is_not_owed() -> None:
    (one,) = catalog([fell("ncts-1")], "ncts")
    assert (one.one_place, owed([one])) == ("", [])
    (never_begun,) = catalog([ran("r", 1.0, IN_TWO, MANIFEST, RunEnded(3.0, "FAILED", ""))], "ncts")
    assert never_begun.one_place == "its run ended before the copy began"


def test_the_newest_that_is_owed_comes_first() -> None:
    runs = [fell(f"ncts-{number}", 100.0 * number, PASSED, WITH_WARNINGS) for number in (1, 2, 3)]
    assert [one.id for one in owed(catalog(runs, "ncts"))] == ["ncts-3", "ncts-2", "ncts-1"]
