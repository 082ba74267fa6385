"""pgBackRest (2.45 and later): physical backups and WAL, by its ``--output=json`` answers.

A backup is the one annotated ``karaula=NAME``; its record is an annotation as well. It is restored to a point that was
set in the WAL while nobody wrote, so that its content can be compared to the row. ``pgbackrest verify`` ends with exit
status 0 whatever it finds, and does not see that a segment of the WAL is missing: its words are read, and the segments
counted here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dr.errors import StepFailed
from dr.estate.commands import silent
from dr.estate.database import Manifest
from dr.estate.method import Record, unpacked
from dr.estate.postgresql import Source
from dr.estate.scratch import ScratchMethod
from dr.estate.shell import Say, Shell, below
from dr.estate.waiting import Deadline
from monitor.errors import GarbledReply
from monitor.inventory.backups import PgbackrestStore

TAG, RECORD = "karaula", "record"
NO_BACKUP = 2  # a stanza's status
UNREADABLE = "unable to load info file"
ARCHIVED_EVERY_S = 0.5
SEGMENT = re.compile(r"[0-9A-F]{24}")
_FOUR_GIB = 1 << 32


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Status(_Told):
    code: int
    message: str


class _Info(_Told):
    size: int


class _Span(_Told):
    start: str | None
    stop: str | None


class _Of(_Told):
    id: int


class Entry(_Told):
    """One backup of ``pgbackrest info``."""

    label: str
    annotation: dict[str, str] = Field(default_factory=dict)
    archive: _Span
    database: _Of
    error: bool | None = None
    info: _Info
    reference: list[str] | None = None


class _Archive(_Told):
    id: str
    database: _Of


class Stanza(_Told):
    """One stanza of ``pgbackrest info``."""

    status: _Status
    archive: list[_Archive]
    backup: list[Entry]


_STANZAS = TypeAdapter(list[Stanza])
_FILES = TypeAdapter(dict[str, dict[str, object]])


@dataclass(frozen=True, slots=True)
class Stanzas:
    """One stanza as ``shell`` reaches it; the shell brings the repository's key where the configuration has none."""

    shell: Shell
    name: str
    config: str
    repository: int

    def argv(self, *words: str) -> list[str]:
        """Return pgBackRest's command line; it tells no progress but what is asked for."""
        quiet = () if any(word.startswith("--log-level-console") for word in words) else ("--log-level-console=warn",)
        only = () if words[-1] == "annotate" else (f"--repo={self.repository}",)
        return ["pgbackrest", f"--config={self.config}", f"--stanza={self.name}", *quiet, *only, *words]

    async def must(self, words: Sequence[str], deadline: Deadline, say: Say = silent, *, locked: bool = True) -> str:
        """Run what must end well; return what it printed. Raises TargetError, StepFailed."""
        return await self.shell.must(self.argv(*words), deadline, say, locked=locked)

    async def stanza(self, deadline: Deadline) -> Stanza:
        """Return what the repository holds. Raises StepFailed when it cannot be opened: a wrong key, a lost disk."""
        printed = await self.must(["--output=json", "info"], deadline, locked=False)
        closed = f"the repository of stanza {self.name} cannot be opened: is its key right, is its disk there?"
        try:
            found = _STANZAS.validate_json(printed)[0]
        except (ValidationError, IndexError) as error:
            if UNREADABLE in printed:  # with a wrong key it quotes the bytes that it cannot read, which is no JSON
                raise StepFailed(closed) from error
            raise GarbledReply(f"pgbackrest at {self.shell.host.address} printed an info that is none") from error
        if found.status.code not in {0, NO_BACKUP}:
            raise StepFailed(f"{closed} pgbackrest says '{found.status.message}'")
        return found

    async def named(self, name: str, deadline: Deadline) -> Entry | None:
        """Return the backup that is annotated with ``name``. Raises as ``stanza``."""
        found = await self.stanza(deadline)
        return next((entry for entry in found.backup if entry.annotation.get(TAG) == name), None)

    async def back_up(self, name: str, kind: str, deadline: Deadline, say: Say) -> Entry:
        """Take a backup and return it. Raises TargetError, StepFailed."""
        await self.must([f"--type={kind}", f"--annotation={TAG}={name}", "backup"], deadline, say)
        entry = await self.named(name, deadline)
        if entry is None:
            raise StepFailed(f"pgbackrest ended well, but stanza {self.name} has no backup {name}")
        return entry

    async def verify(self, labels: set[str], deadline: Deadline, say: Say) -> None:
        """Read every file of the repository. Raises StepFailed with what is wrong with ``labels`` or the archive."""
        result = await self.shell.run(self.argv("--log-level-console=info", "verify"), deadline, say, locked=True)
        wrong = damage(result.stdout + "\n" + result.stderr, labels)
        if result.exit_status and not wrong:
            wrong = [f"it ended with exit status {result.exit_status}: {result.stderr.strip()[:200]}"]
        if wrong:
            raise StepFailed(f"'pgbackrest verify' finds stanza {self.name} damaged: {'; '.join(wrong)[:400]}")

    async def restore(self, label: str, data: str, until: Sequence[str], deadline: Deadline, say: Say) -> None:
        """Restore a backup's files into ``data``; ``until`` says how far its WAL is to bring it. Raises likewise.

        ``label`` may be ``latest``, which pgBackRest takes without being told, and calls no valid set when it is.
        """
        which = [] if label == "latest" else [f"--set={label}"]
        place = [f"--pg1-path={data}", "--reset-pg1-host", f"--tablespace-map-all={data}.tablespaces"]
        await self.must([*which, *place, *until, "restore"], deadline, say)

    async def segments(self, entry: Entry, deadline: Deadline) -> frozenset[str]:
        """Return the names of the WAL segments in the archive of the backup's cluster. Raises likewise."""
        archives = (await self.stanza(deadline)).archive
        archive = next((one.id for one in archives if one.database.id == entry.database.id), "")
        words = ["--recurse", "--output=json", "repo-ls", f"archive/{self.name}/{archive}"]
        printed = await self.must(words, deadline, locked=False)
        try:
            files = _FILES.validate_json(printed)
        except ValidationError as error:
            raise GarbledReply(f"pgbackrest at {self.shell.host.address} listed an archive that is none") from error
        names = (path.rpartition("/")[2] for path in files)
        return frozenset(name[:24] for name in names if SEGMENT.match(name) and name[24:25] == "-")

    async def digest(self, entry: Entry, deadline: Deadline) -> str:
        """Return the hash of pgBackRest's manifest, which itself has the checksum of every file. Raises likewise."""
        path = f"backup/{self.name}/{entry.label}/backup.manifest"
        script = 'set -o pipefail; "$@" | sha256sum'
        printed = await self.shell.must(["bash", "-c", script, "bash", *self.argv("repo-get", path)], deadline)
        return printed.split()[0]


