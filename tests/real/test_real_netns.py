"""The estate of network namespaces itself: what is injected is what crosses the wire, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import netns_kit
import pytest
from netns_kit import NAMESPACES, Host, NetnsEstate, netns_estate

pytestmark = [pytest.mark.real]
ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 7))
while True:
    s.sendto(*s.recvfrom(2048))
"""
ASK = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(float(sys.argv[3]))
seen, began = [], time.monotonic()
for n in range(int(sys.argv[2])):
    s.sendto(b"%d" % n, (sys.argv[1], 7))
    if len(sys.argv) > 4:
        continue
    try:
        seen.append(s.recv(2048))
    except TimeoutError:
        pass
try:
    while True:
        seen.append(s.recv(2048))
except TimeoutError:
    pass
print(len(seen), len(set(seen)))
"""


def ask(net: NetnsEstate, asker: Host, host: Host, count: int = 3, patience_s: float = 1.0, *more: str) -> list[int]:
    """Return how many replies came, and how many different ones."""
    words = net.run(asker, sys.executable, "-c", ASK, host.address, str(count), str(patience_s), *more).split()
    return [int(word) for word in words]


@pytest.fixture
def net():
    with netns_estate() as estate:
        yield estate


def served(net: NetnsEstate, name: str, bridge: str = "core", *, relayed: bool = False) -> Host:
    host = net.host(name, bridge, relayed=relayed)
    net.spawn(host, sys.executable, "-c", ECHO, host.address)
    return host


def test_a_cut_uplink_cuts_what_is_behind_it_and_nothing_else(net: NetnsEstate) -> None:
    net.bridge("main")
    net.uplink("main")
    watcher, front, other = net.host("watcher"), served(net, "front", "main"), served(net, "other")
    for host in (front, other):
        while ask(net, watcher, host, 1) == [0, 0]:
            pass
    net.cut("main")
    assert ask(net, watcher, front, 1) == [0, 0]
    assert ask(net, watcher, other) == [3, 3]
    net.mend("main")
    net.cut("front", "from")
    assert ask(net, watcher, front, 1) == [0, 0]
    net.mend("front")
    assert ask(net, watcher, front) == [3, 3]


def test_a_part_is_lost_and_a_relayed_host_answers_twice(net: NetnsEstate) -> None:
    watcher, front, slow = net.host("watcher"), served(net, "front"), served(net, "slow", relayed=True)
    for host in (front, slow):
        while ask(net, watcher, host, 1) == [0, 0]:
            pass
    net.lose("front", 0.5, "to")
    came, different = ask(net, watcher, front, 400, 0.5, "at once")
    assert came == different
    assert 130 <= came <= 270, "half of 400, six standard deviations each way"
    net.delay("slow", there_s=0.01, back_s=0.01, doubled=1.0)
    assert ask(net, watcher, slow, 2, 1.0, "at once") == [8, 2]


def test_nothing_is_left_behind_even_after_a_failure() -> None:
    made = []

    def fail() -> None:
        with netns_estate() as net:
            host = net.host("front", relayed=True)
            made.append((host, net.spawn(host, "sleep", "600")))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    host, process = made[0]
    assert process.poll() is not None
    assert not list(NAMESPACES.glob(f"{host.namespace.rpartition('-')[0]}-*"))


MAKER = """
import sys, time
from pathlib import Path
from netns_kit import netns_estate
with netns_estate() as net:
    host = net.host("front", relayed=True)
    net.leaves(Path(sys.argv[1]))
    print(host.namespace, net.spawn(host, "sleep", "600").pid, flush=True)
    time.sleep(600)  # to be killed in
"""


def runs(pid: str) -> bool:
    """Tell whether a process is more than an entry that nobody has collected."""
    try:
        return bool(Path("/proc", pid, "cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind_of_one_that_is_killed(number: signal.Signals, tmp_path: Path) -> None:
    with netns_estate():  # asks for what is needed
        pass
    folder = tmp_path / "left"
    folder.mkdir()
    env = dict(os.environ, PYTHONPATH=str(Path(netns_kit.__file__).parent))
    words = [sys.executable, "-c", MAKER, folder]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env) as maker:
        assert maker.stdout is not None
        namespace, inside = maker.stdout.readline().split()
        os.kill(maker.pid, number)
    give_up = time.monotonic() + 60
    while left := [
        *NAMESPACES.glob(f"{namespace.rpartition('-')[0]}-*"),
        *([folder] if folder.exists() else []),
        *([inside] if runs(inside) else []),
    ]:
        assert time.monotonic() < give_up, left
        time.sleep(0.05)  # the reaper is a process of its own


def test_what_a_killed_process_left_is_removed_at_the_next_start() -> None:
    with netns_estate():  # asks for what is needed
        pass
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = f"karaula-{dead.pid}-0-left"
    subprocess.run(["ip", "netns", "add", left], check=True)
    with netns_estate():
        assert not (NAMESPACES / left).exists()
