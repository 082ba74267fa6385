"""Every shipped playbook can be planned for every system, and says what it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr.actions import ACTIONS
from dr.playbook.model import DIRECTION, Plan, ancestors
from dr.playbook.plan import make_plan
from dr.playbook.read import check, read_playbooks
from dr.playbook.subject import Subject
from monitor.inventory.read import read

ROOT = Path(__file__).parents[2]
PLAYBOOKS = read_playbooks(ROOT / "playbooks")
INVENTORY = read(ROOT / "inventory.yaml")
SYSTEMS = ("cdeps", "ncts", "ite", "exim")


def _plan(name: str, system: str) -> Plan:
    entry = INVENTORY.systems[system]
    sites = {"protected": entry.protected_site, "recovery": entry.recovery_site}
    playbook = PLAYBOOKS[name].playbook
    from_site, to_site = (sites[word] for word in DIRECTION[playbook.kind])
    plan, mistakes = make_plan(
        name, playbook, Subject(INVENTORY, "", system, from_site, to_site, "20261124-1"), ACTIONS
    )
    assert mistakes == []
    assert plan is not None
    return plan


def test_a_playbook_of_each_kind_is_shipped() -> None:
    assert set(PLAYBOOKS) == set(DIRECTION)
    assert all(name == file.playbook.kind for name, file in PLAYBOOKS.items())


def test_no_playbook_has_a_mistake_against_the_shipped_inventory() -> None:
    assert check(PLAYBOOKS, INVENTORY, ACTIONS) == []


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", sorted(PLAYBOOKS))
def test_each_playbook_plans_for_each_system(name: str, system: str) -> None:
    plan = _plan(name, system)
    assert all(step.args["system"] == system for step in plan.steps)
    assert {step.site for step in plan.steps} <= {"main", "dr"}


def test_a_failover_touches_only_the_recovery_site_and_the_old_fence() -> None:
    plan = _plan("failover", "ncts")
    assert [(step.id, step.action) for step in plan.steps if step.site == "main"] == [("fence-old", "fence")]
    assert "fence-old" in ancestors({step.id: step for step in plan.steps}, "loss")


def test_a_failback_wakes_the_old_primary_only_without_its_front() -> None:
    plan = _plan("failback", "ncts")
    by_id = {step.id: step for step in plan.steps}
    before_power = {by_id[need].effects for need in ancestors(by_id, "power")}
    assert {(("system/ncts/main", "power", f"{tier}-off"),) for tier in ("web", "application")} <= before_power
    assert "follow" in ancestors(by_id, "machines")
    assert {"catch-up", "front-ready"} <= ancestors(by_id, "drain")
    assert {"drain", "all-there", "fence-from"} <= ancestors(by_id, "promote")


@pytest.mark.parametrize("name", ["drill", "backup", "verify"])
def test_what_runs_at_night_changes_no_role_no_names_no_fence(name: str) -> None:
    fields = {field for step in _plan(name, "ite").steps for _, field, _ in step.effects}
    assert fields <= {"bubble", "backup", "second copy", "scratch", "scratch server", "retention"}


@pytest.mark.parametrize("name", sorted(PLAYBOOKS))
def test_a_wait_is_shorter_than_the_time_of_its_step(name: str) -> None:
    for step in _plan(name, "ncts").steps:
        assert float(step.args.get("within_s") or 0) < step.timeout_s, step.id
