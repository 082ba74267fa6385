"""Overrides: two persons where two are needed, an end by itself, a place in the hash chain that outlives a crash."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from engine_kit import plan, step
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_kit import INVENTORY, Act, House, acts, house, lost, refused

from dr.action import Context, Holds, Seen
from dr.engine.commands import ignore
from dr.engine.standing import OverrideAsk
from dr.errors import IllegalEvent, RunRefused
from dr.evidence.report import report
from dr.evidence.verify import verify
from dr.forecast import Forecast
from dr.guard import Facts
from dr.journal.event import Event, RunAccepted
from dr.journal.fold import begin
from dr.journal.override import BLACKOUT, FENCING, Override, fold_override
from dr.journal.overriding import OverrideAsked, OverrideConfirmed, OverrideEnded
from dr.journal.run import Run, RunState
from monitor.inventory.recovery import Window

HOUR_S = 3600.0
asynchronous = pytest.mark.anyio


async def asked(
    at: House, rule: str = FENCING, by: str = "ana", system: str = "ncts", for_s: float = HOUR_S
) -> Override:
    return await at.orchestrator.standing.override(OverrideAsk(system, rule, by, "I saw it dark", for_s))


# -- the fold ----------------------------------------------------------------------------------------------------------

PEOPLE = st.sampled_from(["ana", "Ana ", "boris", "vera"])
WORDS = st.one_of(
    st.builds(
        OverrideAsked,
        st.just(1.0),
        st.just("ncts"),
        st.sampled_from(["fencing", "blackout"]),
        PEOPLE,
        st.just("x"),
        st.just(9.0),
    ),
    st.builds(OverrideConfirmed, st.just(2.0), PEOPLE, st.just("")),
    st.builds(OverrideEnded, st.just(3.0), PEOPLE, st.just("")),
)


@given(st.lists(WORDS, max_size=4), st.floats(0, 12))
def test_nothing_is_in_force_that_two_different_people_did_not_want(events: list[Event], now: float) -> None:
    try:
        override = fold_override("override/1", events)
    except IllegalEvent:
        return
    first = events[0]
    assert isinstance(first, OverrideAsked)
    seconds = [event.by for event in events if isinstance(event, OverrideConfirmed)]
    ended = any(isinstance(event, OverrideEnded) for event in events)
    two = len({name.strip().casefold() for name in (first.by, *seconds)}) == 2
    enough = two if override.rule == "fencing" else not seconds
    assert override.in_force(now) == (enough and not ended and now < 9.0)


@given(PEOPLE, PEOPLE, PEOPLE, st.floats(0, 12))
def test_who_asked_for_the_run_is_not_the_second_person(requester: str, by: str, second: str, now: float) -> None:
    body = plan(step("look")).to_json()
    run = begin("one", RunAccepted(0.0, body, requester, "", "person", "", 0.0, 0.0))
    override = Override("override/1", "ncts", FENCING, by, "x", 0.0, 9.0, second, 1.0)
    passes = Facts((), (), {}, overrides=(override,)).overridden(FENCING, run, now) is not None
    assert passes == (now < 9.0 and second.strip().casefold() != requester.strip().casefold())
    assert Facts((), (), {}, overrides=(replace(override, system="ite"),)).overridden(FENCING, run, now) is None
    assert Facts((), (), {}, overrides=(replace(override, rule="blackout"),)).overridden(FENCING, run, now) is None


@pytest.mark.parametrize(
    ("rule", "requester", "origin", "second", "said"),
    [
        (FENCING, "ana", "person", "", "override/1 waits for another person than vera and ana"),
        (FENCING, "Vera", "person", "", "override/1 waits for another person than vera: 'karaula override --confirm 1"),
        (FENCING, "karaula", "alarm", "", "override/1 waits for another person than vera: "),
        (FENCING, "ana", "person", "Ana", "override/1 does not count here: Ana agreed to it, and ana asked"),
        (FENCING, "ana", "person", "boris", ""),
        (BLACKOUT, "karaula", "schedule", "", "override/1 does not count here: it is for what a person asks for"),
        (BLACKOUT, "ana", "person", "", ""),
    ],
)
def test_why_an_override_that_stands_does_not_count_is_said(
    rule: str, requester: str, origin: str, second: str, said: str
) -> None:
    run = begin("one", RunAccepted(0.0, plan(step("look")).to_json(), requester, "", origin, "", 0.0, 0.0))
    override = Override("override/1", "ncts", rule, "vera", "x", 0.0, 9.0, second, 1.0 if second else None)
    told = Facts((), (), {}, overrides=(override,)).left_aside(rule, run, 5.0)
    assert told.startswith(f" {said}") if said else not told
    assert not Facts((), (), {}, overrides=(override,)).left_aside(rule, run, 9.0), "it is over"
    assert not Facts((), (), {}, overrides=(replace(override, system="ite"),)).left_aside(rule, run, 5.0)


# -- the desk ----------------------------------------------------------------------------------------------------------


@asynchronous
async def test_two_people_an_end_by_itself_and_messages(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        standing = at.orchestrator.standing
        made = await asked(at)
        assert (made.id, made.in_force(at.clock.now())) == ("override/1", False)
        with pytest.raises(RunRefused, match=r"(?i)ana asked for override/1; somebody else must confirm it"):
            await standing.confirm("1", " Ana", "")
        assert (await standing.confirm("1", "boris", "yes")).in_force(at.clock.now())
        with pytest.raises(RunRefused, match="confirmed already, by boris"):
            await standing.confirm("1", "vera", "")
        at.clock.advance(HOUR_S)
        assert standing.overrides() == []
        with pytest.raises(RunRefused, match="no override '1' stands; there are: none stands"):
            await standing.end("1", "ana", "")
        for ask, says in (
            (OverrideAsk("nctx", FENCING, "ana", "x", 60.0), "unknown system 'nctx'; did you mean 'ncts'?"),
            (OverrideAsk("ncts", "fence", "ana", "x", 60.0), "unknown rule 'fence'; did you mean 'fencing'?"),
            (OverrideAsk("ncts", FENCING, "ana", " ", 60.0), "needs a reason"),
            (OverrideAsk("ncts", FENCING, "ana", "x", 90_000.0), "at most 24 h"),
        ):
            with pytest.raises(RunRefused, match=says.replace("?", r"\?")):
                await standing.override(ask)


@asynchronous
async def test_they_outlive_the_daemon_and_stand_in_the_chain(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        await asked(at)
        await asked(at, by="vera")
        await at.orchestrator.standing.confirm("1", "boris", "")
        await at.orchestrator.standing.end("2", "vera", "not needed")
        await at.moved()
        clock = at.clock
    async with house(tmp_path, clock=clock) as at:
        (stands,) = at.orchestrator.standing.overrides()
        assert (stands.id, stands.confirmed_by, stands.in_force(clock.now())) == ("override/1", "boris", True)
        assert len(at.orchestrator.runs()) == 1, "an override is no run"
        assert (await asked(at)).id == "override/3"
        assert not at.orchestrator.problems()
    found = verify(tmp_path / "journal.sqlite", (), None)
    assert (found.faults, found.runs) == ((), 1)
    with sqlite3.connect(tmp_path / "journal.sqlite") as db:
        db.execute("UPDATE events SET body = replace(body, 'boris', 'vera') WHERE word = 'OverrideConfirmed'")
    db.close()
    assert any("OverrideConfirmed" in fault for fault in verify(tmp_path / "journal.sqlite", (), None).faults)


@asynchronous
async def test_one_that_cannot_be_read_overrides_nothing_and_its_number_is_not_given_again(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        await asked(at)
        await at.orchestrator.standing.confirm("1", "boris", "")
        clock = at.clock
    with sqlite3.connect(tmp_path / "journal.sqlite") as db:
        db.execute("UPDATE events SET body = '{' WHERE word = 'OverrideAsked'")
    db.close()
    async with house(tmp_path, clock=clock) as at:
        assert at.orchestrator.standing.overrides() == []
        assert (await asked(at)).id == "override/2"


# -- the fence ---------------------------------------------------------------------------------------------------------


async def _blind(context: Context) -> Seen:
    return Seen(Holds.CANNOT_TELL, "the controller does not answer")


def pass_over(at: House, run: Run, now: float) -> list[Event]:
    unfenced = at.orchestrator.standing.overridden(FENCING, run, now)
    aside = at.orchestrator.standing.left_aside(FENCING, run, now)
    return list(ignore(run, "fence-old", "ana", "dark and cold, I stand beside it", now, unfenced, aside))


@asynchronous
@pytest.mark.parametrize("how", ["failed", "unknown"])
async def test_a_fence_without_proof_is_passed_by_two_people_and_the_report_says_so(tmp_path: Path, how: str) -> None:
    fence = Act("fence", ("fence", "on"), refused if how == "failed" else lost, _blind, outputs=("proof",))
    promote = acts()["promote"]
    seen: list[frozenset[str]] = []
    plainly = promote.does

    async def watched(context: Context) -> object:
        seen.append(context.overridden)
        return await plainly(context)

    promote.does = watched  # type: ignore[assignment]  # it returns what the other does
    async with house(tmp_path, acts(fence=fence, promote=promote)) as at:
        run = await at.until(await at.approve(await at.submit()), RunState.PAUSED, also=lambda run: not _busy(run))
        command = at.orchestrator.command
        with pytest.raises(RunRefused, match="karaula override fencing ncts"):
            await command(run.id, lambda run, now: pass_over(at, run, now))
        await asked(at, by="vera")
        with pytest.raises(RunRefused, match="another person than vera and ana: 'karaula override --confirm 1"):
            await command(run.id, lambda run, now: pass_over(at, run, now))
        await at.orchestrator.standing.confirm("1", "ana", "")
        with pytest.raises(RunRefused, match="ana agreed to it, and ana asked for this run; give it anew"):
            await command(run.id, lambda run, now: pass_over(at, run, now))
        assert "run 1" not in promote.calls
        await asked(at, by="vera")
        await at.orchestrator.standing.confirm("2", "boris", "")
        await command(run.id, lambda run, now: pass_over(at, run, now))
        run = await at.until(run)
        assert run.state is RunState.SUCCEEDED_WITH_WARNINGS
        assert seen == [frozenset({FENCING})]
        made = report(run, at.orchestrator.events(run.id), {}, INVENTORY, Forecast(0), at.clock.now())
    worst = [finding.what for finding in made.findings if finding.severity == "critical"]
    assert any("guard 'fencing' was overridden: WITHOUT A PROVEN FENCE" in said for said in worst)
    assert any("by vera, confirmed by boris: I saw it dark" in said for said in worst)
    assert not any("karaula run retry" in said for said in worst), "what is over needs no advice"
    assert any("WITHOUT A PROVEN FENCE" in moment.text for moment in made.timeline)


@asynchronous
async def test_an_override_that_has_run_out_lets_no_promotion_pass(tmp_path: Path) -> None:
    machines = acts()["power"]
    fence = Act("fence", ("fence", "on"), refused, outputs=("proof",))
    slow = Act("power", ("power", "on"), refused, undoable=True)
    async with house(tmp_path, acts(fence=fence, power=slow)) as at:
        run = await at.until(await at.approve(await at.submit()), RunState.PAUSED, also=lambda run: not _busy(run))
        await asked(at, by="vera", for_s=600.0)
        await at.orchestrator.standing.confirm("1", "boris", "")
        await at.orchestrator.command(run.id, lambda run, now: pass_over(at, run, now))
        await at.until(run, RunState.PAUSED)
        at.clock.advance(601.0)
        slow.does = machines.does
        await at.orchestrator.command(run.id, resume)
        run = await at.until(run, RunState.PAUSED, also=lambda run: "promote" in run.pause_reason)
        assert "guard 'fencing'" in run.pause_reason
        assert not at.actions["promote"].calls


def resume(run: Run, now: float) -> list[Event]:
    from dr.engine import commands  # noqa: PLC0415 - named like its test's helper

    return list(commands.resume(run, "ana", "", now))


def _busy(run: Run) -> bool:
    return any(record.state.value == "IN_PROGRESS" for record in run.steps.values())


# -- the window --------------------------------------------------------------------------------------------------------


@asynchronous
async def test_outside_its_window_a_backup_is_refused_until_a_person_overrides_that(tmp_path: Path) -> None:
    never = Window(kinds=("backup",), cron="0 0 29 2 *", duration_s=60.0)
    inventory = INVENTORY.model_copy(update={"windows": {"leap": never}})
    async with house(tmp_path, inventory=inventory) as at:
        with pytest.raises(RunRefused, match="begins only in its windows; the next opens Tue 2028-02-29 00:00"):
            await at.submit("backup")
        assert (await asked(at, "blackout")).in_force(at.clock.now())
        run = await at.until(await at.submit("backup"))
        assert run.state is RunState.SUCCEEDED
        (note,) = [note for note in run.guards if note.guard == "blackout"]
        assert (note.reason, "by ana: I saw it dark" in note.sentence) == ("overridden", True)
        with pytest.raises(RunRefused, match="begins only in its windows"):
            await at.submit("backup", requester="karaula", origin="schedule", origin_ref="x")
        assert (await at.moved()).state is RunState.SUCCEEDED, "a failover heeds no window"
