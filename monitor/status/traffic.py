"""Which link of a crossing carries its traffic, and how that is known: the best evidence that is at hand. Pure.

The router's word is the best; the way that replies from inside the crossing take is the weakest and is called so. What
is not fresh, or fits both links or neither, is no evidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from monitor.inventory.crossings import states_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.inventory.crossings import Crossing, PathMark, PathSignature, Router, RouterLink
    from monitor.status.reachability import Seen

Link = Literal["primary", "backup", "neither", ""]
LINKS = ("primary", "backup")
IF_STATES = ("", "up", "down", "testing", "unknown", "dormant", "not present", "lower layer down")  # RFC 2863
BGP_STATES = ("", "idle", "connect", "active", "opensent", "openconfirm", "established")  # RFC 4273
IF_UP, BGP_ESTABLISHED = 1, 6
VRRP_LINKS: Mapping[float, tuple[Link, str]] = {2: ("backup", "backup"), 3: ("primary", "master")}  # RFC 2787
VRRP_UNDECIDED: tuple[Link, str] = ("", "neither master nor backup")
MOST_OFF = 2.0  # times: a round trip that differs more from its mark fits no link


@dataclass(frozen=True, slots=True)
class Evidence:
    """``link`` carries the traffic: primary, backup, neither of them, or it is not known (empty); and who says so."""

    link: Link = ""
    source: Literal["router", "path", ""] = ""
    words: str = ""


NOTHING = Evidence()


def evidence(key: str, crossing: Crossing, seen: Seen) -> Evidence:
    """Return the best evidence of the crossing ``key``; without a link, ``words`` say why there is none."""
    found = NOTHING
    if crossing.router is not None:
        values = seen.fresh(f"router/{key}")
        found = NOTHING if values is None else by_router(crossing.router, values)
        if found.link:
            return found
    if crossing.path is not None and (values := seen.fresh(f"path/{key}")) is not None:
        by_way = by_path(crossing.path, values)
        return by_way if by_way.link or not found.words else found
    return found


def by_router(router: Router, values: Mapping[str, float]) -> Evidence:
    """Return what a router's states say."""
    if router.vrrp is not None:
        link, words = VRRP_LINKS.get(values.get("vrrp", 0), VRRP_UNDECIDED)
        return Evidence(link, "router", f"VRRP {router.vrrp} is {words}")
    if router.primary is None or router.backup is None or not states_of(router).keys() <= values.keys():
        return NOTHING
    bad = {
        name: _unusable(name, link, values) for name, link in (("primary", router.primary), ("backup", router.backup))
    }
    if not bad["primary"]:
        return Evidence("primary", "router", f"the router can use it: {_usable('primary', router.primary)}")
    if not bad["backup"]:
        return Evidence("backup", "router", bad["primary"])
    return Evidence("neither", "router", f"{bad['primary']}, {bad['backup']}")


def by_path(signature: PathSignature, values: Mapping[str, float]) -> Evidence:
    """Return what the way of the replies says."""
    ttl, rtt_s = values.get("reply_ttl"), values.get("rtt_min_seconds")
    shown = f"replies come with TTL {ttl:.0f}" if ttl is not None else "replies come without a TTL"
    shown += "" if rtt_s is None else f" after {rtt_s * 1000:.3g} ms"
    marks = {"primary": signature.primary, "backup": signature.backup}
    fitting = [name for name in LINKS if _fits(marks[name], ttl, rtt_s)]
    if len(fitting) == len(LINKS) and rtt_s is not None:
        fitting = _nearest(marks, rtt_s)
    if fitting == ["primary"]:
        return Evidence("primary", "path", shown)
    if fitting == ["backup"]:
        return Evidence("backup", "path", shown)
    return Evidence("", "path", f"{shown}, which fits {'both links' if fitting else 'neither link'}")


def _unusable(name: str, link: RouterLink, values: Mapping[str, float]) -> str:
    """Say why the router cannot use a link; empty when it can."""
    if link.interface is not None and (state := values[f"{name} interface"]) != IF_UP:
        return f"interface {link.interface} of the {name} is {_word(IF_STATES, state)}"
    if link.bgp_peer is not None and (state := values[f"{name} bgp"]) != BGP_ESTABLISHED:
        return f"the BGP session with {link.bgp_peer} of the {name} is {_word(BGP_STATES, state)}"
    return ""


def _usable(name: str, link: RouterLink) -> str:
    if link.bgp_peer is not None:
        return f"the BGP session with {link.bgp_peer} of the {name} is established"
    return f"interface {link.interface} of the {name} is up"


def _word(words: tuple[str, ...], state: float) -> str:
    """Return the MIB's word for a state; a number that it does not have is shown as it is."""
    return words[int(state)] if 1 <= state < len(words) else f"in state {state:g}"


def _fits(mark: PathMark, ttl: float | None, rtt_s: float | None) -> bool:
    if mark.reply_ttl is not None and ttl != mark.reply_ttl:
        return False
    if mark.rtt_ms is None:
        return mark.reply_ttl is not None
    return rtt_s is not None and rtt_s > 0 and mark.rtt_ms / MOST_OFF <= rtt_s * 1000 <= mark.rtt_ms * MOST_OFF


def _nearest(marks: Mapping[str, PathMark], rtt_s: float) -> list[str]:
    """Return the link whose round trip is nearer, as a ratio; both where they have none."""
    far = {name: abs(math.log(rtt_s * 1000 / mark.rtt_ms)) for name, mark in marks.items() if mark.rtt_ms is not None}
    if len(far) < len(LINKS) or far["primary"] == far["backup"]:
        return list(LINKS)
    return [min(far, key=far.__getitem__)]
