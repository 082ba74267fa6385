"""Ansible's playbooks, carried out by ansible-runner in processes of their own.

Neither is imported: ansible-core is under the GPL, and what a playbook does must not be able to hold up or bring down
the daemon. All that a play needs lies in a folder of its own that nobody else can read, and is gone with it; every
process that a play leaves behind is killed, also those of a daemon that died (``sweep``): what was let go of must not
come about after somebody has looked. Source: ansible-runner's documentation, "Introduction" (the private data
directory) and "Job Events".
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import fcntl
import importlib.util
import json
import os
import secrets
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.errors import DeadlineExceeded, GarbledReply, Refused

PREFIX, LOCK = "karaula-ansible-", ".lock"
MARK = "KARAULA_ANSIBLE"  # in the environment of every process of a play, by which they are found again
PROGRAM = "ansible-playbook"
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
CHUNK_BYTES = 65536
ROUNDS = 200  # of killing: what is killed may be forking
SHOWN_CHARS = 300
SKIPPED = frozenset({"runner_on_skipped", "runner_item_on_skipped"})
NEED_NOT = ("skip_reason", "skipped_reason", "false_condition")  # of a task with a condition, or a loop over nothing
ALL_ITEMS = "All items skipped"


@dataclass(frozen=True, slots=True)
class Play:
    """What to carry out: ``playbook`` below ``folder``; ``variables`` may hold secrets; ``options`` are Ansible's."""

    folder: Path
    playbook: str
    inventory: Path
    variables: Mapping[str, Any]
    options: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class HostResult:
    """How many tasks ended how at one host, as Ansible's recap has it."""

    ok: int = 0
    changed: int = 0
    unreachable: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a play. ``blind`` are tasks that were left out because it only looked (``--check``).

    ``complaints`` are what failed tasks said, each with its host; ``last`` is the end of the output.
    """

    exit_status: int
    hosts: Mapping[str, HostResult]
    blind: tuple[str, ...]
    complaints: tuple[str, ...]
    last: str


def lacking() -> str:
    """Say what is not installed that a play needs; empty: nothing."""
    if importlib.util.find_spec("ansible_runner") is None:
        return "ansible-runner is not installed; type: pip install 'karaula[ansible]'"
    if shutil.which(PROGRAM, path=_path()) is None:
        return f"{PROGRAM} is not on the PATH; type: sudo apt-get install ansible-core"
    return ""


async def carry_out(play: Play, timeout_s: float, on_line: Callable[[str], None]) -> Played:
    """Carry out a play and return what became of it, whatever that is. ``on_line`` is told the output as it comes.

    Raises Refused when it could not be started, DeadlineExceeded, GarbledReply when it left no word. Nothing of it
    goes on once this has returned or raised.
    """
    await asyncio.to_thread(sweep)
    place = await asyncio.to_thread(_Place)
    try:
        command = await asyncio.to_thread(place.prepare, play)
        try:
            async with asyncio.timeout(timeout_s):
                status, last = await _run(command, place, on_line)
        except TimeoutError as error:
            raise DeadlineExceeded(f"{play.playbook} was not done within {timeout_s:g} s and was ended") from error
        return await asyncio.to_thread(place.read, status, last)
    finally:
        await asyncio.shield(asyncio.to_thread(place.remove))


async def _run(command: Sequence[str], place: _Place, on_line: Callable[[str], None]) -> tuple[int, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=place.folder,
            env=place.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise Refused(f"ansible-runner cannot be started: {error.strerror}") from error
    last = ""
    try:
        if process.stdout is not None:
            async for line in _lines(process.stdout):
                last = line if line.strip() else last
                on_line(line)
        return await process.wait(), last
    finally:
        if process.returncode is None:  # given up: its children are ended by their mark, when the place is removed
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Yield the lines of an output, however long they are and whatever letters they are in."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    while chunk := await stream.read(CHUNK_BYTES):
        *whole, rest = (rest + decoder.decode(chunk)).split("\n")
        for line in whole:
            yield line.rstrip("\r")
    if rest:
        yield rest.rstrip("\r")


class _Place:
    """A play's own folder, and the lock that says that somebody is still at it."""

    def __init__(self) -> None:
        """Make both; the lock first, so that nobody takes the folder for one that was left behind."""
        while not self._locked():  # another daemon's sweep has just taken it for one that was left behind
            continue
        self.folder.mkdir(PRIVATE_FOLDER)

    def _locked(self) -> bool:
        """Tell whether a new lock is ours, and the one that others see."""
        self.name = f"{PREFIX}{secrets.token_hex(8)}"
        self.folder = _base() / self.name
        lock = Path(f"{self.folder}{LOCK}")
        self._lock = os.open(lock, os.O_CREAT | os.O_RDWR, PRIVATE_FILE)
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(self._lock), lock.stat()):
                return True
        os.close(self._lock)
        return False

    def prepare(self, play: Play) -> list[str]:
        """Write what the play needs; return the command."""
        for name in ("env", "home"):
            (self.folder / name).mkdir(PRIVATE_FOLDER)
        settings = {"pexpect_timeout": 1, "suppress_output_file": True}
        self._write("env/settings", json.dumps(settings))
        self._write("env/extravars", json.dumps(dict(play.variables)))
        self._write("env/cmdline", shlex.join(play.options))
        return [
            *(sys.executable, "-I", "-m", "ansible_runner", "run", str(self.folder), "--ident", "play"),
            *("--project-dir", str(play.folder), "--inventory", str(play.inventory), "--playbook", play.playbook),
        ]

    def environment(self) -> dict[str, str]:
        """Return the whole environment: nothing of the daemon's goes to a playbook."""
        return {
            MARK: self.name,
            "PATH": _path(),
            "HOME": str(self.folder / "home"),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_NOCOLOR": "True",
            "ANSIBLE_HOST_KEY_CHECKING": "True",  # ansible-runner would switch it off
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_NOCOWS": "True",
        }

    def read(self, exit_status: int, last: str) -> Played:
        """Return what the play left as its word. Raises GarbledReply when that is none."""
        hosts: dict[str, HostResult] = {}
        blind: dict[str, None] = {}
        complaints: list[str] = []
        folder = self.folder / "artifacts" / "play" / "job_events"
        try:
            files = sorted(folder.glob("[0-9]*-*.json"), key=lambda path: int(path.name.partition("-")[0]))
            for path in files:
                event = json.loads(path.read_text(encoding="utf-8"))
                kind, data = event.get("event"), event.get("event_data") or {}
                if kind == "playbook_on_stats":
                    hosts = _recap(data)
                elif kind in SKIPPED and _unlooked(str(event.get("stdout"))):
                    blind[str(data.get("task") or data.get("task_action"))] = None
                elif kind in {"runner_on_failed", "runner_on_unreachable"} and not data.get("ignore_errors"):
                    said = " ".join(str((data.get("res") or {}).get("msg") or "it says nothing").split())
                    complaints.append(f"{data.get('host')}: {data.get('task')}: {said[:SHOWN_CHARS]}")
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise GarbledReply(f"ansible-runner left no word of what became of the play: {error}") from error
        return Played(exit_status, hosts, tuple(blind), tuple(complaints), last[:SHOWN_CHARS])

    def remove(self) -> None:
        """End what is left of the play, and remove everything."""
        _clear(self.folder)
        os.close(self._lock)

    def _write(self, path: str, text: str) -> None:
        with os.fdopen(os.open(self.folder / path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE), "w") as file:
            file.write(text)


