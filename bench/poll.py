"""Poll 1,000 and 5,000 VMs of a vCenter simulator with six counters each, beside vmware_exporter with the same six.

The simulator is govmomi's, of Debian's packages (tests/real/vcsim); its own time is in every wall figure and in no
processor figure. vmware_exporter 0.18.4 reads 24 counters and cannot be told otherwise; so it also runs from an
environment of its own in which that list is cut to our six. It reads everything anew at each scrape.
The bench fails when a full poll takes more than a quarter of the processor time of the exporter's cheapest scrape, or
an idle poll more than 5 ms. An idle poll is the question and its answer; telling its observations has its own row.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure import (
    WORK,
    Cost,
    Watch,
    certificate,
    fetch,
    free_port,
    machine,
    mean,
    median,
    peer,
    process,
    rss_bytes,
    table,
    wait_for_port,
)
from deploy.environment import ROOT
from monitor.clients.vsphere import Surveys, VcenterSession, VcenterSnapshot
from monitor.clients.vsphere_survey import COUNTERS
from monitor.clock import RealClock
from monitor.credential import Secret
from monitor.probes.vsphere_things import Teller, VsphereParams
from tests.real.vcsim.build import Simulator, build, running

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = (1000, 5000)
SIX = (
    "cpu-usage",
    "cpu-ready",
    "memory-usage",
    "disk-read",
    "disk-write",
    "network-received",
)  # the simulator has values of
# With what it needs and does not declare: requests, and a Twisted before Deferred.callbacks became a property.
EXPORTER = ("vmware_exporter==0.18.4", "requests", "twisted<23")
STEADY_POLLS = 20
CHANGES = 10
SCRAPES = 3
DEAREST = 0.25  # of the exporter's processor time, for a full poll
MOST_IDLE_S = 0.005  # of processor
VMS_ONLY = ("HOSTS", "DATASTORES", "VMGUESTS", "SNAPSHOTS")


@contextlib.contextmanager
def vcenter(vms: int) -> Iterator[tuple[Simulator, Path]]:
    """Run the simulator with so many VMs; yield it and the file of its certificate."""
    go = Path("/usr/bin/go")
    if not go.exists():
        sys.exit("bench: type: sudo apt-get install golang-go golang-github-vmware-govmomi-dev")
    binary = build(go, ROOT / ".karaula" / "vcsim")
    certificate_file, key_file = certificate(WORK / "tls")
    with running(binary, certificate_file, key_file, "-machines", str(vms // 2)) as simulator:
        yield simulator, certificate_file


def entered(simulator: Simulator, ca_file: Path) -> VcenterSession:
    """Return a session that surveys six counters; it is to be closed."""
    user, password = "karaula", Secret("secret")
    surveys, clock = Surveys(3600, SIX), RealClock()
    return VcenterSession(
        simulator.address, simulator.port, user, password, ca_file, deadline_s=120, clock=clock, surveys=surveys
    )


async def karaula(simulator: Simulator, ca_file: Path, vms: int) -> list[tuple[str, Cost]]:
    """Measure our client: a full poll with counters, polls without a change, polls after one change."""
    before = rss_bytes()
    session = entered(simulator, ca_file)
    try:
        with Watch() as first:
            snapshot = await in_full(session)
        assert len(snapshot.vms) == vms, f"{len(snapshot.vms)} VMs instead of {vms}"
        assert session.survey is not None, session.survey_error
        values = sum(len(measures) for measures in session.survey.measures.values())
        assert values == len(SIX) * vms, f"{values} values of counters"
        each_bytes = (rss_bytes() - before) / vms
        anew = []
        for _ in range(SCRAPES):
            with Watch() as again:
                await in_full(session)
            anew.append(again.cost)
        with Watch() as steady:
            for _ in range(STEADY_POLLS):
                snapshot = await session.refresh()
        teller = Teller(VsphereParams("vc", simulator.address, simulator.port, "karaula", "x"), "vsphere")
        observations = list(teller.tell(snapshot, session.survey, ""))
        with Watch() as telling:
            for _ in range(STEADY_POLLS):
                observations = list(teller.tell(snapshot, session.survey, ""))
        assert len(observations) > vms
        rows = [
            (f"karaula, full poll, six counters (median of {SCRAPES})", median(anew)),
            ("karaula, its very first, with imports", first.cost),
            (f"karaula, idle poll (mean of {STEADY_POLLS})", steady.cost.shared(STEADY_POLLS)),
            (f"its {len(observations)} observations (mean of {STEADY_POLLS})", telling.cost.shared(STEADY_POLLS)),
        ]
        if vms == SIZES[0]:  # beyond that a change costs the simulator seconds
            rows.append((f"karaula, after one change (mean of {CHANGES})", await changing(session)))
    finally:
        await session.close()
    print(f"{vms} VMs: {each_bytes / 1024:.1f} KiB of resident memory a VM for karaula, after its full poll")
    return rows


async def in_full(session: VcenterSession) -> VcenterSnapshot:
    """Log in twice, read the whole inventory and six counters of every VM."""
    session._collector._keeper.drop()  # noqa: SLF001 - what any trouble does
    session._surveyor._keeper.drop()  # noqa: SLF001 - likewise
    session._survey_due = 0.0  # noqa: SLF001 - as if the interval had passed
    snapshot = await session.refresh()
    assert snapshot.full
    assert session._surveying is not None  # noqa: SLF001 - nobody else waits for a survey
    await session._surveying  # noqa: SLF001 - likewise
    return snapshot


async def changing(session: VcenterSession) -> Cost:
    """Measure polls that bring the news of one VM."""
    costs = []
    name = next(iter((await session.refresh()).vms.values())).name
    for number in range(CHANGES):
        await session.power(name, on=bool(number % 2), timeout_s=30)
        with Watch() as change:
            await session.refresh()
        costs.append(change.cost)
    return mean(costs)


def six_counters(environment: Path) -> Path:
    """Cut the exporter's list of counters of VMs to ours; return its ``bin``."""
    (module,) = environment.parent.glob("lib/python*/site-packages/vmware_exporter/vmware_exporter.py")
    names = [f"'{one.group}.{one.name}.{one.rollup}'" for one in (COUNTERS[name] for name in SIX)]
    head, marker, rest = module.read_text().partition("def _vmware_get_vm_perf_manager_metrics")
    cut, found = re.subn(r"perf_list = \[.*?\]", f"perf_list = [{', '.join(names)}]", rest, count=1, flags=re.DOTALL)
    assert found == 1, "vmware_exporter has changed"
    module.write_text(head + marker + cut)
    return environment


