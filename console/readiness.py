"""How ready each system is for a recovery, gathered from the watch, the journal and the record of proofs when asked.

It judges nothing: ``dr.readiness`` does. What is slow, the plans' fingerprints, is worked out once a configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from console.proofs import Proofs
from dr.backups.proof import proof_of
from dr.engine.orchestrator import Orchestrator, Rules
from dr.engine.whereabouts import promoted
from dr.guards.readiness import ASKED
from dr.journal.run import Run
from dr.playbook.model import Plan
from dr.playbook.read import plans_of, withheld
from dr.readiness.judge import MOVES, readiness
from dr.readiness.known import Known, Sight
from dr.readiness.lights import Readiness
from dr.readiness.proven import Printed, Verified, printed, verified
from monitor.status.state import Health, Status
from monitor.watch import Watch

LOOKED_AT = frozenset({"esx", "datastore", "vcenter", "host", "database", "dns", "power", "check"})


class Readying:
    """Asks the parts of one daemon; they are looked up late, for most are made after it."""

    def __init__(self, watch: Callable[[], Watch], orchestrator: Callable[[], Orchestrator], proofs: Proofs) -> None:
        self._watch = watch
        self._orchestrator = orchestrator
        self._proofs = proofs
        self._of: Rules | None = None
        self._printed: tuple[Printed, ...] = ()
        self._withheld: Mapping[str, str] = {}

    def of(self, system: str) -> Readiness:
        """Return how ready the system is now. Raises KeyError for one that the inventory has not."""
        runs = [run for run in self._orchestrator().runs() if run.system == system]
        return readiness(self._known(system, runs, self._sights(), self.verified()))

    def of_plan(self, plan: Plan) -> Readiness | None:
        """Return how ready the plan's system is, where runs of its kind are asked about that at all."""
        return self.of(plan.system) if plan.kind in ASKED else None

    def every(self) -> list[Readiness]:
        """Return how ready every system is now, in the inventory's order."""
        orchestrator, sights, proven = self._orchestrator(), self._sights(), self.verified()
        runs: dict[str, list[Run]] = {key: [] for key in orchestrator.world.inventory.systems}
        for run in orchestrator.runs():
            if run.system in runs:
                runs[run.system].append(run)
        return [readiness(self._known(key, own, sights, proven)) for key, own in runs.items()]

    def verified(self) -> tuple[Verified, ...]:
        """Return which playbook is VERIFIED for which system."""
        orchestrator = self._orchestrator()
        world, rules = orchestrator.world, orchestrator.rules
        if self._of is not rules:
            files = rules.playbooks.values()
            plans = (plan for file in files for plan in plans_of(file, world.inventory, rules.actions))
            stuck = withheld(rules.playbooks, rules.actions)
            self._withheld = {name: why for name, why in stuck.items() if rules.playbooks[name].playbook.kind in MOVES}
            self._of, self._printed = rules, printed(plans)
        return verified(self._printed, world.proof, world.inventory.proofs, world.clock.now())

    def _known(self, key: str, runs: Sequence[Run], sights: Mapping[str, Sight], proven: Sequence[Verified]) -> Known:
        world = self._orchestrator().world
        system = world.inventory.systems[key]
        active = promoted(runs, key, system.protected_site)
        standby = world.peer(key, active)
        now = world.clock.now()
        known = Known(
            inventory=world.inventory,
            key=key,
            active=active,
            standby=standby,
            now=now,
            sights=sights,
            loss=world.expected_loss(key, active, standby),
            runs=runs,
            backups=proof_of(runs, key, system, now),
            verified=tuple(each for each in proven if each.system == key),
            unreadable=self._proofs.error,
            withheld=self._withheld,
        )
        return replace(known, sights={**sights, **dict(self._seen(known.machines))})

    def _sights(self) -> dict[str, Sight]:
        """Return what is held true of all that may be asked about.

        All machines, of which there are many, only where hosts may be lost: what runs on these must fit elsewhere.
        """
        statuses = self._watch().statuses()
        kinds = LOOKED_AT | {"vm"} if self._orchestrator().world.inventory.readiness.spare_hosts else LOOKED_AT
        return {
            subject: self._sight(status) for subject, status in statuses.items() if subject.partition("/")[0] in kinds
        }

    def _seen(self, subjects: tuple[str, ...]) -> Iterator[tuple[str, Sight]]:
        for subject in subjects:
            status = self._watch().status(subject)
            if status is not None:
                yield subject, self._sight(status)

    def _sight(self, status: Status) -> Sight:
        good = None if status.health is Health.UNKNOWN else self._watch().last_good(status.subject)
        if good is None:
            return Sight(status.health, status.reason, status.seen_at)
        return Sight(status.health, status.reason, status.seen_at, good.values, good.facts)
