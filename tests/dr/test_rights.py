"""Rights by name: whoever may hold a drill may not fail over by that. Asked about whenever something is to count."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest
from checker_kit import shipped
from engine_kit import plan, step
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_kit import INVENTORY, House, house
from test_guards_verdicts import NOTHING, ruled, run_of

from dr.checker.admission import admission
from dr.engine.standing import OverrideAsk
from dr.errors import RunRefused
from dr.guard import Facts, Guard, Verdict
from dr.guards import RUN_GUARDS
from dr.guards.approval import approval
from dr.guards.rpo import rpo
from dr.journal.event import ApprovalAsked, Approved, RunAccepted
from dr.journal.fold import begin, fold
from dr.journal.joint import JointAccepted, begin_joint
from dr.journal.override import BLACKOUT, FENCING, READINESS
from dr.journal.pause import Pause
from dr.journal.run import Run, RunState
from dr.loss import Loss
from dr.playbook.joint import JointPlan, Member
from dr.rights import Deed, by_right, demand_decision, holders, kinds_of, listed, may, must_be_proven, others
from monitor.inventory.recovery import EVERYBODY, KINDS, Right, Window

asynchronous = pytest.mark.anyio
MOVES = ("switchover", "failover", "failback")
DRILLS = Right(people=("Ana", "boris"), may=("request", "steer", "override"), kinds=("backup", "verify", "drill"))
ASKING = Right(people=("ana", "vera"), may=("request",), kinds=MOVES)
DUTY = Right(people=("vera", "goce"), may=("approve", "steer", "override"), kinds=MOVES, systems=("ncts",))
RIGHTS = {"drills": DRILLS, "asking": ASKING, "duty": DUTY}


# -- the table ---------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["ana", "Boris", "vera", EVERYBODY])
ENTRIES = st.builds(
    Right,
    people=st.lists(NAMES, min_size=1, max_size=3).map(tuple),
    may=st.lists(st.sampled_from([deed.value for deed in Deed]), min_size=1, max_size=4).map(tuple),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3).map(tuple),
    systems=st.lists(st.sampled_from(["ncts", "ite"]), max_size=2).map(tuple),
)


@given(
    st.dictionaries(st.sampled_from("abcd"), ENTRIES, min_size=1, max_size=4),
    st.sampled_from(["ana", " BORIS", "vera", "goce"]),
    st.sampled_from(list(Deed)),
    st.sampled_from(KINDS),
    st.sampled_from(["ncts", "ite", "exim"]),
)
def test_a_right_is_held_when_one_entry_names_all_of_it(
    rights: dict[str, Right], who: str, deed: Deed, kind: str, system: str
) -> None:
    held = any(
        deed in right.may
        and kind in right.kinds
        and (not right.systems or system in right.systems)
        and (EVERYBODY in right.people or who.strip().lower() in [name.lower() for name in right.people])
        for right in rights.values()
    )
    assert may(rights, who, deed, kind, system) is held
    names = holders(rights, deed, kind, system)
    assert len({name.casefold() for name in names}) == len(names)
    assert EVERYBODY not in names or names == (EVERYBODY,)


def test_without_an_entry_everybody_may_everything() -> None:
    assert all(may({}, "anybody", deed, kind, "ncts") for deed in Deed for kind in KINDS)
    assert not may({"x": DRILLS}, "anybody", Deed.REQUEST, "drill", "ncts")


def test_names_in_sentences() -> None:
    assert listed(()) == "nobody"
    assert listed(tuple("abcdefgh")) == "a, b, c, d, e, f, g, h"
    assert listed(tuple("abcdefghij")) == "a, b, c, d, e, f, g, 3 more"
    assert others(RIGHTS, Deed.REQUEST, "drill", "ite", "ana") == ("boris",)


# -- the guard ---------------------------------------------------------------------------------------------------------


def verdict(kind: str = "failover", by: str = "", rights: dict[str, Right] = RIGHTS, origin: str = "person") -> Verdict:
    run = run_of(plan(step("look"), kind=kind), origin=origin)  # ana asks
    if by:
        run = fold(fold(run, ApprovalAsked(100.0, 200.0, run.plan_hash)), Approved(110.0, by, "", run.plan_hash))
    return approval(run, replace(NOTHING, rights=rights), None, 110.0)


def test_who_may_only_hold_drills_may_not_ask_for_a_failover() -> None:
    rights = {"drills": DRILLS, "duty": DUTY}
    refused = verdict(rights=rights)
    assert ruled(refused) == ("refuse", "requester-may-not")
    assert "ana may not request a failover of ncts: the inventory gives that right to nobody" in refused.sentence
    assert ruled(verdict("drill", rights=rights)) == ("allow", "not-needed")
    assert ruled(verdict("drill", rights={"asking": ASKING, "duty": DUTY})) == ("refuse", "requester-may-not")


def test_what_the_daemon_asks_for_needs_no_persons_right() -> None:
    assert ruled(verdict("drill", rights={"duty": DUTY}, origin="schedule")) == ("allow", "not-needed")
    assert ruled(verdict(rights={"duty": DUTY}, origin="alarm")) == ("wait", "approval-missing")


def test_the_wait_says_who_may_approve() -> None:
    waits = verdict()
    assert ruled(waits) == ("wait", "approval-missing")
    assert "one of those who may (vera, goce) must read the plan" in waits.sentence
    alone = verdict(rights={"asking": ASKING, "duty": DUTY.model_copy(update={"people": ("ana",)})})
    assert ruled(alone) == ("refuse", "nobody-may-approve")


def test_an_approval_counts_only_by_right() -> None:
    allowed = verdict(by="goce")
    assert ruled(allowed) == ("allow", "approved")
    assert allowed.sentence == "approved by goce (rights: duty); asked for by ana (rights: asking)"
    refused = verdict(by="boris")
    assert ruled(refused) == ("refuse", "approver-may-not")
    assert "boris may not approve a failover of ncts: the inventory gives that right to vera, goce" in refused.sentence


def test_the_verdict_says_by_which_right() -> None:
    assert verdict(by="goce", rights={}).sentence == "approved by goce"
    assert verdict("drill").sentence == "a drill does not change production; asked for by ana (rights: drills)"
    own = {**RIGHTS, "all": DUTY.model_copy(update={"people": (EVERYBODY,)})}
    assert by_right(own, "goce", Deed.APPROVE, "failover", "ncts") == " (rights: duty)"
    assert by_right(own, "boris", Deed.APPROVE, "failover", "ncts") == " (rights: all)"
    scheduled = verdict("drill", rights={"all": DRILLS.model_copy(update={"people": (EVERYBODY,)})}, origin="schedule")
    assert scheduled.sentence == "a drill does not change production"


def losing(accepted_by: str, rights: dict[str, Right]) -> Verdict:
    run = replace(run_of(plan(step("look"), kind="failover")), loss_accepted_s=7000.0, loss_accepted_by=accepted_by)
    return rpo(run, replace(NOTHING, rights=rights, loss=Loss(6000.0, 3, "seen")), None, 110.0)


def test_a_loss_is_accepted_by_right() -> None:
    allowed = losing("goce", RIGHTS)
    assert ruled(allowed) == ("allow", "loss-accepted")
    assert allowed.sentence.endswith("goce has accepted 117 min (rights: duty)")
    waits = losing("goce", {"asking": ASKING, "duty": DUTY.model_copy(update={"people": ("vera",)})})
    assert ruled(waits) == ("wait", "loss-not-accepted")
    assert "goce has accepted it, and has no right to any more. One of those who may (vera) must" in waits.sentence
    assert ruled(losing("goce", {})) == ("allow", "loss-accepted")


# -- decisions ---------------------------------------------------------------------------------------------------------


def refuses(decision: str, who: str, run: Run) -> bool:
    try:
        demand_decision(RIGHTS, who, decision, run)
    except RunRefused as error:
        return error.guard == "rights"
    return False


def test_each_decision_needs_its_right() -> None:
    run = run_of(plan(step("look")))
    waiting = fold(run, ApprovalAsked(100.0, 200.0, run.plan_hash))
    for decision in (
        "approve",
        "deny",
        "accept-loss",
        "pause",
        "answer",
        "resume",
        "retry",
        "ignore",
        "undo",
        "cancel",
    ):
        assert not refuses(decision, "goce", waiting)
        assert refuses(decision, "boris", waiting)
    assert not refuses("cancel", "Ana ", waiting), "she asked for it, and it has not begun"
    assert refuses("cancel", "ana", replace(waiting, state=RunState.PAUSED))


def test_a_rule_concerns_kinds() -> None:
    assert kinds_of(READINESS, "ncts", INVENTORY) == ("drill",)
    assert kinds_of(FENCING, "ncts", INVENTORY) == ("switchover", "failover", "reprotect", "failback")
    assert kinds_of("safety/name-server", "ncts", INVENTORY) == ("verify",)
    window = Window(kinds=("drill",), systems=("ncts",), cron="0 1 * * *", duration_s=60.0)
    held = INVENTORY.model_copy(update={"windows": {"one": window}})
    assert kinds_of(BLACKOUT, "ncts", held) == ("drill",)
    assert kinds_of(BLACKOUT, "ite", held) == ("backup", "verify", "drill")
    assert kinds_of("safety/taken-away", "ncts", INVENTORY) == KINDS


def test_who_asked_for_a_joint_run_does_not_cancel_what_an_alarm_had_prepared_with_it() -> None:
    member = Member("ncts", "n", 1, (), plan(step("look")))
    body = JointPlan("failover", "failover", (member,), {}).to_json()
    for replaces, refused in (({}, False), ({"ncts-1": "ncts"}, True)):
        accepted = JointAccepted(1.0, body, "ana", "", 99.0, {}, {}, replaces)
        assert refuses("cancel", "ana", begin_joint("joint-1", accepted)) is refused
        assert not refuses("cancel", "goce", begin_joint("joint-1", accepted)), "he may steer it"


# -- in the engine -----------------------------------------------------------------------------------------------------


def given_to(at: House, rights: dict[str, Right]) -> None:
    """Let a reload change who may what."""
    inventory = INVENTORY.model_copy(update={"rights": rights})
    at.orchestrator.reload(replace(at.orchestrator.world, inventory=inventory), at.orchestrator.rules)


@asynchronous
async def test_a_refused_request_is_written_down(tmp_path: Path) -> None:
    async with house(tmp_path, inventory=INVENTORY.model_copy(update={"rights": RIGHTS})) as at:
        with pytest.raises(RunRefused, match="boris may not request a failover of ncts") as error:
            await at.submit(requester="boris")
        assert error.value.guard == "approval"
        (run,) = at.orchestrator.runs()
        assert (run.state, run.requester) == (RunState.CANCELED, "boris")
        assert [note.reason for note in run.guards if note.ruling == "refuse"] == ["requester-may-not"]


@asynchronous
async def test_a_right_that_is_taken_away_before_the_start_approves_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, inventory=INVENTORY.model_copy(update={"rights": RIGHTS})) as at:
        run = await at.submit(requester="ana")
        assert run.state is RunState.WAITING
        given_to(at, {"asking": ASKING, "duty": DUTY.model_copy(update={"people": ("vera",)})})
        run = await at.until(await at.approve(run, by="goce"))
        assert run.started_at is None
        assert [note.reason for note in run.guards if note.ruling == "refuse"] == ["approver-may-not"]


@asynchronous
async def test_an_override_counts_while_both_have_the_right(tmp_path: Path) -> None:
    async with house(tmp_path, inventory=INVENTORY.model_copy(update={"rights": RIGHTS})) as at:
        standing, now = at.orchestrator.standing, at.clock.now()
        four = DUTY.model_copy(update={"kinds": (*MOVES, "reprotect")})
        given_to(at, {"asking": ASKING, "duty": four})
        wanted = OverrideAsk("ncts", FENCING, "ana", "I saw it dark", 3600.0)
        none = "ana may not override a switchover or failover or reprotect or failback of ncts: .* to vera, goce "
        with pytest.raises(RunRefused, match=none):
            await standing.override(wanted)
        made = await standing.override(replace(wanted, by="vera"))
        with pytest.raises(RunRefused, match="boris may not override"):
            await standing.confirm(made.id, "boris", "")
        await standing.confirm(made.id, "goce", "")
        run = run_of(plan(step("look")))
        assert standing.overridden(FENCING, run, now) is not None
        given_to(at, {"asking": ASKING, "duty": four.model_copy(update={"people": ("vera",)})})
        assert standing.overridden(FENCING, run, now) is None, "goce has lost it meanwhile"
        said = standing.left_aside(FENCING, run, now)
        assert "override/1 does not count here: goce has no right to it (karaula rights ncts)" in said
        with pytest.raises(RunRefused, match="boris may not override"):
            await standing.end(made.id, "boris", "")
        assert (await standing.end(made.id, "vera", "")).ended_by == "vera"


@asynchronous
async def test_a_right_to_override_for_failovers_alone_is_enough_for_a_failovers_fence(tmp_path: Path) -> None:
    failovers = DUTY.model_copy(update={"kinds": ("failover",)})
    drills = DRILLS.model_copy(update={"kinds": ("drill", "switchover")})
    rights = {"asking": ASKING, "duty": failovers, "drills": drills}
    async with house(tmp_path, inventory=INVENTORY.model_copy(update={"rights": rights})) as at:
        standing, now = at.orchestrator.standing, at.clock.now()
        made = await standing.override(OverrideAsk("ncts", FENCING, "vera", "I saw it dark", 3600.0))
        with pytest.raises(RunRefused, match="boris may not override a failover of ncts"):
            await standing.confirm(made.id, "boris", "")  # he may for switchovers: together they let nothing pass
        await standing.confirm(made.id, "goce", "")
        assert standing.overridden(FENCING, run_of(plan(step("look"), kind="failover")), now) is not None
        assert standing.overridden(FENCING, run_of(plan(step("look"), kind="failback")), now) is None


@asynchronous
async def test_what_nobody_could_agree_to_is_not_left_waiting(tmp_path: Path) -> None:
    for second, refused in ((("vera",), True), (("Vera", "goce"), False), ((EVERYBODY,), False)):
        duty = DUTY.model_copy(update={"people": second})
        drills = DRILLS.model_copy(update={"people": ("vera", "boris")})  # may override, too, and no fence
        rights = {"asking": ASKING, "duty": duty, "drills": drills}
        async with house(tmp_path, inventory=INVENTORY.model_copy(update={"rights": rights})) as at:
            standing = at.orchestrator.standing
            ask = OverrideAsk("ncts", FENCING, "vera", "I saw it dark", 3600.0)
            if refused:
                with pytest.raises(RunRefused, match="the inventory lets nobody but vera override it for ncts"):
                    await standing.override(ask)
                await standing.override(replace(ask, rule=READINESS))  # one person may
            else:
                assert not (await standing.override(ask)).in_force(at.clock.now())


@asynchronous
async def test_an_override_of_a_rule_that_is_gone_can_be_taken_back(tmp_path: Path) -> None:
    async with house(tmp_path, inventory=INVENTORY.model_copy(update={"rights": RIGHTS})) as at:
        standing = at.orchestrator.standing
        made = await standing.override(OverrideAsk("ncts", "safety/name-server", "boris", "one is enough", 3600.0))
        inventory = INVENTORY.model_copy(update={"rights": RIGHTS, "safety": {}})
        at.orchestrator.reload(replace(at.orchestrator.world, inventory=inventory), at.orchestrator.rules)
        assert (await standing.end(made.id, "goce", "")).ended_by == "goce"


@asynchronous
async def test_a_pause_is_for_who_may_steer_a_failover(tmp_path: Path) -> None:
    async with house(tmp_path, inventory=INVENTORY.model_copy(update={"rights": RIGHTS})) as at:
        standing, now = at.orchestrator.standing, at.clock.now()
        for system in ("ncts", "all"):
            with pytest.raises(RunRefused, match="a pause holds back failovers, and boris may not steer a failover"):
                await standing.pause(Pause(system, "boris", "works", now, now + 60.0))
        await standing.pause(Pause("ncts", "goce", "works", now, now + 60.0))
        with pytest.raises(RunRefused, match="boris may not steer"):
            await standing.lift_pause("ncts", "boris")
        assert await standing.lift_pause("ncts", "vera") == 1


def test_a_name_that_is_proven_is_so_wherever_it_stands() -> None:
    proven = {**RIGHTS, "own": Right(people=("Goce",), may=("request",), kinds=("drill",), proven=True)}
    assert must_be_proven(proven, "goce")
    assert not must_be_proven(proven, "vera")


# -- the checker -------------------------------------------------------------------------------------------------------

OVERLOOKED = {
    "kinds": ("kinds", KINDS, "anything but that"),
    "systems": ("systems", (), "those of other systems"),
    "deeds": ("may", tuple(deed.value for deed in Deed), "do anything but "),
}


@pytest.mark.parametrize("what", OVERLOOKED)
@pytest.mark.parametrize("kind", KINDS)
def test_the_checker_finds_guards_that_overlook_what_a_right_is_to(kind: str, what: str) -> None:
    """For every kind of run, and for each person of it: who asks, who approves, who accepts the loss."""
    field, value, words = OVERLOOKED[what]
    shown = shipped(kind)
    run = begin("proof", RunAccepted(0.0, shown.to_json(), "x", "", "person", "", 0.0, 0.0))
    assert list(admission(run, RUN_GUARDS)) == []

    def overlooked(guard: Guard) -> Guard:
        def judged(run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
            rights = {key: right.model_copy(update={field: value}) for key, right in facts.rights.items()}
            return guard(run, replace(facts, rights=rights), step, now)

        return judged

    def told(blind: Collection[Guard]) -> list[str]:
        guards = [overlooked(guard) if guard in blind else guard for guard in RUN_GUARDS]
        found = [broken.words for broken in admission(run, guards)]
        assert all(f"by somebody whose right is to {words}" in one for one in found)
        return [one.removeprefix(f"a {kind} begins ").partition(" by somebody")[0] for one in found]

    assert told([approval]) == (["asked for", "approved"] if shown.attended else ["asked for"])
    assert told([rpo]) == (["over a loss accepted"] if kind == "failover" else [])
