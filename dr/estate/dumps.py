"""pg_dump into files of a folder of the vault (PostgreSQL 15, pg_dump and pg_restore; custom format).

A backup is two files: ``NAME.dump``, and ``NAME.json``, its record, which is written last.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from dr.errors import StepFailed
from dr.estate.database import Manifest
from dr.estate.method import Record
from dr.estate.postgresql import Source
from dr.estate.scratch import DUMP, ScratchMethod
from dr.estate.shell import Say, below
from dr.estate.waiting import Deadline
from monitor.inventory.backups import DumpStore


@dataclass(frozen=True, slots=True)
class DumpMethod(ScratchMethod):
    """See ``Method``."""

    store: DumpStore
    system: str

    async def take(self, site: str, name: str, deadline: Deadline, say: Say) -> Manifest:
        """Dump into a file that gets its name when it is whole and on the disk."""
        kept = await self._record(name, deadline)
        if kept is not None:
            return kept
        path = self._file(name, "dump")
        part = f"{path}.part"
        await self.shell.must(["mkdir", "-p", "-m", "700", "--", self.store.folder], deadline)
        mark = await Source(self.shell, self.postgresql, site).dump(part, deadline, say)
        digest, size = await self.sha256(part, deadline), await self.shell.size(part, deadline)
        await self.shell.must(["sync", part], deadline)
        await self.shell.must(["mv", "-f", "--", part, path], deadline)
        record = Record(
            backup=name,
            system=self.system,
            records=mark.records,
            position=mark.position,
            newest_id=mark.newest_id,
            sha256=digest,
            bytes=size,
            taken_at=mark.taken_at,
            restored_bytes=mark.size,
        )
        await self.shell.put(self._file(name, "json"), record.model_dump_json(), deadline, durable=True)
        return record

    async def find(self, name: str, deadline: Deadline) -> Manifest | None:
        """Read its record and look whether its dump is there."""
        record = await self._record(name, deadline)
        return record if record and await self.shell.exists(self._file(name, "dump"), deadline) else None

    async def check(self, name: str, deadline: Deadline, say: Say) -> Manifest:
        """Read the whole dump."""
        record = await self._need(name, deadline)
        path = self._file(name, "dump")
        say(f"reading {path}")
        size = await self.shell.size(path, deadline)
        return record.model_copy(update={"sha256": await self.sha256(path, deadline), "bytes": size})

    async def restore(self, name: str, scratch: str, deadline: Deadline, say: Say) -> None:
        """Unpack the whole dump into the scratch place, as a restore would read it."""
        record = await self._need(name, deadline)
        place = await self.make_place(scratch, record.restored_bytes + record.bytes, deadline)
        copy = below(place, DUMP)
        await self.shell.must(["cp", "--reflink=auto", "--", self._file(name, "dump"), copy], deadline, say)
        await self.same(copy, record.sha256, deadline)
        unpack = [below(self.postgresql.programs, "pg_restore"), "--file=/dev/null", copy]
        await self.shell.must(unpack, deadline, say)
        await self.filled(place, deadline)

    async def start(self, name: str, scratch: str, deadline: Deadline, say: Say) -> None:
        """Load the dump into a cluster of its own."""
        del name
        await self.throwaway(scratch).load(below(self.place(scratch), DUMP), deadline, say)

    async def names(self, deadline: Deadline) -> frozenset[str]:
        """List the records."""
        printed = await self.shell.must(
            ["find", self.store.folder, "-maxdepth", "1", "-name", "*.json", "-printf", "%f\\n"], deadline
        )
        return frozenset(line.removesuffix(".json") for line in printed.splitlines())

    async def remove(self, name: str, deadline: Deadline, say: Say) -> None:
        """Remove both files, the record first: a dump without it is none."""
        paths = [self._file(name, "json"), self._file(name, "dump")]
        await self.shell.must(["rm", "-f", "--", *paths], deadline, say, locked=True)

    def second(self, name: str) -> list[str]:
        """Return the files that a second copy of the backup consists of."""
        return [self._file(name, "dump"), self._file(name, "json")]

    # -- inside --------------------------------------------------------------------------------------------------------

    def _file(self, name: str, ending: str) -> str:
        return below(self.store.folder, f"{name}.{ending}")

    async def _record(self, name: str, deadline: Deadline) -> Record | None:
        path = self._file(name, "json")
        if not await self.shell.exists(path, deadline):
            return None
        try:
            return Record.model_validate_json(await self.shell.must(["cat", "--", path], deadline))
        except ValidationError as error:
            raise StepFailed(f"the record {path} of backup {name} cannot be read") from error

    async def _need(self, name: str, deadline: Deadline) -> Record:
        record = await self._record(name, deadline)
        if record is None or not await self.shell.exists(self._file(name, "dump"), deadline):
            raise StepFailed(f"there is no backup {name} in {self.store.folder} at {self.shell.host.address}")
        return record
