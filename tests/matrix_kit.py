"""The fault matrix: what is observed of a real server that is slow, hung, garbled, half-open, guarded or restarted.

One row a source, one column a fault. A ``Stand`` brings the real server and says how it is asked; ``row`` asks it
through the real poller and probe, breaks it, and hands back a cell a fault. For slow, garbage and half-open a
``Proxy`` stands before the server; hung is SIGSTOP, restarted is SIGKILL and a new start on the same port. Beside the
victim a second server of the same kind is asked all along: whatever befalls the one, the other's answers go on.
A stand can make faults of its own instead (``own_faults``), on a wire of its own (``ground``).

What every cell must show, whatever the source: the fault is told, with a reason that names it; nothing is called OK
while it lasts; the neighbour's answers go on; once the fault is over OK comes back by itself. How long each took stands
in the cell. A new source: a file in ``tests/real/stands/`` and its line in ``STANDS`` of ``test_real_fault_matrix.py``.
"""

from __future__ import annotations

import abc
import asyncio
import random
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal, Self

from real_kit import free_port

from monitor.clock import RealClock
from monitor.poller import Poller
from monitor.probe import Answer, Observation, Probe, Target

FAULTS = ("slow", "hung", "garbage", "half-open", "wrong credentials", "restarted")
PROXIED = ("slow", "garbage", "half-open")
LONG_S = 60.0  # for what must happen, however slow the machine
NEIGHBOUR_ANSWERS = 2  # OK answers of the neighbour that must come while the victim suffers
Mode = Literal["pass", "slow", "garbage", "half-open"]


@dataclass(frozen=True, slots=True)
class Said:
    """What is to be observed under a fault: one of ``answers``, with a reason that ``pattern`` is found in."""

    pattern: str
    answers: tuple[Answer, ...] = (Answer.FAILED,)


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """Why a fault cannot befall a source; stands in the cell."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: what was seen; ``mistakes`` is empty when it is as it should be."""

    source: str
    fault: str
    shown: str
    mistakes: tuple[str, ...] = ()


class Stand(abc.ABC):
    """A real server and how it is asked. Made twice for a row: the victim and its neighbour.

    ``expected`` has every fault of ``FAULTS``. ``port`` is the server's own; ``proxy_port`` leads to it through the
    proxy, on the same address: keys and certificates must hold for both.
    """

    source: ClassVar[str]
    probe_name: ClassVar[str]
    transport: ClassVar[Literal["tcp", "udp"]]
    address: ClassVar[str]
    expected: ClassVar[dict[str, Said | NotApplicable]]
    own_faults: ClassVar[tuple[str, ...]] = ()  # made by ``befall`` and ended by ``relieve`` instead of by the kit
    interval_s: ClassVar[float] = 0.4
    deadline_s: ClassVar[float] = 1.0

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        kind = socket_kind(self.transport)
        self.port = free_port(self.address, kind)
        self.proxy_port = free_port(self.address, kind)

    @abc.abstractmethod
    async def start(self) -> None:
        """Start the server on ``port`` and wait until it serves; again after ``stop``."""

    @abc.abstractmethod
    async def stop(self) -> None:
        """Kill the server as a power cut would; harmless when it does not run."""

    @abc.abstractmethod
    def signal(self, number: int) -> None:
        """Send a signal to every process of the server (SIGSTOP, SIGCONT)."""

    def ground(self, neighbour: Stand) -> AbstractContextManager[None]:
        """Return what the whole row happens within."""
        return nullcontext()

    async def befall(self, fault: str) -> None:
        """Make a fault of ``own_faults``."""
        raise NotImplementedError

    async def relieve(self, fault: str) -> None:
        """End a fault of ``own_faults``."""
        raise NotImplementedError

    @abc.abstractmethod
    def probe(self) -> Probe:
        """Return the product's probe, made as the product makes it; the kit closes it."""

    @abc.abstractmethod
    def params(self, port: int) -> object:
        """Return the probe's parameters for this server at ``port``."""

    def wrong_params(self, port: int) -> object:
        """Return the same with credentials that the server refuses; only where that can be."""
        raise NotImplementedError

    def subject(self) -> str:
        """Return the subject that is asked about."""
        return f"{self.probe_name}/{self.folder.name}"

    def target(self, params: object, suffix: str) -> Target:
        """Return the target for ``params``."""
        return Target(f"{self.subject()}{suffix}", self.probe_name, params, self.interval_s, self.deadline_s)


def socket_kind(transport: str) -> int:
    """Return the kind of socket."""
    return socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM


@dataclass(slots=True)
class Watched:
    """One target under the poller, and what was observed of it, with the monotonic time of each answer."""

    target: Target
    probe: Probe
    seen: list[tuple[float, Observation]] = field(default_factory=list)

    async def until(
        self, answers: Sequence[Answer], since: float, within_s: float = LONG_S
    ) -> tuple[float, Observation] | None:
        """Return the first of ``answers`` after ``since``; None when it does not come in time."""
        give_up = time.monotonic() + within_s
        while time.monotonic() < give_up:
            for at, observation in self.seen:
                if at >= since and observation.answer in answers:
                    return at, observation
            await asyncio.sleep(0.02)
        return None


