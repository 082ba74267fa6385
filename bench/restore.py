"""A restore verification (level L2) beside the bare tool's restore: restic, 1.5 gigabytes, one Debian sshd.

Both restore the same snapshot into a fresh folder of the same disk. The bare tool is `restic restore` and nothing else.
Karaula does the step `restore` of the shipped playbook over SSH: it looks for the snapshot and its record, whether
there is room, restores, and looks at what came of it; restic itself holds each piece against its hash.
Exits with 1 when that takes more than 1.3 times as long.
"""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from bench.engine import sshd
from bench.measure import Cost, Watch, machine, median, table
from deploy.environment import ROOT
from dr.action import Context, Holds
from dr.actions.restore import Restore, RestoreArgs
from dr.estate.method import Record
from dr.estate.restic import RECORD, TAG
from dr.world import World
from monitor.clients.http import HttpClient
from monitor.clients.redfish import RedfishClient
from monitor.clients.ssh import SshPool
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.read import checked
from monitor.yamlfile import load

MEGABYTE = 1_000_000
SIZE = 1500 * MEGABYTE
ROUNDS = 3
MOST = 1.3
NAME = "ncts-bench"
PASSWORD = "throwaway"  # noqa: S105 - of a repository that lives as long as the bench


def dump(path: Path) -> str:
    """Write what stands for a dump: half of it compresses well, half not at all. Return its SHA-256."""
    digest = hashlib.sha256()
    line = b"INSERT INTO declarations VALUES (1, 'MK0000001', 'transit', 'Tabanovce', now());\n"
    text = (line * (MEGABYTE // len(line) + 1))[:MEGABYTE]
    with path.open("wb") as file:
        for number in range(SIZE // MEGABYTE):
            block = os.urandom(MEGABYTE) if number % 2 else text
            file.write(block)
            digest.update(block)
    return digest.hexdigest()


def restic(repository: Path, *words: str | Path) -> None:
    """Run restic as a person would."""
    env = os.environ | {"RESTIC_PASSWORD": PASSWORD}
    done = subprocess.run(["restic", "--repo", repository, *words], env=env, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"bench: restic {words[0]}: {done.stderr.decode()[:300]}")


def world_of(folder: Path, port: int) -> World:
    """Return a World whose system ncts is backed up into the bench's repository."""
    data = yaml.safe_load((ROOT / "inventory.yaml").read_text())
    data["hosts"]["vault-dr"] |= {"address": "127.0.0.1", "port": port, "user": getpass.getuser()}
    postgresql = {"connections": {"main": "dbname=x", "dr": "dbname=x"}, "database": "x", "question": "SELECT 1"}
    store = {"method": "restic", "repository": str(folder / "repository"), "password": "restic"}
    data["systems"]["ncts"]["backup"] = {
        "vault": "vault-dr",
        "scratch": str(folder / "scratch"),
        "store": store | {"postgresql": postgresql},
    }
    file = folder / "inventory.yaml"
    file.write_text(yaml.safe_dump(data))
    (folder / "restic").write_text(PASSWORD)
    credentials, clock, http = Credentials(folder), RealClock(), HttpClient(None)
    pool = SshPool(credentials, folder / "known_hosts", clock)
    return World(checked(load(file)), credentials, clock, pool, {}, http, RedfishClient(http), lambda _system: None)


async def karaula(world: World, number: int) -> Cost:
    """Measure the step once: its action, and the look at its effect that the engine always takes."""
    action, args = Restore(), RestoreArgs(system="ncts", site="main", backup=NAME, scratch=f"verify-{number}")
    context = Context("bench", "restore", 1, "bench", 1, 600, world, lambda _line: None)
    with Watch() as watch:
        await action.run(args, context)
        seen = await action.probe(args, context)
    assert seen.holds is Holds.YES, seen.evidence
    await action.undo(args, context, {})
    return watch.cost


async def both(folder: Path, port: int) -> list[tuple[str, Cost]]:
    """Measure the two in turns, so that both meet the same machine."""
    repository = folder / "repository"
    restic(repository, "init")
    digest = dump(folder / "database.dump")
    record = Record(
        backup=NAME, system="ncts", records=1, position=1, newest_id="x", sha256=digest, bytes=SIZE,
        taken_at=time.time(), restored_bytes=SIZE,
    )  # fmt: skip
    tags = ["--tag", f"{TAG}{NAME}", "--tag", f"{RECORD}{record.packed()}"]
    restic(repository, "backup", *tags, folder / "database.dump")
    (folder / "scratch").mkdir()
    world = world_of(folder, port)
    bare, ours = [], []
    try:
        await karaula(world, 0)  # connects, and warms the disk for both
        for number in range(1, ROUNDS + 1):
            target = folder / "scratch" / f"bare-{number}"
            with Watch() as watch:
                restic(repository, "restore", "latest", "--target", target)
            bare.append(watch.cost)
            shutil.rmtree(target)
            ours.append(await karaula(world, number))
    finally:
        await world.ssh.close()
        await world.http.close()
    return [
        (f"restic restore (median of {ROUNDS})", median(bare)),
        (f"karaula, step restore (median of {ROUNDS})", median(ours)),
    ]


def main() -> int:
    """Run it; 1 when the verification takes too long beside the bare tool."""
    if shutil.which("restic") is None:
        sys.exit("bench: type: sudo apt-get install restic")
    with tempfile.TemporaryDirectory(prefix="karaula-bench-") as name, sshd(Path(name)) as port:
        rows = asyncio.run(both(Path(name), port))
    print(machine())
    table(f"a restore of {SIZE // MEGABYTE} MB; times: wall / processor beside the bare tool", rows, beside=0)
    ratio = rows[1][1].wall_s / rows[0][1].wall_s
    print(f"\na restore verification takes {ratio:.2f} times as long as the bare restore, of {MOST} that it may")
    return 0 if ratio <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
