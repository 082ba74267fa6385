"""What is known of the estate at one moment, as metric families.

Values of a subject that is UNKNOWN are left out, so that no graph shows an old number as if it were new; states and
times stay. Everything here is arithmetic over what was observed before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.clients.redfish import recalled
from monitor.inventory.checks import site_of
from monitor.metrics import catalog as m
from monitor.metrics import checks, sensors, sla, vcenters
from monitor.metrics.links import crossings
from monitor.metrics.sheet import Sheet
from monitor.status.reachability import SPLIT_BRAIN, UP, Seen, lag
from monitor.status.state import Health

if TYPE_CHECKING:
    from monitor.metrics.catalog import Family
    from monitor.metrics.sheet import View

HEALTHS = tuple(health.value for health in Health)
SYSTEM_STATES = ("ok", "degraded", "down", SPLIT_BRAIN, "unknown")


def families(view: View) -> list[Family]:
    """Return every family that has samples, in the catalogue's order."""
    sheet = Sheet(view)
    _subjects(sheet)
    _systems(sheet)
    crossings(sheet)
    _places(sheet)
    for sample in vcenters.samples(view.inventory, view.statuses, view.good):
        sheet.add(*sample)
    _sensors(sheet)
    _alarms(sheet)
    _itself(sheet)
    return [*sheet.families(), *sla.families(view.month)]


def _subjects(sheet: Sheet) -> None:
    for subject, status in sheet.view.statuses.items():
        sheet.states(m.SUBJECT_STATUS, (subject,), HEALTHS, status.health.value)
        sheet.add(m.SUBJECT_SEEN, (subject,), status.seen_at)
        if (good := sheet.view.good.get(subject)) is not None:
            sheet.add(m.SUBJECT_SUCCESS, (subject,), good.at)
        if subject.startswith(("front/", "check/")) and status.health in UP:
            sheet.value(m.TLS_NOT_AFTER, (subject,), subject, "tls_not_after_seconds")


def _systems(sheet: Sheet) -> None:
    view = sheet.view
    seen = Seen(view.statuses, view.good)
    for key, system in view.inventory.systems.items():
        status = view.statuses[f"system/{key}"]
        split = status.detail == SPLIT_BRAIN
        sheet.states(m.SYSTEM_STATE, (key,), SYSTEM_STATES, SPLIT_BRAIN if split else status.health.value)
        sheet.add(m.SYSTEM_RTO, (key,), system.rto_s)
        sheet.add(m.SYSTEM_RPO, (key,), system.rpo_s)
        for site in system.sites:
            labels, front, database = (key, site), f"front/{key}/{site}", f"database/{key}/{site}"
            if sheet.up(m.SYSTEM_UP, labels, front):
                sheet.value(m.SYSTEM_RESPONSE, labels, front, "duration_seconds")
            if seen.health(front) is not Health.UNKNOWN:
                sheet.add(m.SYSTEM_ACTIVE, labels, seen.fact(front, "role") == "active")
            if sheet.up(m.DATABASE_UP, labels, database):
                sheet.add(m.DATABASE_PRIMARY, labels, seen.fact(database, "role") == "primary")
                sheet.value(m.DATABASE_POSITION, labels, database, "position")
                sheet.value(m.DATABASE_EPOCH, labels, database, "epoch")
                sheet.value(m.DATABASE_NEWEST, labels, database, "received_at")
        if status.detail in system.sites:
            sheet.add(m.DATABASE_LAG, (key,), lag(key, system, status.detail, seen))


