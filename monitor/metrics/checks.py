"""What the inventory's further checks measured, as samples.

A measurement is shown while it is what the check's state rests on: also when it is over its limit, no longer once the
check fails or is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.inventory.checks import site_of
from monitor.inventory.checks_hosts import HostCheck
from monitor.inventory.checks_services import NtpCheck, PostgresqlCheck
from monitor.metrics import catalog as m
from monitor.status.checks import SETTLED
from monitor.status.state import Health

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from monitor.inventory.model import Inventory
    from monitor.metrics.catalog import Metric
    from monitor.probe import Observation
    from monitor.status.state import Status

Sample = tuple["Metric", tuple[str, ...], float]

OF_HOSTS: Mapping[str, Metric] = {
    "disk_free_bytes": m.DISK_FREE,
    "disk_size_bytes": m.DISK_SIZE,
    "disk_free_ratio": m.DISK_FREE_RATIO,
    "inodes_free_ratio": m.INODES_FREE_RATIO,
    "not_after_seconds": m.CERTIFICATE_NOT_AFTER,
    "clock_offset_seconds": m.CLOCK_OFFSET,
    "clock_uncertainty_seconds": m.CLOCK_UNCERTAINTY,
    "lag_seconds": m.HOST_LAG,
}
OF_POSTGRESQL: Mapping[str, Metric] = {
    "lag_seconds": m.POSTGRESQL_LAG,
    "lag_bytes": m.POSTGRESQL_BEHIND,
    "standbys": m.POSTGRESQL_STANDBYS,
    "sync_standbys": m.POSTGRESQL_SYNC,
    "retained_bytes": m.POSTGRESQL_RETAINED,
}
OF_NTP: Mapping[str, Metric] = {
    "ntp_offset_seconds": m.NTP_OFFSET,
    "ntp_delay_seconds": m.NTP_DELAY,
    "ntp_root_distance_seconds": m.NTP_DISTANCE,
    "stratum": m.NTP_STRATUM,
}


def samples(inventory: Inventory, statuses: Mapping[str, Status], good: Mapping[str, Observation]) -> Iterator[Sample]:
    """Yield metric, label values and value of every measurement; ``good`` holds the newest answered observations."""
    for key, check in inventory.checks.items():
        subject = f"check/{key}"
        observation = _resting_on(statuses.get(subject), good.get(subject))
        if observation is None:
            continue
        site = site_of(check, inventory.hosts)
        if "duration_seconds" in observation.values:
            yield m.CHECK_RESPONSE, (key, site), observation.values["duration_seconds"]
        if isinstance(check, HostCheck):
            yield from _of_host((key, check.host, site), observation)
        if isinstance(check, NtpCheck):
            yield from _measured(OF_NTP, (key, site), observation)
        if isinstance(check, PostgresqlCheck):
            yield m.POSTGRESQL_PRIMARY, (key, site), 1.0 if observation.facts.get("role") == "primary" else 0.0
            yield from _measured(OF_POSTGRESQL, (key, site), observation)


def _resting_on(status: Status | None, observation: Observation | None) -> Observation | None:
    """Return ``observation`` if the status rests on it and on nothing newer."""
    if status is None or observation is None or status.health is Health.UNKNOWN or status.seen_at is None:
        return None
    return observation if observation.at >= status.seen_at else None


def _of_host(labels: tuple[str, ...], observation: Observation) -> Iterator[Sample]:
    yield from _measured(OF_HOSTS, labels, observation)
    if "active" in observation.facts:
        yield m.UNIT_ACTIVE, labels, 1.0 if observation.facts["active"] in SETTLED else 0.0


def _measured(metrics: Mapping[str, Metric], labels: tuple[str, ...], observation: Observation) -> Iterator[Sample]:
    for name, metric in metrics.items():
        if name in observation.values:
            yield metric, labels, observation.values[name]
