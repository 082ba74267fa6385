"""One vCenter's inventory, followed by one property collector: a full read once, then only what changed.

Blocking; one thread. Whatever goes wrong ends with the session dropped, so that the next poll reads everything
anew; a session that merely ended (expiry, restart, lost connection) is renewed within the same poll.
Source: vSphere Web Services API 8.0, PropertyCollector.WaitForUpdatesEx, ViewManager.CreateContainerView,
ManagedEntity.triggeredAlarmState (of the root: that of everything below it), CustomFieldsManager.
"""

# mypy: disallow-untyped-calls=False
# (pyVmomi calls itself typed and annotates nothing)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyVmomi import vim, vmodl

from monitor.clients.vsphere_inventory import ALARMS, KINDS, RULE_PATHS, VcenterSnapshot, unescape
from monitor.clients.vsphere_reply import read_updates
from monitor.clients.vsphere_session import Keeper
from monitor.clients.vsphere_soap import SESSION_FAULTS, Line, Peer, filter_spec, meaning
from monitor.clients.vsphere_tables import Tables
from monitor.errors import DeadlineExceeded, GarbledReply, NotFound, SessionLost, TargetError
from monitor.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from monitor.clients.vsphere_reply import Page
    from monitor.clock import Clock

MOST_PAGES = 10_000  # a vCenter that goes on saying "truncated" for ever is broken
PAGE_OBJECTS = 1000  # bounds what one reply takes in memory; the vCenter may send fewer
FEWEST_OBJECTS = 50  # in a page, of a vCenter that is too slow for more
HAVE_A_TABLE = frozenset({"VirtualMachine", "HostSystem", "Datastore"})  # whatever rules there are
MOST_NAMES = 500  # names of alarms and their places that are asked for in one poll


class StillReading(DeadlineExceeded):
    """The time was over between two pages of a large inventory; the next poll goes on where this one ended."""


