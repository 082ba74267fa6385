"""Backups by pg_dump, restic and pgBackRest: taken once, proven by a server that runs on them, and planted faults."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from backup_kit import ROWS, SECRETS, Vault, Verification
from once_kit import in_the_dark, losing

from dr.action import Holds
from dr.backups.catalog import Backup
from dr.errors import StepFailed
from dr.estate.copies import second_of
from dr.estate.waiting import Deadline

pytestmark = [pytest.mark.real, pytest.mark.anyio]
METHODS = ("pg_dump", "restic", "pgbackrest")
TAKEN: dict[str, Backup] = {}  # one backup of each method, which the planted faults spoil and mend


@pytest.fixture(scope="module")
def vault() -> Iterator[Vault]:
    made = Vault()
    try:
        made.start()
        yield made
    finally:
        made.stop()
        TAKEN.clear()


@asynccontextmanager
async def proof_of(vault: Vault, method: str, **policy: Any) -> AsyncIterator[Verification]:
    """Yield a verification at the vault, with a backup of the method taken."""
    newest: dict[str, Backup] = {}
    with vault.world(method, newest, **policy) as world:
        try:
            proof = Verification(world, newest)
            if method not in TAKEN:
                TAKEN[method] = await proof.take()
            newest["cdeps"] = TAKEN[method]
            yield proof
        finally:
            await proof.desk.run("discard", "main", scratch="verify-one")
            assert not list((vault.folder / "scratch").iterdir())
            said = "\n".join(proof.desk.said)
            assert not [secret for secret in SECRETS.values() if secret in said]
            await world.ssh.close()
            await world.http.close()


@pytest.mark.parametrize("method", METHODS)
async def test_a_backup_is_taken_once_and_climbs_every_level(
    vault: Vault, method: str, record_property: Callable[[str, object], None]
) -> None:
    async with proof_of(vault, method) as proof:
        taken = await proof.take()
        assert await proof.take() == taken  # its reply was lost: asked for again, it is the same one
        assert taken.records >= ROWS
        assert (await proof.desk.probe("backup", "main")).holds is Holds.YES
        vault.write_rows(7)  # what is written later is not in the backup
        assert await proof.climb("verify-one") == ("", "")
        if method == "pgbackrest":  # what stands there is a copy of production: it must not act as production
            shown = ("listen_addresses", "archive_mode", "max_wal_senders", "shared_preload_libraries")
            assert [ask(vault, f"SHOW {name}") for name in shown] == ["", "off", "0", ""]
        ask(vault, "DELETE FROM t WHERE id = 1")
        with pytest.raises(StepFailed, match="records is") as caught:
            await proof.step("restore_check", "verify-one", asdict(taken))
        record_property("planted", ("a restored copy that lacks a row", method, "L4", str(caught.value)))
        seen = await proof.desk.probe("restore", "main", backup=taken.id, scratch="verify-one")
        assert seen.holds is Holds.YES
        await proof.desk.run("discard", "main", scratch="verify-one")
        assert (await proof.desk.probe("discard", "main", scratch="verify-one")).holds is Holds.YES


def ask(vault: Vault, statement: str) -> str:
    """Ask the throwaway server."""
    scratch = str(vault.folder / "scratch" / "verify-one")
    return vault.run("psql", "-h", scratch, "-p", "5432", "-U", "postgres", "-XAtc", statement).strip()


def largest(vault: Vault, folder: str, pattern: str) -> Path:
    return max((vault.folder / folder).rglob(pattern), key=lambda path: path.stat().st_size)


def data_of(vault: Vault, method: str) -> Path:
    """Return a file that holds data of the backup."""
    if method == "pg_dump":
        return vault.folder / "store" / f"{TAKEN[method].id}.dump"
    if method == "restic":
        return largest(vault, "restic/data", "*")
    return largest(vault, "repo/backup/cdeps", "*.lz4")


def flipped(vault: Vault, method: str) -> Callable[[], object]:
    path = data_of(vault, method)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.chmod(0o600)
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    return lambda: path.write_bytes(whole)


def truncated(vault: Vault, method: str) -> Callable[[], object]:
    path = data_of(vault, method)
    whole = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(whole[: len(whole) // 2])
    return lambda: path.write_bytes(whole)


def no_wal(vault: Vault, method: str) -> Callable[[], object]:
    there = sorted((vault.folder / "repo/archive/cdeps").rglob("*-*.lz4"))
    path = there[-1]  # the one with the point to which it is restored
    away = path.rename(vault.folder / "away")
    return lambda: away.rename(path)


def wrong_key(vault: Vault, method: str) -> Callable[[], object]:
    name = {"restic": "restic-password", "pgbackrest": "cipher"}[method]
    (vault.folder / name).write_text("another\n")
    return lambda: (vault.folder / name).write_text(SECRETS[name] + "\n")


def full_disk(vault: Vault, method: str) -> Callable[[], object]:
    if os.geteuid():
        pytest.skip("only root can mount a small disk")
    scratch = vault.folder / "scratch"
    mounted = ["mount", "-t", "tmpfs", "-o", f"size=4m,uid={scratch.stat().st_uid}", "tmpfs", scratch]
    if subprocess.run(mounted, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    return lambda: subprocess.run(["umount", "-l", scratch], check=True)


def gone(vault: Vault, method: str) -> Callable[[], object]:
    path = data_of(vault, method)
    away = path.rename(vault.folder / "away")
    return lambda: away.rename(path)


PLANTED = [
    ("a flipped byte", flipped, METHODS, "L1"),
    ("a truncated file", truncated, METHODS, "L1"),
    ("a missing WAL segment", no_wal, ("pgbackrest",), "L1"),
    ("a wrong key", wrong_key, ("restic", "pgbackrest"), "L0"),
    ("a backup that was removed", gone, ("pg_dump",), "L0"),
    ("a full scratch disk", full_disk, METHODS, "L2"),
]


@pytest.mark.parametrize(
    ("fault", "plant", "method", "level"),
    [(fault, plant, method, level) for fault, plant, methods, level in PLANTED for method in methods],
)
async def test_a_planted_fault_is_caught_at_its_level(
    vault: Vault,
    fault: str,
    plant: Callable[[Vault, str], Callable[[], object]],
    method: str,
    level: str,
    record_property: Callable[[str, object], None],
) -> None:
    async with proof_of(vault, method) as proof:
        mend = plant(vault, method)
        try:
            caught, why = await proof.climb("verify-one")
        finally:
            await proof.desk.run("discard", "main", scratch="verify-one")
            mend()
        record_property("planted", (fault, method, caught, why))
        assert caught == level, why


@pytest.mark.parametrize("method", METHODS)
async def test_a_backup_that_is_too_old_falls_at_the_first_level(
    vault: Vault, method: str, record_property: Callable[[str, object], None]
) -> None:
    async with proof_of(vault, method, max_age_s=0.001) as proof:
        caught, why = await proof.climb("verify-one")
        record_property("planted", ("a backup that is too old", method, caught, why))
        assert caught == "L0", why


async def test_restored_files_that_do_not_boot_fall_at_l3(
    vault: Vault, record_property: Callable[[str, object], None]
) -> None:
    def spoil() -> None:
        (vault.folder / "scratch/verify-one/data/global/pg_control").write_bytes(b"\0" * 8192)

    async with proof_of(vault, "pgbackrest") as proof:
        caught, why = await proof.climb("verify-one", {"restore_start": spoil})
        record_property("planted", ("files that do not boot", "pgbackrest", caught, why))
        assert caught == "L3", why


@pytest.mark.parametrize("method", ["restic", "pgbackrest"])
async def test_a_second_copy_is_added_once_and_cannot_be_taken_back(vault: Vault, method: str) -> None:
    async with proof_of(vault, method, second_place=vault.second(append_only=True)) as proof:
        assert (await proof.desk.probe("backup_copy", "main")).holds is Holds.NO
        word = " copy " if method == "restic" else " backup "
        with losing(proof.desk, word):
            await in_the_dark(proof.desk, "backup_copy", "main", {})
        done = await proof.desk.run("backup_copy", "main", timeout_s=60)
        assert done.outputs == {"copied": TAKEN[method].id, "owed": ""}
        assert (await proof.desk.probe("backup_copy", "main")).holds is Holds.YES
        if method == "restic":  # asking takes some seconds
            checked = await proof.desk.run("copy_check", "main", timeout_s=60)
            assert checked.outputs == {"copies": 2, "append_only": True}
            assert "refused to remove a snapshot" in "\n".join(proof.desk.said)


async def test_a_second_place_that_cannot_be_reached_is_told_in_its_own_words_and_tried_again(vault: Vault) -> None:
    place = vault.second(append_only=True)
    (option,) = place["options"]
    place["options"] = [option.replace(f"-p {vault.sshd.port}", "-p 1")]
    async with proof_of(vault, "pg_dump", second_place=place) as proof:
        for action in ("backup_copy", "copy_check"):
            with pytest.raises(StepFailed, match=r"rclone:second cannot be opened from .*: ssh: .*refused$") as caught:
                await proof.desk.run(action, "main", timeout_s=60)
            assert caught.value.retry_helps
            alone = str(caught.value).startswith(f"{TAKEN['pg_dump'].id} is taken, in one place only: the restic")
            assert alone == (action == "backup_copy")
        second = second_of(proof.desk.world, "cdeps")
        assert second is not None
        with pytest.raises(StepFailed, match="cannot be opened"):  # which is not "damaged"
            await second.repository.check(0, Deadline(proof.desk.world.clock, 60), proof.desk.said.append)


async def test_what_is_owed_to_the_second_place_is_copied_by_the_next_run_and_what_cannot_be_stays_owed(
    vault: Vault,
) -> None:
    shelf: list[Backup] = []
    place = vault.second(append_only=True)
    async with proof_of(vault, "pg_dump", second_place=place, shelf=lambda _system: shelf) as proof:
        first = await Verification(proof.desk.world, proof.newest).take()
        second = await proof.take()
        shelf[:] = [replace(first, one_place="no route"), replace(first, id="gone", one_place="x"), second]
        done = await proof.desk.run("backup_copy", "main", timeout_s=120)
        assert done.outputs == {"copied": f"{second.id} {first.id}", "owed": "gone"}
        assert "gone is still taken, in one place only: " in "\n".join(proof.desk.said)
        seen = await proof.desk.probe("backup_copy", "main")
        assert (seen.holds, seen.outputs) == (Holds.YES, done.outputs)
        proof.newest["cdeps"] = replace(second, copied_at=1.0)
        shelf[:] = [second]
        done = await proof.desk.run("backup_copy", "main", timeout_s=120)
        assert done.outputs == {"copied": "", "owed": ""}, "nothing is asked of the second place when nothing is owed"


async def test_a_second_place_that_lets_itself_be_emptied_is_found(vault: Vault) -> None:
    async with proof_of(vault, "pg_dump", second_place=vault.second(append_only=False)) as proof:
        await proof.desk.run("backup_copy", "main", timeout_s=60)
        with pytest.raises(StepFailed, match="not append-only"):
            await proof.desk.run("copy_check", "main", timeout_s=60)


async def test_retention_removes_only_what_it_may_and_can_be_asked_again(vault: Vault) -> None:
    shelf: list[Backup] = []
    with vault.world(
        "pg_dump", {}, lambda _system: shelf, retention={"newest": 1, "days": 0, "weeks": 0, "months": 0}
    ) as world:
        try:
            taken = []
            for _ in range(3):
                proof = Verification(world, {})
                taken.append(await proof.take())
            proven = replace(taken[1], verified_at=taken[1].taken_at)
            shelf[:] = [taken[0], proven, taken[2]]
            assert (await proof.desk.probe("backup_expire", "main")).holds is Holds.NO
            with losing(proof.desk, "rm -f"):
                done = await in_the_dark(proof.desk, "backup_expire", "main", {})
            assert done.outputs == {"removed": taken[0].id, "kept": 2}
            assert (await proof.desk.probe("backup_expire", "main")).outputs == done.outputs
            there = {path.stem for path in (vault.folder / "store").glob("*.dump")}
            assert {taken[1].id, taken[2].id} <= there
            assert taken[0].id not in there
            shelf[:] = [replace(one, taken_at=one.taken_at + 7200) for one in shelf]  # as after a clock that jumped
            with pytest.raises(StepFailed, match="nothing is removed: the newest backup was taken"):
                await proof.desk.run("backup_expire", "main")
        finally:
            await world.ssh.close()
            await world.http.close()
