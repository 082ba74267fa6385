"""What links and services are asked by in the fault matrix: ICMP, STAMP, TCP, DNS (BIND 9), TLS and HTTPS (OpenSSL)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from matrix_kit import LONG_S, NotApplicable, Said, Stand
from real_kit import need
from tls_kit import ThrowawayCa

from monitor.clients.dns import question
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.errors import TargetError
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Probe
from monitor.probes import PROBES
from monitor.probes.dns import DnsParams
from monitor.probes.http import HttpParams
from monitor.probes.stamp import StampParams
from monitor.probes.tls import TlsParams

REFLECTOR = Path(__file__).parents[1] / "stamp_reflector.py"
ZONE = "customs.example"
NAMED = """
options {{ directory "{folder}"; pid-file "{folder}/named.pid"; session-keyfile "{folder}/session.key";
  listen-on port {port} {{ {address}; }}; listen-on-v6 {{ none; }}; recursion no; dnssec-validation no;
  managed-keys-directory "{folder}"; }};
controls {{ }};
zone "customs.example" {{ type primary; file "{folder}/zone"; }};
"""
RECORDS = """$TTL 60
@ IN SOA ns.customs.example. hostmaster.customs.example. 100 3600 600 86400 30
@ IN NS ns
ns IN A 127.0.0.53
ncts IN A 127.80.1.12
"""
NAME = "front.customs.example"


class OneProcess(Stand):
    """A stand whose server is one process."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.process: subprocess.Popen[bytes] | None = None

    async def launch(self, *command: str | Path) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                [str(word) for word in command], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self.folder
            )
        async with asyncio.timeout(LONG_S):
            while not await self.serves():
                assert self.process.poll() is None, (self.folder / "log").read_text()
                await asyncio.sleep(0.05)

    async def serves(self) -> bool:
        """Say whether the server answers already."""
        probe = self.probe()
        seen = [one async for one in probe.observe([self.target(self.params(self.port), "-start")])]
        await probe.close()
        return seen[0].answer is Answer.OK

    async def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            if self.process.stdin is not None:
                self.process.stdin.close()
            self.process = None

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def probe(self) -> Probe:
        trust = Trust(tls_ca="ca.pem", known_hosts="known_hosts")
        return PROBES[self.probe_name](Credentials(self.folder), trust, RealClock())


class Stamp(OneProcess):
    source = "stamp"
    probe_name = "stamp"
    transport = "udp"
    address = "127.94.8.2"
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said("no reply to [1-5] probes"),
        "hung": Said("no reply to [1-5] probes"),
        "garbage": Said("no reply to [1-5] probes"),
        "half-open": Said("no reply to [1-5] probes"),
        "wrong credentials": NotApplicable("the unauthenticated mode knows none"),
        "restarted": Said("no reply to [1-5] probes"),
    }

    async def start(self) -> None:
        await self.launch(sys.executable, REFLECTOR, self.address, str(self.port), "stateful")

    def params(self, port: int) -> StampParams:
        return StampParams(self.address, port)


class Dns(OneProcess):
    source = "dns"
    probe_name = "dns"
    transport = "udp"
    address = "127.0.0.1"  # BIND listens on addresses that an interface has
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said("did not answer in time"),
        "hung": Said("did not answer in time"),
        "garbage": Said("not DNS|in time|cannot be reached"),  # noise that says "too long" is asked again by TCP
        "half-open": Said("did not answer in time"),
        "wrong credentials": NotApplicable("a question needs none"),
        "restarted": Said("did not answer in time|refused|broke"),
    }

    async def start(self) -> None:
        (self.folder / "named.conf").write_text(NAMED.format(folder=self.folder, port=self.port, address=self.address))
        (self.folder / "zone").write_text(RECORDS)
        await self.launch(need("named", "bind9"), "-g", "-4", "-n", "1", "-c", self.folder / "named.conf")

    async def serves(self) -> bool:
        try:
            return bool((await question(self.address, self.port, f"ncts.{ZONE}", "A", 0.5)).records)
        except TargetError:
            return False

    def params(self, port: int) -> DnsParams:
        return DnsParams(self.address, port, f"ncts.{ZONE}", expect=("127.80.1.12",))


class Tls(OneProcess):
    source = "tls"
    probe_name = "tls"
    transport = "tcp"
    address = "127.94.8.5"
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said("did not finish the TLS handshake in time"),
        "hung": Said("did not finish the TLS handshake in time"),
        "garbage": Said("does not speak TLS|broke the TLS handshake off"),
        "half-open": Said("did not finish the TLS handshake in time"),
        "wrong credentials": Said("the certificate is for front.customs.example, not for other.customs.example"),
        "restarted": Said("cannot be reached: [Cc]onnection refused"),
    }

    async def start(self) -> None:
        files = self.folder / "files"
        if not files.exists():
            certificate, key = ThrowawayCa(self.folder).server(NAME)
            files.write_text(f"{certificate}\n{key}\n")
        certificate_name, key_name = files.read_text().split()
        command = (need("openssl", "openssl"), "s_server", "-accept", f"{self.address}:{self.port}", "-www")
        await self.launch(*command, "-cert", certificate_name, "-key", key_name)

    def params(self, port: int) -> object:
        return TlsParams(self.address, port, NAME)

    def wrong_params(self, port: int) -> object:
        return TlsParams(self.address, port, "other.customs.example")


class Https(Tls):
    source = "https"
    probe_name = "http"
    address = "127.94.8.6"
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said("in time"),
        "hung": Said("in time"),
        "garbage": Said("TLS|certificate|broke|not HTTP|cannot be reached"),
        "half-open": Said("in time"),
        "wrong credentials": Said("certificate"),
        "restarted": Said("cannot be reached"),
    }

    def params(self, port: int) -> object:
        return HttpParams(f"https://{NAME}/", self.address, port)

    def wrong_params(self, port: int) -> object:
        return HttpParams("https://other.customs.example/", self.address, port)
