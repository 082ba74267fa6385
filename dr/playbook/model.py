"""A playbook as written: one YAML file, steps in a DAG, and the resolved plan that a run executes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from dr.playbook.parameters import Parameters, Value

Kind = Literal["backup", "verify", "drill", "switchover", "failover", "reprotect", "failback"]
StepId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
OnFailure = Literal["stop", "continue", "undo"]

ANY_RUN = "any-run"
"""Stands for a run's id in a plan that is not yet a run's."""

ATTENDED: frozenset[str] = frozenset({"switchover", "failover", "reprotect", "failback"})
"""Kinds that change production: they need an approval, and a failed step waits for a person. The others run at
night: a failed step ends them through their ``finally`` steps."""

MAY_LOSE: frozenset[str] = frozenset({"failover"})
"""Kinds that may promote before everything has arrived; whatever else promotes waits for that."""

# Where each kind leaves from and goes to, in terms of the system's inventory entry.
DIRECTION: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "backup": ("protected", "recovery"),
        "verify": ("protected", "recovery"),
        "drill": ("protected", "recovery"),
        "switchover": ("protected", "recovery"),
        "failover": ("protected", "recovery"),
        "reprotect": ("recovery", "protected"),
        "failback": ("recovery", "protected"),
    }
)


class Step(BaseModel):
    """One step as written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: StepId = Field(description="its name in this file")
    action: str = Field(description="what is done; every action is listed in docs/playbooks.md")
    site: str = Field("to", description="'from', 'to' or a site's key")
    description: str = Field("", description="why the step is there, for whoever approves and watches")
    args: dict[str, Any] = Field({}, description="the action's arguments; 'system' and 'site' are never among them")
    needs: tuple[StepId, ...] = Field((), description="the steps that must have passed before; others run side by side")
    timeout_s: Annotated[float, Field(gt=0, le=24 * 3600, description="seconds for one attempt")]
    retries: Annotated[int, Field(ge=0, le=10, description="attempts after the first, where trying again can help")] = 0
    retry_wait_s: Annotated[float, Field(ge=0, le=3600, description="seconds between two attempts")] = 2
    on_failure: OnFailure = Field(
        "stop",
        description="stop: a person decides, or the run ends; continue: pass over it; undo: take back what was done",
    )


