"""Every metric's name, once, and what it means; ``docs/metrics.md`` is written from this.

Names begin with ``karaula_`` and end in their base unit; counters end in ``_total``. Labels are keys of the inventory
or words of closed lists, never free text. A value that is not known is left out, not zero.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

NAME = re.compile(r"karaula_[a-z][a-z0-9_]*[a-z0-9]")
# Prometheus, its exporters and Grafana's usual variables use these for themselves
LABELS_TO_AVOID = frozenset({"type", "dc", "zone", "service", "env", "instance", "job", "le", "quantile"})


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``unit`` is the last word of the name (before ``_total``), empty where there is none."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    unit: str
    labels: tuple[str, ...]
    help: str

    def __post_init__(self) -> None:
        """Raise ValueError for a name, label or text that breaks the rules above."""
        stem = self.name.removesuffix("_total")
        if not NAME.fullmatch(self.name) or (self.kind == "counter") != self.name.endswith("_total"):
            raise ValueError(f"{self.name}: not a good name for a {self.kind}")
        if self.unit and not stem.endswith(f"_{self.unit}"):
            raise ValueError(f"{self.name}: does not end in its unit '{self.unit}'")
        if bad := LABELS_TO_AVOID.intersection(self.labels):
            raise ValueError(f"{self.name}: label {sorted(bad)} is used by others")
        if set(self.help) & set('\\\n"') or not self.help:
            raise ValueError(f"{self.name}: the help text must be one plain line")


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with its samples: label values in the order of ``metric.labels``, and the value.

    A histogram's label values end in one word more: a bucket's upper bound as it is written (``0.005``, ``+Inf``),
    ``count`` or ``sum``.
    """

    metric: Metric
    samples: tuple[tuple[tuple[str, ...], float], ...]


def _gauge(name: str, unit: str, labels: str, text: str) -> Metric:
    return Metric(name, "gauge", unit, tuple(labels.split()), text)


def _counter(name: str, unit: str, labels: str, text: str) -> Metric:
    return Metric(name, "counter", unit, tuple(labels.split()), text)


def _histogram(name: str, unit: str, labels: str, text: str) -> Metric:
    return Metric(name, "histogram", unit, tuple(labels.split()), text)


# -- every subject
SUBJECT_STATUS = _gauge(
    "karaula_subject_status", "", "subject state", "1 for the state that the subject is in: ok, degraded, down, unknown"
)
SUBJECT_SEEN = _gauge(
    "karaula_subject_seen_timestamp_seconds", "seconds", "subject", "When the subject's state was last confirmed"
)
SUBJECT_SUCCESS = _gauge(
    "karaula_subject_last_success_timestamp_seconds", "seconds", "subject", "When the subject last answered with OK"
)
TARGET_SKIPPED = _counter(
    "karaula_target_skipped_total",
    "",
    "subject source",
    "Asks of this target not made because its previous one still ran; there from the first on",
)

# -- key systems
SYSTEM_STATE = _gauge(
    "karaula_system_state",
    "",
    "system state",
    "1 for the system's state: ok, degraded, down, split-brain, unknown",
)
SYSTEM_UP = _gauge("karaula_system_up", "", "system site", "1 if the system's front end works at the site, else 0")
SYSTEM_ACTIVE = _gauge(
    "karaula_system_active", "", "system site", "1 if the system is active at the site, 0 if it stands by or is down"
)
SYSTEM_RESPONSE = _gauge(
    "karaula_system_response_seconds", "seconds", "system site", "How long the front's health page took to answer"
)
SYSTEM_RTO = _gauge("karaula_system_rto_objective_seconds", "seconds", "system", "Recovery time objective")
SYSTEM_RPO = _gauge("karaula_system_rpo_objective_seconds", "seconds", "system", "Recovery point objective")
DATABASE_UP = _gauge("karaula_database_up", "", "system site", "1 if the database answers and runs, else 0")
DATABASE_PRIMARY = _gauge("karaula_database_primary", "", "system site", "1 if the database is primary, 0 if standby")
DATABASE_POSITION = _gauge("karaula_database_position", "", "system site", "Replication position, in records")
DATABASE_EPOCH = _gauge("karaula_database_epoch", "", "system site", "Epoch (fencing token) that the database follows")
DATABASE_NEWEST = _gauge(
    "karaula_database_newest_record_timestamp_seconds", "seconds", "system site", "When the newest record was received"
)
DATABASE_LAG = _gauge(
    "karaula_database_replication_lag_seconds",
    "seconds",
    "system",
    "How much older the standby's newest record is than the primary's",
)

