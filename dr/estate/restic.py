"""restic (0.14 and later): encrypted repositories of dumps, by its ``--json`` answers.

A backup is the snapshot with the tag ``karaula=NAME``; its record is a tag as well. The password comes by
RESTIC_PASSWORD on the command's input, never on a command line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from dr.errors import StepFailed
from dr.estate.commands import SHOWN_CHARS, checked
from dr.estate.database import Manifest
from dr.estate.method import Record, unpacked
from dr.estate.postgresql import Source
from dr.estate.scratch import DUMP, ScratchMethod
from dr.estate.shell import Say, Shell, below
from dr.estate.waiting import Deadline
from monitor.clients.ssh import SshResult
from monitor.errors import GarbledReply
from monitor.inventory.backups import ResticStore

TAG, RECORD = "karaula=", "record="
REFUSED_WITHIN_S = 30
REFUSAL = re.compile(r"403 Forbidden|[Pp]ermission denied|[Oo]peration not permitted|Access ?Denied")
REFUSED = rf"Remove\(<snapshot/.*({REFUSAL.pattern})"  # restic's line of one try; not of its cache, or of a lock
# Runs a command and interrupts it as soon as it says something that matches the pattern, its first argument.
UNTIL_SAID = """\
pattern=$1; shift
sh -c 'echo "$$" >&2; exec "$@"' sh "$@" 2>&1 >/dev/null | {
  read -r pid
  while IFS= read -r line; do
    printf '%s\\n' "$line" >&2
    if printf '%s\\n' "$line" | grep -Eq -- "$pattern"; then kill -INT "$pid"; fi
  done
}"""
# That a repository cannot be opened, and why: as the program says it by which restic reaches it, else as restic does.
UNOPENED = re.compile(r"^Fatal: unable to open (?:repository at \S+|config file): (.*)$", re.MULTILINE)
ON_THE_WAY = re.compile(r"^(?:subprocess \w+|rclone): (?!.* NOTICE: )(.*)$", re.MULTILINE)
WRONG = re.compile(r"error|fatal|does not match|missing|unable", re.IGNORECASE)


class Snapshot(BaseModel):
    """One line of ``restic snapshots --json``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    paths: list[str]
    tags: list[str] = []

    def tagged(self, prefix: str) -> str:
        """Return what stands behind ``prefix`` in its tags; empty when none has it."""
        return next((tag.removeprefix(prefix) for tag in self.tags if tag.startswith(prefix)), "")


