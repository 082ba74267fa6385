"""Reads the two large replies of a vCenter, WaitForUpdatesEx and QueryPerf, from their bytes.

pyVmomi's deserialiser takes several times as long for the same bytes (``bench/poll.py``), and a full read of 5,000
VMs would hold the whole daemon up. A property test holds both readers to the same result. What comes is hostile until
read: no document type, so no entity is ever expanded; UTF-8 alone; a bound on its size, compressed or not, and on
its elements, before a tree is made of them.
Source: vSphere Web Services API 8.0 (WSDL ``urn:vim25``), PropertyCollector, PerformanceManager; SOAP 1.1.
"""

from __future__ import annotations

import datetime as dt
import gc
import sys
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

from monitor.clients.vsphere_inventory import ManagedBy, Ref, Triggered, Update
from monitor.errors import GarbledReply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# A page is of 1,000 objects at most, a VM with snapshots and attributes takes about 5 KB and 300 marks.
MOST_BYTES = 64 * 2**20
MOST_MARKS = 3_000_000  # of "<" and "=": each may be an element or an attribute, of hundreds of bytes in memory
BODY = "{http://schemas.xmlsoap.org/soap/envelope/}Body"
TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
NS = "{urn:vim25}"
CHANGE_SET, OBJ, KIND, MISSING_SET = f"{NS}changeSet", f"{NS}obj", f"{NS}kind", f"{NS}missingSet"
NAME, OP, VAL = f"{NS}name", f"{NS}op", f"{NS}val"
ID, VALUE, COUNTER_ID, INSTANCE = f"{NS}id", f"{NS}value", f"{NS}counterId", f"{NS}instance"
_COUNTER = (f"{NS}groupInfo/{NS}key", f"{NS}nameInfo/{NS}key", f"{NS}rollupType")
LARGE = 2**15
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
    with _uncollected(body):
        return _page(body)


def _page(body: bytes) -> Page | None:
    found = _returned(body, "WaitForUpdatesExResponse")
    if not found:
        return None
    version = found[0].findtext(f"{NS}version")
    if version is None:
        raise GarbledReply("the vCenter's updates have no version")
    try:
        updates = [
            _update(one) for part in found[0].iterfind(f"{NS}filterSet") for one in part.iterfind(f"{NS}objectSet")
        ]
    except (ValueError, OverflowError, TypeError) as error:
        raise GarbledReply(f"the vCenter's updates cannot be read: {error}") from error
    return Page(version, found[0].findtext(f"{NS}truncated") in ("true", "1"), updates)


def read_samples(body: bytes) -> list[Sample]:
    """Read the reply of QueryPerf: of each entity the newest sample; -1 is no value. Raises GarbledReply."""
    try:
        with _uncollected(body):
            return [sample for one in _returned(body, "QueryPerfResponse") if (sample := _sample(one)) is not None]
    except (ValueError, OverflowError, TypeError, IndexError) as error:
        raise GarbledReply(f"the vCenter's counters cannot be read: {error}") from error


def read_counters(body: bytes) -> dict[tuple[str, str, str], int]:
    """Read the property ``perfCounter``: counter ids by group, name and kind of rollup. Raises GarbledReply."""
    found = _returned(body, "FetchResponse")
    try:
        return {
            tuple(one.findtext(path, "") for path in _COUNTER): int(one.findtext(f"{NS}key", ""))  # type: ignore[misc]  # three
            for array in found
            for one in array
        }
    except ValueError as error:
        raise GarbledReply(f"the vCenter's list of counters cannot be read: {error}") from error


@contextmanager
def _uncollected(body: bytes) -> Iterator[None]:
    """Let no garbage be collected while a large reply is read: its tree has no cycles, and is walked in vain.

    That is half of the time of a full read. It is for the whole process, but for less than a second.
    """
    if len(body) < LARGE or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _returned(body: bytes, response: str) -> list[ET.Element]:
    """Return the ``returnval`` elements of a response. Raises GarbledReply for anything else, hostile or broken."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GarbledReply("the vCenter's answer is not UTF-8") from error
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise GarbledReply("the vCenter's answer has a document type; SOAP has none")
    if text.count("<") + text.count("=") > MOST_MARKS:
        raise GarbledReply("the vCenter's answer has more elements than an inventory has")
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
        if tag == CHANGE_SET:
            name, value = _change(child)
            values[name] = value
        elif tag == OBJ:
            ref = _ref(child)
        elif tag == KIND:
            kind = child.text or ""
        elif tag == MISSING_SET:
            unreadable.append(child.findtext(f"{NS}path", ""))
    if ref is None or kind not in ("enter", "modify", "leave"):
        raise ValueError("an update without its object or kind")
    return Update(kind, ref, values, frozenset(unreadable))


def _change(element: ET.Element) -> tuple[str, Any]:
    name, op, value = "", "", None
    for child in element:
        tag = child.tag
        if tag == VAL:
            value = child
        elif tag == NAME:
            name = child.text or ""
        elif tag == OP:
            op = child.text or ""
    if not name:
        raise ValueError("a change without a name")
    if value is None or op in ("remove", "indirectRemove"):
        return name, None
    return name, _READERS.get(name, _plain)(value)


def _plain(element: ET.Element) -> Any:
    """Read a value that stands by itself, by the type it says it is."""
    read = _reader(element.get(TYPE, ""))
    if read is not None:
        return read(element)
    if element.get("type") is not None:  # a reference, whatever the value is said to be: SOAP leaves that open
        return _ref(element)
    text = element.text or ""
    return sys.intern(text) if len(text) <= SHORT else text


@lru_cache(maxsize=256)
def _reader(kind: str) -> Callable[[ET.Element], Any] | None:
    return _TYPES.get(kind.rpartition(":")[2])


def _boolean(element: ET.Element) -> bool:
    text = element.text
    if text in ("true", "1"):
        return True
    if text in ("false", "0"):
        return False
    raise ValueError("a truth value that is neither true nor false")


def _whole(element: ET.Element) -> int:
    return _long(element.text)


def _long(text: str | None) -> int:
    """Return an xsd:long. Raises ValueError, also for a number that needs more than 64 bits."""
    number = int(text or "")
    if not -(2**63) <= number < 2**63:
        raise ValueError("a number of more than 64 bits")
    return number


def _moment(element: ET.Element) -> float:
    return moment(element.text or "")


def _ref(element: ET.Element) -> Ref:
    return Ref(sys.intern(element.get("type", "").rpartition(":")[2]), sys.intern(element.text or ""))


def _refs(element: ET.Element) -> tuple[Ref, ...]:
    """Read an ArrayOfManagedObjectReference."""
    return tuple(_ref(one) for one in element)


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
        (moment(one.findtext(f"{NS}timestamp", "")), _long(one.findtext(f"{NS}interval")))
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
    for series in element.iterfind(VALUE):
        identity = series.find(ID)
        numbers = series.findall(VALUE)
        if identity is None or identity.findtext(INSTANCE) or newest >= len(numbers):
            continue
        value = _long(numbers[newest].text)
        if value >= 0:
            yield _long(identity.findtext(COUNTER_ID)), value


_TYPES: Mapping[str, Callable[[ET.Element], Any]] = {
    "boolean": _boolean,
    "ManagedObjectReference": _ref,
    "int": _whole,
    "long": _whole,
    "short": _whole,
    "byte": _whole,
    "dateTime": _moment,
}
_READERS: Mapping[str, Callable[[ET.Element], Any]] = {
    "snapshot": _snapshots,
    "config.managedBy": _managed_by,
    "customValue": _attributes,
    "datastore": _refs,
    "triggeredAlarmState": _alarms,
}