# -- border crossings
CROSSING_STATE = _gauge(
    "karaula_crossing_state",
    "",
    "crossing state",
    "1 for the state of the crossing: primary, on-backup, redundancy-lost, degraded, flapping, cut-off, unknown",
)
LINK_UP = _gauge("karaula_link_up", "", "crossing link operator", "1 if the link carries traffic, else 0")
LINK_RTT = _gauge("karaula_link_rtt_seconds", "seconds", "crossing link operator", "Mean round trip to the far end")
LINK_JITTER = _gauge("karaula_link_jitter_seconds", "seconds", "crossing link operator", "Variation of the round trip")
LINK_LOSS = _gauge("karaula_link_loss_ratio", "ratio", "crossing link operator", "Part of the probes that was lost")
LINK_TTL = _gauge(
    "karaula_link_reply_ttl", "", "crossing link operator", "TTL of the replies: another one, another way"
)
LINK_ONE_WAY = _gauge(
    "karaula_link_one_way_seconds",
    "seconds",
    "crossing link operator way",
    "Smallest time forward (there) or backward; only where the far end has a synchronized clock",
)
LINK_RTTS = _histogram(
    "karaula_link_round_trip_seconds", "seconds", "crossing link operator", "Every round trip to the far end"
)
LINK_PROBES = _counter("karaula_link_probes_total", "", "crossing link operator", "Probes sent to the far end")
LINK_REPLIES = _counter("karaula_link_replies_total", "", "crossing link operator", "Replies that came in time")
LINK_LATE = _counter(
    "karaula_link_late_replies_total", "", "crossing link operator", "Replies that came after their deadline: not lost"
)
LINK_DUPLICATES = _counter("karaula_link_duplicates_total", "", "crossing link operator", "Replies that came twice")
LINK_GARBLED = _counter("karaula_link_garbled_total", "", "crossing link operator", "Replies that were no replies")
LINK_JUDGED = _counter(
    "karaula_link_judged_probes_total", "", "crossing link operator", "Probes of which it is known where they were lost"
)
LINK_LOST = _counter(
    "karaula_link_lost_probes_total", "", "crossing link operator way", "Judged probes lost forward (there) or backward"
)
LINK_PATH_CHANGES = _counter(
    "karaula_link_path_changes_total",
    "",
    "crossing link operator",
    "How often the replies' TTL changed: another way",
)
CROSSING_TRAFFIC = _gauge(
    "karaula_crossing_traffic",
    "",
    "crossing link evidence",
    "1 if the link carries the crossing's traffic, else 0; by the router, or (weak evidence) by the path",
)
CROSSING_RTT = _gauge(
    "karaula_crossing_rtt_seconds", "seconds", "crossing", "Mean round trip to the far end of the link in use"
)
CROSSING_LOSS = _gauge(
    "karaula_crossing_loss_ratio", "ratio", "crossing", "Part of the probes lost on the link in use; 1 when cut off"
)
ROUTER_UP = _gauge("karaula_router_up", "", "crossing", "1 if the crossing's router answers, else 0")
LINK_SLA_RTT = _gauge("karaula_link_sla_rtt_seconds", "seconds", "crossing link operator", "Agreed round trip")
LINK_SLA_LOSS = _gauge("karaula_link_sla_loss_ratio", "ratio", "crossing link operator", "Agreed loss")
LINK_SLA_AVAILABILITY = _gauge(
    "karaula_link_sla_availability_ratio", "ratio", "crossing link operator", "Agreed availability in a calendar month"
)

