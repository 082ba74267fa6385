"""Ask an SNMP agent for 20 objects: processor time an agent, by version 2c and 3, beside libraries and snmpget.

The agent is Debian's snmpd; its own time is in the wall figures alone. Karaula is measured twice: the client, and the
whole probe with 20 sensors an agent and 20 agents a round. gufo-snmp keeps its session and its socket; Karaula opens a
socket for each question, so that a closed port is told. Limit: 0.3 ms of processor an agent. Memory is how much more
the process holds once it has asked ``MANY`` agents for 20 sensors each, targets included.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import multiprocessing
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure import WORK, Cost, Watch, machine, peer, process, rss_bytes, table
from monitor.clients.snmp import Agents, User
from monitor.clock import RealClock
from monitor.credential import Credentials, Secret
from monitor.errors import TargetError
from monitor.inventory.estate import Trust
from monitor.inventory.profiles import Point
from monitor.inventory.sensors import SnmpUser
from monitor.probe import Target
from monitor.probes.snmp import SnmpParams, SnmpProbe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

ADDRESS = "127.0.0.1"
ROUND = tuple(f"127.0.0.{n}" for n in range(1, 21))  # addresses of one snmpd: a round of as many agents
MANY = tuple(f"127.0.{n // 250 + 1}.{n % 250 + 1}" for n in range(1000))
QUESTIONS = 1000
PEER_QUESTIONS = 100
COMMANDS = 10
LIMIT_S = 0.3e-3
AUTH, PRIV = "authenticates", "keeps-private"
BY_USER = SnmpUser(name="reader", authentication="sha", authentication_credential="auth", privacy_credential="priv")
ACCESSES: dict[str, str | SnmpUser] = {"v2c": "community", "v3": BY_USER}
OIDS = tuple(f"1.3.6.1.2.1.11.{n}.0" for n in (1, *range(3, 7), *range(8, 23)))  # SNMPv2-MIB::snmp, 20 counters
GUFO = """
import asyncio, json, sys, time
from gufo.snmp import Aes128Key, Sha1Key, SnmpVersion, User
from gufo.snmp.aio import SnmpSession
port, count, oids = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
async def main():
    user = User("reader", auth_key=Sha1Key(b"authenticates"), priv_key=Aes128Key(b"keeps-private"))
    for said in ({"community": "public", "version": SnmpVersion.v2c}, {"user": user, "version": SnmpVersion.v3}):
        async with SnmpSession(addr="127.0.0.1", port=port, **said) as session:
            assert len(await session.get_many(oids)) == len(oids)
            wall, cpu = time.monotonic(), time.process_time()
            for _ in range(count):
                await session.get_many(oids)
            print(json.dumps([(time.monotonic() - wall) / count, (time.process_time() - cpu) / count]))
asyncio.run(main())
"""
PURESNMP = """
import asyncio, json, sys, time
from puresnmp import V2C, V3, Auth, Client, Priv, PyWrapper
port, count, oids = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
async def main():
    user = V3("reader", auth=Auth(b"authenticates", "sha1"), priv=Priv(b"keeps-private", "aes"))
    for said in (V2C("public"), user):
        client = PyWrapper(Client("127.0.0.1", said, port=port))
        assert len(await client.multiget(oids)) == len(oids)
        wall, cpu = time.monotonic(), time.process_time()
        for _ in range(count):
            await client.multiget(oids)
        print(json.dumps([(time.monotonic() - wall) / count, (time.process_time() - cpu) / count]), flush=True)
