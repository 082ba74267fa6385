"""What befalls a wire and the machine at its end, in the fault matrix: ICMP echo and TCP, in network namespaces.

A kernel answers both, whatever becomes of the processes: so these faults are made between two kernels. Needs root.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from matrix_kit import LONG_S, NotApplicable, Said, Stand
from netns_kit import Host, NetnsEstate, netns_estate

from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Probe
from monitor.probes import PROBES
from monitor.probes.icmp import IcmpParams
from monitor.probes.tcp import TcpParams

UNANSWERED_S = 2.0  # a SYN without an answer for so long, tried again once meanwhile, was dropped
MOST_QUEUED = 64


class FarMachine(Stand):
    """A machine behind a wire; the row is asked from a third namespace, so ``address`` is only the proxy's."""

    own_faults = ("slow", "hung", "half-open", "restarted")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._wire: tuple[NetnsEstate, Host] | None = None

    @property
    def net(self) -> NetnsEstate:
        assert self._wire is not None, "outside of its ground"
        return self._wire[0]

    @property
    def far(self) -> Host:
        assert self._wire is not None, "outside of its ground"
        return self._wire[1]

    @contextmanager
    def ground(self, neighbour: Stand) -> Iterator[None]:
        assert isinstance(neighbour, FarMachine)
        with netns_estate() as net:
            watcher = net.host("watcher")
            self._wire = net, net.host("victim", relayed=True)
            neighbour._wire = net, net.host("neighbour", relayed=True)
            with net.inside(watcher):
                yield

    async def start(self) -> None:
        async with asyncio.timeout(LONG_S):
            while not await self._serves():  # noqa: ASYNC110 - no event tells that a machine answers
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Nothing runs that the estate does not end."""

    def signal(self, number: int) -> None:
        raise NotImplementedError

    async def befall(self, fault: str) -> None:
        if fault == "slow":
            self.net.delay(self.far.name, there_s=1.5 * self.deadline_s, back_s=1.5 * self.deadline_s)
        elif fault == "hung":
            self.net.cut(self.far.name)
        elif fault == "half-open":
            self.net.cut(self.far.name, "from")
        else:
            self.net.run(self.far, "ip", "link", "set", "eth0", "down")

    async def relieve(self, fault: str) -> None:
        if fault == "slow":
            self.net.delay(self.far.name)
        elif fault == "restarted":
            self.net.run(self.far, "ip", "link", "set", "eth0", "up")
        else:
            self.net.mend(self.far.name)

    def probe(self) -> Probe:
        trust = Trust(tls_ca="ca.pem", known_hosts="known_hosts")
        return PROBES[self.probe_name](Credentials(self.folder), trust, RealClock())

    async def _serves(self) -> bool:
        probe = self.probe()
        seen = [one async for one in probe.observe([self.target(self.params(self.port), "-start")])]
        await probe.close()
        return seen[0].answer is Answer.OK


class Icmp(FarMachine):
    """Slow: replies come after the deadline. Half-open: echoes arrive and no reply returns."""

    source = "icmp"
    probe_name = "icmp"
    transport = "udp"
    address = "127.94.8.1"
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said("no reply to [1-5] probes"),
        "hung": Said("no reply to [1-5] probes"),
        "garbage": NotApplicable("a kernel answers, and words it itself"),
        "half-open": Said("no reply to [1-5] probes"),
        "wrong credentials": NotApplicable("ICMP knows none"),
        "restarted": Said("no reply to [1-5] probes|[Nn]o route to host|unreachable"),
    }

    def params(self, port: int) -> IcmpParams:
        return IcmpParams(self.far.address)


class Tcp(FarMachine):
    """Hung: the process is stopped and its backlog is full, so that a SYN stays unanswered.

    Half-open: a SYN arrives and its answer does not return. Slow: it returns after the deadline. What a server does
    after it accepted is not looked at.
    """

    source = "tcp"
    probe_name = "tcp"
    transport = "tcp"
    address = "127.94.8.3"
    expected: ClassVar[dict[str, Said | NotApplicable]] = {
        "slow": Said("did not accept a connection in time"),
        "hung": Said("did not accept a connection in time"),
        "garbage": NotApplicable("nothing is read of the server"),
        "half-open": Said("did not accept a connection in time"),
        "wrong credentials": NotApplicable("none are shown"),
        "restarted": Said("cannot be reached: [Cc]onnection refused"),
    }

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._queued: list[socket.socket] = []

    async def start(self) -> None:
        command = (sys.executable, "-m", "http.server", "--bind", self.far.address, str(self.port))
        self.process = self.net.spawn(self.far, *command, log=self.folder / "log")
        await super().start()

    async def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def befall(self, fault: str) -> None:
        if fault == "restarted":
            await self.stop()
        elif fault == "hung":
            self.signal(signal.SIGSTOP)
            await self._fill()
        else:
            await super().befall(fault)

    async def relieve(self, fault: str) -> None:
        if fault == "restarted":
            await self.start()
        elif fault == "hung":
            for each in self._queued:
                each.close()
            self._queued.clear()
            self.signal(signal.SIGCONT)
        else:
            await super().relieve(fault)

    async def _fill(self) -> None:
        """Connect until one more is not answered."""
        for _ in range(MOST_QUEUED):
            caller = socket.socket()
            caller.setblocking(False)
            self._queued.append(caller)
            try:
                async with asyncio.timeout(UNANSWERED_S):
                    await asyncio.get_running_loop().sock_connect(caller, (self.far.address, self.port))
            except TimeoutError:
                return
        raise AssertionError("the backlog takes everything")

    def params(self, port: int) -> TcpParams:
        return TcpParams(self.far.address, port)
