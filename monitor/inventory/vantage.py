"""Where this daemon stands, what must answer before it believes that others are down, and who else looks at them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.inventory.crossings import BGP_STATE, OPER_STATUS, RouterLink
from monitor.inventory.values import Host, Key, Model, Number, Port, Reference, Seconds, Url, Whole


class Anchor(Model):
    """Something beyond the daemon's own uplink that always answers: a gateway, a witness, an operator's router."""

    address: Host
    probe: Literal["icmp", "tcp"] = "icmp"
    port: Port | None = Field(None, description="for tcp")


class ObserverPoint(Model):
    """``karaula vantage`` at another place: it asks the systems' fronts by itself and says what it sees."""

    kind: Literal["observer"]
    url: Url = Field(description="where it answers", examples=["https://127.80.3.40:8472"])
    credential: Reference = Field(description="the token that it asks for")
    site: Key | None = Field(None, description="the site it runs at; none: outside of all")


class PostPoint(Model):
    """A border crossing's router, asked by SNMP whether it still reaches each site: over its own links, not ours."""

    kind: Literal["post"]
    crossing: Key
    sites: Annotated[dict[Key, tuple[RouterLink, ...]], Field(min_length=2)] = Field(
        description="each site's sessions (BGP) or tunnels (interface) as the router has them, one a link; "
        "a site is lost when all of them are"
    )


Point = Annotated[ObserverPoint | PostPoint, Field(discriminator="kind")]


def sessions_of(point: PostPoint) -> dict[str, str]:
    """Return the objects to ask a post's router for, by name: ``main 1 bgp``, ``main 1 interface``."""
    found = {}
    for site, links in point.sites.items():
        for number, link in enumerate(links, 1):
            if link.interface is not None:
                found[f"{site} {number} interface"] = f"{OPER_STATUS}.{link.interface}"
            if link.bgp_peer is not None:
                found[f"{site} {number} bgp"] = f"{BGP_STATE}.{link.bgp_peer}"
    return found


class Vantage(Model):
    """The daemon's own place in the network.

    With too few anchors answering, and almost nothing else, the daemon is isolated: it raises that one alarm, takes
    what it cannot see for UNKNOWN and starts nothing by itself. A site counts as lost when ``quorum`` vantage points
    say so, of which the daemon itself is one, and none says that it answers.
    """

    site: Key | None = Field(None, description="the site it runs at; what stands there is not behind the uplink")
    anchors: dict[Key, Anchor] = Field(default_factory=dict)
    need: Annotated[Whole, Field(ge=1)] = Field(1, description="how many anchors must answer")
    many_percent: Annotated[Number, Field(ge=50, le=100)] = Field(
        90, description="when so much of all that is beyond the uplink fails as well, the fault is here"
    )
    points: dict[Key, Point] = Field(default_factory=dict, description="who else looks at the sites")
    quorum: Annotated[Whole, Field(ge=2)] = Field(2, description="how many must say that a site is lost")
    vote_max_age_s: Seconds = Field(35, description="what was seen longer ago is no vote")
