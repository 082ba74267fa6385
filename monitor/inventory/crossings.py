"""Border crossings, their two rented links, what operators have agreed to, and who says which link is used."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.inventory.values import (
    IPV4,
    VRRP_INSTANCE,
    Flag,
    Host,
    Key,
    Model,
    Number,
    Percent,
    Port,
    Reference,
    Text,
    Whole,
)


class Sla(Model):
    """What an operator has agreed to, per calendar month."""

    availability_percent: Percent
    rtt_ms: Annotated[Number, Field(gt=0, le=10_000)]
    loss_percent: Percent
    degraded_is_down: Flag = Field(
        default=False, description="true where time beyond the agreed loss or round trip counts as not available"
    )


class Operator(Model):
    """A commercial operator that rents out links."""

    name: Text
    contact: str = ""
    sla: Sla


class RouterLink(Model):
    """What the router shows of a link that it can use; all that is given must be well."""

    interface: Annotated[Whole, Field(ge=1, le=2**31 - 1)] | None = Field(
        None, description="ifIndex (IF-MIB); the link can be used while ifOperStatus is up"
    )
    bgp_peer: Annotated[str, Field(pattern=IPV4)] | None = Field(
        None, description="the neighbour on this link (BGP4-MIB); it can be used while the session is established"
    )


class Router(Model):
    """A crossing's router, asked by SNMP: its two links, or whether it is the VRRP master of the primary link.

    By community (v2c) or by user (v3).
    """

    address: Host
    port: Port = 161
    community: Reference | None = Field(None, description="credential that holds the community")
    user: Key | None = Field(None, description="key of snmp_users")
    primary: RouterLink | None = Field(None, description="carries the traffic whenever it can be used")
    backup: RouterLink | None = None
    vrrp: Annotated[str, Field(pattern=VRRP_INSTANCE)] | None = Field(
        None,
        description="ifIndex and VRID (VRRP-MIB) on the primary link's router: its master carries the traffic",
        examples=["2.10"],
    )


OPER_STATUS = "1.3.6.1.2.1.2.2.1.8"  # IF-MIB::ifOperStatus.<ifIndex>
BGP_STATE = "1.3.6.1.2.1.15.3.1.2"  # BGP4-MIB::bgpPeerState.<neighbour>
VRRP_STATE = "1.3.6.1.2.1.68.1.3.1.3"  # VRRP-MIB::vrrpOperState.<ifIndex>.<VRID>


def column_of(oid: str) -> str:
    """Return the column of the table that an object of ``states_of`` stands in."""
    return next(column for column in (OPER_STATUS, BGP_STATE, VRRP_STATE) if oid.startswith(f"{column}."))


def states_of(router: Router) -> dict[str, str]:
    """Return the objects to ask a router for, by name: ``primary interface``, ``backup bgp``, ``vrrp``."""
    found = {"vrrp": f"{VRRP_STATE}.{router.vrrp}"} if router.vrrp is not None else {}
    for name, link in (("primary", router.primary), ("backup", router.backup)):
        if link is not None and link.interface is not None:
            found[f"{name} interface"] = f"{OPER_STATUS}.{link.interface}"
        if link is not None and link.bgp_peer is not None:
            found[f"{name} bgp"] = f"{BGP_STATE}.{link.bgp_peer}"
    return found


class PathMark(Model):
    """What replies look like while a link carries the traffic."""

    reply_ttl: Annotated[Whole, Field(ge=1, le=255)] | None = None
    rtt_ms: Annotated[Number, Field(gt=0, le=10_000)] | None = None


class PathSignature(Model):
    """An address inside the crossing that is reached over whichever link carries the traffic; weak evidence."""

    address: Host
    primary: PathMark
    backup: PathMark


class Crossing(Model):
    """A border crossing or an airport's customs post."""

    name: Text
    neighbour: str = Field("", description="the country beyond; none for an airport")
    kind: Literal["road", "rail", "air"]
    router: Router | None = Field(None, description="says which link carries the traffic; the best evidence")
    path: PathSignature | None = Field(None, description="shows it by the way that replies take; the weakest evidence")


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
