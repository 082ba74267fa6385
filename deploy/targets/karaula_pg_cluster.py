"""The PostgreSQL cluster on this host, for karaula_pg.py beside it: its processes, its files, what it is asked.

What an order means, and whether it is allowed, is decided there.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED, USAGE, STALE, MAY_NOT = 1, 2, 3, 4
WAIT_S = 60.0
LOOK_EVERY_S = 0.1
LSN = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})")
LONGEST_SAID = 400


class Trouble(Exception):
    """It cannot be done; ``status`` is the exit status."""

    def __init__(self, reason: str, status: int = FAILED) -> None:
        """Say ``reason`` in words fit for whoever runs the recovery."""
        self.status = status
        super().__init__(reason)


@dataclass(frozen=True)
class Config:
    """One cluster. ``server`` is postgresql.conf if that is not in ``data``; ``records`` asks for the newest one."""

    site: str
    bin: Path
    data: Path
    server: str
    socket: str
    port: str
    database: str
    state: Path
    start: tuple[str, ...]
    stop: tuple[str, ...]
    records: str
    synchronous: bool
    alone: bool
    peers: dict[str, str]


def read_config(path: Path) -> Config:
    """Read the configuration. Raises Trouble."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_file(file)
        one = parser["postgresql"]
        return Config(
            site=one["site"],
            bin=Path(one["bin"]),
            data=Path(one["data"]),
            server=one.get("config_file", ""),
            socket=one.get("socket", "/var/run/postgresql"),
            port=one.get("port", "5432"),
            database=one.get("database", "postgres"),
            state=Path(one.get("state", "/var/lib/karaula-pg")),
            start=tuple(shlex.split(one.get("start", ""))),
            stop=tuple(shlex.split(one.get("stop", ""))),
            records=one["records"].strip().rstrip(";"),
            synchronous=one.getboolean("synchronous", False),
            alone=one.getboolean("start_alone", False),
            peers={name[5:]: parser[name]["conninfo"] for name in parser.sections() if name.startswith("peer ")},
        )
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError, ValueError) as error:
        raise Trouble(f"{path} cannot be used: {type(error).__name__}: {error}", USAGE) from error


def say(text: str) -> None:
    """Tell the person who watches."""
    sys.stderr.write(f"karaula-pg: {text}\n")
    sys.stderr.flush()


def lsn(text: str) -> int:
    """Return a log position as bytes. Raises Trouble."""
    found = LSN.fullmatch(text.strip())
    if found is None:
        raise Trouble(f"'{text}' is no log position")
    return (int(found[1], 16) << 32) + int(found[2], 16)


