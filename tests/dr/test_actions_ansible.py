"""What the step `ansible` declares: for guards, for the checker, and for whoever wants it taken back."""

from __future__ import annotations

from pathlib import Path

from orchestrator_kit import INVENTORY, ROOT

from dr.actions import ACTIONS
from dr.playbook.model import Plan
from dr.playbook.plan import make_plan
from dr.playbook.read import read_playbooks
from dr.playbook.subject import Subject
from monitor.inventory.ansible import AnsibleProject

PROJECT = AnsibleProject(folder="/srv/ansible")
BOOK = """
kind: backup
summary: Announce it
steps:
  - {{ id: look, action: backup_select, timeout_s: 5 }}
  - {{ id: announce, action: ansible, needs: [look], timeout_s: 60, args: {{ project: edge, playbook: a.yml {more} }} }}
"""


def planned(folder: Path, text: str) -> tuple[Plan | None, str]:
    (folder / "books").mkdir(exist_ok=True)
    (folder / "books" / "one.yaml").write_text(text)
    inventory = INVENTORY.model_copy(update={"ansible": {"edge": PROJECT}})
    subject = Subject(inventory, "", "ncts", "main", "dr", "run")
    plan, mistakes = make_plan("one", read_playbooks(folder / "books")["one"].playbook, subject, ACTIONS)
    return plan, "; ".join(mistake.message for mistake in mistakes)


def step(folder: Path, more: str) -> tuple[bool, tuple[tuple[str, str, str], ...]]:
    plan, wrong = planned(folder, BOOK.format(more=more))
    assert plan is not None, wrong
    return plan.step("announce").undoable, plan.step("announce").effects


def test_it_can_be_undone_where_its_author_has_said_how(tmp_path: Path) -> None:
    assert not step(tmp_path, "")[0]
    assert step(tmp_path, ", undo: b.yml")[0]


def test_its_effect_names_hosts_and_variables_and_waits_for_no_output(tmp_path: Path) -> None:
    _, effects = step(tmp_path, ', limit: "edge:&dr", variables: { port: 8, path: "${steps.look.backup}" }')
    assert effects == (("ansible/edge", "playbook a.yml", 'holds for edge:&dr with {"port": 8}'),)


def test_a_promotion_that_its_author_declares_is_held_to_the_fence(tmp_path: Path) -> None:
    text = (ROOT / "playbooks" / "failover.yaml").read_text()
    promotes = "action: ansible\n    args: { project: edge, playbook: p.yml, declares: { role: primary } }\n"
    text = text.replace("action: promote\n", promotes)
    plan, wrong = planned(tmp_path, text)
    assert plan is not None, wrong
    assert plan.step("promote").promotes
    unfenced = text.replace("needs: [fence-old, machines, loss]", "needs: [machines]")
    assert "does not wait for a fence of main" in planned(tmp_path, unfenced)[1]


def test_what_changes_production_needs_an_approval(tmp_path: Path) -> None:
    _, wrong = planned(tmp_path, BOOK.format(more=", declares: { power: application-off }"))
    assert "changes power, which a playbook of kind 'backup' must leave alone" in wrong