@asynccontextmanager
async def polled(stand: Stand, params: object, suffix: str = "", deadline_s: float = 0.0) -> AsyncIterator[Watched]:
    """Poll one target for real; ``deadline_s`` for another than its stand's."""
    target = stand.target(params, suffix)
    watched = Watched(replace(target, deadline_s=deadline_s or target.deadline_s), stand.probe())

    def sink(observation: Observation) -> None:
        if observation.subject == watched.target.subject:
            watched.seen.append((time.monotonic(), observation))

    poller = Poller([watched.target], {stand.probe_name: watched.probe}, sink, RealClock(), jitter=lambda: 0.0)
    await poller.start()
    try:
        yield watched
    finally:
        await poller.stop()
        await watched.probe.close()


async def row(victim: Stand, neighbour: Stand) -> AsyncIterator[Cell]:
    """Yield a cell a fault. The servers are started and stopped here."""
    assert set(victim.expected) == set(FAULTS), f"{victim.source} does not say what it expects of every fault"
    with victim.ground(neighbour):
        await asyncio.gather(victim.start(), neighbour.start())
        try:
            async with (
                Proxy(victim) as proxy,
                polled(neighbour, neighbour.params(neighbour.port), "-neighbour", LONG_S) as beside,
            ):
                for fault in FAULTS:
                    said = victim.expected[fault]
                    if isinstance(said, NotApplicable):
                        yield Cell(victim.source, fault, f"n/a: {said.reason}")
                    else:
                        yield await cell(victim, fault, said, beside, proxy)
        finally:
            await asyncio.gather(victim.stop(), neighbour.stop())


async def cell(victim: Stand, fault: str, said: Said, beside: Watched, proxy: Proxy) -> Cell:
    """Break the victim, look, mend it, look again."""
    if fault == "wrong credentials":
        async with polled(victim, victim.wrong_params(victim.port), "-wrong") as watched:
            return await _suffer(victim, fault, said, watched, beside, None)
    if fault in PROXIED and fault not in victim.own_faults:
        async with polled(victim, victim.params(victim.proxy_port), f"-{fault}") as watched:
            return await _suffer(victim, fault, said, watched, beside, proxy)
    async with polled(victim, victim.params(victim.port), f"-{fault}") as watched:
        return await _suffer(victim, fault, said, watched, beside, None)


async def _suffer(
    victim: Stand, fault: str, said: Said, watched: Watched, beside: Watched, proxy: Proxy | None
) -> Cell:
    mistakes: list[str] = []
    wrong = fault == "wrong credentials"
    if not wrong and await watched.until([Answer.OK], 0.0) is None:
        return Cell(victim.source, fault, "never OK", (f"it was not OK before the fault: {_last(watched)}",))
    began = time.monotonic()
    await _break(victim, fault, proxy)
    found = await watched.until([Answer.FAILED, Answer.UNKNOWN], 0.0 if wrong else began)
    if found is None:
        return Cell(victim.source, fault, "not noticed", (f"nothing was noticed: {_last(watched)}",))
    at, observation = found
    if observation.answer not in said.answers:
        mistakes.append(f"said {observation.answer}, not {' or '.join(said.answers)}: {observation.reason}")
    if not re.search(said.pattern, observation.reason):
        mistakes.append(f"the reason '{observation.reason}' has nothing of '{said.pattern}'")
    mistakes += await _beside(beside, began)
    if any(later > at and each.answer is Answer.OK for later, each in watched.seen):
        mistakes.append("called OK while the fault was in force")
    shown = f"{observation.answer} {at - began:.1f} s"
    if wrong:
        return Cell(victim.source, fault, shown, tuple(mistakes))
    mended = time.monotonic()
    await _mend(victim, fault, proxy)
    back = await watched.until([Answer.OK], mended)
    if back is None:
        mistakes.append(f"did not come back: {_last(watched)}")
        return Cell(victim.source, fault, f"{shown}, never back", tuple(mistakes))
    return Cell(victim.source, fault, f"{shown}, back {back[0] - mended:.1f} s", tuple(mistakes))


async def _break(victim: Stand, fault: str, proxy: Proxy | None) -> None:
    if fault in victim.own_faults:
        await victim.befall(fault)
    elif proxy is not None:
        proxy.mode = fault  # type: ignore[assignment]  # one of PROXIED
    elif fault == "hung":
        victim.signal(signal.SIGSTOP)
    elif fault == "restarted":
        await victim.stop()


async def _mend(victim: Stand, fault: str, proxy: Proxy | None) -> None:
    if fault in victim.own_faults:
        await victim.relieve(fault)
    elif proxy is not None:
        proxy.mode = "pass"
        proxy.break_off()
    elif fault == "hung":
        victim.signal(signal.SIGCONT)
    elif fault == "restarted":
        await victim.start()


