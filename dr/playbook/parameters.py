"""What a playbook lets a person set for one run: typed, with defaults, and what is wrong with a setting. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from monitor.problem import did_you_mean

Value = str | int | float | bool
NAME = r"^[a-z][a-z0-9_]{0,62}$"
WORDS = {"yes": True, "true": True, "no": False, "false": False}


class Parameter(BaseModel):
    """One parameter of a playbook; ``${parameters.NAME}`` is its value in a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = Field(description="what it changes, for whoever sets it")
    type: Literal["text", "number", "integer", "boolean"] = Field("text", description="what a value may be")
    default: Value = Field(description="what holds when nobody sets it")
    choices: tuple[Value, ...] = Field((), description="the only values there are; empty: any of its type")
    minimum: float | None = Field(None, description="of a number: the least")
    maximum: float | None = Field(None, description="of a number: the most")

    def lacks(self, value: Value) -> str:
        """Say what is wrong with a value; empty: nothing."""
        fits = {
            "text": isinstance(value, str),
            "boolean": isinstance(value, bool),
            "integer": isinstance(value, int) and not isinstance(value, bool),
            "number": isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value),
        }
        if not fits[self.type]:
            return f"must be {_a(self.type)}, not {value!r}"
        if self.choices and value not in self.choices:
            return f"must be one of {', '.join(map(str, self.choices))}, not {value!r}"
        if self.minimum is not None and isinstance(value, (int, float)) and value < self.minimum:
            return f"must be at least {self.minimum:g}, not {value:g}"
        if self.maximum is not None and isinstance(value, (int, float)) and value > self.maximum:
            return f"must be at most {self.maximum:g}, not {value:g}"
        return ""

    def read(self, text: str) -> Value:
        """Return what a person typed as a value of the type; the text itself where it is none."""
        if self.type == "boolean":
            return WORDS.get(text.strip().lower(), text)
        if self.type == "text":
            return text
        try:
            return int(text) if self.type == "integer" or text.strip().lstrip("+-").isdigit() else float(text)
        except ValueError:
            return text


Parameters = dict[Annotated[str, Field(pattern=NAME)], Parameter]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants of one run beside the playbook: settings as typed, and the protected site left out."""

    settings: Mapping[str, str] = field(default_factory=dict)
    forced: bool = False


AS_WRITTEN = Wish()


def values(parameters: Mapping[str, Parameter], settings: Mapping[str, str]) -> dict[str, Value]:
    """Return every parameter's value. Settings that are wrong are for ``wrong`` to say."""
    return {name: one.read(settings[name]) if name in settings else one.default for name, one in parameters.items()}


def wrong(parameters: Mapping[str, Parameter], settings: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with the settings, a sentence each."""
    for name, text in settings.items():
        if name not in parameters:
            known = did_you_mean(name, parameters) or f"there are: {', '.join(parameters) or 'none'}"
            yield f"unknown parameter '{name}'; {known}"
        elif lack := parameters[name].lacks(parameters[name].read(text)):
            yield f"parameter '{name}' {lack}"


def _a(word: str) -> str:
    return {"text": "text", "integer": "a whole number", "number": "a number", "boolean": "yes or no"}[word]
