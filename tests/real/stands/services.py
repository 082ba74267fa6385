"""Hosts and services in the fault matrix: OpenSSH, PostgreSQL, slapd, chronyd, and a page behind a log-in form."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from chrony_kit import Chronyd
from matrix_kit import LONG_S, NotApplicable, Said, Stand
from postgres_kit import PASSWORD, Cluster
from slapd_kit import ADMIN, SUFFIX, Slapd
from sshd_kit import Sshd
from tls_kit import ThrowawayCa

from monitor.clients.ldap import Directory, Search
from monitor.clients.postgresql import Place
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.equipment import SshHost
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Probe
from monitor.probes.http import FormLogin, HttpParams, HttpProbe
from monitor.probes.ldap import LdapParams, LdapProbe
from monitor.probes.ntp import NtpParams, NtpProbe
from monitor.probes.postgresql import PostgresqlParams, PostgresqlProbe
from monitor.probes.ssh import DiskParams, SshProbe

TRUST = Trust(tls_ca="ca.pem", known_hosts="known_hosts")
PORTAL = Path(__file__).parent / "portal.py"


class Ssh(Stand):
    """A host's disk, asked by SSH."""

    source = "ssh"
    probe_name = "ssh"
    transport = "tcp"
    address = "127.94.0.21"
    deadline_s = 1.5
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said(r"within 1.5 s|in 1.5 s"),
        "hung": Said(r"within 1.5 s|in 1.5 s"),
        "garbage": Said("lost|broke|no session|log-in failed|Invalid|garbled|within 1.5 s|in 1.5 s|Error"),
        "half-open": Said(r"within 1.5 s|in 1.5 s"),
        "wrong credentials": Said("log-in refused: the host does not accept key"),
        "restarted": Said("refused|lost|no session"),
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.sshd = Sshd(folder)
        self.sshd.port = self.port
        public = (folder / "host.pub").read_text()
        lines = [f"[{self.address}]:{port} {public}" for port in (self.port, self.proxy_port)]
        self.sshd.known_hosts.write_text("".join(lines))

    async def start(self) -> None:
        await asyncio.to_thread(self.sshd.start)

    async def stop(self) -> None:
        self.sshd.stop()

    def signal(self, number: int) -> None:
        self.sshd.signal(number)  # type: ignore[arg-type]  # the kit gives a number of the same meaning

    def probe(self) -> Probe:
        return SshProbe(Credentials(self.folder), TRUST, RealClock())

    def params(self, port: int) -> DiskParams:
        return DiskParams(self._host(port, "ssh-karaula"), "/")

    def wrong_params(self, port: int) -> DiskParams:
        return DiskParams(self._host(port, "other"), "/")

    def _host(self, port: int, credential: str) -> SshHost:
        known = {"site": "main", "address": self.address, "port": port, "credential": credential}
        return self.sshd.host(**known)


class Postgresql(Stand):
    """A primary's replication."""

    source = "postgresql"
    probe_name = "postgresql"
    transport = "tcp"
    address = "127.94.0.54"
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said("within 1 s"),
        "hung": Said("within 1 s"),
        "garbage": Said("SSL|TLS|certificate|invalid|closed|unexpected|response|record|within 1 s"),
        "half-open": Said("within 1 s"),
        "wrong credentials": Said("password authentication failed"),
        "restarted": Said("refused|closed|terminat|starting up"),
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.cluster = Cluster(ThrowawayCa(folder), self.port)
        self.created = False
        (folder / "good").write_text(PASSWORD)
        (folder / "bad").write_text("no")

    async def start(self) -> None:
        await asyncio.to_thread(self.cluster.start if self.created else self.cluster.create)
        self.created = True

    async def stop(self) -> None:
        self.cluster.stop()

    def signal(self, number: int) -> None:
        self.cluster.signal(number)

    def probe(self) -> Probe:
        return PostgresqlProbe(Credentials(self.folder), TRUST, RealClock())

    def params(self, port: int) -> PostgresqlParams:
        return PostgresqlParams(Place(self.address, port, "", "watcher", "postgres"), "good")

    def wrong_params(self, port: int) -> PostgresqlParams:
        return PostgresqlParams(Place(self.address, port, "", "watcher", "postgres"), "bad")


