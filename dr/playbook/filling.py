"""Filling a step's arguments in: every reference is looked up, and what leads nowhere is said with its place. Pure.

``${steps.ID.OUTPUT}`` stays as it is; that the step, the output and the order exist is checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from dr.playbook.model import Step, ancestors
from dr.playbook.reference import PATH, REFERENCE, ROOTS, members
from dr.playbook.subject import ActionShape, Subject
from monitor.problem import did_you_mean


@dataclass(frozen=True, slots=True)
class Filling:
    """What references of one playbook may lead to. ``mistake`` is told a path into the file, a message and a hint."""

    subject: Subject
    actions: Mapping[str, ActionShape]
    by_id: Mapping[str, Step]
    final: set[str]
    parameters: Mapping[str, Any]
    mistake: Callable[..., None]

    def fill(self, path: tuple[str | int, ...], value: Any, step: Step) -> Any:
        """Return ``value``, an argument of ``step`` or a part of one, with its references resolved."""
        if isinstance(value, str):
            whole = REFERENCE.fullmatch(value)
            if whole:
                return self._look_up(path, whole[1], step, value)
            if "${" in REFERENCE.sub("", value):
                self.mistake(path, "a '${' without its '}'", "write for example ${system.service.fqdn}")
                return value
            return REFERENCE.sub(lambda match: self._text(path, match, step), value)
        if isinstance(value, Mapping):
            return {key: self.fill((*path, key), item, step) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.fill((*path, index), item, step) for index, item in enumerate(value)]
        return value

    def _text(self, path: tuple[str | int, ...], match: re.Match[str], step: Step) -> str:
        found = self._look_up(path, match[1], step, match[0])
        if isinstance(found, list):
            self.mistake(path, f"'{match[1]}' is a list; it cannot stand inside a text")
        return str(found)

    def _look_up(  # noqa: PLR0911 - a table: one return for each root
        self, path: tuple[str | int, ...], reference: str, step: Step, text: str
    ) -> Any:
        if not PATH.fullmatch(reference):
            self.mistake(path, f"'${{{reference}}}' is not a path", "write for example ${system.service.fqdn}")
            return text
        root, *rest = reference.split(".")
        if root == "steps":
            self._check_output(path, rest, step)
            return text
        if root == "run":
            if rest == ["id"]:
                return self.subject.run_id
            self.mistake(path, f"unknown reference '{reference}'", "did you mean 'run.id'?")
            return text
        if root == "parameters":
            return self._parameter(path, ".".join(rest), text)
        system = self.subject.inventory.systems[self.subject.system]
        roots: dict[str, tuple[Any, str, str]] = {
            "system": (system, "key", self.subject.system),
            "from": (system.sites.get(self.subject.from_site), "site", self.subject.from_site),
            "to": (system.sites.get(self.subject.to_site), "site", self.subject.to_site),
        }
        if root not in roots:
            self.mistake(path, f"unknown reference '{reference}'", did_you_mean(root, ROOTS))
            return text
        value, own_name, own_value = roots[root]
        return own_value if rest == [own_name] else self._walk(path, reference, value, rest)

    def _parameter(self, path: tuple[str | int, ...], name: str, text: str) -> Any:
        if name not in self.parameters:
            self.mistake(path, f"unknown parameter '{name}'", did_you_mean(name, self.parameters))
        return self.parameters.get(name, text)

    def _walk(self, path: tuple[str | int, ...], reference: str, value: Any, rest: list[str]) -> Any:
        walked: list[str] = []
        for name in rest:
            known = members(value)
            if name not in known:
                where = ".".join([reference.split(".", maxsplit=1)[0], *walked])
                self.mistake(path, f"'{where}' has no '{name}'", did_you_mean(name, known))
                return None
            value = known[name]
            walked.append(name)
        if isinstance(value, (BaseModel, Mapping)):
            self.mistake(path, f"'{reference}' is a section, not a value", did_you_mean("", members(value)))
        elif value is None:
            self.mistake(path, f"the inventory does not say '{reference}' for {self.subject.system}")
        return list(value) if isinstance(value, tuple) else value

    def _check_output(self, path: tuple[str | int, ...], rest: list[str], step: Step) -> None:
        if len(rest) != 2:  # noqa: PLR2004 - steps.ID.OUTPUT
            self.mistake(path, "a step's output is written ${steps.ID.OUTPUT}")
            return
        other_id, output = rest
        other = self.by_id.get(other_id)
        if other is None:
            self.mistake(path, f"unknown step '{other_id}'", did_you_mean(other_id, self.by_id))
            return
        if step.id not in self.final and other_id not in ancestors(self.by_id, step.id):
            self.mistake(
                path,
                f"step '{step.id}' uses an output of '{other_id}' but does not need it",
                f"add '{other_id}' to needs",
            )
        if other.on_failure == "continue" and step.id not in self.final:
            self.mistake(
                path,
                f"step '{other_id}' may be passed over (on_failure: continue) and then yields nothing",
                f"use 'stop' there, or do without its output in '{step.id}'",
            )
        action = self.actions.get(other.action)
        if action is not None and output not in action.outputs:
            self.mistake(path, f"'{other.action}' has no output '{output}'", did_you_mean(output, action.outputs))
