"""What the guards are told beside the run they judge, gathered from the journal, the inventory and the monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dr.engine.observed import observed
from dr.guard import Facts
from dr.guards.readiness import ASKED
from dr.proof import fingerprint, missing

if TYPE_CHECKING:
    from dr.engine.orchestrator import Orchestrator
    from dr.journal.run import Run


def facts_of(orchestrator: Orchestrator, run: Run, step: str | None, beside: frozenset[str]) -> Facts:
    """Return the facts for ``run`` (and ``step``), as if the runs of ``beside`` were not there, nor to come.

    What a step is judged by is known before all runs are read (``Runs.open``): a run under way need not wait for that.
    """
    world, inventory = orchestrator.world, orchestrator.world.inventory
    not_asked = {run.id, *beside}
    others = () if step else tuple(other for other in orchestrator.runs() if other.id not in not_asked)
    at_fences = [other for other in orchestrator.held.at_fences() if other.id not in not_asked]
    proof = None if step else world.proof(fingerprint(run.plan, run.id))
    lack = missing(proof, run.plan, inventory.proofs, world.clock.now())
    return Facts(
        runs=others,
        pauses=tuple(orchestrator.standing.pauses()),
        placement={} if step else orchestrator.placement(),
        isolated=world.isolated(),
        promised={run_id: promise for run_id, promise in orchestrator.promised.items() if run_id not in beside},
        overrides=tuple(orchestrator.standing.overrides()),
        windows=tuple(inventory.windows.values()),
        zone=inventory.estate.timezone,
        loss=world.loss(run.plan),
        proof=proof,
        readiness=world.readiness(run.system) if step is None and run.plan.kind in ASKED else None,
        unverified=lack if (asked := world.unverified) is None else asked(run.plan),
        tenancy=orchestrator.tenancy(),
        overtaken=orchestrator.tokens.overtaken(run) if step else 0,
        rules=inventory.safety,
        rights=inventory.rights,
        observed=observed(inventory.safety, run, at_fences, world.observed),
    )
