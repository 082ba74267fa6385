"""Drift: what runs have set against what is observed; what is not known is never drift, and what persists is told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from engine_kit import FAILOVER, accepted
from hypothesis import given
from hypothesis import strategies as st
from sim_kit import with_vip

from console.drifting import Drifting
from dr.engine.drift import Agreement, Compared, declared
from dr.engine.drift_seen import Look, compared
from dr.journal.run import Run, StepState
from dr.playbook.foreign import TIERS
from monitor.clients.redfish import OutletGroup, noted
from monitor.clock import ManualClock
from monitor.inventory.read import read
from monitor.probe import Answer, Observation
from monitor.status.alarm import Alarm
from monitor.status.state import Health, Status

INVENTORY = read(Path(__file__).parents[2] / "inventory.yaml")
DONE_AT = 100.0
LATER = DONE_AT + 1
DR_FRONT = INVENTORY.systems["ncts"].sites["dr"].front.address
MAIN_FRONT = INVENTORY.systems["ncts"].sites["main"].front.address


def outlets(power: str, watts: float | None, at: float = LATER, health: str = "ok") -> Look:
    """Return what a power controller says of NCTS's outlets."""
    facts, values = noted("ncts", OutletGroup(power, watts))
    return Look(health, "", facts, at, values)


DR_MACHINES = tuple(name for tier in TIERS for name in getattr(INVENTORY.systems["ncts"].sites["dr"].vms, tier))
AS_DECLARED = {
    "system/ncts": Look("ok", "dr", {}, LATER),
    "database/ncts/dr": Look("ok", "", {"role": "primary"}, LATER),
    "front/ncts/main": Look("down", "", {}, LATER),
    "database/ncts/main": Look("down", "", {}, LATER),
    "power/pdu-main": outlets("Off", 0),
    "check/ncts-name": Look("ok", "", {"records": DR_FRONT}, LATER),
    **{f"vm/vc-dr/{name}": Look("ok", "", {"power": "on", "connection": "connected"}, LATER) for name in DR_MACHINES},
}
WEB, WEB_AT_MAIN = "vm/vc-dr/ncts-web-2", "vm/vc-main/ncts-web-2"
SIDE = {"front/ncts/main", "database/ncts/main"}


def ran(run_id: str = "one", at: float = DONE_AT, **states: StepState) -> Run:
    """Return a failover whose steps ended at ``at`` as told; the others have succeeded."""
    run, _ = accepted(FAILOVER)
    steps = {
        key: replace(record, state=states.get(key, StepState.SUCCEEDED), started_at=at - 1, ended_at=at)
        for key, record in run.steps.items()
    }
    return replace(run, id=run_id, steps=steps)


def told(looks: Mapping[str, Look], *runs: Run) -> dict[str, Compared]:
    made = declared("ncts", runs or (ran(),))
    return {one.field: one for one in compared(made, INVENTORY, looks.get)}


def test_what_is_as_declared_agrees() -> None:
    found = told(AS_DECLARED)
    assert {name: (one.declared, one.agreement) for name, one in found.items()} == {
        "active": ("dr", Agreement.AGREES),
        "fence": ("on", Agreement.AGREES),
        "power": ("on", Agreement.AGREES),
        "role": ("primary", Agreement.AGREES),
        "traffic": ("dr", Agreement.AGREES),
    }


