"""An estate of network namespaces, to cut, lose, delay and double for real: hosts on bridges, bridges on uplinks.

    with netns_estate() as net:
        net.bridge("main")                        # a site: a bridge of its own ...
        net.uplink("main")                        # ... whose uplink goes to the bridge "core", which is always there
        watcher = net.host("watcher")             # a namespace with an address on "core"
        front = net.host("front", "main")         # one behind the uplink of main
        slow = net.host("slow", relayed=True)     # its wire is a relay, so it can be delayed and doubled
        net.spawn(front, "named", "-g", ...)      # a process inside; ended with the estate
        with net.inside(watcher): ...             # this thread's new sockets, processes, threads are there
        net.cut("main")                           # the uplink, both ways; net.cut("front", "to") or "from": one way
        net.lose("front", 0.3, "from")            # a part of its IPv4 packets
        net.delay("slow", there_s=0.02, back_s=0.01, doubled=0.1)
        net.mend("main")

"To" and "from" are as seen from the host, or from the site behind an uplink. Everything needs root; elsewhere the test
skips (in CI it fails). All names begin with ``karaula-PID-``: what this process made is removed at the end, and when it
is killed ``netns_reaper.py`` does it, at the latest at the next start: processes, namespaces, and the folders that
``leaves`` names. Nothing else is touched.

Made of: ip-netns(8), nft(8) in the bridge family (``numgen random``), TAP devices (tests/netns_relay.py): this needs
neither netem nor device-mapper.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

from real_kit import missing, need

Way = Literal["both", "to", "from"]
CORE = "core"
PREFIX = "karaula-"
NAMESPACES = Path("/run/netns")
RELAY = Path(__file__).with_name("netns_relay.py")
REAPER = Path(__file__).with_name("netns_reaper.py")
LONGEST_NAME = 11  # an interface's name has at most 15 characters, four are ours
STOP_S = 5.0
CLONE_NEWNET = 0x40000000
_numbers = count()


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace with one address."""

    name: str
    namespace: str
    address: str


