"""NTP servers: Debian's chronyd, and one that a test writes byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from chrony_kit import Chronyd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.clients.ntp import ask, unix
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.errors import TargetError
from monitor.inventory.checks_services import NtpCheck
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Observation, Target
from monitor.probes.ntp import NtpParams, NtpProbe
from monitor.status.checks import judge
from monitor.status.hysteresis import Judgement
from monitor.status.state import Health

pytestmark = [pytest.mark.real, pytest.mark.anyio]

LONG_S = 60.0
ADDRESS = "127.94.0.124"
CHECK = NtpCheck(probe="ntp", site="main", address=ADDRESS)


class Shifted(RealClock):
    """A clock of ours that is wrong."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now(self) -> float:
        return time.time() + self.seconds


def make(clock: RealClock) -> NtpProbe:
    return NtpProbe(Credentials(None), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), clock)


async def look(probe: NtpProbe, address: str, port: int, deadline_s: float = LONG_S) -> Observation:
    target = Target("check/x", "ntp", NtpParams(address, port), 10, deadline_s)
    (seen,) = [one async for one in probe.observe([target])]
    return seen


@pytest.fixture
def chronyd(tmp_path: Path) -> Iterator[Chronyd]:
    made = Chronyd(tmp_path)
    yield made
    made.stop()


async def test_a_synchronized_server_agrees_with_the_clock_that_it_serves(chronyd: Chronyd) -> None:
    chronyd.start("local stratum 3")
    seen = await look(make(RealClock()), chronyd.address, chronyd.port)
    assert (seen.answer, seen.facts, seen.values["stratum"]) == (Answer.OK, {"leap": "none"}, 3)
    assert abs(seen.values["ntp_offset_seconds"]) <= seen.values["ntp_delay_seconds"] / 2 + 0.002
    assert judge(CHECK, seen) == Judgement(Health.OK)
    low = CHECK.model_copy(update={"max_stratum": 2})
    assert judge(low, seen) == Judgement(Health.DEGRADED, "its stratum is 3, over 2")


@pytest.mark.parametrize(
    ("ours", "health", "word"), [(-0.5, Health.DEGRADED, "ahead of"), (40.0, Health.DOWN, "behind")]
)
async def test_a_difference_of_the_clocks_is_seen(chronyd: Chronyd, ours: float, health: Health, word: str) -> None:
    chronyd.start("local stratum 3")
    seen = await look(make(Shifted(ours)), chronyd.address, chronyd.port)
    doubt_s = seen.values["ntp_delay_seconds"] / 2 + 0.002
    assert seen.values["ntp_offset_seconds"] == pytest.approx(-ours, abs=doubt_s)
    told = judge(CHECK, seen)
    assert told.health is health
    assert word in told.reason


async def test_an_unsynchronized_server_has_failed(chronyd: Chronyd) -> None:
    chronyd.start()
    seen = await look(make(RealClock()), chronyd.address, chronyd.port)
    assert seen.answer is Answer.FAILED
    assert seen.reason.startswith("the server says that it is not synchronized")


async def test_hung_gone_and_back(chronyd: Chronyd) -> None:
    chronyd.start("local stratum 3")
    probe = make(RealClock())
    chronyd.signal(signal.SIGSTOP)
    hung = await look(probe, chronyd.address, chronyd.port, deadline_s=0.5)
    chronyd.signal(signal.SIGCONT)
    chronyd.stop()
    gone = await look(probe, chronyd.address, chronyd.port)
    chronyd.start("local stratum 3")
    back = await look(probe, chronyd.address, chronyd.port)
    assert [one.answer for one in (hung, gone, back)] == [Answer.FAILED, Answer.FAILED, Answer.OK]
    assert hung.reason.endswith("no NTP answer within 0.5 s")
    assert gone.reason.endswith("Connection refused")


# -- a server that a test writes --------------------------------------------------------------------------------------


class Scripted(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes, int], list[bytes]]) -> None:
        self.answer = answer
        self.questions = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.questions += 1
        for packet in self.answer(data, self.questions):
            self.transport.sendto(packet, addr)  # type: ignore[attr-defined]  # it is one of datagrams


@asynccontextmanager
async def serving(answer: Callable[[bytes, int], list[bytes]]) -> AsyncIterator[tuple[int, Scripted]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: Scripted(answer), local_addr=(ADDRESS, 0))
    try:
        yield transport.get_extra_info("sockname")[1], protocol
    finally:
        transport.close()


def stamp(at: float) -> int:
    return round((at + 2_208_988_800) * 2**32) % 2**64


def reply(question: bytes, *, first: int = 0x24, stratum: int = 2, name: bytes = b"GPS\0", shift: float = 0.0,
          origin: bytes | None = None, held: float = 0.0) -> bytes:  # fmt: skip
    at = time.time() + shift
    head = struct.pack("!BBbbII4sQ", first, stratum, 6, -20, 0x100, 0x200, name, stamp(at))
    return head + (question[40:48] if origin is None else origin) + struct.pack("!QQ", stamp(at), stamp(at + held))


