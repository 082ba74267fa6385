"""Links in network namespaces: what is cut, lost, delayed and doubled on the wire is what is measured."""

from __future__ import annotations

import asyncio
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from netns_kit import Host, NetnsEstate, netns_estate

from monitor.burst import Burst
from monitor.clients.icmp import IcmpClient
from monitor.clients.stamp import StampClient
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.echo import FarEnd
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Observation, Target
from monitor.probes.tcp import TcpParams, TcpProbe

pytestmark = pytest.mark.real
REFLECTOR = Path(__file__).with_name("stamp_reflector.py")
PORT = 862
SLACK_S = 0.2  # what a busy machine may add to a round trip; the smallest of many is asserted
LONG_S = 60.0  # for what must come, however slow the machine: a burst is over when it is complete


@pytest.fixture
def net() -> Iterator[NetnsEstate]:
    with netns_estate() as estate:
        yield estate


def reflector(net: NetnsEstate, name: str, kind: str = "stateful", *, relayed: bool = False) -> Host:
    host = net.host(name, relayed=relayed)
    net.spawn(host, sys.executable, REFLECTOR, host.address, str(PORT), kind)
    return host


def stamp(host: Host, *bursts: int | tuple[int, float], between: object = None) -> list[Burst]:
    """Send bursts of so many probes, one after the other over one socket, and return what each showed.

    A burst that will not be complete has the seconds after which it is closed.
    """

    async def measured() -> list[Burst]:
        client, found = StampClient(RealClock()), []
        for number, one in enumerate(bursts):
            count, within_s = one if isinstance(one, tuple) else (one, LONG_S)
            if number and callable(between):
                between(number)
            async for _, burst in client.measure(
                [FarEnd(host.address, PORT)], within_s=within_s, count=count, spacing_s=0.004
            ):
                found.append(burst)
        await client.close()
        return found

    return asyncio.run(measured())


def ping(*hosts: Host, count: int = 10, within_s: float = LONG_S) -> list[Burst]:
    async def measured() -> dict[str, Burst]:
        client = IcmpClient(RealClock())
        addresses = [host.address for host in hosts]
        found = {
            address: burst
            async for address, burst in client.measure(addresses, within_s=within_s, count=count, spacing_s=0.004)
        }
        await client.close()
        return found

    by_address = asyncio.run(measured())
    return [by_address[host.address] for host in hosts]


def answering(host: Host) -> Host:
    """Wait until the reflector answers."""
    give_up = time.monotonic() + LONG_S
    while stamp(host, (1, 0.3))[0].loss_ratio:
        assert time.monotonic() < give_up
    return host


def test_a_good_wire_loses_nothing(net: NetnsEstate) -> None:
    watcher, far = net.host("watcher"), reflector(net, "far")
    with net.inside(watcher):
        answering(far)
        first, second = stamp(far, 50, 50)
        (pinged,) = ping(far, count=50)
    for burst in (first, second, pinged):
        assert (burst.sent, burst.loss_ratio, burst.duplicates, burst.late) == (50, 0.0, 0, 0)
        assert min(burst.rtts_s) < SLACK_S
        assert burst.ttl == 64
    assert second.lost is not None
    assert (second.lost.probes, second.lost.forward, second.lost.backward) == (50, 0, 0)


@pytest.mark.parametrize(("way", "forward", "backward"), [("to", 1.0, 0.0), ("from", 0.0, 1.0)])
def test_loss_one_way_is_told_from_loss_the_other_way(
    net: NetnsEstate, way: str, forward: float, backward: float
) -> None:
    watcher, far = net.host("watcher"), reflector(net, "far")
    with net.inside(watcher):
        answering(far)

        def lossy(number: int) -> None:
            net.lose("far", 0.3 if number == 1 else 0.0, way)

        _, lost, after = stamp(far, 20, (300, 4.0), 20, between=lossy)
    assert 0.15 < lost.loss_ratio < 0.45, "300 probes, three in ten: six standard deviations each way"
    counted = [each.lost for each in (lost, after) if each.lost is not None]
    missing = sum(burst.missing for burst in (lost, after))
    assert missing > 0
    assert sum(each.forward for each in counted) == missing * forward
    assert sum(each.backward for each in counted) == missing * backward


