"""Scrape a running daemon that watches a large estate, over HTTP as Prometheus does; also while a vCenter stands still.

``karaula serve`` runs as a process on an inventory made here: 2,000 crossings whose 4,000 links are echoed on loopback
every ten seconds, and a vCenter simulator with 1,000 VMs: more than 100,000 samples, also when those of the VMs have
gone because their vCenter was stopped (SIGSTOP). Every scrape is taken at a moment of chance. Beside it, in the same
run, prometheus_client's ``generate_latest`` on the samples of the same page.
"""

from __future__ import annotations

import gzip
import http.client
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

from bench.measure import WORK, Cost, certificate, cpu_s_of, free_port, machine, own_cpu_s, process, wait_for_port
from deploy.environment import ROOT
from tests.real.vcsim.build import build, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

CROSSINGS = 2_000
VMS = 1_000
WANTED = 100_000
SCRAPES = 150
WARM_S = 45.0
LONGEST_START_S = 180.0
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


def inventory(vcenter_port: int) -> str:
    """Return the estate; JSON is YAML."""
    names = [f"crossing-{number}" for number in range(CROSSINGS)]
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
        "vcenters": {"vc-main": vcenter | {"credential": "vcenter", "bubble_network": "VM Network"}},
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


def scraped(port: int, pid: int, chance: random.Random, encoding: str = "gzip") -> Scraped:
    """Scrape again and again at moments of chance."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    scrape(connection, encoding)  # connects
    took, body = [], b""
    began, cpu = time.perf_counter(), cpu_s_of(pid)
    for _ in range(SCRAPES):
        time.sleep(chance.uniform(0.02, 0.3))
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
    registry.register(Given(tuple(text_string_to_metric_families(page.decode()))))
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


def main() -> int:
    """Run all of it."""
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
    port = free_port()
    with running(binary, certificate_file, key_file, "-machines", str(VMS // 2)) as simulator:
        (home / "inventory.yaml").write_text(inventory(simulator.port))
        command = [sys.executable, "-m", "console.main", "serve", "--inventory", home / "inventory.yaml"]
        command += ["--playbooks", ROOT / "playbooks", "--state", home / "state", "--credentials", credentials]
        with process(*command, "--listen", f"127.0.0.1:{port}", log="karaula.log") as daemon:
            wait_for_port(port, daemon, LONGEST_START_S)
            settled(port)
            packed = scraped(port, daemon.pid, chance)
            plain = scraped(port, daemon.pid, chance, "identity")
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            page = unpacked(scrape(connection, "gzip")[1])
            connection.close()
            simulator.freeze()
            frozen = scraped(port, daemon.pid, chance)
            time.sleep(max(0.0, STALE_S - sum(frozen.took_s)))
            stale = scraped(port, daemon.pid, chance)
            simulator.thaw()
    beside = theirs(page)
    print(machine())
    print(f"{SCRAPES} scrapes each; {CROSSINGS * 2} links echoed and {VMS} VMs polled every 10 s")
    head = f"{'':34} {'samples':>8} {'on wire':>9} {'p50':>8} {'p99':>8} {'worst':>8}    {'daemon':>8}   p99 / theirs"
    print(head)
    show("karaula, gzip (as Prometheus asks)", packed, beside)
    show("karaula, not packed", plain, beside)
    show("karaula, vCenter just stopped", frozen, beside)
    show("karaula, vCenter stopped for long", stale, beside)
    print(f"prometheus_client, generate_latest {count(page):8} {'':>9} {beside.wall_s * 1000:8.1f} ms, without HTTP")
    return 0


if __name__ == "__main__":
    sys.exit(main())
