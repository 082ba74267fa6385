"""Echo 100, 1,000 and 10,000 targets on loopback beside ``fping``; round trips also while the process polls a vCenter.

Both send ``COUNT`` echoes to each target and wait for all replies. Targets are addresses of 127.0.0.0/8. Two loads are
put on the process: a real session that reads the simulator of ``poll.py`` in full again and again, and what is worse
than any vCenter, a thread that parses property replies without a pause. Needs root, as ``fping`` does for intervals
this short.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import math
import resource
import shutil
import subprocess
import sys
import threading
import tracemalloc
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.measure import Cost, Watch, machine, table
from bench.poll import entered, in_full, vcenter
from monitor.clients.icmp import IcmpClient
from monitor.clock import RealClock

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.clients.vsphere import VcenterSession
    from tests.real.vcsim.build import Simulator

COUNT = 5
SIZES = (100, 1_000, 10_000)
WITHIN_S = 20.0
SPACING_S = 0.1
ROUNDS = 3
POLLED_ROUNDS = 10
LOADED = 1_000
VMS = 1_000
MOST_P99_S = 0.001
STEEPEST = 1.15  # how much more an echo may cost at ten times the targets
VM = (
    "<objects><obj type='VirtualMachine'>vm-{0}</obj><propSet><name>name</name><val>vm-{0}</val></propSet>"
    "<propSet><name>runtime.powerState</name><val>poweredOn</val></propSet></objects>"
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a round of echoes showed."""

    cost: Cost
    sent: int
    lost: int
    p99_s: float


def addresses(count: int) -> list[str]:
    """Return ``count`` different addresses of the loopback."""
    return [f"127.{60 + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}" for number in range(count)]


async def echo(client: IcmpClient, targets: list[str]) -> Found:
    """Echo all targets once."""
    sent, lost = 0, 0
    rtts_s: list[float] = []
    gc.collect()
    with Watch() as watch:
        async for _, burst in client.measure(targets, within_s=WITHIN_S, count=COUNT, spacing_s=SPACING_S):
            sent += burst.sent
            lost += burst.missing
            rtts_s += burst.rtts_s
    rtts_s.sort()
    return Found(watch.cost, sent, lost, rtts_s[math.ceil(0.99 * len(rtts_s)) - 1] if rtts_s else math.inf)


async def ours(targets: list[str], rounds: int = ROUNDS) -> list[Found]:
    """Return each round of one client; one round before is not counted."""
    client = IcmpClient(RealClock())
    try:
        await echo(client, targets[:10])
        return [await echo(client, targets) for _ in range(rounds)]
    finally:
        await client.close()


