"""One vCenter's inventory, followed by one property collector: a full read once, then only what changed.

Blocking; one thread. Whatever goes wrong ends with the collector dropped, so that the next poll reads everything
anew; a session that merely ended (expiry, restart, lost connection) is renewed within the same poll. Traps that this
answers: a filter or view outlives a time-out unseen, so the old session is logged out before a new one is used.
Source: vSphere Web Services API 8.0, PropertyCollector.WaitForUpdatesEx, ViewManager.CreateContainerView.
"""

# mypy: disallow-untyped-calls=False
# (pyVmomi calls itself typed and annotates nothing)

from __future__ import annotations

from typing import TYPE_CHECKING

from pyVmomi import vim, vmodl

from monitor.clients.vsphere_inventory import HOST_PATHS, VM_PATHS, Tables, VcenterSnapshot
from monitor.clients.vsphere_soap import Line, Peer, filter_spec, meaning
from monitor.errors import GarbledReply, NotFound, SessionLost, TargetError

if TYPE_CHECKING:
    from monitor.clock import Clock

MOST_PAGES = 10_000  # a vCenter that goes on saying "truncated" for ever is broken


class Collector:
    """Follows a vCenter. ``abort`` may be called from any thread, ``poll`` and ``log_out`` from one at a time."""

    def __init__(self, peer: Peer, clock: Clock) -> None:
        """Prepare; the first poll connects."""
        self._peer = peer
        self._clock = clock
        self._line: Line | None = None
        self._old_session: str | None = None
        self._version = ""
        self._tables = Tables()

    def poll(self, expires: float) -> VcenterSnapshot:
        """Bring the inventory up to date by ``expires`` (monotonic seconds). Raises TargetError leaves only."""
        try:
            if self._line is not None:
                try:
                    return self._follow(self._line, expires)
                except (SessionLost, NotFound):
                    self._drop()
            return self._follow(self._connect(expires), expires)
        except TargetError:
            self._drop()
            raise

    def abort(self) -> None:
        """Break off the running poll; the next one reads everything anew."""
        line = self._line
        if line is not None:
            line.abort()

    def log_out(self, expires: float) -> None:
        """End the session. Raises TargetError."""
        line, self._line = self._line, None
        if line is not None:
            try:
                line.expires = expires
                line.log_out()
            finally:
                line.hang_up()

    def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            self._old_session = line.session_id or self._old_session
            line.hang_up()

    def _connect(self, expires: float) -> Line:
        line = Line(self._peer, self._clock, expires)
        self._line = line  # from here on abort() reaches it
        try:
            line.open()
            if self._old_session is not None:
                line.resume(self._old_session)
                line.log_out()
                self._old_session = None
            line.log_in()
            view = line.content.viewManager.CreateContainerView(
                line.root(),
                [vim.VirtualMachine, vim.HostSystem],
                True,  # noqa: FBT003 - the SOAP call's order
            )
            spec = filter_spec(view, {vim.VirtualMachine: VM_PATHS, vim.HostSystem: HOST_PATHS})
            line.content.propertyCollector.CreateFilter(spec, False)  # noqa: FBT003 - likewise
        except vmodl.MethodFault as fault:
            raise meaning(fault, self._peer, "inventory") from fault
        self._version = ""
        self._tables = Tables()
        return line

    def _follow(self, line: Line, expires: float) -> VcenterSnapshot:
        line.expires = expires
        full = not self._version
        changed = 0
        options = vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=0)
        for _ in range(MOST_PAGES):
            try:
                update_set = line.content.propertyCollector.WaitForUpdatesEx(self._version, options)
            except vmodl.MethodFault as fault:
                raise meaning(fault, self._peer, "inventory") from fault
            if update_set is None:
                break
            for filter_update in update_set.filterSet:
                changed += self._tables.apply(filter_update.objectSet)
            self._version = update_set.version
            if not update_set.truncated:
                break
        else:
            raise GarbledReply(f"{self._peer} never comes to the end of its inventory")
        return self._tables.snapshot(self._clock.now(), str(line.content.about.apiVersion), full=full, changed=changed)