@pytest.mark.parametrize(
    ("subject", "look", "what", "says"),
    [
        (
            "system/ncts",
            Look("down", "split-brain", {}, LATER),
            "active",
            "was seen to be active at both sites at once",
        ),
        ("database/ncts/dr", Look("ok", "", {"role": "standby"}, LATER), "role", "says that it is standby"),
        ("front/ncts/main", Look("ok", "", {}, LATER), "fence", "front/ncts/main answers"),
        ("database/ncts/main", Look("degraded", "", {}, LATER), "fence", "database/ncts/main answers"),
        ("check/ncts-name", Look("ok", "", {"records": MAIN_FRONT}, LATER), "traffic", f"it leads to {MAIN_FRONT}"),
        ("power/pdu-main", outlets("On", 410), "fence", "outlet group ncts of pdu-main reads PowerState On, 410 W"),
        ("power/pdu-main", outlets("Off", 310), "fence", "reads PowerState Off, 310 W"),
        (WEB, Look("down", "", {"power": "off", "connection": "connected"}, LATER), "power", f"{WEB} is off"),
        (WEB, Look("ok", "", {"power": "suspended"}, LATER), "power", f"{WEB} is suspended"),
        (WEB, Look("down", "", {"missing": "yes"}, LATER), "power", f"{WEB} is missing"),
        (WEB, Look("down", "", {"power": "on", "connection": "orphaned"}, LATER), "power", "is on, but orphaned"),
    ],
)
def test_each_thing_that_is_otherwise_is_drift_and_named(subject: str, look: Look, what: str, says: str) -> None:
    found = told({**AS_DECLARED, subject: look})
    assert [name for name, one in found.items() if one.agreement is Agreement.DRIFT] == [what]
    assert says in found[what].sentence()
    assert "of one, and " in found[what].sentence()


def test_a_system_is_seen_elsewhere_only_by_a_front_that_was_heard_since() -> None:
    """The system is judged anew with each front that is heard: right after a move by what the other one had said."""
    moved = {**AS_DECLARED, "system/ncts": Look("ok", "main", {}, LATER)}
    moved.pop("front/ncts/main", None)
    before, down = Look("ok", "", {"role": "active"}, DONE_AT), Look("down", "", {}, LATER)
    for front in ({}, {"front/ncts/main": before}, {"front/ncts/main": down}):
        active = told({**moved, **front})["active"]
        assert active.agreement is Agreement.UNKNOWN
        assert "front/ncts/main, which had said that it is active, has not been heard since" in active.why
    heard = told({**moved, "front/ncts/main": Look("ok", "", {"role": "active"}, LATER)})["active"]
    assert (heard.agreement, heard.why) == (Agreement.DRIFT, "it was seen to be active at main")


@given(
    st.dictionaries(
        st.sampled_from(sorted(AS_DECLARED)),
        st.builds(
            Look,
            st.sampled_from(["ok", "degraded", "down", "unknown"]),
            st.sampled_from(["", "main", "dr"]),
            st.dictionaries(
                st.sampled_from(["role", "records", "power", "missing"]),
                st.sampled_from(["primary", "standby", MAIN_FRONT, "on", "off"]),
            ),
            st.floats(0, 200),
        ),
    )
)
def test_what_was_not_heard_since_is_unknown_and_never_drift(looks: dict[str, Look]) -> None:
    heard = {
        key: look
        for key, look in looks.items()
        if look.at > DONE_AT
        and look.health in ({"ok", "degraded", "down"} if key.startswith("vm/") else {"ok", "degraded"})
    }
    for one in told(looks).values():
        if one.agreement is Agreement.DRIFT:
            assert set(told(heard)) >= {one.field}
            assert told(heard)[one.field].agreement is Agreement.DRIFT, "only what was heard since contradicts"
        if one.agreement is Agreement.UNKNOWN:
            assert one.observed == ""
            assert one.why


@pytest.mark.parametrize("state", [state for state in StepState if state is not StepState.SUCCEEDED])
def test_a_step_that_did_not_succeed_declares_nothing(state: StepState) -> None:
    fields = {one.field for one in declared("ncts", [ran(promote=state)])}
    assert fields == {"fence", "power", "traffic"}


def test_the_newest_step_counts_of_whichever_run() -> None:
    back = ran("two", DONE_AT + 50, fence=StepState.QUEUED)
    steps = {key: record for key, record in back.steps.items() if record.state is StepState.SUCCEEDED}
    assert {one.run for one in declared("ncts", [ran(), replace(back, steps=steps)]) if one.field == "role"} == {"two"}
    assert {one.run for one in declared("ncts", [replace(back, steps=steps), ran()]) if one.field == "fence"} == {"one"}
    failed = ran("two", DONE_AT + 50, promote=StepState.FAILED)
    assert "role" not in {one.field for one in declared("ncts", [ran(), failed])}, "whether it holds is not known"
    assert declared("ite", [ran()]) == []


