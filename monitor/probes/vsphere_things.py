"""What a vCenter's inventory says of each thing in it, as observations; no calls are made here.

Leaves the asking to ``vsphere.py``, and what is too much (age, size, fill) to ``monitor.status``. What did not change
since the last poll is not worked out again. Source: vSphere Web Services API 8.0, VirtualMachineConnectionState,
HostSystemConnectionState, DatastoreSummary, AlarmState.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monitor.probe import Answer, Observation
from monitor.probes.vsphere_rules import NO_TAGS, Rule, clock_time, found_by, shortfalls, unread_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from monitor.clients.vsphere import Cluster, Datastore, Survey, Triggered, VcenterSnapshot, Vm, VmHost
    from monitor.clients.vsphere_tags import Tag, Tagged

VANISHED = "vanished from the vCenter"
BAD_CONNECTIONS = ("inaccessible", "invalid", "orphaned")
RED = "red"
OVERDUE = 3  # survey intervals after which counters are too old to be shown
GIB = 2.0**30


@dataclass(frozen=True, slots=True)
class VsphereParams:
    """A vCenter. ``vms`` are the names that must be there and on, ``replicas`` those that must be there.

    ``datacenter`` limits what is looked at; ``counters`` are read every ``survey_interval_s`` and
    tags every ``tags_interval_s``.
    """

    key: str
    address: str
    port: int
    user: str
    credential: str
    datacenter: str = ""
    vms: tuple[str, ...] = ()
    replicas: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    counters: tuple[str, ...] = ()
    survey_interval_s: float = 60.0
    tags_interval_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Said:
    """What an observation says, but for its subject and moment."""

    answer: Answer
    reason: str
    values: Mapping[str, float]
    facts: Mapping[str, str]


class Teller:
    """Tells of the things of one vCenter, poll after poll."""

    def __init__(self, params: VsphereParams, probe: str) -> None:
        """Tell of the vCenter of ``params``."""
        self._params = params
        self._probe = probe
        self._needed = frozenset(params.vms)
        self._replicas = frozenset(params.replicas)
        self._seen: dict[str, dict[str, str]] = {"vm": {}, "esx": {}, "datastore": {}}  # by kind, MoRefs by name
        self._memo: dict[str, tuple[tuple[Any, ...], Said]] = {}
        self._told: tuple[VcenterSnapshot, Survey | None, Mapping[Tag, Tagged], list[tuple[str, Said]]] | None = None

    def unseen(self, now: float, why: str = "does not answer") -> Iterator[Observation]:
        """Say that nothing is known of anything, for the vCenter does not answer, or ``why`` else."""
        because = f"vCenter {self._params.key} {why}"
        for kind, names in self._seen.items():
            named = self._needed | self._replicas if kind == "vm" else frozenset()
            for name in sorted(names.keys() | named):
                yield Observation(self._subject(kind, name), self._probe, now, Answer.UNKNOWN, because)

    def tell(
        self,
        snapshot: VcenterSnapshot,
        survey: Survey | None,
        survey_error: str,
        tagged: Mapping[Tag, Tagged] = NO_TAGS,
    ) -> Iterator[Observation]:
        """Tell of the vCenter's things as ``snapshot`` and the newest ``survey`` (None: none yet) have them.

        ``tagged`` is what is known of the tags that rules name.
        """
        if survey is not None and abs(snapshot.at - survey.at) > OVERDUE * self._params.survey_interval_s:
            survey_error = survey_error or "they have not been read in time"
            survey = None
        alarms = _placed(snapshot)
        ruled = found_by(self._params.rules, snapshot, tagged)
        unread = unread_of(self._params.rules, tagged)
        yield Observation(
            f"vcenter/{self._params.key}",
            self._probe,
            snapshot.at,
            Answer.OK,
            values=_counts(snapshot, survey),
            facts=self._itself(snapshot, alarms.get("", ()), ruled, survey_error if survey is None else "", tagged),
        )
        before = self._told
        if before is not None and _same(before[0], snapshot) and before[1] is survey and before[2] is tagged:
            told = before[3]
        else:
            told = [
                *self._each("vm", snapshot.vms, lambda vm: self._vm(vm, snapshot, survey, alarms, ruled, unread)),
                *self._each("esx", snapshot.hosts, lambda host: _esx(host, snapshot, alarms)),
                *self._each("datastore", snapshot.datastores, lambda one: _datastore(one, snapshot, alarms)),
            ]
            again = [each for each in told if "vanished" not in each[1].facts]  # that is said once
            self._told = (snapshot, survey, tagged, again)
        probe, at = self._probe, snapshot.at
        for subject, said in told:
            yield Observation(subject, probe, at, said.answer, said.reason, said.values, said.facts)

    def _each(self, kind: str, table: Mapping[str, Any], say: Callable[[Any], Said]) -> Iterator[tuple[str, Said]]:
        by_name: dict[str, list[Any]] = {}
        for thing in table.values():
            by_name.setdefault(thing.name, []).append(thing)
        for name, found in by_name.items():
            if len(found) > 1:
                reason = f"{len(found)} {NOUNS[kind]} of this name: " + ", ".join(sorted(one.moref for one in found))
                yield self._subject(kind, name), Said(Answer.UNKNOWN, reason, {}, {})
                continue
            yield self._subject(kind, name), say(found[0])
        before = self._seen[kind]
        named = self._needed | self._replicas if kind == "vm" else frozenset()
        for name in sorted((before.keys() | named) - by_name.keys()):
            renamed = table.get(before.get(name, ""))
            reason = VANISHED if name in before else "not in the vCenter"
            if renamed is not None:
                reason = f"renamed to '{renamed.name}'"
            facts = {"missing": "yes"} if name in named else {"vanished": "yes"}
            yield self._subject(kind, name), Said(Answer.FAILED, reason, {}, facts)
            self._memo.pop(before.get(name, ""), None)
        self._seen[kind] = {name: found[0].moref for name, found in by_name.items()}

    def _subject(self, kind: str, name: str) -> str:
        return f"{kind}/{self._params.key}/{name}"

    # -- the vCenter itself -------------------------------------------------------------------------------------------

    def _itself(
        self,
        snapshot: VcenterSnapshot,
        own: Iterable[Triggered],
        ruled: Mapping[str, Rule],
        survey_error: str,
        tagged: Mapping[Tag, Tagged],
    ) -> dict[str, str]:
        facts = {"version": snapshot.api_version, "alarms": _alarm_words(own, snapshot, with_place=True)}
        if snapshot.alarms is None:
            facts["alarms"] = "may not be read"
        findings = _red_words(own, snapshot, with_place=True)
        findings += shortfalls(self._params.rules, ruled, tagged, snapshot.at, OVERDUE * self._params.tags_interval_s)
        if survey_error:
            facts["performance"] = survey_error
            findings.append(f"no performance counters: {survey_error}")
        return {name: fact for name, fact in {**facts, "findings": "; ".join(findings)}.items() if fact}

    # -- VMs ----------------------------------------------------------------------------------------------------------

    def _vm(
        self,
        vm: Vm,
        snapshot: VcenterSnapshot,
        survey: Survey | None,
        alarms: Mapping[str, list[Triggered]],
        ruled: Mapping[str, Rule],
        unread: tuple[str, Tagged] | None,
    ) -> Said:
        host = snapshot.hosts.get(vm.host)
        measures = survey.measures.get(vm.moref) if survey is not None else None
        size = survey.snapshot_bytes.get(vm.moref) if survey is not None else None
        own, rule = alarms.get(vm.moref), ruled.get(vm.moref)
        placed = host.name if host else ""  # not the host itself, which changes with every measurement of its memory
        parts = (vm, placed, measures, size, rule, own and snapshot, unread and unread[1])
        memo = self._memo.get(vm.moref)
        if memo is not None and all(old is new for old, new in zip(memo[0], parts, strict=True)):
            return memo[1]
        replica = vm.name in self._replicas or vm.placeholder
        needed = vm.name in self._needed or rule is not None
        answer, reason = judge(vm, needed=needed, replica=replica)
        if answer is Answer.OK and unread is not None and not needed and not replica:
            wanted, as_needed = judge(vm, needed=True)
            if wanted is not answer:
                place, tag = unread
                answer = Answer.UNKNOWN
                reason = f"{as_needed}, and whether a tag makes it one of {place} is not known: {tag.trouble}"
        values = {"powered_on": 1.0 if vm.power == "on" else 0.0, **_snapshot_values(vm, size), **_red(own)}
        if vm.memory is not None:
            values["memory_bytes"] = float(vm.memory)
        if vm.power == "on" and measures:
            values |= {name.replace("-", "_"): value for name, value in measures.items()}
        facts = {
            "power": vm.power,
            "connection": vm.connection,
            "moref": vm.moref,
            "host": placed,
            "datastores": " ".join(vm.datastores),
            "heartbeat": vm.heartbeat,
            "tools": vm.tools,
            "ip": vm.ip,
            "template": "yes" if vm.template else "",
            "role": ("placeholder" if vm.placeholder else "replica") if replica else "",
            "belongs_to": rule.place if rule is not None else "",
            "snapshots": _snapshot_words(vm, size),
            "alarms": _alarm_words(own or (), snapshot),
            "findings": "; ".join(_red_words(own or (), snapshot)),
        }
        said = Said(answer, reason, values, {name: fact for name, fact in facts.items() if fact})
        self._memo[vm.moref] = (parts, said)
        return said


NOUNS = {"vm": "VMs", "esx": "ESXi hosts", "datastore": "datastores"}


def judge(vm: Vm, *, needed: bool, replica: bool = False) -> tuple[Answer, str]:
    """Return how a VM is; ``needed`` VMs must be on, a ``replica`` may be off."""
    if vm.connection in BAD_CONNECTIONS:
        return Answer.FAILED, f"the vCenter calls it {vm.connection}"
    if vm.connection == "disconnected":
        return Answer.UNKNOWN, "its host is disconnected from the vCenter"
    if vm.connection != "connected":
        return Answer.UNKNOWN, "the vCenter does not say whether it is connected"
    reason = ""
    if vm.template and (needed or replica):
        reason = "it has been made a template, which cannot be powered on"
    elif vm.power != "on" and needed and not replica:
        reason = f"powered {vm.power}" if vm.power == "off" else vm.power
    elif vm.power == "on" and vm.heartbeat == RED:
        reason = "its guest has stopped giving heartbeats"
    return (Answer.FAILED, reason) if reason else (Answer.OK, "")


def _esx(host: VmHost, snapshot: VcenterSnapshot, alarms: Mapping[str, list[Triggered]]) -> Said:
    own = alarms.get(host.moref, [])
    answer, reason = Answer.OK, ""
    if host.connection == "notResponding":
        answer, reason = Answer.FAILED, "does not answer its vCenter"
    elif host.connection != "connected":
        answer, reason = Answer.FAILED, f"the vCenter calls it {host.connection or 'nothing at all'}"
    if answer is Answer.FAILED and host.maintenance:
        answer, reason = Answer.UNKNOWN, f"in maintenance, and {reason}"
    findings = _red_words(own, snapshot)
    silenced = any(one.status == RED and one.acknowledged for one in own) and not findings
    if host.status == RED and not findings and not silenced:
        findings = ["the vCenter gives it the status red"]
    cluster = None if host.compute is None else snapshot.clusters.get(host.compute.moref)
    facts = {
        "cluster": "" if cluster is None else cluster.name,
        "placement": _placement(host, cluster),
        "connection": host.connection,
        "power": host.power,
        "status": host.status,
        "maintenance": "yes" if host.maintenance else "",
        "moref": host.moref,
        "alarms": _alarm_words(own, snapshot),
        "findings": "; ".join(findings),
    }
    values = {"maintenance": 1.0 if host.maintenance else 0.0, "connected": float(host.connection == "connected")}
    memory = (("memory_bytes", host.memory), ("memory_used_bytes", host.memory_used))
    values |= {name: float(value) for name, value in memory if value is not None}
    return Said(answer, reason, {**values, **_red(own)}, {name: fact for name, fact in facts.items() if fact})


def _placement(host: VmHost, cluster: Cluster | None) -> str:
    """Return the MoRef of what a VM that is on this host is started in: its cluster, or the host alone without DRS.

    Empty where the vCenter does not say what the host is part of.
    """
    if host.compute is None:
        return ""
    in_cluster = host.compute.kind == "ClusterComputeResource" and (cluster is None or cluster.drs is not False)
    return host.compute.moref if in_cluster else host.moref


def _datastore(store: Datastore, snapshot: VcenterSnapshot, alarms: Mapping[str, list[Triggered]]) -> Said:
    own = alarms.get(store.moref, [])
    facts = {
        "filesystem": store.kind,
        "moref": store.moref,
        "maintenance": "" if store.maintenance in ("", "normal") else store.maintenance,
        "measured": "" if store.measured_at is None else clock_time(store.measured_at),
        "alarms": _alarm_words(own, snapshot),
        "findings": "; ".join(_red_words(own, snapshot)),
    }
    facts = {name: fact for name, fact in facts.items() if fact}
    if store.accessible is False and "maintenance" in facts:
        return Said(Answer.UNKNOWN, "in maintenance, and no host can reach it", {}, facts)
    if store.accessible is False:
        return Said(Answer.FAILED, "no host can reach it", {"accessible": 0.0}, facts)
    if store.accessible is None or not store.capacity or store.free is None:
        return Said(Answer.UNKNOWN, "the vCenter does not say how large or full it is", {}, facts)
    values = {"accessible": 1.0, "capacity_bytes": float(store.capacity), "free_bytes": float(store.free)}
    if store.measured_at is not None:
        values["measured_at"] = store.measured_at
    facts["free"] = f"{store.free / GIB:.1f} of {store.capacity / GIB:.1f} GiB"
    return Said(Answer.OK, "", {**values, **_red(own)}, facts)


def _same(before: VcenterSnapshot, now: VcenterSnapshot) -> bool:
    """Return whether nothing in the inventory has changed; its tables are then the very same objects."""
    tables = (
        (before.vms, now.vms),
        (before.hosts, now.hosts),
        (before.datastores, now.datastores),
        (before.folders, now.folders),
        (before.clusters, now.clusters),
        (before.alarms, now.alarms),
    )
    return all(old is new for old, new in tables) and (before.names, before.attributes) == (now.names, now.attributes)


def _placed(snapshot: VcenterSnapshot) -> dict[str, list[Triggered]]:
    """Return the alarms by the MoRef of what they are about; "" for what has no observation of its own."""
    placed: dict[str, list[Triggered]] = {}
    for alarm in snapshot.alarms or ():
        moref = alarm.entity.moref
        known = moref in snapshot.vms or moref in snapshot.hosts or moref in snapshot.datastores
        placed.setdefault(moref if known else "", []).append(alarm)
    return placed


def _counts(snapshot: VcenterSnapshot, survey: Survey | None) -> dict[str, float]:
    values = {
        "changed_objects": float(snapshot.changed),
        "full_read": 1.0 if snapshot.full else 0.0,
        "vms": float(len(snapshot.vms)),
        "hosts": float(len(snapshot.hosts)),
        "datastores": float(len(snapshot.datastores)),
        "vms_with_snapshots": float(sum(bool(vm.snapshots) for vm in snapshot.vms.values())),
    }
    if snapshot.alarms is not None:
        values["alarms"] = float(len(snapshot.alarms))
        values["alarms_acknowledged"] = float(sum(one.acknowledged for one in snapshot.alarms))
    if survey is not None and survey.measures:
        values["performance_at"] = survey.at
    return values


def _red(own: Iterable[Triggered] | None) -> dict[str, float]:
    return {"alarms": float(len(list(own)))} if own else {}


def _red_words(own: Iterable[Triggered], snapshot: VcenterSnapshot, *, with_place: bool = False) -> list[str]:
    """Return a finding for each red alarm that nobody has acknowledged at the vCenter."""
    found = [one for one in own if one.status == RED and not one.acknowledged]
    return [f"vCenter alarm {_alarm_words([one], snapshot, with_place=with_place)}" for one in found]


def _alarm_words(own: Iterable[Triggered], snapshot: VcenterSnapshot, *, with_place: bool = False) -> str:
    words = []
    for one in own:
        name = snapshot.names.get(one.alarm, one.alarm)
        place = f" on {snapshot.names.get(one.entity.moref, one.entity.moref)}" if with_place else ""
        seen = f", acknowledged by {one.acknowledged_by or 'somebody'}" if one.acknowledged else ""
        words.append(f"'{name}'{place} ({one.status}{seen})")
    return ", ".join(words)


def _snapshot_values(vm: Vm, size: float | None) -> dict[str, float]:
    if vm.snapshots is None:
        return {}
    values = {"snapshots": float(len(vm.snapshots))}
    if vm.snapshots:
        values["snapshot_oldest_at"] = vm.snapshots[0]
        if size is not None:
            values["snapshot_bytes"] = size
    return values


def _snapshot_words(vm: Vm, size: float | None) -> str:
    if vm.snapshots is None:
        return "may not be read"
    if not vm.snapshots:
        return ""
    held = "" if size is None else f", {size / GIB:.1f} GiB"
    return f"{len(vm.snapshots)}, the oldest of {clock_time(vm.snapshots[0])}{held}"