_SNAPSHOTS = TypeAdapter(list[Snapshot] | None)


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository as ``shell`` reaches it; the shell brings RESTIC_PASSWORD."""

    shell: Shell
    location: str
    options: tuple[str, ...] = ()

    def argv(self, *words: str) -> list[str]:
        """Return restic's command line."""
        options = [word for option in self.options for word in ("-o", option)]
        return ["restic", "--repo", self.location, *options, *words]

    async def snapshots(self, tag: str, deadline: Deadline) -> list[Snapshot]:
        """Return the snapshots with ``tag`` (all for an empty one), oldest first. Raises TargetError, StepFailed."""
        words = ["--no-lock", "--no-cache", "snapshots", "--json", *(["--tag", tag] if tag else [])]
        result = self._checked(await self.shell.run(self.argv(*words), deadline), words)
        try:
            return _SNAPSHOTS.validate_json(result.stdout) or []
        except ValidationError as error:
            raise GarbledReply(f"restic at {self.shell.host.address} printed snapshots that are none") from error

    async def back_up(self, paths: Sequence[str], tags: Sequence[str], deadline: Deadline, say: Say) -> None:
        """Write one snapshot of ``paths``. Raises TargetError, StepFailed (also when a file could not be read)."""
        marks = [word for tag in tags for word in ("--tag", tag)]
        words = ["backup", "--quiet", "--host", "karaula", *marks, "--", *paths]
        await self._must(words, deadline, say)

    async def check(self, read_percent: int, deadline: Deadline, say: Say) -> None:
        """Read the repository's structure, and so much of its data. Raises StepFailed with what is damaged."""
        much = "--read-data" if read_percent == 100 else f"--read-data-subset={read_percent}%"  # noqa: PLR2004
        reading = [much] if read_percent else []
        result = await self.run(["check", *reading], deadline, say)
        if result.exit_status:
            self._opened(result)
            lines = [*result.stderr.splitlines(), *result.stdout.splitlines()]
            wrong = [line.strip() for line in lines if WRONG.search(line)]
            why = "; ".join(dict.fromkeys(wrong))[:400] or "it says nothing"
            raise StepFailed(f"'restic check' finds the repository {self.location} damaged: {why}")

    async def restore(self, snapshot: str, target: str, deadline: Deadline, say: Say) -> None:
        """Restore a snapshot below ``target``. Raises TargetError, StepFailed."""
        await self._must(["restore", snapshot, "--target", target], deadline, say)

    async def remove(self, snapshot: str, deadline: Deadline, say: Say) -> None:
        """Remove a snapshot and what only it used. Raises TargetError, StepFailed."""
        await self._must(["forget", snapshot, "--prune"], deadline, say)

    async def copy(self, snapshot: str, source: str, deadline: Deadline, say: Say) -> None:
        """Copy a snapshot of the repository ``source``, whose password is in RESTIC_FROM_PASSWORD. Raises likewise."""
        # restic takes a second password by a file or by what a command prints, not from its environment.
        words = ["--from-repo", source, "--from-password-command", "printenv RESTIC_FROM_PASSWORD"]
        await self._must(["copy", *words, snapshot], deadline, say)

    async def lets_remove(self, snapshot: str, deadline: Deadline, say: Say) -> bool:
        """Ask to remove a snapshot; tell whether that worked. Raises TargetError, StepFailed.

        restic tries for a minute what is refused it: the first refusal is enough. Where it is not refused, it is done
        at once.
        """
        # In the foreground restic alone is interrupted, not the ssh by which it then takes its lock back.
        limited = ["timeout", "--foreground", "-s", "INT", "-k", "5", str(REFUSED_WITHIN_S)]
        argv = ["sh", "-c", UNTIL_SAID, "sh", REFUSED, *limited, *self.argv("forget", snapshot)]
        tried = await self.shell.run(argv, deadline)
        if snapshot not in {one.id for one in await self.snapshots("", deadline)}:
            return True
        refusal = REFUSAL.search(tried.stderr)
        if refusal is None:
            said = " ".join(tried.stderr.split())[-200:] or "restic says nothing"
            raise StepFailed(f"whether {self.location} refuses to remove a snapshot cannot be told: {said}")
        say(f"asked to remove snapshot {snapshot[:8]}: {refusal[0]}")
        return False

    async def run(self, words: Sequence[str], deadline: Deadline, say: Say) -> SshResult:
        """Run one command; locks that a dead restic left are removed first. Raises TargetError, StepFailed."""
        result = await self.shell.run(self.argv(*words), deadline, say, locked=True)
        if result.exit_status and "already locked" in result.stderr:
            await self.shell.must(self.argv("unlock"), deadline, say, locked=True)
            result = await self.shell.run(self.argv(*words), deadline, say, locked=True)
        return result

    async def _must(self, words: Sequence[str], deadline: Deadline, say: Say) -> None:
        self._checked(await self.run(words, deadline, say), words)

    def _checked(self, result: SshResult, words: Sequence[str]) -> SshResult:
        if result.exit_status:
            self._opened(result)
        return checked(result, self.shell.host, self.argv(*words))

    def _opened(self, result: SshResult) -> None:
        """Raise StepFailed when the command failed for want of the repository; what lies between may come back."""
        unopened = UNOPENED.search(result.stderr)
        if unopened is not None:
            why = (ON_THE_WAY.search(result.stderr) or unopened)[1].strip()[:SHOWN_CHARS]
            said = f"the restic repository {self.location} cannot be opened from {self.shell.host.address}: {why}"
            raise StepFailed(said, retry_helps=True)


