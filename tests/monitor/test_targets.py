"""The shipped inventory becomes one target for everything that is to be watched."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
from sim_kit import with_vip
from tls_kit import ThrowawayCa

from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.errors import CredentialError
from monitor.inventory.checks import IcmpCheck, TcpCheck
from monitor.inventory.checks_http import HttpCheck
from monitor.inventory.dependencies import depends_on
from monitor.inventory.equipment import PowerController, SshHost
from monitor.inventory.model import Inventory
from monitor.inventory.profiles import Point
from monitor.inventory.read import read
from monitor.inventory.shard import lots
from monitor.inventory.systems import VipPlace
from monitor.probes import PROBES
from monitor.probes.dns import ZonesParams
from monitor.probes.http import FormLogin, HttpParams
from monitor.probes.icmp import IcmpParams
from monitor.probes.modbus import ModbusParams
from monitor.probes.ntp import NtpParams
from monitor.probes.nut import NutParams
from monitor.probes.observer import ObserverParams
from monitor.probes.outlets import OutletsParams
from monitor.probes.redfish import RedfishParams
from monitor.probes.router import RouterParams
from monitor.probes.snmp import SnmpParams
from monitor.probes.ssh import DatabaseParams, VipParams
from monitor.probes.stamp import StampParams
from monitor.probes.tcp import TcpParams
from monitor.probes.tls import TlsParams
from monitor.probes.vsphere import VsphereParams
from monitor.targets import make_probes, targets

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def inventory() -> Inventory:
    return read(ROOT / "inventory.yaml")


def test_everything_has_exactly_one_target(inventory: Inventory) -> None:
    found = Counter(target.subject for target in targets(inventory))
    expected = {f"vcenter/{key}" for key in inventory.vcenters}
    expected |= {f"host/{key}" for key in inventory.hosts}
    expected |= {f"dns/{key}" for key in inventory.dns_servers}
    expected |= {f"power/{key}" for key in inventory.power_controllers}
    expected |= {
        f"{what}/{key}/{site}"
        for key in inventory.systems
        for site in inventory.sites
        for what in ("front", "database")
    }
    expected |= {f"link/{key}/{which}" for key in inventory.crossings for which in ("primary", "backup")}
    expected |= {f"sensor/{key}" for key in inventory.sensors}
    expected |= {f"check/{key}" for key in inventory.checks}
    expected |= {f"router/{key}" for key, crossing in inventory.crossings.items() if crossing.router}
    expected |= {f"anchor/{key}" for key in inventory.vantage.anchors}
    expected |= {f"vantage/{key}" for key in inventory.vantage.points}
    assert set(found) == expected
    assert set(found.values()) == {1}
    assert len([subject for subject in found if subject.startswith("link/")]) == 38


def test_every_probe_is_known_and_gets_its_own_parameters(inventory: Inventory) -> None:
    kinds = {
        "http": HttpParams,
        "icmp": IcmpParams,
        "modbus": ModbusParams,
        "observer": ObserverParams,
        "router": RouterParams,
        "tls": TlsParams,
        "ntp": NtpParams,
        "nut": NutParams,
        "outlets": OutletsParams,
        "redfish": RedfishParams,
        "snmp": SnmpParams,
        "stamp": StampParams,
        "tcp": TcpParams,
        "vsphere": VsphereParams,
    }
    for target in targets(inventory):
        assert target.probe in PROBES
        assert is_dataclass(target.params)
        if target.probe not in {"ssh", "dns"}:
            assert type(target.params) is kinds[target.probe]
        assert target.deadline_s == inventory.polling.deadline_s


def test_a_name_server_is_asked_for_the_zones_of_the_systems_that_use_it_else_for_the_estates(
    inventory: Inventory,
) -> None:
    server = inventory.dns_servers["dns-dr"]
    ncts = inventory.systems["ncts"]
    other = ncts.model_copy(update={"service": ncts.service.model_copy(update={"zone": "transit.example"})})
    more = {"dns_servers": {**inventory.dns_servers, "spare": server}, "systems": {**inventory.systems, "ncts": other}}
    asked = {one.subject: one.params for one in targets(inventory.model_copy(update=more))}
    both = ("customs.example", "transit.example")
    key = (server.tsig_name, server.tsig_credential)
    assert asked["dns/dns-dr"] == ZonesParams(server.address, server.port, both, *key)
    assert asked["dns/spare"] == ZonesParams(server.address, server.port, ("customs.example",), *key)


def test_a_power_controller_is_asked_for_the_outlets_of_systems_or_knocked_at(inventory: Inventory) -> None:
    controller = inventory.power_controllers["pdu-dr"]
    spare = inventory.model_copy(update={"power_controllers": {**inventory.power_controllers, "spare": controller}})
    asked = {one.subject: one.params for one in targets(spare)}
    assert asked["power/pdu-dr"] == OutletsParams(controller, ("cdeps", "exim", "ite", "ncts"))
    assert asked["power/spare"] == TcpParams(controller.address, controller.port)


def test_each_host_that_may_hold_an_address_is_asked_whether_it_does(inventory: Inventory) -> None:
    wandering = with_vip(inventory, "ncts")
    asked = {one.subject: one.params for one in targets(wandering)}
    host = inventory.hosts["ncts-db-dr"]
    assert asked.keys() - {one.subject for one in targets(inventory)} == {"vip/ncts/main", "vip/ncts/dr"}
    assert asked["vip/ncts/dr"] == VipParams(host, "192.0.2.9/32", "eth0")
    assert depends_on(wandering)["vip/ncts/dr"] == ("site/dr", "host/ncts-db-dr")
    assert lots(wandering)["host/ncts-db-dr"] == lots(wandering)["vip/ncts/dr"] == lots(wandering)["system/ncts"]
    elsewhere = wandering.systems["ncts"].vip.model_copy(
        update={"sites": {"dr": VipPlace(host="vault-dr", interface="eth0")}}
    )
    system = wandering.systems["ncts"].model_copy(update={"vip": elsewhere})
    moved = wandering.model_copy(update={"systems": {**wandering.systems, "ncts": system}})
    assert lots(moved)["host/vault-dr"] == lots(moved)["system/ncts"], "whoever watches the one knows the other"


def test_what_is_asked_of_a_system(inventory: Inventory) -> None:
    by_subject = {target.subject: target for target in targets(inventory)}
    assert by_subject["front/ncts/dr"].params == HttpParams("https://127.80.2.12:8443/health")
    database = by_subject["database/ncts/main"].params
    assert isinstance(database, DatabaseParams)
    assert database.host == inventory.hosts["ncts-db-main"]
    assert database.argv == inventory.systems["ncts"].database.commands.status
    vcenter = by_subject["vcenter/vc-dr"].params
    assert {"cdeps-db-1", "ncts-app-1", "exim-web-2"} <= set(vcenter.vms)


def test_a_sensor_may_have_its_own_interval(inventory: Inventory) -> None:
    key, sensor = next(iter(inventory.sensors.items()))
    slow = inventory.model_copy(update={"sensors": {key: sensor.model_copy(update={"interval_s": 77.0})}})
    assert [target.interval_s for target in targets(slow) if target.subject == f"sensor/{key}"] == [77.0]


def test_an_icmp_link_and_every_kind_of_check(inventory: Inventory) -> None:
    link = inventory.links["blace"]
    by_icmp = link.model_copy(update={"backup": link.backup.model_copy(update={"probe": "icmp"})})
    page = HttpCheck(
        probe="http", site="main", address="127.80.1.40", port=8443, url="https://intranet.customs.example/"
    )
    port = TcpCheck(probe="tcp", site="main", address="127.80.1.40", port=25)
    made = {"page": page, "port": port, "ping": IcmpCheck(probe="icmp", site="main", address="127.80.1.40")}
    changed = inventory.model_copy(update={"links": {"blace": by_icmp}, "checks": made})
    found = {target.subject: target.params for target in targets(changed)}
    assert found["link/blace/backup"] == IcmpParams(link.backup.far_end)
    assert found["check/page"] == HttpParams("https://intranet.customs.example/", "127.80.1.40", 8443)
    assert found["check/port"] == TcpParams("127.80.1.40", 25)
    assert found["check/ping"] == IcmpParams("127.80.1.40")


def test_no_secret_is_in_a_target(inventory: Inventory, tmp_path: Path) -> None:
    # Nothing is resolved: there is no credentials directory at all.
    for target in targets(inventory):
        values = [getattr(target.params, field.name) for field in fields(target.params)]
        known = str | int | float | tuple | frozenset | SshHost | PowerController | Point | FormLogin | None
        assert all(isinstance(value, known) for value in values)


@pytest.mark.anyio
async def test_one_probe_of_each_kind_is_made_and_closed(inventory: Inventory, tmp_path: Path) -> None:
    (tmp_path / inventory.trust.known_hosts).write_text("")
    (tmp_path / inventory.trust.tls_ca).write_bytes(ThrowawayCa(tmp_path / "ca").bundle.read_bytes())
    probes = make_probes(inventory, Credentials(tmp_path), RealClock())
    assert sorted(probes) == sorted(PROBES)
    for probe in probes.values():
        assert [one async for one in probe.observe([])] == []
        await probe.close()


def test_a_missing_known_hosts_file_is_told(inventory: Inventory, tmp_path: Path) -> None:
    (tmp_path / inventory.trust.tls_ca).write_bytes(ThrowawayCa(tmp_path / "ca").bundle.read_bytes())
    with pytest.raises(CredentialError, match=inventory.trust.known_hosts):
        PROBES["ssh"](Credentials(tmp_path), inventory.trust, RealClock())
