"""The poller's pace: who hangs costs himself, and a freeze costs at most one poll more. Laws, and once for real."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from watch_kit import HANGS, Says, ScriptedProbe, TimelineClock

from monitor.poller import Poller
from monitor.probe import Observation, Target

ROOT = Path(__file__).resolve().parents[2]
INTERVAL_S = 10.0
KINDS = ("http", "icmp", "ssh")
NEIGHBOURS = ("check/1", "check/2", "check/3")
Heard = tuple[str, str, float]  # of whom, "asked" or the answer, monotonic seconds


def targets(count: int) -> list[Target]:
    return [Target(f"check/{n}", KINDS[n % len(KINDS)], None, INTERVAL_S, 3.0) for n in range(count)]


async def paced(hung: set[int], slow: dict[int, float], count: int, jitter: list[float]) -> dict[str, list[float]]:
    """Return when each of ``count`` targets was asked in 20 rounds; ``hung`` never answer."""
    clock = TimelineClock()
    heard: list[Observation] = []

    def says(target: Target) -> Says:
        number = int(target.subject.partition("/")[2])
        return HANGS if number in hung else Says(after_s=slow.get(number, 0.0))

    probes = {kind: ScriptedProbe(clock, says, name=kind) for kind in KINDS}
    numbers = itertools.cycle(jitter)
    poller = Poller(targets(count), probes, heard.append, clock, jitter=lambda: next(numbers))
    await poller.start()
    await clock.advance(20 * INTERVAL_S)
    stopping = asyncio.create_task(poller.stop())
    while not stopping.done():
        await clock.advance(1)
    times: dict[str, list[float]] = {}
    for probe in probes.values():
        for at, subject in probe.asked:
            times.setdefault(subject, []).append(at)
    return times


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    hung=st.sets(st.integers(0, 11), max_size=6),
    slow=st.dictionaries(st.integers(0, 11), st.floats(0, 2.9), max_size=6),
    jitter=st.lists(st.floats(0, 1), min_size=3, max_size=3),
)
def test_who_hangs_changes_nobody_elses_period(hung: set[int], slow: dict[int, float], jitter: list[float]) -> None:
    times = asyncio.run(paced(hung, slow, 12, jitter))
    for number in range(12):
        if number in hung:
            continue
        periods = [later - sooner for sooner, later in itertools.pairwise(times[f"check/{number}"])]
        assert len(periods) >= 18
        assert all(abs(period - INTERVAL_S) <= 0.1 * INTERVAL_S for period in periods), (number, periods)


@settings(max_examples=25, deadline=None)
@given(
    freezes=st.lists(st.tuples(st.floats(0.1, 40), st.floats(0.1, 5000)), min_size=1, max_size=5),
    jitter=st.floats(0, 1),
)
def test_after_any_freeze_there_is_at_most_one_extra_poll(freezes: list[tuple[float, float]], jitter: float) -> None:
    async def told() -> None:
        clock = TimelineClock()
        probe = ScriptedProbe(clock, lambda _: Says(), name="icmp")
        only = Target("check/1", "icmp", None, INTERVAL_S, 3.0)
        poller = Poller([only], {"icmp": probe}, lambda _: None, clock, jitter=lambda: jitter)
        await poller.start()
        for awake_s, frozen_s in freezes:
            await clock.advance(awake_s)
            before = len(probe.asked)
            await clock.freeze(frozen_s)
            assert len(probe.asked) - before <= 1
            woken = clock.monotonic()
            await clock.advance(INTERVAL_S - 0.001)
            after = [at for at, _ in probe.asked if at >= woken]
            assert len(after) <= 2, "the poll that is due anyway, and one"
        await poller.stop()

    asyncio.run(told())


POLL = """
import asyncio, json, sys, time
from monitor.clock import RealClock
from monitor.poller import Poller
from monitor.probe import Answer, Observation, Target, each

class Greeted:
    async def observe(self, targets):
        async for seen in each(targets, self.ask, 32, RealClock()):
            yield seen
    async def ask(self, target):
        print(json.dumps([target.subject, "asked", time.monotonic()]), flush=True)
        async with asyncio.timeout(target.deadline_s):
            reader, writer = await asyncio.open_connection("127.0.0.1", target.params)
            await reader.readline()
            writer.close()
        return Observation(target.subject, "tcp", time.time(), Answer.OK)
    async def close(self):
        pass

async def main():
    targets = [Target(f"check/{n}", "tcp", int(port), 1.0, 0.8) for n, port in enumerate(sys.argv[1:])]
    def heard(seen):
        print(json.dumps([seen.subject, seen.answer, time.monotonic()]), flush=True)
    poller = Poller(targets, {"tcp": Greeted()}, heard, RealClock(), jitter=lambda: 0.0)
    await poller.start()
    await asyncio.sleep(600)

asyncio.run(main())
"""
GREET = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        caller = server.accept()[0]
        caller.sendall(b"hello\\n")
        caller.close()
"""


def started(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True, cwd=ROOT)


def heard(poller: subprocess.Popen[str]) -> Heard:
    """Return what the poller says next."""
    assert poller.stdout is not None
    subject, word, at = json.loads(poller.stdout.readline())
    return subject, word, at


def at_their_usual_pace(said: list[Heard], since: float = 0.0) -> bool:
    """Tell whether the neighbours' last answers since then came an interval apart (median).

    Whoever waits for one that hangs does so for as long as it hangs; a busy machine lets go of him again.
    """
    for subject in NEIGHBOURS:
        times = [at for each, word, at in said if (each, word) == (subject, "ok") and at > since][-6:]
        periods = [later - sooner for sooner, later in itertools.pairwise(times)]
        if len(periods) < 5 or abs(statistics.median(periods) - 1.0) > 0.1:
            return False
    return True


@pytest.mark.proof
def test_for_real_a_stopped_server_changes_nobodys_period_and_a_freeze_costs_one_poll() -> None:
    servers = [started("-c", GREET) for _ in range(4)]
    ports = [server.stdout.readline().strip() for server in servers if server.stdout is not None]
    poller = started("-c", POLL, *ports)
    said: list[Heard] = []
    try:
        while not at_their_usual_pace(said):
            said.append(heard(poller))
        os.kill(servers[0].pid, signal.SIGSTOP)
        stopped = time.monotonic()
        while not at_their_usual_pace(said, stopped):
            said.append(heard(poller))
        os.kill(servers[0].pid, signal.SIGCONT)
        answers = [word for subject, word, at in said if subject == "check/0" and at > stopped and word != "asked"]
        assert answers.count("ok") <= 1
        assert len(answers) > answers.count("ok"), "it was asked, and did not answer"
        os.kill(poller.pid, signal.SIGSTOP)
        time.sleep(3.5)
        woken = time.monotonic()
        os.kill(poller.pid, signal.SIGCONT)
        while said[-1][2] < woken + 3:
            said.append(heard(poller))
        for subject in NEIGHBOURS:
            asked = [at - woken for each, word, at in said if (each, word) == (subject, "asked") and at >= woken]
            assert len([after_s for after_s in asked if after_s < 0.9]) <= 2, "the poll that is due anyway, and one"
            assert len([after_s for after_s in asked if after_s < 3]) <= 4
    finally:
        for process in (poller, *servers):
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
            process.communicate()
