"""Key systems: three tiers at two sites, one of them active, and what their recovery needs to know."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.inventory.backups import BackupPolicy
from monitor.inventory.database import Database
from monitor.inventory.values import PAGE, Endpoint, Host, Key, Model, Port, Seconds, Text, Url, Whole
from monitor.inventory.vcenters import VmRule


class Tiers(Model):
    """VM names of a system at a site, by tier, in the vCenter of the site."""

    database: tuple[Text, ...] = Field(min_length=1)
    application: tuple[Text, ...] = Field(min_length=1)
    web: tuple[Text, ...] = Field(min_length=1)
    rules: tuple[VmRule, ...] = Field((), description="further VMs of a tier, by folder, custom attribute or tag")


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
    standby: Literal["running", "off"] = Field(
        "running", description="off: its VMs may be off here (replicas); missing or orphaned ones are a fault"
    )
    database_host: Key = Field(description="SSH host that answers for the database")
    front: Front
    fence: Fence


class Service(Model):
    """The name that clients use; it points to the front end of the active site."""

    fqdn: Host
    zone: Host
    dns: tuple[Key, ...] = Field(min_length=1, description="DNS servers to update, in order")
    ttl_s: Annotated[Whole, Field(ge=1, le=86400)] = 30


class VipPlace(Model):
    """Who takes the system's own address at a site, and on what."""

    host: Key = Field(description="SSH host with karaula-vip (docs/targets.md)")
    interface: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$")]


class Vip(Model):
    """An address that stands at the active site; the action ``vip`` moves it. IPv4."""

    address: Annotated[str, Field(pattern=r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$")]
    prefix: Annotated[Whole, Field(ge=1, le=32)] = 32
    sites: dict[Key, VipPlace]

    @property
    def network(self) -> str:
        """The address with its prefix, as ``karaula-vip`` takes it."""
        return f"{self.address}/{self.prefix}"


class Receipts(Model):
    """An independent record of what clients were told is accepted (a message gateway's log), outside both sites.

    ``url`` answers ``{"acknowledged": int, "newest_position": int, "newest_at": float}``. With it the loss of a
    failover is counted exactly; without it only a lower bound is known.
    """

    url: Url


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
    vip: Vip | None = None
    sites: dict[Key, Deployment]
    database: Database
    receipts: Receipts | None = None
    backup: BackupPolicy
