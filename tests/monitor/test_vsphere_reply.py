"""The fast reader of a vCenter's large replies agrees with pyVmomi's own, and hostile bytes end in GarbledReply."""

# mypy: disallow-untyped-calls=False
# (pyVmomi calls itself typed and annotates nothing)

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from examples_kit import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pyVmomi import SoapAdapter, VmomiSupport, vim, vmodl

from monitor.clients import vsphere_reply
from monitor.clients.vsphere_inventory import ManagedBy, Ref, Triggered
from monitor.clients.vsphere_reply import MOST_MARKS, Page, Sample, moment, read_samples, read_updates
from monitor.clients.vsphere_survey import piecewise, query, snapshot_bytes
from monitor.errors import GarbledReply

Collector = vmodl.query.PropertyCollector
Performance = vim.PerformanceManager
STUB: Any = SoapAdapter.SoapStubAdapter("127.0.0.1", port=1, version="vim.version.v8_0_1_0")
ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
    ' xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
    '<soapenv:Body><{name}Response xmlns="urn:vim25">{inside}</{name}Response></soapenv:Body></soapenv:Envelope>'
)


def reply(name: str, *values: Any) -> bytes:
    """Write a response as a vCenter does, by pyVmomi's own serialiser."""
    written = ""
    for value in values:
        text = SoapAdapter.Serialize(value, None, STUB.version, {"urn:vim25": ""}).decode()
        assert text.startswith("<obj ")
        assert text.endswith("</obj>")
        written += f"<returnval {text[5:-6]}</returnval>"
    return ENVELOPE.format(name=name, inside=written).encode()


def theirs(body: bytes, result: Any) -> Any:
    return SoapAdapter.SoapResponseDeserializer(STUB).Deserialize(io.BytesIO(body), result)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20).filter(
    lambda text: not set(text) & set("\ufffe\uffff")
)
MOMENTS = st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2090, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001 - the zone is given apart
MOREFS = st.from_regex(r"[a-z]{2,8}-[0-9]{1,6}", fullmatch=True)


def trees(depth: int = 2) -> st.SearchStrategy[Any]:
    children = st.lists(trees(depth - 1), max_size=2) if depth else st.just([])
    return st.builds(
        lambda moref, name, at, below: vim.vm.SnapshotTree(
            snapshot=vim.vm.Snapshot(moref), vm=vim.VirtualMachine("vm-1"), name=name, description="", id=1,
            createTime=at, state="poweredOff", quiesced=False, childSnapshotList=below,
        ),
        MOREFS, TEXT, MOMENTS, children,
    )  # fmt: skip


def snapshots() -> st.SearchStrategy[Any]:
    return st.builds(
        lambda roots: vim.vm.SnapshotInfo(rootSnapshotList=roots), st.lists(trees(), min_size=1, max_size=2)
    )


def alarms() -> st.SearchStrategy[Any]:
    one = st.builds(
        lambda at, status, seen, user: vim.alarm.AlarmState(
            key="a.b", entity=vim.VirtualMachine("vm-7"), alarm=vim.alarm.Alarm("alarm-3"), overallStatus=status,
            time=at, acknowledged=seen, acknowledgedByUser=user,
        ),
        MOMENTS, st.sampled_from(["red", "yellow"]), st.sampled_from([None, True, False]), st.none() | TEXT,
    )  # fmt: skip
    return st.lists(one, max_size=3).map(vim.alarm.AlarmState.Array)


def attributes() -> st.SearchStrategy[Any]:
    one = st.builds(
        lambda key, value: vim.CustomFieldsManager.StringValue(key=key, value=value), st.integers(0, 999), TEXT
    )
    return st.lists(one, max_size=3, unique_by=lambda each: each.key).map(vim.CustomFieldsManager.Value.Array)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": TEXT,
    "runtime.powerState": st.sampled_from(["poweredOn", "poweredOff"]).map(vim.VirtualMachine.PowerState),
    "runtime.host": MOREFS.map(vim.HostSystem),
    "config.template": st.booleans(),
    "summary.freeSpace": st.integers(0, 2**62).map(VmomiSupport.GetVmodlType("long")),
    "info.timestamp": MOMENTS,
    "snapshot": snapshots(),
    "triggeredAlarmState": alarms(),
    "customValue": attributes(),
    "config.managedBy": st.builds(lambda key, kind: vim.ext.ManagedByInfo(extensionKey=key, type=kind), TEXT, TEXT),
}