# -- data centres
SITE_STATE = _gauge("karaula_site_state", "", "site state", "1 for the state of the site: ok, degraded, down, unknown")
VCENTER_UP = _gauge("karaula_vcenter_up", "", "vcenter site", "1 if the vCenter answers, else 0")
VCENTER_VMS = _gauge("karaula_vcenter_vms", "", "vcenter site", "VMs in the vCenter's inventory")
VCENTER_HOSTS = _gauge("karaula_vcenter_hosts", "", "vcenter site", "ESXi hosts in the vCenter's inventory")
VM_UP = _gauge("karaula_vm_up", "", "vcenter vm site", "1 if the VM is as it should be, else 0")
VM_POWER = _gauge("karaula_vm_power_on", "", "vcenter vm site", "1 if the VM is powered on, else 0")
VM_SNAPSHOTS = _gauge("karaula_vm_snapshots", "", "vcenter vm site", "Snapshots of the VM")
VM_SNAPSHOT_OLDEST = _gauge(
    "karaula_vm_snapshot_oldest_timestamp_seconds", "seconds", "vcenter vm site", "When its oldest snapshot was taken"
)
VM_SNAPSHOT_BYTES = _gauge("karaula_vm_snapshot_bytes", "bytes", "vcenter vm site", "What the VM's snapshots take")
VM_CPU_USAGE = _gauge("karaula_vm_cpu_usage_ratio", "ratio", "vcenter vm site", "Processor in use, 1 is all it has")
VM_CPU_READY = _gauge(
    "karaula_vm_cpu_ready_ratio", "ratio", "vcenter vm site", "Virtual processors that waited for a real one, 1 is one"
)
VM_MEMORY_USAGE = _gauge("karaula_vm_memory_usage_ratio", "ratio", "vcenter vm site", "Memory in use, 1 is all it has")
VM_MEMORY_SWAPPED = _gauge("karaula_vm_memory_swapped_bytes", "bytes", "vcenter vm site", "Memory swapped by the host")
VM_MEMORY_BALLOONED = _gauge(
    "karaula_vm_memory_ballooned_bytes", "bytes", "vcenter vm site", "Memory that the host took back by the balloon"
)
VM_DISK_READ = _gauge("karaula_vm_disk_read_bytes_per_second", "", "vcenter vm site", "Read from its disks")
VM_DISK_WRITE = _gauge("karaula_vm_disk_write_bytes_per_second", "", "vcenter vm site", "Written to its disks")
VM_DISK_LATENCY = _gauge(
    "karaula_vm_disk_latency_seconds", "seconds", "vcenter vm site", "Longest latency of any of its disks"
)
VM_NETWORK_RECEIVED = _gauge(
    "karaula_vm_network_received_bytes_per_second", "", "vcenter vm site", "Received by its network cards"
)
VM_NETWORK_TRANSMITTED = _gauge(
    "karaula_vm_network_transmitted_bytes_per_second", "", "vcenter vm site", "Sent by its network cards"
)
VCENTER_SNAPSHOT_VMS = _gauge("karaula_vcenter_vms_with_snapshots", "", "vcenter site", "VMs that have snapshots")
VCENTER_DATASTORES = _gauge("karaula_vcenter_datastores", "", "vcenter site", "Datastores in the vCenter's inventory")
VCENTER_ALARMS = _gauge("karaula_vcenter_alarms", "", "vcenter site", "Alarms of the vCenter's own that are not green")
VCENTER_ALARMS_ACKNOWLEDGED = _gauge(
    "karaula_vcenter_alarms_acknowledged", "", "vcenter site", "Those of them that somebody has acknowledged there"
)
VCENTER_POLL = _gauge("karaula_vcenter_poll_seconds", "seconds", "vcenter site", "How long the newest poll took")
VCENTER_CHANGED = _gauge(
    "karaula_vcenter_changed_objects", "", "vcenter site", "Objects that the newest poll brought news of"
)
VCENTER_PERFORMANCE = _gauge(
    "karaula_vcenter_performance_timestamp_seconds", "seconds", "vcenter site", "When counters of VMs were last read"
)
ESX_UP = _gauge("karaula_esx_up", "", "vcenter esx site", "1 if the ESXi host answers its vCenter, else 0")
ESX_MAINTENANCE = _gauge("karaula_esx_maintenance", "", "vcenter esx site", "1 while the host is in maintenance mode")
DATASTORE_ACCESSIBLE = _gauge(
    "karaula_datastore_accessible", "", "vcenter datastore site", "1 if hosts can reach the datastore, else 0"
)
DATASTORE_CAPACITY = _gauge(
    "karaula_datastore_capacity_bytes", "bytes", "vcenter datastore site", "Size of the datastore"
)
DATASTORE_FREE = _gauge("karaula_datastore_free_bytes", "bytes", "vcenter datastore site", "What is free of it")
DATASTORE_MEASURED = _gauge(
    "karaula_datastore_measured_timestamp_seconds",
    "seconds",
    "vcenter datastore site",
    "When the vCenter last measured it; it does so by itself about twice an hour",
)
HOST_UP = _gauge("karaula_host_up", "", "host site", "1 if logging in by SSH works, else 0")
DNS_UP = _gauge("karaula_dns_up", "", "server site", "1 if the DNS server answers, else 0")
POWER_CONTROLLER_UP = _gauge(
    "karaula_power_controller_up", "", "controller site", "1 if it answers and its outlet groups can be read, else 0"
)
OUTLETS_ON = _gauge("karaula_outlets_on", "", "controller group site", "1 if the outlet group is set to On, else 0")
OUTLETS_POWER = _gauge("karaula_outlets_watts", "watts", "controller group site", "What the outlet group draws")
CHECK_UP = _gauge("karaula_check_up", "", "check site", "1 if the check succeeds, else 0")
CHECK_RESPONSE = _gauge("karaula_check_response_seconds", "seconds", "check site", "How long the check's answer took")
TLS_NOT_AFTER = _gauge(
    "karaula_tls_not_after_timestamp_seconds", "seconds", "subject", "When the server's certificate ends"
)

