"""What a VM is plugged into, read from what a vCenter says; whether that is one network alone; how that is changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyVmomi import vim

from monitor.clients.vsphere_network import Networks, Nic, Wiring, all_onto, wiring_from
from monitor.errors import GarbledReply, NotFound, Refused

kind = vim.vm.device
Card = kind.VirtualEthernetCard
Dvs = vim.dvs.DistributedVirtualPortgroup

PRODUCTION, BUBBLE, OPAQUE = vim.Network("network-1"), vim.Network("network-2"), vim.OpaqueNetwork("network-o3")
GROUP, SWITCH = Dvs("dvportgroup-4"), vim.DistributedVirtualSwitch("dvs-5")
NETWORKS = Networks(
    [
        (PRODUCTION, {"name": "production"}),
        (BUBBLE, {"name": "drill%2fbubble"}),
        (OPAQUE, {"name": "overlay"}),
        (GROUP, {"name": "group", "key": "dvportgroup-4", "config.distributedVirtualSwitch": SWITCH}),
    ]
)


def card(key, backing, *, make=kind.VirtualVmxnet3, label="", **connect):
    description = vim.Description(label=label or f"Network adapter {key}", summary="")
    connectable = kind.VirtualDevice.ConnectInfo(allowGuestControl=True, **connect) if connect else None
    return make(key=key, deviceInfo=description, backing=backing, connectable=connectable)


def on(network):
    return Card.NetworkBackingInfo(deviceName="whatever", network=network)


def through(key):
    return Card.DistributedVirtualPortBackingInfo(port=vim.dvs.PortConnection(switchUuid="u", portgroupKey=key))


def wiring(*devices, networks=(BUBBLE,)):
    values = {"runtime.powerState": "poweredOff", "config.hardware.device": devices, "network": networks}
    return wiring_from("db", values, NETWORKS)


def test_cards_are_told_by_the_networks_behind_them():
    seen = wiring(
        kind.VirtualCdrom(key=1),
        card(1, on(PRODUCTION), connected=True, startConnected=True),
        card(2, on(BUBBLE), connected=False, startConnected=False),
        card(3, through("dvportgroup-4"), make=kind.VirtualE1000e),
        card(4, through("dvportgroup-99")),
        card(5, Card.LegacyNetworkBackingInfo(deviceName="bridged")),
        card(6, None),
        card(7, on(vim.Network("network-99"))),
        card(8, through(None)),
        networks=(PRODUCTION, BUBBLE, GROUP),
    )
    assert [nic.network for nic in seen.nics] == [
        *("production", "drill/bubble", "group", "(distributed port group dvportgroup-99)", "(bridged)"),
        *("(none that can be named)", "network-99", "(distributed port group without a key)"),
    ]
    assert [(nic.connected, nic.start_connected) for nic in seen.nics[:3]] == [
        (True, True),
        (False, False),
        (False, False),
    ]
    assert (seen.power, seen.networks) == ("off", ("production", "drill/bubble", "group"))


@pytest.mark.parametrize(
    ("devices", "networks", "astray"),
    [
        ((card(1, on(BUBBLE)), card(2, on(BUBBLE))), (BUBBLE,), ""),
        ((card(1, on(BUBBLE)),), (BUBBLE, BUBBLE), ""),
        ((card(1, on(PRODUCTION)),), (PRODUCTION,), "Network adapter 1 is on network 'production'"),
        ((card(1, on(BUBBLE)), card(2, on(PRODUCTION))), (BUBBLE,), "Network adapter 2 is on network 'production'"),
        (
            (card(1, on(BUBBLE)),),
            (BUBBLE, PRODUCTION),
            "the vCenter lists as its networks: 'drill/bubble', 'production'",
        ),
        ((card(1, on(BUBBLE)),), (), "the vCenter lists as its networks: none"),
        ((), (), "it has no network card that can be seen"),
        ((kind.VirtualCdrom(key=1),), (BUBBLE,), "it has no network card that can be seen"),
        (
            (card(1, on(BUBBLE)), card(9, None, make=kind.VirtualPCIPassthrough, label="PCI device 0")),
            (BUBBLE,),
            "PCI device 0 reaches a physical network card",
        ),
        (
            (card(1, on(BUBBLE), make=kind.VirtualSriovEthernetCard),),
            (BUBBLE,),
            "Network adapter 1 reaches a physical network card",
        ),
    ],
)
def test_on_one_network_alone(devices, networks, astray):
    assert wiring(*devices, networks=networks).astray("drill/bubble") == astray


names = st.sampled_from(["bubble", "production", "replication"])


@given(st.lists(names), st.lists(names), st.lists(st.just("PCI device 0"), max_size=1))
def test_nothing_but_the_bubble_passes(cards, listed, passed_through):
    nics = tuple(
        Nic(f"Network adapter {at}", one, connected=True, start_connected=True) for at, one in enumerate(cards)
    )
    isolated = bool(cards) and {*cards, *listed} == {"bubble"} and bool(listed) and not passed_through
    assert (Wiring("off", nics, tuple(listed), tuple(passed_through)).astray("bubble") == "") is isolated


def test_devices_or_power_that_are_not_told_are_no_answer():
    for values in ({"runtime.powerState": "poweredOn"}, {"config.hardware.device": (), "runtime.powerState": "?"}):
        with pytest.raises(GarbledReply, match="VM 'db'"):
            wiring_from("db", values, NETWORKS)


def test_networks_by_name():
    assert NETWORKS.named("drill/bubble", "it") is BUBBLE
    with pytest.raises(
        NotFound, match="it has no network 'x'; there are: 'drill/bubble', 'group', 'overlay', 'production'"
    ):
        NETWORKS.named("x", "it")
    with pytest.raises(NotFound, match="there are: none that this user may see"):
        Networks([]).named("x", "it")
    twice = Networks([(PRODUCTION, {"name": "n"}), (GROUP, {"name": "n", "key": "k"})])
    with pytest.raises(Refused, match=r"it has 2 networks 'n' \(dvportgroup-4, network-1\); rename all but one"):
        twice.named("n", "it")
    many = Networks([(vim.Network(f"network-{at}"), {"name": f"n{at:02}"}) for at in range(23)])
    with pytest.raises(NotFound, match="'n18', 'n19' and 3 more"):
        many.named("x", "it")


def test_the_backing_of_a_card_on_each_sort_of_network():
    standard = NETWORKS.backing(BUBBLE, "")
    assert (standard.deviceName, standard.network) == ("drill/bubble", BUBBLE)
    assert (NETWORKS.switch(BUBBLE), NETWORKS.switch(GROUP)) == (None, SWITCH)
    distributed = NETWORKS.backing(GROUP, "50 1c")
    assert (distributed.port.portgroupKey, distributed.port.switchUuid) == ("dvportgroup-4", "50 1c")
    assert distributed.port.portKey is None  # any free port of the group
    with pytest.raises(Refused, match="'overlay' is neither a port group nor a distributed port group"):
        NETWORKS.backing(OPAQUE, "")


def test_the_change_touches_every_card_and_nothing_else():
    cards = [card(1, on(PRODUCTION), startConnected=False, connected=False), card(2, None)]
    spec = all_onto([kind.VirtualCdrom(key=9), *cards], NETWORKS.backing(BUBBLE, ""))
    assert [(one.operation, one.device.key) for one in spec.deviceChange] == [("edit", 1), ("edit", 2)]
    for one in spec.deviceChange:
        assert one.device.backing.network is BUBBLE
        assert one.device.connectable.startConnected is True
