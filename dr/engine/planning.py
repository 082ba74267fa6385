"""What a run of a playbook for a system would do, as things stand: which way it leads, and what cannot be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dr.engine.names import unknown
from dr.errors import PlaybookError, RunRefused
from dr.playbook.model import DIRECTION, Plan
from dr.playbook.parameters import Wish, wrong
from dr.playbook.plan import make_plan
from dr.playbook.subject import Subject
from monitor.problem import Problem

if TYPE_CHECKING:
    from dr.engine.orchestrator import Orchestrator


def plan_of(orchestrator: Orchestrator, playbook: str, system: str, run_id: str, wish: Wish) -> Plan:
    """Return the plan. Raises RunRefused for unknown names and PlaybookError for mistakes."""
    systems = orchestrator.world.inventory.systems
    if playbook not in orchestrator.rules.playbooks:
        raise RunRefused("playbook", unknown("playbook", playbook, orchestrator.rules.playbooks))
    if system not in systems:
        raise RunRefused("system", unknown("system", system, systems))
    file = orchestrator.rules.playbooks[playbook]
    if mistaken := "; ".join(wrong(file.playbook.parameters, wish.settings)):
        raise RunRefused("parameter", mistaken)
    if wish.forced and file.playbook.kind != "failover":
        raise RunRefused("forced", f"only a failover can be forced; '{playbook}' is a {file.playbook.kind}")
    sites = {"protected": systems[system].protected_site, "recovery": systems[system].recovery_site}
    from_site, to_site = (sites[word] for word in DIRECTION[file.playbook.kind])
    if file.playbook.kind in {"backup", "verify", "drill"} and orchestrator.promoted(system) == to_site:
        from_site, to_site = to_site, from_site
    subject = Subject(
        orchestrator.world.inventory, orchestrator.rules.inventory_hash, system, from_site, to_site, run_id, wish
    )
    plan, mistakes = make_plan(playbook, file.playbook, subject, orchestrator.rules.actions)
    if plan is None:
        raise PlaybookError([file.problem(mistake) for mistake in mistakes] or [Problem(file.name, 1, 1, "", "")])
    return plan
