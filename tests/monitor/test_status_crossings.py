"""A crossing's state from its links and from what its router or its path say of the traffic."""

from __future__ import annotations

import itertools

import pytest

from monitor.inventory.crossings import Crossing
from monitor.probe import Answer, Observation
from monitor.status.crossings import CROSSING_STATES, crossing, in_use, shown_state, steadied
from monitor.status.hysteresis import Judgement
from monitor.status.reachability import Seen
from monitor.status.state import Health, Status
from monitor.status.traffic import NOTHING, Evidence, evidence

LETTERS = {"o": Health.OK, "d": Health.DEGRADED, "x": Health.DOWN, "?": Health.UNKNOWN}
ROUTER = {
    "address": "10.0.0.1",
    "community": "snmp",
    "primary": {"interface": 1, "bgp_peer": "10.1.0.1"},
    "backup": {"interface": 2, "bgp_peer": "10.2.0.1"},
}
PATH = {"address": "10.0.0.9", "primary": {"reply_ttl": 61, "rtt_ms": 8}, "backup": {"reply_ttl": 59, "rtt_ms": 40}}
UP = {"primary interface": 1, "primary bgp": 6, "backup interface": 1, "backup bgp": 6}


def made(**more: object) -> Crossing:
    return Crossing.model_validate({"name": "Blace", "kind": "road", **more})


def seen(links: str = "oo", **values: dict[str, float]) -> Seen:
    statuses = {
        f"link/blace/{name}": Status("", LETTERS[letter], "", 0, 0)
        for name, letter in zip(("primary", "backup"), links, strict=True)
    }
    observations = {}
    for kind, found in values.items():
        subject = f"{kind}/blace"
        statuses[subject] = Status(subject, Health.OK, "", 0, 0)
        observations[subject] = Observation(subject, "any", 0, Answer.OK, values=found)
    return Seen(statuses, observations)


@pytest.mark.parametrize(
    ("changed", "link", "words"),
    [
        ({}, "primary", "the router can use it: the BGP session with 10.1.0.1 of the primary is established"),
        ({"primary bgp": 3}, "backup", "the BGP session with 10.1.0.1 of the primary is active"),
        ({"primary interface": 2}, "backup", "interface 1 of the primary is down"),
        ({"primary interface": 42}, "backup", "interface 1 of the primary is in state 42"),
        (
            {"primary interface": 7, "backup bgp": 1},
            "neither",
            "interface 1 of the primary is lower layer down, the BGP session with 10.2.0.1 of the backup is idle",
        ),
        ({"backup interface": 2}, "primary", "the router can use it: the BGP session with 10.1.0.1 of the primary "),
    ],
)
def test_what_a_router_says(changed: dict[str, float], link: str, words: str) -> None:
    found = evidence("blace", made(router=ROUTER), seen(router=UP | changed))
    assert (found.link, found.source) == (link, "router")
    assert found.words.startswith(words)


@pytest.mark.parametrize(("state", "link"), [(3, "primary"), (2, "backup"), (1, ""), (0, ""), (9, "")])
def test_what_a_vrrp_router_says(state: int, link: str) -> None:
    router = {"address": "10.0.0.1", "community": "snmp", "vrrp": "2.10"}
    assert evidence("blace", made(router=router), seen(router={"vrrp": state})).link == link


@pytest.mark.parametrize(
    ("values", "link"),
    [
        ({"reply_ttl": 61, "rtt_min_seconds": 0.009}, "primary"),
        ({"reply_ttl": 59, "rtt_min_seconds": 0.04}, "backup"),
        ({"reply_ttl": 59, "rtt_min_seconds": 0.009}, ""),  # the TTL of one, the time of the other
        ({"reply_ttl": 50, "rtt_min_seconds": 0.009}, ""),
        ({"rtt_min_seconds": 0.009}, ""),
        ({}, ""),
    ],
)
def test_what_a_path_says(values: dict[str, float], link: str) -> None:
    found = evidence("blace", made(path=PATH), seen(path=values))
    assert (found.link, found.source) == (link, "path")
    assert found.words


@pytest.mark.parametrize(("rtt_s", "link"), [(0.009, "primary"), (0.035, "backup"), (0.2, ""), (0.001, "")])
def test_round_trips_alone_tell_when_they_are_near_one(rtt_s: float, link: str) -> None:
    path = {"address": "10.0.0.9", "primary": {"rtt_ms": 10}, "backup": {"rtt_ms": 30}}
    assert evidence("blace", made(path=path), seen(path={"rtt_min_seconds": rtt_s})).link == link


def test_the_router_goes_before_the_path_and_the_path_stands_in_for_it() -> None:
    both = made(router=ROUTER, path=PATH)
    on_backup = {"reply_ttl": 59, "rtt_min_seconds": 0.04}
    assert evidence("blace", both, seen(router=UP, path=on_backup)).link == "primary"
    silent = seen(path=on_backup)
    assert (evidence("blace", both, silent).link, evidence("blace", both, silent).source) == ("backup", "path")
    assert evidence("blace", both, seen()) == NOTHING


def test_what_a_router_said_before_it_fell_silent_is_no_evidence() -> None:
    now = seen(router=UP | {"primary bgp": 1})
    down = dict(now.statuses) | {"router/blace": Status("router/blace", Health.DOWN, "", 0, 0)}
    assert evidence("blace", made(router=ROUTER), Seen(down, now.observations)) == NOTHING


BACKUP = Evidence("backup", "router", "the session is down")