class Cluster:
    """The cluster on this host: its processes, its files, and what its databases are asked."""

    def __init__(self, config: Config) -> None:
        """Work on ``config``'s cluster."""
        self.config = config
        self._environment = {**os.environ, "LC_ALL": "C", "PGCONNECT_TIMEOUT": "5", "PGAPPNAME": "karaula-pg"}

    # -- programs -----------------------------------------------------------------------------------------------------

    def tool(self, name: str, *words: str, given: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs. Raises Trouble with what it said."""
        return self._run([str(self.config.bin / name), *words], given, check=check)

    def _run(self, argv: list[str], given: str = "", *, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(  # noqa: S603 - programs and files of the configuration
            argv, input=given, capture_output=True, text=True, errors="replace", env=self._environment, check=False
        )
        if check and done.returncode:
            said = " ".join((done.stderr.strip() or done.stdout.strip()).split())[-LONGEST_SAID:]
            raise Trouble(f"{Path(argv[0]).name} ended with {done.returncode}: {said or 'it says nothing'}")
        return done

    def begin(self, text: str) -> None:
        """Send a statement as role karaula, and do not wait for what becomes of it."""
        quiet = subprocess.DEVNULL
        argv = [str(self.config.bin / "psql"), "-X", "-q", "-w", "-d", self._here, "-c", text]
        subprocess.Popen(  # noqa: S603 - a program of the configuration
            argv, stdin=quiet, stdout=quiet, stderr=quiet, env=self._environment, start_new_session=True
        )

    @property
    def _here(self) -> str:
        config = self.config
        return f"host={config.socket} port={config.port} user=karaula dbname={config.database}"

    def ask(self, text: str, conninfo: str = "", *more: str) -> str:
        """Return what a query says (and ``more``), here as role karaula or where ``conninfo`` leads. Raises Trouble."""
        words = ("-X", "-A", "-t", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-d", conninfo or self._here)
        queries = (word for query in (text, *more) for word in ("-c", query))
        return self.tool("psql", *words, *queries).stdout.strip()

    def at_peer(self, peer: str, user: str) -> str:
        """Return how to reach the database at ``peer`` as ``user``. Raises Trouble."""
        if peer not in self.config.peers:
            known = ", ".join(self.config.peers) or "none"
            raise Trouble(f"the configuration has no [peer {peer}]; it has: {known}", USAGE)
        more = f"application_name={self.config.site}"
        return f"{self.config.peers[peer]} user={user} {more}"

    # -- processes ----------------------------------------------------------------------------------------------------

    @property
    def runs(self) -> bool:
        """Tell whether a server runs on the data."""
        return self.tool("pg_ctl", "status", "-D", str(self.config.data), check=False).returncode == 0

    def start(self) -> None:
        """Start and wait until it answers. Raises Trouble."""
        config = self.config
        if config.start:
            self._run(list(config.start))
            wait("the server to answer", lambda: not self._ready(), WAIT_S)
            return
        options = ("-o", f"-c config_file={config.server}") if config.server else ()
        log = str(config.state / "server.log")
        self.tool("pg_ctl", "start", "-D", str(config.data), "-w", "-t", f"{WAIT_S:.0f}", "-l", log, "-s", *options)

    def _ready(self) -> bool:
        return (
            self.tool("pg_isready", "-q", "-h", self.config.socket, "-p", self.config.port, check=False).returncode == 0
        )

    def stop(self) -> None:
        """Stop cleanly: what is committed is sent to whoever receives. Raises Trouble."""
        if not self.runs:
            return
        if self.config.stop:
            self._run(list(self.config.stop))
        else:
            self.tool("pg_ctl", "stop", "-D", str(self.config.data), "-m", "fast", "-w", "-t", f"{WAIT_S:.0f}", "-s")
        if self.runs:
            raise Trouble("the server was told to stop and still runs")

    def reload(self) -> None:
        """Have it read its settings."""
        self.tool("pg_ctl", "reload", "-D", str(self.config.data), "-s")

    # -- files --------------------------------------------------------------------------------------------------------

    @property
    def standby(self) -> bool:
        """Tell whether it is, or would start as, a standby."""
        return (self.config.data / "standby.signal").exists()

    def settings(self, **values: str) -> None:
        """Write settings into postgresql.auto.conf, which wins over every other file."""
        path = self.config.data / "postgresql.auto.conf"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        keep = [line for line in lines if line.partition("=")[0].strip() not in values]
        quoted = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in values.items()]
        write(path, "\n".join([*keep, *quoted]) + "\n")

    def follows(self, peer: str) -> None:
        """Make it start as a standby of ``peer``."""
        source = self.at_peer(peer, "karaula_replica")
        self.settings(
            primary_conninfo=source, primary_slot_name=slot(self.config.site), recovery_target_timeline="latest"
        )
        write(self.config.data / "standby.signal", "")

    def control(self, name: str) -> str:
        """Return a line of pg_controldata. Raises Trouble."""
        said = self.tool("pg_controldata", "-D", str(self.config.data)).stdout
        found = re.search(rf"^{re.escape(name)}:\s*(.*)$", said, re.MULTILINE)
        if found is None:
            raise Trouble(f"pg_controldata does not say '{name}'")
        return found[1]

    # -- what is kept beside it ---------------------------------------------------------------------------------------

    @property
    def fence(self) -> Path:
        """The file whose presence forbids every start."""
        return self.config.state / "fenced"

    @property
    def discarded(self) -> int:
        """What the last ``follow`` threw away."""
        path = self.config.state / "discarded"
        return int(path.read_text(encoding="ascii")) if path.exists() else 0


def slot(site: str) -> str:
    """Return the replication slot of the standby at ``site``."""
    return "karaula_" + re.sub(r"[^a-z0-9_]", "_", site.lower())


def write(path: Path, text: str) -> None:
    """Replace a file so that after a power cut the old or the new one is there, whole."""
    fresh = path.with_name(f"{path.name}.karaula")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def wait(what: str, lacks: Callable[[], object], limit_s: float) -> None:
    """Wait until ``lacks()`` is false. Raises Trouble with what it said last."""
    give_up = time.monotonic() + limit_s
    while lack := lacks():
        if time.monotonic() >= give_up:
            more = f": {lack}" if isinstance(lack, str) else ""
            raise Trouble(f"waited {limit_s:g} s for {what}{more}")
        time.sleep(LOOK_EVERY_S)
