"""Time that a test moves, and probes whose targets behave as the test says."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.inventory.checks import site_of
from monitor.inventory.checks_hosts import CertificateCheck, ClockCheck, DiskCheck, LagCheck, UnitCheck
from monitor.inventory.checks_services import NtpCheck, PostgresqlCheck, TlsCheck
from monitor.inventory.dependencies import depends_on
from monitor.inventory.read import read
from monitor.metrics.vcenters import OF_A_VCENTER, OF_A_VM
from monitor.probe import Answer, Observation, Target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from monitor.inventory.checks import Check
    from monitor.inventory.model import Inventory
    from monitor.inventory.sensors import Sensor
    from monitor.watch import Watch

ROOT = Path(__file__).resolve().parents[1]
START = 1_790_000_000.0
MOST_STEPS = 10_000
PATIENCE_S = 60.0


@cache
def estate() -> Inventory:
    """The shipped inventory."""
    return read(ROOT / "inventory.yaml")


class TimelineClock:
    """Time stands still until ``advance``; then every sleeper wakes at its moment, in order."""

    def __init__(self, now: float = START) -> None:
        self._wall = now
        self._monotonic = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    def now(self) -> float:
        return self._wall + self._monotonic

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + max(0.0, seconds), next(self._count), future))
        await future

    async def advance(self, seconds: float) -> None:
        end = self._monotonic + seconds
        await settled()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self._monotonic = max(self._monotonic, due)
            future.set_result(None)
            await settled()
        self._monotonic = end
        await settled()

    async def freeze(self, seconds: float) -> None:
        """Let time pass while nobody runs, as on a machine that was suspended."""
        self._monotonic += seconds
        await self.advance(0)


async def settled() -> None:
    """Let everything run that can run now, until it waits for time, a thread or a descriptor."""
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # asyncio tells it to nobody
    for _ in range(MOST_STEPS):
        await asyncio.sleep(0)
        if not ready:
            return
    raise AssertionError("something goes round and round")


@dataclass(frozen=True, slots=True)
class Says:
    """How a target behaves when asked: what it answers, after how long (None: never)."""

    answer: Answer = Answer.OK
    reason: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    after_s: float | None = 0.0


HANGS = Says(after_s=None)
REFUSES = Says(Answer.FAILED, "connection refused")


class ScriptedProbe:
    """Answers as ``behaviour`` says at that moment; records who was asked when."""

    def __init__(
        self, clock: TimelineClock, behaviour: Callable[[Target], Says], *, stubborn: bool = False, name: str = "tcp"
    ) -> None:
        self.clock = clock
        self.behaviour = behaviour
        self.stubborn = stubborn
        self.name = name
        self.asked: list[tuple[float, str]] = []
        self.closed = False

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        for target in targets:
            self.asked.append((self.clock.monotonic(), target.subject))
        slow = []
        for target in targets:  # who answers at once needs no task of its own
            says = self.behaviour(target)
            if says.after_s == 0:
                yield self._said(target, says)
            else:
                slow.append(target)
        tasks = [asyncio.ensure_future(self._ask(target)) for target in slow]
        try:
            for done in asyncio.as_completed(tasks):
                yield await done
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, target: Target) -> Observation:
        says = self.behaviour(target)
        while says.after_s is None:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
                says = self.behaviour(target)
        if says.after_s:
            await self.clock.sleep(says.after_s)
        return self._said(target, says)

    def _said(self, target: Target, says: Says) -> Observation:
        return Observation(
            target.subject, target.probe, self.clock.now(), says.answer, says.reason, says.values, says.facts
        )

    async def close(self) -> None:
        self.closed = True

    def times(self, subject: str) -> list[float]:
        return [at for at, asked in self.asked if asked == subject]


def healthy(inventory: Inventory, active: str = "main") -> Callable[[str], Says]:
    """Return how every subject answers on a good day, with every system active at ``active``."""

    def says(subject: str) -> Says:
        kind, _, rest = subject.partition("/")
        if kind == "front":
            here = rest.partition("/")[2] == active
            facts = {"role": "active" if here else "standby"}
            return Says(facts=facts, values={"position": 10, "epoch": 1, "duration_seconds": 0.02})
        if kind == "database":
            here = rest.partition("/")[2] == active
            return Says(
                facts={"role": "primary" if here else "standby"},
                values={"position": 10, "epoch": 1, "received_at": START},
            )
        if kind == "link":
            return Says(values={"rtt_seconds": 0.005, "jitter_seconds": 0.001, "loss_ratio": 0.0})
        if kind in ("sensor", "check"):
            return calm(inventory.sensors[rest]) if kind == "sensor" else well(inventory.checks[rest])
        if kind in ("vm", "vcenter"):
            values = dict.fromkeys(OF_A_VM if kind == "vm" else OF_A_VCENTER, 1.0)
            return Says(values=values | {"snapshot_oldest_at": START})
        return Says(values={"duration_seconds": 0.01})

    return says


def calm(sensor: Sensor) -> Says:
    """Return what a sensor says that alarms nobody."""
    if sensor.quantity == "ups-state":
        return Says(facts={"ups_status": "OL"})
    limits = sensor.thresholds
    above = limits.warn_above if limits.warn_above is not None else limits.valid_max
    below = limits.warn_below if limits.warn_below is not None else limits.valid_min
    return Says(values={"value": 0.0 if sensor.unit == "boolean" else (above + below) / 2})


def well(check: Check) -> Says:
    """Return how a check answers on a good day."""
    values = {"duration_seconds": 0.01}
    facts: dict[str, str] = {}
    if isinstance(check, DiskCheck):
        values |= {"disk_free_bytes": 8e10, "disk_size_bytes": 1e11, "disk_free_ratio": 0.8, "inodes_free_ratio": 0.9}
        facts = {"mount": check.mount}
    if isinstance(check, UnitCheck):
        facts = {"load": "loaded", "active": "active", "sub": "running", "result": "success"}
    if isinstance(check, CertificateCheck):
        values["not_after_seconds"] = START + 90 * 86400
    if isinstance(check, TlsCheck):
        values["tls_not_after_seconds"] = START + 90 * 86400
    if isinstance(check, ClockCheck):
        values |= {"clock_offset_seconds": 0.001, "clock_uncertainty_seconds": 0.004}
        facts = {"synchronized": "yes"}
    if isinstance(check, LagCheck):
        values["lag_seconds"] = 0.5
    if isinstance(check, NtpCheck):
        values |= {"ntp_offset_seconds": 0.001, "ntp_delay_seconds": 0.002, "ntp_root_distance_seconds": 0.01}
        values["stratum"] = 3
    if isinstance(check, PostgresqlCheck):
        values |= {"lag_seconds": 0.0, "lag_bytes": 0.0, "standbys": 1, "sync_standbys": 0, "retained_bytes": 0}
        values |= {"slots_lost": 0, "slots_losing": 0}
        facts = {"role": "primary", "waits": "no", "blind": "no"}
    return Says(values=values, facts=facts)


class World:
    """A whole estate behind one scripted probe for each kind; ``set`` changes how a subject behaves."""

    def __init__(self, inventory: Inventory, clock: TimelineClock) -> None:
        self.inventory = inventory
        self.clock = clock
        self.normal = healthy(inventory)
        self.special: dict[str, Says] = {}
        self.targets = self._targets()
        kinds = {target.probe for target in self.targets}
        self.probes = {kind: ScriptedProbe(clock, self._behaves, name=kind) for kind in kinds}

    def set(self, says: Says | None, *subjects: str) -> None:
        for subject in subjects:
            if says is None:
                self.special.pop(subject, None)
            else:
                self.special[subject] = says

    def at_site(self, site: str) -> list[str]:
        """Every subject that dies with a site's power; the power controller does not."""
        inventory = self.inventory
        found = [f"host/{key}" for key, host in inventory.hosts.items() if host.site == site]
        found += [f"dns/{key}" for key, server in inventory.dns_servers.items() if server.site == site]
        found += [f"vcenter/{key}" for key, vcenter in inventory.vcenters.items() if vcenter.site == site]
        found += [f"sensor/{key}" for key, sensor in inventory.sensors.items() if sensor.site == site]
        found += [f"check/{key}" for key, one in inventory.checks.items() if site_of(one, inventory.hosts) == site]
        for key in inventory.systems:
            found += [f"front/{key}/{site}", f"database/{key}/{site}"]
        return found

    def cut(self, site: str) -> None:
        self.set(REFUSES, *self.at_site(site))

    def mend(self) -> None:
        self.special.clear()

    def _behaves(self, target: Target) -> Says:
        return self.special.get(target.subject) or self.normal(target.subject)

    def _targets(self) -> list[Target]:
        """VMs are asked like anything else here; which probe really brings them is not the watch's business."""
        composites = ("site/", "system/", "crossing/")
        probes = {"link": "stamp", "sensor": "snmp", "front": "http", "vm": "vsphere", "vcenter": "vsphere"}
        return [
            Target(subject, probes.get(subject.partition("/")[0], "tcp"), None, 2.0, 1.5)
            for subject in depends_on(self.inventory)
            if not subject.startswith(composites)
        ]


async def written(watch: Watch) -> None:
    """Wait until what changed has reached the disk; the writing thread lives in real time."""
    record = watch._record
    assert record is not None
    async with asyncio.timeout(PATIENCE_S):
        while record.pending or record._writing_since is not None:  # noqa: ASYNC110 - a thread's end
            await asyncio.sleep(0.005)


async def idle(watch: Watch) -> None:
    """Wait until nothing is being written: that thread lives in real time."""
    async with asyncio.timeout(PATIENCE_S):
        while watch._record is not None and watch._record._writing_since is not None:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.001)


async def live(watch: Watch, clock: TimelineClock, seconds: float, step_s: float = 1.0) -> None:
    """Let time pass, but never faster than the disk writes: those threads live in real time."""
    for _ in range(round(seconds / step_s)):
        await clock.advance(step_s)
        await idle(watch)