class Playbook(BaseModel):
    """One playbook file. ``finally`` steps run whatever became of the others."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    kind: Kind = Field(description="what it is for; decides who must approve and which sites 'from' and 'to' are")
    summary: str = Field(description="one sentence for whoever approves it")
    parameters: Parameters = Field({}, description="what a person may set for one run, by name; see below")
    steps: tuple[Step, ...] = Field(min_length=1, description="what is done")
    finally_steps: tuple[Step, ...] = Field((), alias="finally", description="cleaning up, whatever became of them")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: the path into the playbook's data, what is wrong, what was probably meant."""

    path: tuple[str | int, ...]
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step with its site and every inventory reference resolved.

    ``args`` may still hold ``${steps.ID.NAME}`` texts, which are filled in when the step starts.
    ``reads_only`` steps declare no effect and may be repeated freely. ``provider`` is the package, with its version,
    that brings the action; empty: it is shipped.
    """

    id: str
    action: str
    site: str
    description: str
    args: Mapping[str, Any]
    needs: tuple[str, ...]
    timeout_s: float
    retries: int
    retry_wait_s: float
    on_failure: OnFailure
    final: bool
    reads_only: bool
    undoable: bool
    effects: tuple[tuple[str, str, str], ...]
    provider: str = ""

    @property
    def promotes(self) -> bool:
        """Tell whether the step makes its site writable: what the fencing guard gates."""
        return any(field == "role" and value == "primary" for _, field, value in self.effects)

    @property
    def fences(self) -> bool:
        """Tell whether the step is a fence."""
        return any(field == "fence" and value == "on" for _, field, value in self.effects)

    @property
    def touches_fence(self) -> bool:
        """Tell whether the step closes or opens a fence."""
        return any(field == "fence" for _, field, _ in self.effects)

    @property
    def hands_over(self) -> bool:
        """Tell whether the step changes who is active: a role, a fence, where clients are led."""
        return any(field in {"role", "fence", "traffic"} for _, field, _ in self.effects)

    @property
    def cleans_up(self) -> bool:
        """Tell whether the step removes what a run has set up aside: a bubble, or a scratch place."""
        return any(field in {"bubble", "scratch"} and value == "absent" for _, field, value in self.effects)

    @property
    def asks(self) -> bool:
        """Tell whether the step is a question to a person: the engine asks it, and no action runs."""
        return self.action == "ask"

    @property
    def waits_for_arrival(self) -> bool:
        """Tell whether the step waits until its site has everything; another package's is taken at its word."""
        return self.action == "wait_replica" or (bool(self.provider) and self.reads_only)

    @property
    def proves_service(self) -> bool:
        """Tell whether the step proves that clients reach the active side by the service's name."""
        return (
            self.action == "http_check"
            and self.args.get("where") == "service"
            and self.args.get("expect_role") == "active"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do, complete and fixed: the thing that is shown, approved and hashed.

    ``forced``: the steps of ``left_out`` (id, action) were at the protected site, which is taken for lost.
    """

    playbook: str
    kind: Kind
    summary: str
    system: str
    from_site: str
    to_site: str
    rto_s: float
    rpo_s: float
    steps: tuple[PlannedStep, ...]
    inventory_hash: str
    parameters: Mapping[str, Value] = field(default_factory=dict)
    forced: bool = False
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def attended(self) -> bool:
        """Tell whether production changes: approval before, a person's decision on failure."""
        return self.kind in ATTENDED

    @property
    def wished(self) -> str:
        """Say what holds beside what is written: parameters, and what being forced leaves out; empty: nothing."""
        said = [", ".join(f"{name} = {value}" for name, value in self.parameters.items())] if self.parameters else []
        if self.forced:
            gone = ", ".join(f"'{step}' ({action})" for step, action in self.left_out) or "nothing had to be"
            said.append(f"forced: {self.from_site} is taken for lost; left out there: {gone}")
        return "; ".join(said)

    def step(self, step_id: str) -> PlannedStep:
        """Return the step of that id. Raises KeyError."""
        for step in self.steps:
            if step.id == step_id:
                return step
        raise KeyError(step_id)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON data; ``plan_from_json`` is the inverse."""
        body = {name: getattr(self, name) for name in Plan.__slots__ if name != "steps"}
        body |= {"parameters": dict(self.parameters), "left_out": [list(one) for one in self.left_out]}
        for name in ("parameters", "forced", "left_out"):
            if not body[name]:  # what earlier versions have not written keeps its hash
                del body[name]
        body["steps"] = [
            {
                name: list(value)
                if name == "needs"
                else [list(effect) for effect in value]
                if name == "effects"
                else dict(value)
                if name == "args"
                else value
                for name, value in ((name, getattr(step, name)) for name in PlannedStep.__slots__)
                if name != "provider" or value  # as above
            }
            for step in self.steps
        ]
        return body

    def hash(self) -> str:
        """Return the SHA-256 of the canonical plan: what an approval is bound to."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def ancestors(steps: Mapping[str, Step] | Mapping[str, PlannedStep], step_id: str) -> set[str]:
    """Return the ids that ``step_id`` waits for, directly or not; itself among them only in a circle."""
    found: set[str] = set()
    stack = list(steps[step_id].needs)
    while stack:
        need = stack.pop()
        if need not in found and need in steps:
            found.add(need)
            stack.extend(steps[need].needs)
    return found


def brings_up_again(steps: Mapping[str, PlannedStep], step_id: str) -> Iterator[str]:
    """Yield the steps behind ``step_id`` that bring up what it holds down: power or an open fence for its site.

    Without it they would let a side that still believes to be primary take declarations beside the active one.
    """
    held = {
        subject
        for subject, field, value in steps[step_id].effects
        if (field, value) == ("role", "standby") or (field == "power" and value.rpartition("-")[2] == "off")
    }
    for other in steps.values() if held else ():
        up = {
            subject
            for subject, field, value in other.effects
            if (field, value) == ("fence", "off") or (field == "power" and value.rpartition("-")[2] == "on")
        }
        if held & up and step_id in ancestors(steps, other.id):
            yield other.id


def arrivals(steps: Mapping[str, PlannedStep], promotion: PlannedStep) -> Iterator[str]:
    """Yield the steps before a promotion that see all arrive which its peer has taken, once that takes no more."""
    own = {subject for subject, field, value in promotion.effects if (field, value) == ("role", "primary")}
    peers = {subject.rpartition("/")[0] for subject in own}

    def stopped(wait: str) -> bool:
        return any(
            subject not in own
            and subject.rpartition("/")[0] in peers
            and ((field, value) == ("role", "standby") or (field == "power" and value.rpartition("-")[2] == "off"))
            for before in ancestors(steps, wait)
            for subject, field, value in steps[before].effects
        )

    for key in ancestors(steps, promotion.id):
        step = steps[key]
        waits = (step.action, step.site) == ("wait_replica", promotion.site) and step.on_failure != "continue"
        if waits and stopped(key):
            yield key


def plan_from_json(body: Mapping[str, Any]) -> Plan:
    """Return the plan that ``Plan.to_json`` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    steps = tuple(_step_from_json(step) for step in body["steps"])
    left_out = tuple((str(step), str(action)) for step, action in body.get("left_out", ()))
    plan = Plan(**{**body, "steps": steps, "left_out": left_out})
    _demand(isinstance(plan.parameters, Mapping) and isinstance(plan.forced, bool), "a setting is not one")
    texts = (plan.playbook, plan.summary, plan.system, plan.from_site, plan.to_site, plan.inventory_hash)
    _demand(all(isinstance(text, str) for text in texts), "a name is not text")
    _demand(plan.kind in get_args(Kind), f"unknown kind {plan.kind!r}")
    _demand(_is_number(plan.rto_s) and _is_number(plan.rpo_s), "an objective is not a number")
    known = {step.id for step in steps}
    _demand(len(known) == len(steps) > 0, "no steps, or two of one id")
    _demand(all(need in known for step in steps for need in step.needs), "a step needs one that is not there")
    return plan


def _step_from_json(body: Mapping[str, Any]) -> PlannedStep:
    _demand(isinstance(body["needs"], list) and isinstance(body["effects"], list), "needs or effects is not a list")
    _demand(isinstance(body["args"], Mapping), "args is not a mapping")
    effects = tuple((subject, field, value) for subject, field, value in body["effects"])
    step = PlannedStep(**{**body, "needs": tuple(body["needs"]), "effects": effects})
    named = (step.id, step.action, step.site, step.description, step.provider)
    texts = (*named, *step.needs, *(part for one in effects for part in one))
    _demand(all(isinstance(text, str) for text in texts), "a name is not text")
    _demand(step.on_failure in get_args(OnFailure), f"unknown on_failure {step.on_failure!r}")
    _demand(_is_number(step.timeout_s) and _is_number(step.retry_wait_s), "a time is not a number")
    _demand(type(step.retries) is int and step.retries >= 0, "retries is not a count")
    flags = (step.final, step.reads_only, step.undoable)
    _demand(all(isinstance(flag, bool) for flag in flags), "a flag is neither true nor false")
    return step


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
