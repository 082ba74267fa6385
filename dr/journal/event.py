"""The journal's closed vocabulary: everything that may be said of a run, one frozen dataclass a word.

``encode`` and ``decode`` are exact inverses; a word or field that is not known does not decode. ``at`` is wall
time in Unix seconds. ``fold.py`` says what may follow what.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, get_args

from dr.errors import IllegalEvent
from dr.journal.calendar import CalendarEvent
from dr.journal.finding import FindingEvent
from dr.journal.joint import JointEvent
from dr.journal.overriding import OverrideEvent
from dr.journal.pausing import PauseEvent
from dr.journal.people import QuestionAnswered, UndoAsked
from dr.journal.shape import Shape

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class RunAccepted:
    """A request became a run. ``plan`` is the resolved plan (see playbook.plan), fixed for the run's life.

    ``origin`` is ``person``, ``schedule`` or ``alarm``; ``origin_ref`` names the slot or the alarm.
    ``service_lost_at`` is when the service was last seen working and ``alarm_at`` when the alarm rose
    (0: does not apply). ``automatic`` is one that starts without an approval if nothing speaks against it.
    """

    at: float
    plan: dict[str, Any]
    requester: str
    reason: str
    origin: str
    origin_ref: str
    service_lost_at: float
    alarm_at: float
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class VotesHeard:
    """What each vantage point says of the side to leave (see ``ballot``); ``needed`` of them must say down."""

    at: float
    site: str
    needed: int
    votes: dict[str, dict[str, Scalar]]


@dataclass(frozen=True, slots=True)
class GuardRuled:
    """A guard answered; ``step`` is empty when the whole run was asked about."""

    at: float
    guard: str
    ruling: str
    reason: str
    sentence: str
    step: str


@dataclass(frozen=True, slots=True)
class ApprovalAsked:
    """The run waits for people's consent until ``expires_at``; ``plan_hash`` is what is approved."""

    at: float
    expires_at: float
    plan_hash: str


@dataclass(frozen=True, slots=True)
class Approved:
    """A person approved the plan with this hash; good for this run and once."""

    at: float
    by: str
    comment: str
    plan_hash: str


@dataclass(frozen=True, slots=True)
class Denied:
    """A person said no, or nobody answered in time (``by`` is then ``karaula``)."""

    at: float
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class LossAccepted:
    """A person accepts that as much as ``up_to_s`` seconds is lost; ``stated`` is what they were told it would be."""

    at: float
    by: str
    reason: str
    up_to_s: float
    stated: str


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Steps may begin; ``token`` is their fencing token, until a later daemon that goes on draws a higher one."""

    at: float
    token: int


@dataclass(frozen=True, slots=True)
class StepStarted:
    """The intent, durable before the effect."""

    at: float
    step: str
    attempt: int
    key: str
    token: int


@dataclass(frozen=True, slots=True)
class StepSucceeded:
    """The action ended well and its declared effect was observed."""

    at: float
    step: str
    attempt: int
    outputs: dict[str, Scalar]
    evidence: str
    output_sha256: str


@dataclass(frozen=True, slots=True)
class StepFailed:
    """The action ended and its effect does not hold."""

    at: float
    step: str
    attempt: int
    reason: str
    timed_out: bool
    retry_helps: bool
    output_sha256: str


@dataclass(frozen=True, slots=True)
class StepUnknown:
    """Whether the effect holds is not known: no reply in time, or the daemon died under it."""

    at: float
    step: str
    attempt: int
    reason: str
    timed_out: bool
    output_sha256: str


@dataclass(frozen=True, slots=True)
class StepProbed:
    """The world was asked whether the effect of an unknown step holds."""

    at: float
    step: str
    attempt: int
    holds: str
    evidence: str
    outputs: dict[str, Scalar]


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """The step will not run in this run."""

    at: float
    step: str
    reason: str


@dataclass(frozen=True, slots=True)
class StepIgnored:
    """A failed or unknown step is passed over: by a named person, or by ``on_failure: continue``."""

    at: float
    step: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class RetryAsked:
    """A person wants a failed or unknown step run again."""

    at: float
    step: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class UndoStarted:
    """The intent to take a step's effect back."""

    at: float
    step: str
    token: int