@st.composite
def updates(draw: st.DrawFn) -> Any:
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True))
    changes = []
    for name in names:
        op = draw(st.sampled_from(["assign", "assign", "add", "remove", "indirectRemove"]))
        value = None if op.endswith("emove") else draw(st.none() | VALUES[name])
        changes.append(Collector.Change(name=name, op=op, val=value))
    kind = draw(st.sampled_from([vim.VirtualMachine, vim.Datastore, vim.HostSystem, vim.Folder]))
    missing = [
        Collector.MissingProperty(path=path, fault=vim.fault.NoPermission())
        for path in draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=2, unique=True))
    ]
    word = draw(st.sampled_from(["enter", "modify", "leave"]))
    return Collector.ObjectUpdate(kind=word, obj=kind(draw(MOREFS)), changeSet=changes, missingSet=missing)


@st.composite
def update_sets(draw: st.DrawFn) -> Any:
    filters = [
        Collector.FilterUpdate(
            filter=Collector.Filter("session-filter-1"), objectSet=draw(st.lists(updates(), max_size=4))
        )
        for _ in range(draw(st.integers(0, 2)))
    ]
    return Collector.UpdateSet(
        version=draw(st.from_regex(r"[0-9]{1,9}", fullmatch=True)),
        filterSet=filters,
        truncated=draw(st.sampled_from([None, True, False])),
    )


def taken_at(info: Any) -> tuple[float, ...]:
    found, waiting = [], list(info.rootSnapshotList)
    while waiting:
        tree = waiting.pop()
        found.append(tree.createTime.timestamp())
        waiting += tree.childSnapshotList
    return tuple(sorted(found))


def triggered(one: Any) -> Triggered:
    return Triggered(
        one.alarm._GetMoId(),
        Ref("VirtualMachine", one.entity._GetMoId()),
        one.overallStatus,
        one.time.timestamp(),
        bool(one.acknowledged),
        one.acknowledgedByUser or "",
    )


PLAIN: dict[str, Callable[[Any], Any]] = {
    "snapshot": taken_at,
    "triggeredAlarmState": lambda value: tuple(map(triggered, value)),
    "customValue": lambda value: tuple(sorted((one.key, one.value) for one in value)),
    "config.managedBy": lambda value: ManagedBy(value.extensionKey, value.type),
    "runtime.host": lambda value: Ref("HostSystem", value._GetMoId()),
    "info.timestamp": lambda value: value.timestamp(),
}


def plain(name: str, value: Any) -> Any:
    """Return what pyVmomi read as our reader has it."""
    return value if value is None else PLAIN.get(name, lambda same: same)(value)


def unset(name: str, value: Any) -> Any:
    return value or None if name in ("triggeredAlarmState", "customValue") else value


@settings(max_examples=examples(150))
@given(update_sets())
def test_both_readers_of_updates_agree(sent: Any) -> None:
    body = reply("WaitForUpdatesEx", sent)
    ours, read = read_updates(body), theirs(body, Collector.UpdateSet)
    assert ours is not None
    assert (ours.version, ours.truncated) == (read.version, bool(read.truncated))
    flat = [one for part in read.filterSet for one in part.objectSet]
    assert len(ours.updates) == len(flat)
    for mine, other in zip(ours.updates, flat, strict=True):
        assert (mine.kind, mine.ref) == (
            other.kind,
            Ref(type(other.obj).__name__.rpartition(".")[2], other.obj._GetMoId()),
        )
        wanted = {
            change.name: None if change.op.endswith("emove") else plain(change.name, change.val)
            for change in other.changeSet
        }
        assert {name: unset(name, value) for name, value in mine.values.items()} == {
            name: unset(name, value) for name, value in wanted.items()
        }
        assert mine.unreadable == frozenset(one.path for one in other.missingSet)


@st.composite
def metrics(draw: st.DrawFn) -> Any:
    count = draw(st.integers(0, 3))
    times = sorted(draw(st.lists(MOMENTS, min_size=count, max_size=count, unique=True)))
    series = [
        Performance.IntSeries(
            id=Performance.MetricId(counterId=number, instance=draw(st.sampled_from(["", "", "0", "vmnic1"]))),
            value=draw(st.lists(st.integers(-1, 2**40), min_size=0, max_size=count)),
        )
        for number in draw(st.lists(st.integers(1, 600), max_size=6, unique=True))
    ]
    return Performance.EntityMetric(
        entity=vim.VirtualMachine(draw(MOREFS)),
        sampleInfo=[Performance.SampleInfo(timestamp=at, interval=20) for at in times],
        value=series,
    )


