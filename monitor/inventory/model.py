"""The typed shape of ``inventory.yaml``: what exists, what depends on what, who answers for it.

Shape and single values are checked here; what one entry says of another (an operator that exists, a VM that
belongs to the vCenter named) is checked by ``read.py``, which knows line and column. Numbers carry their unit in
the name: ``_s`` seconds, ``_ms`` milliseconds, ``_percent``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from monitor.inventory.database import Database, DatabaseKind
from monitor.inventory.values import (
    OID,
    PAGE,
    AlarmName,
    Cron,
    Flag,
    Host,
    Key,
    Model,
    Number,
    Percent,
    Port,
    Reference,
    Seconds,
    Text,
    Timezone,
    Url,
    Whole,
)
from monitor.problem import Problem
from monitor.yamlfile import At, Document, Path, dotted


class Endpoint(Model):
    """An address and port to connect to."""

    address: Host
    port: Port


# -- the estate and how it is watched ---------------------------------------------------------------------------------


class Estate(Model):
    """The administration as a whole."""

    name: Text
    timezone: Timezone = Field(description="IANA name; schedules and reports are in it", examples=["Europe/Skopje"])
    domain: Host


class Trust(Model):
    """What proves a server's identity; both are file names below the credentials directory."""

    tls_ca: Reference = Field(description="PEM bundle that signs the servers' certificates")
    known_hosts: Reference = Field(description="OpenSSH known_hosts file with every SSH host's key")


class Polling(Model):
    """How often things are asked, and when a changed answer is believed."""

    interval_s: Seconds = 10
    deadline_s: Seconds = 3
    fail_after: Annotated[Whole, Field(ge=1, le=20)] = Field(2, description="failures in a row before DOWN")
    recover_after: Annotated[Whole, Field(ge=1, le=20)] = Field(2, description="successes in a row before OK")
    stale_after_s: Seconds = Field(35, description="an answer older than this is UNKNOWN")


# -- sites and their equipment -----------------------------------------------------------------------------------------


class Site(Model):
    """A data centre."""

    name: Text
    role: Literal["main", "dr"]
    contact: str = ""


class Vcenter(Endpoint):
    """A vCenter Server; VMs are found in it by name."""

    site: Key
    user: Text
    credential: Reference
    bubble_network: Text = Field(
        description="port group without a way out; a drill's clones are plugged into it before they start",
        examples=["drill-bubble"],
    )
    datacenter: str = Field("", description="limit to one datacenter; empty means the whole inventory")


class SshHost(Endpoint):
    """A machine that is reached by SSH; its host key stands in ``trust.known_hosts`` as ``[address]:port``."""

    site: Key
    user: Text
    credential: Reference = Field(description="private key")
    vcenter: Key | None = Field(None, description="the vCenter its VM lives in")
    vm: Text | None = None


class PowerController(Endpoint):
    """A switched PDU with a Redfish service (DMTF DSP0266), on its own network and battery: a fence."""

    site: Key = Field(description="the site whose power it switches")
    pdu: Text = Field(description="Redfish id below /redfish/v1/PowerEquipment/RackPDUs/")
    user: Text
    credential: Reference


class DnsServer(Endpoint):
    """An authoritative DNS server that takes updates (RFC 2136) signed with TSIG (RFC 8945)."""

    site: Key
    tsig_name: Host
    tsig_credential: Reference = Field(description="base64 of the key, hmac-sha256")


# -- key systems ----------------------------------------------------------------------------------------------------


class Tiers(Model):
    """VM names of a system at a site, by tier, in the vCenter of the site."""

    database: tuple[Text, ...] = Field(min_length=1)
    application: tuple[Text, ...] = Field(min_length=1)
    web: tuple[Text, ...] = Field(min_length=1)


class Front(Endpoint):
    """The HTTPS front end of a system at a site, and the page that says whether it works."""

    health_path: Annotated[str, Field(pattern=PAGE)] = "/health"
    bubble_port: Port = Field(description="where the isolated copy of a drill answers (on the same address)")


class Fence(Model):
    """How a system is kept from running at a site: an outlet group of a power controller."""

    controller: Key
    outlet_group: Text


class Deployment(Model):
    """One system at one site."""

    vcenter: Key
    vms: Tiers
    database_host: Key = Field(description="SSH host that answers for the database")
    front: Front
    fence: Fence


class Service(Model):
    """The name that clients use; it points to the front end of the active site."""

    fqdn: Host
    zone: Host
    dns: tuple[Key, ...] = Field(min_length=1, description="DNS servers to update, in order")
    ttl_s: Annotated[Whole, Field(ge=1, le=86400)] = 30


class Receipts(Model):
    """An independent record of what clients were told is accepted (a message gateway's log), outside both sites.

    ``url`` answers ``{"acknowledged": int, "newest_position": int, "newest_at": float}``. With it the loss of a
    failover is counted exactly; without it only a lower bound is known.
    """

    url: Url


class BackupPolicy(Model):
    """Where a system's backups are kept and how old the newest proven one may be."""

    vault: Key = Field(description="SSH host that keeps the backups and where they are restored for verification")
    max_age_s: Seconds = 26 * 3600


class System(Model):
    """A key system: three tiers at two sites, one of them active."""

    name: Text
    description: str = ""
    owner: Text
    priority: Annotated[Whole, Field(ge=1, le=9)] = 5
    depends_on: tuple[Key, ...] = ()
    protected_site: Key
    recovery_site: Key
    rto_s: Seconds
    rpo_s: Seconds
    service: Service
    sites: dict[Key, Deployment]
    database: Database
    receipts: Receipts | None = None
    backup: BackupPolicy


# -- border crossings -----------------------------------------------------------------------------------------------


