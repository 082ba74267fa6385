"""The vault of the two sites: a host at dr with sshd, restic and PostgreSQL; it fetches from whichever side is active.

It reaches the databases over the wire that they replicate over, by TLS that the estate's CA vouches for, as a user of
its own who may only read. A second copy
goes to a host at neither site (``far``), by a key that runs rclone there, append-only, and no more.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from backup_kit import let_add, second_place
from postgres_kit import binaries
from real_kit import need
from sshd_kit import Sshd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from netns_kit import NetnsEstate
    from pg_pair_kit import PgSite

PASSWORD = {"vault-database": "may-only-read", "vault-restic": "throwaway-near", "far-restic": "throwaway-far"}
ACCESS = "hostssl all karaula_backup {address}/32 scram-sha-256\n"
# Counting a table of some years takes a while, during which clients write on.
QUESTION = (
    "SELECT count(*) AS records, coalesce(max(n), 0) AS position, coalesce(max(id), '') AS newest_id"
    " FROM declaration, pg_sleep(0.3)"
)


class Vault:
    """One host with its own sshd, a repository of restic's and a scratch place; and the far one with the other."""

    def __init__(self, net: NetnsEstate, site: str, port: int, ca: Path) -> None:
        self.restic = need("restic", "restic")
        self.net, self.site = net, site
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name  # PostgreSQL refuses root
        self.host, self.far_host = net.host("vault", site), net.host("far")
        self.wan = net.wire(self.host, "r-vault", "wan")
        self.folder = Path(tempfile.mkdtemp(prefix="kv-", dir="/tmp"))  # short: sockets' paths are
        self.folder.chmod(0o755)
        self.far_folder = self.folder / "far"
        for place in (self.folder, self.far_folder):
            for name in ("home", "restic", "scratch"):
                (place / name).mkdir(parents=True)
                shutil.chown(place / name, self.user, self.user)
        self.sshd = Sshd(self.folder, self.user, address=self.host.address, port=port)
        self.far = Sshd(self.far_folder, self.user, address=self.far_host.address, port=port)
        self.sshd.begin_at_home()
        self.sshd.new_key("second-key")
        shutil.chown(self.folder / "second-key", self.user, self.user)
        (self.far_folder / "authorized").write_text("")
        let_add(self.far, self.far_folder / "restic", self.folder / "second-key")
        soon = int(time.time() // 60)  # each hour, and not soon
        self.ca = self.folder / "ca.pem"  # by which the databases' certificates are verified
        self.trust(ca)
        self.crons = {"backup": f"{(soon + 40) % 60} * * * *", "verify": f"{(soon + 50) % 60} * * * *"}

    @property
    def scratch(self) -> Path:
        """Where backups are restored to, and nothing stays."""
        return self.folder / "scratch"

    def trust(self, ca: Path) -> None:
        """Have the databases' certificates verified by this CA from now on."""
        shutil.copy(ca, self.ca)

    def let_in(self, database: PgSite) -> None:
        """Let the vault's user in at a database that has not been started yet."""
        with (database.folder / "pg_hba.conf").open("a") as file:
            file.write(ACCESS.format(address=self.wan))

    def start(self, credentials: Path) -> None:
        """Start both; what opens them is in ``credentials``."""
        for name, secret in PASSWORD.items():
            (credentials / name).write_text(secret + "\n")
        shutil.copy(self.folder / "ssh-karaula", credentials / "ssh-vault")
        for place, secret in ((self.folder, "vault-restic"), (self.far_folder, "far-restic")):
            self._run(self.restic, "--repo", place / "restic", "init", RESTIC_PASSWORD=PASSWORD[secret])
        for sshd, host in ((self.sshd, self.host), (self.far, self.far_host)):
            with self.net.inside(host):
                sshd.start()

    def inventory_host(self) -> dict[str, object]:
        """Return the vault as the inventory's ``hosts`` has it."""
        place = {"site": self.site, "address": self.host.address, "port": self.sshd.port}
        return {**place, "user": self.user, "credential": "ssh-vault"}

    def entry(self, databases: dict[str, str], port: int) -> dict[str, object]:
        """Return ``backup`` of the system whose databases are at these addresses."""
        line = "host={address} port={port} dbname=postgres user=karaula_backup connect_timeout=5 sslrootcert=" + str(
            self.ca
        )
        return {
            "vault": "vault-dr",
            "scratch": str(self.scratch),
            "store": {
                "method": "restic",
                "repository": str(self.folder / "restic"),
                "password": "vault-restic",
                "postgresql": {
                    "connections": {site: line.format(address=at, port=port) for site, at in databases.items()},
                    "password": "vault-database",
                    "database": "postgres",
                    "question": QUESTION,
                    "programs": str(binaries()),
                },
            },
            "second_place": {**second_place(self.far, self.folder / "second-key", self.user), "password": "far-restic"},
        }

    def schedules(self, system: str) -> dict[str, object]:
        """Return the inventory's ``schedules``."""
        return {
            f"nightly-{playbook}": {"playbook": playbook, "system": system, "cron": cron}
            for playbook, cron in self.crons.items()
        }

    # -- what is seen of it -------------------------------------------------------------------------------------------

    def server(self) -> int:
        """Return the process of the server that runs on what was restored; 0 while there is none."""
        for file in self.scratch.glob("verify-*/data/postmaster.pid"):
            lines = file.read_text().splitlines()
            if lines[7:8] and lines[7].strip() == "ready":
                return int(lines[0])
        return 0

    def where(self, process: int) -> str:
        """Return the name of the host that a process runs at."""
        said = subprocess.run(["ip", "netns", "identify", str(process)], capture_output=True, text=True, check=True)
        return next(name for name, host in self.net.hosts.items() if host.namespace == said.stdout.strip())

    def listens(self) -> set[str]:
        """Return where anything at the vault takes connections from others."""
        return {line.split()[3] for line in self.net.run(self.host, "ss", "-Hltn").splitlines()}

    def programs(self) -> set[str]:
        """Return what runs at the vault."""
        pids = subprocess.run(
            ["ip", "netns", "pids", self.host.namespace], capture_output=True, text=True, check=True
        ).stdout.split()
        shown = subprocess.run(["ps", "-o", "comm=", "-p", ",".join(pids)], capture_output=True, text=True, check=False)
        return set(shown.stdout.split())

    def places(self) -> list[Path]:
        """Return what lies in the scratch folder."""
        return list(self.scratch.iterdir())

    def locks(self) -> list[Path]:
        """Return what restic has locked at the far place."""
        return list((self.far_folder / "restic" / "locks").iterdir())

    def restored(self) -> set[str]:
        """Return the declarations that the restored copy holds."""
        (place,) = self.places()
        where = ("-h", place, "-p", "5432", "-U", "postgres", "-d", "postgres")
        return set(self._run("psql", "-XAtq", *where, "-c", "SELECT id FROM declaration").split())

    @contextmanager
    def far_hangs(self) -> Iterator[None]:
        """The far place takes connections and says nothing."""
        self.far.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.far.signal(signal.SIGCONT)

    def flip_a_byte(self) -> Callable[[], object]:
        """Spoil the newest data of the vault's repository; call what is returned to mend it."""
        packs = [path for path in (self.folder / "restic/data").rglob("*") if path.is_file()]
        path = max(packs, key=lambda one: one.stat().st_mtime)
        whole = path.read_bytes()
        middle = len(whole) // 2
        path.chmod(0o600)
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        return lambda: path.write_bytes(whole)

    def close(self) -> None:
        self.sshd.stop()
        self.far.stop()
        if server := self.server():
            os.kill(server, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, *words: str | Path, **env: str) -> str:
        """Run something as the vault's user; return what it printed."""
        here = {"HOME": str(self.folder / "home"), **env}
        done = subprocess.run(
            words,
            check=True,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=os.environ | here,
            user=self.user,
            group=self.user,
            extra_groups=[],
        )
        return done.stdout
