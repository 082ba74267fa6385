"""Which method a system's inventory entry asks for, wired to its vault and its secrets."""

from __future__ import annotations

from dr.estate.database import vault
from dr.estate.dumps import DumpMethod
from dr.estate.ledger import LedgerMethod
from dr.estate.method import Method
from dr.estate.pgbackrest import PgbackrestMethod
from dr.estate.restic import ResticMethod
from dr.estate.shell import Shell
from dr.world import World
from monitor.inventory.backups import DumpStore, PgbackrestStore, ResticStore, Store


def method_of(world: World, system: str) -> Method:
    """Return the system's method. Raises KeyError for an unknown system."""
    policy = world.system(system).backup
    store = policy.store
    if store is None:
        return LedgerMethod(world, system)
    shell = Shell(world, vault(world, system), f".karaula-backup-{system}.lock", _secrets(store))
    if isinstance(store, DumpStore):
        return DumpMethod(shell, policy, store.postgresql, store, system)
    if isinstance(store, ResticStore):
        return ResticMethod(shell, policy, store.postgresql, store, system)
    return PgbackrestMethod(shell, policy, store.postgresql, store, system)


def _secrets(store: Store) -> dict[str, str]:
    found = {"PGPASSWORD": store.postgresql.password or ""}
    if isinstance(store, ResticStore):
        found["RESTIC_PASSWORD"] = store.password
    if isinstance(store, PgbackrestStore):
        found[f"PGBACKREST_REPO{store.repository}_CIPHER_PASS"] = store.cipher_password or ""
    return {name: reference for name, reference in found.items() if reference}
