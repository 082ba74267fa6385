"""The JSON Schema of ``inventory.yaml``, for editors (yaml-language-server) and for ``karaula schema``.

It says what the models say: shapes, names, limits. What entries say of one another only ``karaula check`` knows.
"""

from __future__ import annotations

from typing import Any

from monitor.inventory.model import Inventory

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """Return the schema (JSON Schema draft 2020-12) as plain data, ready for ``json.dumps``."""
    made = Inventory.model_json_schema(mode="validation")
    made.pop("title", None)
    made.pop("description", None)
    return {
        "$schema": DRAFT,
        "title": "Karaula inventory",
        "description": "The estate: what exists, what depends on what, who answers for it.",
        **tidied(made),
    }


def tidied(part: Any) -> Any:
    """Drop the titles that pydantic makes of field names, and forbid keys that match no pattern.

    Pydantic writes a mapping with keys of one form as ``patternProperties`` alone, which would let any other key pass.
    """
    if isinstance(part, list):
        return [tidied(one) for one in part]
    if not isinstance(part, dict):
        return part
    tidy = {
        name: {key: tidied(value) for key, value in value.items()} if name in {"properties", "$defs"} else tidied(value)
        for name, value in part.items()
        if not (name == "title" and isinstance(value, str))
    }
    if "patternProperties" in tidy:
        tidy["additionalProperties"] = False
    return tidy
