"""The catalogue of backups as a view over runs: it shows only what a restore can be held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from engine_kit import plan, step
from hypothesis import given
from hypothesis import strategies as st

from dr.backups.catalog import catalog, newest, proven_at
from dr.journal.event import CancelAsked, Event, RunAccepted, RunEnded, RunStarted, StepStarted, StepSucceeded
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
