"""Everything that the inventory says is to be watched, as targets with their probes' parameters, and the probes.

Subjects: ``vcenter/<key>``, ``host/<key>``, ``front/<system>/<site>``, ``database/<system>/<site>``,
``vip/<system>/<site>``, ``link/<crossing>/<primary|backup>``, ``router/<crossing>``, ``path/<crossing>``,
``sensor/<key>``, ``dns/<key>``, ``power/<key>``, ``check/<key>``, ``anchor/<key>``, ``vantage/<key>``. A VM's subject
comes from its vCenter's answer. Secrets stay references here; a probe resolves them when it asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monitor.clients.ldap import Directory, Search
from monitor.clients.postgresql import Place
from monitor.clients.vsphere_tags import Tag
from monitor.inventory import checks_http
from monitor.inventory.checks import IcmpCheck, TcpCheck
from monitor.inventory.checks_hosts import CertificateCheck, ClockCheck, DiskCheck, LagCheck, UnitCheck
from monitor.inventory.checks_http import BasicLogin, BearerLogin, HttpCheck
from monitor.inventory.checks_services import DnsCheck, LdapCheck, NtpCheck, PostgresqlCheck, ServiceCheck, TlsCheck
from monitor.inventory.crossings import states_of
from monitor.inventory.profiles import PROFILES, Point
from monitor.inventory.sensors import ModbusSource, NutSource, RedfishSource, SnmpSource
from monitor.inventory.vantage import ObserverPoint, sessions_of
from monitor.probe import Target
from monitor.probes import PROBES
from monitor.probes.dns import DnsParams, ZonesParams
from monitor.probes.http import FormLogin, HeaderLogin, HttpParams, JsonWanted
from monitor.probes.icmp import IcmpParams
from monitor.probes.ldap import LdapParams
from monitor.probes.modbus import ModbusParams
from monitor.probes.ntp import NtpParams
from monitor.probes.nut import NutParams
from monitor.probes.observer import ObserverParams
from monitor.probes.outlets import OutletsParams
from monitor.probes.postgresql import PostgresqlParams
from monitor.probes.redfish import RedfishParams
from monitor.probes.router import RouterParams
from monitor.probes.snmp import SnmpParams
from monitor.probes.ssh import (
    CertificateParams,
    ClockParams,
    DatabaseParams,
    DiskParams,
    HostParams,
    LagParams,
    UnitParams,
    VipParams,
)
from monitor.probes.stamp import StampParams
from monitor.probes.tcp import TcpParams
from monitor.probes.tls import TlsParams
from monitor.probes.vsphere import Rule, VsphereParams

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.checks import Check
    from monitor.inventory.checks_hosts import HostCheck
    from monitor.inventory.checks_http import Login
    from monitor.inventory.crossings import Link
    from monitor.inventory.equipment import SshHost
    from monitor.inventory.model import Inventory
    from monitor.inventory.sensors import Sensor
    from monitor.inventory.values import Endpoint
    from monitor.probe import Probe
    from monitor.probes.ssh import SurveyParams

SensorParams = SnmpParams | ModbusParams | NutParams | RedfishParams
LDAPS_PORT, LDAP_PORT = 636, 389

Asked = tuple[str, str, Any, float | None]  # subject, probe, params, interval where it differs


def targets(inventory: Inventory) -> list[Target]:
    """Return every target, in the inventory's order. Subjects are unique."""
    polling = inventory.polling
    parts = (_anchors, _points, _equipment, _systems, _links, _paths, _sensors, _checks)
    return [
        Target(subject, probe, params, interval_s or polling.interval_s, polling.deadline_s)
        for part in parts
        for subject, probe, params, interval_s in part(inventory)
    ]


def make_probes(
    inventory: Inventory, credentials: Credentials, clock: Clock, kinds: Collection[str] = PROBES.keys()
) -> dict[str, Probe]:
    """Return one probe of each of ``kinds``; whoever made them closes them. Raises CredentialError (CA, hosts)."""
    return {name: make(credentials, inventory.trust, clock) for name, make in PROBES.items() if name in kinds}


def url(endpoint: Endpoint, path: str) -> str:
    """Return an HTTPS URL at an endpoint; an IPv6 address is put in brackets (RFC 3986, section 3.2.2)."""
    address = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    return f"https://{address}:{endpoint.port}{path}"


def _anchors(inventory: Inventory) -> Iterator[Asked]:
    for key, anchor in inventory.vantage.anchors.items():
        if anchor.probe == "tcp" and anchor.port is not None:
            yield f"anchor/{key}", "tcp", TcpParams(anchor.address, anchor.port), None
        else:
            yield f"anchor/{key}", "icmp", IcmpParams(anchor.address), None