@settings(max_examples=examples(150))
@given(st.lists(metrics(), max_size=4))
def test_both_readers_of_counters_agree(sent: list[Any]) -> None:
    body = reply("QueryPerf", *sent)
    read = theirs(body, Performance.EntityMetricBase.Array)
    wanted = []
    for one in read:
        if not one.sampleInfo:
            continue
        newest = max(range(len(one.sampleInfo)), key=lambda at: one.sampleInfo[at].timestamp)
        values = {
            series.id.counterId: series.value[newest]
            for series in one.value
            if not series.id.instance and len(series.value) > newest and series.value[newest] >= 0
        }
        at = one.sampleInfo[newest].timestamp.timestamp()
        wanted.append(Sample(Ref("VirtualMachine", one.entity._GetMoId()), at, 20, values))
    assert read_samples(body) == wanted


@pytest.mark.parametrize("piece", ["<a/>", "<a b=''/>"])
def test_more_elements_than_an_inventory_has_are_refused_before_a_tree_is_made(piece: str, monkeypatch) -> None:
    monkeypatch.setattr(vsphere_reply.ET, "fromstring", lambda _: pytest.fail("a tree was made"))
    count = MOST_MARKS // (piece.count("<") + piece.count("=")) + 1
    with pytest.raises(GarbledReply, match="more elements than"):
        read_updates(ENVELOPE.format(name="WaitForUpdatesEx", inside=piece * count).encode())


@pytest.mark.parametrize("digits", [20, 400, 5000])
def test_a_number_of_more_than_64_bits_is_garbled(digits: int) -> None:
    inside = (
        "<returnval><version>1</version><filterSet><objectSet><kind>enter</kind><obj type='Datastore'>d</obj>"
        "<changeSet>"
        f"<name>summary.capacity</name><val xsi:type='xsd:long'>{'9' * digits}</val></changeSet>"
        "</objectSet></filterSet></returnval>"
    )
    with pytest.raises(GarbledReply, match="cannot be read"):
        read_updates(ENVELOPE.format(name="WaitForUpdatesEx", inside=inside).encode())


def test_nothing_new_is_no_page() -> None:
    assert read_updates(ENVELOPE.format(name="WaitForUpdatesEx", inside="").encode()) is None


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
GOOD = ENVELOPE.format(name="WaitForUpdatesEx", inside="<returnval><version>1</version></returnval>")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        GOOD.replace("<soapenv:Envelope", f"{BOMB}<soapenv:Envelope", 1).encode(),
        GOOD.replace("<soapenv:Envelope", '<!DOCTYPE x SYSTEM "file:///etc/passwd"><soapenv:Envelope', 1).encode(),
        GOOD.replace("UTF-8", "UTF-16").encode("utf-16"),
        GOOD.replace("urn:vim25", "urn:other").encode(),
        GOOD.replace("WaitForUpdatesEx", "QueryPerf").encode(),
        GOOD.replace("<version>1</version>", "").encode(),
        GOOD.replace("1</version>", "&b;</version>").encode(),
        GOOD.replace("<version>", "<filterSet><objectSet><kind>enter</kind></objectSet></filterSet><version>").encode(),
        GOOD[:-20].encode(),
        b"\xff" + GOOD.encode(),
    ],
)
def test_hostile_bytes_are_garbled(body: bytes) -> None:
    with pytest.raises(GarbledReply):
        read_updates(body)
    with pytest.raises(GarbledReply):
        read_samples(body.replace(b"WaitForUpdatesExResponse", b"X"))


@settings(max_examples=examples(300))
@given(st.binary(max_size=60), st.integers(0, 900), st.integers(0, 40))
def test_any_damage_is_garbled_or_read(noise: bytes, at: int, length: int) -> None:
    update = Collector.ObjectUpdate(
        kind="enter",
        obj=vim.VirtualMachine("vm-1"),
        changeSet=[
            Collector.Change(name="snapshot", op="assign", val=None),
            Collector.Change(name="name", op="assign", val="x"),
        ],
    )
    filters = [Collector.FilterUpdate(filter=Collector.Filter("f"), objectSet=[update])]
    body = reply("WaitForUpdatesEx", Collector.UpdateSet(version="1", filterSet=filters))
    try:
        page = read_updates(body[:at] + noise + body[at + length :])
    except GarbledReply:
        return
    assert page is None or isinstance(page, Page)


