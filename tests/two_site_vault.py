"""The vault of the two sites: a host at dr with sshd, restic and PostgreSQL; it fetches from whichever side is active.

It reaches the databases over the wire that they replicate over, as a user of its own who may only read.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from postgres_kit import binaries
from real_kit import need
from sshd_kit import Sshd

if TYPE_CHECKING:
    from netns_kit import NetnsEstate
    from pg_pair_kit import PgSite

PASSWORD = {"vault-database": "may-only-read", "vault-restic": "throwaway-restic"}
ROLE = f"CREATE ROLE karaula_backup LOGIN PASSWORD '{PASSWORD['vault-database']}' IN ROLE pg_read_all_data"
ACCESS = "host all karaula_backup {address}/32 scram-sha-256\n"
QUESTION = (
    "SELECT count(*) AS records, coalesce(max(n), 0) AS position, coalesce(max(id), '') AS newest_id FROM declaration"
)


class Vault:
    """One host, its own sshd, a repository of restic's and a scratch place."""

    def __init__(self, net: NetnsEstate, site: str, port: int) -> None:
        self.restic = need("restic", "restic")
        self.net = net
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name  # PostgreSQL refuses root
        self.host = net.host("vault", site)
        self.wan = net.wire(self.host, "r-vault", "wan")
        self.folder = Path(tempfile.mkdtemp(prefix="kv-", dir="/tmp"))  # short: sockets' paths are
        self.folder.chmod(0o755)
        for name in ("home", "restic", "scratch"):
            (self.folder / name).mkdir()
            shutil.chown(self.folder / name, self.user, self.user)
        with net.inside(self.host):
            self.sshd = Sshd(self.folder, self.user, address=self.host.address, port=port)

    @property
    def scratch(self) -> Path:
        """Where backups are restored to, and nothing stays."""
        return self.folder / "scratch"

    def let_in(self, database: PgSite) -> None:
        """Let the vault's user in at a database that has not been started yet."""
        with (database.folder / "pg_hba.conf").open("a") as file:
            file.write(ACCESS.format(address=self.wan))

    def start(self, key: str, credentials: Path) -> None:
        """Start; who has ``key`` may log in."""
        for name, secret in PASSWORD.items():
            (credentials / name).write_text(secret + "\n")
        (self.folder / "authorized").write_text(key)
        environment = {**os.environ, "HOME": str(self.folder / "home"), "RESTIC_PASSWORD": PASSWORD["vault-restic"]}
        subprocess.run(
            [self.restic, "--repo", str(self.folder / "restic"), "init"],
            check=True, capture_output=True, env=environment, user=self.user, group=self.user, extra_groups=[],
        )  # fmt: skip
        with self.net.inside(self.host):
            self.sshd.start()

    def entry(self, databases: dict[str, str], port: int) -> dict[str, object]:
        """Return ``backup`` of the system whose databases are at these addresses."""
        line = "host={address} port={port} dbname=postgres user=karaula_backup connect_timeout=5"
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
        }

    def close(self) -> None:
        self.sshd.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
