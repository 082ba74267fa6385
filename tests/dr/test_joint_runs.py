"""Joint runs with the real orchestrator, journal and guards: order, one approval, what is held, and deaths anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from orchestrator_kit import HOUR_S, ROOT, Act, Gate, HeldClock, House, acts, house, proven, refused

from dr.action import Context, Done, Holds, Seen
from dr.engine import commands
from dr.engine import joint_course as course
from dr.engine.joint import JointRuns
from dr.engine.orchestrator import Request
from dr.errors import RunRefused
from dr.evidence.joint import joint_report
from dr.evidence.joint_pdf import joint_to_pdf
from dr.evidence.render import to_html
from dr.evidence.verify import verify
from dr.evidence.year import overview
from dr.journal.joint import Joint
from dr.journal.run import RunState
from dr.metrics import JOINT_ACTIVE, JOINT_RTA, JOINT_SINCE, JOINTS_ENDED, of_joints
from monitor.errors import StateError
from monitor.inventory.read import read
from monitor.inventory.recovery import Right

ESTATE = read(ROOT / "inventory.yaml")
ORDER = ["ncts", "ite", "cdeps", "exim"]


@dataclass
class Hall:
    """A house with its joint runs."""

    house: House
    joints: JointRuns

    async def ask(self, *names: str, playbook: str = "failover") -> Joint:
        return await self.joints.submit(playbook, names or ("all",), "ana", "main is dark")

    async def approve(self, joint: Joint, by: str = "boris") -> Joint:
        return await self.joints.command(joint.id, lambda one, _runs, now: course.approve(one, by, "", "", now))

    async def until(self, joint: Joint, *states: str) -> Joint:
        for _ in range(20_000):
            joint = self.joints.joint(joint.id)
            if (joint.state in states) if states else joint.final:
                return joint
            self.house.clock.advance(0.1)
            await asyncio.sleep(0.001)
        raise AssertionError(f"{joint.id} stays {joint.state}: {self.stand(joint)}")

    async def until_still(self, joint: Joint) -> str:
        for _ in range(20_000):
            if why := course.stands_still(self.joints.joint(joint.id), self.joints.runs(joint)):
                return why
            await asyncio.sleep(0.001)
        raise AssertionError(f"{joint.id} does not stand still: {self.stand(joint)}")

    def stand(self, joint: Joint) -> dict[str, str]:
        return {
            one.member.system: one.run.state.value if one.run else one.waits
            for one in course.standings(self.joints.joint(joint.id), self.joints.runs(joint))
        }


@asynccontextmanager
async def hall(folder: Path, actions: dict[str, Act] | None = None, **more: Any) -> AsyncIterator[Hall]:
    async with house(folder, actions, **{"inventory": ESTATE, **more}) as made:
        joints = JointRuns(made.orchestrator)
        await joints.start()
        try:
            yield Hall(made, joints)
        finally:
            await joints.stop()


def in_a_loop(test: Callable[[Path], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    @wraps(test)
    def run(tmp_path: Path) -> None:
        asyncio.run(test(tmp_path))

    return run


def noting(order: list[str]) -> dict[str, Act]:
    async def promote(context: Context) -> Done:
        order.append(context.run_id.partition("-")[0])
        return Done()

    async def still_proven(context: Context) -> Seen:
        return Seen(Holds.YES, "it is off", {"proof": "PROVEN"})

    return acts(
        promote=Act("promote", ("role", "primary"), promote),
        fence=Act("fence", ("fence", "on"), proven, still_proven, outputs=("proof",)),
    )


@in_a_loop
async def test_all_systems_move_in_order_with_one_approval(tmp_path: Path) -> None:
    order: list[str] = []
    async with hall(tmp_path, noting(order)) as here:
        joint = await here.ask()
        assert (joint.state, [one.system for one in joint.plan.members]) == ("WAITING", ORDER)
        assert here.house.orchestrator.runs() == []
        with pytest.raises(RunRefused, match="asked for this joint run"):
            await here.approve(joint, by="Ana ")
        with pytest.raises(RunRefused, match="not the plan"):
            await here.joints.command(joint.id, lambda one, _r, now: course.approve(one, "boris", "", "0" * 64, now))
        ended = await here.until(await here.approve(joint))
        assert (ended.state, ended.approved_by, order) == ("SUCCEEDED", "boris", ORDER)
        for member in joint.plan.members:
            run = here.house.orchestrator.run(member.run_id)
            assert (run.approved_by, run.requester, run.plan_hash) == ("boris", "ana", member.plan.hash())
        with pytest.raises(RunRefused, match="nothing to do: ncts is already active at dr"):
            await here.ask("ncts")
        told_of_in_the_end(here, ended)
    assert verify(tmp_path / "journal.sqlite", (), None).intact


@in_a_loop
async def test_those_of_one_priority_that_wait_for_no_other_move_side_by_side(tmp_path: Path) -> None:
    """No fence of the three is done before all three have begun: one after another they would never be."""
    systems = {key: one.model_copy(update={"priority": 1}) for key, one in ESTATE.systems.items()}
    begun: list[str] = []
    all_there = asyncio.Event()

    async def fence(context: Context) -> Done:
        begun.append(context.run_id.partition("-")[0])
        if len(begun) == len(systems) - 1:
            all_there.set()
        await all_there.wait()
        return await proven(context)

    actions = {**noting([]), "fence": Act("fence", ("fence", "on"), fence, outputs=("proof",))}
    async with hall(tmp_path, actions, inventory=ESTATE.model_copy(update={"systems": systems})) as here:
        ended = await here.until(await here.approve(await here.ask()))
        assert (ended.state, sorted(begun[:3]), begun[3:]) == ("SUCCEEDED", ["exim", "ite", "ncts"], ["cdeps"])


def told_of_in_the_end(here: Hall, ended: Joint) -> None:
    """Its report, on paper too; the year; the figures."""
    runs, events = here.joints.runs(ended), here.joints.events(ended.id)
    made = joint_report(ended, runs, events, ESTATE, here.house.clock.now())
    assert [(one.system, one.group, one.state) for one in made.members] == [
        (system, group, "SUCCEEDED") for system, group in zip(ORDER, (1, 2, 2, 3), strict=True)
    ]
    assert [(act.by, act.what) for act in made.people] == [("boris", "approved the plan of all")]
    starts = [moment.step for moment in made.timeline if "begun" in moment.text]
    assert starts == ORDER
    assert made.picture is not None
    assert [lane.name for lane in made.picture.lanes] == ["NCTS", "ITE", "CDEPS", "EXIM"]
    page, again = to_html(made), to_html(made)
    assert page == again
    assert all(word in page for word in (ended.id, "boris", "main is dark", *(one.run_id for one in made.members)))
    assert "main is <b>" not in to_html(replace(made, reason="main is <b>dark"))
    assert joint_to_pdf(made).startswith(b"%PDF-")
    assert joint_to_pdf(made) == joint_to_pdf(made)
    families = {family.metric: dict(family.samples) for family in of_joints([ended], {ended.id: 61.0})}
    assert families[JOINTS_ENDED] == {("failover", "SUCCEEDED"): 1.0}
    assert families[JOINT_RTA] == {("failover",): 61.0}
    assert families[JOINT_ACTIVE] == families[JOINT_SINCE] == {}
    ended_in = datetime.fromtimestamp(ended.ended_at or 0.0, UTC).year
    year = overview(ended_in, [], [(ended, runs)], [], ESTATE, UTC, here.house.clock.now())
    (told,) = year.joint
    assert (told.run, told.systems, told.state) == (ended.id, tuple(ORDER), "SUCCEEDED")
    assert "several systems by one request: 1 (1 well; at most 4 systems)" in year.clauses[3].shows
    assert overview(ended_in - 1, [], [(ended, runs)], [], ESTATE, UTC, here.house.clock.now()).joint == ()


@in_a_loop
async def test_one_that_waits_is_told_of_and_one_that_was_refused_is_no_exercise(tmp_path: Path) -> None:
    async with hall(tmp_path) as here:
        joint = await here.ask()
        families = {family.metric: dict(family.samples) for family in of_joints([joint], {})}
        assert families[JOINT_ACTIVE] == {("failover", "WAITING"): 1.0}
        assert families[JOINT_SINCE] == {("failover", "WAITING"): joint.accepted_at}
        made = joint_report(joint, {}, here.joints.events(joint.id), ESTATE, here.house.clock.now())
        assert (made.picture, made.rta_s) == (None, None)
        assert "not begun" in to_html(made)
        assert joint_to_pdf(made).startswith(b"%PDF-")
        await here.joints.command(joint.id, lambda one, _r, now: course.deny(one, "boris", "a false alarm", now))
        ended = await here.until(joint)
        year = overview(2026, [], [(ended, {})], [], ESTATE, UTC, here.house.clock.now())
        assert year.joint == ()


@in_a_loop
async def test_a_failed_system_holds_what_depends_on_it_until_a_person_lets_it_go_on(tmp_path: Path) -> None:
    async def not_for_ite(context: Context) -> Done:
        return await refused(context) if context.run_id.startswith("ite-") else Done()

    async with hall(tmp_path, acts(promote=Act("promote", ("role", "primary"), not_for_ite))) as here:
        joint = await here.approve(await here.ask())
        why = await here.until_still(joint)
        assert why.startswith("run ite-failover")
        assert "PAUSED (step 'promote' failed: no)" in why
        stand = here.stand(joint)
        assert (stand["ncts"], stand["ite"], stand["exim"]) == ("SUCCEEDED", "PAUSED", "SUCCEEDED")
        assert stand["cdeps"].startswith("held: ite has not succeeded")
        assert "go-on" in stand["cdeps"]
        for system, complaint in (("ncts", "nothing in .* waits for 'ncts'; held up by: ite"), ("x", "waits for 'x'")):
            with pytest.raises(RunRefused, match=complaint):
                await go_on(here, joint, system)
        with pytest.raises(RunRefused, match="needs a reason"):
            await go_on(here, joint, "ite", "")
        await go_on(here, joint, "ite")
        assert (await here.until_still(joint)).startswith("run ite-failover")
        assert here.stand(joint)["cdeps"] == "SUCCEEDED"
        await here.joints.command(joint.id, lambda one, _runs, now: course.cancel(one, "ana", "enough", now))
        ended = await here.until(joint)
        assert (ended.state, ended.end_reason) == ("CANCELED", "canceled by ana: enough")
        assert here.stand(joint)["ite"] == "FAILED"  # it had failed before it was canceled


@in_a_loop
async def test_an_approval_of_the_whole_does_not_start_a_system_days_later(tmp_path: Path) -> None:
    async def not_for_ite(context: Context) -> Done:
        return await refused(context) if context.run_id.startswith("ite-") else Done()

    async with hall(tmp_path, acts(promote=Act("promote", ("role", "primary"), not_for_ite))) as here:
        joint = await here.approve(await here.ask())
        await here.until_still(joint)
        here.house.clock.advance(30 * HOUR_S)
        await go_on(here, joint, "ite")
        waits = here.joints.runs(joint)
        while not any(run.system == "cdeps" and run.state is RunState.WAITING for run in waits.values()):
            await asyncio.sleep(0.001)
            waits = here.joints.runs(here.joints.joint(joint.id))
        (late,) = [run for run in waits.values() if run.system == "cdeps"]
        (stuck,) = [run for run in waits.values() if run.system == "ite"]
        await here.house.orchestrator.command(stuck.id, lambda run, now: commands.cancel(run, "ana", "enough", now))
        await here.house.until(stuck)
        assert await here.until_still(joint) == (
            f"run {late.id} is WAITING for an approval of its own: that of the whole is too old to begin it"
        )
        assert here.house.orchestrator.run(late.id).state is RunState.WAITING, "two people have to look at it anew"
        done = await here.house.until(await here.house.approve(late))
        assert (done.state, done.approved_by) == (RunState.SUCCEEDED, "boris")


async def go_on(here: Hall, joint: Joint, system: str, reason: str = "the tariff is at hand on paper") -> Joint:
    return await here.joints.command(
        joint.id, lambda one, runs, now: course.go_on(one, runs, system, "boris", reason, now)
    )


@in_a_loop
async def test_cancelling_ends_what_runs_and_begins_nothing_more(tmp_path: Path) -> None:
    gate = Gate()
    async with hall(tmp_path, acts(fence=Act("fence", ("fence", "on"), gate, outputs=("proof",)))) as here:
        joint = await here.approve(await here.ask())
        await gate.entered.wait()
        assert here.stand(joint)["exim"] == "waits for ncts, which is more urgent"
        with pytest.raises(RunRefused, match=f"cdeps is part of joint run {joint.id}"):
            await here.house.submit(system="cdeps", requester="vera")
        await here.joints.command(joint.id, lambda one, _runs, now: course.cancel(one, "ana", "power is back", now))
        gate.open.set()
        assert (await here.until(joint)).state == "CANCELED"
        runs = here.house.orchestrator.runs()
        assert {run.system: run.state for run in runs if run.requester == "ana"} == {"ncts": RunState.CANCELED}


@in_a_loop
async def test_denied_or_not_answered_in_time_it_ends_and_nothing_was_done(tmp_path: Path) -> None:
    clock = HeldClock()
    async with hall(tmp_path, clock=clock) as here:
        joint = await here.ask("ite", "cdeps")
        await here.joints.command(joint.id, lambda one, _runs, now: course.deny(one, "boris", "not now", now))
        assert (await here.until(joint)).end_reason == "canceled by boris: not now"
        late = await here.ask("ite", "cdeps")
        await asyncio.sleep(0.01)
        clock.advance(2 * HOUR_S)
        with pytest.raises(RunRefused, match=r"over|does not wait"):
            await here.approve(late)
        assert "a time-out is a refusal" in (await here.until(late)).end_reason
        assert here.house.orchestrator.runs() == []


@in_a_loop
async def test_what_a_guard_refuses_is_said_for_all_of_them_at_once(tmp_path: Path) -> None:
    async with hall(tmp_path) as here:
        await here.house.submit(system="ite")
        await here.house.submit(system="exim")
        with pytest.raises(RunRefused, match=r"(?s)ite already has .*exim already has"):
            await here.ask()
        with pytest.raises(RunRefused, match=r"unknown system 'nctx'; did you mean 'ncts'.*unknown system 'eximm'"):
            await here.ask("nctx", "eximm")
        assert here.joints.joints() == []


@in_a_loop
async def test_what_nobody_may_approve_as_a_whole_is_not_left_waiting(tmp_path: Path) -> None:
    def may(person: str, *systems: str) -> Right:
        return Right(people=(person,), may=("approve", "steer"), kinds=("failover",), systems=systems)

    asks = Right(people=("ana",), may=("request",), kinds=("failover",))
    rights = {"asks": asks, "one": may("boris", "ncts", "exim"), "two": may("goce", "ite", "exim", "cdeps")}
    async with hall(tmp_path, inventory=ESTATE.model_copy(update={"rights": rights})) as here:
        with pytest.raises(RunRefused, match=r"nobody approve all of it \(ncts: boris; ite: goce\)"):
            await here.ask("ncts", "ite")
        assert not here.joints.joints()
        assert (await here.ask("ite", "exim")).state == "WAITING"


@in_a_loop
async def test_prepared_runs_are_replaced_and_their_lost_times_kept(tmp_path: Path) -> None:
    async with hall(tmp_path) as here:
        request = Request("failover", "ncts", "karaula", "down", "alarm", "r:7", 1000.0, 1010.0)
        prepared = await here.house.orchestrator.submit(request)
        joint = await here.ask("ncts", "exim")
        withdrawn = await here.house.until(prepared)
        assert (withdrawn.state, withdrawn.cancel_reason) == (
            RunState.CANCELED,
            f"joint run {joint.id} takes its place",
        )
        await here.until(await here.approve(joint))
        run = here.house.orchestrator.run(joint.plan.member("ncts").run_id)
        assert (run.service_lost_at, run.alarm_at) == (1000.0, 1010.0)


@in_a_loop
async def test_backups_keep_the_order_and_one_that_fails_holds_nobody(tmp_path: Path) -> None:
    async def not_for_ite(context: Context) -> Done:
        return await refused(context) if context.run_id.startswith("ite-") else Done()

    async with hall(tmp_path, acts(write=Act("write", ("backup", "written"), not_for_ite))) as here:
        ended = await here.until(await here.ask(playbook="backup"))
        assert (ended.state, ended.approved_by) == ("FAILED", "")
        assert here.stand(ended) == {**dict.fromkeys(ORDER, "SUCCEEDED"), "ite": "FAILED"}
        assert ended.end_reason.startswith("ite FAILED (step 'write' failed: no")


@in_a_loop
async def test_it_goes_on_after_a_death_at_every_write(tmp_path: Path) -> None:
    """Dying is leaving the house after the n-th append, just before it or with it durable."""
    for after in (False, True):
        at = 0
        while await died(tmp_path / f"{after}-{at}", at, after=after):
            at += 1
        assert at > 15


async def died(folder: Path, at: int, *, after: bool) -> bool:
    """Die at append number ``at``, go on with a new daemon, look at the end. False when there were fewer appends."""
    await asyncio.to_thread(folder.mkdir)
    loop = asyncio.get_running_loop()
    clock = HeldClock()
    dead = asyncio.Event()
    async with hall(folder, noting([]), clock=clock) as here:
        journal, append, count = here.house.journal, type(here.house.journal).append, 0

        def dying(*args: Any, **more: Any) -> None:
            nonlocal count
            count += 1
            if count <= at or (after and count == at + 1):
                append(journal, *args, **more)
            if count > at:
                loop.call_soon_threadsafe(dead.set)
                raise StateError("the daemon is dead")

        journal.append = dying  # type: ignore[method-assign]  # this daemon's end
        finished = asyncio.ensure_future(whole(here))
        stopped = asyncio.ensure_future(dead.wait())
        await asyncio.wait({finished, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        finished.cancel()
        await asyncio.gather(finished, return_exceptions=True)
        if not dead.is_set():
            return False
    async with hall(folder, noting([]), clock=clock) as here:
        joint = await whole(here)
        runs = here.house.orchestrator.runs()
        assert (joint.state, len(here.joints.joints())) == ("SUCCEEDED", 1)
        assert sorted(run.system for run in runs) == ["cdeps", "ite"], [run.id for run in runs]
        one, other = (here.house.orchestrator.run(member.run_id) for member in joint.plan.members)
        assert (one.ended_at or 0.0) <= (other.started_at or 0.0)
        assert {run.approved_by for run in runs} == {"boris"}
    assert verify(folder / "journal.sqlite", (), None).intact
    return True


async def whole(here: Hall) -> Joint:
    """Ask unless it was asked for, approve unless it was approved, see the end."""
    joint = here.joints.joints()[0] if here.joints.joints() else await here.ask("ite", "cdeps")
    if joint.state == "WAITING":
        await here.approve(joint)
    return await here.until(joint)


def test_the_estate_has_the_order_that_these_tests_expect() -> None:
    systems: Mapping[str, Any] = ESTATE.systems
    assert systems["cdeps"].depends_on == ("ite",)
