"""restic, pgBackRest and pg_dump as single steps of a playbook: asked for twice they are done once, and undone gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from actions_kit import Desk
from backup_kit import Vault
from postgres_kit import binaries

from dr.action import Holds
from dr.errors import StepFailed
from dr.estate.backups import method_of
from dr.estate.waiting import Deadline

pytestmark = [pytest.mark.real, pytest.mark.anyio]


@pytest.fixture(scope="module")
def vault() -> Iterator[Vault]:
    made = Vault()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@asynccontextmanager
async def desk_of(vault: Vault) -> AsyncIterator[Desk]:
    with vault.world("pgbackrest", {}) as world:
        try:
            yield Desk(world, "cdeps", "cdeps-upgrade-1", said=[])
        finally:
            await world.ssh.close()
            await world.http.close()


async def test_files_go_into_restic_once_and_come_back(vault: Vault) -> None:
    files = vault.folder / "home" / "files"
    vault.run("sh", "-c", f"mkdir {files} && echo tariff > {files}/one && printf '%s' x > {files}/two")
    at: dict[str, Any] = {"host": "vault-dr", "repository": str(vault.folder / "restic"), "password": "restic-password"}
    async with desk_of(vault) as desk:
        assert (await desk.probe("restic_backup", "main", **at, paths=[str(files)])).holds is Holds.NO
        done = await desk.run("restic_backup", "main", timeout_s=60, **at, paths=[str(files)])
        again = await desk.run("restic_backup", "main", timeout_s=60, **at, paths=[str(files)])
        assert again == done
        assert (await desk.probe("restic_backup", "main", **at, paths=[str(files)])).outputs == done.outputs
        assert (await desk.run("restic_check", "main", timeout_s=60, **at)).outputs == {"snapshots": 1}

        target = str(vault.folder / "home" / "restored")
        into = {**at, "snapshot": done.outputs["snapshot"], "target": target}
        for _ in range(2):
            came = await desk.run("restic_restore", "main", timeout_s=60, **into)
        assert vault.run("cat", f"{target}{files}/one") == "tariff\n"
        assert (await desk.probe("restic_restore", "main", **into)).holds is Holds.YES
        with pytest.raises(StepFailed, match="there is something at"):
            await desk.run("restic_restore", "main", timeout_s=60, **{**into, "target": str(files)})
        await desk.undo("restic_restore", "main", came, **into)
        assert (await desk.probe("restic_restore", "main", **into)).holds is Holds.NO
        assert files.exists()
        with pytest.raises(StepFailed, match="no host 'nowhere'"):
            await desk.run("restic_check", "main", **{**at, "host": "nowhere"})


async def test_a_stanza_is_backed_up_once_checked_and_restored(vault: Vault) -> None:
    stanza = {"host": "vault-dr", "stanza": "cdeps", "config": str(vault.folder / "daily.conf")}
    at: dict[str, Any] = {**stanza, "cipher_password": "cipher"}
    async with desk_of(vault) as desk:
        done = await desk.run("pgbackrest_backup", "main", timeout_s=90, **at, kind="full")
        assert await desk.run("pgbackrest_backup", "main", timeout_s=90, **at, kind="full") == done
        assert (await desk.probe("pgbackrest_backup", "main", **at, kind="full")).outputs == done.outputs
        assert (await desk.run("pgbackrest_check", "main", timeout_s=60, **at)).outputs == {"backups": 1}

        target = str(vault.folder / "home" / "cluster")
        into = {**at, "label": done.outputs["label"], "target": target}
        for _ in range(2):
            came = await desk.run("pgbackrest_restore", "main", timeout_s=60, **into)
        assert vault.run("cat", f"{target}/PG_VERSION").strip().isdecimal()
        await desk.undo("pgbackrest_restore", "main", came, **into)
        assert (await desk.probe("pgbackrest_restore", "main", **into)).holds is Holds.NO

        # An incremental one stands on the full one, which retention then must leave.
        desk.run_id = "cdeps-upgrade-2"
        await desk.run("pgbackrest_backup", "main", timeout_s=90, **at, kind="incr")
        method, deadline = method_of(desk.world, "cdeps"), Deadline(desk.world.clock, 60)
        full = frozenset({"cdeps-upgrade-1-step"})
        assert await method.names(deadline) == full | {"cdeps-upgrade-2-step"}
        assert await method.needed(full, deadline) == full
        assert await method.needed(full | {"cdeps-upgrade-2-step"}, deadline) == frozenset()


async def test_a_dump_has_its_name_only_when_it_is_whole(vault: Vault) -> None:
    line = f"host={vault.cluster.folder} port={vault.cluster.port} dbname=postgres user=postgres"
    path = str(vault.folder / "home" / "before-upgrade.dump")
    dump = {"host": "vault-dr", "connection": line, "path": path, "program": str(binaries() / "pg_dump")}
    async with desk_of(vault) as desk:
        with pytest.raises(StepFailed, match="pg_dump"):
            await desk.run("database_dump", "main", timeout_s=60, **{**dump, "connection": line + "x"})
        assert (await desk.probe("database_dump", "main", **dump)).holds is Holds.NO
        done = await desk.run("database_dump", "main", timeout_s=60, **dump)
        assert (await desk.probe("database_dump", "main", **dump)).outputs == done.outputs
        assert "TABLE DATA public t" in vault.run(str(binaries() / "pg_restore"), "--list", path)
        with pytest.raises(StepFailed, match="already"):
            await desk.run("database_dump", "main", timeout_s=60, **dump)
