"""docs/playbooks.md says what the code says: kinds, fields, every action with its arguments, outputs and effects."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from console.cli.actions import kind_of
from dr.actions import ACTIONS
from dr.checker.laws import LAWS
from dr.playbook.model import ATTENDED, DIRECTION, Kind, Playbook, Step
from dr.playbook.read import check, read_playbooks
from monitor.inventory.read import read

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "playbooks.md"
AGAIN = "write it anew with: KARAULA_WRITE_DOCS=1 pytest tests/dr/test_plan_documented.py"


def kinds() -> str:
    rows = ["| kind | from | to | waits for an approval |", "| --- | --- | --- | --- |"]
    for kind in get_args(Kind):
        start, goal = DIRECTION[kind]
        rows.append(f"| `{kind}` | {start} site | {goal} site | {'yes' if kind in ATTENDED else 'no'} |")
    return "\n".join(rows)


def fields(model: type[BaseModel], prefix: str = "") -> list[str]:
    return [
        f"| `{prefix}{field.alias or name}` | {form(field)} | {field.description} |"
        for name, field in model.model_fields.items()
    ]


def form(field: FieldInfo) -> str:
    """Return what a field takes if nothing is written: ``required``, or its default."""
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    return "" if default in ((), {}, "", None) else f"`{default}`"


def all_fields() -> str:
    head = ["| field | default | what it is |", "| --- | --- | --- |"]
    return "\n".join([*head, *fields(Playbook), *fields(Step, "steps[].")])


def quoted(rule: dict[str, Any]) -> str:
    return kind_of(rule, "`")


def action(name: str) -> str:
    one = ACTIONS[name]
    properties = one.Args.model_json_schema()["properties"]
    given = {key: field for key, field in one.Args.model_fields.items() if key not in {"system", "site"}}
    lines = [f"### {name}", "", one.summary[0].upper() + one.summary[1:] + ".", ""]
    for key, field in given.items():
        needed = "required" if field.is_required() else f"default {form(field) or 'none'}"
        lines.append(f"- `{key}`: {quoted(properties[key])}, {needed}")
    samples: dict[str, Any] = {key: ("…",) if "list of" in quoted(properties[key]) else f"<{key}>" for key in given}
    optional = {key: field for key, field in given.items() if not field.is_required()}
    defaults = {key: field.get_default(call_default_factory=True) for key, field in optional.items()}
    args = one.Args.model_construct(**{"system": "<system>", "site": "<site>", **samples, **defaults})
    effects = [f"`{effect.subject}`: {effect.field} = {effect.value}" for effect in one.effects(args)]
    lines.append(f"- yields: {', '.join(f'`{output}`' for output in one.outputs) or 'nothing'}")
    undo = "; can be undone" if one.undoable else ""
    lines.append(f"- effect: {'; '.join(effects)}{undo}" if effects else "- effect: none, it only reads")
    return "\n".join(lines)


def actions() -> str:
    return "\n\n".join(action(name) for name in sorted(ACTIONS))


def laws() -> str:
    return "\n".join(["| law | |", "| ---: | --- |", *(f"| {number} | {words} |" for number, words in LAWS.items())])


PARTS = {"kinds": kinds, "fields": all_fields, "actions": actions, "laws": laws}


@pytest.mark.parametrize("name", PARTS)
def test_the_page_says_what_the_code_says(name: str) -> None:
    block = re.compile(rf"<!-- {name} -->\n(.*?)<!-- end -->\n", re.DOTALL)
    text, now = PAGE.read_text(encoding="utf-8"), f"{PARTS[name]()}\n"
    assert len(block.findall(text)) == 1
    if os.environ.get("KARAULA_WRITE_DOCS"):
        text = block.sub(lambda _: f"<!-- {name} -->\n{now}<!-- end -->\n", text)
        PAGE.write_text(text, encoding="utf-8")
    assert block.findall(text) == [now], AGAIN


def test_the_example_is_a_good_playbook(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "example.yaml").write_text(example)
    inventory = read(ROOT / "inventory.yaml")
    mine = [problem for problem in check(read_playbooks(tmp_path), inventory, ACTIONS) if "example" in problem.file]
    assert mine == []
    assert yaml.safe_load(example)["kind"] == "verify"


def test_every_path_that_the_page_names_leads_somewhere(tmp_path: Path) -> None:
    said = set(re.findall(r"\$\{((?:system|from|to)\.[a-z_.]+)\}", PAGE.read_text(encoding="utf-8")))
    assert said
    text = "kind: verify\nsummary: Name them\nsteps:\n" + "".join(
        f'  - {{ id: s{number}, action: discard, timeout_s: 1, args: {{ scratch: "${{{path}}}" }} }}\n'
        for number, path in enumerate(sorted(said))
    )
    (tmp_path / "paths.yaml").write_text(text)
    problems = check(read_playbooks(tmp_path), read(ROOT / "inventory.yaml"), ACTIONS)
    mine = [problem.message for problem in problems if "paths" in problem.file]
    assert not [message for message in mine if " has no " in message or "unknown" in message]
