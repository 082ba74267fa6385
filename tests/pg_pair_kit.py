"""A pair of Debian's PostgreSQL clusters as docs/targets.md sets them up, told by the shipped karaula-pg.

Configuration lies outside of the data, as Debian has it. The programs are copied to where the cluster's user may read
them, as an installation does. Processes are ended by the pid of their own postmaster.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postgres_kit import binaries
from real_kit import need

TARGETS = Path(__file__).resolve().parents[1] / "deploy" / "targets"
KILLED = 137 if os.geteuid() == 0 else -9  # runuser says it like a shell
EMPTY: list[Path] = []
REPLICATING = ("karaula_replica", "karaula_rewind")
TABLE = (
    "CREATE TABLE declaration (n bigint PRIMARY KEY, id text UNIQUE, site text NOT NULL);"
    "GRANT SELECT ON declaration TO karaula;"
    "CREATE ROLE app LOGIN; GRANT SELECT, INSERT ON declaration TO app;"
    "GRANT USAGE ON SCHEMA karaula TO app; GRANT SELECT ON karaula.epoch TO app;"
)
HBA = """\
local all app trust
local all all peer map=here
local replication karaula_replica peer map=here
host all karaula_rewind {peer} trust
host replication karaula_replica {peer} trust
"""
# As docs/targets.md has it.
HBA_BY_TLS = """\
local all app trust
local all all peer map=here
local replication karaula_replica peer map=here
hostssl all karaula_rewind {peer} scram-sha-256
hostssl replication karaula_replica {peer} scram-sha-256
"""
VERIFIED = " sslmode=verify-full sslrootcert={folder}/ca.pem passfile={folder}/pgpass"
CONFIG = """\
[postgresql]
site = {site}
bin = {bin}
data = {folder}/data
config_file = {folder}/postgresql.conf
socket = {folder}
port = {port}
state = {folder}/state
records = SELECT coalesce(max(n), 0) FROM public.declaration
synchronous = {synchronous}

