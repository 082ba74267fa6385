"""Playbooks that take back what they did when a later step fails: proven, whatever people do meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from checker_kit import REAL, TOP, changed, found, shipped, spoiled

from dr.actions import ACTIONS
from dr.checker.deeds import Kind
from dr.checker.explore import Keys, Result, beginnings
from dr.checker.moment import Node, outputs_of
from dr.checker.moves import moves
from dr.checker.world import first_world
from dr.playbook.read import plans_of, read_playbooks
from monitor.inventory.read import read

pytestmark = pytest.mark.proof
RESTORED = (
    "action: restic_restore, timeout_s: 30, args: { host: vault-dr, repository: /srv/x, password: tsig-karaula,"
    ' snapshot: "abcdef0123456789", target: /srv/%s }'
)
LOOK, ARRIVES = "{ expect: primary }", "{ where: service, expect_role: active }"
SET_UP = f"""
kind: backup
summary: Set two things up, and look
steps:
  - {{ id: first, {RESTORED % "y"} }}
  - {{ id: second, needs: [first], {RESTORED % "z"} }}
"""
LOOKS = "{ id: look, action: check_role, site: from, needs: %s, on_failure: undo, timeout_s: 20, args: %s }"
BACKUP = f"""{SET_UP}
  - {{ id: aside, {RESTORED % "a"} }}
  - {LOOKS % ("[second, aside]", LOOK)}
"""
THERE = "{ position: '${steps.drain.position}' }"
SWITCHOVER = f"""{SET_UP.replace("kind: backup", "kind: switchover")}
  - {LOOKS % ("[second]", LOOK)}
  - {{ id: drain, action: demote, site: from, needs: [look], timeout_s: 20 }}
  - {{ id: there, action: wait_replica, needs: [drain], timeout_s: 20, args: {THERE} }}
  - {{ id: fence, action: fence, site: from, needs: [there], timeout_s: 20 }}
  - {{ id: promote, action: promote, needs: [fence], timeout_s: 20 }}
  - {{ id: names, action: dns_record, needs: [promote], timeout_s: 20 }}
  - {{ id: service, action: http_check, needs: [names], timeout_s: 20, args: {ARRIVES} }}
"""


@pytest.mark.parametrize("text", [BACKUP, SWITCHOVER], ids=["backup", "switchover"])
def test_nothing_goes_on_from_a_step_that_is_being_undone(tmp_path: Path, text: str) -> None:
    """Not even when somebody pauses in the middle and passes over what it is undone for."""
    (tmp_path / "undoes.yaml").write_text(text)
    file = read_playbooks(tmp_path)["undoes"]
    plan = next(one for one in plans_of(file, read(TOP / "inventory.yaml"), ACTIONS) if one.system == "ncts")
    _proved(found(plan, 2))


@pytest.mark.parametrize(("playbook", "step"), [("drill", "answers"), ("verify", "content"), ("verify", "boots")])
def test_what_cleans_up_does_so_whatever_could_not_be_undone_before(playbook: str, step: str) -> None:
    result = found(spoiled(shipped(playbook), changed(step, on_failure="undo", retries=0)), 2)
    _proved(result)


def test_an_undo_ends_in_every_way_that_it_can(tmp_path: Path) -> None:
    """Done; not done; done, and no answer says so; and at a site that is cut off in no way but one."""
    (tmp_path / "undoes.yaml").write_text(BACKUP)
    file = read_playbooks(tmp_path)["undoes"]
    plan = next(one for one in plans_of(file, read(TOP / "inventory.yaml"), ACTIONS) if one.system == "ncts")
    seen: set[tuple[Kind, bool, bool]] = set()  # which deed, was its site cut off, does the effect hold afterwards
    queue = [Node(run, first_world(plan), 0.0, 2, outputs_of(plan)) for _, run in beginnings(plan)]
    keys = Keys(plan)
    met = set()
    while queue:
        node = queue.pop()
        for move in moves(node, REAL):
            deed = move.deed
            if deed.kind in {Kind.UNDOES, Kind.UNDO_FAILS, Kind.UNDO_LOST}:
                step = plan.step(deed.step)
                seen.add((deed.kind, step.site in node.cut, move.node.world.holds(step)))
            if (key := keys.of(move.node)) not in met:
                met.add(key)
                queue.append(move.node)
    assert seen == {
        (Kind.UNDOES, False, False),
        (Kind.UNDO_FAILS, False, True),
        (Kind.UNDO_LOST, False, False),
        (Kind.UNDO_FAILS, True, True),
    }


def _proved(result: Result) -> None:
    assert result.counterexample is None
    assert result.proved