def sweep() -> None:
    """End and remove what a daemon that died has left of its plays. Those of a living one are not touched."""
    for lock in _base().glob(f"{PREFIX}*{LOCK}"):
        with contextlib.suppress(OSError):  # another's, or one that is just being removed
            held = os.open(lock, os.O_RDWR)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _clear(lock.with_name(lock.name.removesuffix(LOCK)))
            finally:
                os.close(held)


def _clear(folder: Path) -> None:
    for _ in range(ROUNDS):
        found = list(_processes(folder.name))
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            break
    shutil.rmtree(folder, ignore_errors=True)
    Path(f"{folder}{LOCK}").unlink(missing_ok=True)


def _processes(name: str) -> Iterator[int]:
    """Yield the processes of the play of that name, whatever session they have made their own."""
    mark = f"{MARK}={name}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # another's, or gone
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)


def _recap(data: Mapping[str, Any]) -> dict[str, HostResult]:
    return {
        host: HostResult(
            ok=data.get("ok", {}).get(host, 0),
            changed=data.get("changed", {}).get(host, 0),
            unreachable=data.get("dark", {}).get(host, 0),
            failed=data.get("failures", {}).get(host, 0),
            skipped=data.get("skipped", {}).get(host, 0),
        )
        for host in sorted({host for part in ("processed", "dark", "failures") for host in data.get(part, {})})
    }


def _unlooked(said: str) -> bool:
    """Tell by what was printed (with ``-v``) of a task that was left out that it cannot look, and not that it need not.

    Of a loop as a whole nothing is taken: each of its items is told.
    """
    return ALL_ITEMS not in said and not any(f'"{reason}"' in said for reason in NEED_NOT)


def _base() -> Path:
    """Return where plays have their folders: systemd's RuntimeDirectory=, which goes with the service, else /tmp."""
    return Path(os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or tempfile.gettempdir())


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