[peer {peer}]
conninfo = host={peer_address} port={port} connect_timeout=3{verified}
"""


@dataclass(frozen=True)
class PairTls:
    """What a site of the pair shows and trusts, and the password by which its peer lets it in."""

    certificate: Path
    key: Path
    ca: Path
    password: str = "replicates-only"


class PgSite:
    """One cluster of the pair, and the commands of its host."""

    def __init__(
        self,
        site: str,
        peer: str,
        addresses: dict[str, str],
        port: int,
        *,
        synchronous: bool = False,
        tls: PairTls | None = None,
    ) -> None:
        self.bin = binaries()
        self.python = need("/usr/bin/python3", "python3")
        self.runuser = need("runuser", "util-linux")
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.site, self.port, self.address, self.tls = site, port, addresses[site], tls
        self.folder = Path(tempfile.mkdtemp(prefix=f"karaula-pg-{site}-"))
        self.data = self.folder / "data"
        for source in TARGETS.glob("karaula_*"):
            shutil.copy(source, self.folder)
        settings = {
            "data_directory": self.data,
            "hba_file": self.folder / "pg_hba.conf",
            "ident_file": self.folder / "pg_ident.conf",
            "listen_addresses": self.address,
            "port": port,
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": 20,
            "wal_log_hints": "on",
            "wal_receiver_status_interval": "1s",
            "wal_retrieve_retry_interval": "200ms",
            "autovacuum": "off",
        }
        hba, verified = HBA, ""
        if tls is not None:
            hba, verified = HBA_BY_TLS, VERIFIED.format(folder=self.folder)
            settings |= self._secured(tls, addresses[peer])
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        self.config = self.folder / "karaula-pg.conf"
        came_from = "127.0.0.0/8" if addresses[peer].startswith("127.") else f"{addresses[peer]}/32"
        values = {
            "verified": verified,
            "site": site,
            "peer": peer,
            "peer_address": addresses[peer],
            "synchronous": synchronous,
        }
        (self.folder / "postgresql.conf").write_text("\n".join(lines) + "\n")
        (self.folder / "pg_hba.conf").write_text(hba.format(peer=came_from))
        users = ("postgres", "karaula", "karaula_replica")
        (self.folder / "pg_ident.conf").write_text("".join(f"here {self.user} {name}\n" for name in users))
        self.config.write_text(CONFIG.format(bin=self.bin, folder=self.folder, port=port, **values))
        self.own()

    def _secured(self, tls: PairTls, peer: str) -> dict[str, object]:
        """Write certificate, key, CA and password where the cluster's user alone may read them; return the settings."""
        passes = "".join(f"{peer}:{self.port}:*:{user}:{tls.password}\n" for user in REPLICATING)
        for name, text in (
            ("server.pem", tls.certificate.read_text()),
            ("server.key", tls.key.read_text()),
            ("ca.pem", tls.ca.read_text()),
            ("pgpass", passes),
        ):
            (self.folder / name).write_text(text)
            (self.folder / name).chmod(0o600)
        files = {"ssl_cert_file": "server.pem", "ssl_key_file": "server.key"}
        return {"ssl": "on", **{name: self.folder / file for name, file in files.items()}}

    def own(self) -> None:
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, "postgres", "postgres")

    def command(self, *words: str | Path) -> list[str]:
        """Return the words that run something as the cluster's user."""
        prefix = [self.runuser, "-u", "postgres", "--"] if os.geteuid() == 0 else []
        return [str(word) for word in (*prefix, *words)]

    def run(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*words), check=check, capture_output=True, text=True, cwd="/")

    @property
    def tool(self) -> list[str | Path]:
        """The words of karaula-pg with its configuration."""
        return [self.python, self.folder / "karaula_pg.py", self.config]

    def pg(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run karaula-pg; return what it printed, ``said`` being what it told the person who watches."""
        done = self.run(*self.tool, *words, check=False)
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return {**(json.loads(done.stdout) if done.stdout else {}), "said": done.stderr}

    def replace_tool(self, name: str, script: str) -> Path:
        """Let karaula-pg run ``script`` instead of a tool of PostgreSQL's, ``{real}`` being that; return it."""
        bin_here = self.folder / "bin"
        if not bin_here.exists():
            bin_here.mkdir()
            for tool in self.bin.iterdir():
                (bin_here / tool.name).symlink_to(tool)
            self.config.write_text(self.config.read_text().replace(f"bin = {self.bin}", f"bin = {bin_here}"))
        real, fake = self.bin / name, bin_here / name
        fake.unlink()
        fake.write_text("#!/bin/sh\n" + script.replace("{real}", str(real)) + "\n")
        fake.chmod(0o755)
        return real

    def create(self) -> None:
        """Make the first primary, with what docs/targets.md says and a table of declarations."""
        self.run("cp", "-a", self._empty(), self.data)
        self.boot()
        self.sql((TARGETS / "karaula_pg.sql").read_text())
        self.sql(TABLE)
        for role in REPLICATING if self.tls is not None else ():
            self.sql(f"ALTER ROLE {role} PASSWORD '{self.tls.password}'")

    def _empty(self) -> Path:
        """Return a cluster as initdb leaves it; made once a process."""
        if not EMPTY:
            folder = Path(tempfile.mkdtemp(prefix="karaula-pg-empty-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            if os.geteuid() == 0:
                shutil.chown(folder, "postgres", "postgres")
            made = folder / "data"
            self.run(self.bin / "initdb", "-D", made, "-A", "peer", "-U", "postgres", "--no-sync", "-E", "UTF8")
            EMPTY.append(made)
        return EMPTY[0]

    def boot(self) -> None:
        """Start the server as the host's start-up does, without being asked whether it may."""
        log = self.folder / "server.log"
        options = f"-c config_file={self.folder / 'postgresql.conf'}"
        self.run(self.bin / "pg_ctl", "start", "-D", self.data, "-w", "-t", "60", "-s", "-l", log, "-o", options)

    @contextmanager
    def copy(self, port: int) -> Iterator[None]:
        """Run a copy of the cluster beside it, as a primary of its own world, listening on its socket alone."""
        data = self.folder / "copy"
        where = ("-h", self.folder, "-p", str(self.port), "-U", "karaula_replica")
        self.run(self.bin / "pg_basebackup", "-D", data, *where, "-X", "stream", "-c", "fast", "--no-sync")
        (data / "standby.signal").unlink(missing_ok=True)
        options = f"-c config_file={self.folder / 'postgresql.conf'} -c data_directory={data} -c port={port}"
        words = ("-D", data, "-w", "-t", "60", "-s")
        self.run(
            self.bin / "pg_ctl",
            "start",
            *words,
            "-l",
            self.folder / "copy.log",
            "-o",
            f"{options} -c listen_addresses=",
        )
        try:
            yield
        finally:
            self.run(self.bin / "pg_ctl", "stop", *words, "-m", "immediate")
            shutil.rmtree(data)

    def sql(self, text: str) -> str:
        return self.run(*self._psql(text)).stdout.strip()

    def start_sql(self, text: str) -> subprocess.Popen[bytes]:
        """Send it and do not wait."""
        return self.start(*self._psql(text))

    def start(self, *words: str | Path) -> subprocess.Popen[bytes]:
        """Start something as the cluster's user, and do not wait."""
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(self.command(*words), cwd="/", **quiet)

    def _psql(self, text: str) -> tuple[str | Path, ...]:
        where = ("-h", self.folder, "-p", str(self.port), "-U", "postgres", "-d", "postgres")
        return ("psql", "-X", "-Atq", "-v", "ON_ERROR_STOP=1", *where, "-c", text)

    def set_synchronous(self) -> None:
        self.config.write_text(self.config.read_text().replace("synchronous = False", "synchronous = True"))

    def declare(self, *numbers: int) -> None:
        rows = ", ".join(f"({number}, '{self.site}')" for number in numbers)
        self.sql(f"INSERT INTO declaration (n, site) VALUES {rows}")  # noqa: S608 - a test's own

    def numbers(self) -> list[int]:
        return [int(word) for word in self.sql("SELECT n FROM declaration ORDER BY n").split()]

    def kill(self) -> None:
        """Kill every process of the server at once, as a power cut does."""
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        family = [int(pid_file.read_text().split()[0])]
        children = Path(f"/proc/{family[0]}/task/{family[0]}/children")
        with contextlib.suppress(FileNotFoundError):
            os.kill(family[0], signal.SIGSTOP)
            family += [int(child) for child in children.read_text().split()]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for lock in (pid_file, *self.folder.glob(".s.PGSQL.*")):
            lock.unlink(missing_ok=True)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