def _places(sheet: Sheet) -> None:
    view = sheet.view
    inventory = view.inventory
    for key in inventory.sites:
        sheet.states(m.SITE_STATE, (key,), HEALTHS, view.statuses[f"site/{key}"].health.value)
    for key, host in inventory.hosts.items():
        sheet.up(m.HOST_UP, (key, host.site), f"host/{key}")
    for key, server in inventory.dns_servers.items():
        sheet.up(m.DNS_UP, (key, server.site), f"dns/{key}")
    for key, controller in inventory.power_controllers.items():
        if sheet.up(m.POWER_CONTROLLER_UP, (key, controller.site), f"power/{key}"):
            _outlets(sheet, key, controller.site)
    for key, check in inventory.checks.items():
        sheet.up(m.CHECK_UP, (key, site_of(check, inventory.hosts)), f"check/{key}")
    for sample in checks.samples(inventory, view.statuses, view.good):
        sheet.add(*sample)


def _outlets(sheet: Sheet, key: str, site: str) -> None:
    observation = sheet.view.good.get(f"power/{key}")
    places = (place.fence for system in sheet.view.inventory.systems.values() for place in system.sites.values())
    for name in sorted({fence.outlet_group for fence in places if fence.controller == key}):
        group = None if observation is None else recalled(name, observation.facts, observation.values)
        if group is not None:
            sheet.add(m.OUTLETS_ON, (key, name, site), float(group.power == "On"))
            sheet.add(m.OUTLETS_POWER, (key, name, site), group.watts)


def _sensors(sheet: Sheet) -> None:
    view = sheet.view
    for sample in sensors.samples(view.inventory, view.statuses, view.good):
        sheet.add(*sample)


def _alarms(sheet: Sheet) -> None:
    for alarm in sheet.view.alarms:
        labels = (alarm.name, alarm.subject, alarm.severity)
        sheet.add(m.ALARM_ACTIVE, labels, 1.0)
        sheet.add(m.ALARM_HELD_BACK, labels, 1.0 if alarm.cause or alarm.downtime else 0.0)
        sheet.add(m.ALARM_SINCE, labels, alarm.since)
    for name, count in sorted(sheet.view.raised_total.items()):
        sheet.add(m.ALARMS_RAISED, (name,), count)
    sheet.add(m.ISOLATED, (), 1.0 if sheet.view.isolated else 0.0)
    for metric, subjects in (
        (m.SUBJECT_FLAPPING, sheet.view.flapping),
        (m.SUBJECT_DOWNTIME, sheet.view.covered),
    ):
        for subject in sorted(subjects):
            sheet.add(metric, (subject,), 1.0)


def _itself(sheet: Sheet) -> None:
    view = sheet.view
    for source in view.sources:
        labels = (source.source,)
        sheet.add(m.SOURCE_TARGETS, labels, source.targets)
        sheet.add(m.SOURCE_ATTEMPTS, labels, source.attempts)
        sheet.add(m.SOURCE_FAILURES, labels, source.failures)
        sheet.add(m.SOURCE_SKIPPED, labels, source.skipped)
        sheet.add(m.SOURCE_ERRORS, labels, source.errors)
        sheet.add(m.SOURCE_ATTEMPT, labels, source.last_attempt_at)
        sheet.add(m.SOURCE_SUCCESS, labels, source.last_success_at)
        sheet.add(m.SOURCE_DURATION, labels, source.duration_s)
    for (subject, source_key), count in sorted(view.skipped.items()):
        sheet.add(m.TARGET_SKIPPED, (subject, source_key), count)
    sheet.add(m.STARTED, (), view.started_at)
    sheet.add(m.EVALUATED, (), view.evaluated_at)
    for part, silent_s in view.parts_silent_s.items():
        sheet.add(m.PART_SILENT, (part,), silent_s)
    sheet.add(m.LOOP_LAG, (), view.loop_lag_s)
    sheet.add(m.HISTORY_FAILING, (), view.history_failing)
    sheet.add(m.HISTORY_PENDING, (), view.history_pending)
    for channel in view.channels:
        labels = (channel.channel,)
        sheet.add(m.NOTICES_SENT, labels, channel.sent)
        sheet.add(m.NOTICES_FAILED, labels, channel.failed)
        sheet.add(m.NOTICES_DROPPED, labels, channel.dropped)
        sheet.add(m.NOTICES_PENDING, labels, channel.pending)