def stepped(run_id: str, at: float, *effects: tuple[str, str], state: StepState = StepState.SUCCEEDED) -> Run:
    """Return a run of one step, which ended so at ``at`` with ``effects`` (field and value) at main."""
    run = ran(run_id, at)
    record = run.steps["power"]
    made = tuple(("system/ncts/main", field, value) for field, value in effects)
    return replace(
        run, steps={"only": replace(record, plan=replace(record.plan, id="only", effects=made), state=state)}
    )


def power(*runs: Run) -> set[tuple[str, str, str]]:
    """Return the power that is declared: which tiers, how, by which run."""
    return {(one.part, one.declared, one.run) for one in declared("ncts", runs) if one.field == "power"}


def test_the_power_of_each_tier_is_what_was_last_done_to_it() -> None:
    all_on, web_off = stepped("all", 10, ("power", "on")), stepped("web", 20, ("power", "web-off"))
    assert power(all_on) == {("", "on", "all")}
    assert power(web_off, all_on) == {("database, application", "on", "all"), ("web", "off", "web")}
    assert power(all_on, web_off, stepped("again", 30, ("power", "on"))) == {("", "on", "again")}
    undone = replace(web_off, steps={"only": replace(web_off.steps["only"], state=StepState.UNDONE)})
    assert power(all_on, undone) == {("database, application", "on", "all")}, "how the web stands now nobody has said"


@pytest.mark.parametrize("state", [StepState.SUCCEEDED, StepState.FAILED, StepState.UNKNOWN, StepState.IN_PROGRESS])
def test_after_a_fence_nobody_has_said_that_machines_run(state: StepState) -> None:
    on, off = stepped("on", 10, ("power", "on")), stepped("off", 30, ("power", "web-off"))
    fence = stepped("fence", 20, ("fence", "on"), state=state)
    assert power(on, fence) == set()
    assert power(fence, on, off) == {("web", "off", "off")}, "what is set behind a fence stands"
    opened = stepped("open", 40, ("fence", "off"))
    assert power(on, fence, off, opened) == {("web", "off", "off")}, "the power's return starts no machine that is off"


def test_replicas_may_be_off_again_where_the_system_is_not_active() -> None:
    ncts = INVENTORY.systems["ncts"]
    resting = {**ncts.sites, "main": ncts.sites["main"].model_copy(update={"standby": "off"})}
    inventory = INVENTORY.model_copy(
        update={"systems": {**INVENTORY.systems, "ncts": ncts.model_copy(update={"sites": resting})}}
    )
    off = {f"vm/vc-main/{name}": Look("ok", "", {"power": "off"}, LATER) for name in DR_MACHINES}
    started, home = stepped("start", 50, ("power", "on")), stepped("home", 60, ("role", "primary"))

    def drifts(*runs: Run) -> list[str]:
        found = compared(declared("ncts", runs), inventory, off.get)
        return [one.field for one in found if one.agreement is Agreement.DRIFT]

    assert drifts(started, ran()) == [], "it was last promoted at dr"
    assert drifts(started) == [], "it was promoted nowhere that we know"
    assert drifts(started, home) == ["power"]
    assert drifts(stepped("stop", 50, ("power", "off")), home) == []


