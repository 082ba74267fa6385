"""The configuration that held last, kept in the state folder for a start while what people wrote has mistakes.

``last-good/current.json`` names a folder beside it by the fingerprint of what is in it: the inventory and the playbooks
as they were read, to the byte. Nothing is started with them unless that was asked for (``--last-good``), and never
while the files themselves can be read. Secrets are not among them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from console.files import Files, read_files
from console.options import Options
from console.reload import Refused, in_short
from monitor.credential import Credentials
from monitor.errors import InventoryError, StateError
from monitor.status.hysteresis import clock_time

log = logging.getLogger(__name__)

FOLDER, CURRENT = "last-good", "current.json"
INVENTORY, PLAYBOOKS = "inventory.yaml", "playbooks"
SHOWN = 12  # digits of a fingerprint, in a folder's name


class Mistaken(InventoryError):
    """Mistakes in what people wrote, with what can be done meanwhile."""

    def __init__(self, error: InventoryError, meanwhile: str) -> None:
        """Add ``meanwhile`` below the mistakes."""
        super().__init__(error.problems)
        self.args = (f"{error}\n\n{meanwhile}",)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept: since when it holds (Unix seconds), where, and the SHA-256 of each file by its path there."""

    at: float
    folder: Path
    prints: Mapping[str, str]

    @property
    def inventory(self) -> Path:
        """The kept inventory."""
        return self.folder / INVENTORY


class LastGood:
    """Keeps what holds, and starts with it. It belongs to the event loop."""

    def __init__(self, options: Options, credentials: Credentials) -> None:
        """Nothing is read or written yet."""
        self._options, self._credentials = options, credentials
        self._error = ""
        self._from_here: Files | None = None

    def start(self, now: float) -> tuple[Files, float, Refused | None]:
        """Return what to start with, since when it holds, and what was refused for it.

        Raises Mistaken when that is nothing.
        """
        try:
            return read_files(self._options, self._credentials), now, None
        except InventoryError as error:
            files, at = _instead(self._options, self._credentials, error)
            log.error("started with the configuration that held last, for the files have mistakes: %s", error)  # noqa: TRY400 - foreseen, told in full
            self._from_here = files
            return files, at, Refused(now, in_short(error))

    async def keep(self, files: Files, at: float) -> None:
        """Keep what holds since ``at``, unless it is kept; that it cannot be is a problem, and stops nothing."""
        if files is self._from_here:
            return
        try:
            await asyncio.to_thread(_keep, files, self._options, at)
            self._error = ""
        except StateError as error:
            self._error = str(error)
            log.error("%s", error)  # noqa: TRY400 - foreseen, told in full

    def problems(self) -> list[str]:
        """Return why what holds now is not kept, if it is not."""
        return [self._error] if self._error else []


def find(state: Path) -> Kept | None:
    """Return what is kept; None when nothing is. Raises StateError when it is not what was kept."""
    base = state / FOLDER
    try:
        body = json.loads((base / CURRENT).read_text())
        kept = Kept(float(body["at"]), base / str(body["folder"]), dict(body["sha256"]))
        changed = [name for name, print_ in kept.prints.items() if _print(kept.folder / name) != print_]
    except FileNotFoundError as error:
        if error.filename == str(base / CURRENT):
            return None
        raise StateError(f"the kept configuration in {base} is not complete: {error.filename} is missing") from error
    except OSError as error:
        raise StateError(f"the kept configuration in {base} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"the kept configuration in {base} is damaged: {type(error).__name__}: {error}") from error
    if changed:
        raise StateError(f"{kept.folder / changed[0]} is not what was kept there")
    return kept


def _instead(options: Options, credentials: Credentials, error: InventoryError) -> tuple[Files, float]:
    """Return what is kept and since when it holds, where people's files have the mistakes of ``error``.

    Raises Mistaken, with what can be done, when that was not asked for, nothing is kept, or it cannot be used either.
    """
    try:
        kept = find(options.state)
    except StateError as trouble:
        raise Mistaken(error, f"nothing is watched until this is mended, for {trouble}") from error
    if kept is None:
        raise Mistaken(error, "nothing is watched until this is mended") from error
    if not options.last_good:
        raise Mistaken(error, _advice(kept, options)) from error
    there = replace(options, inventory=kept.inventory, playbooks=kept.folder / PLAYBOOKS)
    try:
        return read_files(there, credentials), kept.at
    except InventoryError as again:
        raise Mistaken(error, f"what held last has mistakes by now, too:\n{again}") from error


def _advice(kept: Kept, options: Options) -> str:
    return "\n".join(
        (
            f"Nothing is watched until this is mended. What held last, of {clock_time(kept.at)}, is kept.",
            f"  To see what differs:      diff {kept.inventory} {options.inventory}",
            "  To start with it:         karaula serve … --last-good",
            "  or, where systemd does:   systemctl set-environment KARAULA_LAST_GOOD=1; systemctl restart karaula",
        )
    )


def _fill(folder: Path, wanted: Mapping[str, str], options: Options) -> None:
    """Write the files into ``folder``, made anew. Raises OSError, and StateError for one that has changed since."""
    if folder.exists():
        shutil.rmtree(folder)
    (folder / PLAYBOOKS).mkdir(mode=0o750, parents=True)
    for name, raw in _raw(wanted, options):
        if hashlib.sha256(raw).hexdigest() != wanted[name]:
            raise StateError(f"the configuration that holds is not kept: {name} was changed after it was read")
        _write(folder / name, raw)


def _raw(names: Mapping[str, str], options: Options) -> Iterator[tuple[str, bytes]]:
    for name in names:
        path = options.inventory if name == INVENTORY else options.playbooks / name.removeprefix(f"{PLAYBOOKS}/")
        yield name, path.read_bytes()


def _write(path: Path, raw: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(raw)
        stream.flush()
        os.fsync(stream.fileno())


def _print(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _keep(files: Files, options: Options, at: float) -> None:
    """Keep ``files``, which were read from where ``options`` say and hold since ``at``. Raises StateError."""
    wanted = {INVENTORY: files.inventory.sha256}
    wanted |= {f"{PLAYBOOKS}/{name}.yaml": file.sha256 for name, file in files.playbooks.items()}
    base = options.state / FOLDER
    try:
        before = find(options.state)
    except StateError:
        before = None  # what is damaged is put right by this
    if before is not None and before.prints == wanted:
        return
    name = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:SHOWN]
    try:
        _fill(base / name, wanted, options)
        body = {"schema_version": 1, "at": at, "folder": name, "sha256": wanted}
        _write(base / f"{CURRENT}.new", (json.dumps(body, indent=1, sort_keys=True) + "\n").encode())
        (base / f"{CURRENT}.new").replace(base / CURRENT)
        for other in base.iterdir():
            if other.is_dir() and other.name != name:
                shutil.rmtree(other)
    except OSError as error:
        raise StateError(f"the configuration that holds cannot be kept in {base}: {error.strerror}") from error
