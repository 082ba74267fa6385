"""SNMP GET against net-snmp's snmpd: types, absent objects, access, a stopped and a restarted agent."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from real_kit import free_port, need

from monitor.clients.snmp import get
from monitor.credential import Secret
from monitor.errors import DeadlineExceeded, Unreachable

pytestmark = [pytest.mark.real, pytest.mark.anyio]
ADDRESS = "127.94.7.61"
LONG_S = 60.0
NAME, UPTIME, OBJECT_ID, INTERFACES = (f"1.3.6.1.2.1.{part}" for part in ("1.5.0", "1.3.0", "1.2.0", "2.1.0"))
LOAD = "1.3.6.1.4.1.2021.10.1.6.1"  # UCD-SNMP-MIB::laLoadFloat.1, an opaque float
LOOPBACK = "1.3.6.1.2.1.4.20.1.1.127.0.0.1"  # IP-MIB::ipAdEntAddr
OCTETS_IN = "1.3.6.1.2.1.31.1.1.1.6.1"  # IF-MIB::ifHCInOctets.1, a Counter64
ABSENT = "1.3.6.1.4.1.99999.1.0"
ABSENT_INSTANCE = "1.3.6.1.2.1.1.5.7"


class Snmpd:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port(ADDRESS, socket.SOCK_DGRAM)
        self.binary = need("snmpd", "snmpd")
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "snmpd.conf").write_text("rocommunity k-read 127.0.0.0/8\nsysName rack-1.customs.example\n")

    async def start(self) -> None:
        environment = os.environ | {"SNMP_PERSISTENT_DIR": str(self.folder / "persistent"), "MIBS": ""}
        command = [self.binary, "-f", "-C", "-c", self.folder / "snmpd.conf", "-Lf", self.folder / "log"]
        command += ["-p", self.folder / "pid", f"udp:{ADDRESS}:{self.port}"]
        self.process = subprocess.Popen(command, env=environment)  # noqa: ASYNC220 - it returns at once
        async with asyncio.timeout(LONG_S):
            while True:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                try:
                    await self.get(NAME, timeout_s=0.5)
                except (Unreachable, DeadlineExceeded):
                    await asyncio.sleep(0.05)
                else:
                    return

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    async def get(self, *oids: str, community: str = "k-read", timeout_s: float = LONG_S):
        return await get(ADDRESS, self.port, Secret(community), oids, timeout_s)


@pytest.fixture
async def snmpd(tmp_path: Path):
    agent = Snmpd(tmp_path)
    await agent.start()
    yield agent
    agent.stop()


async def test_values_of_every_type_in_one_request(snmpd: Snmpd) -> None:
    found = await snmpd.get(NAME, UPTIME, OBJECT_ID, INTERFACES, LOAD, LOOPBACK, OCTETS_IN, ABSENT, ABSENT_INSTANCE)
    assert found[NAME] == b"rack-1.customs.example"
    assert isinstance(found[UPTIME], int)
    assert found[OBJECT_ID] == "1.3.6.1.4.1.8072.3.2.10"
    assert isinstance(found[INTERFACES], int)
    assert isinstance(found[LOAD], float)
    assert found[LOOPBACK] == "127.0.0.1"
    assert isinstance(found[OCTETS_IN], int)
    assert found[ABSENT] is None
    assert found[ABSENT_INSTANCE] is None


async def test_more_objects_than_one_request_holds(snmpd: Snmpd) -> None:
    oids = [f"1.3.6.1.2.1.1.{n}.0" for n in range(1, 101)]
    found = await snmpd.get(*oids)
    assert list(found) == oids
    assert found[NAME] == b"rack-1.customs.example"


async def test_a_wrong_community_is_silence(snmpd: Snmpd) -> None:
    with pytest.raises(DeadlineExceeded, match="wrong community"):
        await snmpd.get(NAME, community="public", timeout_s=0.5)


async def test_a_stopped_agent_answers_again_when_it_goes_on(snmpd: Snmpd) -> None:
    snmpd.signal(signal.SIGSTOP)
    with pytest.raises(DeadlineExceeded):
        await snmpd.get(NAME, timeout_s=0.5)
    snmpd.signal(signal.SIGCONT)
    assert (await snmpd.get(NAME))[NAME] == b"rack-1.customs.example"


async def test_an_agent_that_is_gone_is_unreachable_and_one_restarted_is_back(snmpd: Snmpd) -> None:
    snmpd.stop()
    with pytest.raises(Unreachable, match="refused"):
        await snmpd.get(NAME)
    await snmpd.start()
    assert (await snmpd.get(NAME))[NAME] == b"rack-1.customs.example"


async def test_many_questions_at_once(snmpd: Snmpd) -> None:
    found = await asyncio.gather(*(snmpd.get(NAME, UPTIME) for _ in range(50)))
    assert {one[NAME] for one in found} == {b"rack-1.customs.example"}