class NetnsEstate:
    """Bridges, uplinks and hosts of one test; made by ``netns_estate``."""

    def __init__(self) -> None:
        self._prefix = f"{PREFIX}{os.getpid()}-{next(_numbers)}-"
        self._switch = f"{self._prefix}switch"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._relays: dict[str, subprocess.Popen[bytes]] = {}
        self._losses: dict[str, tuple[float, float]] = {}
        self._addresses = count(1)
        self._reaper: subprocess.Popen[bytes] | None = None
        self.hosts: dict[str, Host] = {}

    def open(self) -> None:
        """Make the switch and its bridge ``core``."""
        words = (sys.executable, REAPER, self._prefix)
        self._reaper = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True, cwd="/")
        self._namespace(self._switch)
        self.bridge(CORE)

    # -- building -----------------------------------------------------------------------------------------------------

    def bridge(self, name: str) -> None:
        """Make a bridge; nothing connects it yet."""
        _fits(name)
        _ip("-n", self._switch, "link", "add", f"br-{name}", "type", "bridge", "forward_delay", "0")
        _ip("-n", self._switch, "link", "set", f"br-{name}", "up")

    def uplink(self, name: str, to: str = CORE) -> None:
        """Connect the bridge ``name`` to another; the uplink has the bridge's name for ``cut`` and ``lose``."""
        _ip("-n", self._switch, "link", "add", f"up-{name}", "type", "veth", "peer", "name", f"ua-{name}")
        for port, bridge in ((f"up-{name}", to), (f"ua-{name}", name)):
            self._plug(port, bridge)

    def host(self, name: str, bridge: str = CORE, *, relayed: bool = False) -> Host:
        """Make a host on ``bridge``, with an address in 10.77.0.0/16."""
        _fits(name)
        number = next(self._addresses)
        host = Host(name, f"{self._prefix}{name}", f"10.77.{number // 250}.{number % 250 + 1}")
        self.hosts[name] = host
        self._namespace(host.namespace)
        if relayed:
            self._relay(host)
        else:
            end = ("peer", "name", "eth0", "netns", host.namespace)
            _ip("-n", self._switch, "link", "add", f"up-{name}", "type", "veth", *end)
        self._plug(f"up-{name}", bridge)
        _ip("-n", host.namespace, "address", "add", f"{host.address}/16", "dev", "eth0")
        _ip("-n", host.namespace, "link", "set", "eth0", "up")
        if relayed:
            self.delay(name)
        return host

    def also(self, host: Host) -> str:
        """Give ``host`` one more address and return it."""
        number = next(self._addresses)
        address = f"10.77.{number // 250}.{number % 250 + 1}"
        _ip("-n", host.namespace, "address", "add", f"{address}/16", "dev", "eth0")
        return address

    def wire(self, host: Host, name: str, bridge: str, interface: str = "eth1") -> str:
        """Give ``host`` a second card on ``bridge``, in 10.78.0.0/16; ``name`` is the wire's for ``cut``. Return it."""
        _fits(name)
        number = next(self._addresses)
        address = f"10.78.{number // 250}.{number % 250 + 1}"
        end = ("peer", "name", interface, "netns", host.namespace)
        _ip("-n", self._switch, "link", "add", f"up-{name}", "type", "veth", *end)
        self._plug(f"up-{name}", bridge)
        _ip("-n", host.namespace, "address", "add", f"{address}/16", "dev", interface)
        _ip("-n", host.namespace, "link", "set", interface, "up")
        return address

    def leaves(self, folder: Path) -> None:
        """Have a folder removed at the end as well, however it comes."""
        assert self._reaper is not None
        assert self._reaper.stdin is not None
        self._reaper.stdin.write(f"{folder}\n".encode())
        self._reaper.stdin.flush()

    # -- faults -------------------------------------------------------------------------------------------------------

    def cut(self, name: str, way: Way = "both") -> None:
        """Let nothing through: of a host, or of what is behind an uplink."""
        self.lose(name, 1.0, way)

    def lose(self, name: str, ratio: float, way: Way = "both") -> None:
        """Lose a part, 0 to 1, of the IPv4 packets; of 1 everything. What was set before in that way is replaced."""
        to, of = self._losses.get(name, (0.0, 0.0))
        self._losses[name] = (to if way == "from" else ratio, of if way == "to" else ratio)
        self._filter()

    def mend(self, name: str) -> None:
        """End cut and loss."""
        self._losses.pop(name, None)
        self._filter()

    def delay(self, name: str, *, there_s: float = 0.0, back_s: float = 0.0, doubled: float = 0.0) -> None:
        """Delay each frame to (``there_s``) and from a relayed host; ``doubled`` is the part that comes twice."""
        relay = self._relays[name]
        assert relay.stdin is not None
        relay.stdin.write(f"{there_s} {back_s} {doubled}\n".encode())
        relay.stdin.flush()
        _said(relay, b"set")

    # -- inside -------------------------------------------------------------------------------------------------------

    @contextmanager
    def inside(self, host: Host) -> Iterator[None]:
        """Have this thread's new sockets, processes and threads in the host's namespace."""
        with Path(f"/proc/self/task/{_thread()}/ns/net").open("rb") as before:
            with (NAMESPACES / host.namespace).open("rb") as place:
                _setns(place.fileno())
            try:
                yield
            finally:
                _setns(before.fileno())

    def spawn(self, host: Host, *command: str | Path, log: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a process inside, its output going to the end of ``log``; it is ended with the estate."""
        place = f"--net={NAMESPACES / host.namespace}"
        with (log or Path(os.devnull)).open("ab") as output:
            process = subprocess.Popen(
                ["nsenter", place, *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(process)
        return process

    def run(self, host: Host, *command: str | Path) -> str:
        """Run a command inside to its end and return its output; raises CalledProcessError."""
        place = f"--net={NAMESPACES / host.namespace}"
        return subprocess.run(["nsenter", place, *map(str, command)], check=True, capture_output=True, text=True).stdout

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End every process that was started here and remove every namespace; safe to repeat."""
        for process in (*self._processes, *self._relays.values()):
            _end(process)
        self.abandon()

    def abandon(self) -> None:
        """Have the reaper kill what runs in the namespaces, and remove them; nothing here can be used any more."""
        if self._reaper is not None:
            assert self._reaper.stdin is not None
            self._reaper.stdin.close()  # which tells it
            self._reaper.wait()
            self._reaper = None

    # -- how ----------------------------------------------------------------------------------------------------------

    def _namespace(self, name: str) -> None:
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")

    def _plug(self, port: str, bridge: str) -> None:
        _ip("-n", self._switch, "link", "set", port, "master", f"br-{bridge}")
        _ip("-n", self._switch, "link", "set", port, "up")

    def _relay(self, host: Host) -> None:
        relay = self._relays[host.name] = subprocess.Popen(
            [sys.executable, RELAY, self._switch, f"up-{host.name}", host.namespace, "eth0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        _said(relay, b"ready")

    def _filter(self) -> None:
        rules = []
        for name, (to, of) in self._losses.items():
            for side, ratio in (("oifname", to), ("iifname", of)):
                if ratio >= 1:
                    rules.append(f'{side} "up-{name}" drop')
                elif ratio > 0:
                    rules.append(f'{side} "up-{name}" ether type ip numgen random mod 10000 < {ratio * 10000:.0f} drop')
        chain = "\n".join(["type filter hook forward priority 0", *rules])
        table = "table bridge faults"
        text = f"{table}\ndelete {table}\n{table} {{\nchain forward {{\n{chain}\n}}\n}}\n"
        command = ["ip", "netns", "exec", self._switch, "nft", "-f", "-"]
        subprocess.run(command, input=text, check=True, capture_output=True, text=True)


@contextmanager
def netns_estate() -> Iterator[NetnsEstate]:
    """Make an estate, and leave nothing of it behind."""
    if os.geteuid() != 0:
        missing("the right to make network namespaces (root)", "iproute2 nftables")
    need("ip", "iproute2")
    need("nft", "nftables")
    _remove_orphans()
    estate = NetnsEstate()
    try:
        estate.open()
        yield estate
    finally:
        estate.close()


def _remove_orphans() -> None:
    """Remove what a process left behind that is no more, where its reaper was killed with it."""
    places = NAMESPACES.glob(f"{PREFIX}*") if NAMESPACES.is_dir() else ()
    for maker in {place.name.removeprefix(PREFIX).partition("-")[0] for place in places}:
        if maker.isdecimal() and not Path("/proc", maker).exists():
            words = (sys.executable, REAPER, f"{PREFIX}{maker}-")
            subprocess.run(words, check=True, stdin=subprocess.DEVNULL, cwd="/")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _said(process: subprocess.Popen[bytes], word: bytes) -> None:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line == word, f"the relay said {line!r}"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _fits(name: str) -> None:
    assert len(name) <= LONGEST_NAME, f"'{name}' is too long for an interface"


def _thread() -> int:
    return int(Path("/proc/thread-self").readlink().name)


def _setns(place: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(place, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
