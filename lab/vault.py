"""The backup vault: bytes on its disk, written once, read in full to be believed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from lab.ledger import Database


class DamagedError(Exception):
    """A backup that is missing, cannot be read, or does not match its manifest. The text is for the person."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds: ``records`` up to ``position``, ``bytes`` long with ``sha256``, taken at a Unix time."""

    backup: str
    system: str
    records: int
    position: int
    newest_id: str
    sha256: str
    bytes: int
    taken_at: float


@dataclass(frozen=True, slots=True)
class Restored:
    """What a query of a restored backup answers."""

    records: int
    position: int
    newest_id: str


class Vault:
    """Backups and scratch places by name. All operations may be repeated."""

    def __init__(self, now: Callable[[], float]) -> None:
        """Begin empty."""
        self._now = now
        self.manifests: dict[str, Manifest] = {}  # in the order in which they were taken
        self.data: dict[str, bytearray] = {}
        self.scratches: dict[str, tuple[str, Restored]] = {}

    def write(self, backup: str, database: Database) -> tuple[Manifest, bool]:
        """Write ``backup`` of ``database``; one that exists is kept (then False)."""
        if backup in self.manifests:
            return self.manifests[backup], False
        lines = [
            json.dumps({"system": database.system, "backup": backup}),
            *(json.dumps(asdict(record), sort_keys=True) for record in database.records),
        ]
        data = "\n".join(lines).encode()
        manifest = Manifest(
            backup=backup,
            system=database.system,
            records=len(database.records),
            position=database.position,
            newest_id=database.records[-1].id if database.records else "",
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            taken_at=self._now(),
        )
        self.manifests[backup], self.data[backup] = manifest, bytearray(data)
        return manifest, True

    def check(self, backup: str) -> Manifest:
        """Read all of ``backup`` and return its manifest as computed from what was read. Raises DamagedError."""
        manifest = self.manifests.get(backup)
        if manifest is None:
            raise DamagedError(f"backup {backup} is missing")
        data = bytes(self.data[backup])
        digest = hashlib.sha256(data).hexdigest()
        if digest != manifest.sha256 or len(data) != manifest.bytes:
            raise DamagedError(f"backup {backup} is damaged: sha256 is {digest}, the manifest says {manifest.sha256}")
        found = _read(backup, data)
        return Manifest(
            backup=backup,
            system=manifest.system,
            records=found.records,
            position=found.position,
            newest_id=found.newest_id,
            sha256=digest,
            bytes=len(data),
            taken_at=manifest.taken_at,
        )

    def restore(self, backup: str, scratch: str) -> tuple[Restored, bool]:
        """Restore ``backup`` into ``scratch``; False when it stands there already. Raises DamagedError."""
        self.check(backup)
        restored = _read(backup, bytes(self.data[backup]))
        changed = self.scratches.get(scratch) != (backup, restored)
        self.scratches[scratch] = (backup, restored)
        return restored, changed

    def query(self, scratch: str) -> Restored:
        """Return what the restored copy holds. Raises DamagedError when there is none."""
        if scratch not in self.scratches:
            raise DamagedError(f"there is no scratch place {scratch}")
        return self.scratches[scratch][1]

    def discard(self, scratch: str) -> bool:
        """Remove a scratch place; False when there was none."""
        return self.scratches.pop(scratch, None) is not None

    def newest(self, system: str) -> str | None:
        """Return the name of the newest backup of ``system``."""
        names = [name for name, manifest in self.manifests.items() if manifest.system == system]
        return names[-1] if names else None

    def corrupt(self, backup: str) -> None:
        """Flip one bit in the middle of ``backup``, as a failing disk does. Raises KeyError."""
        data = self.data[backup]
        data[len(data) // 2] ^= 0x01


def _read(backup: str, data: bytes) -> Restored:
    try:
        records = [json.loads(line) for line in data.decode().split("\n")[1:]]
        if not records:
            return Restored(0, 0, "")
        return Restored(len(records), records[-1]["position"], records[-1]["id"])
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError) as error:
        raise DamagedError(f"backup {backup} cannot be read: {error}") from error
