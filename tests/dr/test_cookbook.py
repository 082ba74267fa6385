"""Every recipe of docs/cookbook.md is a good playbook: read, planned for every system, and proven with one fault."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from checker_kit import TOP, found

from dr.actions import ACTIONS
from dr.checker.explore import shape
from dr.playbook.read import check, plans_of, read_playbooks
from monitor.inventory.read import read

PAGE = (TOP / "docs" / "cookbook.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"`([a-z-]+)\.yaml`(?:(?!```).)*?```yaml\n(.*?)```", PAGE, re.DOTALL))


def test_every_recipe_has_a_name() -> None:
    assert len(RECIPES) == PAGE.count("```yaml") >= 5


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_is_planned_and_proven_for_every_system(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.yaml").write_text(RECIPES[name], encoding="utf-8")
    files, estate = read_playbooks(tmp_path), read(TOP / "inventory.yaml")
    assert [str(problem) for problem in check(files, estate, ACTIONS) if name in problem.file] == []
    plans = plans_of(files[name], estate, ACTIONS)
    assert {plan.system for plan in plans} == set(estate.systems)
    for plan in {shape(plan): plan for plan in plans}.values():
        result = found(plan, 1)
        assert result.proved, result.counterexample
        assert result.ends["SUCCEEDED"]
