"""Crossings, systems and sites from their parts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watch_kit import estate

from monitor.inventory.vcenters import VmRule
from monitor.probe import Answer, Observation
from monitor.status.reachability import Seen, composites, crossing, members, settle, site, system
from monitor.status.state import Health, Status

INVENTORY = estate()
LETTERS = {"o": Health.OK, "d": Health.DEGRADED, "x": Health.DOWN, "?": Health.UNKNOWN}


def seen(at: float = 0.0, **said: object) -> Seen:
    """``front_ncts_main="o:active"``: letter of the health, and the role where there is one."""
    statuses, observations = {}, {}
    for name, word in said.items():
        subject = name.replace("__", "-").replace("_", "/", 2)
        letter, _, role = str(word).partition(":")
        statuses[subject] = Status(subject, LETTERS[letter], "because", 0, at)
        facts = {"role": role} if role else {}
        observations[subject] = Observation(subject, "any", at, Answer.OK, facts=facts, values={"received_at": at})
    return Seen(statuses, observations)


@pytest.mark.parametrize(
    ("primary", "backup", "health", "detail"),
    [
        ("o", "o", Health.OK, "primary"),
        ("o", "d", Health.OK, "primary"),
        ("d", "o", Health.DEGRADED, "degraded"),
        ("o", "x", Health.DEGRADED, "redundancy-lost"),
        ("d", "x", Health.DEGRADED, "redundancy-lost"),
        ("x", "o", Health.DEGRADED, "on-backup"),
        ("x", "d", Health.DEGRADED, "on-backup"),
        ("x", "x", Health.DOWN, "cut-off"),
        ("x", "?", Health.UNKNOWN, "unknown"),
        ("?", "x", Health.UNKNOWN, "unknown"),
        ("?", "o", Health.UNKNOWN, "unknown"),
        ("o", "?", Health.UNKNOWN, "unknown"),
        ("?", "?", Health.UNKNOWN, "unknown"),
    ],
)
def test_a_crossing_is_what_its_links_are(primary: str, backup: str, health: Health, detail: str) -> None:
    found = crossing("blace", seen(link_blace_primary=primary, link_blace_backup=backup))
    assert (found.health, found.detail) == (health, detail)
    assert found.reason or health is Health.OK


def ncts(main: str, dr: str, **more: object) -> tuple[Health, str, str]:
    found = system("ncts", INVENTORY.systems["ncts"], seen(front_ncts_main=main, front_ncts_dr=dr, **more))
    return found.health, found.detail, found.reason


@pytest.mark.parametrize(
    ("main", "dr", "health", "detail", "reason"),
    [
        ("o:active", "o:standby", Health.OK, "main", ""),
        ("o:standby", "o:active", Health.OK, "dr", ""),
        ("o:active", "o:active", Health.DOWN, "split-brain", "active at main and dr at once"),
        ("o:active", "x:active", Health.DEGRADED, "main", "active at main; no standby: dr does not answer"),
        ("x:active", "o:active", Health.DEGRADED, "dr", "active at dr; no standby: main does not answer"),
        ("o:active", "?", Health.DEGRADED, "main", "active at main; no standby: dr is not known"),
        ("x", "o:standby", Health.DOWN, "", "active at no site: main does not answer; dr stands by"),
        ("o:standby", "o:standby", Health.DOWN, "", "active at no site: main stands by; dr stands by"),
        ("x", "x", Health.DOWN, "", "active at no site: main does not answer; dr does not answer"),
        ("?", "o:standby", Health.UNKNOWN, "", "the front at main is not known"),
        ("x", "?", Health.UNKNOWN, "", "the front at dr is not known"),
        ("o", "o:standby", Health.UNKNOWN, "", "the front at main is not known"),
    ],
)
def test_a_system_is_where_its_fronts_say(main: str, dr: str, health: Health, detail: str, reason: str) -> None:
    assert ncts(main, dr) == (health, detail, reason)


def test_a_system_that_misses_a_part_is_degraded() -> None:
    parts = {"vm_vc__main_ncts__web__1": "x", "database_ncts_dr": "x:standby"}
    health, detail, reason = ncts("o:active", "o:standby", **parts)
    assert (health, detail) == (Health.DEGRADED, "main")
    assert reason == "active at main; at main vm/vc-main/ncts-web-1 is down; at dr database/ncts/dr is down"


def test_a_standby_that_lags_by_more_than_may_be_lost_is_said() -> None:
    found = seen(front_ncts_main="o:active", front_ncts_dr="o:standby", database_ncts_main="o", database_ncts_dr="o")
    late = found.observations["database/ncts/dr"]
    observations = dict(found.observations)
    observations["database/ncts/main"] = Observation(late.subject, "any", 0, Answer.OK, values={"received_at": 61.0})
    judgement = system("ncts", INVENTORY.systems["ncts"], Seen(found.statuses, observations))
    assert judgement.health is Health.DEGRADED
    assert "61 s behind, more than the 60 s that may be lost" in judgement.reason


def test_a_vm_that_a_rule_finds_is_a_part_of_its_system() -> None:
    shipped = INVENTORY.systems["ncts"]
    main = shipped.sites["main"]
    named = main.model_copy(update={"vms": main.vms.model_copy(update={"rules": ()})})
    entry = shipped.model_copy(update={"sites": {**shipped.sites, "main": named}})
    ruled = main.vms.model_copy(update={"rules": (VmRule(tier="web", folder="main/vm/NCTS"),)})
    sites = {**entry.sites, "main": main.model_copy(update={"vms": ruled})}
    world = seen(front_ncts_main="o:active", front_ncts_dr="o:standby", vm_vc__main_web__9="x")
    facts = {"belongs_to": "ncts/main/web"}
    last = {**world.observations, "vm/vc-main/web-9": Observation("vm/vc-main/web-9", "any", 0, Answer.OK, facts=facts)}
    known = Seen(world.statuses, last)
    assert system("ncts", entry, known).health is Health.OK
    found = system("ncts", entry.model_copy(update={"sites": sites}), known)
    assert (found.health, "vm/vc-main/web-9 is down" in found.reason) == (Health.DEGRADED, True)


def test_while_a_system_moves_old_words_of_one_front_are_not_believed() -> None:
    entry = INVENTORY.systems["ncts"]
    first = seen(at=5, front_ncts_main="o:active", front_ncts_dr="o:active")
    split = system("ncts", entry, first)
    believed, doubt = settle("ncts", entry, split, None, first)
    assert believed is None
    half = Seen(first.statuses, first.observations | seen(at=7, front_ncts_dr="o:active").observations)
    believed, doubt = settle("ncts", entry, split, doubt, half)
    assert believed is None
    both = seen(at=7, front_ncts_main="o:active", front_ncts_dr="o:active")
    assert settle("ncts", entry, split, doubt, both)[0] == split
    calm = seen(at=7, front_ncts_main="o:standby", front_ncts_dr="o:active")
    moved = system("ncts", entry, calm)
    assert settle("ncts", entry, moved, doubt, calm) == (moved, None)


def test_when_no_front_is_up_there_is_nothing_to_wait_for() -> None:
    entry = INVENTORY.systems["ncts"]
    dead = seen(front_ncts_main="x", front_ncts_dr="x")
    judgement = system("ncts", entry, dead)
    assert settle("ncts", entry, judgement, None, dead)[0] == judgement


def whole_site(letters: str) -> Seen:
    found = members("main", INVENTORY)
    padded = itertools.chain(letters, itertools.repeat(letters[-1]))
    return Seen({each: Status(each, LETTERS[next(padded)], "r", 0, 0) for each in found}, {})


@pytest.mark.parametrize(
    ("letters", "health"),
    [
        ("o", Health.OK),
        ("do", Health.OK),
        ("x", Health.DOWN),
        ("?", Health.UNKNOWN),
        ("x?", Health.UNKNOWN),
        ("?o", Health.UNKNOWN),
        ("ox", Health.DEGRADED),
        ("xo", Health.DEGRADED),
        ("x?o", Health.DEGRADED),
    ],
)
def test_a_site_is_down_only_when_nothing_at_it_answers(letters: str, health: Health) -> None:
    found = site("main", INVENTORY, whole_site(letters))
    assert found.health is health


def test_a_power_controller_lives_on_its_own_battery() -> None:
    assert not any(member.startswith("power/") for member in members("main", INVENTORY))


@given(st.data())
def test_a_composite_is_ok_only_when_what_makes_it_so_is_known(data: st.DataObject) -> None:
    letters = st.sampled_from(list(LETTERS.values()))
    subjects = [*members("main", INVENTORY), *members("dr", INVENTORY), "link/blace/primary", "link/blace/backup"]
    health = {subject: data.draw(letters) for subject in subjects}
    roles = {subject: data.draw(st.sampled_from(["active", "standby", ""])) for subject in subjects}
    statuses = {subject: Status(subject, each, "r", 0, 0) for subject, each in health.items()}
    good = {key: Observation(key, "any", 0, Answer.OK, facts={"role": role}) for key, role in roles.items()}
    found = composites(INVENTORY, Seen(statuses, good))
    up = (Health.OK, Health.DEGRADED)
    for key in INVENTORY.systems:
        active = [
            place
            for place in ("main", "dr")
            if health[f"front/{key}/{place}"] in up and roles[f"front/{key}/{place}"] == "active"
        ]
        judgement = found[f"system/{key}"]
        assert (judgement.detail == "split-brain") == (len(active) == 2)
        if judgement.health in up:
            assert active == [judgement.detail]
    if found["crossing/blace"].health is Health.OK:
        assert health["link/blace/primary"] is Health.OK
        assert health["link/blace/backup"] in up
    for place in ("main", "dr"):
        if found[f"site/{place}"].health is Health.OK:
            assert all(health[member] in up for member in members(place, INVENTORY))