@dataclass(frozen=True, slots=True)
class PgbackrestMethod(ScratchMethod):
    """See ``Method``."""

    store: PgbackrestStore
    system: str

    @property
    def stanzas(self) -> Stanzas:
        """The store's stanza."""
        return Stanzas(self.shell, self.store.stanza, self.store.config, self.store.repository)

    async def take(self, site: str, name: str, deadline: Deadline, say: Say) -> Manifest:
        """Back up, then record what the database holds at a point of the WAL behind it, once that is archived."""
        stanzas = self.stanzas
        entry = await stanzas.named(name, deadline) or await stanzas.back_up(name, self.store.kind, deadline, say)
        if RECORD in entry.annotation:
            return unpacked(entry.annotation[RECORD])
        point = f"karaula_{hashlib.sha256(f'{name} {deadline.clock.now()}'.encode()).hexdigest()[:16]}"
        mark = await Source(self.shell, self.postgresql, site).mark(point, deadline, say)
        while mark.wal not in await stanzas.segments(entry, deadline):
            if deadline.over:
                raise StepFailed(f"WAL segment {mark.wal} was not archived in time: does archive_command work?")
            await deadline.clock.sleep(ARCHIVED_EVERY_S)
        record = Record(
            backup=name,
            system=self.system,
            records=mark.records,
            position=mark.position,
            newest_id=mark.newest_id,
            sha256=await stanzas.digest(entry, deadline),
            bytes=entry.info.size,
            taken_at=mark.taken_at,
            restored_bytes=entry.info.size,
            target=point,
            wal=mark.wal,
            wal_bytes=mark.wal_bytes,
        )
        words = [f"--set={entry.label}", f"--annotation={RECORD}={record.packed()}", "annotate"]
        await stanzas.must(words, deadline)
        return record

    async def find(self, name: str, deadline: Deadline) -> Manifest | None:
        """Ask for the backup with this annotation; one whose point was never recorded does not count."""
        entry = await self.stanzas.named(name, deadline)
        return unpacked(entry.annotation[RECORD]) if entry is not None and RECORD in entry.annotation else None

    async def check(self, name: str, deadline: Deadline, say: Say) -> Manifest:
        """Let pgBackRest read every file of the repository, and count the WAL from the backup to its point."""
        entry, record = await self._need(name, deadline)
        await self.stanzas.verify({entry.label, *(entry.reference or ())}, deadline, say)
        there = await self.stanzas.segments(entry, deadline)
        missing = [one for one in segments(entry.archive.start or "", record.wal, record.wal_bytes) if one not in there]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            where = f"the archive of stanza {self.store.stanza}"
            raise StepFailed(f"WAL segment {missing[0]}{more} is missing from {where}")
        return record.model_copy(
            update={"sha256": await self.stanzas.digest(entry, deadline), "bytes": entry.info.size}
        )

    async def restore(self, name: str, scratch: str, deadline: Deadline, say: Say) -> None:
        """Restore the cluster's files; the WAL is fetched when the server starts."""
        entry, record = await self._need(name, deadline)
        place = await self.make_place(scratch, record.restored_bytes, deadline)
        until = ("--type=name", f"--target={record.target}", "--target-action=promote")
        await self.stanzas.restore(entry.label, below(place, "data"), until, deadline, say)
        await self.filled(place, deadline)

    async def start(self, name: str, scratch: str, deadline: Deadline, say: Say) -> None:
        """Start PostgreSQL on the restored files; it is up when its WAL has brought it to the recorded point."""
        del name
        await self.throwaway(scratch).start(deadline, say)

    async def names(self, deadline: Deadline) -> frozenset[str]:
        """List the annotated backups."""
        found = await self.stanzas.stanza(deadline)
        return frozenset(entry.annotation[TAG] for entry in found.backup if TAG in entry.annotation)

    async def needed(self, gone: frozenset[str], deadline: Deadline) -> frozenset[str]:
        """Return those of ``gone`` that another backup is built on: pgBackRest would remove that one as well."""
        found = (await self.stanzas.stanza(deadline)).backup
        stay = {one for entry in found if entry.annotation.get(TAG) not in gone for one in entry.reference or ()}
        return frozenset(entry.annotation[TAG] for entry in found if TAG in entry.annotation and entry.label in stay)

    async def remove(self, name: str, deadline: Deadline, say: Say) -> None:
        """Expire it; with a full one go those that are built on it."""
        entry = await self.stanzas.named(name, deadline)
        if entry is not None:
            await self.stanzas.must([f"--set={entry.label}", "expire"], deadline, say)

    async def _need(self, name: str, deadline: Deadline) -> tuple[Entry, Record]:
        entry = await self.stanzas.named(name, deadline)
        if entry is None:
            raise StepFailed(f"there is no backup {name} in stanza {self.store.stanza}")
        if RECORD not in entry.annotation:
            raise StepFailed(f"backup {name} has no record: it was never finished")
        return entry, unpacked(entry.annotation[RECORD])


