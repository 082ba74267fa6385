"""What every method of backing up can do, whichever tool is beneath; and the record that a backup carries with it.

The manifest is recorded when the backup is taken and kept twice: in the journal and beside the backup itself, so that
an answer that was lost can be asked for again.
"""

from __future__ import annotations

import base64
import binascii
from typing import Protocol

from pydantic import ValidationError

from dr.errors import StepFailed
from dr.estate.database import Count, Manifest, Name, Restored
from dr.estate.shell import Say
from dr.estate.waiting import Deadline


class Record(Manifest):
    """The manifest with what a restore needs to know beyond it.

    ``restored_bytes`` is what the restored copy takes, ``target`` the point of the WAL that it is restored to, ``wal``
    the segment that holds it and ``wal_bytes`` the size of one.
    """

    restored_bytes: Count = 0
    target: Name = ""
    wal: Name = ""
    wal_bytes: Count = 0

    def packed(self) -> str:
        """Return it as one word that any tool keeps as a tag or note."""
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode()


def unpacked(word: str) -> Record:
    """Return the record that ``packed`` made. Raises StepFailed for anything else."""
    try:
        return Record.model_validate_json(base64.urlsafe_b64decode(word))
    except (ValidationError, binascii.Error, ValueError) as error:
        raise StepFailed("the record that stands with the backup cannot be read") from error


class Method(Protocol):
    """One system's backups. All may be repeated; all raise TargetError, CredentialError and StepFailed.

    ``name`` is the backup's, ``scratch`` that of a place that nothing else uses.
    """

    async def take(self, site: str, name: str, deadline: Deadline, say: Say) -> Manifest:
        """Write the backup of the database at ``site``; one that is there already is kept."""
        ...

    async def find(self, name: str, deadline: Deadline) -> Manifest | None:
        """Return the record of the backup as the store has it; None when there is no such backup."""
        ...

    async def check(self, name: str, deadline: Deadline, say: Say) -> Manifest:
        """L1: read what the store holds of the backup; return its manifest as found."""
        ...

    async def restore(self, name: str, scratch: str, deadline: Deadline, say: Say) -> None:
        """L2: restore it, after a look whether there is room."""
        ...

    async def restored(self, scratch: str, deadline: Deadline) -> bool:
        """Tell whether the scratch place is there and was filled to the end."""
        ...

    async def present(self, scratch: str, deadline: Deadline) -> bool:
        """Tell whether anything of the scratch place is there."""
        ...

    async def room(self, scratch: str, deadline: Deadline) -> tuple[int, int]:
        """Return what the scratch place takes and what is left beside it, in bytes; (0, 0) where that has no sense."""
        ...

    async def start(self, name: str, scratch: str, deadline: Deadline, say: Say) -> None:
        """L3: start a server of its own on what was restored."""
        ...

    async def started(self, scratch: str, deadline: Deadline) -> bool:
        """Tell whether that server answers."""
        ...

    async def ask(self, scratch: str, deadline: Deadline, say: Say) -> Restored | None:
        """L4: return what the restored copy answers; None when there is none."""
        ...

    async def discard(self, scratch: str, deadline: Deadline, say: Say) -> None:
        """Stop the server and remove the scratch place."""
        ...

    async def names(self, deadline: Deadline) -> frozenset[str]:
        """Return the names of the backups that the store holds."""
        ...

    async def needed(self, gone: frozenset[str], deadline: Deadline) -> frozenset[str]:
        """Return those of ``gone`` that a backup which is to stay is built on; they must stay as well."""
        ...

    async def remove(self, name: str, deadline: Deadline, say: Say) -> None:
        """Remove the backup from the store."""
        ...
