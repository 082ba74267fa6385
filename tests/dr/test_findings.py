"""Findings and their actions: entered once, followed to the end, never lost, closed by another person."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_kit import Act, House, acts, house, refused

from dr.engine.commands import withdraw
from dr.errors import IllegalEvent, RunRefused
from dr.evidence.collect import measures
from dr.evidence.tracker import Tracker
from dr.forecast import Forecast
from dr.journal.finding import (
    ActionAgreed,
    ActionDone,
    FindingAccepted,
    FindingClosed,
    FindingEntered,
    FindingReopened,
    FindingSeenAgain,
    FindingState,
    fold_finding,
)

DAY_S = 86_400.0
PEOPLE = st.sampled_from(["ana", "Boris", "ANA "])
EVENTS = st.one_of(
    st.builds(FindingSeenAgain, st.just(2.0), st.sampled_from(["r1", "r2"])),
    st.builds(ActionAgreed, st.just(2.0), PEOPLE, PEOPLE, st.floats(1, 1e6), st.just("x")),
    st.builds(ActionDone, st.just(2.0), PEOPLE, st.just("x")),
    st.builds(FindingClosed, st.just(2.0), PEOPLE, st.just("x")),
    st.builds(FindingAccepted, st.just(2.0), PEOPLE, st.just("x")),
    st.builds(FindingReopened, st.just(2.0), PEOPLE, st.just("x")),
)
ENTERED = FindingEntered(1.0, "karaula", "r0", "ncts", "critical", "lost: 3 declarations")


@given(st.lists(EVENTS, max_size=12))
def test_whatever_is_said_a_finding_is_closed_only_by_another_person_after_the_work(events: list[object]) -> None:
    story: list[object] = [ENTERED]
    for event in events:
        try:
            found = fold_finding("finding/1", [*story, event])
        except IllegalEvent:
            continue
        story.append(event)
        assert found.events == len(story)
        if isinstance(event, FindingClosed):
            before = fold_finding("finding/1", story[:-1])
            assert before.state is FindingState.DONE
            assert before.done_by.strip().casefold() != event.by.strip().casefold()
        assert found.state.over == (found.over_at is not None)


def test_a_story_must_begin_with_the_finding() -> None:
    with pytest.raises(IllegalEvent):
        fold_finding("finding/1", [])
    with pytest.raises(IllegalEvent):
        fold_finding("finding/1", [ActionDone(1.0, "ana", "x")])
    with pytest.raises(IllegalEvent):
        fold_finding("finding/1", [ENTERED, ENTERED])


async def failed_backup(at: House) -> str:
    run = await at.submit("backup")
    await at.until(run)
    return run.id


@pytest.mark.anyio
async def test_a_failed_run_enters_its_findings_once_also_over_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path, acts(write=Act("write", ("backup", "written"), refused))) as at:
        first = await failed_backup(at)
        tracker = Tracker(at.orchestrator.journal, at.orchestrator, at.clock)
        await tracker.load()
        await tracker.tick()
        found = tracker.standing()
        assert found
        assert {each.runs for each in found} == {(first,)}
        assert all(each.entered_by == "karaula" for each in found)
        again = Tracker(at.orchestrator.journal, at.orchestrator, at.clock)  # as after a restart
        await again.load()
        await again.tick()
        assert {each.id for each in again.all()} == {each.id for each in found}
        assert [each.events for each in again.all()] == [1] * len(found)
        second = await failed_backup(at)
        await again.tick()
        both = [each for each in again.standing() if each.runs == (first, second)]
        assert both, "the same finding is seen again, not entered anew"


@pytest.mark.anyio
async def test_an_action_is_agreed_done_and_closed_by_somebody_else(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        tracker = Tracker(at.orchestrator.journal, at.orchestrator, at.clock)
        now = at.clock.now()
        await tracker.enter("ana", "ncts", "warning", "the phone list is old")
        with pytest.raises(RunRefused, match="first agree on an action"):
            await tracker.done("1", "ana", "x")
        with pytest.raises(RunRefused, match="must lie ahead"):
            await tracker.agree("1", "ana", "boris", now - 1, "renew it")
        with pytest.raises(RunRefused, match="unknown finding '7'; known: 1"):
            await tracker.done("7", "ana", "x")
        with pytest.raises(RunRefused, match="needs a reason"):
            await tracker.accept("1", "ana", " ")
        with pytest.raises(RunRefused, match="more than a hundred years ahead"):
            await tracker.agree("1", "ana", "boris", 253_402_297_199.0, "renew it")
        with pytest.raises(RunRefused, match="it is open; only what was done is closed"):
            await tracker.close("1", "ana", "")
        await tracker.agree("1", "ana", "boris", now + DAY_S, "renew it")
        with pytest.raises(RunRefused, match="boris has still to say that it was done"):
            await tracker.close("1", "ana", "")
        assert not tracker.finding("1").overdue(now + DAY_S)
        assert tracker.finding("finding/1").overdue(now + DAY_S + 1)
        await tracker.done("1", "boris", "binder 3")
        with pytest.raises(RunRefused, match="another person than boris"):
            await tracker.close("1", "Boris", "")
        closed = await tracker.close("1", "ana", "looked at it")
        assert closed.state is FindingState.CLOSED
        assert tracker.standing() == []
        with pytest.raises(RunRefused, match="it is closed; only what was done is closed"):
            await tracker.close("1", "ana", "once more")
        with pytest.raises(RunRefused, match="it is closed already"):
            await tracker.accept("1", "ana", "why not")
        await tracker.reopen("1", "ana", "it is old again")
        kept = Tracker(at.orchestrator.journal, at.orchestrator, at.clock)
        await kept.load()
        assert [(each.id, each.state, each.events) for each in kept.standing()] == [("finding/1", "open", 5)]
        assert "finding/1" not in at.orchestrator.journal.stories()


@pytest.mark.anyio
async def test_a_run_that_was_withdrawn_before_it_began_is_no_finding(tmp_path: Path) -> None:
    async with house(tmp_path) as at:
        lost = at.clock.now() - 40
        run = await at.submit(origin="alarm", origin_ref="a:1", service_lost_at=lost, alarm_at=lost + 5)
        await at.orchestrator.command(run.id, lambda run, now: withdraw(run, "karaula", "the alarm cleared", now))
        ended = await at.until(run)
        assert ended.started_at is None
        rta = next(one for one in measures(ended, at.orchestrator.events(run.id), Forecast(0)) if one.name == "rta")
        assert (rta.value, rta.met, rta.note) == (None, None, "the run never began")
        tracker = Tracker(at.orchestrator.journal, at.orchestrator, at.clock)
        await tracker.tick()
        assert tracker.all() == []
