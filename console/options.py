"""What `karaula serve` is started with; none of it changes while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from monitor.inventory.shard import WHOLE, Shard


@dataclass(frozen=True, slots=True)
class Options:
    """Where the daemon finds and keeps things, where it listens, and which part of the estate it watches.

    With ``last_good`` it starts with what held last, while what people wrote has mistakes.
    """

    inventory: Path
    playbooks: Path
    state: Path
    credentials: Path | None
    host: str = "127.0.0.1"
    port: int = 8470
    socket: Path | None = None
    shard: Shard = WHOLE
    last_good: bool = False