def theirs(targets: list[str], gap_ms: str) -> Found:
    """Run ``fping`` once, one echo every ``gap_ms`` milliseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["fping", "-q", "-C", str(COUNT), "-i", gap_ms, "-p", str(round(SPACING_S * 1000)), "-t", "2000"]
    with Watch() as watch:
        done = subprocess.run(command, input="\n".join(targets), text=True, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    replies = [word for line in done.stderr.splitlines() for word in line.partition(" : ")[2].split()]
    assert len(replies) == COUNT * len(targets), done.stderr[-500:]
    rtts_ms = sorted(float(word) for word in replies if word != "-")
    p99_s = rtts_ms[math.ceil(0.99 * len(rtts_ms)) - 1] / 1000
    return Found(Cost(watch.cost.wall_s, cpu_s), len(replies), replies.count("-"), p99_s)


def parse_for_ever(stop: threading.Event, parsed: list[int]) -> None:
    """Parse what a vCenter with 1,000 VMs answers, again and again."""
    reply = "<reply>" + "".join(VM.format(number) for number in range(1_000)) + "</reply>"
    while not stop.is_set():
        parsed[0] += sum(1 for each in ET.fromstring(reply).iter("val") if each.text)  # noqa: S314 - our own text


def loaded(targets: list[str]) -> tuple[Found, int]:
    """Echo while the process parses; return the worst round, and how many values were parsed meanwhile."""
    stop, parsed = threading.Event(), [0]
    parser = threading.Thread(target=parse_for_ever, args=(stop, parsed))
    parser.start()
    try:
        rounds = asyncio.run(ours(targets))
    finally:
        stop.set()
        parser.join()
    return worst(rounds), parsed[0]


async def polled(targets: list[str], session: VcenterSession) -> tuple[Found, int]:
    """Echo while the process reads a vCenter in full; return the worst round, and how many polls ended meanwhile."""
    polls = 0

    async def poll_for_ever() -> None:
        nonlocal polls
        while True:
            await in_full(session)
            polls += 1

    polling = asyncio.create_task(poll_for_ever())
    try:
        rounds = await ours(targets, POLLED_ROUNDS)
        if polling.done():
            await polling  # raises what ended it
    finally:
        polling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await polling
        await session.close()
    assert polls, "no poll ended while it was echoed"
    return worst(rounds), polls


def while_polled(targets: list[str]) -> tuple[Found, int]:
    """Return what ``polled`` does with a simulator of its own."""

    async def run(simulator: Simulator, ca_file: Path) -> tuple[Found, int]:
        return await polled(targets, entered(simulator, ca_file))

    with vcenter(VMS) as (simulator, ca_file):
        return asyncio.run(run(simulator, ca_file))


def worst(rounds: list[Found]) -> Found:
    """Return the round that lost most, or had the longest round trips."""
    return max(rounds, key=lambda each: (each.lost, each.p99_s))


def memory_a_target(count: int) -> float:
    """Return the bytes that are held for each target after some rounds, none of them answered late."""

    async def held() -> float:
        client = IcmpClient(RealClock())
        targets = addresses(count)
        await echo(client, targets[:10])
        tracemalloc.start()
        for _ in range(3):
            await echo(client, targets)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        await client.close()
        return size / count

    return asyncio.run(held())


def best(rounds: list[Found]) -> Found:
    """Return the cheapest round, with the losses of all and the worst of the round trips."""
    cheapest = min(rounds, key=lambda each: each.cost.cpu_s)
    lost, p99_s = sum(each.lost for each in rounds), max(each.p99_s for each in rounds)
    return Found(cheapest.cost, cheapest.sent, lost, p99_s)


def line(name: str, found: Found, *, alone: bool = True) -> str:
    """Return a row of the curve; the processor time of a process that does more than echo is not shown."""
    each_us = f"{1e6 * _each_s(found):10.1f} us" if alone else f"{'-':>13}"
    return f"{name:34} {each_us} {found.lost:8} {1000 * found.p99_s:10.3f} ms"


def main() -> int:
    """Run all of it; exit code 1 when a bound is not kept."""
    if not shutil.which("fping"):
        sys.exit("bench: fping is not here; type: sudo apt-get install fping")
    print(machine())
    print(f"\n{COUNT} echoes a target; the cheapest of {ROUNDS} rounds, losses of all, the worst p99")
    print(f"{'':34} {'processor an echo':>13} {'lost':>8} {'p99':>13}")
    curve: dict[int, tuple[Found, Found]] = {}
    for size in SIZES:
        targets = addresses(size)
        gap_ms = "0.1"
        pair = curve[size] = best(asyncio.run(ours(targets))), best([theirs(targets, gap_ms) for _ in range(ROUNDS)])
        print(line(f"karaula, {size} targets", pair[0]))
        print(line(f"fping, {size} targets", pair[1]))
    beside, polls = while_polled(addresses(LOADED))
    print(line(f"karaula, {LOADED}, while polling", beside, alone=False) + f"   ({polls} full polls of {VMS} VMs)")
    busy, parsed = loaded(addresses(LOADED))
    print(line(f"karaula, {LOADED}, while XML is parsed", busy, alone=False) + f"   ({parsed} values parsed)")
    table(
        f"{SIZES[-1]} targets, {COUNT} echoes each; times: wall / processor beside Karaula",
        [("karaula", curve[SIZES[-1]][0].cost), ("fping", curve[SIZES[-1]][1].cost)],
        beside=0,
    )
    print(f"\nmemory a target: {memory_a_target(2_000) / 1024:.1f} KiB")
    return judge(curve, {"while a vCenter is polled": beside, "while XML is parsed": busy})


def judge(curve: dict[int, tuple[Found, Found]], busy: dict[str, Found]) -> int:
    """Say which bounds are not kept."""
    broken = [f"{size}: dearer than fping" for size, (we, they) in curve.items() if _each_s(we) > _each_s(they)]
    broken += [f"{size}: {we.lost} lost" for size, (we, _) in curve.items() if we.lost]
    for few, many in itertools.pairwise(SIZES):
        if _each_s(curve[many][0]) > STEEPEST * _each_s(curve[few][0]):
            broken.append(f"an echo costs more of {many} targets than of {few}")
    for when, found in busy.items():
        if found.p99_s > MOST_P99_S or found.lost:
            broken.append(f"{when}: p99 {1000 * found.p99_s:.2f} ms, {found.lost} lost")
    for each in broken:
        print(f"NOT KEPT: {each}")
    return 1 if broken else 0


def _each_s(found: Found) -> float:
    return found.cost.cpu_s / found.sent


if __name__ == "__main__":
    sys.exit(main())
