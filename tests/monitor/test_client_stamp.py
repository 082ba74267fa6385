"""The STAMP sender against a reflector written for this test from RFC 8762, honest and hostile."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.burst import Burst, Lost
from monitor.clients.stamp import StampClient, StampCodec, ntp, seconds_between
from monitor.clock import RealClock
from monitor.echo import FarEnd

Behaviour = Callable[[bytes, int], list[bytes]]


def reflect(packet: bytes, number: int, *, estimate: int = 0x0001, ahead_s: float = 0.0, held_s: float = 0.0) -> bytes:
    """RFC 8762, figure 5, word for word: no code of the product."""
    now = RealClock().now() + 2208988800 + ahead_s

    def stamp(at: float) -> bytes:
        return struct.pack("!II", int(at) & 0xFFFFFFFF, int(at % 1 * 2**32))

    return (
        struct.pack("!I", number)
        + stamp(now + held_s)
        + struct.pack("!HH", estimate, 0)
        + stamp(now)
        + packet[:14]
        + b"\0\0\xff\0\0\0"
    )


class Reflector(asyncio.DatagramProtocol):
    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.got: list[bytes] = []
        self.end = FarEnd("", 0)

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.end = FarEnd(*transport.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, addr) -> None:
        self.got.append(data)
        for answer in self.behaviour(data, len(self.got) - 1):
            self.transport.sendto(answer, addr)


@pytest.fixture
async def reflector():
    made: list[Reflector] = []

    async def make(behaviour: Behaviour) -> Reflector:
        loop = asyncio.get_running_loop()
        address = f"127.94.1.{len(made) + 1}"
        _, protocol = await loop.create_datagram_endpoint(lambda: Reflector(behaviour), local_addr=(address, 0))
        made.append(protocol)
        return protocol

    yield make
    for protocol in made:
        protocol.transport.close()
    await asyncio.sleep(0)


@pytest.fixture
async def client():
    made = StampClient(RealClock())
    yield made
    await made.close()


async def measure(client: StampClient, *ends: FarEnd, within_s: float = 20.0, count: int = 5) -> dict[FarEnd, Burst]:
    bursts = client.measure(ends, within_s=within_s, count=count, spacing_s=0.005)
    return {end: burst async for end, burst in bursts}


async def the_burst(client: StampClient, reflector: Reflector, within_s: float = 20.0) -> Burst:
    return (await measure(client, reflector.end, within_s=within_s))[reflector.end]


@pytest.mark.anyio
async def test_packets_are_those_of_the_rfc(reflector, client) -> None:
    honest = await reflector(lambda data, n: [reflect(data, n)])
    before = RealClock().now()
    await measure(client, honest.end)
    await measure(client, honest.end)
    assert [len(packet) for packet in honest.got] == [44] * 10
    assert [int.from_bytes(packet[:4], "big") for packet in honest.got] == [0, *range(2, 11)]
    for packet in honest.got:
        sent_at = int.from_bytes(packet[4:12], "big") / 2**32 - 2208988800
        assert before - 1 <= sent_at <= RealClock().now() + 1
        multiplier = packet[13]
        assert multiplier != 0
        assert packet[14:] == bytes(30)


@pytest.mark.anyio
async def test_an_honest_reflector_loses_nothing(reflector, client) -> None:
    burst = await the_burst(client, await reflector(lambda data, n: [reflect(data, n)]))
    assert (burst.sent, len(burst.rtts_s), burst.loss_ratio) == (5, 5, 0.0)
    assert all(0 <= rtt < 20 for rtt in burst.rtts_s)
    assert burst.jitter_s is not None
    assert burst.ttl == 64
    assert burst.forward_s is None


@pytest.mark.anyio
async def test_one_way_times_need_a_synchronized_far_end(reflector, client) -> None:
    synced = await reflector(lambda data, n: [reflect(data, n, estimate=0x8001)])
    burst = await the_burst(client, synced)
    assert burst.forward_s is not None
    assert burst.backward_s is not None
    wrong = await reflector(lambda data, n: [reflect(data, n, estimate=0x8001, ahead_s=3600.0)])
    burst = await the_burst(client, wrong)
    assert (burst.forward_s, burst.backward_s) == (None, None)
    assert len(burst.rtts_s) == 5


@pytest.mark.anyio
async def test_a_far_end_that_claims_to_have_held_the_probe_too_long_is_not_believed(reflector, client) -> None:
    for held_s in (-5.0, 5.0, 3e9):
        liar = await reflector(lambda data, n, held_s=held_s: [reflect(data, n, held_s=held_s)])
        burst = await the_burst(client, liar)
        assert all(0 <= rtt < 20 for rtt in burst.rtts_s)


@pytest.mark.anyio
async def test_silence_is_full_loss_and_delays_nobody(reflector, client) -> None:
    silent = await reflector(lambda _data, _n: [])
    honest = await reflector(lambda data, n: [reflect(data, n)])
    order = []
    async for end, burst in client.measure([silent.end, honest.end], within_s=0.5, spacing_s=0.005):
        order.append((end, burst.loss_ratio))
    assert order == [(honest.end, 0.0), (silent.end, 1.0)]


@pytest.mark.anyio
async def test_every_second_probe_lost(reflector, client) -> None:
    lossy = await reflector(lambda data, n: [reflect(data, n)] if n % 2 else [])
    burst = await the_burst(client, lossy, within_s=1.5)
    assert (burst.sent, len(burst.rtts_s)) == (5, 2)
    assert burst.loss_ratio == pytest.approx(0.6)


@pytest.mark.anyio
async def test_duplicates_are_counted_and_not_taken_twice(reflector, client) -> None:
    twice = await reflector(lambda data, n: [reflect(data, n)] * (2 if n < 3 else 1))
    burst = await the_burst(client, twice)
    assert (len(burst.rtts_s), burst.duplicates, burst.loss_ratio) == (5, 3, 0.0)


@pytest.mark.anyio
@pytest.mark.parametrize("cut", [1, 14, 43])
async def test_truncated_replies_are_no_replies(reflector, client, cut: int) -> None:
    truncated = await reflector(lambda data, n: [reflect(data, n)[:cut]])
    burst = await the_burst(client, truncated, within_s=0.5)
    assert burst.loss_ratio == 1.0
    assert burst.garbled > 0


@pytest.mark.anyio
async def test_a_reply_to_another_probe_is_no_reply(reflector, client) -> None:
    def forge(data: bytes, n: int) -> list[bytes]:
        real = reflect(data, n)
        wrong_time = real[:28] + bytes(8) + real[36:]
        wrong_number = real[:24] + b"\xff\xff\xff\xff" + real[28:]
        return [wrong_time, wrong_number, b"\0" * 44, b"\xff" * 1400]

    burst = await the_burst(client, await reflector(forge), within_s=0.3)
    assert burst.loss_ratio == 1.0


@pytest.mark.anyio
async def test_a_stranger_cannot_answer_for_the_far_end(reflector, client) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.94.1.200", 0))
        sender: list[tuple[str, int]] = []

        def pass_on(data: bytes, n: int) -> list[bytes]:
            stranger.sendto(reflect(data, n), sender[0])
            return []

        victim = await reflector(pass_on)
        victim.datagram_received = lambda data, addr: (sender.append(addr), pass_on(data, 0))[1]
        burst = await the_burst(client, victim, within_s=0.3)
    assert burst.loss_ratio == 1.0


@pytest.mark.anyio
async def test_nobody_there_and_no_route_are_told_apart(client) -> None:
    nobody, nowhere, nameless = FarEnd("127.94.1.99", 9), FarEnd("255.255.255.255", 9), FarEnd("no-such.invalid", 9)
    bursts = await measure(client, nobody, nowhere, nameless, within_s=2.0)
    assert (bursts[nobody].sent, bursts[nobody].loss_ratio, bursts[nobody].error) == (5, 1.0, "")
    assert "cannot be sent" in bursts[nowhere].error
    assert bursts[nowhere].loss_ratio == 1.0
    assert bursts[nameless].sent == 0


@pytest.mark.anyio
async def test_a_thousand_far_ends_through_one_socket(reflector, client) -> None:
    honest = await reflector(lambda data, n: [reflect(data, n)])
    ends = [honest.end] + [FarEnd(f"127.94.{2 + n // 250}.{n % 250 + 1}", 9) for n in range(1000)]
    bursts = await measure(client, *ends, within_s=2.0, count=2)
    assert bursts[honest.end].loss_ratio == 0.0
    assert len(bursts) == 1001


@pytest.mark.anyio
async def test_rounds_may_overlap_and_leave_nothing_behind(reflector, client) -> None:
    honest = await reflector(lambda data, n: [reflect(data, n)])
    bursts = await asyncio.gather(*(measure(client, honest.end) for _ in range(4)))
    assert [burst[honest.end].loss_ratio for burst in bursts] == [0.0] * 4
    async for _ in client.measure([honest.end, FarEnd("127.94.1.99", 9)], within_s=20.0, spacing_s=0.005):
        break  # an abandoned round
    await asyncio.sleep(0.1)
    assert client._echo is not None
    client._echo._forget(RealClock().monotonic() + 3600)
    assert not client._echo._peers


@given(st.integers(0, 2**32 - 1), st.floats(0, 6e9))
def test_what_is_sent_is_recognized_in_any_reply(sequence: int, at: float) -> None:
    codec = StampCodec()
    packet, token = codec.encode(sequence, at)
    assert len(packet) == 44
    reply = codec.decode(reflect(packet, 7))
    assert (reply.sequence, reply.token) == (sequence, token)


@given(st.binary(max_size=100))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    codec = StampCodec()
    if len(data) < 44:
        with pytest.raises(ValueError, match="shorter"):
            codec.decode(data)
    else:
        codec.decode(data)


@given(st.floats(0, 6e9), st.floats(-1e6, 1e6))
def test_differences_survive_the_change_of_era(at: float, later_s: float) -> None:
    # 2036-02-07 06:28:16 UTC is within the range of ``at``.
    assert seconds_between(ntp(at), ntp(at + later_s)) == pytest.approx(at + later_s - at, abs=1e-5)


@pytest.mark.anyio
async def test_a_late_reply_is_late_and_answers_no_other_probe(reflector, client) -> None:
    held: list[bytes] = []
    hold = True

    def behave(data: bytes, n: int) -> list[bytes]:
        if hold:
            held.append(reflect(data, n))
            return []
        late, held[:] = list(held), []
        return [*late, reflect(data, n)]

    slow = await reflector(behave)
    first = await the_burst(client, slow, within_s=0.3)
    assert (first.sent, first.loss_ratio, first.late) == (5, 1.0, 0)
    hold = False
    began = RealClock().monotonic()
    second = await the_burst(client, slow)
    assert (len(second.rtts_s), second.loss_ratio, second.late, second.duplicates) == (5, 0.0, 5, 0)
    assert max(second.rtts_s) <= RealClock().monotonic() - began, "not the time since the first burst"
    third = await the_burst(client, slow)
    assert (third.late, third.loss_ratio) == (0, 0.0)


@pytest.mark.anyio
async def test_a_reflector_that_counts_its_own_packets_tells_the_way_of_a_loss(reflector, client) -> None:
    counted = 0

    def behave(data: bytes, n: int) -> list[bytes]:
        nonlocal counted
        if 5 <= n < 7:  # lost on the way there: the reflector never saw them
            return []
        counted += 1
        return [] if n == 7 else [reflect(data, counted - 1)]  # the eighth is lost on the way back

    stateful = await reflector(behave)
    assert (await the_burst(client, stateful)).lost == Lost(4, 0, 0)
    assert (await the_burst(client, stateful, within_s=1.0)).lost == Lost(5, 2, 1)


@pytest.mark.anyio
async def test_no_probe_goes_without_time_for_its_reply(reflector, client) -> None:
    honest = await reflector(lambda data, n: [reflect(data, n)])
    found = {end: burst async for end, burst in client.measure([honest.end], within_s=0.5, count=100, spacing_s=0.02)}
    burst = found[honest.end]
    assert 1 <= burst.sent < 100
    assert burst.loss_ratio == 0.0
