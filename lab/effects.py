"""The ledger of effects: every order that the estate was given, whether it changed anything, when and where.

A test proves from it that nothing happened twice: no two effects with ``changed`` for the same step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Effect:
    """One order: ``what`` was done to ``key`` (of ``system``, or "") at Unix time ``at``; ``by`` says over which way.

    ``changed`` is False for a repetition that found the state as wanted already.
    """

    number: int
    at: float
    by: str
    what: str
    key: str
    system: str
    changed: bool
    detail: dict[str, str | int | float | bool] = field(default_factory=dict)


class Effects:
    """Append-only list of effects."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Take the time from ``now`` (Unix seconds)."""
        self._now = now
        self._all: list[Effect] = []

    def record(
        self, by: str, what: str, key: str, *, system: str = "", changed: bool = True, **detail: str | float | bool
    ) -> Effect:
        """Append one effect; ``by`` is e.g. ``ssh``, ``vcenter``, ``redfish``, ``dns``, ``fault``, ``power``."""
        effect = Effect(len(self._all) + 1, self._now(), by, what, key, system, changed, dict(detail))
        self._all.append(effect)
        return effect

    def all(self, system: str | None = None) -> tuple[Effect, ...]:
        """Return all effects, or those of ``system``."""
        return tuple(effect for effect in self._all if system is None or effect.system == system)
