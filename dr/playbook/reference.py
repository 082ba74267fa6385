"""What a step's arguments refer to: paths like ``${system.service.fqdn}``, and entries of the inventory. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from monitor.problem import did_you_mean

REFERENCE = re.compile(r"\$\{([^}]*)\}")
PATH = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)*")
NAMES = "x-karaula-names"  # in an argument's JSON Schema: the section of the inventory that its value is a key of
ROOTS = ("system", "from", "to", "run", "steps", "parameters")


def members(value: Any) -> dict[str, Any]:
    """Return what a path may go on with below ``value``, by name."""
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if isinstance(value, tuple):
        return {str(index): item for index, item in enumerate(value)}
    return {}


def waits(value: Any) -> bool:
    """Tell whether ``value`` holds a reference to an earlier step's output."""
    if isinstance(value, str):
        return any(match[1].startswith("steps.") for match in REFERENCE.finditer(value))
    if isinstance(value, Mapping):
        return any(waits(item) for item in value.values())
    return isinstance(value, (list, tuple)) and any(waits(item) for item in value)


def unknown_keys(
    model: type[BaseModel], args: Mapping[str, Any], inventory: BaseModel
) -> Iterator[tuple[str, str, str]]:
    """Yield the arguments that are to name an entry of the inventory and do not, with what is wrong and was meant."""
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        section = extra.get(NAMES) if isinstance(extra, dict) else None
        value = args.get(name)
        if section is None or not isinstance(value, str) or waits(value):
            continue
        known = getattr(inventory, str(section))
        if value not in known:
            yield name, f"the inventory's '{section}' has no '{value}'", did_you_mean(value, known)


def can_be_undone(model: type[BaseModel], args: Mapping[str, Any]) -> bool:
    """Tell whether ``args`` leave a way back, where the model has an opinion of its own (``StepArgs`` has none)."""
    try:
        return bool(getattr(model.model_construct(**args), "can_be_undone", True))
    except Exception:  # noqa: BLE001 - the border of foreign code: who cannot say so has no way back
        return False
