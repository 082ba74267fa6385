"""The lease: the time-limited right to act, with an epoch that grows each time it is taken.

Who holds it renews it; who cannot renew it in time stops acting before it can run out, takes it again under a higher
epoch, and goes on as after a restart. Times are the clock's monotonic seconds: no wall clock decides who may act.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from monitor.errors import KaraulaError


class LeaseLost(KaraulaError):
    """The lease has run out, or is somebody else's now; it must be taken again."""


@dataclass(frozen=True, slots=True)
class Held:
    """A lease as it stands: who acts must have stopped by ``until`` (monotonic seconds)."""

    epoch: int
    until: float


@dataclass(frozen=True, slots=True)
class Tenancy:
    """What guards are told of the lease: whether it is held now, its epoch, and why not."""

    held: bool
    epoch: int
    why: str = ""


class Lease(Protocol):
    """Where the right to act is kept (``dr.leases``). Methods may block; they are called in a thread of their own."""

    def acquire(self) -> Held:
        """Take the lease under the next epoch. Raises LeaseLost while it is another's, StateError."""
        ...

    def renew(self) -> Held:
        """Prolong it. Raises LeaseLost when it has run out or is another's, StateError when that cannot be told."""
        ...

    def release(self) -> None:
        """Give it up. Raises nothing."""
        ...
