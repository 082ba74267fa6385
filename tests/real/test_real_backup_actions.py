"""restic, pgBackRest and pg_dump as single steps of a playbook, and nights of the shipped playbooks from end to end."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from actions_kit import Desk, carried_out
from backup_kit import Vault
from estate_kit import REPOSITORY
from once_kit import in_the_dark, losing
from postgres_kit import binaries

from dr.action import Holds
from dr.actions import ACTIONS
from dr.backups.catalog import Backup, catalog, newest
from dr.backups.proof import Proof, proof_of
from dr.engine.orchestrator import Orchestrator, Rules
from dr.errors import StepFailed
from dr.estate.backups import method_of
from dr.estate.waiting import Deadline
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.journal.run import RunState
from dr.journal.sqlite import SqliteJournal
from dr.playbook.read import read_playbooks

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
        with losing(desk, " backup "):
            seen = await in_the_dark(desk, "restic_backup", "main", {**at, "paths": [str(files)]})
        done = await desk.run("restic_backup", "main", timeout_s=60, **at, paths=[str(files)])
        assert done.outputs == seen.outputs
        assert (await desk.probe("restic_backup", "main", **at, paths=[str(files)])).outputs == done.outputs
        assert (await desk.run("restic_check", "main", timeout_s=60, **at)).outputs == {"snapshots": 1}

        target = str(vault.folder / "home" / "restored")
        into = {**at, "snapshot": done.outputs["snapshot"], "target": target}
        with losing(desk, " restore "):
            assert (await in_the_dark(desk, "restic_restore", "main", into)).holds is Holds.YES
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
        with losing(desk, " backup"):
            seen = await in_the_dark(desk, "pgbackrest_backup", "main", {**at, "kind": "full"})
        done = await desk.run("pgbackrest_backup", "main", timeout_s=90, **at, kind="full")
        assert done.outputs == seen.outputs
        assert (await desk.probe("pgbackrest_backup", "main", **at, kind="full")).outputs == done.outputs
        assert (await desk.run("pgbackrest_check", "main", timeout_s=60, **at)).outputs == {"backups": 1}

        target = str(vault.folder / "home" / "cluster")
        into = {**at, "target": target}  # the newest
        with losing(desk, " restore"):
            assert (await in_the_dark(desk, "pgbackrest_restore", "main", into)).holds is Holds.YES
        with pytest.raises(StepFailed, match="20200101-000000F is not valid"):
            await desk.run("pgbackrest_restore", "main", **at, label="20200101-000000F", target=f"{target}-of-none")
        into["label"] = done.outputs["label"]
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
        with losing(desk, "mv -n"):
            seen = await in_the_dark(desk, "database_dump", "main", dump)
        assert seen.outputs == {"path": path, "bytes": Path(path).stat().st_size}  # noqa: ASYNC240 - a moment
        assert "TABLE DATA public t" in vault.run(str(binaries() / "pg_restore"), "--list", path)
        with pytest.raises(StepFailed, match="already"):
            await desk.run("database_dump", "main", timeout_s=60, **dump)


class Catalogue(dict[str, Backup]):
    """The newest backups as the orchestrator's journal has them."""

    orchestrator: Orchestrator

    def get(self, system: str, _default: object = None) -> Backup | None:  # type: ignore[override]  # one key
        return newest(self.orchestrator.runs(), system)


@asynccontextmanager
async def nights(
    vault: Vault, method: str, playbooks: Path, journal: Path, **policy: Any
) -> AsyncIterator[Orchestrator]:
    """Yield what carries out runs of ``cdeps`` at the vault."""
    catalogue = Catalogue()
    shelf = lambda system: catalog(catalogue.orchestrator.runs(), system)  # noqa: E731 - what the daemon's wiring has
    with vault.world(method, catalogue, shelf, "cdeps-db-main", **policy) as world:
        rules = Rules(read_playbooks(playbooks), ACTIONS, RUN_GUARDS, STEP_GUARDS, "hash")
        orchestrator = Orchestrator(SqliteJournal(journal), world, rules, epoch_seen=lambda _system: 1)
        catalogue.orchestrator = orchestrator
        await orchestrator.start()
        try:
            yield orchestrator
        finally:
            await orchestrator.stop()
            await world.ssh.close()
            await world.http.close()


