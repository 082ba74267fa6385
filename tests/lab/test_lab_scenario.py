"""The truth: power, machines, who is writable, drills, faults, names, backups."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.faults import FaultError
from lab.machine_orders import MachineError
from lab.machines import Machine
from lab.plan import read_plan
from lab.presence import Presence
from lab.scenario import Estate
from lab.truth import truth
from lab.vault import DamagedError

INVENTORY = Path(__file__).resolve().parents[2] / "inventory.yaml"


class Time:
    def __init__(self) -> None:
        self.at = 1_800_000_000.0

    def now(self) -> float:
        return self.at


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def estate(time: Time) -> Estate:
    return Estate(read_plan(INVENTORY), now=time.now)


def pass_time(estate: Estate, time: Time, seconds: float) -> None:
    time.at += seconds
    estate.tick()


def machine(estate: Estate, vcenter: str, name: str) -> Machine:
    found = estate.inventories[vcenter].by_name(name)
    assert found is not None
    return found


def test_at_the_start_everything_is_up_and_main_is_active(estate: Estate) -> None:
    for system in estate.plan.systems:
        assert estate.writable_sites(system) == ("main",)
        assert estate.front_presence(system, "dr") is Presence.ALIVE
    assert all(estate.host_presence(key) is Presence.ALIVE for key in estate.plan.hosts)
    assert estate.effects.all() == ()


def test_a_cut_site_is_dead_but_for_its_power_controller(estate: Estate) -> None:
    estate.injuries.inject("cut-site", "main", {})
    assert estate.writable_sites("ncts") == ()
    assert estate.front_presence("ncts", "main") is Presence.DEAD
    assert estate.host_presence("ncts-db-main") is Presence.DEAD
    assert estate.vcenter_presence("vc-main") is Presence.DEAD
    assert estate.dns_presence("dns-main") is Presence.DEAD
    assert estate.sensor_presence("main-smoke") is Presence.DEAD
    assert estate.power_presence("pdu-main") is Presence.ALIVE
    assert (estate.outlet("pdu-main", "ncts").on, estate.outlet("pdu-main", "ncts").watts) == (True, 0)
    assert estate.front_presence("ncts", "dr") is Presence.ALIVE


def test_an_old_primary_comes_back_with_the_power_and_that_is_remembered(estate: Estate, time: Time) -> None:
    estate.injuries.inject("cut-site", "main", {})
    estate.orders.promote("ncts", "dr", 2)
    assert estate.writable_sites("ncts") == ("dr",)
    estate.injuries.clear("cut-site", "main")
    assert estate.writable_sites("ncts") == ("dr",), "the machines are still booting"
    pass_time(estate, time, 1)
    assert estate.writable_sites("ncts") == ("main", "dr")
    assert estate.database("ncts", "main").epoch == 1
    estate.orders.switch_outlets("pdu-main", "ncts", on=False)
    assert estate.writable_sites("ncts") == ("dr",)
    assert estate.writable["ncts"].doubles == [(time.at, ("main", "dr"))]
    assert estate.writable["cdeps"].doubles == []


def test_a_fence_holds_when_power_returns_and_failback_can_start_the_database_alone(estate: Estate, time: Time) -> None:
    estate.injuries.inject("cut-site", "main", {})
    estate.orders.switch_outlets("pdu-main", "ncts", on=False)
    estate.orders.promote("ncts", "dr", 2)
    estate.orders.declare("ncts", "dr", "new")
    estate.injuries.clear("cut-site", "main")
    pass_time(estate, time, 1)
    assert estate.writable_sites("ncts") == ("dr",)
    assert estate.writable_sites("cdeps") == ("main",)
    names = [name for name, tier in estate.plan.systems["ncts"].deployments["main"].vms.items() if tier != "database"]
    for name in names:
        estate.machine_orders.power(machine(estate, "vc-main", name), on=False)
    estate.orders.switch_outlets("pdu-main", "ncts", on=True)
    pass_time(estate, time, 1)
    assert estate.host_presence("ncts-db-main") is Presence.ALIVE
    assert estate.front_presence("ncts", "main") is Presence.DEAD
    assert estate.orders.follow("ncts", "main").role == "standby"
    for name in names:
        estate.machine_orders.power(machine(estate, "vc-main", name), on=True)
    pass_time(estate, time, 2)
    assert estate.database("ncts", "main").position == 1
    estate.orders.demote("ncts", "dr", 3)
    estate.orders.promote("ncts", "main", 3)
    assert estate.writable_sites("ncts") == ("main",)
    assert estate.writable["ncts"].doubles == []


def test_a_stuck_fence_says_off_and_feeds_on(estate: Estate) -> None:
    estate.injuries.inject("stuck-fence", "pdu-main/ncts", {})
    estate.orders.switch_outlets("pdu-main", "ncts", on=False)
    outlet = estate.outlet("pdu-main", "ncts")
    assert (outlet.on, outlet.feeds) == (False, True)
    assert outlet.watts > 0
    assert estate.writable_sites("ncts") == ("main",)


def test_replication_stops_with_the_power_at_that_very_moment(estate: Estate, time: Time) -> None:
    estate.orders.declare("ncts", "main", "early")
    time.at += 1.0
    estate.orders.declare("ncts", "main", "late")
    time.at += 0.6
    estate.injuries.inject("cut-site", "main", {})
    time.at += 60
    dr = estate.database("ncts", "dr")
    assert (dr.has("early"), dr.has("late")) == (True, False)


def test_a_front_needs_one_machine_of_each_tier(estate: Estate) -> None:
    estate.machine_orders.power(machine(estate, "vc-dr", "ncts-web-1"), on=False)
    assert estate.front_presence("ncts", "dr") is Presence.ALIVE
    estate.machine_orders.power(machine(estate, "vc-dr", "ncts-web-2"), on=False)
    assert estate.front_presence("ncts", "dr") is Presence.DEAD


def test_a_drill_has_a_copy_of_its_own(estate: Estate, time: Time) -> None:
    estate.orders.declare("ncts", "main", "before")
    pass_time(estate, time, 2)
    clones = [
        estate.machine_orders.clone(machine(estate, "vc-dr", name), f"drill-7-{name}", power_on=False)
        for name in ("ncts-db-1", "ncts-app-1", "ncts-web-1")
    ]
    for clone in clones:
        estate.machine_orders.plug(clone, {card.key: ("drill-bubble", True) for card in clone.cards})
        estate.machine_orders.power(clone, on=True)
    assert estate.bubble_presence("ncts", "dr") is Presence.DEAD
    pass_time(estate, time, 1)
    bubble = estate.bubble("ncts", "dr")
    assert bubble is not None
    bubble.append("of the drill")
    assert estate.database("ncts", "dr").position == 1
    assert bubble.position == 2
    assert estate.writable_sites("ncts") == ("main",)
    for clone in clones:
        estate.machine_orders.power(clone, on=False)
    assert estate.bubble("ncts", "dr") is None
    for clone in clones:
        estate.machine_orders.destroy(clone)
    assert estate.bubbles == {}
    with pytest.raises(MachineError, match="current state"):
        estate.machine_orders.destroy(machine(estate, "vc-dr", "ncts-db-1"))


def test_clones_on_productions_network_are_no_bubble_and_are_remembered(estate: Estate, time: Time) -> None:
    orders = estate.machine_orders
    for name in ("ncts-app-1", "ncts-web-1"):
        clone = orders.clone(machine(estate, "vc-dr", name), f"drill-8-{name}", power_on=False)
        orders.plug(clone, {clone.cards[0].key: ("drill-bubble", True)})
        orders.power(clone, on=True)
    database = orders.clone(machine(estate, "vc-dr", "ncts-db-1"), "drill-8-ncts-db-1", power_on=False)
    replica, replication = database.cards
    assert (replica.network, replication.network) == ("production", "replication")
    assert replica.mac != machine(estate, "vc-dr", "ncts-db-1").cards[0].mac
    orders.plug(database, {replica.key: ("drill-bubble", True)})
    assert truth(estate, "ncts")["production_clone"] is False
    orders.power(database, on=True)  # its second card was forgotten
    pass_time(estate, time, 1)
    assert estate.bubble("ncts", "dr") is None
    orders.plug(database, {replication.key: ("drill-bubble", True)})
    assert estate.bubble("ncts", "dr") is not None
    assert (truth(estate, "ncts")["production_clone"], truth(estate, "ite")["production_clone"]) == (True, False)
    for key, network in ((4711, "drill-bubble"), (replica.key, "nowhere")):
        with pytest.raises(MachineError, match="Invalid configuration for device"):
            orders.plug(database, {key: (network, True)})


def test_a_dns_server_that_returns_takes_the_newer_zone(estate: Estate) -> None:
    estate.injuries.inject("cut-site", "main", {})
    assert estate.orders.put_record("dns-dr", "ncts.customs.example.", "127.80.2.12", 30)
    assert not estate.orders.put_record("dns-dr", "NCTS.customs.example", "127.80.2.12", 30)
    stale = estate.zone("dns-main").address("ncts.customs.example")
    assert stale is not None
    assert stale.address == "127.80.1.12"
    estate.injuries.clear("cut-site", "main")
    fresh = estate.zone("dns-main").address("ncts.customs.example")
    assert fresh is not None
    assert fresh.address == "127.80.2.12"


def test_a_corrupt_backup_is_found_by_reading_it(estate: Estate) -> None:
    with pytest.raises(FaultError, match="there is no backup of ncts yet"):
        estate.injuries.inject("corrupt-backup", "ncts", {})
    estate.orders.declare("ncts", "main", "a")
    written = estate.orders.backup("ncts", "main", "b1")
    assert estate.orders.backup("ncts", "main", "b1") == written
    assert estate.vault.check("b1") == written
    assert estate.orders.restore("b1", "scratch-1").newest_id == "a"
    estate.injuries.inject("corrupt-backup", "ncts", {})
    with pytest.raises(DamagedError, match="damaged"):
        estate.vault.check("b1")
    with pytest.raises(DamagedError, match="missing"):
        estate.vault.check("b2")
    assert [one.changed for one in estate.effects.all("ncts") if one.what == "backup"] == [True, False]


@pytest.mark.parametrize(
    ("name", "target", "parameters", "message"),
    [
        ("cut-sight", "main", {}, "unknown fault 'cut-sight'; there are: "),
        ("cut-site", "moon", {}, "unknown site 'moon' for cut-site; there are: main, dr"),
        ("delay-link", "blace/primary", {}, "delay-link needs the parameter 'ms'"),
        ("delay-link", "blace/primary", {"ms": "long"}, "delay-link: parameter 'ms' must be a number, not 'long'"),
    ],
)
def test_a_fault_that_cannot_be_says_why(
    estate: Estate, name: str, target: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(FaultError) as raised:
        estate.injuries.inject(name, target, parameters)
    assert str(raised.value).startswith(message)
    assert estate.effects.all() == ()


def test_links_and_sensors_obey_their_faults_and_recover(estate: Estate) -> None:
    calm = estate.link("blace/primary")
    estate.injuries.inject("delay-link", "blace/primary", {"ms": 300})
    estate.injuries.inject("lose-link", "blace/primary", {"percent": "12.5"})
    estate.injuries.inject("cut-link", "blace/backup", {})
    hurt = estate.link("blace/primary")
    assert hurt.rtt_ms == pytest.approx(calm.rtt_ms + 300)
    assert hurt.loss_percent == 12.5
    assert estate.link("blace/backup").cut
    room = estate.sensor_value("main-rack-1-temperature")
    estate.injuries.inject("set-sensor", "main-rack-1-temperature", {"value": 41})
    assert estate.sensor_value("main-rack-1-temperature") == 41
    assert estate.injuries.clear_all() == 4
    assert estate.link("blace/primary") == calm
    assert estate.sensor_value("main-rack-1-temperature") == room


def test_every_sensor_is_calm_at_the_start(estate: Estate) -> None:
    for key, plan in estate.plan.sensors.items():
        assert plan.valid_min <= estate.sensor_value(key) <= plan.valid_max


def test_power_drawn_follows_what_runs(estate: Estate) -> None:
    before = estate.sensor_value("main-power")
    estate.orders.switch_outlets("pdu-main", "ncts", on=False)
    assert estate.sensor_value("main-power") < before


def test_a_vanished_machine_comes_back_as_it_was(estate: Estate) -> None:
    before = machine(estate, "vc-dr", "ncts-web-1")
    estate.injuries.inject("vanish-vm", "vc-dr/ncts-web-1", {})
    assert estate.inventories["vc-dr"].by_name("ncts-web-1") is None
    estate.injuries.clear("vanish-vm", "vc-dr/ncts-web-1")
    assert machine(estate, "vc-dr", "ncts-web-1") is before


def test_subscribers_hear_of_every_change_after_it_is_true(estate: Estate) -> None:
    heard: list[Presence] = []
    estate.subscribe(lambda: heard.append(estate.front_presence("ncts", "main")))
    estate.injuries.inject("cut-site", "main", {})
    estate.injuries.inject("hang-front", "ncts/dr", {})
    assert heard == [Presence.DEAD, Presence.DEAD]
    assert estate.front_presence("ncts", "dr") is Presence.HANGING
