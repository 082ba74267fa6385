"""A vault to back up to and restore at: Debian's sshd, PostgreSQL, restic and pgBackRest, and single actions there.

Everything runs as one ordinary user, for PostgreSQL refuses root.
"""

from __future__ import annotations

import atexit
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from actions_kit import Desk
from estate_kit import REPOSITORY
from postgres_kit import Cluster, binaries
from real_kit import need
from sshd_kit import ADDRESS, Sshd
from tls_kit import ThrowawayCa

from dr.backups.catalog import LEVEL_OF, Backup
from dr.errors import StepFailed
from dr.world import World
from monitor.clients.http import HttpClient
from monitor.clients.redfish import RedfishClient
from monitor.clients.ssh import SshPool
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.errors import TargetError
from monitor.inventory.read import checked
from monitor.yamlfile import load

SECRETS = {"restic-password": "throwaway-restic", "second-password": "throwaway-second", "cipher": "throwaway-cipher"}
QUESTION = "SELECT count(*) AS records, coalesce(max(id), 0) AS position, coalesce(max(number), '') AS newest_id FROM t"
ROWS = 3000
PRIMARY = '{"role": "primary", "position": 1, "received_at": 1.0, "epoch": 1}'  # what a database host says of itself
NOTHING: Mapping[str, Callable[[], object]] = {}
_names = itertools.count(1)


def let_add(far: Sshd, repository: Path, key: Path) -> None:
    """Let ``key`` add to the repository at ``far`` and take nothing from it, as docs/backups.md says."""
    served = f"{need('rclone', 'rclone')} serve restic --stdio --append-only {repository}"
    with (far.folder / "authorized").open("a") as file:
        file.write(f'command="{served}",restrict {key.with_suffix(".pub").read_text()}')


def second_place(far: Sshd, key: Path, user: str) -> dict[str, Any]:
    """Return how ``key`` reaches the repository at ``far``, for the inventory."""
    ssh = f"ssh -F none -i {key} -p {far.port} -o UserKnownHostsFile={far.known_hosts}"
    return {"repository": "rclone:second", "options": [f"rclone.program={ssh} {user}@{far.address}"]}


class Archiving(Cluster):
    """A cluster whose WAL goes to pgBackRest's archive."""

    config = ""

    def _configure(self) -> None:
        super()._configure()
        settings = {
            "archive_mode": "on",
            "archive_command": f"pgbackrest --config={self.config} --stanza=cdeps archive-push %p",
        }
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())


