"""From a playbook, a system and two sites to a plan: every reference resolved, every rule checked. Pure.

References are paths (``${system.service.fqdn}``, ``${to.front.port}``, ``${run.id}``), never expressions;
``${steps.ID.OUTPUT}`` stays as text and is filled in when the step starts, but that the step, the output and the
order exist is checked here. Mistakes carry the path into the file, so that the reader can say line and column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from dr.playbook.filling import Filling
from dr.playbook.forced import forced_mistakes, without_lost_site
from dr.playbook.foreign import Foreign, provider_of, undeclared
from dr.playbook.model import Mistake, Plan, PlannedStep, Playbook, Step, ancestors
from dr.playbook.parameters import values
from dr.playbook.reference import can_be_undone, unknown_keys, waits
from dr.playbook.safety import unsafe
from dr.playbook.subject import ActionShape, Subject
from monitor.inventory.explain import worded
from monitor.problem import did_you_mean


def make_plan(
    name: str, playbook: Playbook, subject: Subject, actions: Mapping[str, ActionShape]
) -> tuple[Plan | None, list[Mistake]]:
    """Return the plan, or None and every mistake found."""
    planner = _Planner(playbook, subject, actions)
    steps = tuple(planner.steps())
    mistakes = planner.mistakes
    left_out: tuple[PlannedStep, ...] = ()
    if subject.wish.forced and not mistakes:
        steps, left_out = without_lost_site(steps, subject.from_site)
        mistakes.extend(forced_mistakes(playbook, steps, left_out))
    if not mistakes:
        mistakes.extend(unsafe(playbook, steps, subject.system, subject.from_site, subject.to_site))
    if mistakes:
        return None, mistakes
    system = subject.inventory.systems[subject.system]
    plan = Plan(
        playbook=name,
        kind=playbook.kind,
        summary=playbook.summary,
        system=subject.system,
        from_site=subject.from_site,
        to_site=subject.to_site,
        rto_s=system.rto_s,
        rpo_s=system.rpo_s,
        steps=steps,
        inventory_hash=subject.inventory_hash,
        parameters=MappingProxyType(planner.parameters),
        forced=subject.wish.forced,
        left_out=tuple((step.id, step.action) for step in left_out),
    )
    return plan, []


class _Planner:
    """Walks a playbook's steps once and gathers mistakes."""

    def __init__(self, playbook: Playbook, subject: Subject, actions: Mapping[str, ActionShape]) -> None:
        self.playbook = playbook
        self.subject = subject
        self.actions = actions
        self.mistakes: list[Mistake] = []
        self.parameters = values(playbook.parameters, subject.wish.settings)
        self.order = [*playbook.steps, *playbook.finally_steps]
        self.by_id = {step.id: step for step in self.order}
        self.final = {step.id for step in playbook.finally_steps}
        self.filling = Filling(subject, actions, self.by_id, self.final, self.parameters, self._mistake)

    def steps(self) -> Iterator[PlannedStep]:
        """Yield every step that could be planned."""
        for name, parameter in self.playbook.parameters.items():
            if lack := parameter.lacks(parameter.default):
                self._mistake(("parameters", name, "default"), f"the default of '{name}' {lack}")
        self._check_graph()
        for part, group in (("steps", self.playbook.steps), ("finally", self.playbook.finally_steps)):
            for index, step in enumerate(group):
                planned = self._step((part, index), step)
                if planned is not None:
                    yield planned

    def _mistake(self, path: tuple[str | int, ...], message: str, hint: str = "") -> None:
        self.mistakes.append(Mistake(path, message, hint))

    def _check_graph(self) -> None:
        seen: set[str] = set()
        for part, group in (("steps", self.playbook.steps), ("finally", self.playbook.finally_steps)):
            for index, step in enumerate(group):
                if step.id in seen:
                    self._mistake((part, index, "id"), f"there are two steps '{step.id}'")
                seen.add(step.id)
                for position, need in enumerate(step.needs):
                    path = (part, index, "needs", position)
                    if need not in self.by_id:
                        self._mistake(path, f"unknown step '{need}'", did_you_mean(need, self.by_id))
                    elif need in self.final and step.id not in self.final:
                        self._mistake(path, f"'{need}' stands under finally; a step cannot wait for it")
        if len(seen) == len(self.order):  # else it cannot be told whose needs are whose
            self._check_circles()

    def _check_circles(self) -> None:
        for part, group in (("steps", self.playbook.steps), ("finally", self.playbook.finally_steps)):
            for index, step in enumerate(group):
                if step.id in ancestors(self.by_id, step.id):
                    self._mistake((part, index, "needs"), f"step '{step.id}' waits for itself in a circle")

    def _step(self, path: tuple[str | int, ...], step: Step) -> PlannedStep | None:
        before = len(self.mistakes)
        action = self.actions.get(step.action)
        if action is None:
            self._mistake((*path, "action"), f"unknown action '{step.action}'", did_you_mean(step.action, self.actions))
            return None
        if isinstance(action, Foreign) and action.unusable:
            self._mistake((*path, "action"), f"action '{step.action}' cannot be used: {action.unusable}")
            return None
        site = self._site((*path, "site"), step.site)
        args: dict[str, Any] = {}
        spoilt: set[str] = set()
        for key, value in step.args.items():
            said = len(self.mistakes)
            args[key] = self.filling.fill((*path, "args", key), value, step)
            if len(self.mistakes) > said:
                spoilt.add(key)
        for key in ("system", "site"):
            if key in args:
                self._mistake((*path, "args", key), f"'{key}' is not given here; it comes from the run and the step")
        args |= {"system": self.subject.system, "site": site}
        args = self._validate((*path, "args"), action, args, spoilt)
        if step.on_failure == "undo" and not any(
            self.actions[s.action].undoable for s in self.order if s.action in self.actions
        ):
            self._mistake((*path, "on_failure"), "nothing in this playbook can be undone", "use 'stop' or 'continue'")
        if len(self.mistakes) > before:
            return None
        effects = self._effects(path, step, action, args)
        if effects is None:
            return None
        return PlannedStep(
            id=step.id,
            action=step.action,
            site=site,
            description=step.description,
            args=MappingProxyType(args),
            needs=step.needs,
            timeout_s=step.timeout_s,
            retries=step.retries,
            retry_wait_s=step.retry_wait_s,
            on_failure=step.on_failure,
            final=step.id in self.final,
            reads_only=action.reads_only,
            undoable=action.undoable and can_be_undone(action.Args, args),
            effects=effects,
            provider=provider_of(action),
        )

    def _effects(
        self, path: tuple[str | int, ...], step: Step, action: ActionShape, args: dict[str, Any]
    ) -> tuple[tuple[str, str, str], ...] | None:
        """Return what the step will change. That must be plain now: guards and rules go by it."""
        later = waits(args)
        try:
            made = action.Args.model_construct(**args) if later else action.Args.model_validate(args)
            effects = tuple((effect.subject, effect.field, effect.value) for effect in action.effects(made))
        except Exception as error:  # noqa: BLE001 - the border of foreign code; or an argument waits and is no value yet
            if not later:
                self._mistake((*path, "action"), f"'{step.action}' cannot say what it would change: {error!r}")
                return None
            effects = (("", "", "${steps."),)
        if any("${steps." in part for effect in effects for part in effect):
            message = "what this step changes depends on an earlier step's output"
            self._mistake((*path, "args"), message, "write it out, so that it can be read and approved beforehand")
            return None
        sites = self.subject.inventory.systems[self.subject.system].sites
        if isinstance(action, Foreign) and (
            lack := undeclared(
                effects,
                reads_only=action.reads_only,
                outputs=action.outputs,
                system=self.subject.system,
                sites=sites,
            )
        ):
            self._mistake((*path, "action"), f"action '{step.action}' of {action.provider} {lack}")
            return None
        return effects

    def _site(self, path: tuple[str | int, ...], site: str) -> str:
        if site == "from":
            return self.subject.from_site
        if site == "to":
            return self.subject.to_site
        known = self.subject.inventory.systems[self.subject.system].sites
        if site not in known:
            self._mistake(path, f"unknown site '{site}'", did_you_mean(site, ["from", "to", *known]))
        return site

    def _validate(
        self, path: tuple[str | int, ...], action: ActionShape, args: dict[str, Any], spoilt: set[str]
    ) -> dict[str, Any]:
        """Check ``args`` against the action's model; texts that wait for an earlier output are checked by name only.

        Of ``spoilt`` ones, whose reference led nowhere, enough has been said.
        """
        later = {key for key, value in args.items() if waits(value)} | spoilt
        fields = action.Args.model_fields
        unknown = {key: did_you_mean(key, set(fields) - {"system", "site"}) for key in set(args) - set(fields)}
        for key, hint in sorted(unknown.items()):
            self._mistake((*path, key), f"unknown argument '{key}'", hint)
        meant = {name for name in fields for hint in unknown.values() if f"'{name}'" in hint}
        try:
            model = action.Args.model_validate({key: value for key, value in args.items() if key not in later})
            plain = model.model_dump(mode="json")
        except ValidationError as error:
            for item in error.errors(include_url=False):
                name = str(item["loc"][0]) if item["loc"] else ""
                if item["type"] == "missing":
                    if name not in later | meant:
                        self._mistake(path, f"argument '{name}' is missing")
                elif item["type"] != "extra_forbidden":
                    self._mistake((*path, *item["loc"]), *worded(item))
            return args
        except Exception as error:  # noqa: BLE001 - the border of foreign code: a validator with a defect
            self._mistake(path, f"what takes these arguments is broken: {error!r}")
            return args
        for name, message, hint in unknown_keys(action.Args, args, self.subject.inventory):
            self._mistake((*path, name), message, hint)
        return {**plain, **{key: args[key] for key in later}}
