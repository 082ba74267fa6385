"""What vCenters tell, as samples: of themselves, their VMs, ESXi hosts and datastores.

Values of what is not known are left out. A datastore that is nearly full is DOWN and is measured all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.metrics import catalog as m
from monitor.status.reachability import UP
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from monitor.inventory.model import Inventory
    from monitor.metrics.catalog import Metric
    from monitor.probe import Observation
    from monitor.status.state import Status

Sample = tuple["Metric", tuple[str, ...], float]

OF_A_VCENTER: Mapping[str, Metric] = {
    "vms": m.VCENTER_VMS,
    "hosts": m.VCENTER_HOSTS,
    "datastores": m.VCENTER_DATASTORES,
    "vms_with_snapshots": m.VCENTER_SNAPSHOT_VMS,
    "alarms": m.VCENTER_ALARMS,
    "alarms_acknowledged": m.VCENTER_ALARMS_ACKNOWLEDGED,
    "duration_seconds": m.VCENTER_POLL,
    "changed_objects": m.VCENTER_CHANGED,
    "performance_at": m.VCENTER_PERFORMANCE,
}
OF_A_VM: Mapping[str, Metric] = {
    "powered_on": m.VM_POWER,
    "snapshots": m.VM_SNAPSHOTS,
    "snapshot_oldest_at": m.VM_SNAPSHOT_OLDEST,
    "snapshot_bytes": m.VM_SNAPSHOT_BYTES,
    "cpu_usage": m.VM_CPU_USAGE,
    "cpu_ready": m.VM_CPU_READY,
    "memory_usage": m.VM_MEMORY_USAGE,
    "memory_swapped": m.VM_MEMORY_SWAPPED,
    "memory_ballooned": m.VM_MEMORY_BALLOONED,
    "disk_read": m.VM_DISK_READ,
    "disk_write": m.VM_DISK_WRITE,
    "disk_latency": m.VM_DISK_LATENCY,
    "network_received": m.VM_NETWORK_RECEIVED,
    "network_transmitted": m.VM_NETWORK_TRANSMITTED,
}
OF_A_DATASTORE: Mapping[str, Metric] = {
    "capacity_bytes": m.DATASTORE_CAPACITY,
    "free_bytes": m.DATASTORE_FREE,
    "measured_at": m.DATASTORE_MEASURED,
}
KINDS: Mapping[str, tuple[Metric, Mapping[str, Metric]]] = {  # whether it is up, and what is measured of it
    "vm": (m.VM_UP, OF_A_VM),
    "esx": (m.ESX_UP, {"maintenance": m.ESX_MAINTENANCE}),
}


def samples(inventory: Inventory, statuses: Mapping[str, Status], good: Mapping[str, Observation]) -> Iterator[Sample]:
    """Yield metric, label values and value; ``good`` holds the newest answered observations."""
    sites = {key: vcenter.site for key, vcenter in inventory.vcenters.items()}
    for key, site in sites.items():
        status = statuses[f"vcenter/{key}"]
        yield from _thing((key, site), status, good, m.VCENTER_UP, OF_A_VCENTER)
    for subject, status in statuses.items():
        kind, _, rest = subject.partition("/")
        vcenter, _, name = rest.partition("/")
        labels = (vcenter, name, sites.get(vcenter, ""))
        if kind in KINDS:
            yield from _thing(labels, status, good, *KINDS[kind])
        elif kind == "datastore" and status.health is not Health.UNKNOWN:
            measured = status.health in UP or bool(status.detail)
            yield m.DATASTORE_ACCESSIBLE, labels, 1.0 if measured else 0.0
            if measured:
                yield from _values(labels, good.get(subject), OF_A_DATASTORE)


def _thing(
    labels: tuple[str, ...],
    status: Status,
    good: Mapping[str, Observation],
    up: Metric,
    measured: Mapping[str, Metric],
) -> Iterator[Sample]:
    if status.health is Health.UNKNOWN:
        return
    yield up, labels, 1.0 if status.health in UP else 0.0
    if status.health in UP:
        yield from _values(labels, good.get(status.subject), measured)


def _values(
    labels: tuple[str, ...], observation: Observation | None, measured: Mapping[str, Metric]
) -> Iterator[Sample]:
    if observation is None:
        return
    for name, value in observation.values.items():
        metric = measured.get(name)
        if metric is not None:
            yield metric, labels, value
