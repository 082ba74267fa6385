"""How a server appears to those who call it."""

from __future__ import annotations

from enum import Enum


class Presence(Enum):
    """Alive, hanging (accepts and never answers) or dead (refuses and aborts; for UDP: silence)."""

    ALIVE = "alive"
    HANGING = "hanging"
    DEAD = "dead"
