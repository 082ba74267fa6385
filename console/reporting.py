"""What is told of runs when somebody asks: their reports, and how long joint runs took."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from console.drifting import Drifting
from dr.engine.joint import JointRuns
from dr.engine.orchestrator import Orchestrator
from dr.evidence.joint import JointReport, total
from dr.evidence.joint import joint_report as make_joint_report
from dr.evidence.report import Report
from dr.evidence.report import report as make_report
from dr.forecast import Past
from dr.journal.joint import Joint
from monitor.clock import Clock
from monitor.inventory.model import Inventory


class Reporting:
    """Makes reports from the journal as it stands; ``inventory()`` is the one that holds now."""

    def __init__(
        self,
        orchestrator: Orchestrator,
        joints: JointRuns,
        past: Past,
        clock: Clock,
        inventory: Callable[[], Inventory],
        drifting: Drifting,
    ) -> None:
        self._orchestrator = orchestrator
        self._joints = joints
        self._past = past
        self._clock = clock
        self._inventory = inventory
        self._drifting = drifting
        self._totals: dict[str, float | None] = {}  # of joint runs that are over: they do not change

    async def run(self, run_id: str) -> Report:
        """Return the run's report. Raises RunRefused for an unknown run."""
        run = self._orchestrator.run(run_id)
        outputs = {(item.step, item.attempt): item.text for item in await self._orchestrator.outputs(run.id)}
        expected = self._past.forecast(run.plan, before=run.accepted_at)
        events, now = self._orchestrator.events(run.id), self._clock.now()
        overrides = self._orchestrator.standing.concerning(run)
        drift = self._drifting.of(run)
        return make_report(run, events, outputs, self._inventory(), expected, now, overrides=overrides, drift=drift)

    def joint(self, joint_id: str) -> JointReport:
        """Return the joint run's report. Raises RunRefused for an unknown one."""
        joint = self._joints.joint(joint_id)
        runs, events = self._joints.runs(joint), self._joints.events(joint.id)
        return make_joint_report(joint, runs, events, self._inventory(), self._clock.now())

    def joints(self) -> tuple[list[Joint], Mapping[str, float | None]]:
        """Return every joint run, and the recovery time over all members of those that are over, by id."""
        found = self._joints.joints()
        for joint in found:
            if joint.final and joint.id not in self._totals:
                self._totals[joint.id] = total(joint, self._joints.runs(joint))[0]
        return found, self._totals
