"""The Action protocol: run it, probe whether it happened, undo it; and the effects it declares.

An action never decides: guards and ``engine.transition`` do. It must be safe to *probe* at any time. ``run`` is
called at most once an attempt; what it could not finish for certain it reports by raising a ``TargetError`` whose
``outcome_known`` is False, and the engine then probes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from dr.errors import StepFailed
from dr.playbook.reference import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dr.world import World


Output = str | int | float | bool
PROBE_LIMIT_S = 20.0
HELD_BEFORE = "held_before"  # an output: it held before the step's first attempt, so that undo leaves it as it is


class StepArgs(BaseModel):
    """Base of every action's ``Args``. The planner fills in ``system`` and ``site`` from the run and the step."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    site: str

    @property
    def can_be_undone(self) -> bool:
        """Tell whether what is asked for can be taken back, where the action can at all."""
        return True


HostKey = Annotated[str, Field(json_schema_extra={NAMES: "hosts"})]
ProjectKey = Annotated[str, Field(json_schema_extra={NAMES: "ansible"})]


class Holds(StrEnum):
    """The answer to "does the effect hold?"."""

    YES = "yes"
    NO = "no"
    CANNOT_TELL = "cannot-tell"


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that is true of the world once the action has succeeded.

    ``subject`` is a key such as ``system/ncts/main``; ``field`` one of ``power``, ``role``, ``fence``, ``traffic``,
    ``bubble``, ``backup``, ``scratch``, ``snapshot``; ``value`` its new value.
    """

    subject: str
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a probe of an effect found, with the evidence in words.

    ``outputs`` are those that ``run`` would have returned, as far as the world tells them: an effect that turns out to
    hold after a crash must serve later steps as well.
    """

    holds: Holds
    evidence: str
    outputs: Mapping[str, Output] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """Everything an action may use.

    ``key`` is the idempotency key, the same for every attempt of one step; ``token`` the fencing token (epoch);
    ``timeout_s`` what is left for this attempt; ``say`` appends a line to the step's live output. ``overridden``
    are the guards that people have put out of force for this attempt.
    """

    run_id: str
    step: str
    attempt: int
    key: str
    token: int
    timeout_s: float
    world: World
    say: Callable[[str], None]
    overridden: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Done:
    """A finished action: outputs that later steps may refer to (``${steps.ID.NAME}``); JSON scalars only."""

    outputs: Mapping[str, Output] = field(default_factory=dict)


class Action(Protocol):
    """One kind of step. ``args`` are validated by ``Args`` when the plan is made.

    ``outputs`` names what ``Done.outputs`` will hold. An action whose ``effects`` are always empty only reads.
    ``probe_limit_s`` bounds a look at the effect (and never more than the step's own time does).
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    outputs: ClassVar[tuple[str, ...]]
    reads_only: ClassVar[bool]
    Args: ClassVar[type[StepArgs]]
    undoable: ClassVar[bool]
    probe_limit_s: ClassVar[float]

    def effects(self, args: Any) -> tuple[Effect, ...]:
        """Return what holds after success; empty for an action that only reads."""
        ...

    async def run(self, args: Any, context: Context) -> Done:
        """Do it. Raises TargetError (or dr.errors.StepFailed when what came back shows that it is not done)."""
        ...

    async def probe(self, args: Any, context: Context) -> Seen:
        """Ask the world whether the declared effects hold; changes nothing and raises nothing of a target's."""
        ...

    async def undo(self, args: Any, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Take back what the attempt with these ``outputs`` did (only called where ``undoable``)."""
        ...


@runtime_checkable
class Needing(Protocol):
    """A shipped action that needs what is not installed everywhere."""

    def lacking(self) -> str:
        """Say what is missing, and how to get it; empty: nothing."""
        ...


class Reading:
    """Base of actions that only look: no effects, nothing to probe, nothing to undo.

    ``at_once``: what it finds is known within seconds and nobody is told, so that a dry run may do it as well.
    """

    name: ClassVar[str]
    reads_only: ClassVar[bool] = True
    undoable: ClassVar[bool] = False
    at_once: ClassVar[bool] = True
    probe_limit_s: ClassVar[float] = PROBE_LIMIT_S

    def effects(self, args: Any) -> tuple[Effect, ...]:
        """Declare none."""
        del args
        return ()

    async def probe(self, args: Any, context: Context) -> Seen:
        """Say that asking again is harmless."""
        del args, context
        return Seen(Holds.NO, "the step only reads; it can be run again")

    async def undo(self, args: Any, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Do nothing: there is nothing to take back."""
        del args, context, outputs
        return Done()


class Lasting:
    """Base of actions whose effect cannot, or must not, be taken back by a machine."""

    name: ClassVar[str]
    reads_only: ClassVar[bool] = False
    undoable: ClassVar[bool] = False
    probe_limit_s: ClassVar[float] = PROBE_LIMIT_S

    async def undo(self, args: Any, context: Context, outputs: Mapping[str, Output]) -> Done:
        """Refuse. Raises StepFailed."""
        del args, context, outputs
        raise StepFailed(f"'{self.name}' cannot be undone")
