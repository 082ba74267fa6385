"""How ready a system is: each check on its own, and the law that less knowledge makes nothing better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from engine_kit import plan, step
from examples_kit import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrator_kit import INVENTORY
from test_catalog import backup, climbed_to

from dr.backups.proof import proof_of
from dr.journal.event import RunAccepted
from dr.journal.fold import begin
from dr.journal.run import Run, RunState, StepState
from dr.loss import NOT_SEEN, Loss
from dr.proof import Proof
from dr.readiness.judge import readiness
from dr.readiness.known import Known, Sight
from dr.readiness.lights import WORST_LAST, Check, Light, Readiness, worst
from dr.readiness.proven import Verified, printed, verified
from monitor.inventory.behaviour import Response
from monitor.inventory.checks_hosts import LagCheck
from monitor.inventory.recovery import Proofs
from monitor.status.state import Health

NOW, DAY_S, GIB = 1_790_000_000.0, 86400.0, 2.0**30
MACHINES = tuple(f"vm/vc-dr/{name}" for name in ("db-1", "app-1", "web-1", "web-2"))
STORE = Sight(Health.OK, values={}, facts={"moref": "datastore-1", "free": "40 of 100 GiB"})
LAGGING = INVENTORY.model_copy(update={"checks": {"lag": LagCheck(probe="lag", host="db-dr", command=("lag",))}})


def vm(health: Health = Health.OK, *, on: bool = True, gib: float = 8.0, host: str = "esx-1") -> Sight:
    values = {"powered_on": float(on), "memory_bytes": gib * GIB}
    return Sight(health, "as it is", NOW, values, {"datastores": "datastore-1", "host": host})


def esx(
    health: Health = Health.OK, *, gib: float = 64.0, used: float = 16.0, maintenance: bool = False, place: str = "c-1"
) -> Sight:
    values = {"memory_bytes": gib * GIB, "memory_used_bytes": used * GIB, "maintenance": float(maintenance)}
    facts = {"moref": "h-1", "placement": place, "cluster": "one" if place == "c-1" else ""}
    return Sight(health, "as it is", NOW, values, {name: fact for name, fact in facts.items() if fact})


OUTLETS, WATTS = {"outlets/ncts": "On"}, {"outlets/ncts/watts": 410.0}
WELL: Mapping[str, Sight] = {
    **dict.fromkeys(MACHINES, vm()),
    "database/ncts/main": Sight(Health.OK, "", NOW, {}, {"role": "primary"}),
    "database/ncts/dr": Sight(Health.OK, "", NOW, {}, {"role": "standby"}),
    "vcenter/vc-dr": Sight(Health.OK, "", NOW),
    "host/db-dr": Sight(Health.OK, "", NOW),
    "dns/dns-dr": Sight(Health.OK, "", NOW, {}, {"key": "accepted"}),
    "power/pdu-main": Sight(Health.OK, "", NOW, WATTS, OUTLETS),
    "esx/vc-dr/esx-1": esx(),
    "esx/vc-dr/esx-2": esx(),
    "datastore/vc-dr/san": STORE,
}
VERIFIED = tuple(
    Verified(name, name, "ncts", "", NOW - DAY_S) for name in ("failover", "switchover", "failback", "drill")
)


def drill(days_ago: float, state: RunState = RunState.SUCCEEDED, run_id: str = "d") -> Run:
    the_plan = plan(step("before", action="production_state"), kind="drill")
    run = begin(run_id, RunAccepted(NOW, the_plan.to_json(), "ana", "", "person", "", 0.0, 0.0))
    at = NOW - days_ago * DAY_S
    looked = replace(run.steps["before"], state=StepState.SUCCEEDED, ended_at=at - 30, outputs={"unread": 0})
    return replace(run, state=state, started_at=at - 60, ended_at=at, steps={"before": looked})


def known(sights: Mapping[str, Sight] = WELL, **changes: object) -> Known:
    system = INVENTORY.systems["ncts"]
    backups = replace(proof_of([backup(), climbed_to(5, "L4")], "ncts", system, 400.0), findings=())
    found = Known(INVENTORY, "ncts", "main", "dr", NOW, sights, Loss(2.0, 3, "seen"), [drill(1)], backups, VERIFIED)
    return replace(found, **changes)  # type: ignore[arg-type]  # fields of it


def judged(name: str, found: Known) -> Check:
    (check,) = [check for check in readiness(found).checks if check.name == name]
    assert check.sentence
    return check


def without(*subjects: str) -> Mapping[str, Sight]:
    return {subject: sight for subject, sight in WELL.items() if subject not in subjects}


def test_where_all_is_well_all_is_green() -> None:
    found = readiness(known())
    assert {check.name: check.light for check in found.checks if check.light is not Light.GREEN} == {}
    assert found.total is Light.GREEN
    assert found.words() == "ncts is ready for a recovery to dr: all 11 checks are green"


KEY = {"key": "accepted"}
DOWN, BLIND, AMISS = (
    Sight(each, "its reason", NOW, WATTS, KEY | OUTLETS) for each in (Health.DOWN, Health.UNKNOWN, Health.DEGRADED)
)
STANDBY = "database/ncts/dr"


@pytest.mark.parametrize(
    ("found", "light", "says"),
    [
        (known(loss=Loss(29.0, 3, "seen")), "green", "29 s behind, of 60 s that may be lost"),
        (known(loss=Loss(31.0, 3, "seen")), "amber", "over the warning limit of 50 %"),
        (known(loss=Loss(60.0, 3, "seen")), "amber", "of 60 s"),
        (known(loss=Loss(61.0, 3, "seen")), "red", "karaula status database/ncts/dr"),
        (known(loss=NOT_SEEN), "unknown", NOT_SEEN.known),
        (known(loss=Loss(None, 3, "no time is known")), "unknown", "no time is known"),
        (known({**WELL, STANDBY: DOWN}), "red", "the database at dr is down: its reason"),
        (known({**WELL, STANDBY: BLIND}), "unknown", "is not known: its reason"),
        (known(without(STANDBY)), "unknown", "was not asked yet"),
        (known({**WELL, STANDBY: replace(WELL[STANDBY], facts={"role": "primary"})}), "red", "karaula reprotect ncts"),
        (known({**WELL, "database/ncts/main": DOWN}), "unknown", "database/ncts/main is down (its reason)"),
        (known({**WELL, "check/lag": DOWN}, inventory=LAGGING), "red", "check/lag is down: its reason"),
        (known({**WELL, "check/lag": AMISS}, inventory=LAGGING), "amber", "check/lag is degraded"),
        (known(inventory=LAGGING), "unknown", "check/lag is unknown: was not asked yet"),
    ],
)  # fmt: skip
def test_the_copy_is_fresh(found: Known, light: str, says: str) -> None:
    check = judged("replica", found)
    assert (check.light, says in check.sentence) == (light, True), check


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("machines", MACHINES[2]),
        ("access", "vcenter/vc-dr"),
        ("access", "host/db-dr"),
        ("access", "dns/dns-dr"),
        ("fence", "power/pdu-main"),
    ],
)
def test_what_must_answer_is_named_when_it_does_not(name: str, subject: str) -> None:
    for sight, light in ((DOWN, "red"), (BLIND, "unknown"), (AMISS, "amber")):
        check = judged(name, known({**WELL, subject: sight}))
        assert (check.light, f"{subject} is {sight.health}: its reason" in check.sentence) == (light, True), check
        assert f"karaula status {subject}" in check.sentence
    assert judged(name, known(without(subject))).light is Light.UNKNOWN, "not asked yet is not well"


def test_a_key_that_a_name_server_refuses_is_red_and_one_that_was_not_tried_is_unknown() -> None:
    refused = Sight(Health.DEGRADED, "", NOW, {}, {"key_refused": "we do not agree on the TSIG key or the time"})
    check = judged("access", known({**WELL, "dns/dns-dr": refused}))
    assert (check.light, "dns/dns-dr does not take the key of updates: we do not" in check.sentence) == (
        Light.RED,
        True,
    )
    silent = judged("access", known({**WELL, "dns/dns-dr": Sight(Health.OK, "", NOW)}))
    assert (silent.light, "has not shown whether it takes the key" in silent.sentence) == (Light.UNKNOWN, True)


@pytest.mark.parametrize(
    ("facts", "values", "light", "says"),
    [
        (OUTLETS, WATTS, "green", "outlet group ncts of pdu-main, which would fence ncts off at main, can be read"),
        ({}, {}, "unknown", "outlet group ncts of pdu-main was not read yet"),
        ({"outlets/cdeps": "On"}, WATTS, "unknown", "was not read yet"),
        (OUTLETS, {}, "red", "does not measure what it draws, so that no fence of ncts could be proven"),
    ],
)
def test_a_fence_is_well_when_its_outlets_are_read_and_measured(
    facts: dict[str, str], values: dict[str, float], light: str, says: str
) -> None:
    check = judged("fence", known({**WELL, "power/pdu-main": Sight(Health.OK, "", NOW, values, facts)}))
    assert (check.light, says in check.sentence) == (light, True), check


FULL = {"esx/vc-dr/esx-1": esx(used=64), "esx/vc-dr/esx-2": esx(used=64)}
OFF = dict.fromkeys(MACHINES, vm(on=False))
THREE = {one: vm(on=False) for one in MACHINES[:3]}
ESX_1, ESX_2, SAN = "esx/vc-dr/esx-1", "esx/vc-dr/esx-2", "datastore/vc-dr/san"


@pytest.mark.parametrize(
    ("changed", "light", "says"),
    [
        ({}, "green", "datastore/vc-dr/san has 40 of 100 GiB free"),
        (FULL, "amber", "a drill's clones take 34.4 GB"),  # the machines run already
        ({**FULL, **OFF}, "red", "the machines to be started take 34.4 GB"),
        ({**OFF, ESX_1: esx(gib=20), ESX_2: esx(gib=47)}, "amber", "the machines to be started take 34.4 GB"),
        ({**OFF, ESX_2: esx(used=64)}, "green", "take 34.4 GB"),
        ({**OFF, ESX_1: esx(Health.DOWN)}, "green", "take 34.4 GB"),
        ({**OFF, ESX_1: esx(Health.DOWN), ESX_2: esx(maintenance=True)}, "red", "0 kB of memory are free"),
        ({**OFF, ESX_1: esx(used=64), ESX_2: BLIND}, "unknown", "esx/vc-dr/esx-2 did not say"),
        ({**OFF, ESX_1: replace(esx(), values={}), ESX_2: esx(used=64)}, "unknown", "esx/vc-dr/esx-1 did not say"),
        ({MACHINES[0]: vm(on=False, gib=49)}, "red", "in cluster one of vc-dr, and the largest machine takes"),
        # 3 times 8 GiB in 2 times 12: enough in sum, and one finds no host
        ({**THREE, ESX_1: esx(used=52), ESX_2: esx(used=52)}, "amber", "do not all find room host by host"),
        ({**THREE, ESX_1: esx(used=48), ESX_2: esx(used=52)}, "amber", "a drill's clones take 34.4 GB"),
        ({**THREE, ESX_1: esx(used=40), ESX_2: esx(used=40)}, "green", "of memory are free in cluster one of vc-dr"),
        # another cluster's room is not theirs
        ({**OFF, ESX_1: esx(used=64), ESX_2: esx(place="c-2")}, "red", "0 kB of memory are free in cluster one"),
        ({**OFF, ESX_2: esx(place="c-2", used=64)}, "green", "51.5 GB of memory are free in cluster one"),
        ({**OFF, ESX_1: esx(used=64), ESX_2: esx(Health.UNKNOWN, place="c-2")}, "red", "0 kB"),
        ({MACHINES[3]: vm(on=False, host="esx-2"), ESX_2: esx(place="h-1", used=60)}, "red", "free in esx/vc-dr/esx-2"),
        ({MACHINES[3]: vm(host="esx-2"), ESX_2: esx(place="h-1")}, "green", "free in esx/vc-dr/esx-2"),
        ({**OFF, ESX_1: esx(used=64), ESX_2: esx(place="")}, "unknown", "esx/vc-dr/esx-2 did not say"),
        ({ESX_1: esx(place="")}, "unknown", "in which cluster esx/vc-dr/esx-1 is was not told"),
        ({MACHINES[1]: vm(host="gone")}, "unknown", f"on which host {MACHINES[1]} is was not told"),
        ({MACHINES[0]: BLIND}, "unknown", "vc-dr was not heard of them"),
        ({MACHINES[0]: replace(vm(), facts={"host": "esx-1"})}, "unknown", "on which datastores vm/vc-dr/db-1 is, is"),
        ({SAN: replace(STORE, health=Health.DEGRADED, reason="14 % free")}, "amber", "san: 14 % free"),
        ({SAN: replace(STORE, health=Health.DOWN, reason="4 % free")}, "red", "san: 4 % free"),
        ({SAN: replace(STORE, health=Health.DOWN, reason="4 % free"), MACHINES[0]: BLIND}, "red", "san: 4 % free"),
        ({SAN: BLIND}, "unknown", "how full the datastores of vc-dr are, is not known"),
        ({f"{SAN}-2": replace(STORE, health=Health.DOWN, facts={"moref": "datastore-2"})}, "green", "free"),
    ],
)  # fmt: skip
def test_there_is_room(changed: Mapping[str, Sight], light: str, says: str) -> None:
    check = judged("capacity", known({**WELL, **changed}))
    assert (check.light, says in check.sentence) == (light, True), check


@pytest.mark.parametrize(
    ("spare", "used", "on", "light", "says"),
    [
        (0, 40, False, "green", "take 34.4 GB"),
        (1, 10, False, "green", "take 34.4 GB"),
        (1, 24, False, "amber", "started take 34.4 GB: without esx/vc-dr/esx-1 there would be 17.2 GB"),
        (1, 33, True, "amber", "vc-dr, and without esx/vc-dr/esx-1 what runs there finds no room on other"),
        (2, 10, False, "amber", "34.4 GB: without esx/vc-dr/esx-1 and esx/vc-dr/esx-2 what runs there finds no"),
    ],
)
def test_where_it_is_wanted_a_host_of_the_cluster_may_be_lost(
    spare: int, used: float, on: bool, light: str, says: str
) -> None:
    """Two hosts of 64 GiB; what runs on the lost one must find room on the other, and what is started as well."""
    limits = INVENTORY.readiness.model_copy(update={"spare_hosts": spare})
    sights = {**WELL, **dict.fromkeys(MACHINES, vm(on=on)), ESX_1: esx(used=used), ESX_2: esx(used=used)}
    check = judged("capacity", known(sights, inventory=INVENTORY.model_copy(update={"readiness": limits})))
    assert (check.light, says in check.sentence) == (light, True), check


def test_without_any_host_nothing_is_known_of_room() -> None:
    assert judged("capacity", known(without(ESX_1, ESX_2))).light is Light.UNKNOWN


LACK = (Verified("failover", "failover", "ncts", "its proof is 40 days old", NOW - 40 * DAY_S),)
ALONE = INVENTORY.model_copy(
    update={"responses": {"r": Response(alarm="system-down", system="ncts", playbook="failover", mode="automatic")}}
)


def test_playbooks_are_verified_as_they_stand() -> None:
    assert judged("playbook-failover", known()).sentence == "VERIFIED as it stands written, 24 h ago"
    check = judged("playbook-failover", known(verified=LACK))
    assert check.light is Light.AMBER
    assert check.sentence == "not VERIFIED: its proof is 40 days old; karaula prove failover --system ncts"
    assert judged("playbook-failover", known(verified=LACK, inventory=ALONE)).light is Light.RED
    unreadable = judged("playbook-failover", known(verified=LACK, inventory=ALONE, unreadable="it is not a record"))
    assert (unreadable.light, "it is not a record" in unreadable.sentence) == (Light.UNKNOWN, True)
    names = {check.name for check in readiness(known(verified=(Verified("backup", "backup", "ncts", "", NOW),))).checks}
    assert not [name for name in names if name.startswith("playbook-")], "a backup moves nothing"
    stuck = judged("playbook-failover", known(verified=(), withheld={"failover": "action 'x' cannot be used"}))
    assert (stuck.light, stuck.sentence) == (Light.RED, "cannot be run: action 'x' cannot be used; karaula check")


def test_every_plan_of_a_playbook_must_be_proven() -> None:
    there, back = plan(step("look"), kind="drill"), plan(step("look", "look"), kind="drill")
    plans = printed([there, replace(back, from_site="dr", to_site="main")])
    proofs = {
        each.fingerprint: Proof(each.fingerprint, "drill", "ncts", 2, at, "0", 1)
        for at, each in zip((50.0, 20.0), plans, strict=True)
    }
    wanted = Proofs(max_age_s=100, faults=2)
    (both,) = verified(plans, proofs.get, wanted, 100.0)
    assert (both.lack, both.proven_at) == ("", 20.0)
    (old,) = verified(plans, proofs.get, wanted, 121.0)
    assert (old.lack, old.proven_at) == ("its proof is 101 s old, more than 100 s", 20.0)
    del proofs[plans[1].fingerprint]
    (half,) = verified(plans, proofs.get, wanted, 100.0)
    assert ("nobody has proven" in half.lack, half.proven_at) == (True, None)


def test_a_drill_grows_old_day_by_day() -> None:
    """On a clock that goes on: green, then amber past the limit, red past twice it."""
    lights = [judged("drill", replace(known(), now=NOW + days * DAY_S)).light for days in range(80)]
    assert lights == [Light.GREEN] * 35 + [Light.AMBER] * 35 + [Light.RED] * 10
    never = judged("drill", known(runs=[]))
    assert (never.light, never.sentence) == (
        Light.RED,
        "no drill of ncts has ever succeeded; hold one: karaula drill ncts",
    )
    failed = [drill(2), drill(1, RunState.FAILED, "later")]
    check = judged("drill", known(runs=failed))
    assert (check.light, "a later one failed: karaula run show later" in check.sentence) == (Light.AMBER, True)
    assert "the last one tried failed" in judged("drill", known(runs=failed[1:])).sentence
    refused = replace(drill(0, RunState.CANCELED), started_at=None)
    assert judged("drill", known(runs=[drill(1), refused])).light is Light.GREEN, "one that never began says nothing"


def test_backups_are_proven_and_young() -> None:
    of = known().backups
    for factor, light in ((0.9, "green"), (1.1, "amber"), (2.1, "red")):
        assert judged("backups", known(backups=replace(of, proven_age_s=factor * of.objective_s))).light == light
    assert judged("backups", known(backups=replace(of, findings=("one place only",)))).light is Light.AMBER
    never = judged("backups", known(backups=replace(of, proven_age_s=None, findings=("no backup was ever taken",))))
    mend = "karaula backup ncts, then karaula verify ncts"
    assert (never.light, never.sentence) == (Light.RED, f"no backup was ever taken; {mend}")


SIGHTS = {
    "esx": st.builds(
        esx, st.sampled_from(Health), gib=st.sampled_from([16.0, 64.0]), used=st.sampled_from([0.0, 12.0, 60.0])
    ),
    "vm": st.builds(vm, st.sampled_from(Health), on=st.booleans(), gib=st.sampled_from([4.0, 8.0, 40.0])),
    "datastore": st.builds(lambda health: replace(STORE, health=health, reason="so"), st.sampled_from(Health)),
}
ANY = st.builds(
    lambda health, role, key: Sight(health, "so", NOW, {}, {**({"role": role} if role else {}), **key}),
    st.sampled_from(Health),
    st.sampled_from(["standby", "standby", "primary", ""]),
    st.sampled_from([KEY, KEY, {}, {"key_refused": "so"}]),
)


@given(
    st.fixed_dictionaries({subject: SIGHTS.get(subject.partition("/")[0], ANY) for subject in WELL}),
    st.sets(st.sampled_from(sorted(WELL)), min_size=1),
    st.sampled_from([NOT_SEEN, Loss(1.0, 1, "seen"), Loss(40.0, 1, "seen"), Loss(90.0, 1, "seen")]),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=examples(300))
def test_less_knowledge_makes_nothing_better(
    sights: Mapping[str, Sight], forgotten: set[str], loss: Loss, lost_loss: bool, unreadable: bool
) -> None:
    before = readiness(known(sights, loss=loss, verified=LACK))
    fewer = {
        subject: Sight(Health.UNKNOWN, "not heard") if subject in forgotten else sight
        for subject, sight in sights.items()
    }
    after = readiness(
        known(fewer, loss=NOT_SEEN if lost_loss else loss, verified=LACK, unreadable="gone" if unreadable else "")
    )
    for was, now in zip(before.checks, after.checks, strict=True):
        assert now.light in {was.light, Light.UNKNOWN}, (was, now)
    assert after.total is not Light.GREEN or before.total is Light.GREEN


@given(st.lists(st.sampled_from(Light)))
def test_the_worst_is_the_total_and_of_nothing_nothing_is_known(lights: list[Light]) -> None:
    found = Readiness("ncts", "dr", NOW, tuple(Check(f"c{n}", light, "so") for n, light in enumerate(lights)))
    assert found.total is worst(lights)
    assert all(WORST_LAST.index(light) <= WORST_LAST.index(found.total) for light in lights)
    assert (found.total is Light.GREEN) == (bool(lights) and set(lights) == {Light.GREEN})
    assert [check.light for check in found.amiss()] == sorted(
        (light for light in lights if light is not Light.GREEN), key=WORST_LAST.index, reverse=True
    )
