"""Scrape a running daemon that watches a large estate, over HTTP as Prometheus does; also while a vCenter stands still.

``karaula serve`` runs as a process on an inventory made here: 1,000 crossings whose 2,000 links are echoed on loopback
every ten seconds, and a vCenter simulator with 1,000 VMs: more than 100,000 samples, also when those of the VMs have
gone because their vCenter was stopped (SIGSTOP). Every scrape is taken at a moment of chance. Beside it, in the same
run, prometheus_client's ``generate_latest`` on the samples of the same page. Then what a daemon costs that watches 100,
1,000 and 10,000 targets. Exit code 1 when a scrape as Prometheus asks for it has a p99 over 100 ms, or the curve bends
upwards.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import itertools
import json
import random
import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from bench.measure import (
    WORK,
    Cost,
    certificate,
    cpu_s_of,
    free_port,
    machine,
    own_cpu_s,
    process,
    rss_bytes,
    wait_for_port,
)
from deploy.environment import ROOT
from tests.real.vcsim.build import build, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

CROSSINGS = 1_000
VMS = 1_000
WANTED = 100_000
SCRAPES = 150
WARM_S = 15.0
LONGEST_START_S = 180.0
MOST_P99_S = 0.1
PLAIN_SCRAPES = 50
CURVE = (100, 1_000, 10_000)
CURVE_WARM_S = 12.0  # all links were echoed once
CURVE_S = 10.0  # as often as each is
STEEPEST = 1.15  # how much more each further target may cost among 10,000 than among 1,000
STALE_S = 45.0
ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"  # Prometheus 2.42's


@dataclass(frozen=True, slots=True)
class Scraped:
    """What scrapes took: seconds each, bytes on the wire and samples of the last; the daemon's processor a second."""

    took_s: tuple[float, ...]
    wire_bytes: int
    samples: int
    cpu_a_second: float

    def at(self, part: float) -> float:
        """Return the time within which this part of the scrapes was answered."""
        return sorted(self.took_s)[min(len(self.took_s) - 1, int(len(self.took_s) * part))]


@dataclass(frozen=True, slots=True)
class Point:
    """What a daemon with so many targets costs: its processor a second, and its resident bytes."""

    targets: int
    cpu_a_second: float
    rss: int


def inventory(vcenter_port: int | None, crossings: int = CROSSINGS) -> str:
    """Return the estate, with a vCenter where there is one; JSON is YAML."""
    names = [f"crossing-{number}" for number in range(crossings)]
    links = {
        name: {
            which: {
                "operator": operator,
                "far_end": f"127.{130 + side}.{place // 250}.{place % 250 + 1}",
                "probe": "icmp",
            }
            for side, (which, operator) in enumerate((("primary", "operator-a"), ("backup", "operator-b")))
        }
        for place, name in enumerate(names)
    }
    sla = {"availability_percent": 99.9, "rtt_ms": 40, "loss_percent": 0.5}
    vcenter = {"site": "main", "address": "127.0.0.1", "port": vcenter_port, "user": "karaula"}
    document = {
        "estate": {"name": "Bench", "timezone": "Europe/Skopje", "domain": "customs.example"},
        "trust": {"tls_ca": "bench.pem", "known_hosts": "known_hosts"},
        "sites": {site: {"name": site, "role": site} for site in ("main", "dr")},
        "vcenters": {"vc-main": vcenter | {"credential": "vcenter", "bubble_network": "VM Network"}}
        if vcenter_port
        else {},
        "operators": {name: {"name": name, "sla": sla} for name in ("operator-a", "operator-b")},
        "crossings": {name: {"name": name, "kind": "road"} for name in names},
        "links": links,
    }
    document |= {
        part: {} for part in ("hosts", "systems", "sensors", "dns_servers", "power_controllers", "database_kinds")
    }
    return json.dumps(document, indent=1)


def scrape(connection: http.client.HTTPConnection, encoding: str) -> tuple[float, bytes]:
    """Return how long one scrape took, and the body as it came."""
    began = time.perf_counter()
    connection.request("GET", "/metrics", headers={"Accept": ACCEPT, "Accept-Encoding": encoding})
    answer = connection.getresponse()
    body = answer.read()
    took = time.perf_counter() - began
    if answer.status != http.HTTPStatus.OK:
        sys.exit(f"bench: /metrics answered {answer.status}")
    return took, body


