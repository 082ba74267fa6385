"""Poll 1,000 VMs of a vCenter simulator: first, steady, with one change; beside vmware_exporter.

The simulator is govmomi's, of Debian's packages (tests/real/vcsim); its own time is in every wall figure and in no
processor figure. What the two collect is not the same: Karaula eleven properties a VM, by increments; vmware_exporter
0.18.4, as it comes, also performance counters, and everything anew at each scrape. So it is also measured with all of
its collectors but VMs switched off.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

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
    table,
    wait_for_port,
)
from deploy.environment import ROOT
from monitor.clients.vsphere import VcenterSession
from monitor.clock import RealClock
from monitor.credential import Secret
from tests.real.vcsim.build import Simulator, build, running

VMS = 1000
# With what it needs and does not declare: requests, and a Twisted before Deferred.callbacks became a property.
EXPORTER = ("vmware_exporter==0.18.4", "requests", "twisted<23")
STEADY_POLLS = 50
CHANGES = 10
SCRAPES = 3


async def karaula(simulator: Simulator, ca_file: Path) -> list[tuple[str, Cost]]:
    """Measure our client: a first poll, polls without a change, polls after one change."""
    session = VcenterSession(
        simulator.address, simulator.port, "karaula", Secret("secret"), ca_file, deadline_s=60, clock=RealClock()
    )
    try:
        with Watch() as first:
            snapshot = await session.refresh()
        assert len(snapshot.vms) == VMS, f"{len(snapshot.vms)} VMs instead of {VMS}"
        with Watch() as steady:
            for _ in range(STEADY_POLLS):
                await session.refresh()
        changing = []
        name = next(iter(snapshot.vms.values())).name
        for number in range(CHANGES):
            await session.power(name, on=bool(number % 2), timeout_s=30)
            with Watch() as change:
                snapshot = await session.refresh()
            changing.append(change.cost)
    finally:
        await session.close()
    each = Cost(steady.cost.wall_s / STEADY_POLLS, steady.cost.cpu_s / STEADY_POLLS)
    return [
        ("karaula, first poll", first.cost),
        (f"karaula, steady (mean of {STEADY_POLLS})", each),
        (f"karaula, after one change (mean of {CHANGES})", mean(changing)),
    ]


def exporter(simulator: Simulator, what: str, switched_off: tuple[str, ...]) -> tuple[str, Cost]:
    """Measure scrapes of vmware_exporter; the first is not counted."""
    bin_folder = peer("vmware_exporter", *EXPORTER)
    port = free_port()
    settings = {
        "VSPHERE_HOST": f"{simulator.address}:{simulator.port}",
        "VSPHERE_USER": "karaula",
        "VSPHERE_PASSWORD": "secret",
        "VSPHERE_IGNORE_SSL": "True",
    } | {f"VSPHERE_COLLECT_{name}": "False" for name in switched_off}
    with process(
        bin_folder / "vmware_exporter", "--port", str(port), log="vmware_exporter.log", env=settings
    ) as server:
        wait_for_port(port, server)
        costs = []
        for _ in range(SCRAPES + 1):
            with Watch(server.pid) as scrape:
                body = fetch(port, "/metrics")
            costs.append(scrape.cost)
        machines = body.count(b"vmware_vm_power_state{")
        assert machines == VMS, f"vmware_exporter shows {machines} VMs"
    return f"vmware_exporter, {what} (median of {SCRAPES})", median(costs[1:])


def main() -> int:
    """Run all of it."""
    go = Path("/usr/bin/go")
    if not go.exists():
        print("bench: type: sudo apt-get install golang-go golang-github-vmware-govmomi-dev")
        return 1
    binary = build(go, ROOT / ".karaula" / "vcsim")
    certificate_file, key_file = certificate(WORK / "tls")
    print(machine())
    with running(binary, certificate_file, key_file, "-machines", str(VMS // 2)) as simulator:
        rows = asyncio.run(karaula(simulator, certificate_file))
        rows.append(exporter(simulator, "as it comes", ()))
        rows.append(exporter(simulator, "VMs only", ("HOSTS", "DATASTORES", "VMGUESTS", "SNAPSHOTS")))
    table(f"{VMS} VMs, one vCenter; times: wall / processor beside a steady poll", rows, beside=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