def exporter(simulator: Simulator, home: Path, what: str, switched_off: tuple[str, ...], vms: int) -> tuple[str, Cost]:
    """Measure scrapes of vmware_exporter; the first is not counted."""
    port = free_port()
    settings = {
        "VSPHERE_HOST": f"{simulator.address}:{simulator.port}",
        "VSPHERE_USER": "karaula",
        "VSPHERE_PASSWORD": "secret",
        "VSPHERE_IGNORE_SSL": "True",
    } | {f"VSPHERE_COLLECT_{name}": "False" for name in switched_off}
    with process(home / "vmware_exporter", "--port", str(port), log="vmware_exporter.log", env=settings) as server:
        wait_for_port(port, server)
        before = rss_bytes(server.pid)
        costs = []
        for _ in range(SCRAPES + 1):
            with Watch(server.pid) as scrape:
                body = fetch(port, "/metrics")
            costs.append(scrape.cost)
        each_kib = (rss_bytes(server.pid) - before) / vms / 1024
        machines, ready = body.count(b"vmware_vm_power_state{"), body.count(b"vmware_vm_cpu_ready_summation{")
        assert machines == ready == vms, f"vmware_exporter shows {machines} VMs, {ready} with counters"
    print(f"{vms} VMs: {each_kib:.1f} KiB of resident memory a VM for vmware_exporter, {what}")
    return f"vmware_exporter, {what} (median of {SCRAPES})", median(costs[1:])


def judge(vms: int, rows: list[tuple[str, Cost]]) -> list[str]:
    """Return which bounds are not kept by ``rows``: ours in the order of ``karaula``, then the exporter's."""
    full, idle = rows[0][1], rows[2][1]
    scrape = min((cost for name, cost in rows if name.startswith("vmware_exporter")), key=lambda cost: cost.cpu_s)
    print(
        f"a full poll takes {full.cpu_s / scrape.cpu_s:.2f} of the exporter's processor time, of {DEAREST} that it may"
    )
    broken = []
    if full.cpu_s > DEAREST * scrape.cpu_s:
        broken.append(f"{vms} VMs: a full poll takes {full.cpu_s / scrape.cpu_s:.2f} of the exporter's processor time")
    if idle.cpu_s > MOST_IDLE_S:
        broken.append(f"{vms} VMs: an idle poll takes {1000 * idle.cpu_s:.1f} ms of processor")
    return broken


def main() -> int:
    """Run all of it; exit code 1 when a bound is not kept."""
    as_it_comes, same_six = peer("vmware_exporter", *EXPORTER), peer("vmware_exporter-six", *EXPORTER)
    same_six = six_counters(same_six)
    print(machine())
    broken = []
    for vms in SIZES:
        with vcenter(vms) as (simulator, certificate_file):
            rows = asyncio.run(karaula(simulator, certificate_file, vms))
            rows.append(exporter(simulator, same_six, "six counters, VMs only", VMS_ONLY, vms))
            rows.append(exporter(simulator, same_six, "six counters, all else", (), vms))
            if vms == SIZES[0]:
                rows.append(exporter(simulator, as_it_comes, "as it comes", (), vms))
        table(f"{vms} VMs, one vCenter; times: wall / processor beside a full poll of karaula", rows, beside=0)
        broken += judge(vms, rows)
    for each in broken:
        print(f"NOT KEPT: {each}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
