"""The small records that the truth is told in."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LinkState:
    """How a link treats a packet: ``rtt_ms`` both ways together, ``jitter_ms`` its spread, requests lost in percent."""

    cut: bool
    rtt_ms: float
    jitter_ms: float
    loss_percent: float


@dataclass(frozen=True, slots=True)
class SensorState:
    """What a sensor says, in its unit. ``faulty``: the device answers outside of what is valid or "no such"."""

    value: float
    faulty: bool
    garbled: bool


@dataclass(frozen=True, slots=True)
class OutletState:
    """What the power controller says of an outlet group, and what is true of it."""

    on: bool
    watts: int
    feeds: bool


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that the sink received; ``data`` is the message as sent."""

    at: float
    sender: str
    recipients: tuple[str, ...]
    data: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request that the ticket sink received; ``body`` is its JSON text."""

    at: float
    method: str
    path: str
    body: str


@dataclass(slots=True)
class Acknowledged:
    """What the clients of a system were told is accepted, as the gateway logged it."""

    ids: list[str] = field(default_factory=list)
    newest_position: int = 0
    newest_at: float = 0.0
    newest_site: str = ""
    refused: int = 0

    def acknowledge(self, declaration: str, site: str, position: int, at: float) -> None:
        """Log an acknowledgement; answers of one site may overtake each other."""
        self.ids.append(declaration)
        overtaken = site == self.newest_site and position < self.newest_position
        if not overtaken:
            self.newest_site, self.newest_position, self.newest_at = site, position, at


@dataclass(slots=True)
class Writable:
    """The memory of a system's invariant: the pairs of sites that were writable at once, with the time it began."""

    now: tuple[str, ...] = ()
    doubles: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)


@dataclass(slots=True)
class Outlet:
    """An outlet group: the switch as set."""

    on: bool = True