@dataclass(frozen=True, slots=True)
class UndoSucceeded:
    """The step's effect was taken back. What that printed is kept as the step's attempt ``kept_as``, below nought."""

    at: float
    step: str
    output_sha256: str = ""
    kept_as: int = 0


@dataclass(frozen=True, slots=True)
class UndoFailed:
    """The step's effect could not be taken back; a person is needed. ``kept_as``: see ``UndoSucceeded``."""

    at: float
    step: str
    reason: str
    output_sha256: str = ""
    kept_as: int = 0


@dataclass(frozen=True, slots=True)
class Paused:
    """No new step begins until a person resumes, retries, ignores or cancels."""

    at: float
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """A person lets a paused run go on."""

    at: float
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """A person (or the alarm that cleared) ends the run; what runs is let end, ``finally`` steps are run."""

    at: float
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A daemon found this run under way without its owner: the one before died."""

    at: float


@dataclass(frozen=True, slots=True)
class Recovered:
    """The run goes on under this daemon."""

    at: float


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The run's final state and why."""

    at: float
    state: str
    reason: str


Event = (
    RunAccepted
    | VotesHeard
    | GuardRuled
    | ApprovalAsked
    | Approved
    | Denied
    | LossAccepted
    | RunStarted
    | StepStarted
    | StepSucceeded
    | StepFailed
    | StepUnknown
    | StepProbed
    | StepSkipped
    | StepIgnored
    | RetryAsked
    | UndoStarted
    | UndoSucceeded
    | UndoFailed
    | Paused
    | Resumed
    | UndoAsked
    | QuestionAnswered
    | CancelAsked
    | Interrupted
    | Recovered
    | RunEnded
    | JointEvent
    | FindingEvent
    | OverrideEvent
    | PauseEvent
    | CalendarEvent
)

WORDS: dict[str, type[Event]] = {word.__name__: word for word in get_args(Event)}
_SHAPES = {word: Shape(word) for word in WORDS.values()}


def encode(event: Event) -> tuple[str, str]:
    """Return the event's word and its body as canonical JSON.

    Raises IllegalEvent for what ``decode`` would not read: nothing is written that cannot be loaded again.
    """
    word, data = type(event).__name__, _fields(event)
    _check(type(event), data)
    try:
        body = _WRITER.encode(data)
        body.encode()
    except UnicodeEncodeError:  # half a surrogate pair: only its escape can be stored
        body = _ASCII_WRITER.encode(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise IllegalEvent(f"{word} holds what JSON cannot say: {error}") from error
    return word, body


def decode(word: str, body: str) -> Event:
    """Return the event. Raises IllegalEvent for what ``encode`` cannot have written."""
    kind = WORDS.get(word)
    if kind is None:
        raise IllegalEvent(f"the journal holds the word '{word}', which this version does not know")
    try:
        data, end = _READER.raw_decode(body)
    except (ValueError, RecursionError) as error:
        raise IllegalEvent(f"the journal's {word} is not JSON") from error
    if end != len(body):
        raise IllegalEvent(f"the journal's {word} is not JSON alone")
    shape = _SHAPES[kind]
    if isinstance(data, dict) and shape.defaults:  # an earlier version did not write all
        data = {**shape.defaults, **data}
    if not isinstance(data, dict) or data.keys() != shape.names:
        raise IllegalEvent(f"the journal's {word} has the wrong fields")
    _check(kind, data)
    return kind(**data)


def _fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in _SHAPES[type(event)].names}


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


_READER = json.JSONDecoder(parse_constant=_refuse)
_WRITER, _ASCII_WRITER = (
    json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=ascii_only, allow_nan=False)
    for ascii_only in (False, True)
)


def _check(kind: type[Event], data: dict[str, Any]) -> None:
    if name := _SHAPES[kind].unfit(data):
        raise IllegalEvent(f"the journal's {kind.__name__}.{name} has the wrong type")