def _points(inventory: Inventory) -> Iterator[Asked]:
    for key, point in inventory.vantage.points.items():
        if isinstance(point, ObserverPoint):
            pairs = frozenset((key, site) for key, system in inventory.systems.items() for site in system.sites)
            yield f"vantage/{key}", "observer", ObserverParams(point.url, point.credential, pairs), None
        elif (router := inventory.crossings[point.crossing].router) is not None:
            access = router.community or inventory.snmp_users[router.user or ""]
            asked = tuple(sessions_of(point).items())
            yield f"vantage/{key}", "router", RouterParams(router.address, router.port, access, asked), None


def _equipment(inventory: Inventory) -> Iterator[Asked]:
    for key, vcenter in inventory.vcenters.items():
        params = VsphereParams(
            key=key,
            address=vcenter.address,
            port=vcenter.port,
            user=vcenter.user,
            credential=vcenter.credential,
            datacenter=vcenter.datacenter,
            vms=_vms(inventory, key, "running"),
            replicas=_vms(inventory, key, "off"),
            rules=tuple(_rules(inventory, key)),
            counters=vcenter.performance.counters,
            survey_interval_s=vcenter.performance.interval_s,
            tags_interval_s=vcenter.tags_interval_s,
        )
        yield f"vcenter/{key}", "vsphere", params, None
    for key, host in inventory.hosts.items():
        yield f"host/{key}", "ssh", HostParams(host), None
    for key, server in inventory.dns_servers.items():
        zones, signed_with = _zones(inventory, key), (server.tsig_name, server.tsig_credential)
        yield f"dns/{key}", "dns", ZonesParams(server.address, server.port, zones, *signed_with), None
    for key, controller in inventory.power_controllers.items():
        if groups := _groups(inventory, key):
            yield f"power/{key}", "outlets", OutletsParams(controller, groups), None
        else:
            yield f"power/{key}", "tcp", TcpParams(controller.address, controller.port), None


def _groups(inventory: Inventory, controller: str) -> tuple[str, ...]:
    """Return the outlet groups of a power controller that fence systems off."""
    places = (place for system in inventory.systems.values() for place in system.sites.values())
    return tuple(sorted({place.fence.outlet_group for place in places if place.fence.controller == controller}))


def _zones(inventory: Inventory, server: str) -> tuple[str, ...]:
    """Return the zones that a DNS server is to serve: those of systems that name it, else the estate's own."""
    systems = (system.service for system in inventory.systems.values() if server in system.service.dns)
    return tuple(sorted({service.zone for service in systems})) or (inventory.estate.domain,)


def _vms(inventory: Inventory, vcenter: str, standby: str) -> tuple[str, ...]:
    """Return the names of the VMs that systems and hosts expect in a vCenter to stand by so, sorted."""
    named: dict[str, str] = {}
    for host in inventory.hosts.values():
        if host.vcenter == vcenter and host.vm is not None:
            named[host.vm] = "running"
    for system in inventory.systems.values():
        for deployment in system.sites.values():
            if deployment.vcenter == vcenter:
                tiers = deployment.vms
                names = (*tiers.database, *tiers.application, *tiers.web)
                named.update(dict.fromkeys(names, deployment.standby))
    return tuple(sorted(name for name, how in named.items() if how == standby))


def _rules(inventory: Inventory, vcenter: str) -> Iterator[Rule]:
    for key, system in inventory.systems.items():
        for site, deployment in system.sites.items():
            for rule in deployment.vms.rules if deployment.vcenter == vcenter else ():
                place = f"{key}/{site}/{rule.tier}"
                tag = Tag(rule.category or "", rule.tag) if rule.tag else None
                yield Rule(place, rule.folder or "", rule.attribute or "", rule.value or "", rule.at_least, tag)


def _systems(inventory: Inventory) -> Iterator[Asked]:
    for key, system in inventory.systems.items():
        for site, deployment in system.sites.items():
            page = HttpParams(url(deployment.front, deployment.front.health_path))
            yield f"front/{key}/{site}", "http", page, None
            status = DatabaseParams(inventory.hosts[deployment.database_host], system.database.commands.status)
            yield f"database/{key}/{site}", "ssh", status, None
        if (vip := system.vip) is not None:
            for site, place in vip.sites.items():
                yield (
                    f"vip/{key}/{site}",
                    "ssh",
                    VipParams(inventory.hosts[place.host], vip.network, place.interface),
                    None,
                )


def _links(inventory: Inventory) -> Iterator[Asked]:
    for crossing, links in inventory.links.items():
        for name, link in (("primary", links.primary), ("backup", links.backup)):
            yield f"link/{crossing}/{name}", *_link(link), None


def _paths(inventory: Inventory) -> Iterator[Asked]:
    for key, crossing in inventory.crossings.items():
        if crossing.router is not None:
            router = crossing.router
            access = router.community or inventory.snmp_users[router.user or ""]
            params = RouterParams(router.address, router.port, access, tuple(states_of(router).items()))
            yield f"router/{key}", "router", params, None
        if crossing.path is not None:
            yield f"path/{key}", "icmp", IcmpParams(crossing.path.address), None


def _link(link: Link) -> tuple[str, StampParams | IcmpParams]:
    if link.probe == "icmp":
        return "icmp", IcmpParams(link.far_end)
    return "stamp", StampParams(link.far_end, link.port)