@dataclass(frozen=True, slots=True)
class ResticMethod(ScratchMethod):
    """See ``Method``. Dumps go through a file of their own: a dump cut short must never become a snapshot."""

    store: ResticStore
    system: str

    @property
    def repository(self) -> Repository:
        """The store's repository."""
        return Repository(self.shell, self.store.repository, self.store.options)

    async def take(self, site: str, name: str, deadline: Deadline, say: Say) -> Manifest:
        """Dump, then back up the dump with its record."""
        kept = await self.find(name, deadline)
        if kept is not None:
            return kept
        staging = f"taking-{name}"
        try:
            return await self._take(site, name, await self.make_place(staging, 0, deadline), deadline, say)
        finally:  # a dump of production is left nowhere
            await self.discard(staging, deadline, say)

    async def _take(self, site: str, name: str, place: str, deadline: Deadline, say: Say) -> Record:
        path = below(place, DUMP)
        mark = await Source(self.shell, self.postgresql, site).dump(path, deadline, say)
        record = Record(
            backup=name,
            system=self.system,
            records=mark.records,
            position=mark.position,
            newest_id=mark.newest_id,
            sha256=await self.sha256(path, deadline),
            bytes=await self.shell.size(path, deadline),
            taken_at=mark.taken_at,
            restored_bytes=mark.size,
        )
        tags = [f"{TAG}{name}", f"{RECORD}{record.packed()}"]
        await self.repository.back_up([path], tags, deadline, say)
        return record

    async def find(self, name: str, deadline: Deadline) -> Manifest | None:
        """Ask for the snapshot with the backup's tag."""
        found = await self.repository.snapshots(f"{TAG}{name}", deadline)
        return unpacked(found[0].tagged(RECORD)) if found else None

    async def check(self, name: str, deadline: Deadline, say: Say) -> Manifest:
        """Let restic read its repository."""
        await self.repository.check(self.store.read_percent, deadline, say)
        _, record = await self._need(name, deadline)
        return record

    async def restore(self, name: str, scratch: str, deadline: Deadline, say: Say) -> None:
        """Restore the dump; restic itself holds each piece of it against its SHA-256, so its size is left to see."""
        snapshot, record = await self._need(name, deadline)
        place = await self.make_place(scratch, record.restored_bytes + record.bytes, deadline)
        files = below(place, "files")
        await self.repository.restore(snapshot.id, files, deadline, say)
        await self.shell.must(["mv", "--", files + snapshot.paths[0], below(place, DUMP)], deadline)
        found = await self.shell.size(below(place, DUMP), deadline)
        if found != record.bytes:
            raise StepFailed(f"the restored file has {found} bytes, recorded were {record.bytes}")
        await self.filled(place, deadline)

    async def start(self, name: str, scratch: str, deadline: Deadline, say: Say) -> None:
        """Load the dump into a cluster of its own."""
        del name
        await self.throwaway(scratch).load(below(self.place(scratch), DUMP), deadline, say)

    async def names(self, deadline: Deadline) -> frozenset[str]:
        """List the tags of its snapshots."""
        found = await self.repository.snapshots("", deadline)
        return frozenset(name for one in found if (name := one.tagged(TAG)))

    async def remove(self, name: str, deadline: Deadline, say: Say) -> None:
        """Forget its snapshots and prune."""
        for snapshot in await self.repository.snapshots(f"{TAG}{name}", deadline):
            await self.repository.remove(snapshot.id, deadline, say)

    async def _need(self, name: str, deadline: Deadline) -> tuple[Snapshot, Record]:
        found = await self.repository.snapshots(f"{TAG}{name}", deadline)
        if not found:
            raise StepFailed(f"there is no backup {name} in the restic repository {self.store.repository}")
        return found[0], unpacked(found[0].tagged(RECORD))
