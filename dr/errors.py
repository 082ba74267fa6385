"""Errors of the recovery half.

KaraulaError (monitor.errors)
├── RunRefused        a guard said no; carries the guard and its named reason
├── IllegalEvent      a journal that does not fold: damaged, or written by a different version
├── PlaybookError     (an InventoryError) mistakes in a playbook or in its arguments
└── StepFailed        an action ran and what came back shows that its effect does not hold
"""

from __future__ import annotations

from monitor.errors import InventoryError, KaraulaError


class RunRefused(KaraulaError):
    """A request that a guard refused; nothing was started."""

    def __init__(self, guard: str, reason: str) -> None:
        """Name the ``guard`` and its ``reason``."""
        self.guard = guard
        self.reason = reason
        super().__init__(f"refused by guard '{guard}': {reason}")


class IllegalEvent(KaraulaError):
    """An event that cannot follow the events before it."""


class PlaybookError(InventoryError):
    """Mistakes in a playbook, or references that its inventory does not answer."""


class StepFailed(KaraulaError):
    """An action ran to its end and its effect does not hold. ``retry_helps`` as in TargetError."""

    def __init__(self, reason: str, *, retry_helps: bool = False) -> None:
        """Say ``reason`` in words fit for a user."""
        self.retry_helps = retry_helps
        super().__init__(reason)
