"""A cut of main's uplink, and of the monitor's own, on real wires: who is told what, and that measuring goes on.

The shipped estate's subjects stand on addresses of network namespaces and are asked by ICMP and TCP; only what an
answering front or database says of its role is made up.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from netns_kit import Host, NetnsEstate, netns_estate
from story_kit import Post
from watch_kit import ROOT, estate, healthy

from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.dependencies import depends_on
from monitor.inventory.estate import Polling
from monitor.inventory.vantage import Anchor, Vantage
from monitor.notify import Notifier
from monitor.probe import Answer, Target
from monitor.probes.icmp import IcmpParams, IcmpProbe
from monitor.probes.tcp import TcpParams, TcpProbe
from monitor.status.sight import COMPOSITES
from monitor.status.state import Health
from monitor.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from monitor.inventory.model import Inventory
    from monitor.probe import Observation, Probe

pytestmark = [pytest.mark.real, pytest.mark.anyio]
PORT = 4443
LISTEN = """
import socket, sys
with socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=512) as server:
    while True:
        server.accept()[0].close()
"""
SITE_DOWN = "site-down site/main"
ISOLATED = "isolated karaula/uplink"
INTERVAL_S, DEADLINE_S = 1.0, 0.9


@dataclass
class Roles:
    """Asks really, and adds to an answer what the subject would say of itself."""

    probe: Probe
    says: Callable[[str], object] = field(default_factory=lambda: healthy(estate()))

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        async for seen in self.probe.observe(targets):
            if seen.answer is not Answer.OK or not seen.subject.startswith(("front/", "database/", "sensor/")):
                yield seen
                continue
            said = self.says(seen.subject)
            yield replace(seen, values={**said.values, **seen.values}, facts={**said.facts, **seen.facts})

    async def close(self) -> None:
        await self.probe.close()


@dataclass
class Wires:
    """Where everything is: main behind an uplink, the monitor behind one of its own, the rest between."""

    net: NetnsEstate
    main: Host
    dr: Host
    borders: Host
    monitor: Host

    def of(self, subject: str) -> Host:
        if "/main" in subject or "-main" in subject:
            return self.main
        return self.dr if "/dr" in subject or "-dr" in subject else self.borders

    def targets(self, inventory: Inventory) -> list[Target]:
        pinged = ("link/", "sensor/", "vm/", "power/")
        found = []
        for subject in depends_on(inventory):
            if subject.startswith(COMPOSITES):
                continue
            host = self.borders if subject.startswith("power/") else self.of(subject)  # a network of its own
            icmp = subject.startswith(pinged)
            params = IcmpParams(host.address) if icmp else TcpParams(host.address, PORT)
            found.append(Target(subject, "icmp" if icmp else "tcp", params, INTERVAL_S, DEADLINE_S))
        return found


def wired(net: NetnsEstate) -> Wires:
    for name in ("main", "post"):
        net.bridge(name)
        net.uplink(name)
    places = (("at-main", "main"), ("at-dr", "core"), ("borders", "core"), ("monitor", "post"))
    wires = Wires(net, *(net.host(name, bridge) for name, bridge in places))
    for host in (wires.main, wires.dr, wires.borders):
        net.spawn(host, sys.executable, "-c", LISTEN, str(PORT))
    return wires


def watched(wires: Wires) -> Inventory:
    anchors = {"gateway": Anchor(address=wires.borders.address, probe="tcp", port=PORT)}
    polling = Polling(interval_s=INTERVAL_S, deadline_s=DEADLINE_S, fail_after=2, recover_after=2, stale_after_s=10)
    update = {"vantage": Vantage(anchors=anchors), "polling": polling, "groups": {}, "checks": {}, "downtimes": {}}
    return estate().model_copy(update=update)


@pytest.fixture
def net():
    with netns_estate() as found:
        yield found


async def until(holds: Callable[[], object], what: Callable[[], object], within_s: float = 60.0) -> None:
    give_up = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up, f"not within {within_s:g} s: {what()}"
        await asyncio.sleep(0.1)


async def test_each_cut_is_one_message_and_so_is_its_end(tmp_path: Path, net: NetnsEstate) -> None:
    wires = wired(net)
    with net.inside(wires.monitor):
        clock = RealClock()
        inventory = watched(wires)
        credentials = Credentials(ROOT / "tests")
        probes = {
            "icmp": Roles(IcmpProbe(credentials, inventory.trust, clock)),
            "tcp": Roles(TcpProbe(credentials, inventory.trust, clock)),
        }
        post = Post(clock)
        watch = Watch(inventory, wires.targets(inventory), probes, tmp_path, clock, Notifier([post], clock, hold_s=4))
        watch._waits_s = dict.fromkeys(watch._waits_s, 4.0)
        await watch.start()
        try:
            await main_is_cut_and_comes_back(net, watch, wires, post)
            post.told.clear()
            await the_monitor_is_cut_and_comes_back(net, watch, post)
        finally:
            await watch.stop()


def amiss(watch: Watch) -> dict[str, str]:
    return {each.subject: each.reason for each in watch.statuses().values() if each.health is not Health.OK}


async def main_is_cut_and_comes_back(net: NetnsEstate, watch: Watch, wires: Wires, post: Post) -> None:
    await until(lambda: not amiss(watch), lambda: amiss(watch))
    # VMs too: they are pinged here. In life their vCenter is cut off with them: unknown, and no alarm of their own.
    dependents = {subject for subject, needs in depends_on(watch._inventory).items() if "site/main" in needs}
    net.cut("main")
    standing: dict[str, str] = {}

    def everything_is_explained() -> bool:
        standing.clear()
        standing.update({alarm.subject: alarm.cause for alarm in watch.alarms()})
        return dependents <= standing.keys() and {standing[each] for each in dependents} == {SITE_DOWN}

    await until(everything_is_explained, lambda: standing)
    await asyncio.sleep(5)  # longer than anything is held
    assert everything_is_explained()
    assert {standing[f"system/{key}"] for key in estate().systems} == {SITE_DOWN}
    assert {key for key, cause in standing.items() if not cause} == {"site/main"}
    now = RealClock().now()

    def unmeasured() -> list[str]:
        return [each for each in dependents if watch.observation(each).at < now]

    await until(lambda: not unmeasured(), unmeasured)  # what is explained is measured on
    assert not watch.isolated
    assert post.told == [(SITE_DOWN, "raised")]
    net.mend("main")
    await until(lambda: not amiss(watch) and not watch.alarms(), lambda: (amiss(watch), watch.alarms()))
    await asyncio.sleep(5)
    assert post.told == [(SITE_DOWN, "raised"), (SITE_DOWN, "cleared")]


async def the_monitor_is_cut_and_comes_back(net: NetnsEstate, watch: Watch, post: Post) -> None:
    net.cut("post")
    await until(lambda: watch.isolated, lambda: amiss(watch))
    await asyncio.sleep(6)
    assert {alarm.key for alarm in watch.alarms()} == {ISOLATED}
    assert {status.health for status in watch.statuses().values()} == {Health.UNKNOWN}
    assert post.told == [(ISOLATED, "raised")]
    net.mend("post")
    await until(lambda: not amiss(watch) and not watch.alarms(), lambda: (amiss(watch), watch.alarms()))
    await asyncio.sleep(5)
    assert post.told == [(ISOLATED, "raised"), (ISOLATED, "cleared")]