def damage(said: str, labels: set[str]) -> list[str]:
    """Return what ``pgbackrest verify`` says is wrong with the archive or with the backups ``labels``."""
    found = []
    for line in said.splitlines():
        head = re.match(r"^.*?P\d\d\s+([A-Z]+):\s*", line)
        text = (line[head.end() :] if head else line).strip()
        other = re.match(r"(?:invalid \w+ ')?(?:backup: )?(\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?)", text)
        if other is not None and other[1] not in labels:
            continue
        if (head and head[1] == "ERROR") or text.startswith(("invalid ", "ERROR:")) or "status: invalid" in text:
            found.append(text)
    return list(dict.fromkeys(found))


def segments(first: str, last: str, size: int) -> Iterator[str]:
    """Yield the names of the WAL segments of ``size`` bytes from ``first`` to ``last`` (PostgreSQL, 30.6).

    Raises StepFailed when they are of two timelines: between a backup and its point nobody is promoted.
    """
    if not SEGMENT.fullmatch(first) or not SEGMENT.fullmatch(last) or size <= 0:
        raise StepFailed("the backup does not say which WAL it needs")
    if first[:8] != last[:8]:
        raise StepFailed(f"the backup's WAL is of two timelines, {first} and {last}: take another backup")
    per_file = _FOUR_GIB // size
    begin, end = (int(one[8:16], 16) * per_file + int(one[16:], 16) for one in (first, last))
    for number in range(begin, end + 1):
        yield f"{first[:8]}{number // per_file:08X}{number % per_file:08X}"