# -- hosts by SSH, by the checks of kind disk, unit, certificate, clock and lag
DISK_FREE = _gauge("karaula_host_disk_free_bytes", "bytes", "check host site", "Room left for an ordinary user")
DISK_SIZE = _gauge("karaula_host_disk_size_bytes", "bytes", "check host site", "All that an ordinary user may fill")
DISK_FREE_RATIO = _gauge("karaula_host_disk_free_ratio", "ratio", "check host site", "Part of the room that is left")
INODES_FREE_RATIO = _gauge(
    "karaula_host_disk_inodes_free_ratio", "ratio", "check host site", "Part of the inodes that is left"
)
UNIT_ACTIVE = _gauge("karaula_host_unit_active", "", "check host site", "1 if the systemd unit is active, else 0")
CERTIFICATE_NOT_AFTER = _gauge(
    "karaula_host_certificate_not_after_timestamp_seconds",
    "seconds",
    "check host site",
    "When the certificate in the host's file ends",
)
CLOCK_OFFSET = _gauge(
    "karaula_host_clock_offset_seconds", "seconds", "check host site", "How far the host's clock is ahead of ours"
)
CLOCK_UNCERTAINTY = _gauge(
    "karaula_host_clock_uncertainty_seconds",
    "seconds",
    "check host site",
    "How far the offset may be wrong either way: half of the round trip",
)
HOST_LAG = _gauge(
    "karaula_host_replication_lag_seconds", "seconds", "check host site", "What the host's lag command printed"
)

