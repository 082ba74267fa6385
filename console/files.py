"""What a person wrote, read and checked together: the inventory, the playbooks, and fingerprints of the credentials.

Reading and comparing alone: what follows of a change is the daemon's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from console.options import Options
from dr.extensions import installed
from dr.playbook.read import PlaybookFile, check, read_playbooks, withheld
from monitor.credential import Credentials
from monitor.errors import CredentialError, InventoryError
from monitor.inventory.dependencies import depends_on
from monitor.inventory.model import Inventory
from monitor.inventory.read import missing_credentials, read, references_of
from monitor.inventory.shard import part
from monitor.inventory.subjects import SECTIONS
from monitor.problem import Problem
from monitor.targets import targets

FEW = 10
OF_SUBJECTS = frozenset(SECTIONS.values())  # what else there is is named by section and key


@dataclass(frozen=True, slots=True)
class Files:
    """One state of everything that was written.

    ``watched`` is the part of the inventory that this daemon watches, ``prints`` has the SHA-256 of every credential
    file that this part names, by its name. ``withheld`` says why playbooks cannot be run: another package's action
    cannot be used. That is no mistake in what was written, and what is watched does not wait for it.
    """

    inventory: Inventory
    watched: Inventory
    playbooks: Mapping[str, PlaybookFile]
    prints: Mapping[str, str]
    withheld: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between two states: subjects, and by name what is no subject (``schedules.nightly``, ``notify``)."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return one line for a log: ``added link/blace/primary; changed notify``."""
        named = (("added", self.added), ("removed", self.removed), ("changed", (*self.changed, *self.others)))
        said = [f"{word} {', '.join(found[:FEW])}{_more(len(found))}" for word, found in named if found]
        return "; ".join(said) or "nothing has changed"

    def __bool__(self) -> bool:
        """Tell whether anything differs."""
        return bool(self.added or self.removed or self.changed or self.others)


def _more(count: int) -> str:
    return f" and {count - FEW} more" if count > FEW else ""


def read_files(options: Options, credentials: Credentials) -> Files:
    """Read and check everything that a person wrote. Raises InventoryError with every mistake of all files.

    Only the credentials of the part that is watched must be there.
    """
    inventory = read(options.inventory)
    try:
        playbooks = read_playbooks(options.playbooks)
    except OSError as error:
        message = f"cannot be read: {error.strerror or type(error).__name__}"
        raise InventoryError([Problem(str(error.filename or options.playbooks), 1, 1, "", message)]) from error
    watched = part(inventory, options.shard)
    actions = installed().actions
    unplanned = withheld(playbooks, actions)
    problems = [*check(playbooks, inventory, actions, unplanned), *missing_credentials(watched, credentials)]
    if problems:
        raise InventoryError(sorted(problems))
    return Files(inventory, watched, playbooks, dict(_prints(watched, credentials)), unplanned)


def unusable(files: Files) -> list[str]:
    """Return what is wrong with packages that bring actions, and what cannot be run for it, one sentence each."""
    stuck = [f"playbook '{name}' cannot be run: {why}" for name, why in sorted(files.withheld.items())]
    return [*installed().problems, *stuck]


def differences(before: Files, after: Files) -> Changes:
    """Return what differs, each list sorted."""
    old, new = depends_on(before.watched).keys(), depends_on(after.watched).keys()
    asked_before, asked_after = _asked(before.watched), _asked(after.watched)
    changed = [
        subject
        for subject in old & new
        if asked_before.get(subject) != asked_after.get(subject)
        or _entry(subject, before.watched) != _entry(subject, after.watched)
    ]
    others = [*_others(before.inventory, after.inventory)]
    others += _differing("playbooks", _hashes(before.playbooks), _hashes(after.playbooks))
    others += _differing("credentials", before.prints, after.prints)
    return Changes(tuple(sorted(new - old)), tuple(sorted(old - new)), tuple(sorted(changed)), tuple(sorted(others)))


def _prints(inventory: Inventory, credentials: Credentials) -> Iterator[tuple[str, str]]:
    for _, reference in references_of(inventory):
        path = credentials.path(reference)
        try:
            yield reference, hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise CredentialError(f"credential '{reference}' cannot be read: {type(error).__name__}") from error


def _asked(inventory: Inventory) -> dict[str, Any]:
    return {target.subject: (target.probe, target.params, target.interval_s) for target in targets(inventory)}


def _entry(subject: str, inventory: Inventory) -> Any:
    """Return what the inventory says of ``subject``; None where it says nothing by itself (a VM)."""
    kind, *names = subject.split("/")
    match kind, names:
        case "link", [crossing, which]:
            return getattr(inventory.links[crossing], which)
        case (("front" | "database"), [system, site]):
            return inventory.systems[system].sites[site]
        case "vip", [system, _]:
            return inventory.systems[system].vip
        case _, [key] if kind in SECTIONS:
            return getattr(inventory, SECTIONS[kind], {}).get(key)
        case _:
            return None


def _others(before: Inventory, after: Inventory) -> Iterator[str]:
    for name in type(after).model_fields:
        old, new = getattr(before, name), getattr(after, name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if name not in OF_SUBJECTS:
                yield from _differing(name, old, new)
        elif old != new:
            yield name


def _differing(section: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[str]:
    return [f"{section}.{key}" for key in before.keys() | after.keys() if before.get(key) != after.get(key)]


def _hashes(playbooks: Mapping[str, PlaybookFile]) -> dict[str, str]:
    return {name: file.sha256 for name, file in playbooks.items()}