class Ldap(Stand):
    """A directory over ldaps."""

    source = "ldap"
    probe_name = "ldap"
    transport = "tcp"
    address = "127.94.0.89"
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said("within 1 s"),
        "hung": Said("within 1 s"),
        "garbage": Said("TLS failed|reset|closed|within 1 s"),
        "half-open": Said("within 1 s"),
        "wrong credentials": Said("wrong name or password"),
        "restarted": Said("refused|reset|closed"),
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.slapd = Slapd(ThrowawayCa(folder), self.address, tls_port=self.port)
        (folder / "good").write_text("throwaway")
        (folder / "bad").write_text("no")

    async def start(self) -> None:
        await asyncio.to_thread(self.slapd.start)

    async def stop(self) -> None:
        self.slapd.stop()

    def signal(self, number: int) -> None:
        self.slapd.signal(number)

    def probe(self) -> Probe:
        return LdapProbe(Credentials(self.folder), TRUST, RealClock())

    def params(self, port: int) -> LdapParams:
        return LdapParams(Directory(self.address, port), Search(SUFFIX, "sub", "(uid=ana)"), ADMIN, "good")

    def wrong_params(self, port: int) -> LdapParams:
        return LdapParams(Directory(self.address, port), Search(SUFFIX, "sub", "(uid=ana)"), ADMIN, "bad")


class Ntp(Stand):
    """A synchronized NTP server."""

    source = "ntp"
    probe_name = "ntp"
    transport = "udp"
    address = "127.94.0.123"
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said("no NTP answer"),
        "hung": Said("no NTP answer"),
        "garbage": Said("answered what does not belong|contradict|answered what is not NTP|not synchronized"),
        "half-open": Said("no NTP answer"),
        "wrong credentials": NotApplicable("asks without any"),
        "restarted": Said("refused|no NTP answer"),
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.chronyd = Chronyd(folder, self.address, self.port)

    async def start(self) -> None:
        await asyncio.to_thread(self.chronyd.start, "local stratum 3")

    async def stop(self) -> None:
        self.chronyd.stop()

    def signal(self, number: int) -> None:
        self.chronyd.signal(number)

    def probe(self) -> Probe:
        return NtpProbe(Credentials(self.folder), TRUST, RealClock())

    def params(self, port: int) -> NtpParams:
        return NtpParams(self.address, port)


class HttpLogin(Stand):
    """A page behind a log-in form, in a process of its own."""

    source = "http login"
    probe_name = "http"
    transport = "tcp"
    address = "127.94.0.80"
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said("in time|more than 1 s"),
        "hung": Said("in time|more than 1 s"),
        "garbage": Said("cannot be reached|broke|not HTTP|not trusted", (Answer.FAILED,)),
        "half-open": Said("in time|more than 1 s"),
        "wrong credentials": Said("log-in refused: answered 403"),
        "restarted": Said("cannot be reached|broke"),
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.certificate, self.key = ThrowawayCa(folder).server(self.address)
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "good").write_text("open-sesame")
        (folder / "bad").write_text("no")

    async def start(self) -> None:
        words = [self.address, str(self.port), self.certificate, self.key]
        command = [sys.executable, PORTAL, *words]
        environment = {"PATH": os.defpath, "PORTAL_PASSWORD": "open-sesame"}
        self.process = subprocess.Popen(command, env=environment)  # noqa: ASYNC220 - it returns at once
        async with asyncio.timeout(LONG_S):
            while True:
                assert self.process.poll() is None
                try:
                    _, writer = await asyncio.open_connection(self.address, self.port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.transport.abort()
                    return

    async def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def probe(self) -> Probe:
        return HttpProbe(Credentials(self.folder), TRUST, RealClock())

    def params(self, port: int) -> HttpParams:
        return self._params(port, "good")

    def wrong_params(self, port: int) -> HttpParams:
        return self._params(port, "bad")

    def _params(self, port: int, credential: str) -> HttpParams:
        site = f"https://{self.address}:{port}"
        login = FormLogin(f"{site}/login", "karaula", credential, "username", "password")
        return HttpParams(f"{site}/app", contains="Welcome, karaula", login=login)