def test_a_reflector_that_copies_numbers_tells_loss_but_no_way(net: NetnsEstate) -> None:
    watcher, far = net.host("watcher"), reflector(net, "far", "stateless")
    with net.inside(watcher):
        answering(far)
        net.lose("far", 0.3, "to")
        bursts = stamp(far, (200, 3.0), (20, 1.0))
    assert 0.1 < bursts[0].loss_ratio < 0.5
    assert [burst.lost for burst in bursts] == [None, None]


def test_a_cut_one_way_and_both_ways_is_silence_and_is_told_once_it_is_over(net: NetnsEstate) -> None:
    watcher, far, other = net.host("watcher"), reflector(net, "far"), net.host("other")
    with net.inside(watcher):
        answering(far)

        def cut(number: int) -> None:
            net.cut("far", "from") if number == 1 else net.mend("far")

        _, silent, after = stamp(far, 10, (10, 1.0), 10, between=cut)
        assert (silent.loss_ratio, silent.trouble) == (1.0, "no reply to 10 probes")
        assert after.lost is not None
        assert (after.lost.forward, after.lost.backward) == (0, 10)
        net.cut("far")
        (well,) = ping(other)
        gone, beside = ping(far, other, within_s=1.0)
    assert (gone.loss_ratio, well.loss_ratio) == (1.0, 0.0)
    assert beside.rtts_s


def test_delay_each_way_and_doubled_packets(net: NetnsEstate) -> None:
    watcher, far = net.host("watcher"), reflector(net, "far", relayed=True)
    with net.inside(watcher):
        answering(far)
        net.delay("far", there_s=0.03, back_s=0.01)
        (burst,) = stamp(far, 20)
        (pinged,) = ping(far, count=20)
        connected = asyncio.run(connect(net, far, 5))
        net.delay("far", doubled=1.0)
        _, doubled = stamp(far, 10, 10)
    for found in (burst, pinged):
        assert found.loss_ratio == 0.0
        assert 0.04 <= min(found.rtts_s) < 0.04 + SLACK_S
    assert burst.forward_s is not None
    assert burst.backward_s is not None
    assert 0.03 <= burst.forward_s < 0.03 + SLACK_S
    assert 0.01 <= burst.backward_s < 0.01 + SLACK_S
    assert {one.answer for one in connected} == {Answer.OK}
    assert 0.04 <= min(one.values["rtt_seconds"] for one in connected) < 0.04 + SLACK_S
    assert (len(doubled.rtts_s), doubled.loss_ratio) == (10, 0.0)
    assert doubled.duplicates >= 20, "each probe is doubled, and so is each of the two replies"


def test_late_replies_are_late(net: NetnsEstate) -> None:
    watcher, far = net.host("watcher"), reflector(net, "far", relayed=True)
    with net.inside(watcher):
        answering(far)

        def slow(number: int) -> None:
            net.delay("far", there_s=0.0, back_s=0.6 if number == 1 else 0.0)
            time.sleep(0.0 if number == 1 else 2.0)

        _, late, after = stamp(far, 5, (5, 0.4), 5, between=slow)
    assert (late.loss_ratio, late.late) == (1.0, 0)
    assert (after.loss_ratio, after.late) == (0.0, 5)
    assert statistics.median(after.rtts_s) < SLACK_S


async def connect(net: NetnsEstate, far: Host, times: int) -> list[Observation]:
    """Connect by the TCP probe to a listener in ``far``."""
    with net.inside(far), socket.create_server((far.address, 8080)) as server:
        server.setblocking(False)
        probe = TcpProbe(Credentials(Path("/nowhere")), Trust(tls_ca="a", known_hosts="b"), RealClock())
        target = Target("check/tcp", "tcp", TcpParams(far.address, 8080), 10, LONG_S)
        return await asyncio.to_thread(outside, net, probe, target, times)


def outside(net: NetnsEstate, probe: TcpProbe, target: Target, times: int) -> list[Observation]:
    """Ask from the watcher's namespace, in a thread of its own."""
    watcher = net.hosts["watcher"]

    async def asked() -> list[Observation]:
        return [one for _ in range(times) async for one in probe.observe([target])]

    with net.inside(watcher):
        return asyncio.run(asked())