def scraped(port: int, pid: int, chance: random.Random, encoding: str = "gzip", scrapes: int = SCRAPES) -> Scraped:
    """Scrape again and again at moments of chance."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    scrape(connection, encoding)  # connects
    took, body = [], b""
    began, cpu = time.perf_counter(), cpu_s_of(pid)
    for _ in range(scrapes):
        time.sleep(chance.uniform(0.02, 0.2))
        seconds, body = scrape(connection, encoding)
        took.append(seconds)
    busy = (cpu_s_of(pid) - cpu) / (time.perf_counter() - began)
    connection.close()
    return Scraped(tuple(took), len(body), count(unpacked(body)), busy)


def unpacked(body: bytes) -> bytes:
    """Return the page as text."""
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


def count(page: bytes) -> int:
    """Return how many samples a page holds."""
    return sum(not line.startswith(b"#") for line in page.splitlines())


class Given(Collector):
    """Hands over what was parsed."""

    def __init__(self, families: tuple[Metric, ...]) -> None:
        """Take the families."""
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from self._families


def theirs(page: bytes) -> Cost:
    """Return what ``generate_latest`` takes for the samples of ``page``: the median of five."""
    registry = CollectorRegistry()
    registry.register(Given(tuple(text_string_to_metric_families(page.decode()))))  # type: ignore[no-untyped-call]  # prometheus_client does not type it
    costs = []
    for _ in range(5):
        began, cpu = time.perf_counter(), own_cpu_s()
        made = generate_latest(registry)
        costs.append(Cost(time.perf_counter() - began, own_cpu_s() - cpu))
        assert count(made) == count(page), "the two pages differ"
    return Cost(statistics.median(cost.wall_s for cost in costs), statistics.median(cost.cpu_s for cost in costs))


def settled(port: int) -> None:
    """Wait until the daemon shows more samples than are wanted, and then until it is warm."""
    deadline = time.monotonic() + LONGEST_START_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        samples = count(unpacked(scrape(connection, "gzip")[1]))
        connection.close()
        if samples > WANTED:
            break
        if time.monotonic() > deadline:
            sys.exit(f"bench: only {samples} samples after {LONGEST_START_S:g} s; see .karaula/bench/karaula.log")
        time.sleep(2)
    end = time.monotonic() + WARM_S
    while time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        scrape(connection, "gzip")
        connection.close()
        time.sleep(5)


def show(name: str, found: Scraped, beside: Cost) -> None:
    """Print a line."""
    p50, p99, worst = (found.at(part) * 1000 for part in (0.5, 0.99, 1.0))
    print(
        f"{name:34} {found.samples:8} {found.wire_bytes / 1e6:6.2f} MB {p50:8.1f} {p99:8.1f} {worst:8.1f} ms"
        f" {found.cpu_a_second * 100:6.0f} %   {found.at(0.99) / beside.wall_s:.2f}"
    )


@contextlib.contextmanager
def daemon(home: Path, estate: str) -> Iterator[tuple[int, int]]:
    """Run ``karaula serve`` on an inventory; its port and process id. A certificate and credentials are in ``home``."""
    (home / "inventory.yaml").write_text(estate)
    shutil.rmtree(home / "state", ignore_errors=True)
    port = free_port()
    command: list[str | Path] = [sys.executable, "-m", "console.main", "serve", "--inventory", home / "inventory.yaml"]
    command += ["--playbooks", ROOT / "playbooks", "--state", home / "state", "--credentials", home / "credentials"]
    with process(*command, "--listen", f"127.0.0.1:{port}", log="karaula.log") as running_daemon:
        wait_for_port(port, running_daemon, LONGEST_START_S)
        yield port, running_daemon.pid


def curve(home: Path) -> list[Point]:
    """Return what daemons cost that echo so many targets every ten seconds, each scraped once so that it prints."""
    points = []
    for targets in CURVE:
        with daemon(home, inventory(None, targets // 2)) as (port, pid):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            scrape(connection, "gzip")
            connection.close()
            time.sleep(CURVE_WARM_S)
            began, cpu = time.perf_counter(), cpu_s_of(pid)
            time.sleep(CURVE_S)
            points.append(Point(targets, (cpu_s_of(pid) - cpu) / (time.perf_counter() - began), rss_bytes(pid)))
    return points


def steepness(points: list[Point]) -> float:
    """Return how much more a further target costs in the last part of the curve than in the part before it."""
    slopes = [
        (after.cpu_a_second - before.cpu_a_second) / (after.targets - before.targets)
        for before, after in itertools.pairwise(points)
    ]
    return slopes[-1] / max(slopes[-2], 1e-9)


def show_curve(points: list[Point]) -> None:
    """Print the curve, and what a further target takes of memory."""
    print("\nechoed every 10 s, page printed     processor a second   a target        resident")
    for each in points:
        a_target = each.cpu_a_second / each.targets
        print(
            f"karaula, {each.targets:6} targets {each.cpu_a_second * 1000:25.1f} ms {a_target * 1e6:8.1f} us"
            f" {each.rss / 2**20:11.1f} MiB"
        )
    few, many = points[0], points[-1]
    memory = (many.rss - few.rss) / (many.targets - few.targets)
    print(f"a further target: {steepness(points):.2f} times the processor among the most, {memory / 1024:.1f} KiB")


def judge(found: dict[str, Scraped], points: list[Point]) -> int:
    """Say which bounds are not kept; return the exit code."""
    broken = [
        f"{name}: p99 {scrapes.at(0.99) * 1000:.1f} ms, more than {MOST_P99_S * 1000:g}"
        for name, scrapes in found.items()
        if scrapes.at(0.99) > MOST_P99_S
    ]
    broken += [f"{name}: {each.samples} samples" for name, each in found.items() if each.samples < WANTED]
    if steepness(points) > STEEPEST:
        broken.append(f"a further target costs {steepness(points):.2f} times as much among the most")
    for each in broken:
        print(f"NOT KEPT: {each}")
    return 1 if broken else 0


def main() -> int:
    """Run all of it; exit code 1 when a bound is not kept."""
    go = Path("/usr/bin/go")
    if not go.exists():
        print("bench: type: sudo apt-get install golang-go golang-github-vmware-govmomi-dev")
        return 1
    home = WORK / "scrape"
    shutil.rmtree(home, ignore_errors=True)
    credentials = home / "credentials"
    certificate_file, key_file = certificate(credentials)
    (credentials / "vcenter").write_text("secret")
    (credentials / "known_hosts").write_text("")
    chance = random.Random(1)  # noqa: S311 - the same moments each time
    binary = build(go, ROOT / ".karaula" / "vcsim")
    with (
        running(binary, certificate_file, key_file, "-machines", str(VMS // 2)) as simulator,
        daemon(home, inventory(simulator.port)) as (port, pid),
    ):
        settled(port)
        packed = scraped(port, pid, chance)
        plain = scraped(port, pid, chance, "identity", PLAIN_SCRAPES)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        page = unpacked(scrape(connection, "gzip")[1])
        connection.close()
        rss = rss_bytes(pid)
        simulator.freeze()
        stopped_at = time.monotonic()
        frozen = scraped(port, pid, chance)
        time.sleep(max(0.0, stopped_at + STALE_S - time.monotonic()))
        stale = scraped(port, pid, chance)
        simulator.thaw()
    points = curve(home)
    beside = theirs(page)
    found = {
        "karaula, gzip (as Prometheus asks)": packed,
        "karaula, vCenter just stopped": frozen,
        "karaula, vCenter stopped for long": stale,
    }
    print(machine())
    print(f"{SCRAPES} scrapes each; {CROSSINGS * 2} links echoed and {VMS} VMs polled every 10 s")
    print(f"{'':34} {'samples':>8} {'on wire':>9} {'p50':>8} {'p99':>8} {'worst':>8}    {'daemon':>8}   p99 / theirs")
    for name, scrapes in found.items():
        show(name, scrapes, beside)
    show(f"karaula, not packed ({PLAIN_SCRAPES} scrapes)", plain, beside)
    print(f"prometheus_client, generate_latest {count(page):8} {'':>9} {beside.wall_s * 1000:8.1f} ms, without HTTP")
    print(f"resident memory: {rss / 2**20:.1f} MiB, {rss / 1024 / (2 * CROSSINGS + VMS):.1f} KiB a link or VM")
    show_curve(points)
    return judge(found, points)


if __name__ == "__main__":
    sys.exit(main())