class Vault:
    """One folder with an sshd, a database, and the places of all methods."""

    def __init__(self) -> None:
        need("restic", "restic")
        need("pgbackrest", "pgbackrest")
        need("rclone", "rclone")
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.folder = Path(tempfile.mkdtemp(prefix="kv-", dir="/tmp"))  # short: sockets' paths are
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o755)
        for name, secret in SECRETS.items():
            (self.folder / name).write_text(secret + "\n")
        (self.folder / "status.json").write_text(PRIMARY)
        self.sshd = Sshd(self.folder, self.user)
        self.sshd.begin_at_home()
        self.cluster = Archiving(ThrowawayCa(self.folder))
        self.cluster.config = str(self.folder / "pgbackrest.conf")
        for name in ("home", "store", "restic", "second", "repo", "scratch", "lock", "logs"):
            (self.folder / name).mkdir()
            self.give(self.folder / name)

    def give(self, path: Path) -> None:
        if os.geteuid() == 0:
            shutil.chown(path, self.user, self.user)

    def run(self, *argv: str, **env: str) -> str:
        """Run a command as the vault's user; return what it printed."""
        done = subprocess.run(
            argv,
            check=True,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=os.environ | {"HOME": str(self.folder / "home")} | env,
            **({"user": self.user, "group": self.user, "extra_groups": []} if os.geteuid() == 0 else {}),
        )
        return done.stdout

    def start(self) -> None:
        self.sshd.start()
        lines = [
            "[global]",
            f"repo1-path={self.folder / 'repo'}",
            "repo1-cipher-type=aes-256-cbc",
            "repo1-retention-full=9999999",
            f"lock-path={self.folder / 'lock'}",
            f"log-path={self.folder / 'logs'}",
            "log-level-file=off",
            "start-fast=y",
            "compress-type=lz4",
            f"repo1-cipher-pass={SECRETS['cipher']}",
            "[cdeps]",
            f"pg1-path={self.cluster.data}",
            f"pg1-port={self.cluster.port}",
            f"pg1-socket-path={self.cluster.folder}",
            "pg1-user=postgres",
        ]
        conf = self.folder / "pgbackrest.conf"
        conf.write_text("\n".join(lines) + "\n")  # archive_command reads the key here
        (self.folder / "daily.conf").write_text("\n".join(line for line in lines if "cipher-pass" not in line) + "\n")
        for one in (conf, self.folder / "daily.conf"):
            self.give(one)
        self.cluster.create()
        self.run("pgbackrest", f"--config={conf}", "--stanza=cdeps", "stanza-create")
        self.cluster.sql("DROP TABLE t; CREATE TABLE t (id bigserial PRIMARY KEY, number text NOT NULL, body text)")
        self.write_rows(ROWS)
        for name, secret in (("restic", "restic-password"), ("second", "second-password")):
            self.run("restic", "--repo", str(self.folder / name), "init", RESTIC_PASSWORD=SECRETS[secret])

    def write_rows(self, count: int) -> None:
        number = f"generate_series(1, {count})"
        self.cluster.sql(f"INSERT INTO t (number, body) SELECT 'MK' || g, md5(g::text) FROM {number} g")  # noqa: S608 - a test's own

    def stop(self) -> None:
        for pidfile in (self.folder / "scratch").glob("*/data/postmaster.pid"):
            self.run(str(binaries() / "pg_ctl"), "-D", str(pidfile.parent), "-m", "immediate", "stop")
        self.sshd.stop()
        self.cluster.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def second(self, *, append_only: bool) -> dict[str, Any]:
        """Return the inventory's ``second_place``: behind a key that may only add, or (wrongly) an open folder."""
        place = {"repository": str(self.folder / "second"), "password": "second-password"}
        if not append_only:
            return place
        key = self.folder / "second-key"
        if not key.exists():
            self.sshd.new_key("second-key")
            self.give(key)
            let_add(self.sshd, self.folder / "second", key)
        return place | second_place(self.sshd, key, self.user)

    def postgresql(self) -> dict[str, Any]:
        line = f"host={self.cluster.folder} port={self.cluster.port} dbname=postgres user=postgres"
        return {
            "connections": {"main": line, "dr": line},
            "database": "postgres",
            "question": QUESTION,
            "lock": ["t"],
            "programs": str(binaries()),
        }

    def store(self, method: str) -> dict[str, Any]:
        """Return the inventory's ``store`` of a method."""
        stores: dict[str, dict[str, Any]] = {
            "pg_dump": {"folder": str(self.folder / "store")},
            "restic": {"repository": str(self.folder / "restic"), "password": "restic-password"},
            "pgbackrest": {
                "stanza": "cdeps",
                "config": str(self.folder / "daily.conf"),
                "cipher_password": "cipher",
                "folder": str(self.folder / "repo"),
                "kind": "full",
            },
        }
        return {"method": method, "postgresql": self.postgresql(), **stores[method]}

    @contextmanager
    def world(
        self,
        method: str,
        newest: Mapping[str, Backup],
        shelf: Callable[[str], list[Backup]] = lambda _system: [],
        host: str = "vault-dr",
        **policy: Any,
    ) -> Iterator[World]:
        """Yield a World whose system ``cdeps`` is backed up here by ``method``; ``policy`` is added to its entry."""
        data = yaml.safe_load((REPOSITORY / "inventory.yaml").read_text())
        data["hosts"][host] |= {"address": ADDRESS, "port": self.sshd.port, "user": self.user}
        data["database_kinds"]["ledger"]["commands"]["status"] = ["cat", str(self.folder / "status.json")]
        entry = {"vault": host, "scratch": str(self.folder / "scratch"), "store": self.store(method)}
        data["systems"]["cdeps"]["backup"] = entry | policy
        file = self.folder / f"inventory-{next(_names)}.yaml"
        file.write_text(yaml.safe_dump(data, sort_keys=False))
        credentials, now = Credentials(self.folder), RealClock()
        http = HttpClient(None, clock=now)
        ssh = SshPool(credentials, self.sshd.known_hosts, now)
        yield World(
            checked(load(file)), credentials, now, ssh, {}, http, RedfishClient(http), newest.get, backups=shelf
        )


class Verification:
    """Takes and verifies backups of ``cdeps`` by the actions of the shipped playbooks, one after the other."""

    def __init__(self, world: World, newest: dict[str, Backup]) -> None:
        self.newest = newest
        self.desk = Desk(world, "cdeps", f"cdeps-test-{next(_names)}", said=[])

    async def take(self) -> Backup:
        outputs = dict((await self.desk.run("backup", "main", timeout_s=90)).outputs)
        made = Backup(
            id=str(outputs["backup"]),
            system="cdeps",
            taken_at=float(outputs["taken_at"]),
            records=int(outputs["records"]),
            position=int(outputs["position"]),
            newest_id=str(outputs["newest_id"]),
            size_bytes=int(outputs["bytes"]),
            sha256=str(outputs["sha256"]),
            run_id=self.desk.run_id,
        )
        self.newest["cdeps"] = made
        return made

    async def step(self, action: str, scratch: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
        manifest = {name: chosen[name] for name in ("records", "position", "newest_id") if name in chosen}
        args: dict[str, dict[str, Any]] = {
            "backup_select": {},
            "backup_check": {"backup": chosen.get("backup"), "sha256": chosen.get("sha256"),
                             "bytes": chosen.get("bytes"), **manifest},
            "restore": {"backup": chosen.get("backup"), "scratch": scratch},
            "restore_start": {"backup": chosen.get("backup"), "scratch": scratch},
            "restore_check": {"scratch": scratch, **manifest},
        }  # fmt: skip
        return dict((await self.desk.run(action, "main", timeout_s=90, **args[action])).outputs)

    async def climb(self, scratch: str, plant: Mapping[str, Callable[[], object]] = NOTHING) -> tuple[str, str]:
        """Go up the levels; return the one at which it fell and why, or two empty texts. The scratch place stays.

        ``plant`` maps an action to what goes wrong just before it.
        """
        chosen: dict[str, Any] = {}
        for action, level in LEVEL_OF.items():
            plant.get(action, bool)()
            try:
                outputs = await self.step(action, scratch, chosen)
            except (StepFailed, TargetError) as error:
                return level, str(error)
            chosen = chosen or outputs
        return "", ""
