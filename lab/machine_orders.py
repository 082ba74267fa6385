"""Orders to virtual machines, as vCenter's tasks carry them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lab.machines import Machine, Snapshot

if TYPE_CHECKING:
    from lab.scenario import Estate


class MachineError(Exception):
    """A task that cannot be done.

    ``fault`` is the vim25 fault's type name; ``state`` what is there (a power state, the taken name), ``wanted`` the
    power state asked for.
    """

    def __init__(self, fault: str, message: str, *, state: str = "", wanted: str = "") -> None:
        """Take the fault's type, a text for people and what the fault's fields need."""
        super().__init__(message)
        self.fault = fault
        self.state = state
        self.wanted = wanted


class MachineOrders:
    """Power, clones, networks, snapshots. Every order is recorded as an effect ``by`` vcenter."""

    def __init__(self, estate: Estate) -> None:
        """Give orders to ``estate``."""
        self._estate = estate

    def power(self, machine: Machine, *, on: bool) -> None:
        """Power a machine. Raises MachineError (InvalidPowerState when it is so already, HostNotConnected)."""
        if machine.powered == on:
            same = "poweredOn" if on else "poweredOff"
            text = f"The attempted operation cannot be performed in the current state ({same})."
            raise MachineError("InvalidPowerState", text, state=same, wanted=same)
        if on and not self._estate.fed(machine):
            raise MachineError("HostNotConnected", "Unable to communicate with the remote host: it is disconnected.")
        with self._estate.changing():
            machine.powered = on
            self._record("power on" if on else "power off", machine)

    def clone(self, machine: Machine, name: str, *, power_on: bool) -> Machine:
        """Clone a machine; a clone of a database machine holds a copy of its ledger. Raises MachineError."""
        inventory = self._estate.inventories[machine.vcenter]
        if inventory.by_name(name) is not None:
            raise MachineError("DuplicateName", f"The name '{name}' already exists.", state=name)
        if not self._estate.fed(machine):
            raise MachineError("HostNotConnected", "Unable to communicate with the remote host: it is disconnected.")
        with self._estate.changing():
            clone = inventory.add(name, machine.system, machine.tier, powered=power_on, source=machine.name)
            inventory.copy_cards(machine, clone)
            if machine.tier == "database" and not machine.source:
                ledger = self._estate.database(machine.system, inventory.site).copy()
                self._estate.bubbles[machine.vcenter, clone.moid] = ledger
            self._record("clone", clone, source=machine.name)
        return clone

    def plug(self, machine: Machine, changes: Mapping[int, tuple[str, bool]]) -> None:
        """Plug cards, by device key, into (network, connected from power-on). Raises MachineError InvalidDeviceSpec."""
        cards = {card.key: card for card in machine.cards}
        for key, (network, _) in changes.items():
            if key not in cards or network not in self._estate.inventories[machine.vcenter].networks:
                raise MachineError("InvalidDeviceSpec", f"Invalid configuration for device {key}.", state=str(key))
        lie = self._estate.faults.active("lie-reconfigure", machine.vcenter)
        with self._estate.changing():
            for key, (network, start_connected) in changes.items():
                if not lie:
                    cards[key].network, cards[key].start_connected = network, start_connected
            self._record("plug", machine, changed=not lie, networks=", ".join(card.network for card in machine.cards))

    def destroy(self, machine: Machine) -> None:
        """Delete a machine and its disks. Raises MachineError while it is powered on."""
        if machine.powered:
            text = "The attempted operation cannot be performed in the current state (poweredOn)."
            raise MachineError("InvalidPowerState", text, state="poweredOn", wanted="poweredOff")
        with self._estate.changing():
            self.remove(machine)
            self._record("destroy", machine)

    def snapshot(self, machine: Machine, name: str) -> str:
        """Take a snapshot; return its managed object id."""
        with self._estate.changing():
            machine.snapshots_taken += 1
            taken = Snapshot(machine.snapshots_taken, name, self._estate.now())
            machine.snapshots.append(taken)
            self._record("snapshot", machine, name=name)
        return machine.snapshot_moid(taken)

    def remove_snapshot(self, machine: Machine, moid: str, *, children: bool) -> None:
        """Remove one snapshot, and those taken after it if ``children``. Raises MachineError when it is gone."""
        place = next((at for at, one in enumerate(machine.snapshots) if machine.snapshot_moid(one) == moid), None)
        if place is None:
            raise MachineError("ManagedObjectNotFound", "The snapshot has been removed meanwhile.")
        with self._estate.changing():
            removed = machine.snapshots[place:] if children else [machine.snapshots[place]]
            for one in removed:
                machine.snapshots.remove(one)
                self._record("remove snapshot", machine, name=one.name)

    def remove_snapshots(self, machine: Machine) -> None:
        """Remove all snapshots."""
        with self._estate.changing():
            changed = bool(machine.snapshots)
            machine.snapshots.clear()
            self._record("remove snapshots", machine, changed=changed)

    def remove(self, machine: Machine) -> None:
        """Take a machine out of the inventory without further ado (inside ``changing``)."""
        del self._estate.inventories[machine.vcenter].machines[machine.moid]
        self._estate.bubbles.pop((machine.vcenter, machine.moid), None)

    def _record(self, what: str, machine: Machine, *, changed: bool = True, **detail: str) -> None:
        key = f"{machine.vcenter}/{machine.name}"
        self._estate.effects.record("vcenter", what, key, system=machine.system, changed=changed, **detail)
