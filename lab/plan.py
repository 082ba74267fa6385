"""The part of ``inventory.yaml`` that the lab builds: who has which address, what belongs to what.

Read with PyYAML's safe loader and on purpose not with the product's reader. The file is trusted to be right
(``karaula check`` is what judges it); a missing key raises KeyError.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from lab.points import completed

TIERS = ("database", "application", "web")


@dataclass(frozen=True, slots=True)
class VcenterPlan:
    """A vCenter: ``key`` at ``address``:``port``; ``credential`` names the password file of ``user``.

    ``bubble_network`` is the name of the network without a way out.
    """

    key: str
    site: str
    address: str
    port: int
    user: str
    credential: str
    bubble_network: str


@dataclass(frozen=True, slots=True)
class HostPlan:
    """An SSH host; ``vm`` is its VM at ``site`` (None: a machine that only needs the site's power)."""

    key: str
    site: str
    address: str
    port: int
    user: str
    credential: str
    vm: str | None


@dataclass(frozen=True, slots=True)
class PowerPlan:
    """A power controller with a Redfish service for the PDU ``pdu``."""

    key: str
    site: str
    address: str
    port: int
    pdu: str
    user: str
    credential: str


@dataclass(frozen=True, slots=True)
class DnsPlan:
    """An authoritative DNS server; ``tsig_credential`` names the base64 key file."""

    key: str
    site: str
    address: str
    port: int
    tsig_name: str
    tsig_credential: str


@dataclass(frozen=True, slots=True)
class TimePlan:
    """A time server that a check asks."""

    site: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """One system at one site. ``vms`` maps VM name to tier (``database``, ``application``, ``web``).

    ``tags`` maps a tier to the tag (category, name) by which a rule finds VMs of it; ``unnamed`` are VMs (with their
    tier) that are there for such a rule to find, one a rule.
    """

    system: str
    site: str
    vcenter: str
    vms: dict[str, str]
    tags: dict[str, tuple[str, str]]
    unnamed: dict[str, str]
    database_host: str
    front_address: str
    front_port: int
    health_path: str
    bubble_port: int
    controller: str
    outlet_group: str


@dataclass(frozen=True, slots=True)
class SystemPlan:
    """A key system; ``dns`` are keys of DNS servers, ``receipts_url`` may be empty."""

    key: str
    protected_site: str
    recovery_site: str
    fqdn: str
    zone: str
    dns: tuple[str, ...]
    ttl_s: int
    receipts_url: str
    vault: str
    deployments: dict[str, DeploymentPlan]


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """A link; ``key`` is ``<crossing>/primary`` or ``<crossing>/backup``; ``far_end``:``port`` answers STAMP (UDP)."""

    key: str
    crossing: str
    operator: str
    far_end: str
    port: int
    rtt_ms: float


@dataclass(frozen=True, slots=True)
class RouterPlan:
    """A crossing's router: an SNMP agent; ``links`` are interface and BGP peer of primary and backup.

    ``sessions`` are its sessions to sites: the site, over which link, and interface and BGP peer.
    """

    crossing: str
    address: str
    port: int
    community: str
    links: dict[str, tuple[int | None, str | None]]
    vrrp: str | None
    sessions: tuple[tuple[str, str, int | None, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class SensorPlan:
    """A sensor. ``source`` is the inventory's mapping as it stands there (protocol, address, port, oid, scale, …).

    ``valid_min`` and ``valid_max`` bound what a sound sensor can say; ``calm`` is a value that alarms nobody.
    """

    key: str
    site: str
    quantity: str
    unit: str
    source: dict[str, Any]
    valid_min: float
    valid_max: float
    calm: float


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole estate as planned; every mapping is by inventory key (links: ``<crossing>/<which>``).

    ``portal_users`` are the users whom checks log in as on the fronts, each with the reference of the password.
    ``observers`` are those that look at the estate from other places: address, port, and the reference of the token.
    ``tokens`` are the references of all tokens that programs have of one another.
    """

    tls_ca: str
    known_hosts: str
    sites: tuple[str, ...]
    vcenters: dict[str, VcenterPlan]
    hosts: dict[str, HostPlan]
    power_controllers: dict[str, PowerPlan]
    dns_servers: dict[str, DnsPlan]
    time_servers: tuple[TimePlan, ...]
    systems: dict[str, SystemPlan]
    links: dict[str, LinkPlan]
    routers: dict[str, RouterPlan]
    sensors: dict[str, SensorPlan]
    mail_server: tuple[str, int] | None
    ticket_url: str
    signing_key: str
    portal_users: dict[str, str]
    observers: dict[str, tuple[str, int, str]]
    tokens: tuple[str, ...]

    @property
    def deployments(self) -> tuple[DeploymentPlan, ...]:
        """Every system at every site."""
        return tuple(deployment for system in self.systems.values() for deployment in system.deployments.values())


def read_plan(path: Path) -> Plan:
    """Read the inventory at ``path``. Raises OSError, yaml.YAMLError or KeyError."""
    data = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)  # ten times as fast as safe_load
    notify = data.get("notify", {})
    points = data.get("vantage", {}).get("points", {})
    mail = notify.get("mail_server")
    return Plan(
        tls_ca=data["trust"]["tls_ca"],
        known_hosts=data["trust"]["known_hosts"],
        sites=tuple(data["sites"]),
        vcenters={key: _vcenter(key, value) for key, value in data["vcenters"].items()},
        hosts={key: _host(key, value) for key, value in data["hosts"].items()},
        power_controllers={key: PowerPlan(key=key, **value) for key, value in data["power_controllers"].items()},
        dns_servers={key: DnsPlan(key=key, **value) for key, value in data["dns_servers"].items()},
        time_servers=tuple(
            TimePlan(check["site"], check["address"], check.get("port", 123))
            for check in data.get("checks", {}).values()
            if check["probe"] == "ntp"
        ),
        systems={key: _system(key, value) for key, value in data["systems"].items()},
        links={
            f"{crossing}/{which}": _link(crossing, which, pair[which], data["operators"])
            for crossing, pair in data["links"].items()
            for which in ("primary", "backup")
        },
        routers={
            key: _router(key, value["router"], points)
            for key, value in data["crossings"].items()
            if value.get("router")
        },
        sensors={key: _sensor(key, value) for key, value in data["sensors"].items()},
        mail_server=(mail["address"], mail["port"]) if mail else None,
        ticket_url=notify.get("ticket_url") or "",
        signing_key=data.get("evidence", {}).get("signing_key", ""),
        portal_users={
            check["login"]["user"]: check["login"]["credential"]
            for check in data.get("checks", {}).values()
            if check["probe"] == "http" and check.get("login", {}).get("kind") == "form"
        },
        tokens=tuple(
            each["credential"] for each in (*points.values(), data.get("alertmanager") or {}) if "credential" in each
        ),
        observers={
            key: (urlsplit(point["url"]).hostname or "", urlsplit(point["url"]).port or 443, point["credential"])
            for key, point in points.items()
            if point["kind"] == "observer"
        },
    )


def _vcenter(key: str, value: dict[str, Any]) -> VcenterPlan:
    return VcenterPlan(
        key,
        value["site"],
        value["address"],
        value["port"],
        value["user"],
        value["credential"],
        value["bubble_network"],
    )


def _host(key: str, value: dict[str, Any]) -> HostPlan:
    return HostPlan(
        key, value["site"], value["address"], value["port"], value["user"], value["credential"], value.get("vm")
    )


def _system(key: str, value: dict[str, Any]) -> SystemPlan:
    service = value["service"]
    return SystemPlan(
        key=key,
        protected_site=value["protected_site"],
        recovery_site=value["recovery_site"],
        fqdn=service["fqdn"],
        zone=service["zone"],
        dns=tuple(service["dns"]),
        ttl_s=service.get("ttl_s", 30),
        receipts_url=(value.get("receipts") or {}).get("url", ""),
        vault=value["backup"]["vault"],
        deployments={site: _deployment(key, site, one) for site, one in value["sites"].items()},
    )


def _deployment(system: str, site: str, value: dict[str, Any]) -> DeploymentPlan:
    front = value["front"]
    tags = {one["tier"]: (one["category"], one["tag"]) for one in value["vms"].get("rules", ()) if "tag" in one}
    return DeploymentPlan(
        system=system,
        site=site,
        vcenter=value["vcenter"],
        vms={name: tier for tier in TIERS for name in value["vms"][tier]},
        tags=tags,
        unnamed={f"{system}-{tier}-{len(value['vms'][tier]) + 1}": tier for tier in tags},
        database_host=value["database_host"],
        front_address=front["address"],
        front_port=front["port"],
        health_path=front.get("health_path", "/health"),
        bubble_port=front["bubble_port"],
        controller=value["fence"]["controller"],
        outlet_group=value["fence"]["outlet_group"],
    )


def _link(crossing: str, which: str, value: dict[str, Any], operators: dict[str, Any]) -> LinkPlan:
    sla = value.get("sla") or operators[value["operator"]]["sla"]
    return LinkPlan(
        key=f"{crossing}/{which}",
        crossing=crossing,
        operator=value["operator"],
        far_end=value["far_end"],
        port=value.get("port", 862),
        rtt_ms=float(sla["rtt_ms"]),
    )


def _router(key: str, value: dict[str, Any], points: dict[str, Any]) -> RouterPlan:
    sites = [point["sites"] for point in points.values() if point.get("crossing") == key]
    sessions = tuple(
        (site, which, link.get("interface"), link.get("bgp_peer"))
        for each in sites
        for site, links in each.items()
        for which, link in zip(("primary", "backup"), links, strict=False)
    )
    links: dict[str, tuple[int | None, str | None]] = {
        which: (value[which].get("interface"), value[which].get("bgp_peer"))
        for which in ("primary", "backup")
        if which in value
    }
    port = value.get("port", 161)
    return RouterPlan(key, value["address"], port, value["community"], links, value.get("vrrp"), sessions)


def _sensor(key: str, written: dict[str, Any]) -> SensorPlan:
    value = completed(written)
    limits = value["thresholds"]
    low = limits.get("warn_below", limits.get("alarm_below", limits["valid_min"]))
    high = limits.get("warn_above", limits.get("alarm_above", limits["valid_max"]))
    calm = 0.0 if value["unit"] in {"boolean", "flags"} else round(low + (high - low) * 0.45, 1)
    return SensorPlan(
        key=key,
        site=value["site"],
        quantity=value["quantity"],
        unit=value["unit"],
        source=dict(value["source"]),
        valid_min=float(limits["valid_min"]),
        valid_max=float(limits["valid_max"]),
        calm=calm,
    )