@pytest.mark.parametrize(
    ("declared_as", "looks", "observed", "agreement"),
    [
        ("on", {}, "", "unknown"),
        ("on", {"power/pdu-main": outlets("Off", 0)}, "on", "agrees"),
        ("on", {"power/pdu-main": outlets("Off", 0, DONE_AT)}, "", "unknown"),
        ("on", {"power/pdu-main": outlets("Off", 0, health="unknown")}, "", "unknown"),
        ("on", {"power/pdu-main": outlets("Off", None)}, "PowerState Off, not measured", "drift"),
        ("on", {"power/pdu-main": outlets("PoweringOff", 4)}, "", "unknown"),
        ("on", {"power/pdu-main": outlets("On", 0)}, "off", "drift"),
        ("on", {"power/pdu-main": outlets("On", 0, health="down")}, "off", "drift"),
        ("on", {"power/pdu-main": outlets("Off", 0), "front/ncts/main": Look("ok", "", {}, LATER)}, "off", "drift"),
        ("on", {"power/pdu-main": Look("ok", "", {"outlets/cdeps": "On"}, LATER)}, "", "unknown"),
        ("off", {}, "", "unknown"),
        ("off", {"power/pdu-main": outlets("On", 0)}, "off", "agrees"),
        ("off", {"power/pdu-main": outlets("On", None)}, "off", "agrees"),
        ("off", {"power/pdu-main": outlets("Off", 0)}, "on", "drift"),
        ("off", {"power/pdu-main": outlets("Off", 310)}, "PowerState Off, 310 W", "drift"),
        ("off", {"front/ncts/main": Look("ok", "", {}, LATER)}, "off", "agrees"),
        ("off", {"front/ncts/main": Look("down", "", {}, LATER)}, "", "unknown"),
    ],
)
def test_a_fence_is_what_its_outlets_read_and_never_while_what_they_feed_answers(
    declared_as: str, looks: dict[str, Look], observed: str, agreement: str
) -> None:
    made = declared("ncts", [stepped("one", DONE_AT, ("fence", declared_as))])
    (found,) = compared(made, INVENTORY, looks.get)
    assert (found.observed, found.agreement.value) == (observed, agreement), found
    assert found.why


@pytest.mark.parametrize(
    ("main", "dr", "observed", "agreement"),
    [
        ("no", "yes", "dr", "agrees"),
        (None, "yes", "dr", "agrees"),
        ("yes", "no", "main", "drift"),
        ("yes", None, "main", "drift"),
        ("yes", "yes", "main and dr", "drift"),
        ("no", "no", "nowhere", "drift"),
        (None, "no", "elsewhere", "drift"),
        ("no", None, "", "unknown"),
        (None, None, "", "unknown"),
    ],
)
def test_an_address_is_where_a_run_has_put_it_and_nowhere_else(
    main: str | None, dr: str | None, observed: str, agreement: str
) -> None:
    run = stepped("one", DONE_AT, ("traffic", "dr"))
    record = run.steps["only"]
    moved = replace(run, steps={"only": replace(record, plan=replace(record.plan, action="vip"))})
    silent = {"main": Look("down", "", {}, LATER), "dr": Look("ok", "", {"holds": "yes"}, DONE_AT)}  # an old answer
    said = {site: Look("ok", "", {"holds": holds}, LATER) for site, holds in (("main", main), ("dr", dr)) if holds}
    looks = {f"vip/ncts/{site}": look for site, look in (silent | said).items()}
    made = declared("ncts", [moved])
    (found,) = compared(made, with_vip(INVENTORY, "ncts"), looks.get)
    assert (found.field, found.observed, found.agreement.value) == ("vip", observed, agreement), found
    assert found.why
    assert "192.0.2.9" in found.why or agreement == "unknown"
    (gone,) = compared(made, INVENTORY, looks.get)
    assert (gone.agreement, gone.why) == (Agreement.UNKNOWN, "the inventory has no vip of ncts at dr")


@dataclass
class Watching:
    """As much of a watch as is compared with, and what it was told."""

    statuses: dict[str, Status]
    seen: dict[str, Observation]
    held: dict[tuple[str, str], str | None] = field(default_factory=dict)
    isolated: str = ""
    planned: dict[str, str] = field(default_factory=dict)

    def alarms(self, *, active_only: bool) -> list[Alarm]:
        assert active_only
        return [Alarm("a", *place, "critical", 0.0, reason) for place, reason in self.held.items() if reason]

    def status(self, subject: str) -> Status | None:
        return self.statuses.get(subject)

    def observation(self, subject: str) -> Observation | None:
        return self.seen.get(subject)

    last_good = observation

    def covered(self) -> dict[str, str]:
        return self.planned

    def hold(self, name: str, subject: str, reason: str | None) -> None:
        self.held[name, subject] = reason


@dataclass
class Runs:
    ran: list[Run]

    def runs(self) -> list[Run]:
        return self.ran

    def subscribe(self, listener: Any) -> None:
        self.listener = listener


