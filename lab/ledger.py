"""A system's replicated ledger of declarations: one database at each site, one epoch counter, asynchronous shipping.

The rules, which the tests state as properties:

- Only a primary takes declarations. A standby that follows its peer receives each record ``delay_s`` after it was
  written (or after the connection came back), in order, while both are alive; so what the primary wrote in its last
  ``delay_s`` is missing at the standby when the primary dies. A demoted peer still ships what it has.
- A standby never changes what it has: it receives only while its records are a prefix of its peer's. A standby that has
  gone another way (an old primary) must be told to ``follow``, which throws away what the peer does not have.
- Every database remembers the highest epoch it has seen (told or received). A command with a lower one is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Role = Literal["primary", "standby", "stopped"]


class StaleEpochError(Exception):
    """The epoch of the command is lower than one that the database has seen."""


class NotPrimaryError(Exception):
    """A declaration came to a database that is not primary."""


class PeerUnreachableError(Exception):
    """``follow`` needs the peer's records, and the peer does not answer."""


@dataclass(frozen=True, slots=True)
class Record:
    """An accepted declaration: ``position`` counts from 1, ``at`` is the Unix time of acceptance by the primary."""

    position: int
    id: str
    epoch: int
    at: float


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """What ``ledgerctl status`` prints; ``received_at`` is the Unix time of the newest record's arrival here.

    ``discarded`` counts what the last ``follow`` threw away.
    """

    role: Role
    position: int
    received_at: float
    epoch: int
    discarded: int


class Database:
    """The database of one system at one site. Replication is moved by ``receive``, which the estate calls."""

    def __init__(self, system: str, site: str, role: Role, now: Callable[[], float]) -> None:
        """Begin empty, at epoch 1."""
        self.system = system
        self.site = site
        self._now = now
        self._role: Role = role
        self.epoch = 1
        self.peer: Database | None = None
        self.following = role == "standby"
        self.connected_since: float | None = None
        self.stopped = False
        self.received_at = now()
        self.discarded = 0
        self.records: list[Record] = []
        self._ids: dict[str, int] = {}

    @property
    def role(self) -> Role:
        """Primary, standby, or stopped (while the service is stopped, whatever it was)."""
        return "stopped" if self.stopped else self._role

    @property
    def position(self) -> int:
        """The position of the newest record; 0 when empty."""
        return len(self.records)

    def has(self, declaration: str) -> bool:
        """Tell whether the declaration is in the ledger here."""
        return declaration in self._ids

    def status(self) -> DatabaseStatus:
        """Return what the database says of itself."""
        return DatabaseStatus(self.role, self.position, self.received_at, self.epoch, self.discarded)

    def append(self, declaration: str) -> Record:
        """Accept a declaration; one that is here already gives its record again. Raises NotPrimaryError."""
        if self.role != "primary":
            raise NotPrimaryError(f"{self.system} at {self.site} is {self.role}")
        if declaration in self._ids:
            return self.records[self._ids[declaration] - 1]
        record = Record(self.position + 1, declaration, self.epoch, self._now())
        self._put(record)
        return record

    def promote(self, epoch: int) -> bool:
        """Become primary under ``epoch``; False when it was that already. Raises StaleEpochError."""
        self._see(epoch)
        if self._role == "primary" and self.epoch == epoch:
            return False
        self._role, self.epoch, self.following = "primary", epoch, False
        return True

    def demote(self, epoch: int) -> bool:
        """Stop writing and follow the peer; False when it was a standby already. Raises StaleEpochError."""
        self._see(epoch)
        changed = self._role == "primary" or not self.following
        self._role, self.epoch, self.following = "standby", epoch, True
        return changed

    def follow(self, *, peer_alive: bool) -> int:
        """Throw away what the peer does not have, become its standby; return how many records were thrown away.

        Raises PeerUnreachableError.
        """
        if self.peer is None or not peer_alive:
            raise PeerUnreachableError(f"{self.system} at {self.site}: its peer does not answer")
        common = self._common(self.peer)
        gone = self.records[common:]
        for record in gone:
            del self._ids[record.id]
        del self.records[common:]
        if gone and self.records:
            self.received_at = self.records[-1].at
        if gone or self._role != "standby":
            self.discarded = len(gone)
        self._role, self.following = "standby", True
        self.epoch = max(self.epoch, self.peer.epoch)
        return len(gone)

    def receive(self, now: float, delay_s: float) -> int:
        """Take over from the peer what is ``delay_s`` old; return how many records came.

        The estate calls this only while both are alive and connected since ``connected_since``.
        """
        peer = self.peer
        if peer is None or self.role != "standby" or not self.following or self.connected_since is None:
            return 0
        if not self._is_prefix_of(peer):
            return 0
        came = 0
        for record in peer.records[self.position :]:
            arrival = max(record.at, self.connected_since) + delay_s
            if arrival > now:
                break
            self._put(record, received_at=arrival)
            came += 1
        if came and self.records[-1].epoch > self.epoch:
            self.epoch = self.records[-1].epoch
        return came

    def copy(self) -> Database:
        """Return an isolated primary with the same records: what a drill's clone of the database is."""
        twin = Database(self.system, self.site, "primary", self._now)
        twin.epoch = self.epoch
        for record in self.records:
            twin._put(record, received_at=record.at)
        twin.received_at = self.received_at
        return twin

    def _see(self, epoch: int) -> None:
        if epoch < self.epoch:
            raise StaleEpochError(f"stale epoch {epoch}: {self.system} at {self.site} has seen {self.epoch}")

    def _put(self, record: Record, received_at: float | None = None) -> None:
        self.records.append(record)
        self._ids[record.id] = record.position
        self.received_at = record.at if received_at is None else received_at

    def _is_prefix_of(self, peer: Database) -> bool:
        if self.position > peer.position:
            return False
        return self.position == 0 or self.records[-1] == peer.records[self.position - 1]

    def _common(self, peer: Database) -> int:
        low, high = 0, min(self.position, peer.position)
        while low < high:  # records carry position and epoch, so equality at a place means equality up to it
            middle = (low + high + 1) // 2
            if self.records[middle - 1] == peer.records[middle - 1]:
                low = middle
            else:
                high = middle - 1
        return low
