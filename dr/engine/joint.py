"""All joint runs of this daemon: takes requests and decisions, makes each member's run when its turn comes.

``joint_course.decide`` says what is next; here it is written down and done, so that after a death of the daemon the
journal of the joint run and those of its members say where it stood. Nothing is done twice: a member's run has an id
that was promised to it, and what has been decided about a run is seen in that run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dr.engine import commands
from dr.engine.joint_course import Approve, Ask, Cancel, JointIntent, WakeAt, Withdraw, Write, decide
from dr.engine.names import complete, unknown
from dr.engine.orchestrator import Orchestrator, Request
from dr.errors import RunRefused
from dr.guard import Promise, Ruling
from dr.journal.event import Event
from dr.journal.joint import Joint, JointAccepted, JointEvent, begin_joint, fold_all_joint, fold_joint
from dr.journal.run import Run, RunState
from dr.playbook.joint import JointPlan, Member
from dr.playbook.model import ANY_RUN
from dr.playbook.order import in_order
from dr.playbook.parameters import AS_WRITTEN, Wish
from dr.rights import none_for_all
from monitor.errors import StateError

log = logging.getLogger(__name__)
EVERY_SYSTEM = "all"
RETRY_S = 1.0

JointCommand = Callable[[Joint, Mapping[str, Run], float], Sequence[JointEvent]]


class JointRuns:
    """Holds and drives the joint runs beside the orchestrator of their members."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        """Begin with none; ``start`` reads those of the journal."""
        self.orchestrator = orchestrator
        self._joints: dict[str, Joint] = {}
        self._events: dict[str, list[JointEvent]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._wakes: dict[str, asyncio.Event] = {}
        self._drives: dict[str, asyncio.Task[None]] = {}
        self._listeners: list[Callable[[Joint], None]] = []
        self._asking = asyncio.Lock()
        self._leave: Callable[[], None] = lambda: None

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up every joint run that the orchestrator has found in the journal."""
        for joint_id in self.orchestrator.held.joints:
            self._read(joint_id)
        self._promise()
        self.orchestrator.unheard.joint_found = self._found
        self._leave = self.orchestrator.subscribe(self._run_changed)
        for joint in list(self._joints.values()):
            if not joint.final:
                self._drive(joint.id)

    async def stop(self) -> None:
        """Let go of every joint run as it stands."""
        self._leave()
        for task in self._drives.values():
            task.cancel()
        await asyncio.gather(*self._drives.values(), return_exceptions=True)

    # -- looking -------------------------------------------------------------------------------------------------------

    def joints(self) -> list[Joint]:
        """Return every joint run, newest first."""
        return sorted(self._joints.values(), key=lambda joint: (joint.accepted_at, joint.id), reverse=True)

    def joint(self, joint_id: str) -> Joint:
        """Return the joint run of that id, or of a beginning that only it has. Raises RunRefused."""
        return self._joints.get(joint_id) or self._joints[complete(joint_id, self._joints)]

    def events(self, joint_id: str) -> list[JointEvent]:
        """Return its journal so far."""
        return list(self._events[self.joint(joint_id).id])

    def runs(self, joint: Joint) -> dict[str, Run]:
        """Return the runs that there are of its members and of those that it replaces, by id."""
        known = {run.id: run for run in self.orchestrator.runs()}
        ids = (*(member.run_id for member in joint.plan.members), *joint.replaces)
        return {run_id: known[run_id] for run_id in ids if run_id in known}

    def plan(self, playbook: str, names: Collection[str], *, final: bool = False, wish: Wish = AS_WRITTEN) -> JointPlan:
        """Return what a joint run of ``names`` (or ``all``) would do; ``final``: with the ids of the runs to be.

        Systems that are where the playbook would lead them are left out. Raises RunRefused and PlaybookError.
        """
        systems = self.orchestrator.world.inventory.systems
        wanted = tuple(systems) if EVERY_SYSTEM in names else tuple(dict.fromkeys(names))
        if strange := [name for name in wanted if name not in systems]:
            raise RunRefused("system", "; ".join(unknown("system", name, systems) for name in strange))
        now = self.orchestrator.world.clock.now()
        ids = {name: self.orchestrator.free_id(name, playbook, now) if final else ANY_RUN for name in wanted}
        plans = {name: self.orchestrator.plan(playbook, name, ids[name], wish) for name in wanted}
        placement = self.orchestrator.placement()
        left_out = {
            name: f"already active at {plan.to_site}"
            for name, plan in plans.items()
            if plan.attended and placement.get(name) == plan.to_site
        }
        chosen = [name for name in wanted if name not in left_out]
        if not chosen:
            said = "; ".join(f"{name} is {why}" for name, why in left_out.items())
            raise RunRefused("placement", f"there is nothing to do: {said}")
        members = tuple(
            Member(place.system, ids[place.system], place.group, place.needs, plans[place.system])
            for place in in_order(chosen, systems)
        )
        return JointPlan(playbook, members[0].plan.kind, members, left_out)

    # -- asking --------------------------------------------------------------------------------------------------------

    async def submit(
        self, playbook: str, names: Collection[str], requester: str, reason: str, wish: Wish = AS_WRITTEN
    ) -> Joint:
        """Make a joint run. Raises RunRefused with everything that guards have against it, PlaybookError, StateError.

        Runs of the same playbook that an alarm has prepared and nobody approved yet are replaced by their members.
        """
        async with self._asking:
            orchestrator = self.orchestrator
            await orchestrator.unheard.learn()
            plan = self.plan(playbook, names, final=True, wish=wish)
            prepared = self._prepared(plan)
            try:
                self._admissible(plan, requester, frozenset(run.id for run in prepared))
            except RunRefused as error:  # nothing is written down of it; who tried what is known from the log at least
                log.warning("%s asked for a joint %s of %s: %s", requester, plan.kind, ", ".join(names), error)
                raise
            now = orchestrator.world.clock.now()
            accepted = JointAccepted(
                at=now,
                plan=plan.to_json(),
                requester=requester,
                reason=reason,
                expires_at=now + orchestrator.approval_s if plan.attended else 0.0,
                service_lost_at={run.system: run.service_lost_at for run in prepared if run.service_lost_at},
                alarm_at={run.system: run.alarm_at for run in prepared if run.alarm_at},
                replaces={run.id: run.system for run in prepared},
            )
            joint = begin_joint(orchestrator.free_id("joint", playbook, now), accepted)
            try:
                await self._append(joint, accepted)
            except StateError as error:
                raise orchestrator.unheard.refused(joint.id, error) from error
            self._drive(joint.id)
        return self._joints[joint.id]

    async def command(self, joint_id: str, command: JointCommand) -> Joint:
        """Apply a person's decision. Raises RunRefused, StateError."""
        known = self.joint(joint_id)
        async with self._locks.setdefault(known.id, asyncio.Lock()):
            joint = self._joints[known.id]
            for event in command(joint, self.runs(joint), self.orchestrator.world.clock.now()):
                await self._write(fold_joint(self._joints[known.id], event), event)
        self._wake(known.id)
        return self._joints[known.id]

    def subscribe(self, listener: Callable[[Joint], None]) -> Callable[[], None]:
        """Tell ``listener`` of every change of a joint run or of a member's run; call the result to leave."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _read(self, joint_id: str) -> None:
        story = self.orchestrator.held.joints[joint_id]
        self._joints[joint_id] = fold_all_joint(joint_id, story.events)
        self._events[joint_id] = [event for event in story.events if isinstance(event, JointEvent)]

    def _found(self, joint_id: str) -> None:
        """Go on with a joint run that was read only now."""
        self._read(joint_id)
        self._promise()
        self._tell(self._joints[joint_id])
        self._drive(joint_id)

    def _prepared(self, plan: JointPlan) -> list[Run]:
        systems = {member.system for member in plan.members}
        return [
            run
            for run in self.orchestrator.runs()
            if run.system in systems
            and run.origin == "alarm"
            and run.state is RunState.WAITING
            and run.plan.playbook == plan.playbook
        ]

    def _admissible(self, plan: JointPlan, requester: str, beside: frozenset[str]) -> None:
        """See that no guard refuses a member now. Raises RunRefused."""
        against = [
            (verdict.guard, verdict.sentence)
            for member in plan.members
            for verdict in self.orchestrator.verdicts(member.plan, requester, "person", beside)
            if verdict.ruling is Ruling.REFUSE
        ]
        if against:
            raise RunRefused(against[0][0], "; ".join(dict.fromkeys(sentence for _, sentence in against)))
        if plan.attended:
            rights, systems = self.orchestrator.world.inventory.rights, [member.system for member in plan.members]
            if lack := none_for_all(rights, plan.kind, systems, requester):
                raise RunRefused("approval", lack)

    async def _write(self, after: Joint, event: JointEvent) -> None:
        """Make the event durable, then true. Tries for as long as the journal cannot be written."""
        while True:
            try:
                await self._append(after, event)
            except StateError as error:
                log.error("joint run %s waits for its journal: %s", after.id, error)  # noqa: TRY400 - expected, no trace
                await self.orchestrator.world.clock.sleep(RETRY_S)
            else:
                return

    async def _append(self, after: Joint, event: JointEvent) -> None:
        """Write the event that ``after`` ends with. Raises StateError."""
        await self.orchestrator.append(replace(after, seq=after.seq - 1), (event,))
        self.orchestrator.joint_ids.add(after.id)
        self._joints[after.id] = after
        self._events.setdefault(after.id, []).append(event)
        self._promise()
        self._tell(after)

    def _promise(self) -> None:
        """Say to the guards which runs are still to come."""
        known = {run.id for run in self.orchestrator.runs()}
        self.orchestrator.promised = {
            member.run_id: Promise(member.system, joint.id)
            for joint in self._joints.values()
            if not joint.final
            for member in joint.plan.members
            if member.run_id not in known
        }

    def _run_changed(self, run: Run, _events: Sequence[Event]) -> None:
        if run.id in self.orchestrator.promised:
            self._promise()
        for joint in self._joints.values():
            if not joint.final and (
                run.id in joint.replaces or any(run.id == one.run_id for one in joint.plan.members)
            ):
                self._wake(joint.id)
                self._tell(joint)

    def _tell(self, joint: Joint) -> None:
        for listener in tuple(self._listeners):
            listener(joint)

    def _wake(self, joint_id: str) -> None:
        self._wakes.setdefault(joint_id, asyncio.Event()).set()

    def _drive(self, joint_id: str) -> None:
        self._wakes.setdefault(joint_id, asyncio.Event())
        self._drives[joint_id] = asyncio.create_task(self._driving(joint_id), name=joint_id)

    async def _driving(self, joint_id: str) -> None:
        clock, wake = self.orchestrator.world.clock, self._wakes[joint_id]
        while not self._joints[joint_id].final:
            wake.clear()
            try:
                at = await self._advance(joint_id)
            except StateError as error:
                log.error("joint run %s waits for the journal: %s", joint_id, error)  # noqa: TRY400 - expected, no trace
                at = clock.now() + RETRY_S
            await _first(wake.wait(), *([] if at is None else [clock.sleep(max(0.0, at - clock.now()))]))

    async def _advance(self, joint_id: str) -> float | None:
        """Carry out intents until only waiting is left; return when to wake. Raises StateError."""
        clock = self.orchestrator.world.clock
        async with self._locks.setdefault(joint_id, asyncio.Lock()):
            while True:
                joint = self._joints[joint_id]
                intents = decide(joint, self.runs(joint), clock.now())
                acts = [intent for intent in intents if not isinstance(intent, WakeAt)]
                for intent in acts:
                    if not await self._carry_out(joint, intent):
                        return clock.now() + RETRY_S
                if not acts:
                    return min((intent.at for intent in intents if isinstance(intent, WakeAt)), default=None)

    async def _carry_out(self, joint: Joint, intent: JointIntent) -> bool:
        """Carry out one intent; False when a run did not take it and has to be looked at anew. Raises StateError."""
        match intent:
            case Write(event):
                await self._write(fold_joint(self._joints[joint.id], event), event)
            case Ask(member):
                await self._ask(joint, member)
            case Approve(run_id):
                said = f"with joint run {joint.id}" + (f": {joint.comment}" if joint.comment else "")
                return await self._decided(
                    run_id, lambda run, now: commands.approve(run, joint.approved_by, said, run.plan_hash, now)
                )
            case Cancel(run_id):
                return await self._decided(
                    run_id, lambda run, now: commands.cancel(run, joint.cancel_by, joint.cancel_reason, now)
                )
            case Withdraw(run_id):
                why = f"joint run {joint.id} takes its place"
                return await self._decided(run_id, lambda run, now: commands.withdraw(run, joint.requester, why, now))
            case WakeAt():
                pass
        return True

    async def _ask(self, joint: Joint, member: Member) -> None:
        request = Request(
            playbook=joint.plan.playbook,
            system=member.system,
            requester=joint.requester,
            reason=joint.reason,
            origin_ref=joint.id,
            service_lost_at=joint.service_lost_at.get(member.system, 0.0),
            alarm_at=joint.alarm_at.get(member.system, 0.0),
        )
        try:
            await self.orchestrator.submit(request, member.plan, member.run_id)
        except RunRefused as error:  # its run says so, and holds what depends on it
            log.warning("joint run %s: %s", joint.id, error)

    async def _decided(self, run_id: str, command: Callable[[Run, float], Sequence[Event]]) -> bool:
        try:
            await self.orchestrator.command(run_id, command)
        except RunRefused as error:  # it moved on meanwhile
            log.info("run %s: %s", run_id, error)
            return False
        return True


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of ``waits`` is over."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