def test_drift_that_persists_is_an_alarm_until_both_agree() -> None:
    watch = Watching({}, {})
    runs, clock = Runs([ran()]), ManualClock(DONE_AT)

    def says(role: str) -> None:
        subject = "database/ncts/dr"
        watch.statuses[subject] = Status(subject, Health.OK, "", LATER, LATER)
        watch.seen[subject] = Observation(subject, "ssh", LATER, Answer.OK, facts={"role": role})

    drifting = Drifting(watch, runs, clock, lambda: INVENTORY)  # type: ignore[arg-type]  # as much of each as is used
    stands = ("drift", "karaula/ncts/role/dr")

    def tick(after_s: float) -> str | None:
        clock.advance(after_s)
        asyncio.run(drifting.tick())
        return watch.held.get(stands)

    says("standby")
    assert tick(0) is None, "it may be a moment behind"
    assert tick(INVENTORY.polling.stale_after_s / 2) is None
    reason = tick(INVENTORY.polling.stale_after_s)
    assert reason is not None
    assert "ncts at dr is primary by step 'promote' of one" in reason
    watch.isolated = "no anchor answers"
    assert tick(5) == reason, "what is not seen clears nothing"
    watch.isolated = ""
    says("primary")
    assert tick(1) is None
    says("standby")
    assert tick(1) is None, "it counts from anew"
    assert tick(INVENTORY.polling.stale_after_s) is not None
    drifting = Drifting(watch, runs, clock, lambda: INVENTORY)  # type: ignore[arg-type]  # likewise: a restart
    heard = watch.seen.pop("database/ncts/dr")
    assert tick(1) is not None, "not heard since the start: it stands"
    watch.seen["database/ncts/dr"] = heard
    assert tick(1) is not None, "and is not told anew"
    # A run that sets it anew is what counts from then on.
    runs.ran = [ran("two", LATER + 100)]
    runs.listener(runs.ran[0], ())
    assert tick(1) is None, "it was not looked at since"
    assert [one.agreement for one in drifting.of(runs.ran[0]) if one.field == "role"] == [Agreement.UNKNOWN]


@pytest.mark.parametrize(
    ("effect", "subject", "facts", "covering", "field_", "held_back"),
    [
        (("power", "on"), WEB_AT_MAIN, {"power": "off"}, {WEB_AT_MAIN}, "power", True),
        (("power", "on"), WEB_AT_MAIN, {"power": "off"}, {"vm/vc-main/ncts-web-1"}, "power", False),
        (("power", "off"), WEB_AT_MAIN, {"power": "on"}, {WEB_AT_MAIN}, "power", False),
        (("fence", "off"), "power/pdu-main", {"outlets/ncts": "Off"}, SIDE, "fence", True),
        (("fence", "off"), "power/pdu-main", {"outlets/ncts": "Off"}, {"front/ncts/main"}, "fence", False),
        (("fence", "on"), "power/pdu-main", {"outlets/ncts": "On"}, SIDE, "fence", False),
        (("role", "primary"), "database/ncts/main", {"role": "standby"}, SIDE, "role", False),
    ],
)
def test_what_announced_works_lay_down_is_told_at_their_end(
    effect: tuple[str, str], subject: str, facts: dict[str, str], covering: set[str], field_: str, held_back: bool
) -> None:
    status = Status(subject, Health.OK, "", LATER, LATER)
    watch = Watching({subject: status}, {subject: Observation(subject, "x", LATER, Answer.OK, facts=facts)})
    clock = ManualClock(DONE_AT)
    runs = Runs([stepped("one", DONE_AT, effect)])
    drifting = Drifting(watch, runs, clock, lambda: INVENTORY)  # type: ignore[arg-type]  # as much of each as is used
    told = ("drift", f"karaula/ncts/{field_}/main")
    watch.planned = dict.fromkeys(covering, "works")
    for _ in range(2):
        asyncio.run(drifting.tick())
        clock.advance(INVENTORY.polling.stale_after_s)
    assert (watch.held.get(told) is None) == held_back
    watch.planned = {}
    asyncio.run(drifting.tick())
    assert watch.held[told] is not None
    watch.planned = dict.fromkeys(covering, "works")
    asyncio.run(drifting.tick())
    assert watch.held[told] is not None, "what stands is not taken back by an announcement"
