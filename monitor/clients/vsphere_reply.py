"""Reads the two large replies of a vCenter, WaitForUpdatesEx and QueryPerf, from their bytes.

pyVmomi's deserialiser takes several times as long for the same bytes (``bench/poll.py``), and a full read of 5,000
VMs would hold the whole daemon up. A property test holds both readers to the same result. What comes is hostile until
read: no document type, so no entity is ever expanded; UTF-8 alone; a bound on its size, compressed or not.
Source: vSphere Web Services API 8.0 (WSDL ``urn:vim25``), PropertyCollector, PerformanceManager; SOAP 1.1.
"""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

from monitor.clients.vsphere_inventory import ManagedBy, Ref, Triggered, Update
from monitor.errors import GarbledReply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MOST_BYTES = 256 * 2**20  # about 50,000 VMs in one page
BODY = "{http://schemas.xmlsoap.org/soap/envelope/}Body"
TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
NS = "{urn:vim25}"
WHOLE = frozenset({"int", "long", "short", "byte"})
SHORT = 16  # words of closed lists are this short and come a thousand times: kept once


class Page(NamedTuple):
    """An UpdateSet: ask again with ``version``; ``truncated`` says that more is waiting."""

    version: str
    truncated: bool
    updates: list[Update]


class Sample(NamedTuple):
    """The newest sample of one entity: ``at`` Unix seconds of the vCenter's clock; ``values`` by counter id."""

    entity: Ref
    at: float
    interval_s: int
    values: Mapping[int, int]


def read_updates(body: bytes) -> Page | None:
    """Read the reply of WaitForUpdatesEx; None when nothing has changed. Raises GarbledReply."""
    found = _returned(body, "WaitForUpdatesExResponse")
    if not found:
        return None
    try:
        updates = [
            _update(one) for part in found[0].iterfind(f"{NS}filterSet") for one in part.iterfind(f"{NS}objectSet")
        ]
    except (ValueError, OverflowError, TypeError) as error:
        raise GarbledReply(f"the vCenter's updates cannot be read: {error}") from error
    version = found[0].findtext(f"{NS}version")
    if version is None:
        raise GarbledReply("the vCenter's updates have no version")
    return Page(version, found[0].findtext(f"{NS}truncated") in ("true", "1"), updates)


def read_samples(body: bytes) -> list[Sample]:
    """Read the reply of QueryPerf: of each entity the newest sample; -1 is no value. Raises GarbledReply."""
    try:
        return [sample for one in _returned(body, "QueryPerfResponse") if (sample := _sample(one)) is not None]
    except (ValueError, OverflowError, TypeError, IndexError) as error:
        raise GarbledReply(f"the vCenter's counters cannot be read: {error}") from error


