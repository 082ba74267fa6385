"""Where this daemon stands, and what must answer before it believes that others are down."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.inventory.values import Host, Key, Model, Number, Port, Whole


class Anchor(Model):
    """Something beyond the daemon's own uplink that always answers: a gateway, a witness, an operator's router."""

    address: Host
    probe: Literal["icmp", "tcp"] = "icmp"
    port: Port | None = Field(None, description="for tcp")


class Vantage(Model):
    """The daemon's own place in the network.

    With too few anchors answering, and almost nothing else, the daemon is isolated: it raises that one alarm, takes
    what it cannot see for UNKNOWN and starts nothing by itself.
    """

    site: Key | None = Field(None, description="the site it runs at; what stands there is not behind the uplink")
    anchors: dict[Key, Anchor] = Field(default_factory=dict)
    need: Annotated[Whole, Field(ge=1)] = Field(1, description="how many anchors must answer")
    many_percent: Annotated[Number, Field(ge=50, le=100)] = Field(
        90, description="when so much of all that is beyond the uplink fails as well, the fault is here"
    )