def _sensors(inventory: Inventory) -> Iterator[Asked]:
    for key, sensor in inventory.sensors.items():
        yield f"sensor/{key}", *_source(sensor, inventory), sensor.interval_s


def _source(sensor: Sensor, inventory: Inventory) -> tuple[str, SensorParams]:
    match sensor.source:
        case SnmpSource() as snmp:
            return "snmp", _snmp(sensor, snmp, inventory)
        case ModbusSource() as modbus:
            return "modbus", ModbusParams(
                modbus.address,
                modbus.port,
                modbus.unit_id,
                modbus.register_address,
                modbus.table,
                modbus.encoding,
                modbus.word_order,
                modbus.scale,
                frozenset(modbus.sentinels),
            )
        case NutSource() as nut:
            return "nut", NutParams(nut.address, nut.port, nut.ups, nut.variable)
        case RedfishSource() as redfish:
            return "redfish", RedfishParams(
                redfish.address,
                redfish.port,
                redfish.user,
                redfish.credential,
                redfish.chassis,
                redfish.resource,
                redfish.member,
                sensor.unit,
            )


def _snmp(sensor: Sensor, source: SnmpSource, inventory: Inventory) -> SnmpParams:
    access = source.community or inventory.snmp_users[source.user or ""]
    if source.profile is not None:
        point = PROFILES[source.profile][source.point or ""]
    else:
        valid = (sensor.thresholds.valid_min, sensor.thresholds.valid_max)
        sentinels = dict.fromkeys(source.sentinels, "the device's word for no measurement")
        point = Point(sensor.quantity, source.oid or "", valid, source.scale, sentinels)
    return SnmpParams(source.address, source.port, access, point, source.index)


def _checks(inventory: Inventory) -> Iterator[Asked]:
    for key, check in inventory.checks.items():
        yield f"check/{key}", *_check(check, inventory), None


def _check(check: Check, inventory: Inventory) -> tuple[str, Any]:
    """Return the probe that asks for a check, and its parameters."""
    match check:
        case TcpCheck():
            return "tcp", TcpParams(check.address, check.port)
        case HttpCheck():
            return "http", _page(check)
        case IcmpCheck():
            return "icmp", IcmpParams(check.address)
        case DnsCheck() | TlsCheck() | NtpCheck() | LdapCheck() | PostgresqlCheck():
            return _of_service(check)
        case DiskCheck() | UnitCheck() | CertificateCheck() | ClockCheck() | LagCheck():
            return "ssh", _of_host(check, inventory.hosts[check.host])


def _of_service(check: ServiceCheck) -> tuple[str, Any]:
    match check:
        case DnsCheck():
            expected = (check.record, check.expect, check.rcode, check.recursive)
            return "dns", DnsParams(check.address, check.port, check.name, *expected)
        case TlsCheck():
            return "tls", TlsParams(check.address, check.port, check.name or check.address)
        case NtpCheck():
            return "ntp", NtpParams(check.address, check.port)
        case LdapCheck():
            return "ldap", _directory(check)
        case PostgresqlCheck():
            return "postgresql", _postgresql(check)


def _page(check: HttpCheck) -> HttpParams:
    wanted = check.json_field
    return HttpParams(
        url=check.url,
        address=check.address,
        port=check.port,
        expect_status=check.expect_status,
        contains=check.contains or "",
        json=None if wanted is None else JsonWanted(tuple(wanted.field.split(".")), wanted.equals),
        redirects=check.redirects,
        login=_login(check.login),
    )


def _login(login: Login | None) -> FormLogin | HeaderLogin | None:
    match login:
        case checks_http.FormLogin():
            fields = (login.user_field, login.password_field)
            return FormLogin(login.page, login.user, login.credential, *fields)
        case BasicLogin():
            return HeaderLogin(login.credential, login.user)
        case BearerLogin():
            return HeaderLogin(login.credential)
        case None:
            return None


def _directory(check: LdapCheck) -> LdapParams:
    port = check.port or (LDAPS_PORT if check.tls == "ldaps" else LDAP_PORT)
    directory = Directory(check.address, port, check.tls, check.server_name or "")
    search = Search(check.base, check.scope, check.filter, check.entries)
    return LdapParams(directory, search, check.bind_dn, check.credential)


def _postgresql(check: PostgresqlCheck) -> PostgresqlParams:
    place = Place(check.address, check.port, check.server_name or "", check.user, check.database)
    return PostgresqlParams(place, check.credential)


def _of_host(check: HostCheck, host: SshHost) -> SurveyParams | LagParams:
    match check:
        case DiskCheck():
            return DiskParams(host, check.mount)
        case UnitCheck():
            return UnitParams(host, check.unit)
        case CertificateCheck():
            return CertificateParams(host, check.path)
        case ClockCheck():
            return ClockParams(host, check.synchronized)
        case LagCheck():
            return LagParams(host, check.command)
