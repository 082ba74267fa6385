"""Debian's PostgreSQL: throwaway clusters with TLS, and a standby that streams from a primary."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from real_kit import free_port, missing, tell
from tls_kit import ThrowawayCa

ADDRESS = "127.94.0.54"
LONG_S = 60.0
PASSWORD = "throwaway"
HBA = """\
local all postgres peer map=us
hostssl all watcher 127.0.0.0/8 scram-sha-256
hostssl all plain 127.0.0.0/8 scram-sha-256
hostssl replication replica 127.0.0.0/8 scram-sha-256
hostssl all greedy 127.0.0.0/8 password
"""


def binaries() -> Path:
    """Return the folder of PostgreSQL's newest server programs; skip, or fail in CI, when there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        missing("initdb", "postgresql")
    return found[-1].parent


class Cluster:
    """One server in a folder of its own, run by an ordinary user (PostgreSQL refuses root)."""

    def __init__(self, ca: ThrowawayCa, port: int | None = None) -> None:
        self.bin = binaries()
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.folder = Path(tempfile.mkdtemp(prefix="karaula-pg-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.data = self.folder / "data"
        self.port = port or free_port(ADDRESS)
        self.process: subprocess.Popen[bytes] | None = None
        certificate, key = ca.server(ADDRESS, "db.customs.example")
        shutil.copy(certificate, self.folder / "server.pem")
        shutil.copy(key, self.folder / "server.key")
        (self.folder / "server.key").chmod(0o600)
        (self.folder / "pgpass").write_text(f"*:*:*:*:{PASSWORD}\n")
        (self.folder / "pgpass").chmod(0o600)
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, "postgres", "postgres")

    def run(self, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, check=check, capture_output=True, text=True, cwd="/", **self._as_user())

    def _as_user(self) -> dict[str, Any]:
        if os.geteuid():
            return {}
        return {"user": "postgres", "group": "postgres", "extra_groups": [], "env": os.environ | {"HOME": "/"}}

    def create(self) -> None:
        """Make a primary with a user who watches, one who replicates, and one without rights."""
        self.run(self.bin / "initdb", "-D", self.data, "-U", "postgres", "-A", "peer", "--no-sync", "-E", "UTF8")
        self._configure()
        self.start()
        self.sql(
            f"CREATE ROLE watcher LOGIN PASSWORD '{PASSWORD}'; GRANT pg_monitor TO watcher;"
            f"CREATE ROLE plain LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE greedy LOGIN PASSWORD '{PASSWORD}';"
            f"CREATE ROLE replica LOGIN REPLICATION PASSWORD '{PASSWORD}'; CREATE TABLE t (n int);"
        )

    def follow(self, primary: Cluster, slot: str = "standby") -> None:
        """Become a standby of ``primary``, with a replication slot there."""
        source = (
            f"host={ADDRESS} port={primary.port} user=replica sslmode=require passfile={self.folder / 'pgpass'}"
            f" application_name={slot}"
        )
        self.run(self.bin / "pg_basebackup", "-D", self.data, "-d", source, "-R", "-X", "stream",
                 "-C", "-S", slot, "-c", "fast", "--no-sync")  # fmt: skip
        self._configure()
        self.start()

    def _configure(self) -> None:
        settings = {
            "listen_addresses": ADDRESS,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "ssl": "on",
            "ssl_cert_file": str(self.folder / "server.pem"),
            "ssl_key_file": str(self.folder / "server.key"),
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "20",
            "wal_receiver_status_interval": "1s",
            "wal_retrieve_retry_interval": "500ms",
            "autovacuum": "off",
        }
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        self.write("postgresql.conf", "\n".join(lines) + "\n")
        self.write("pg_hba.conf", HBA)
        self.write("pg_ident.conf", f"us {self.user} postgres\n")

    def write(self, name: str, text: str) -> None:
        path = self.data / name
        path.write_text(text)
        if os.geteuid() == 0:
            shutil.chown(path, "postgres", "postgres")

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = [self.bin / "postgres", "-D", self.data]
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, cwd="/", **self._as_user()
            )
        give_up = time.monotonic() + LONG_S
        while self.run(self.bin / "pg_isready", "-h", self.folder, "-p", str(self.port), check=False).returncode:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < give_up
            time.sleep(0.1)

    def sql(self, *statements: str) -> str:
        each = [word for statement in statements for word in ("-c", statement)]
        done = self.run(
            "psql", "-X", "-h", self.folder, "-p", str(self.port), "-U", "postgres", "-Atq", "-v", "ON_ERROR_STOP=1",
            *each, "postgres",
        )  # fmt: skip
        return done.stdout.strip()

    def family(self) -> list[int]:
        assert self.process is not None
        found = [self.process.pid]
        for pid in found:
            with suppress(FileNotFoundError, ProcessLookupError):  # it ends when it likes
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found

    def signal(self, number: int) -> None:
        tell(number, *self.family())

    def stop(self) -> None:
        """Kill it as a power cut would."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
        for lock in (self.data / "postmaster.pid", *self.folder.glob(".s.PGSQL.*")):
            lock.unlink(missing_ok=True)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