class Collector:
    """Follows a vCenter. ``abort`` may be called from any thread, ``poll`` and ``log_out`` from one at a time.

    ``by_rule`` has VMs' folders and custom attributes read too.
    """

    def __init__(self, peer: Peer, clock: Clock, *, by_rule: bool = False) -> None:
        """Prepare; the first poll connects."""
        self._peer = peer
        self._clock = clock
        self._keeper = Keeper(peer, clock)
        self._by_rule = by_rule
        self._version = ""
        self._full = True
        self._changed = 0  # since the last snapshot
        self._page_objects = PAGE_OBJECTS
        self._tables = Tables()
        self._names: dict[str, str] = {}
        self._attributes: dict[int, str] = {}

    def poll(self, expires: float) -> VcenterSnapshot:
        """Bring the inventory up to date by ``expires`` (monotonic seconds).

        Raises TargetError leaves only; StillReading alone keeps what was read until then.
        """
        try:
            if self._keeper.line is not None:
                try:
                    return self._follow(self._keeper.line, expires)
                except (SessionLost, NotFound):
                    self._keeper.drop()
            return self._follow(self._connect(expires), expires)
        except StillReading:
            raise
        except DeadlineExceeded:
            self._page_objects = max(FEWEST_OBJECTS, self._page_objects // 2)
            self._keeper.drop()
            raise
        except TargetError:
            self._keeper.drop()
            raise

    def abort(self) -> None:
        """Break off the running poll; the next one reads everything anew."""
        self._keeper.abort()

    def log_out(self, expires: float) -> None:
        """End the session. Raises TargetError."""
        self._keeper.log_out(expires)

    def _connect(self, expires: float) -> Line:
        try:
            line = self._keeper.connect(expires)
            self._watch(line)
            self._attributes = self._read_attributes(line) if self._by_rule else {}
        except vmodl.MethodFault as fault:
            raise meaning(fault, self._peer, "inventory") from fault
        self._version, self._full, self._changed = "", True, 0
        self._tables = Tables()
        self._names = {}
        return line

    def _watch(self, line: Line) -> None:
        """Make the two filters: everything in the inventory, and the alarms of its root."""
        root = line.root()
        kinds = {vim.VirtualMachine: "VirtualMachine", vim.HostSystem: "HostSystem", vim.Datastore: "Datastore"}
        kinds[vim.ClusterComputeResource] = "ClusterComputeResource"
        if self._by_rule:
            kinds |= {vim.Folder: "Folder", vim.Datacenter: "Folder"}
        paths = {
            kind: [
                path
                for path in KINDS[name].paths
                if self._by_rule or name != "VirtualMachine" or path not in RULE_PATHS
            ]
            for kind, name in kinds.items()
        }
        view = line.content.viewManager.CreateContainerView(
            root,
            list(kinds),
            True,  # noqa: FBT003 - the SOAP call's order
        )
        collector = vmodl.query.PropertyCollector
        alarms = collector.FilterSpec(
            objectSet=[collector.ObjectSpec(obj=root, skip=False)],
            propSet=[collector.PropertySpec(type=type(root), pathSet=[ALARMS], all=False)],
        )
        for spec in (filter_spec(view, paths), alarms):
            line.content.propertyCollector.CreateFilter(spec, False)  # noqa: FBT003 - likewise: whole values

    @staticmethod
    def _read_attributes(line: Line) -> dict[int, str]:
        """Read the custom attributes' names; a vCenter without them has none."""
        manager = line.content.customFieldsManager
        return {} if manager is None else {int(one.key): str(one.name) for one in manager.field}

    def _follow(self, line: Line, expires: float) -> VcenterSnapshot:
        line.expires = expires
        longest_s = 0.0
        for _ in range(MOST_PAGES):
            begun = self._clock.monotonic()
            if begun + longest_s > expires:
                raise StillReading(f"{self._peer} is still telling its inventory: {self._changed} objects until now")
            page = self._page(line)
            longest_s = max(longest_s, self._clock.monotonic() - begun)
            if page is None:
                break
            self._changed += self._tables.apply(page.updates)
            self._version = page.version
            if not page.truncated:
                break
        else:
            raise GarbledReply(f"{self._peer} never comes to the end of its inventory")
        self._learn_names(line)
        full, changed = self._full, self._changed
        self._full, self._changed = False, 0
        self._page_objects = PAGE_OBJECTS
        return self._tables.snapshot(
            self._clock.now(),
            str(line.content.about.apiVersion),
            full=full,
            changed=changed,
            names=dict(self._names),
            attributes=self._attributes,
        )

    def _page(self, line: Line) -> Page | None:
        """Ask what is new since the last page; None for nothing."""
        options = vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=0, maxObjectUpdates=self._page_objects)
        collector = line.content.propertyCollector
        try:
            body = line.in_bytes(lambda: collector.WaitForUpdatesEx(self._version, options))
        except vmodl.MethodFault as fault:
            raise meaning(fault, self._peer, "inventory") from fault
        return read_updates(body)

    def _learn_names(self, line: Line) -> None:
        """Ask how the alarms are called, and the things that raised them where no table has them; each once."""
        wanted: dict[str, tuple[Any, str]] = {}
        for one in self._tables.alarms or ():
            if one.alarm not in self._names:
                wanted[one.alarm] = (vim.alarm.Alarm(one.alarm, line), "info.name")
            kind = getattr(vim, one.entity.kind, None)
            if one.entity.kind not in HAVE_A_TABLE and one.entity.moref not in self._names and kind is not None:
                wanted[one.entity.moref] = (kind(one.entity.moref, line), "name")
        for moref, (thing, path) in list(wanted.items())[:MOST_NAMES]:
            self._names[moref] = self._read(line, thing, path) or moref

    def _read(self, line: Line, thing: Any, path: str) -> str:
        """Read one text of one thing; empty when it is gone, or not for us to see."""
        collector = vmodl.query.PropertyCollector
        spec = collector.FilterSpec(
            objectSet=[collector.ObjectSpec(obj=thing, skip=False)],
            propSet=[collector.PropertySpec(type=type(thing), pathSet=[path], all=False)],
        )
        try:
            page = line.content.propertyCollector.RetrievePropertiesEx([spec], collector.RetrieveOptions())
        except SESSION_FAULTS as fault:
            raise meaning(fault, self._peer, "names of its alarms") from fault
        except vmodl.MethodFault:
            return ""  # gone since, or not for us to see: its MoRef stands for it
        found: Iterable[Any] = () if page is None else page.objects
        return next((printable(unescape(str(one.val))) for item in found for one in item.propSet or ()), "")
