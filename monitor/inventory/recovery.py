"""What recovery keeps to: who may have what done, when rehearsals may begin, how long a proof holds, what must be so.

And what a system must keep to in order to count as ready for a recovery.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from monitor.inventory import rules
from monitor.inventory.values import SUBJECT, Cron, Flag, Key, Model, Number, Percent, Seconds, Text, Whole

DAY_S = 86400
CHANGE = r"^(power|role|fence|traffic|bubble|backup|scratch)(=[a-z][a-z-]{0,62})?$"
RunKind = Literal["backup", "verify", "drill", "switchover", "failover", "reprotect", "failback"]
KINDS: tuple[str, ...] = get_args(RunKind)
WindowKind = Literal["backup", "verify", "drill"]
WINDOW_KINDS: tuple[str, ...] = get_args(WindowKind)
EVERYBODY = rules.EVERYBODY
LONGEST_NAME = 64
DeedWord = Literal["request", "approve", "steer", "override"]
Person = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(rules.person)]


class LeaseTimes(Model):
    """How long the right to act lasts without being renewed. ``loop_wait_s + 2 * retry_timeout_s`` fits in it."""

    ttl_s: Annotated[Number, Field(ge=1, le=600, description="a daemon that cannot renew it stops before this")] = 30
    loop_wait_s: Annotated[Number, Field(gt=0, le=300, description="between two renewals")] = 10
    retry_timeout_s: Annotated[Number, Field(gt=0, le=300, description="how long one renewal may take")] = 10


class Proofs(Model):
    """When a playbook counts as VERIFIED: what an alarm starts by itself must be."""

    max_age_s: Seconds = Field(31 * DAY_S, description="how long a proof by `karaula prove` holds")
    faults: Annotated[Whole, Field(ge=0, le=4)] = Field(2, description="how many disturbances it must have tried")


class ReadinessLimits(Model):
    """From when on a system is not ready for a recovery any more. Twice a limit of age, and never, are red."""

    drill_max_age_s: Annotated[Number, Field(gt=0, le=3 * 366 * DAY_S)] = Field(
        35 * DAY_S, description="how old the last drill that succeeded may be"
    )
    replica_warn_percent: Annotated[Percent, Field(gt=0)] = Field(
        50, description="how much of rpo_s the copy may be behind without a warning; all of it is red"
    )
    memory_spare_percent: Percent = Field(
        10,
        description="how much of the free memory at the standby its machines must leave once started",
    )
    spare_hosts: Annotated[Whole, Field(ge=0, le=3)] = Field(
        0,
        description="how many ESXi hosts of a cluster at the standby may be lost before its machines lack room",
    )


class Window(Model):
    """A time in which runs of these kinds may begin. A kind and system that no window names may begin at any time."""

    kinds: tuple[WindowKind, ...] = Field(
        min_length=1, description="what else moves production, and waits for a person instead"
    )
    systems: tuple[Key, ...] = Field((), description="whose runs; none named: those of all")
    cron: Cron = Field(description="when it opens: five fields, in the estate's time zone", examples=["0 1 * * *"])
    duration_s: Annotated[Number, Field(gt=0, le=7 * DAY_S)] = Field(
        description="how long it stays open, whatever is done to the clocks on the wall meanwhile"
    )

    def covers(self, kind: str, system: str) -> bool:
        """Tell whether runs of the kind and system go by this window."""
        return kind in self.kinds and (not self.systems or system in self.systems)


class Condition(Model):
    """One thing that was observed of one subject; exactly one of the four."""

    subject: Annotated[str, Field(pattern=SUBJECT)] = Field(
        description="what is watched; {system}, {from} and {to} stand for the run's",
        examples=["front/{system}/{from}", "dns/dns-dr"],
    )
    status: Literal["ok", "up", "down"] | None = Field(None, description="up: ok or degraded")
    role: Literal["active", "primary", "standby", "stopped"] | None = Field(
        None, description="what a front or a database says of itself"
    )
    writable: Flag | None = Field(None, description="whether a front or a database takes declarations at its site")
    fence: Literal["on", "off"] | None = Field(None, description="what the newest run read at the power controller")

    @property
    def wanted(self) -> tuple[str, str]:
        """Return what is looked at, and what it must be."""
        for name in ("status", "role", "writable", "fence"):
            value = getattr(self, name)
            if value is not None:
                return name, {True: "yes", False: "no"}.get(value, value)
        raise ValueError("a condition without anything to look at")  # not in an inventory that was read

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in ("status", "role", "writable", "fence") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"a condition has one of status, role, writable and fence, found {found}")
        return self


class SafetyRule(Model):
    """What must be so before a run begins, and before each of its steps that changes something. Unknown is not so."""

    reason: Text = Field(description="why; it is shown with every refusal")
    at_least_one_of: tuple[Condition, ...] = Field((), description="one of these must be observed")
    never_both: tuple[Condition, ...] = Field((), description="no two of these may be so; one may be unknown")
    only_while: tuple[Condition, ...] = Field((), description="all of these must be observed")
    kinds: tuple[RunKind, ...] = Field((), description="for runs of these kinds; none named: of all")
    systems: tuple[Key, ...] = Field((), description="for runs of these systems; none named: of all")
    before: tuple[Annotated[str, Field(pattern=CHANGE)], ...] = Field(
        (),
        description="only before steps that change this (an effect's field, or field=value); none named: always",
        examples=[["role=primary", "traffic"]],
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        words = ("at_least_one_of", "never_both", "only_while")
        given = [word for word in words if getattr(self, word)]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"a rule has one of at_least_one_of, never_both and only_while, found {found}")
        if len(self.never_both) == 1:
            raise ValueError("never_both needs at least two conditions")
        return self

    def concerns(self, kind: str, system: str) -> bool:
        """Tell whether runs of the kind and system go by this rule."""
        return (not self.kinds or kind in self.kinds) and (not self.systems or system in self.systems)

    @property
    def conditions(self) -> tuple[str, tuple[Condition, ...]]:
        """Return the word of the rule (``never_both``) and its conditions."""
        for word in ("at_least_one_of", "never_both", "only_while"):
            found: tuple[Condition, ...] = getattr(self, word)
            if found:
                return word, found
        raise ValueError("a rule without conditions")  # not in an inventory that was read


class Right(Model):
    """What some people may have done. Whoever has a right to a drill has none to a failover by that."""

    people: tuple[Person, ...] = Field(
        min_length=1,
        description="by the name that stands with their decisions; everybody: whoever reaches the daemon",
        examples=[["ana", "boris"]],
    )
    may: tuple[DeedWord, ...] = Field(
        min_length=1,
        description="request a run; approve it (also deny it, accept its loss); steer one under way (pause, answer, "
        "resume, retry, ignore, undo, cancel) and pause what starts by itself; override a rule that stands in its way",
    )
    kinds: tuple[RunKind, ...] = Field(min_length=1, description="of which runs; none is meant that is not named")
    systems: tuple[Key, ...] = Field((), description="of which systems; none named: of all")
    proven: Flag = Field(
        default=False,
        description="these names are taken from nobody but the accounts of that name on the daemon's host: neither "
        "from --as nor from a page",
    )

    def covers(self, deed: str, kind: str, system: str) -> bool:
        """Tell whether it is a right to do ``deed`` to runs of that kind and system."""
        return deed in self.may and kind in self.kinds and (not self.systems or system in self.systems)


def filled(subject: str, system: str, from_site: str, to_site: str) -> str:
    """Return the subject with the run's names in place of {system}, {from} and {to}."""
    return subject.replace("{system}", system).replace("{from}", from_site).replace("{to}", to_site)
