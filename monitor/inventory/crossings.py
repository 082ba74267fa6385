"""Border crossings, their two rented links, and what the operators of these have agreed to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.inventory.values import Flag, Host, Key, Model, Number, Percent, Port, Text


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