@pytest.mark.parametrize(
    ("text", "at"),
    [("1970-01-01T00:00:01Z", 1.0), ("1970-01-01T02:00:00.5+02:00", 0.5), ("1970-01-01T00:00:02.123456789Z", 2.123456)],
)
def test_moments(text: str, at: float) -> None:
    assert moment(text) == at


def files(**sizes: int) -> list[Any]:
    return [SimpleNamespace(key=int(key[1:]), size=size) for key, size in sizes.items()]


def disk(key: int, *chain: int) -> Any:
    return SimpleNamespace(key=key, chain=[SimpleNamespace(fileKey=[one]) for one in chain])


def taken(data: int, memory: int, *disks: Any) -> Any:
    return SimpleNamespace(dataKey=data, memoryKey=memory, disk=list(disks))


@pytest.mark.parametrize(
    ("snapshots", "now", "held"),
    [
        ([], [disk(2000, 0)], 0),
        ([taken(1, -1, disk(2000, 0))], [disk(2000, 0, 2)], 1 + 4),
        ([taken(1, 5, disk(2000, 0)), taken(3, -1, disk(2000, 0, 2))], [disk(2000, 0, 2, 4)], 1 + 32 + 8 + 4 + 16),
        ([taken(1, -1, disk(2000, 6, 0))], [disk(2000, 6, 0, 2)], 1 + 4),  # a linked clone: 6 is its parent's
        ([taken(1, -1, disk(2000, 0))], [disk(2000, 0, 2), disk(2001, 6)], 1 + 4),  # a disk that was added later
        ([taken(1, -1, disk(2000, 0), disk(2001, 6))], [disk(2000, 0, 2)], 1 + 4),  # and one that was taken away
    ],
)  # fmt: skip
def test_what_snapshots_take(snapshots: list[Any], now: list[Any], held: int) -> None:
    sizes = files(k0=100, k1=1, k2=4, k3=8, k4=16, k5=32, k6=1000)
    assert snapshot_bytes(SimpleNamespace(file=sizes, snapshot=snapshots, disk=now)) == held


@given(st.lists(MOREFS, min_size=1, max_size=3), st.lists(st.integers(1, 600), max_size=6))
def test_the_query_is_what_pyvmomi_would_write(morefs: list[str], counters: list[int]) -> None:
    metrics = [Performance.MetricId(counterId=number, instance="") for number in counters]
    specs = [
        Performance.QuerySpec(
            entity=vim.VirtualMachine(moref), metricId=metrics, intervalId=20, maxSample=1, format="normal"
        )
        for moref in morefs
    ]
    info = vim.PerformanceManager._GetMethodInfo("QueryStats")
    written = STUB.SerializeRequest(vim.PerformanceManager("PerfMgr"), info, [specs]).decode()
    theirs = written[written.index("<QueryPerf") : written.index("</soapenv:Body>")]
    assert query("PerfMgr", morefs, counters, 20) == theirs.replace(' versionId="8.0.1.0"', "")


def test_a_hostile_name_of_a_vm_stays_a_name() -> None:
    body = query("PerfMgr", ["vm-1</entity><entity>"], [2], 20)
    assert '<entity type="VirtualMachine">vm-1&lt;/entity&gt;&lt;entity&gt;</entity>' in body


@given(st.integers(0, 200).flatmap(lambda count: st.tuples(st.just(count), st.sets(st.integers(0, 210), max_size=6))))
def test_vanished_vms_take_nobody_along(case: tuple[int, set[int]]) -> None:
    count, gone = case
    morefs, asked = [f"vm-{number}" for number in range(count)], []

    def ask(chunk: Sequence[str]) -> list[str]:
        asked.append(len(chunk))
        missing = [moref for moref in chunk if int(moref[3:]) in gone]
        if missing:
            raise vmodl.fault.ManagedObjectNotFound(obj=vim.VirtualMachine(missing[0]))
        return list(chunk)

    assert sorted(piecewise(morefs, ask)) == sorted(moref for moref in morefs if int(moref[3:]) not in gone)
    assert all(0 < each <= 64 for each in asked)
    assert len(asked) <= count / 64 + 1 + 14 * len(gone)


def test_what_else_is_gone_is_not_blamed_on_a_vm() -> None:
    def ask(_chunk: Sequence[str]) -> list[str]:
        raise vmodl.fault.ManagedObjectNotFound(obj=vim.PerformanceManager("PerfMgr"))

    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        piecewise(["vm-1", "vm-2"], ask)
