"""What changes all the time at a vCenter and is asked by a slower clock: performance counters, sizes of snapshots.

Blocking; one thread and one session of its own, so that it neither waits for the inventory nor delays it. Counters are
asked in chunks of entities; a chunk with a VM that has just vanished is halved until the rest has answered. A counter
without a value is left out, and so is a sample that is old by the vCenter's own clock.
Source: vSphere Web Services API 8.0, PerformanceManager.QueryPerf (real-time provider, ``refreshRate``),
VirtualMachineFileLayoutEx.
"""

# mypy: disallow-untyped-calls=False
# (pyVmomi calls itself typed and annotates nothing)

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar
from xml.sax.saxutils import escape

from pyVmomi import vim, vmodl

from monitor.clients.vsphere_reply import read_counters, read_samples
from monitor.clients.vsphere_session import Keeper
from monitor.clients.vsphere_soap import Line, Peer, meaning
from monitor.errors import Refused, SessionLost, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from monitor.clients.vsphere_reply import Sample
    from monitor.clock import Clock

Found = TypeVar("Found")
CHUNK = 64  # entities a call
CALL_LIMIT_S = 10.0  # a survey may take long, none of its calls; a connect that hangs cannot be broken off
REALTIME_S = 20  # what the real-time provider's refreshRate is everywhere; used where it does not say
OLDEST_SAMPLE_S = 120.0
NO_MEASURE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter: ``group``, ``name`` and ``rollup`` as vSphere has them; a value times ``scale`` is in base units.

    ``per_interval``: the value is a sum over the sampling interval, and is divided by its seconds.
    """

    group: str
    name: str
    rollup: str
    scale: float
    per_interval: bool = False


COUNTERS: Mapping[str, Counter] = {
    "cpu-usage": Counter("cpu", "usage", "average", 1e-4),  # hundredths of a percent
    "cpu-ready": Counter("cpu", "ready", "summation", 1e-3, per_interval=True),  # milliseconds
    "memory-usage": Counter("mem", "usage", "average", 1e-4),
    "memory-swapped": Counter("mem", "swapped", "average", 1024.0),  # KB
    "memory-ballooned": Counter("mem", "vmmemctl", "average", 1024.0),
    "disk-read": Counter("disk", "read", "average", 1024.0),  # KBps
    "disk-write": Counter("disk", "write", "average", 1024.0),
    "disk-latency": Counter("disk", "maxTotalLatency", "latest", 1e-3),  # milliseconds
    "network-received": Counter("net", "received", "average", 1024.0),
    "network-transmitted": Counter("net", "transmitted", "average", 1024.0),
}


@dataclass(frozen=True, slots=True)
class Survey:
    """What one survey found, begun at ``at`` (Unix seconds); all by MoRef.

    ``measures`` has, by name of ``COUNTERS``, values in base units (ratios of one, seconds, bytes, bytes a second).
    ``snapshot_bytes`` is what removing a VM's snapshots would give back at most.
    """

    at: float
    measures: Mapping[str, Mapping[str, float]]
    snapshot_bytes: Mapping[str, float]


@dataclass(slots=True)
class _Known:
    """What is read once a session: counter ids by our names, and the real-time provider's interval."""

    ids: Mapping[int, str] = field(default_factory=dict)
    interval_s: int = 0


