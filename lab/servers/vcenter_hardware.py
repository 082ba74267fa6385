"""A machine's devices and a vCenter's networks as vim25 shows them, and the changes of network that it is told.

Source: vSphere Web Services API 8.0, VirtualEthernetCard, VirtualMachineConfigSpec, Network. Every network here is a
standard port group; a distributed switch is not simulated.
"""

from __future__ import annotations

from lab.machines import Card, Inventory, Machine
from lab.servers.vcenter_soap import Call, Many, Ref, Struct, Value, VimFault, ref_of

PCI_CONTROLLER = 100
MEMORY_MB = 8192  # of every machine
FIRST_UNIT = 7  # of the PCI controller's slots for network cards
BACKING = "VirtualEthernetCardNetworkBackingInfo"


def network_ref(inventory: Inventory, name: str) -> Ref:
    """Return the managed object of the network ``name``."""
    return Ref("Network", f"network-{7 + inventory.networks.index(name)}")


def network_named(inventory: Inventory, ref: Ref) -> str | None:
    """Return the name of a network; None when there is no such thing."""
    return next((name for name in inventory.networks if network_ref(inventory, name) == ref), None)


def plugged_in(inventory: Inventory, machine: Machine) -> Many:
    """Return the networks of a machine, each once."""
    names = dict.fromkeys(card.network for card in machine.cards)
    return Many("ManagedObjectReference", tuple(network_ref(inventory, name) for name in names))


def hardware(inventory: Inventory, machine: Machine) -> Struct:
    """Return a machine's VirtualHardware."""
    controller = Struct(
        "VirtualPCIController",
        {"key": PCI_CONTROLLER, "deviceInfo": _described("PCI controller 0", ""), "busNumber": 0},
    )
    cards = tuple(_card(inventory, machine, at, card) for at, card in enumerate(machine.cards))
    return Struct(
        "VirtualHardware",
        {"numCPU": 4, "memoryMB": MEMORY_MB, "device": Many("VirtualDevice", (controller, *cards))},
    )


def _card(inventory: Inventory, machine: Machine, at: int, card: Card) -> Struct:
    running = machine.started_at is not None
    backing = Struct(BACKING, {"deviceName": card.network, "network": network_ref(inventory, card.network)})
    connect: dict[str, Value] = {
        "startConnected": card.start_connected,
        "allowGuestControl": True,
        "connected": running and card.start_connected,
        "status": "ok" if running else "untried",
    }
    return Struct(
        "VirtualVmxnet3",
        {
            "key": card.key,
            "deviceInfo": _described(f"Network adapter {at + 1}", card.network),
            "backing": backing,
            "connectable": Struct("VirtualDeviceConnectInfo", connect),
            "controllerKey": PCI_CONTROLLER,
            "unitNumber": FIRST_UNIT + at,
            "addressType": "assigned",
            "macAddress": card.mac,
            "wakeOnLanEnabled": True,
        },
    )


def _described(label: str, summary: str) -> Struct:
    return Struct("Description", {"label": label, "summary": summary})


def read_changes(call: Call, inventory: Inventory) -> dict[int, tuple[str, bool]]:
    """Return network and start-connected by device key. Raises VimFault for any change but a card's network."""
    spec = call.element("spec")
    parts = [] if spec is None else list(spec)
    changes = {}
    for part in parts:
        device, backing = part.find("device"), part.find("device/backing")
        ref = ref_of(part.find("device/backing/network"))
        if (
            part.tag != "deviceChange"
            or part.findtext("operation") != "edit"
            or device is None
            or backing is None
            or backing.get("type", "").rpartition(":")[2] != BACKING
        ):
            raise VimFault("NotSupported", "Here only the networks of network cards can be changed.")
        name = network_named(inventory, ref) if ref is not None else backing.findtext("deviceName", "")
        start = device.findtext("connectable/startConnected", "true") in {"true", "1"}
        changes[int(device.findtext("key", "0"))] = (name or "", start)
    return changes