def told(orchestrator: Orchestrator) -> Proof:
    """Return what is proven of ``cdeps`` now."""
    world = orchestrator.world
    return proof_of(orchestrator.runs(), "cdeps", world.system("cdeps"), world.clock.now())


async def test_a_night_without_the_second_place_has_its_backup_in_one_and_the_verification_makes_up_for_it(
    vault: Vault, tmp_path: Path
) -> None:
    playbooks = shutil.copytree(REPOSITORY / "playbooks", tmp_path / "playbooks")
    patient = (playbooks / "backup.yaml").read_text()
    (playbooks / "backup.yaml").write_text(patient.replace("retry_wait_s: 60", "retry_wait_s: 0"))
    place = vault.second(append_only=True)
    second = vault.folder / "second"
    async with nights(vault, "pg_dump", playbooks, tmp_path / "journal.db", second_place=place) as orchestrator:
        away = second.rename(vault.folder / "away")
        run = await carried_out(orchestrator, "backup", "cdeps")
        assert run.state is RunState.SUCCEEDED_WITH_WARNINGS
        (taken,) = catalog(orchestrator.runs(), "cdeps")
        alone = f"{taken.id} is taken, in one place only: the restic repository rclone:second cannot be opened"
        assert f"passed over: copy ({alone}" in run.end_reason
        proof = told(orchestrator)
        assert (proof.newest, proof.copies, proof.one_place) == (taken, 1, (taken.id,))
        assert any(alone in finding for finding in proof.findings)
        away.rename(second)
        run = await carried_out(orchestrator, "verify", "cdeps")
        assert run.state is RunState.SUCCEEDED, run.end_reason
        proof = told(orchestrator)
        assert (proof.copies, proof.append_only, proof.one_place, proof.findings) == (2, True, (), ())


async def test_nights_of_the_shipped_playbooks_prove_and_tell_and_do_not_advance_by_a_corrupt_one(
    vault: Vault, tmp_path: Path
) -> None:
    retention = {"newest": 1, "days": 0, "weeks": 0, "months": 0}
    shipped, journal = REPOSITORY / "playbooks", tmp_path / "journal.db"
    async with nights(vault, "pg_dump", shipped, journal, retention=retention) as orchestrator:
        for playbook in ("backup", "verify", "backup", "verify", "backup"):
            run = await carried_out(orchestrator, playbook, "cdeps")
            assert run.state is RunState.SUCCEEDED, run.end_reason
        first, second, third = catalog(orchestrator.runs(), "cdeps")
        assert (first.level, second.level, third.level) == ("L4", "L4", "")
        # The second verification ran when the first backup was the newest proven one; so it stayed.
        assert first.removed_at is None
        dump = vault.folder / "store" / f"{third.id}.dump"
        dump.write_bytes(dump.read_bytes()[:-9] + b"flipped..")
        run = await carried_out(orchestrator, "verify", "cdeps")
        assert run.state is RunState.FAILED
        assert not list((vault.folder / "scratch").iterdir())
        proof = told(orchestrator)
        assert proof.newest is not None
        assert (proof.newest.id, proof.newest.fell_at) == (third.id, "L1")
        assert proof.proven == second
        assert "fell at L1 (its checksums hold)" in proof.findings[0]
        # Another good night: what is older than the newest proof goes, and is recorded as gone.
        for playbook in ("backup", "verify", "verify"):
            run = await carried_out(orchestrator, playbook, "cdeps")
            assert run.state is RunState.SUCCEEDED, run.end_reason
        gone = [one.id for one in catalog(orchestrator.runs(), "cdeps") if one.removed_at is not None]
        assert gone == [first.id, second.id, third.id]
        assert not dump.exists()
