"""The tables of what a vCenter holds, and the arithmetic of updates.

No calls are made here, so that it can be tried without a vCenter. Source: vSphere Web Services API 8.0,
PropertyCollector (ObjectUpdate).
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from monitor.clients.vsphere_inventory import ALARMS, KINDS, VcenterSnapshot, made_of, sound
from monitor.errors import GarbledReply

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from monitor.clients.vsphere_inventory import Triggered, Update


class Tables:
    """All objects of a vCenter, kept current by updates; only what changed is read anew."""

    def __init__(self) -> None:
        """Start empty, as before a full read."""
        self._tables: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self.alarms: tuple[Triggered, ...] | None = ()
        self._copies: tuple[MappingProxyType[str, Any], ...] | None = None

    def apply(self, updates: Iterable[Update]) -> int:
        """Take in updates (kinds enter, modify, leave) and return how many there were.

        Raises GarbledReply; the tables are then not to be used any more.
        """
        count = 0
        for update in updates:
            count += 1
            self._copies = None
            self._take(update)
        return count

    def _take(self, update: Update) -> None:
        kind = update.ref.kind if update.ref.kind in KINDS else "Folder"  # a datacenter, a pod of datastores
        if ALARMS in update.values or ALARMS in update.unreadable:
            self.alarms = None if ALARMS in update.unreadable else tuple(update.values[ALARMS] or ())
            return
        table, moref = self._tables[kind], update.ref.moref
        if update.kind == "leave":
            table.pop(moref, None)
            return
        paths = KINDS[kind].paths
        if any(path not in paths for path in update.values):
            raise GarbledReply(f"the vCenter tells of {moref} what it was not asked")
        known = table.get(moref)
        if update.kind == "enter" or known is None:
            made = made_of(kind, moref, update.values)
        else:
            changed = {paths[path][0]: paths[path][1](value) for path, value in update.values.items()}
            made = sound(replace(known, **changed))
        if "snapshot" in update.unreadable and kind == "VirtualMachine":
            made = replace(made, snapshots=None)
        table[moref] = made

    def snapshot(
        self,
        at: float,
        api_version: str,
        *,
        full: bool,
        changed: int,
        names: Mapping[str, str] | None = None,
        attributes: Mapping[int, str] | None = None,
    ) -> VcenterSnapshot:
        """Return an immutable copy, with the ``names`` and ``attributes`` that go with it.

        While nothing changes its tables are the very same objects.
        """
        if self._copies is None:
            self._copies = tuple(MappingProxyType(dict(table)) for table in self._tables.values())
        vms, hosts, datastores, folders, clusters = self._copies
        return VcenterSnapshot(
            at,
            full,
            changed,
            api_version,
            vms,
            hosts,
            datastores,
            folders,
            clusters,
            self.alarms,
            MappingProxyType(dict(names or {})),
            MappingProxyType(dict(attributes or {})),
        )