def _returned(body: bytes, response: str) -> list[ET.Element]:
    """Return the ``returnval`` elements of a response. Raises GarbledReply for anything else, hostile or broken."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GarbledReply("the vCenter's answer is not UTF-8") from error
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise GarbledReply("the vCenter's answer has a document type; SOAP has none")
    try:
        root = ET.fromstring(text)  # noqa: S314 - without a document type there are no entities to expand
    except ET.ParseError as error:
        raise GarbledReply(f"the vCenter's answer is not XML: {error}") from error
    inside = root.find(f"{BODY}/{NS}{response}")
    if inside is None:
        raise GarbledReply(f"the vCenter's answer is no {response}")
    return inside.findall(f"{NS}returnval")


def _update(element: ET.Element) -> Update:
    ref, kind = None, ""
    values: dict[str, Any] = {}
    unreadable = []
    for child in element:
        tag = child.tag
        if tag == f"{NS}changeSet":
            name, value = _change(child)
            values[name] = value
        elif tag == f"{NS}obj":
            ref = _ref(child)
        elif tag == f"{NS}kind":
            kind = child.text or ""
        elif tag == f"{NS}missingSet":
            unreadable.append(child.findtext(f"{NS}path", ""))
    if ref is None or kind not in ("enter", "modify", "leave"):
        raise ValueError("an update without its object or kind")
    return Update(kind, ref, values, frozenset(unreadable))


def _change(element: ET.Element) -> tuple[str, Any]:
    name, op, value = "", "", None
    for child in element:
        tag = child.tag
        if tag == f"{NS}name":
            name = child.text or ""
        elif tag == f"{NS}op":
            op = child.text or ""
        elif tag == f"{NS}val":
            value = child
    if not name:
        raise ValueError("a change without a name")
    name = sys.intern(name)
    if value is None or op in ("remove", "indirectRemove"):
        return name, None
    return name, _READERS.get(name, _plain)(value)


def _plain(element: ET.Element) -> Any:
    """Read a value that stands by itself, by the type it says it is."""
    kind = element.get(TYPE, "").rpartition(":")[2]
    text = element.text or ""
    if kind == "boolean":
        return _boolean(text)
    if kind == "ManagedObjectReference":
        return _ref(element)
    if kind in WHOLE:
        return int(text)
    if kind == "dateTime":
        return moment(text)
    return sys.intern(text) if len(text) <= SHORT else text


def _boolean(text: str) -> bool:
    if text in ("true", "1"):
        return True
    if text in ("false", "0"):
        return False
    raise ValueError("a truth value that is neither true nor false")


def _ref(element: ET.Element) -> Ref:
    return Ref(sys.intern(element.get("type", "").rpartition(":")[2]), sys.intern(element.text or ""))


def moment(text: str) -> float:
    """Return Unix seconds of an xsd:dateTime; without a zone it is UTC. Raises ValueError."""
    at = dt.datetime.fromisoformat(text)
    return (at if at.tzinfo is not None else at.replace(tzinfo=dt.UTC)).timestamp()


def _snapshots(element: ET.Element) -> tuple[float, ...]:
    """Read when each snapshot of a VirtualMachineSnapshotInfo was taken, oldest first."""
    return tuple(sorted(moment(one.text or "") for one in element.iter(f"{NS}createTime")))


def _managed_by(element: ET.Element) -> ManagedBy:
    return ManagedBy(element.findtext(f"{NS}extensionKey", ""), element.findtext(f"{NS}type", ""))


def _attributes(element: ET.Element) -> tuple[tuple[int, str], ...]:
    """Read custom attributes (ArrayOfCustomFieldValue) by key."""
    return tuple(sorted((int(one.findtext(f"{NS}key", "")), one.findtext(f"{NS}value", "")) for one in element))


def _alarms(element: ET.Element) -> tuple[Triggered, ...]:
    return tuple(_triggered(one) for one in element)


def _triggered(element: ET.Element) -> Triggered:
    alarm, entity = element.find(f"{NS}alarm"), element.find(f"{NS}entity")
    if alarm is None or entity is None:
        raise ValueError("an alarm without its name or place")
    return Triggered(
        _ref(alarm).moref,
        _ref(entity),
        element.findtext(f"{NS}overallStatus", ""),
        moment(element.findtext(f"{NS}time", "")),
        element.findtext(f"{NS}acknowledged") in ("true", "1"),
        element.findtext(f"{NS}acknowledgedByUser", ""),
    )


def _sample(element: ET.Element) -> Sample | None:
    """Read a PerfEntityMetric; None when it has no sample."""
    times = [
        (moment(one.findtext(f"{NS}timestamp", "")), int(one.findtext(f"{NS}interval", "")))
        for one in element.iterfind(f"{NS}sampleInfo")
    ]
    entity = element.find(f"{NS}entity")
    if entity is None:
        raise ValueError("counters of nothing")
    if not times:
        return None
    at, interval_s = max(times)
    newest = times.index((at, interval_s))
    return Sample(_ref(entity), at, interval_s, dict(_series(element, newest)))


def _series(element: ET.Element, newest: int) -> Iterator[tuple[int, int]]:
    """Yield counter id and newest value of every aggregate series that has one; what is negative is no value."""
    for series in element.iterfind(f"{NS}value"):
        identity = series.find(f"{NS}id")
        numbers = series.findall(f"{NS}value")
        if identity is None or identity.findtext(f"{NS}instance") or newest >= len(numbers):
            continue
        value = int(numbers[newest].text or "")
        if value >= 0:
            yield int(identity.findtext(f"{NS}counterId", "")), value


_READERS: Mapping[str, Callable[[ET.Element], Any]] = {
    "snapshot": _snapshots,
    "config.managedBy": _managed_by,
    "customValue": _attributes,
    "triggeredAlarmState": _alarms,
}