# -- NTP servers, by the checks of that kind
NTP_OFFSET = _gauge(
    "karaula_ntp_offset_seconds", "seconds", "check site", "How far the server's clock is ahead of ours"
)
NTP_DELAY = _gauge("karaula_ntp_delay_seconds", "seconds", "check site", "Round trip; half of it is open either way")
NTP_DISTANCE = _gauge(
    "karaula_ntp_root_distance_seconds", "seconds", "check site", "How far the server may be from its source of time"
)
NTP_STRATUM = _gauge("karaula_ntp_stratum", "", "check site", "Steps between the server and a clock")

# -- PostgreSQL, by the checks of that kind
POSTGRESQL_PRIMARY = _gauge("karaula_postgresql_primary", "", "check site", "1 if the server is primary, 0 if standby")
POSTGRESQL_LAG = _gauge(
    "karaula_postgresql_replay_lag_seconds",
    "seconds",
    "check site",
    "For how long the standby (of a primary: the one furthest behind) has lacked what was written",
)
POSTGRESQL_BEHIND = _gauge("karaula_postgresql_replay_lag_bytes", "bytes", "check site", "How much log it lacks")
POSTGRESQL_STANDBYS = _gauge("karaula_postgresql_standbys", "", "check site", "Standbys that receive from the primary")
POSTGRESQL_SYNC = _gauge(
    "karaula_postgresql_synchronous_standbys", "", "check site", "Those of them that a commit can wait for"
)
POSTGRESQL_RETAINED = _gauge(
    "karaula_postgresql_slot_retained_bytes", "bytes", "check site", "Log that the slot which is furthest behind keeps"
)

# -- sensors
SENSOR_STATE = _gauge(
    "karaula_sensor_state", "", "sensor site state", "1 for the state of the sensor: ok, warning, alarm, fault, unknown"
)
SENSOR_TEMPERATURE = _gauge("karaula_sensor_temperature_celsius", "celsius", "sensor site", "Temperature")
SENSOR_HUMIDITY = _gauge("karaula_sensor_humidity_ratio", "ratio", "sensor site", "Relative humidity, 0 to 1")
SENSOR_SMOKE = _gauge("karaula_sensor_smoke_detected", "", "sensor site", "1 if smoke is reported, else 0")
SENSOR_WATER = _gauge("karaula_sensor_water_detected", "", "sensor site", "1 if water is reported, else 0")
SENSOR_DOOR = _gauge("karaula_sensor_door_open", "", "sensor site", "1 if the door is open, else 0")
SENSOR_DUST = _gauge("karaula_sensor_dust_grams_per_cubic_meter", "", "sensor site", "Dust in the air")
SENSOR_POWER = _gauge("karaula_sensor_power_watts", "watts", "sensor site", "Electrical power drawn")
SENSOR_CHARGE = _gauge("karaula_sensor_battery_charge_ratio", "ratio", "sensor site", "Charge of the battery, 0 to 1")
SENSOR_LOAD = _gauge("karaula_sensor_load_ratio", "ratio", "sensor site", "Load of the UPS, 1 is its rated power")
SENSOR_UPS = _gauge(
    "karaula_sensor_ups_state",
    "",
    "sensor site state",
    "1 for the state of the UPS: line, battery, low-battery, bypass, off",
)
SENSOR_RISE = _gauge(
    "karaula_sensor_temperature_rise_celsius_per_second",
    "",
    "sensor site",
    "How fast the temperature rises, over the window of the sensor's limit",
)
VOTE_STATE = _gauge(
    "karaula_vote_state", "", "vote site state", "1 for the state of the vote: ok, degraded, down, unknown"
)
VOTE_ALARM = _gauge("karaula_vote_alarm_sensors", "", "vote site", "Sensors of the vote that are in alarm")
VOTE_SILENT = _gauge(
    "karaula_vote_silent_sensors", "", "vote site", "Sensors of the vote that are not known and do not vote"
)
VOTE_NEEDED = _gauge("karaula_vote_needed_sensors", "", "vote site", "Sensors in alarm that carry the vote")

