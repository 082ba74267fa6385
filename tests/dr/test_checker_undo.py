"""Playbooks that take back what they did when a later step fails: proven, whatever people do meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from checker_kit import TOP, changed, found, shipped, spoiled

from dr.actions import ACTIONS
from dr.checker.explore import Result
from dr.playbook.read import plans_of, read_playbooks
from monitor.inventory.read import read

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
SWITCHOVER = f"""{SET_UP.replace("kind: backup", "kind: switchover")}
  - {LOOKS % ("[second]", LOOK)}
  - {{ id: fence, action: fence, site: from, needs: [look], timeout_s: 20 }}
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


def _proved(result: Result) -> None:
    assert result.counterexample is None
    assert result.proved