async def test_the_question_gives_nothing_of_this_machine_away() -> None:
    asked: list[bytes] = []
    async with serving(lambda data, _: asked.append(data) or [reply(data)]) as (port, _):
        await ask(ADDRESS, port, RealClock(), LONG_S)
        await ask(ADDRESS, port, RealClock(), LONG_S)
    assert all(one[:40] == b"\x23" + bytes(39) for one in asked)
    assert asked[0][40:] != asked[1][40:]
    assert abs(unix(int.from_bytes(asked[0][40:]), time.time()) - time.time()) > 1


async def test_a_lost_datagram_is_asked_for_again() -> None:
    async with serving(lambda data, number: [reply(data)] if number > 1 else []) as (port, server):
        found = await ask(ADDRESS, port, RealClock(), 3.0)
    assert found.stratum == 2
    assert server.questions >= 2
    assert abs(found.offset_s) <= found.delay_s / 2 + 0.002


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda data, _: [reply(data, origin=bytes(8))], "answered what does not belong to our question"),
        (lambda data, _: [reply(data, origin=bytes(7) + b"\1")], "answered what does not belong to our question"),
        (lambda data, _: [reply(data, first=0x23)], "answered what does not belong to our question"),
        (lambda *_: [b"HTTP/1.1 400 Bad Request\r\n"], "answered what is not NTP"),
        (lambda data, _: [reply(data, held=30.0)], "the server's times contradict one another"),
        (lambda data, _: [reply(data)[:32] + bytes(16)], "the server's times contradict one another"),
        (lambda data, _: [reply(data, first=0xE4)], "the server says that it is not synchronized (stratum 2)"),
        (lambda data, _: [reply(data, stratum=16)], "the server says that it is not synchronized (stratum 16)"),
    ],
)  # fmt: skip
async def test_a_forged_or_senseless_answer_is_never_taken(
    answer: Callable[[bytes, int], list[bytes]], reason: str
) -> None:
    async with serving(answer) as (port, _):
        for deadline_s in (0.4, 4.0, 40.0):  # it is waited on for a better answer; a busy machine reads this one late
            seen = await look(make(RealClock()), ADDRESS, port, deadline_s)
            if not seen.reason.endswith(f"no NTP answer within {deadline_s:g} s"):
                break
    assert (seen.answer, seen.reason.rpartition(f"{port}: ")[2]) == (Answer.FAILED, reason)


async def test_a_forged_answer_before_the_right_one_changes_nothing() -> None:
    async with serving(lambda data, _: [reply(data, origin=bytes(8), shift=900), b"x", reply(data)]) as (port, _):
        seen = await look(make(RealClock()), ADDRESS, port)
    assert seen.answer is Answer.OK
    assert abs(seen.values["ntp_offset_seconds"]) <= seen.values["ntp_delay_seconds"] / 2 + 0.002


async def test_after_a_kiss_of_death_the_server_is_left_alone() -> None:
    async with serving(lambda data, _: [reply(data, stratum=0, name=b"RATE")]) as (port, server):
        probe = make(RealClock())
        first = await look(probe, ADDRESS, port)
        second = await look(probe, ADDRESS, port)
    assert server.questions == 1
    assert first.answer is second.answer is Answer.FAILED
    assert first.reason == second.reason == f"{ADDRESS}:{port}: the server sends a kiss-o'-death, RATE"


async def test_another_code_is_no_kiss_but_not_synchronized() -> None:
    async with serving(lambda data, _: [reply(data, first=0xE4, stratum=0, name=b"INIT")]) as (port, _):
        seen = await look(make(RealClock()), ADDRESS, port)
    assert seen.reason == "the server says that it is not synchronized (stratum 16)"


async def test_a_forged_kiss_is_no_kiss() -> None:
    async with serving(lambda d, _: [reply(d, stratum=0, name=b"DENY", origin=bytes(8)), reply(d)]) as (port, _):
        assert (await look(make(RealClock()), ADDRESS, port)).answer is Answer.OK


@given(st.floats(-(2.0**31) + 1e6, 2.0**31 - 1e6), st.integers(0, 3))
def test_times_are_right_in_every_era(away_s: float, era: int) -> None:
    near = era * 2.0**32 + 1e9
    assert unix(stamp(near + away_s / 2), near) == pytest.approx(near + away_s / 2, abs=1e-4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(packet=st.binary(max_size=80), keep=st.booleans())
async def test_whatever_comes_is_an_answer_or_a_complaint(packet: bytes, keep: bool) -> None:
    def answer(data: bytes, _: int) -> list[bytes]:
        return [packet[:24] + data[40:48] + packet[32:] if keep and len(packet) > 32 else packet]

    async with serving(answer) as (port, _):
        with contextlib.suppress(TargetError):
            assert 0 < (await ask(ADDRESS, port, RealClock(), 0.03)).stratum <= 255