# -- alarms
ALARM_ACTIVE = _gauge("karaula_alarm_active", "", "alarm subject severity", "1 while the alarm stands")
ALARM_HELD_BACK = _gauge(
    "karaula_alarm_held_back",
    "",
    "alarm subject severity",
    "1 while another alarm explains it, or a downtime covers it",
)
SUBJECT_FLAPPING = _gauge("karaula_subject_flapping", "", "subject", "1 while the subject changes to and fro")
SUBJECT_DOWNTIME = _gauge("karaula_subject_downtime", "", "subject", "1 while a planned downtime covers the subject")
ISOLATED = _gauge("karaula_isolated", "", "", "1 while the monitor itself is cut off from the estate")
ALARM_SINCE = _gauge(
    "karaula_alarm_raised_timestamp_seconds", "seconds", "alarm subject severity", "When the standing alarm was raised"
)
ALARMS_RAISED = _counter("karaula_alarms_raised_total", "", "alarm", "Alarms raised since the daemon's start")

# -- Karaula itself
SOURCE_TARGETS = _gauge("karaula_source_targets", "", "source", "Targets asked by this kind of probe")
SOURCE_ATTEMPTS = _counter("karaula_source_attempts_total", "", "source", "Asks made")
SOURCE_FAILURES = _counter("karaula_source_failures_total", "", "source", "Asks that were not answered with OK")
SOURCE_SKIPPED = _counter(
    "karaula_source_skipped_total", "", "source", "Asks not made because the target's previous one still ran"
)
SOURCE_ERRORS = _counter("karaula_source_errors_total", "", "source", "Mistakes of the probe itself, not of a target")
SOURCE_ATTEMPT = _gauge(
    "karaula_source_last_attempt_timestamp_seconds", "seconds", "source", "When targets were last asked"
)
SOURCE_SUCCESS = _gauge(
    "karaula_source_last_success_timestamp_seconds", "seconds", "source", "When a target last answered with OK"
)
SOURCE_DURATION = _gauge("karaula_source_duration_seconds", "seconds", "source", "How long the newest round took")
STARTED = _gauge("karaula_start_timestamp_seconds", "seconds", "", "When the daemon began to watch")
EVALUATED = _gauge("karaula_evaluation_timestamp_seconds", "seconds", "", "When states and alarms were last worked out")
PART_SILENT = _gauge(
    "karaula_part_silent_seconds",
    "seconds",
    "part",
    "How long a part of the daemon has not turned although it should have; 0 while it does",
)
LOOP_LAG = _gauge(
    "karaula_loop_lag_seconds", "seconds", "", "Longest time in the last minute that something due had to wait"
)
PAGE_TAKEN = _gauge("karaula_page_timestamp_seconds", "seconds", "", "When what this page shows was put together")
PAGE_RENDER = _gauge("karaula_page_render_seconds", "seconds", "", "Processor time that the page before this one took")
PAGE_SAMPLES = _gauge("karaula_page_samples", "", "", "Samples of the page before this one")
HISTORY_FAILING = _gauge("karaula_history_failing", "", "", "1 while flips and alarms cannot be written to disk")
HISTORY_PENDING = _gauge("karaula_history_pending", "", "", "Flips and alarms held in memory, not yet on disk")
NOTICES_SENT = _counter("karaula_notices_sent_total", "", "channel", "Messages delivered to people")
NOTICES_FAILED = _counter("karaula_notices_failed_total", "", "channel", "Deliveries that failed and are tried again")
NOTICES_DROPPED = _counter("karaula_notices_dropped_total", "", "channel", "Messages given up, or too many to keep")
NOTICES_PENDING = _gauge("karaula_notices_pending", "", "channel", "Messages not delivered yet")

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
