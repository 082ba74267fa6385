"""The shipped inventory.yaml: complete, without mistakes, and what depends on what in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor.inventory.dependencies import depends_on
from monitor.inventory.model import Inventory
from monitor.inventory.read import read

FILE = Path(__file__).parent.parent.parent / "inventory.yaml"


@pytest.fixture(scope="module")
def estate() -> Inventory:
    return read(FILE)


def test_the_estate_is_complete(estate):
    assert set(estate.systems) == {"cdeps", "ncts", "ite", "exim"}
    assert set(estate.sites) == {"main", "dr"}
    assert len(estate.hosts) == 9
    assert len(estate.crossings) == len(estate.links) == 19
    assert len(estate.operators) == 4
    assert {sensor.source.protocol for sensor in estate.sensors.values()} == {"snmp", "modbus", "nut", "redfish"}
    for site in estate.sites:
        quantities = {sensor.quantity for sensor in estate.sensors.values() if sensor.site == site}
        assert len(quantities) == 10
    for name in estate.systems:
        playbooks = {schedule.playbook for schedule in estate.schedules.values() if schedule.system == name}
        assert playbooks == {"backup", "verify", "drill"}
        assert any(one.system == name and one.playbook == "failover" for one in estate.responses.values())


def test_every_operator_rents_links(estate):
    rented = [link.operator for pair in estate.links.values() for link in (pair.primary, pair.backup)]
    assert set(rented) == set(estate.operators)


def test_every_address_is_on_loopback():
    # A test makes its own estate by replacing 127.80. everywhere; no other address may be left behind.
    addresses = set(re.findall(r"(?<![\d.])\d+\.\d+\.\d+\.\d+(?![\d.])", FILE.read_text(encoding="utf-8")))
    assert addresses
    assert all(address.startswith("127.80.") for address in addresses)


def test_dependencies_name_subjects_and_never_turn_in_a_circle(estate):
    found = depends_on(estate)
    assert {name for names in found.values() for name in names} <= found.keys()
    assert not any(subject in found[name] for subject, names in found.items() for name in names)


def test_dependencies_of_a_system(estate):
    found = depends_on(estate)
    assert found["front/ncts/main"] == ("site/main", "vm/vc-main/ncts-db-1")
    assert found["database/ncts/dr"] == ("site/dr", "vm/vc-dr/ncts-db-1", "host/ncts-db-dr")
    assert found["vm/vc-main/ncts-web-1"] == ("site/main", "vcenter/vc-main")
    assert found["host/vault-dr"] == ("site/dr",)
    assert found["sensor/main-smoke"] == ("site/main",)


def test_a_check_at_a_fronts_door_falls_with_the_front_and_one_on_a_host_with_the_host(estate):
    found = depends_on(estate)
    assert found["check/cdeps-login"] == (*found["front/cdeps/main"], "front/cdeps/main")
    assert found["check/vault-disk"] == ("site/dr", "host/vault-dr")
    disk = found["check/cdeps-db-main-disk"]
    assert disk == ("site/main", "vm/vc-main/cdeps-db-1", "host/cdeps-db-main")


def test_what_starts_a_failover_is_never_held_back(estate):
    found = depends_on(estate)
    for kind, keys in (("system", estate.systems), ("site", estate.sites), ("crossing", estate.crossings)):
        assert all(found[f"{kind}/{key}"] == () for key in keys)
    assert found["power/pdu-main"] == ()  # its own network and battery


def test_there_is_one_subject_for_everything_watched(estate):
    found = depends_on(estate)
    expected = 2 + 2 + 2 + 2 + 9  # sites, vCenters, power controllers, DNS servers, hosts
    expected += 4 + 4 * 2 * 7  # systems; at each site five VMs, a front and a database
    expected += 19 * 3 + 3  # crossings, their links; routers
    expected += len(estate.sensors) + len(estate.votes) + len(estate.checks)
    expected += len(estate.vantage.anchors) + len(estate.vantage.points) + len(estate.groups)
    assert len(found) == expected
