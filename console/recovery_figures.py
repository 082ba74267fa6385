"""What the recovery half shows in ``/metrics``, asked of all its parts."""

from __future__ import annotations

from collections.abc import Iterator

from console.readiness import Readying
from console.reporting import Reporting
from dr import metrics
from dr.engine.orchestrator import Orchestrator
from dr.evidence.keep import Keeper
from dr.evidence.tracker import Tracker
from dr.forecast import Past
from dr.schedule import Scheduler
from monitor.metrics.catalog import Family


def recovery_families(
    orchestrator: Orchestrator,
    scheduler: Scheduler,
    keeper: Keeper,
    past: Past,
    tracker: Tracker,
    readying: Readying,
    reporting: Reporting,
) -> Iterator[Family]:
    """Yield every family of ``dr.metrics`` as things stand now."""
    systems, now = orchestrator.world.inventory.systems, orchestrator.world.clock.now()
    behind = {place.name: bool(place.error) for place in keeper.kept()}
    yield from metrics.collect(orchestrator, systems, now, scheduler.upcoming, behind, past, tracker.standing())
    yield from metrics.of_readiness(readying.every(), readying.verified())
    yield from metrics.of_joints(*reporting.joints())