@pytest.mark.parametrize(
    ("links", "carried", "health", "state", "reason"),
    [
        ("oo", NOTHING, Health.OK, "primary", ""),
        ("oo", Evidence("primary", "router", "up"), Health.OK, "primary", ""),
        (
            "oo",
            BACKUP,
            Health.DEGRADED,
            "on-backup",
            "the primary link answers, but traffic is on the backup: the session is down",
        ),
        (
            "oo",
            Evidence("backup", "path", "TTL 59"),
            Health.DEGRADED,
            "on-backup",
            "the primary link answers, but traffic is on the backup: TTL 59 (by the path's signature, weak evidence)",
        ),
        (
            "oo",
            Evidence("neither", "router", "both are down"),
            Health.DEGRADED,
            "degraded",
            "both links' far ends answer, but neither carries traffic: both are down",
        ),
        ("do", NOTHING, Health.DEGRADED, "degraded", "the primary link is degraded"),
        ("dd", NOTHING, Health.DEGRADED, "degraded", "both links are degraded"),
        (
            "od",
            BACKUP,
            Health.DEGRADED,
            "on-backup",
            "the primary link answers, but traffic is on the backup: the session is down; the backup link is degraded",
        ),
        (
            "xo",
            BACKUP,
            Health.DEGRADED,
            "on-backup",
            "the primary link is down, the backup carries the traffic: the session is down",
        ),
        (
            "xo",
            Evidence("primary", "router", "up"),
            Health.DEGRADED,
            "degraded",
            "the primary link is down, and traffic is not on the backup: up",
        ),
        (
            "ox",
            BACKUP,
            Health.DEGRADED,
            "degraded",
            "the backup link is down, and traffic is not on the primary: the session is down",
        ),
        ("xx", NOTHING, Health.DOWN, "cut-off", "both links are down"),
        ("xx", Evidence("neither", "router", "both down"), Health.DOWN, "cut-off", "both links are down"),
        (
            "xx",
            BACKUP,
            Health.DEGRADED,
            "degraded",
            "neither link's far end answers, yet the crossing does: the session is down",
        ),
        (
            "?o",
            BACKUP,
            Health.UNKNOWN,
            "unknown",
            "the primary link is not known; traffic is on the backup: the session is down",
        ),
    ],
)
def test_state_and_reason(links: str, carried: Evidence, health: Health, state: str, reason: str) -> None:
    assert crossing("blace", seen(links), carried) == Judgement(health, reason, state)


def test_a_crossing_is_ok_only_when_both_links_answer_and_nobody_says_otherwise() -> None:
    words = [
        Evidence(link, source, "so it says")
        for link in ("primary", "backup", "neither", "")
        for source in ("router", "path")
    ]
    for primary, backup, carried in itertools.product("odx?", "odx?", [NOTHING, *words]):
        found = crossing("blace", seen(primary + backup), carried)
        assert found.detail in CROSSING_STATES
        assert found.reason or found.health is Health.OK
        if found.health is Health.OK:
            assert primary == "o"
            assert backup in "od"
            assert carried.link in ("primary", "")
        if found.health is Health.DOWN:
            assert (primary, backup) == ("x", "x")


WELL, ON_BACKUP = Judgement(Health.OK, "", "primary"), Judgement(Health.DEGRADED, "why", "on-backup")
CUT = Judgement(Health.DOWN, "both", "cut-off")


def test_router_and_probes_may_differ_while_a_link_comes_back() -> None:
    differ = Judgement(Health.DEGRADED, "the primary link is down, and traffic is not on the backup", "degraded")
    since, shown = None, []
    steps = [(WELL, WELL), (ON_BACKUP, ON_BACKUP), *[(differ, ON_BACKUP)] * 5, (WELL, WELL)]
    for at, (judgement, probed) in enumerate(steps):
        found, since = steadied(judgement, probed, since, float(at), 10)
        shown.append(found.detail)
    assert shown == ["primary", *["on-backup"] * 6, "primary"]
    assert since is None
    shown = []
    for at in range(14):
        found, since = steadied(differ, CUT, since, float(at), 10)
        shown.append(found.detail)
    assert shown == [*["cut-off"] * 10, *["degraded"] * 4]


def test_the_state_that_is_shown() -> None:
    for state, shown in (("primary", "flapping"), ("on-backup", "flapping"), ("cut-off", "cut-off"), ("", "unknown")):
        status = Status("crossing/blace", Health.DEGRADED, "", 0, 0, state)
        assert shown_state(status, flapping=True) == shown
        assert shown_state(status, flapping=False) == (state or "unknown")


@pytest.mark.parametrize(
    ("links", "carried", "used"),
    [
        ("oo", NOTHING, "primary"),
        ("do", NOTHING, "primary"),
        ("xo", NOTHING, "backup"),
        ("x?", NOTHING, ""),
        ("?o", NOTHING, ""),
        ("o?", NOTHING, "primary"),
        ("xx", NOTHING, "primary"),
        ("oo", Evidence("backup", "router"), "backup"),
        ("xo", Evidence("primary", "router"), "primary"),
        ("??", Evidence("backup", "path"), "backup"),
        ("oo", Evidence("neither", "router"), ""),
        ("xo", Evidence("neither", "router"), ""),
        ("xx", Evidence("neither", "router"), "primary"),
        ("xo", Evidence("", "path"), "backup"),
    ],
)
def test_whose_measurements_are_the_crossings(links: str, carried: Evidence, used: str) -> None:
    assert in_use("blace", seen(links), carried) == used
