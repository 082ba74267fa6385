"""What the fields of a word of the journal may hold, worked out once: a journal is read whole at each start."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Union, get_args, get_origin, get_type_hints


class Shape:
    """The ``names`` of a word's fields, their ``defaults``, and what fits them."""

    def __init__(self, word: type[Any]) -> None:
        """``word`` is one of the journal's dataclasses."""
        self.names = frozenset(field.name for field in fields(word))
        self.defaults = {field.name: field.default for field in fields(word) if field.default is not MISSING}
        # A value of the exact type fits and needs no closer look; most are.
        self._checks = [
            (name, hint if hint in (str, int, bool) else None, fitting(hint))
            for name, hint in get_type_hints(word).items()
        ]

    def unfit(self, data: Mapping[str, Any]) -> str:
        """Return the name of a field whose value is not what it may hold; empty when all fit."""
        for name, exact, fits in self._checks:
            value = data[name]
            if type(value) is not exact and not fits(value):
                return name
        return ""


def fitting(hint: Any) -> Callable[[Any], bool]:
    """Return what tells whether a value is what ``hint`` allows (str, int, float, bool and dicts of them)."""
    origin = get_origin(hint)
    if hint is Any:
        return lambda _value: True
    if origin is dict:
        inner = fitting(get_args(hint)[1])
        return lambda value: (
            isinstance(value, dict) and all(isinstance(key, str) and inner(item) for key, item in value.items())
        )
    if origin in (Union, types.UnionType):
        options = [fitting(option) for option in get_args(hint)]
        return lambda value: any(fits(value) for fits in options)
    if hint is float:
        return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return lambda value: isinstance(value, hint) and not (hint is int and isinstance(value, bool))
