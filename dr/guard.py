"""What a guard is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from dr.journal.override import Override, left_aside, passes
from dr.journal.pause import Pause
from dr.journal.run import Run
from dr.lease import Tenancy
from dr.loss import Loss
from dr.proof import Proof
from dr.readiness.lights import Readiness
from dr.rights import Rights, overrides
from monitor.inventory.recovery import SafetyRule, Window

ALONE = Tenancy(held=True, epoch=0)

NOT_VERIFIED = "nothing on record proves this playbook for this inventory"


class Ruling(StrEnum):
    """The three answers."""

    ALLOW = "allow"
    REFUSE = "refuse"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A guard's answer with its named reason: a stable word (``other-run-active``) and a sentence.

    ``again`` says that only knowledge is missing: what is about to be observed may well change the answer.
    """

    guard: str
    ruling: Ruling
    reason: str
    sentence: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Promise:
    """A run that a joint run will make of ``system`` when its turn comes."""

    system: str
    joint: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What guards may know beside the run: every other run, the pauses in force, where each system is active.

    ``runs`` and ``placement`` (of each system the site that the journal says is active) are empty where a step is asked
    about: a run is resumed before all others are read. ``isolated`` says why the monitor takes
    itself for cut off from the estate; empty while it does not. ``promised`` are runs to come, by id.
    ``overrides`` are those that have not ended, ``windows`` the inventory's, in ``zone``; ``loss`` is what the monitor
    has seen that the run would lose. ``proof`` is what was proven of this very plan.
    ``readiness`` is how ready the system is where it stands by; None where nobody has looked.
    ``overtaken`` is a fencing token that the system's databases have seen and nobody here handed out; 0: none.
    ``rights`` are the inventory's; with none, everybody has all.
    ``unverified`` says why the plan is not verified, which a run that begins by itself must be; empty when it is.
    """

    runs: tuple[Run, ...]
    pauses: tuple[Pause, ...]
    placement: Mapping[str, str]
    isolated: str = ""
    promised: Mapping[str, Promise] = field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    windows: tuple[Window, ...] = ()
    zone: str = "UTC"
    unverified: str = NOT_VERIFIED
    loss: Loss | None = None
    proof: Proof | None = None
    readiness: Readiness | None = None
    rules: Mapping[str, SafetyRule] = field(default_factory=dict)
    tenancy: Tenancy = ALONE
    overtaken: int = 0
    observed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rights: Rights = field(default_factory=dict)

    def overridden(self, rule: str, run: Run, now: float) -> Override | None:
        """Return the override that lets ``run`` pass ``rule``; None when there is none."""
        return passes(self.overrides, rule, run, now, lambda who: overrides(self.rights, who, run))

    def left_aside(self, rule: str, run: Run, now: float) -> str:
        """Say why overrides of ``rule`` that stand do not let ``run`` pass; empty where none stands."""
        return left_aside(self.overrides, rule, run, now, lambda who: overrides(self.rights, who, run))


class Guard(Protocol):
    """A pure function of the run, the facts around it, the step asked about (None: the whole run) and the time."""

    def __call__(self, run: Run, facts: Facts, step: str | None, now: float) -> Verdict:
        """Judge; reads no clock and asks nobody."""
        ...
