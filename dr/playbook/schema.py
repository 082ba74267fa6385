"""The JSON Schema of a playbook, for editors and for ``karaula schema playbook``.

It says what one file can say by itself: fields, kinds, each action with its arguments. References, order and safety
only ``karaula check`` knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dr.playbook.model import Playbook
from dr.playbook.subject import ActionShape
from monitor.inventory.schema import DRAFT, tidied

GIVEN = ("system", "site")  # come from the run and the step
REFERENCE = {"type": "string", "pattern": r"\$\{[^}]*\}"}


def schema(actions: Mapping[str, ActionShape], summaries: Mapping[str, str]) -> dict[str, Any]:
    """Return the schema (JSON Schema draft 2020-12) as plain data; ``summaries`` says what each action does."""
    made: dict[str, Any] = tidied(Playbook.model_json_schema(mode="validation", by_alias=True))
    made.pop("description", None)
    step = made["$defs"]["Step"]
    step["properties"]["action"] = {
        "description": "What is done",
        "oneOf": [{"const": name, "description": summaries[name]} for name in sorted(actions)],
    }
    step["properties"]["args"] = {"type": "object", "default": {}}
    step["allOf"] = [
        {
            "if": {"properties": {"action": {"const": name}}, "required": ["action"]},
            "then": _arguments(actions[name]),
        }
        for name in sorted(actions)
    ]
    return {
        "$schema": DRAFT,
        "title": "Karaula playbook",
        "description": "One recovery procedure: steps, their order, and what to do when one fails.",
        **made,
    }


def _arguments(action: ActionShape) -> dict[str, Any]:
    """Return the rule for ``args`` of one action; every value may be a reference instead."""
    model = tidied(action.Args.model_json_schema(mode="validation"))
    wanted = [name for name in model.get("required", []) if name not in GIVEN]
    properties = {
        name: {"anyOf": [rule, REFERENCE]} if rule.get("type") != "string" else _plain(rule)
        for name, rule in model["properties"].items()
        if name not in GIVEN
    }
    rule: dict[str, Any] = {"properties": properties, "additionalProperties": False}
    if wanted:
        rule["required"] = wanted
    return {"properties": {"args": rule}, **({"required": ["args"]} if wanted else {})}


def _plain(rule: dict[str, Any]) -> dict[str, Any]:
    """Let a text with a pattern of its own also be one that holds a reference."""
    return {"anyOf": [rule, REFERENCE]} if {"pattern", "enum", "const"} & rule.keys() else rule
