"""The JSON Schema that editors use says the same as the models."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.inventory.model import Inventory
from monitor.inventory.schema import schema

FILE = Path(__file__).parent.parent.parent / "inventory.yaml"
SCHEMA = schema()
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
# What our schema uses of JSON Schema: a keyword is a function of the value and what the keyword says.
LIMITS = {
    "enum": lambda value, wanted: value in wanted,
    "const": lambda value, wanted: value == wanted,
    "pattern": lambda value, wanted: re.search(wanted, value),
    "minimum": lambda value, wanted: value >= wanted,
    "exclusiveMinimum": lambda value, wanted: value > wanted,
    "maximum": lambda value, wanted: value <= wanted,
    "minLength": lambda value, wanted: len(value) >= wanted,
    "maxLength": lambda value, wanted: len(value) <= wanted,
    "minItems": lambda value, wanted: len(value) >= wanted,
    "maxItems": lambda value, wanted: len(value) <= wanted,
    "minProperties": lambda value, wanted: len(value) >= wanted,
    "required": lambda value, wanted: value.keys() >= set(wanted),
    "anyOf": lambda value, wanted: any(not faults(value, one) for one in wanted),
    "oneOf": lambda value, wanted: sum(not faults(value, one) for one in wanted) == 1,
}
STRUCTURE = {"$ref", "type", "properties", "patternProperties", "additionalProperties", "items"}
WORDS = {"$schema", "$defs", "title", "description", "default", "examples", "discriminator", "propertyNames"}


def faults(value: Any, rule: dict[str, Any], at: str = "") -> list[str]:
    """Return where ``value`` breaks ``rule``."""
    assert rule.keys() <= LIMITS.keys() | STRUCTURE | WORDS
    if "$ref" in rule:
        return faults(value, SCHEMA["$defs"][rule["$ref"].removeprefix("#/$defs/")], at)
    kind = rule.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [f"{at}: not {kind}"]
    found = [f"{at}: {word}" for word, fits in LIMITS.items() if word in rule and not fits(value, rule[word])]
    if isinstance(value, dict):
        for key, inner in value.items():
            rules = [rule["properties"][key]] if key in rule.get("properties", {}) else []
            rules += [one for pattern, one in rule.get("patternProperties", {}).items() if re.search(pattern, key)]
            found += [fault for one in rules for fault in faults(inner, one, f"{at}.{key}")]
            found += [] if rules or rule.get("additionalProperties", True) else [f"{at}: {key}"]
    if isinstance(value, list) and "items" in rule:
        found += [fault for index, one in enumerate(value) for fault in faults(one, rule["items"], f"{at}[{index}]")]
    return found


def test_the_shipped_inventory_fits():
    assert faults(yaml.safe_load(FILE.read_text(encoding="utf-8")), SCHEMA) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("links", "tabanovce", "backup", "operater"), "operator-b"),
        (("links", "Tabanovce"), {}),
        (("hosts", "vault-dr", "port"), "22"),
        (("sites", "main", "role"), "spare"),
        (("sensors", "main-smoke", "source", "protocol"), "telnet"),
    ],
)
def test_what_is_wrong_does_not_fit(path, value):
    data = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    here = data
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    assert faults(data, SCHEMA)


def test_it_says_what_it_is_and_can_be_printed():
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["title"] == "Karaula inventory"
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_it_has_every_section_and_explains_every_kind_of_entry():
    assert SCHEMA["properties"].keys() == Inventory.model_fields.keys()
    assert all(kind["description"] for kind in SCHEMA["$defs"].values())