class Sla(Model):
    """What an operator has agreed to, per calendar month."""

    availability_percent: Percent
    rtt_ms: Annotated[Number, Field(gt=0, le=10_000)]
    loss_percent: Percent


class Operator(Model):
    """A commercial operator that rents out links."""

    name: Text
    contact: str = ""
    sla: Sla


class Crossing(Model):
    """A border crossing or an airport's customs post."""

    name: Text
    neighbour: str = Field("", description="the country beyond; none for an airport")
    kind: Literal["road", "rail", "air"]


class Link(Model):
    """One rented link, probed at its far end by STAMP (RFC 8762) or ICMP echo."""

    operator: Key
    far_end: Host
    probe: Literal["stamp", "icmp"] = "stamp"
    port: Port = Field(862, description="UDP port of the STAMP reflector")
    sla: Sla | None = Field(None, description="where it differs from the operator's")


class Links(Model):
    """The two links of a crossing."""

    primary: Link
    backup: Link
    same_operator_accepted: Flag = Field(
        default=False, description="true where one operator's two links are knowingly all there is"
    )


# -- sensors ---------------------------------------------------------------------------------------------------------


class SnmpSource(Endpoint):
    """A value read by SNMP v2c GET (RFC 3416)."""

    protocol: Literal["snmp"]
    community: Reference = Field(description="credential that holds the community")
    oid: Annotated[str, Field(pattern=OID, max_length=300)]
    scale: Number = Field(1.0, description="multiply the integer by this")


class ModbusSource(Endpoint):
    """A value read by Modbus TCP function 4 (input register)."""

    protocol: Literal["modbus"]
    unit_id: Annotated[Whole, Field(ge=0, le=247)] = 1
    register_address: Annotated[Whole, Field(ge=0, le=65535)]
    signed: Flag = False
    scale: Number = 1.0


class NutSource(Endpoint):
    """A variable of a UPS behind Network UPS Tools' upsd (RFC 9271)."""

    protocol: Literal["nut"]
    ups: Text
    variable: Text = Field(examples=["battery.charge"])


Source = Annotated[SnmpSource | ModbusSource | NutSource, Field(discriminator="protocol")]
Quantity = Literal["temperature", "humidity", "smoke", "water", "door", "dust", "power", "battery-charge", "load"]


class Thresholds(Model):
    """Limits in the sensor's unit; beyond ``valid`` is a fault of the sensor, not an alarm of the room."""

    valid_min: Number
    valid_max: Number
    warn_below: Number | None = None
    warn_above: Number | None = None
    alarm_below: Number | None = None
    alarm_above: Number | None = None


class Sensor(Model):
    """A sensor of a data centre."""

    name: Text
    site: Key
    quantity: Quantity
    unit: Literal["celsius", "percent", "boolean", "watts", "ug_per_m3"]
    source: Source
    thresholds: Thresholds
    interval_s: Seconds | None = None


# -- what happens by itself ---------------------------------------------------------------------------------------


class Check(Model):
    """A further TCP or HTTP check that belongs to a site or system."""

    probe: Literal["tcp", "http", "icmp"]
    site: Key
    address: Host
    port: Port | None = None
    url: Url | None = None


class Schedule(Model):
    """A playbook on the calendar. A failover cannot be put on a clock."""

    playbook: Key
    system: Key
    cron: Cron = Field(examples=["30 1 * * *"])
    missed: Literal["catch-up", "record"] = Field(
        "catch-up", description="a slot that passed while the daemon was down: run it late, or write it down as missed"
    )
    late_by_s: Seconds = Field(6 * 3600, description="how late a slot may still be caught up")


class Response(Model):
    """What the daemon prepares when an alarm is raised."""

    alarm: AlarmName
    system: Key
    playbook: Key
    mode: Literal["notify", "prepare", "automatic"] = "prepare"
    grace_s: Annotated[Number, Field(ge=0, le=86400)] = Field(
        30, description="how long the alarm must have stood before anything is prepared"
    )


class Notify(Model):
    """Where alarms and run events are sent."""

    mail_server: Endpoint | None = None
    mail_from: str = ""
    mail_to: tuple[Text, ...] = ()
    ticket_url: Url | None = None


class Inventory(Model):
    """The whole file.

    ``problem()`` makes a Problem that points into it, for readers of other files that refer to it.
    """

    estate: Estate
    trust: Trust
    polling: Polling = Polling()
    sites: dict[Key, Site]
    vcenters: dict[Key, Vcenter]
    hosts: dict[Key, SshHost]
    power_controllers: dict[Key, PowerController]
    dns_servers: dict[Key, DnsServer]
    database_kinds: dict[Key, DatabaseKind]
    systems: dict[Key, System]
    operators: dict[Key, Operator]
    crossings: dict[Key, Crossing]
    links: dict[Key, Links]
    sensors: dict[Key, Sensor]
    checks: dict[Key, Check] = Field(default_factory=dict)
    schedules: dict[Key, Schedule] = Field(default_factory=dict)
    responses: dict[Key, Response] = Field(default_factory=dict)
    notify: Notify = Notify()
    _document: Document | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _join_database_kinds(self) -> Self:
        for system in self.systems.values():
            system.database.join(self.database_kinds)
        return self

    def written_in(self, document: Document) -> None:
        """Remember where this inventory stands written. For ``read.py``."""
        self._document = document

    def problem(self, path: Path, message: str, hint: str = "", at: At = "value") -> Problem:
        """Return a mistake at ``path``, with line and column when the inventory was read from a file."""
        if self._document is None:
            return Problem("inventory", 1, 1, dotted(path), message, hint)
        return self._document.problem(path, message, hint, at)
