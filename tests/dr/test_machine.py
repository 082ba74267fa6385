"""Whatever comes in whatever order: people, outcomes, deaths, clocks, a lost lease, a disk that hangs, fills or lies.

A stateful property over the whole recovery half. At every rest: no two sites of a system accept declarations, nothing
takes effect twice or under an old token, nothing is promoted without a fence, what is in memory is what the journal
folds to, one run a system, nobody meets anything but a refusal in words. At the end every run can be ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from examples_kit import examples
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from machine_kit import ESTATE, Machine, without

from console.reload import against
from dr.engine import commands, joint_course
from dr.engine.orchestrator import Request
from dr.errors import RunRefused
from dr.evidence.verify import verify
from dr.journal.event import Event, Resumed
from dr.journal.fold import fold_all
from dr.journal.joint import Joint, JointAccepted, JointEvent, fold_all_joint
from dr.journal.override import PREFIX
from dr.journal.run import ACTIVE, Run, RunState
from dr.trigger import AlarmNote
from monitor.errors import KaraulaError
from monitor.status.votes import Word

PEOPLE = ("ana", "boris", "vera")
SYSTEMS = ("ncts", "cdeps")
PLAYBOOKS = ("failover", "failover", "switchover", "failback", "reprotect", "drill", "verify", "backup")
WORDS = ("well", "well", "well", "well", "badly", "lost", "silent", "blind")
T = TypeVar("T")
LAYOUTS = (ESTATE, without("exim"), without("cdeps", "exim"))
MOST_TURNS = 3000


class Recovery(RuleBasedStateMachine):
    """Everything that may happen to a daemon and its runs."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.machine = Machine(self.folder)
        self.alarms = 0

    def teardown(self) -> None:
        try:
            if self.machine.up:
                self.do(self._everything_ends())
                self.do(self.machine.die())
                self._chain_holds()
                assert not self.machine.wrong, self.machine.wrong
        finally:
            self.loop.close()
            shutil.rmtree(self.folder)

    def do(self, what: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(what)

    def after(self, deed: Callable[[], Any]) -> None:
        """Do it, in the loop, and let everything come to rest."""

        async def did() -> None:
            made = deed()
            if asyncio.iscoroutine(made):
                self.machine.ask(made)
            await self.machine.rest()

        self.do(did())

    # -- who and what there is -----------------------------------------------------------------------------------------

    def runs(self) -> list[Run]:
        return self.machine.orchestrator.runs()

    def open_runs(self) -> list[Run]:
        return [run for run in self.runs() if not run.state.final]

    def draw(self, data: st.DataObject, among: Iterable[T]) -> T:
        found = list(among)
        return found[data.draw(st.integers(0, len(found) - 1))]

    @initialize()
    def begin(self) -> None:
        self.do(self.machine.open())

    # -- people --------------------------------------------------------------------------------------------------------

    @rule(playbook=st.sampled_from(PLAYBOOKS), system=st.sampled_from(SYSTEMS), by=st.sampled_from(PEOPLE))
    def somebody_asks(self, playbook: str, system: str, by: str) -> None:
        self.after(
            lambda: self._refused_at_most(self.machine.orchestrator.submit(Request(playbook, system, by, "why")))
        )

    @rule(playbook=st.sampled_from(PLAYBOOKS), systems=st.sampled_from([("all",), SYSTEMS]))
    def somebody_asks_for_several(self, playbook: str, systems: tuple[str, ...]) -> None:
        self.after(lambda: self._refused_at_most(self.machine.joints.submit(playbook, systems, "ana", "why")))

    @precondition(lambda self: self.open_runs())
    @rule(data=st.data(), by=st.sampled_from(PEOPLE))
    def somebody_approves(self, data: st.DataObject, by: str) -> None:
        run = self.draw(data, self.open_runs())
        seen = self.draw(data, [run.plan_hash, run.plan_hash, "", "0" * 64])
        self._command(run, lambda now_run, now: commands.approve(now_run, by, "", seen, now))

    @precondition(lambda self: self.open_runs())
    @rule(
        data=st.data(),
        by=st.sampled_from(PEOPLE),
        word=st.sampled_from(["deny", "pause", "resume", "resume", "cancel", "undo", "accept-loss"]),
    )
    def somebody_decides(self, data: st.DataObject, by: str, word: str) -> None:
        run = self.draw(data, self.open_runs())
        if word == "accept-loss":
            held_by = run.paused_by if run.state is RunState.PAUSED else ""
            self._command(run, lambda one, now: commands.accept_loss(one, by, "it must be", None, 60.0, now))
            if held_by in PEOPLE:
                assert not isinstance(self.machine.orchestrator.events(run.id)[-1], Resumed), "somebody had stopped it"
            return
        what = getattr(commands, word)
        self._command(run, lambda one, now: what(one, by, "why", now))

    @precondition(lambda self: any(run.state is RunState.PAUSED for run in self.open_runs()))
    @rule(data=st.data(), by=st.sampled_from(PEOPLE), word=st.sampled_from(["retry", "ignore"]))
    def somebody_decides_about_a_step(self, data: st.DataObject, by: str, word: str) -> None:
        run = self.draw(data, (run for run in self.open_runs() if run.state is RunState.PAUSED))
        step = self.draw(data, run.steps)
        record = run.steps[step]
        if word == "ignore" and record.stuck and not self.machine.true(run).holds(record.plan):
            return  # the sentence says to look first
        if word == "retry" and record.stuck:
            self.machine.forced.add(f"{run.id}/{step}")
        self._command(run, lambda one, now: getattr(commands, word)(one, step, by, "I looked", now))

    @precondition(lambda self: any(not joint.final for joint in self.machine.joints.joints()))
    @rule(data=st.data(), by=st.sampled_from(PEOPLE), word=st.sampled_from(["approve", "deny", "cancel", "go-on"]))
    def somebody_decides_about_several(self, data: st.DataObject, by: str, word: str) -> None:
        joint = self.draw(data, (joint for joint in self.machine.joints.joints() if not joint.final))
        system = self.draw(data, ESTATE.systems)
        said: dict[str, Any] = {
            "approve": lambda one, _runs, now: joint_course.approve(one, by, "", "", now),
            "deny": lambda one, _runs, now: joint_course.deny(one, by, "no", now),
            "cancel": lambda one, _runs, now: joint_course.cancel(one, by, "no", now),
            "go-on": lambda one, runs, now: joint_course.go_on(one, runs, system, by, "go", now),
        }
        self.after(lambda: self._refused_at_most(self.machine.joints.command(joint.id, said[word])))

    def _command(self, run: Run, command: Callable[[Run, float], Any]) -> None:
        self.after(lambda: self._refused_at_most(self.machine.orchestrator.command(run.id, command)))

    async def _refused_at_most(self, what: Coroutine[Any, Any, Any]) -> None:
        with contextlib.suppress(KaraulaError):
            await what

    # -- alarms --------------------------------------------------------------------------------------------------------

    @rule(votes=st.sampled_from([(Word.DOWN, Word.DOWN), (Word.DOWN, Word.UNKNOWN), (Word.UP, Word.DOWN)]))
    def the_side_is_lost(self, votes: tuple[Word, ...]) -> None:
        self.machine.votes = votes
        self.alarms += 1
        note = AlarmNote(f"a{self.alarms}", "system-down", "system/ncts", self.machine.clock.now() - 600, "dark", 0.0)
        self.machine.trigger.raised(note)
        self.after(lambda: self._refused_at_most(self.machine.trigger.tick()))

    @rule()
    def the_alarm_clears(self) -> None:
        for number in range(self.alarms + 1):
            self.machine.trigger.cleared(f"a{number}")
        self.after(lambda: self._refused_at_most(self.machine.trigger.tick()))

    # -- the world -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.machine.turns)
    @rule(data=st.data(), word=st.sampled_from(WORDS))
    def a_step_ends(self, data: st.DataObject, word: str) -> None:
        turn = self.draw(data, self.machine.turns)
        self.after(lambda: self.machine.answer(turn, word))

    @precondition(lambda self: self.machine.turns)
    @rule(times=st.integers(1, 12))
    def steps_end_well(self, times: int) -> None:
        for _ in range(times):
            for turn in list(self.machine.turns):
                self.after(partial(self.machine.answer, turn, "well"))

    @rule(seconds=st.sampled_from([1.0, 5.0, 60.0, 1000.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.after(lambda: self.machine.clock.advance(seconds))

    @rule(seconds=st.sampled_from([-3600.0, 3600.0, -86400.0]))
    def the_clock_jumps(self, seconds: float) -> None:
        self.after(lambda: self.machine.clock.jump(seconds))

    # -- the daemon ----------------------------------------------------------------------------------------------------

    @rule(data=st.data())
    def the_daemon_dies(self, data: st.DataObject) -> None:
        self._some_happen(data)
        self.do(self.machine.die())
        self.machine.journal.full = False
        self.do(self.machine.open())

    @precondition(lambda self: self.machine.held)
    @rule(data=st.data())
    def the_lease_is_lost(self, data: st.DataObject) -> None:
        self._some_happen(data)
        self.after(self.machine.lose_lease)

    @precondition(lambda self: not self.machine.held)
    @rule()
    def the_lease_is_taken(self) -> None:
        self.after(self.machine.take_lease)

    def _some_happen(self, data: st.DataObject) -> None:
        """Let some of what is under way come about, and nobody hear of it any more."""
        if not self.machine.held:
            return
        for turn in list(self.machine.turns):
            able = turn.step.effects and turn.what != "probe" and not turn.word.done() and self.machine.can(turn)
            if able and data.draw(st.booleans()):
                self.machine.happens(turn)

    @rule(number=st.integers(0, len(LAYOUTS) - 1))
    def the_inventory_is_read_anew(self, number: int) -> None:
        layout = LAYOUTS[number]
        try:
            against(self.runs(), layout)
        except RunRefused:
            return
        self.after(lambda: self.machine.reload(layout))

    @rule(how=st.sampled_from(["hangs", "full", "lies", "well", "well", "well"]))
    def the_disk_is(self, how: str) -> None:
        machine = self.machine
        machine.journal.full, machine.journal.lies = how == "full", how == "lies"
        if how == "hangs":
            machine.desk.hangs = True
        else:
            self.after(machine.desk.go_on)
            self.after(machine.orchestrator.recheck)  # as the daemon does every few seconds
            self.after(partial(machine.clock.advance, 2.0))  # what could not be written is written again

    # -- what must be so -----------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert not self.machine.wrong, self.machine.wrong

    @invariant()
    def memory_is_what_the_journal_folds_to(self) -> None:
        machine = self.machine
        if not machine.at_rest:
            return
        for run_id, events in machine.journal.load().items():
            if isinstance(events[0], JointAccepted):
                assert machine.joints.joint(run_id) == fold_all_joint(run_id, events)
            elif not run_id.startswith(PREFIX):
                assert machine.orchestrator.run(run_id) == fold_all(run_id, events)
                assert machine.orchestrator.events(run_id) == events

    @invariant()
    def one_run_a_system(self) -> None:
        if not self.machine.up:
            return
        for system in ESTATE.systems:
            moving = [run.id for run in self.runs() if run.system == system and run.state in ACTIVE]
            assert len(moving) <= 1, moving

    @invariant()
    def what_can_go_on_is_driven(self) -> None:
        machine = self.machine
        if machine.at_rest:
            assert {run.id for run in self.open_runs()} <= set(machine.orchestrator._drives)
            assert not machine.orchestrator._undriven

    def _chain_holds(self) -> None:
        found = verify(self.folder / "journal.sqlite", [], None)
        assert found.intact, found.faults

    async def _everything_ends(self) -> None:
        """Mend everything, and end every run and joint run by what its page offers."""
        machine = self.machine
        machine.journal.full = machine.journal.lies = False
        machine.desk.go_on()
        if not machine.held:
            machine.take_lease()
        await machine.rest()
        for _ in range(MOST_TURNS):
            await machine.orchestrator.recheck()
            await machine.rest()
            joints = [joint for joint in machine.joints.joints() if not joint.final]
            if not self.open_runs() and not joints:
                break
            self._end(joints)
            await machine.rest()
            for turn in list(machine.turns):
                machine.answer(turn, "well")
            await machine.rest()
            machine.clock.advance(60.0)
            await machine.rest()
        stuck = [(run.id, run.state, run.pause_reason) for run in self.open_runs()]
        left = (stuck, machine.asked, machine.orchestrator.problems())
        assert left == ([], [], []), left

    def _end(self, joints: list[Joint]) -> None:
        for joint in joints:
            self.machine.ask(self._refused_at_most(self.machine.joints.command(joint.id, _end_several)))
        for run in self.open_runs():
            if run.state in {RunState.WAITING, RunState.PAUSED, RunState.IN_PROGRESS}:
                command = self.machine.orchestrator.command(
                    run.id, lambda one, now: commands.cancel(one, "vera", "", now)
                )
                self.machine.ask(self._refused_at_most(command))


def _cancel(run: Run, now: float) -> Sequence[Event]:
    return commands.cancel(run, "vera", "enough", now)


def _end_several(joint: Joint, _runs: Mapping[str, Run], now: float) -> Sequence[JointEvent]:
    return joint_course.cancel(joint, "vera", "enough", now)


TestRecovery = Recovery.TestCase
TestRecovery.settings = settings(
    max_examples=examples(25), stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
