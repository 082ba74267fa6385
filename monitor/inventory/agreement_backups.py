"""The rules of agreement for backups: what a policy says must fit its system."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from monitor.inventory.backups import PgbackrestStore, trusts_anybody

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monitor.inventory.backups import Postgresql
    from monitor.inventory.model import Inventory
    from monitor.inventory.systems import System
    from monitor.problem import Problem
    from monitor.yamlfile import Document, Path

_PASSWORD = re.compile(r"\bpassword\s*=|://[^/@]*:[^/@]*@", re.IGNORECASE)
_COMMANDS = ("backup", "check", "restore", "query", "discard")


def check(inventory: Inventory, document: Document) -> Iterator[Problem]:
    """Yield every disagreement about backups in ``inventory``."""
    for key, system in inventory.systems.items():
        policy = system.backup
        path = ("systems", key, "backup")
        if policy.scratch == "/":
            yield document.problem((*path, "scratch"), "restores need a folder of their own", "write an absolute path")
        store = policy.store
        if store is None:
            if policy.second_place is not None or policy.retention is not None:
                name = "second_place" if policy.second_place is not None else "retention"
                message = f"'{name}' needs a 'store': the database kind's commands neither copy nor remove backups"
                yield document.problem((*path, name), message, at="key")
            yield from _commands(inventory, system, path, document)
            continue
        yield from _connections(system, store.postgresql, (*path, "store", "postgresql", "connections"), document)
        if isinstance(store, PgbackrestStore) and policy.second_place is not None and store.folder is None:
            message = "a second place needs the repository's 'folder'"
            yield document.problem((*path, "store"), message, "write its repo1-path", "key")


def _connections(system: System, asked: Postgresql, where: Path, document: Document) -> Iterator[Problem]:
    """Each site has one, and none gives a password away or takes whoever answers for the database."""
    for site in sorted(system.sites.keys() - asked.connections.keys()):
        hint = f"add '{site}: …': after a failover the system is backed up there"
        yield document.problem(where, f"'{site}' is missing", hint, "key")
    for site, line in asked.connections.items():
        if site not in system.sites:
            yield document.problem((*where, site), "the system is not at this site", at="key")
        if _PASSWORD.search(line):
            hint = "name a credential under 'password' instead"
            yield document.problem((*where, site), "a connection string must not hold a password", hint)
        if trusts_anybody(line):
            message = "whoever answers would be taken for the database: its certificate or name is not verified"
            hint = "leave sslmode out (it is verify-full then), and name the CA's file at the vault by sslrootcert"
            yield document.problem((*where, site), message, hint)


def _commands(inventory: Inventory, system: System, path: Path, document: Document) -> Iterator[Problem]:
    """Without a store the kind's own commands take and prove backups; all of them are needed."""
    kind = system.database.kind
    known = inventory.database_kinds.get(kind)
    missing = [name for name in _COMMANDS if known is not None and getattr(known.commands, name) is None]
    if missing:
        message = f"without a 'store' the database kind '{kind}' takes the backups, and it has no {', '.join(missing)}"
        hint = f"say under 'store' who takes them, or add to database_kinds.{kind}.commands"
        yield document.problem(path, message, hint, "key")