asyncio.run(main())
"""


@contextlib.contextmanager
def agent(addresses: tuple[str, ...] = ROUND) -> Iterator[int]:
    """Run one snmpd on all ``addresses`` and yield its port."""
    snmpd = shutil.which("snmpd", path="/usr/sbin:/usr/bin")
    if snmpd is None:
        sys.exit("bench: snmpd is not here; type: sudo apt-get install snmpd snmp")
    WORK.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, tempfile.TemporaryDirectory(dir=WORK) as folder:
        probe.bind((addresses[0], 0))
        port: int = probe.getsockname()[1]
        probe.close()
        conf = Path(folder) / "snmpd.conf"
        user = f'createUser reader SHA "{AUTH}" AES "{PRIV}"\nrouser reader priv\n'
        conf.write_text(f"rocommunity public 127.0.0.0/8\n{user}")
        environment = {"SNMP_PERSISTENT_DIR": f"{folder}/persistent", "MIBS": ""}
        places = [f"udp:{one}:{port}" for one in addresses]
        command = (str(snmpd), "-f", "-C", "-c", str(conf), "-Lo", "-p", f"{folder}/pid", *places)
        with process(*command, log="snmpd.log", env=environment) as server:
            for _ in range(100):
                with contextlib.suppress(TargetError):
                    asyncio.run(Agents().get(addresses[0], port, Secret("public"), OIDS, 0.2))
                    break
                assert server.poll() is None, "snmpd ended by itself; see .karaula/bench/snmpd.log"
                time.sleep(0.05)
            yield port


async def measured(ask: Callable[[], Awaitable[object]], agents: int = 1) -> Cost:
    """Return what one agent costs, where ``ask`` asks several."""
    rounds = QUESTIONS // agents
    for _ in range(max(1, rounds // 10)):
        await ask()
    with Watch() as watch:
        for _ in range(rounds):
            await ask()
    return watch.cost.shared(rounds * agents)


@contextlib.contextmanager
def probe_with_credentials() -> Iterator[SnmpProbe]:
    """Yield the probe, with the credentials that the agent accepts."""
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        for name, text in (("community", "public"), ("auth", AUTH), ("priv", PRIV)):
            (Path(folder) / name).write_text(text)
        yield SnmpProbe(Credentials(Path(folder)), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())


def sensors(addresses: tuple[str, ...], port: int, access: str | SnmpUser) -> list[Target]:
    """Return 20 targets an agent."""
    points = [Point("power", oid, (0, 1e9)) for oid in OIDS]
    every = [SnmpParams(one, port, access, point) for one in addresses for point in points]
    return [Target(f"sensor/{place}", "snmp", params, 10, 5) for place, params in enumerate(every)]


async def observe(probe: SnmpProbe, targets: list[Target]) -> None:
    """Ask once, and keep nothing of it."""
    seen = 0
    async for one in probe.observe(targets):
        assert one.values, one.reason
        seen += 1
    assert seen == len(targets)


async def growth(port: int, access: str | SnmpUser) -> float:
    """Return by how many bytes an agent this process grows when it asks ``MANY`` of them twice."""
    with probe_with_credentials() as probe:
        await observe(probe, sensors(MANY[:10], port, access))
        gc.collect()
        before = rss_bytes()
        targets = sensors(MANY, port, access)
        for _ in range(2):
            await observe(probe, targets)
        gc.collect()
        return (rss_bytes() - before) / len(MANY)


def memory_an_agent(port: int, version: str) -> float:
    """Return ``growth`` in bytes; runs in a process of its own, which has no memory to use again."""
    return asyncio.run(growth(port, ACCESSES[version]))


def in_a_fresh_process(port: int, version: str) -> float:
    """Return what ``memory_an_agent`` finds there."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(memory_an_agent, port, version).result()


async def karaula(port: int) -> list[tuple[str, Cost]]:
    """Measure the client and the probe."""
    agents = Agents()
    user = User("reader", "sha", Secret(AUTH), Secret(PRIV))
    plain, secure = sensors(ROUND, port, "community"), sensors(ROUND, port, BY_USER)
    with probe_with_credentials() as probe:
        return [
            ("karaula, client, v2c", await measured(lambda: agents.get(ADDRESS, port, Secret("public"), OIDS, 5))),
            ("karaula, client, v3 (SHA, AES)", await measured(lambda: agents.get(ADDRESS, port, user, OIDS, 5))),
            ("karaula, probe, 20 sensors an agent, v2c", await measured(lambda: observe(probe, plain), len(ROUND))),
            ("karaula, probe, 20 sensors an agent, v3", await measured(lambda: observe(probe, secure), len(ROUND))),
        ]


def library(name: str, requirement: str, script: str, port: int, count: int) -> list[tuple[str, Cost]]:
    """Measure a library in a process and an environment of its own: v2c, then v3 where it can."""
    python = peer(name, requirement) / "python"
    command = [str(python), "-c", script, str(port), str(count), *OIDS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    found = [Cost(*json.loads(line)) for line in done.stdout.splitlines()]
    if not found:
        sys.exit(f"bench: {requirement} did not answer: {done.stderr[-500:]}")
    return [(f"{requirement}, {version}", cost) for version, cost in zip(("v2c", "v3"), found, strict=False)]


def snmpget(port: int) -> list[tuple[str, Cost]]:
    """Measure net-snmp's command, a process for each question."""
    if shutil.which("snmpget") is None:
        return []
    v3 = ("-v3", "-lauthPriv", "-ureader", "-aSHA", "-A", AUTH, "-xAES", "-X", PRIV)
    found = []
    for version, access in (("v2c", ("-v2c", "-cpublic")), ("v3", v3)):
        with Watch() as watch:
            for _ in range(COMMANDS):
                subprocess.run(
                    ["snmpget", "-On", "-m", "", *access, f"{ADDRESS}:{port}", *OIDS], check=True, capture_output=True
                )
        found.append((f"snmpget, {version} (a process each)", watch.cost.shared(COMMANDS)))
    return found


def main() -> int:
    """Run all of it."""
    with agent(MANY) as port:
        sizes = [(version, in_a_fresh_process(port, version)) for version in ACCESSES]
    with agent() as port:
        lines = asyncio.run(karaula(port))
        own = list(lines)
        lines += library("gufo_snmp", "gufo-snmp==0.13.0", GUFO, port, QUESTIONS)
        lines += library("puresnmp", "puresnmp[crypto]==2.0.1", PURESNMP, port, PEER_QUESTIONS)
        lines += snmpget(port)
    print(machine())
    table("20 objects of one agent; times: beside Karaula's probe by v2c", lines, beside=2)
    worst = max(cost.cpu_s for _, cost in own)
    print(f"the most that an agent costs: {1000 * worst:.3f} ms, of {1000 * LIMIT_S:.1f} that it may")
    print("memory an agent: " + ", ".join(f"{size / 1024:.1f} KiB by {version}" for version, size in sizes))
    return 0 if worst <= LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