class Surveyor:
    """Makes surveys of one vCenter. ``abort`` may be called from any thread, the others from one at a time."""

    def __init__(self, peer: Peer, clock: Clock, counters: Sequence[str]) -> None:
        """Prepare to ask for ``counters`` (names of ``COUNTERS``)."""
        self._peer = peer
        self._clock = clock
        self._counters = tuple(counters)
        self._keeper = Keeper(peer, clock, CALL_LIMIT_S)
        self._known = _Known()

    def survey(self, running: Sequence[str], with_snapshots: Sequence[str], expires: float) -> Survey:
        """Ask for counters of the VMs ``running`` and snapshot sizes of those ``with_snapshots`` (MoRefs).

        Raises TargetError leaves only; ``expires`` is in monotonic seconds.
        """
        try:
            if self._keeper.line is not None:
                try:
                    return self._ask(self._keeper.line, running, with_snapshots, expires)
                except SessionLost:
                    self._keeper.drop()
            return self._ask(self._connect(expires), running, with_snapshots, expires)
        except TargetError:
            self._keeper.drop()
            raise

    def abort(self) -> None:
        """Break off the running survey."""
        self._keeper.abort()

    def log_out(self, expires: float) -> None:
        """End the session. Raises TargetError."""
        self._keeper.log_out(expires)

    def _connect(self, expires: float) -> Line:
        try:
            line = self._keeper.connect(expires)
        except vmodl.MethodFault as fault:
            raise meaning(fault, self._peer, "performance") from fault
        self._known = _Known()
        return line

    def _ask(self, line: Line, running: Sequence[str], with_snapshots: Sequence[str], expires: float) -> Survey:
        line.expires = expires
        at = self._clock.now()
        try:
            sizes = dict(piecewise(with_snapshots, lambda chunk: self._layouts(line, chunk)))
            measures = self._measures(line, running) if self._counters and running else {}
        except vmodl.MethodFault as fault:
            raise meaning(fault, self._peer, "performance") from fault
        return Survey(at, measures, sizes)

    # -- performance --------------------------------------------------------------------------------------------------

    def _measures(self, line: Line, running: Sequence[str]) -> dict[str, Mapping[str, float]]:
        if not self._known.ids:
            self._learn(line, running[0])
        theirs: float = line.instance().CurrentTime().timestamp()
        found: dict[str, Mapping[str, float]] = {}
        for sample in piecewise(running, lambda chunk: self._chunk(line, chunk)):
            if abs(theirs - sample.at) <= OLDEST_SAMPLE_S:
                found[sample.entity.moref] = self._in_base_units(sample.values, sample.interval_s)
        return found

    def _learn(self, line: Line, one: str) -> None:
        """Read once a session what counters there are, and how often the real-time provider measures."""
        manager = line.content.perfManager
        there = read_counters(line.in_bytes(lambda: manager.perfCounter))
        wanted = ((name, COUNTERS[name]) for name in self._counters)
        named = ((there.get((one.group, one.name, one.rollup)), name) for name, one in wanted)
        ids = {number: name for number, name in named if number is not None}
        if not ids:
            raise Refused(f"{self._peer} has none of the counters that are asked for: {', '.join(self._counters)}")
        interval_s = REALTIME_S
        try:
            provider = manager.QueryPerfProviderSummary(vim.VirtualMachine(one, line))
        except vmodl.fault.ManagedObjectNotFound:
            pass  # that VM has just vanished; any other would have said the same
        else:
            if not provider.currentSupported:
                raise Refused(f"{self._peer} measures nothing of its VMs in real time")
            interval_s = int(provider.refreshRate or REALTIME_S)
        self._known = _Known(ids, interval_s)

    def _chunk(self, line: Line, morefs: Sequence[str]) -> list[Sample]:
        manager = line.content.perfManager
        body = query(manager._GetMoId(), morefs, self._known.ids, self._known.interval_s)  # noqa: SLF001 - pyVmomi's documented way to a MoRef
        return read_samples(line.send(manager, "QueryStats", body))

    def _in_base_units(self, values: Mapping[int, int], interval_s: int) -> Mapping[str, float]:
        found = {}
        for number, value in values.items():
            name = self._known.ids.get(number)
            if name is None:
                continue
            counter = COUNTERS[name]
            if counter.per_interval and interval_s <= 0:
                continue
            found[name] = value * counter.scale / (interval_s if counter.per_interval else 1)
        return found

    # -- snapshots ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _layouts(line: Line, morefs: Sequence[str]) -> list[tuple[str, float]]:
        """Read the layout of those VMs alone: it is long, and changes with every write."""
        collector = vmodl.query.PropertyCollector
        spec = collector.FilterSpec(
            objectSet=[collector.ObjectSpec(obj=vim.VirtualMachine(moref, line), skip=False) for moref in morefs],
            propSet=[collector.PropertySpec(type=vim.VirtualMachine, pathSet=["layoutEx"], all=False)],
        )
        found = []
        page = line.content.propertyCollector.RetrievePropertiesEx([spec], collector.RetrieveOptions())
        while page is not None:
            for item in page.objects:
                moref = str(item.obj._GetMoId())  # noqa: SLF001 - pyVmomi's documented way to a MoRef
                found += [(moref, snapshot_bytes(one.val)) for one in item.propSet or ()]
            token = page.token
            page = line.content.propertyCollector.ContinueRetrievePropertiesEx(token) if token else None
        return found


def piecewise(morefs: Sequence[str], ask: Callable[[Sequence[str]], list[Found]]) -> list[Found]:
    """Ask of VMs in chunks; one that has just vanished spoils its chunk, which is halved until the rest has answered.

    Raises what ``ask`` raises, but for ManagedObjectNotFound of one of the VMs.
    """
    found: list[Found] = []
    waiting = [morefs[start : start + CHUNK] for start in range(0, len(morefs), CHUNK)]
    while waiting:
        chunk = waiting.pop()
        try:
            found += ask(chunk)
        except vmodl.fault.ManagedObjectNotFound as fault:
            if fault.obj is not None and str(fault.obj._GetMoId()) not in chunk:  # noqa: SLF001 - as above
                raise
            half = len(chunk) // 2
            waiting += [part for part in (chunk[:half], chunk[half:]) if part and len(chunk) > 1]
    return found


def query(manager: str, morefs: Iterable[str], counters: Iterable[int], interval_s: int) -> str:
    """Write the body of QueryPerf for the newest sample of aggregate ``counters`` of VMs.

    pyVmomi takes longer to write such a request than we take to read its answer.
    """
    metrics = "".join(f"<metricId><counterId>{one}</counterId><instance></instance></metricId>" for one in counters)
    rest = f"<maxSample>1</maxSample>{metrics}<intervalId>{interval_s}</intervalId><format>normal</format></querySpec>"
    specs = "".join(f'<querySpec><entity type="VirtualMachine">{escape(moref)}</entity>{rest}' for moref in morefs)
    this = f'<_this type="PerformanceManager">{escape(manager)}</_this>'
    return f'<QueryPerf xmlns="urn:vim25">{this}{specs}</QueryPerf>'


def snapshot_bytes(layout: Any) -> float:
    """Return what a VM's snapshots take, by its VirtualMachineFileLayoutEx, in bytes.

    These are the snapshots' own files (state and memory), and of each disk every file that came after its oldest
    version: the shortest chain is the VM's own, be it a linked clone's or of a disk that was added later.
    """
    sizes = {int(one.key): float(one.size or 0) for one in layout.file or ()}
    snapshots = list(layout.snapshot or ())
    if not snapshots:
        return 0.0
    found = {int(key) for one in snapshots for key in (one.dataKey, one.memoryKey) if key is not None and int(key) >= 0}
    chains: dict[int, list[set[int]]] = {}
    for disks in (*(one.disk for one in snapshots), layout.disk):
        for disk in disks or ():
            files = {int(key) for unit in disk.chain or () for key in unit.fileKey or ()}
            chains.setdefault(int(disk.key), []).append(files)
    for versions in chains.values():
        found |= set().union(*versions) - min(versions, key=len)
    return sum(sizes.get(key, 0.0) for key in found)
