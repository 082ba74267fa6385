"""What would be dangerous to run though it is well written. Pure; asked once a plan has no other mistake.

Nothing is promoted before the other side is fenced, nobody passes over a fence or a promotion, nothing is undone
beneath one; what runs without an approval leaves production alone and cleans up; who claims to move a service proves
that clients arrive. And no kind does the work of another, which a right to it would then be to: but for a failover
everything has arrived before a promotion, and a reprotect leaves the active side as it is. What a failover loses is
measured behind its fence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dr.playbook.model import (
    ATTENDED,
    MAY_LOSE,
    Mistake,
    PlannedStep,
    Playbook,
    ancestors,
    arrivals,
    brings_up_again,
)

MOVES = frozenset({"failover", "failback", "switchover"})
PRODUCTION = frozenset({"role", "fence", "traffic", "power"})
MEASURES = "recovery_point"
HAND_OVER = frozenset({"role", "fence", "traffic"})
# What must not be left behind: the field, its value once it is there, and once it is gone.
LEFTOVERS = (("bubble", "present", "absent"), ("scratch", "restored", "absent"))


def unsafe(
    playbook: Playbook, steps: Sequence[PlannedStep], system: str, from_site: str, to_site: str
) -> Iterator[Mistake]:
    """Yield every mistake of the rules above, at the step that it is about."""
    rules = _Rules(playbook, steps, system, {from_site: to_site, to_site: from_site})
    yield from rules.promotions(to_site)
    yield from rules.losses()
    yield from rules.failures()
    yield from rules.unattended()
    yield from rules.final_steps()
    yield from rules.leftovers()
    if playbook.kind == "drill":
        yield from rules.drill()
    if playbook.kind == "reprotect":
        yield from rules.reprotects(from_site)


class _Rules:
    def __init__(self, playbook: Playbook, steps: Sequence[PlannedStep], system: str, other: Mapping[str, str]) -> None:
        self.kind = playbook.kind
        self.steps = steps
        self.system = system
        self.other = other
        self.by_id = {step.id: step for step in steps}
        self.before = {step.id: ancestors(self.by_id, step.id) for step in steps}
        self.promoting = [step for step in steps if step.promotes]
        places: list[tuple[str, tuple[str | int, ...]]] = []
        places += [(step.id, ("steps", index)) for index, step in enumerate(playbook.steps)]
        places += [(step.id, ("finally", index)) for index, step in enumerate(playbook.finally_steps)]
        self.places = dict(places)

    def _mistake(self, step: PlannedStep, message: str, hint: str = "", key: str = "") -> Mistake:
        return Mistake((*self.places[step.id], key) if key else self.places[step.id], message, hint)

    def _switching(self, site: str, value: str) -> list[PlannedStep]:
        return [step for step in self.steps if (f"system/{self.system}/{site}", "fence", value) in step.effects]

    def promotions(self, to_site: str) -> Iterator[Mistake]:
        """Demand a fence that stays before each promotion, and after it a proof that clients arrive."""
        if self.kind in MOVES and not any(step.site == to_site for step in self.promoting):
            message = f"a playbook of kind '{self.kind}' moves the service, but nothing here promotes {to_site}"
            yield Mistake(("kind",), message, "add a step with action 'promote' and site: to")
        for step in self.promoting:
            if self.kind not in MOVES:
                yield self._mistake(step, f"a playbook of kind '{self.kind}' must not promote anything")
                continue
            other = self.other.get(step.site, "")
            fences = [fence for fence in self._switching(other, "on") if fence.id in self.before[step.id]]
            if not fences:
                yield self._mistake(
                    step,
                    f"step '{step.id}' promotes {step.site} but does not wait for a fence of {other or 'its peer'}",
                    "add a step with action 'fence' and name it in needs",
                )
            for opening in self._switching(other, "off"):
                earlier = all(opening.id in self.before[fence.id] for fence in fences)
                if fences and not earlier and step.id not in self.before[opening.id]:
                    message = f"step '{opening.id}' may open the fence of {other} before '{step.id}' has promoted"
                    yield self._mistake(opening, message, f"let it need '{step.id}'")
            if self.kind not in MAY_LOSE and not any(arrivals(self.by_id, step)):
                yield self._mistake(
                    step,
                    f"step '{step.id}' may promote {step.site} before it has everything; only a failover may lose some",
                    f"let it need a step 'wait_replica' that needs a step 'demote' of {other or 'its peer'}",
                )
            if not any(self._proves_service(check, step) for check in self.steps):
                yield self._mistake(
                    step,
                    f"nothing after step '{step.id}' proves that clients reach {step.site}",
                    "add a step with action 'http_check', where: service, expect_role: active, on_failure: stop",
                )

    def reprotects(self, active: str) -> Iterator[Mistake]:
        """Refuse what touches the side that is active, or where clients are led."""
        side = f"system/{self.system}/{active}"
        for step in self.steps:
            touched = [what for subject, what, _ in step.effects if what in PRODUCTION and side == subject]
            if touched := touched or [what for _, what, _ in step.effects if what == "traffic"]:
                message = f"step '{step.id}' changes {touched[0]} at {step.site}"
                yield self._mistake(step, f"{message}; a reprotect leaves the active side alone")

    def _proves_service(self, check: PlannedStep, promotion: PlannedStep) -> bool:
        return (
            check.proves_service
            and check.site == promotion.site
            and check.on_failure != "continue"
            and promotion.id in self.before[check.id]
        )

    def losses(self) -> Iterator[Mistake]:
        """Demand that what a failover loses is measured behind its fence: before, the old side may take still more."""
        for step in self.steps if self.kind in MAY_LOSE else ():
            if step.action == MEASURES and not any(self.by_id[need].fences for need in self.before[step.id]):
                other = self.other.get(step.site, "the other side")
                message = f"step '{step.id}' measures what is lost while {other} may still take declarations"
                yield self._mistake(step, message, "name the fence in its needs", "needs")

    def failures(self) -> Iterator[Mistake]:
        """Refuse passing over a fence or a promotion, and undoing once something may be promoted."""
        for step in self.steps:
            what = "a fence" if step.fences else "a promotion" if step.promotes else ""
            if what and step.on_failure == "continue":
                message = f"step '{step.id}' is {what}; the run must not go on without it"
                yield self._mistake(step, message, "use 'stop'", "on_failure")
            up = next(brings_up_again(self.by_id, step.id), "")
            if up and step.on_failure == "continue":
                message = f"step '{step.id}' holds {step.site} down; passed over, '{up}' would bring it up unchecked"
                yield self._mistake(step, message, "use 'stop'", "on_failure")
            if step.on_failure == "undo":
                for promotion in self.promoting:
                    if step.id not in self.before[promotion.id]:
                        yield self._mistake(
                            step,
                            f"'undo' here could take back what step '{promotion.id}' stands on",
                            "use 'stop': a person then decides",
                            "on_failure",
                        )

    def unattended(self) -> Iterator[Mistake]:
        """Demand that what begins without an approval leaves production alone."""
        if self.kind in ATTENDED:
            return
        for step in self.steps:
            touched = [field for _, field, _ in step.effects if field in PRODUCTION]
            if touched and not step.promotes:
                message = (
                    f"step '{step.id}' changes {touched[0]}, which a playbook of kind '{self.kind}' must leave alone"
                )
                yield self._mistake(step, message)

    def final_steps(self) -> Iterator[Mistake]:
        """Refuse hand-overs in what runs whatever has happened."""
        for step in self.steps:
            if step.final and any(field in HAND_OVER for _, field, _ in step.effects):
                message = f"step '{step.id}' stands under finally and would run even after a failure"
                yield self._mistake(step, message, "a hand-over belongs under steps")

    def leftovers(self) -> Iterator[Mistake]:
        """Demand that what is set up aside is removed again, however far the run came."""
        for step in self.steps:
            for subject, field, value in step.effects:
                for name, there, gone in LEFTOVERS:
                    if (field, value) == (name, there) and not self._removes(subject, name, gone):
                        message = f"nothing under finally removes what step '{step.id}' sets up"
                        action = "bubble_remove" if name == "bubble" else "discard"
                        yield self._mistake(step, message, f"add a step with action '{action}' under finally")

    def _removes(self, subject: str, name: str, gone: str) -> bool:
        return any(step.final and (subject, name, gone) in step.effects for step in self.steps)

    def drill(self) -> Iterator[Mistake]:
        """Demand that production after the clean-up is compared with production before the first effect."""
        cleaning = [step for step in self.steps if step.final and step.effects]
        digests = {f"${{steps.{step.id}.digest}}": step.id for step in self.steps if step.action == "production_state"}
        states = {
            digests[step.args["expect"]]
            for step in self.steps
            if step.final
            and step.action == "production_unchanged"
            and step.args["expect"] in digests
            and all(clean.id in self.before[step.id] for clean in cleaning)
        }
        if not states:
            yield Mistake(
                ("kind",),
                "a drill must prove that it left production as it found it",
                "add 'production_state' as the first step and 'production_unchanged' under finally, after the clean-up",
            )
            return
        for step in self.steps:
            if step.effects and not step.final and not states & self.before[step.id]:
                message = f"step '{step.id}' does not wait until production was written down"
                yield self._mistake(step, message, f"add '{min(states)}' to needs")
