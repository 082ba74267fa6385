"""What a VM's network cards are plugged into, whether that is one network alone, and the change that makes it so.

No calls are made here. Source: vSphere Web Services API 8.0, VirtualEthernetCard and its backings, Network,
DistributedVirtualPortgroup, VirtualMachine.network.
"""

# mypy: disallow-untyped-calls=False
# (pyVmomi calls itself typed and annotates nothing)

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyVmomi import vim

from monitor.clients.vsphere_inventory import POWERS, Power, unescape
from monitor.errors import GarbledReply, NotFound, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WIRING_PATHS = ("runtime.powerState", "config.hardware.device", "network")
# The derived type first, with everything: right whether a vCenter joins the two, or takes the first, or the nearest.
NETWORK_PATHS: Mapping[Any, Sequence[str]] = {
    vim.dvs.DistributedVirtualPortgroup: ("name", "key", "config.distributedVirtualSwitch"),
    vim.Network: ("name",),
}
LISTED = 20  # names in a message

_Card = vim.vm.device.VirtualEthernetCard
_PASSED_THROUGH = (vim.vm.device.VirtualPCIPassthrough, vim.vm.device.VirtualSriovEthernetCard)


@dataclass(frozen=True, slots=True)
class Nic:
    """A network card: the name of the network behind it, and whether it is (and at power-on will be) connected."""

    label: str
    network: str
    connected: bool
    start_connected: bool


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a VM is plugged into.

    ``nics`` are its cards as configured, ``networks`` what the vCenter lists for the VM, ``passed_through`` devices
    that reach a physical card past every virtual network.
    """

    power: Power
    nics: tuple[Nic, ...]
    networks: tuple[str, ...]
    passed_through: tuple[str, ...] = ()

    def astray(self, network: str) -> str:
        """Return in words what keeps the VM from being on ``network`` and nothing else; empty when nothing does.

        A VM without any card is astray: seeing no card is no proof that there is none.
        """
        wrong = [f"{nic.label} is on network '{nic.network}'" for nic in self.nics if nic.network != network]
        wrong += [f"{label} reaches a physical network card" for label in self.passed_through]
        if not self.nics:
            wrong.append("it has no network card that can be seen")
        if not wrong and set(self.networks) != {network}:
            listed = ", ".join(f"'{one}'" for one in self.networks) or "none"
            wrong.append(f"the vCenter lists as its networks: {listed}")
        return ", ".join(wrong)


class Networks:
    """The networks of a vCenter or datacenter, as read with ``NETWORK_PATHS``."""

    def __init__(self, found: Iterable[tuple[Any, Mapping[str, Any]]]) -> None:
        """Take managed objects and their property values."""
        self._found = [(thing, values) for thing, values in found]
        self._names = {moref_of(thing): unescape(str(values.get("name"))) for thing, values in self._found}
        self._portgroups = {
            str(values["key"]): self._names[moref_of(thing)] for thing, values in self._found if values.get("key")
        }

    def named(self, name: str, where: str) -> Any:
        """Return the network ``name``. Raises NotFound with those there are, and Refused when several are so called."""
        found = [thing for thing, _ in self._found if self._names[moref_of(thing)] == name]
        if not found:
            names = sorted(set(self._names.values()))
            shown = ", ".join(f"'{one}'" for one in names[:LISTED]) or "none that this user may see"
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            raise NotFound(f"{where} has no network '{name}'; there are: {shown}{more}")
        if len(found) > 1:
            listed = ", ".join(sorted(map(moref_of, found)))
            raise Refused(
                f"{where} has {len(found)} networks '{name}' ({listed}); rename all but one, or name the datacenter"
            )
        return found[0]

    def switch(self, network: Any) -> Any:
        """Return the distributed switch of a distributed port group; None for a standard network."""
        return self._values(network).get("config.distributedVirtualSwitch")

    def backing(self, network: Any, switch_uuid: str) -> Any:
        """Return the backing of a card on ``network`` (at its switch's UUID, if it has one). Raises Refused."""
        name, key = self.name(network), self._values(network).get("key")
        if key:
            port = vim.dvs.PortConnection(portgroupKey=str(key), switchUuid=switch_uuid)
            return _Card.DistributedVirtualPortBackingInfo(port=port)
        if isinstance(network, vim.OpaqueNetwork):
            raise Refused(f"network '{name}' is neither a port group nor a distributed port group")
        return _Card.NetworkBackingInfo(deviceName=name, network=network)

    def name(self, network: Any) -> str:
        """Return the network's name, or its MoRef where it is not among those that were read."""
        return self._names.get(moref_of(network), moref_of(network))

    def _values(self, network: Any) -> Mapping[str, Any]:
        return next(values for thing, values in self._found if moref_of(thing) == moref_of(network))

    def behind(self, card: Any) -> str:
        """Return the name of the network that ``card`` is plugged into, or in words what is there instead."""
        backing = card.backing
        if isinstance(backing, _Card.DistributedVirtualPortBackingInfo) and backing.port is not None:
            key = backing.port.portgroupKey or "without a key"
            return self._portgroups.get(key, f"(distributed port group {key})")
        if isinstance(backing, _Card.NetworkBackingInfo) and backing.network is not None:
            return self.name(backing.network)
        return f"({getattr(backing, 'deviceName', None) or 'none that can be named'})"


def wiring_from(name: str, values: Mapping[str, Any], networks: Networks) -> Wiring:
    """Read a VM's wiring from ``WIRING_PATHS``. Raises GarbledReply when its devices or power are not told."""
    devices, power = values.get("config.hardware.device"), POWERS.get(str(values.get("runtime.powerState")))
    if devices is None or power is None:
        raise GarbledReply(f"the vCenter does not say which devices VM '{name}' has, or whether it is on")
    cards = [one for one in devices if isinstance(one, _Card)]
    return Wiring(
        power,
        tuple(
            Nic(
                label_of(card),
                networks.behind(card),
                bool(card.connectable and card.connectable.connected),
                bool(card.connectable and card.connectable.startConnected),
            )
            for card in cards
        ),
        tuple(networks.name(one) for one in values.get("network") or ()),
        tuple(label_of(one) for one in devices if isinstance(one, _PASSED_THROUGH)),
    )


def moref_of(thing: Any) -> str:
    """Return a managed object's id."""
    return str(thing._GetMoId())  # noqa: SLF001 - pyVmomi's documented way to a MoRef


def label_of(device: Any) -> str:
    """Return what the vCenter calls a device, such as ``Network adapter 1``."""
    return str(getattr(device.deviceInfo, "label", None) or f"device {device.key}")


def all_onto(devices: Sequence[Any], backing: Any) -> Any:
    """Return the ConfigSpec that plugs every card of ``devices`` into ``backing``, connected from power-on."""
    spec = vim.vm.device.VirtualDeviceSpec
    changes = []
    for card in devices:
        if isinstance(card, _Card):
            connect = card.connectable or vim.vm.device.VirtualDevice.ConnectInfo(
                allowGuestControl=False, connected=False
            )
            connect.startConnected = True
            card.connectable, card.backing = connect, backing
            changes.append(spec(operation=spec.Operation.edit, device=card))
    return vim.vm.ConfigSpec(deviceChange=changes)
