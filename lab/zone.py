"""A DNS server's copy of the zone: names, addresses and the serial that says which copy is newer."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AddressRecord:
    """An A record; ``name`` is absolute without the final dot, lower case."""

    name: str
    address: str
    ttl_s: int


@dataclass(slots=True)
class Zone:
    """The zone ``origin`` as one server has it."""

    origin: str
    serial: int = 2026010100
    records: dict[str, AddressRecord] = field(default_factory=dict)

    def address(self, name: str) -> AddressRecord | None:
        """Return the A record of ``name`` or None."""
        return self.records.get(_plain(name))

    def put(self, name: str, address: str, ttl_s: int) -> bool:
        """Replace the A record of ``name``; return whether that changed anything (then the serial has grown)."""
        record = AddressRecord(_plain(name), address, ttl_s)
        if self.records.get(record.name) == record:
            return False
        self.records[record.name] = record
        self.serial += 1
        return True

    def remove(self, name: str) -> bool:
        """Delete the A record of ``name``; return whether there was one."""
        if self.records.pop(_plain(name), None) is None:
            return False
        self.serial += 1
        return True

    def copy_from(self, other: Zone) -> bool:
        """Take over ``other`` when it is newer, as a secondary does on its refresh."""
        if other.serial <= self.serial:
            return False
        self.serial, self.records = other.serial, dict(other.records)
        return True


def _plain(name: str) -> str:
    return name.rstrip(".").lower()
