"""What the STAMP and ICMP probes make of what came back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from test_client_stamp import Reflector, reflect

from monitor.burst import Burst
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.errors import Refused
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Target
from monitor.probes.icmp import IcmpParams, IcmpProbe
from monitor.probes.stamp import StampParams, StampProbe

pytestmark = pytest.mark.anyio
TRUST = Trust(tls_ca="ca.pem", known_hosts="known_hosts")


async def reflector(address: str) -> Reflector:
    loop = asyncio.get_running_loop()
    made = Reflector(lambda data, n: [reflect(data, n)])
    await loop.create_datagram_endpoint(lambda: made, local_addr=(address, 0))
    return made


async def test_links_good_and_dead(tmp_path: Path) -> None:
    probe = StampProbe(Credentials(tmp_path), TRUST, RealClock())
    good = await reflector("127.94.9.1")
    params = StampParams(good.end.address, good.end.port)
    targets = [
        Target("link/dead/primary", "stamp", StampParams("127.94.9.9", 9), 10, 1.5),
        Target("link/good/primary", "stamp", params, 10, 1.5),
        Target("link/good/again", "stamp", params, 10, 1.5),
    ]
    seen = [one async for one in probe.observe(targets)]
    await probe.close()
    good.transport.close()
    assert [one.subject for one in seen] == ["link/good/primary", "link/good/again", "link/dead/primary"]
    assert [one.answer for one in seen] == [Answer.OK, Answer.OK, Answer.FAILED]
    assert seen[0].values["loss_ratio"] == 0
    assert {"rtt_seconds", "rtt_min_seconds", "rtt_max_seconds", "jitter_seconds"} <= set(seen[0].values)
    assert seen[2].values["loss_ratio"] == 1
    assert "rtt_seconds" not in seen[2].values
    assert seen[2].reason == "no reply to 5 probes"
    assert len(good.got) == 5  # two subjects, one measurement


class FakeIcmp:
    def __init__(self, burst: Burst | None) -> None:
        self.burst = burst

    async def measure(self, addresses: Iterable[str], *, within_s: float) -> AsyncIterator[tuple[str, Burst]]:
        assert within_s == pytest.approx(2.7)
        for address in addresses:
            if self.burst is None:
                raise Refused("not permitted; allow it with: sysctl -w net.ipv4.ping_group_range='0 2147483647'")
            yield address, self.burst


@pytest.mark.parametrize(
    ("burst", "answer", "reason"),
    [
        (Burst(sent=3, duplicates=0, garbled=0, rtts_s=(0.001, 0.003)), Answer.OK, ""),
        (Burst(sent=3, duplicates=0, garbled=2, rtts_s=()), Answer.FAILED, "2 garbled replies and no good one"),
        (Burst(sent=0, duplicates=0, garbled=0, rtts_s=(), error="no route"), Answer.FAILED, "no route"),
        (None, Answer.UNKNOWN, "not permitted; allow it with: sysctl -w net.ipv4.ping_group_range='0 2147483647'"),
    ],
)
async def test_pings(tmp_path: Path, burst: Burst | None, answer: Answer, reason: str) -> None:
    probe = IcmpProbe(Credentials(tmp_path), TRUST, RealClock())
    probe._client = FakeIcmp(burst)
    (seen,) = [one async for one in probe.observe([Target("check/a", "icmp", IcmpParams("127.0.0.1"), 10, 3)])]
    assert (seen.answer, seen.reason) == (answer, reason)
    if answer is Answer.OK:
        assert seen.values["loss_ratio"] == pytest.approx(1 / 3)
        assert seen.values["rtt_seconds"] == pytest.approx(0.002)
        assert seen.values["jitter_seconds"] == pytest.approx(0.002)