async def _beside(beside: Watched, began: float) -> list[str]:
    give_up = time.monotonic() + LONG_S
    while True:
        answers = [observation for at, observation in beside.seen if at > began]
        if bad := [each for each in answers if each.answer is not Answer.OK]:
            return [f"its neighbour suffered too: {bad[0].reason}"]
        if len(answers) >= NEIGHBOUR_ANSWERS:
            return []
        if time.monotonic() > give_up:
            return ["its neighbour was not asked meanwhile"]
        await asyncio.sleep(0.02)


def _last(watched: Watched) -> str:
    return f"{watched.seen[-1][1].answer}: {watched.seen[-1][1].reason}" if watched.seen else "no answer at all"


# -- the proxy --------------------------------------------------------------------------------------------------------


class Proxy:
    """Stands before a server and passes on, delays, garbles or swallows what the server says; seeded."""

    def __init__(self, stand: Stand) -> None:
        self.mode: Mode = "pass"
        self._stand = stand
        self._random = random.Random(862)  # noqa: S311 - seeded garbage, no secret
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._udp: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> Self:
        place = (self._stand.address, self._stand.proxy_port)
        if self._stand.transport == "tcp":
            self._server = await asyncio.start_server(self._accept, *place)
        else:
            loop = asyncio.get_running_loop()
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _Front(self), local_addr=place)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        if self._udp is not None:
            self._udp.close()
        self.break_off()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def break_off(self) -> None:
        """Reset every connection, as a firewall that forgot them would."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def changed(self, data: bytes) -> bytes | None:
        """Return what of the server's words reaches the client; None for nothing."""
        if self.mode == "slow":
            await asyncio.sleep(3 * self._stand.deadline_s)
        if self.mode == "half-open":
            return None
        return self._random.randbytes(len(data)) if self.mode == "garbage" else data

    def later(self, task: asyncio.Task[None]) -> None:
        """Keep a task until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.later(task)
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            back, there = await asyncio.open_connection(self._stand.address, self._stand.port)
            self._writers.add(there)
            await asyncio.gather(self._pump(reader, there, ours=False), self._pump(back, writer, ours=True))
        except OSError:
            pass  # the server or the client is gone: so is this connection
        finally:
            for each in (writer, there):
                if each is not None:
                    self._writers.discard(each)
                    each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, ours: bool) -> None:
        while data := await reader.read(65536):
            if ours:
                passed = await self.changed(data)
            else:
                passed = None if self.mode == "half-open" else data
            if passed is not None:
                writer.write(passed)
                await writer.drain()
        if self.mode == "half-open":
            await asyncio.sleep(LONG_S)  # the end of the stream is not told either
        if writer.can_write_eof():
            writer.write_eof()


class _Front(asyncio.DatagramProtocol):
    """The client's side of a UDP proxy: a socket of its own to the server for each client."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.backs: dict[tuple[str, int], asyncio.DatagramTransport] = {}
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # it is one of datagrams

    def connection_lost(self, exc: Exception | None) -> None:
        for back in self.backs.values():
            back.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.proxy.mode != "half-open":
            self.proxy.later(asyncio.ensure_future(self._pass_on(data, addr)))

    async def _pass_on(self, data: bytes, client: tuple[str, int]) -> None:
        if client not in self.backs:
            stand = self.proxy._stand
            loop = asyncio.get_running_loop()
            back, _ = await loop.create_datagram_endpoint(
                lambda: _Back(self, client), remote_addr=(stand.address, stand.port)
            )
            self.backs[client] = back
        self.backs[client].sendto(data)

    async def answer(self, data: bytes, client: tuple[str, int]) -> None:
        passed = await self.proxy.changed(data)
        if passed is not None and self.transport is not None and not self.transport.is_closing():
            self.transport.sendto(passed, client)


class _Back(asyncio.DatagramProtocol):
    """The server's side of it."""

    def __init__(self, front: _Front, client: tuple[str, int]) -> None:
        self.front = front
        self.client = client

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.front.proxy.later(asyncio.ensure_future(self.front.answer(data, self.client)))


# -- the table --------------------------------------------------------------------------------------------------------


def table(cells: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return the matrix as lines of text: (source, fault, shown) in any order."""
    rows: dict[str, dict[str, str]] = {}
    for source, fault, shown in cells:
        rows.setdefault(source, {})[fault] = shown
    lines = [
        ["source", *FAULTS],
        *([source, *(found.get(fault, "-") for fault in FAULTS)] for source, found in sorted(rows.items())),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(FAULTS) + 1)]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def planted_table(rows: list[tuple[str, str, str, str]]) -> list[str]:
    """Return the lines of the table of planted faults: what, in which method's backups, caught where, and the words."""
    lines = [("fault", "method", "caught at", "message"), *sorted(rows)]
    return [f"{what:34} {method:11} {level:10} {said[:150]}" for what, method, level, said in lines]
