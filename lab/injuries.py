"""Injecting and clearing faults: what each one does to the truth at that moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lab.faults import ONCE, Fault, FaultError, check_fault

if TYPE_CHECKING:
    from lab.machines import Machine
    from lab.scenario import Estate


class Injuries:
    """Faults of one estate: ``inject``, ``clear``, ``clear_all``."""

    def __init__(self, estate: Estate) -> None:
        """Injure ``estate``."""
        self._estate = estate
        self._vanished: dict[str, Machine] = {}
        self.session_generation: dict[str, int] = dict.fromkeys(estate.plan.vcenters, 0)

    def targets(self) -> dict[str, tuple[str, ...]]:
        """Return what each kind of target may be called."""
        plan = self._estate.plan
        return {
            "site": plan.sites,
            "monitor": ("monitor",),
            "system": tuple(plan.systems),
            "link": tuple(plan.links),
            "router": tuple(plan.routers),
            "sensor": tuple(plan.sensors),
            "vcenter": tuple(plan.vcenters),
            "vm": tuple(f"{one.vcenter}/{name}" for one in plan.deployments for name in one.vms),
            "datastore": tuple(
                f"{key}/{name}" for key, one in self._estate.inventories.items() for name in one.datastores
            ),
            "host": tuple(plan.hosts),
            "front": tuple(f"{one.system}/{one.site}" for one in plan.deployments),
            "dns": tuple(plan.dns_servers),
            "power": tuple(plan.power_controllers),
            "observer": tuple(plan.observers),
            "outlet": tuple("/".join(key) for key in self._estate.outlets),
        }

    def inject(self, name: str, target: str, parameters: Mapping[str, object]) -> Fault:
        """Put a fault in force (or let it happen once). Raises FaultError."""
        checked = check_fault(name, target, parameters, self.targets())
        fault = Fault(name, target, checked, self._estate.now())
        if name == "corrupt-backup" and self._estate.vault.newest(target) is None:
            raise FaultError(f"there is no backup of {target} yet; take one with: karaula backup {target}")
        if name == "stick-sensor":
            checked.setdefault("value", self._estate.sensor_value(target))
        with self._estate.changing():
            changed = name in ONCE or self._estate.faults.put(fault)
            self._begin(fault)
            self._estate.effects.record("fault", name, target, system=self._system(target), changed=changed, **checked)
        return fault

    def clear(self, name: str, target: str) -> bool:
        """End a fault; False when it was not in force."""
        with self._estate.changing():
            fault = self._estate.faults.get(name, target)
            if fault is None:
                return False
            self._estate.faults.remove(name, target)
            self._end(fault)
            self._estate.effects.record("fault", f"end of {name}", target, system=self._system(target))
        return True

    def clear_all(self) -> int:
        """End every fault; return how many there were."""
        faults = self._estate.faults.all()
        for fault in faults:
            self.clear(fault.name, fault.target)
        return len(faults)

    def _begin(self, fault: Fault) -> None:
        estate, target = self._estate, fault.target
        if fault.name == "cut-site":
            estate.power[target] = False
            self._end_sessions(target)
        elif fault.name in {"set-sensor", "stick-sensor"}:
            estate.held[target] = fault.number("value")
        elif fault.name == "corrupt-backup":
            newest = estate.vault.newest(target)
            if newest is not None:
                estate.vault.corrupt(newest)
        elif fault.name == "expire-sessions":
            self.session_generation[target] += 1
        elif fault.name == "stop-database":
            system, site = target.split("/")
            estate.database(system, site).stopped = True
        elif fault.name == "vanish-vm" and target not in self._vanished:
            vcenter, name = target.split("/")
            machine = estate.inventories[vcenter].by_name(name)
            if machine is not None:
                self._vanished[target] = machine
                estate.machine_orders.remove(machine)

    def _end(self, fault: Fault) -> None:
        estate, target = self._estate, fault.target
        if fault.name == "cut-site":
            estate.power[target] = True
            self._copy_zones(target)
        elif fault.name in {"set-sensor", "stick-sensor"}:
            estate.held.pop(target, None)
        elif fault.name == "stop-database":
            system, site = target.split("/")
            estate.database(system, site).stopped = False
        elif fault.name == "vanish-vm" and target in self._vanished:
            machine = self._vanished.pop(target)
            estate.inventories[machine.vcenter].machines[machine.moid] = machine

    def _end_sessions(self, site: str) -> None:
        for key, vcenter in self._estate.plan.vcenters.items():
            if vcenter.site == site:
                self.session_generation[key] += 1

    def _copy_zones(self, site: str) -> None:
        """Let a DNS server that comes back take over the newer zone of a peer that is up."""
        for key, server in self._estate.plan.dns_servers.items():
            if server.site != site:
                continue
            for peer, other in self._estate.plan.dns_servers.items():
                if peer != key and self._estate.power[other.site]:
                    self._estate.zones[key].copy_from(self._estate.zones[peer])

    def _system(self, target: str) -> str:
        head = target.split("/", maxsplit=1)[0]
        if head in self._estate.plan.systems:
            return head
        return ""
