"""`karaula serve` as a process for measurements, on the shipped inventory and playbooks; nothing of the estate answers.

One host is a Debian sshd on loopback, where a run of the playbook ``resume`` leaves a mark and then stays for a while.
"""

from __future__ import annotations

import contextlib
import getpass
import http.client
import shutil
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from bench.measure import certificate, cpu_s_of, free_port, process
from deploy.environment import ROOT
from monitor.inventory.read import read, references_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

HOST, SYSTEM = "ncts-db-main", "ncts"
QUIET = ("responses", "schedules", "evidence", "safety", "windows")  # what would begin by itself, or hold a run up
LONGEST_START_S = 60.0
LOOK_S = 0.002


@dataclass(frozen=True, slots=True)
class Serving:
    """A daemon that serves."""

    process: subprocess.Popen[bytes]
    port: int

    def cpu_s(self) -> float:
        """Return its processor time so far."""
        return cpu_s_of(self.process.pid)


def estate(folder: Path, sshd_port: int = 22) -> None:
    """Write what a daemon needs below ``folder``: inventory, playbooks, and credentials that open nothing.

    Where ``folder`` has the key and the known hosts of ``bench.engine.sshd``, they are taken for its one host.
    """
    document = yaml.safe_load((ROOT / "inventory.yaml").read_text())
    document["hosts"][HOST] |= {"address": "127.0.0.1", "port": sshd_port, "user": getpass.getuser()}
    for part in QUIET:
        document.pop(part, None)
    (folder / "inventory.yaml").write_text(yaml.safe_dump(document))
    shutil.copytree(ROOT / "playbooks", folder / "playbooks")
    credentials = folder / "credentials"
    credentials.mkdir()
    ca, _ = certificate(folder)
    key = (folder / "ssh-karaula").read_text() if (folder / "ssh-karaula").exists() else "throwaway"
    hosts = (folder / "known_hosts").read_text() if (folder / "known_hosts").exists() else ""
    inventory = read(folder / "inventory.yaml")
    for _, name in references_of(inventory):
        (credentials / name).write_text(key if name == inventory.hosts[HOST].credential else "throwaway")
    (credentials / inventory.trust.tls_ca).write_bytes(ca.read_bytes())
    (credentials / inventory.trust.known_hosts).write_text(hosts)


@contextlib.contextmanager
def serving(folder: Path, state: Path) -> Iterator[Serving]:
    """Run a daemon on what ``estate`` wrote and on this state; the body begins when it answers a question for runs."""
    port = free_port()
    words = ("--inventory", folder / "inventory.yaml", "--playbooks", folder / "playbooks", "--state", state)
    where = ("--credentials", folder / "credentials", "--listen", f"127.0.0.1:{port}")
    with process(sys.executable, "-m", "console.main", "serve", *words, *where, log="daemon.log") as started:
        deadline = time.monotonic() + LONGEST_START_S
        while not answers(port):
            if started.poll() is not None or time.monotonic() > deadline:
                sys.exit("bench: the daemon does not answer; see .karaula/bench/daemon.log")
            time.sleep(LOOK_S)
        yield Serving(started, port)


def answers(port: int) -> bool:
    """Tell whether the daemon says which run was its newest."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", "/api/runs?limit=1")
        return connection.getresponse().status == http.HTTPStatus.OK
    return False
