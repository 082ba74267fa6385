"""An alarm: a named condition of one subject, raised once and cleared once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

Severity = Literal["warning", "critical"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """One standing or past alarm.

    ``id`` is the same for ever and everywhere, so a ticket can be opened and closed by it. ``since`` and
    ``cleared_at`` are Unix seconds; ``cleared_at`` is None while it stands. ``cause`` names the alarm that explains
    this one (``site-down site/main``), ``downtime`` the planned downtime that covers it; an alarm with either is shown
    but not sent. ``note`` says why it was cleared.
    """

    id: str
    name: str
    subject: str
    severity: Severity
    since: float
    reason: str
    cleared_at: float | None = None
    cause: str = ""
    note: str = ""
    downtime: str = ""

    @property
    def active(self) -> bool:
        """Whether it still stands."""
        return self.cleared_at is None

    @property
    def key(self) -> str:
        """Name and subject, as ``cause`` refers to it."""
        return f"{self.name} {self.subject}"


@dataclass(frozen=True, slots=True)
class Condition:
    """What an alarm is asked for beside the statuses, reckoned elsewhere.

    ``holds`` tells whether the alarm ``name`` of ``subject`` should stand; None: as it is now. ``words`` are why.
    """

    name: str
    subject: str
    holds: bool | None
    words: str


def alarm_id(name: str, subject: str, since: float) -> str:
    """Return the id of the alarm that was raised at ``since``: 12 hexadecimal digits, hard to confuse."""
    return hashlib.sha256(f"{name}\n{subject}\n{since!r}".encode()).hexdigest()[:12]
