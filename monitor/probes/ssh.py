"""Can we log in to a host, and what do its tools and its database say of themselves.

Everything that is asked of a host's tools goes in one command a poll, which also proves the log-in; a database's status
and a lag are commands of their own, because they are whatever the inventory says.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monitor.clients import survey_answers as read
from monitor.clients.ssh import SshPool
from monitor.clients.survey import MISSING, Question, Said, Surveyor, named
from monitor.errors import CredentialError, GarbledReply, KaraulaError, NotFound, TargetError
from monitor.inventory.equipment import SshHost
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clients.ssh import SshResult
    from monitor.clients.survey import Moment, Survey
    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 256  # so many that hang at once hold up nobody else
LONGEST_STATUS = 16 * 1024
LONGEST_REASON = 200
LARGEST = 2**63 - 1
ROLES = ("primary", "standby", "stopped")
WORKS = ("true",)
OUR_CLOCK_SET_S = 0.05


@dataclass(frozen=True, slots=True)
class HostParams:
    """A host to log in to."""

    host: SshHost


@dataclass(frozen=True, slots=True)
class DatabaseParams:
    """A host whose ``argv`` prints the status of a database, as ``DatabaseCommands.status`` describes it."""

    host: SshHost
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LagParams:
    """A host whose ``argv`` prints how many seconds a replica is behind."""

    host: SshHost
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VipParams:
    """A host that may hold an address that wanders between sites (``192.0.2.9/24``) on ``interface``."""

    host: SshHost
    address: str
    interface: str

    @property
    def argv(self) -> tuple[str, ...]:
        """What prints whether it does; it changes nothing (docs/targets.md)."""
        return "karaula-vip", "status", self.address, self.interface


@dataclass(frozen=True, slots=True)
class DiskParams:
    """A file system that should be mounted at ``mount``."""

    host: SshHost
    mount: str

    @property
    def questions(self) -> tuple[Question, ...]:
        """What must be asked for it."""
        return Question("disk", self.mount), Question("inodes", self.mount)


@dataclass(frozen=True, slots=True)
class UnitParams:
    """A systemd unit."""

    host: SshHost
    unit: str

    @property
    def questions(self) -> tuple[Question, ...]:
        """What must be asked for it."""
        return (Question("unit", self.unit),)


@dataclass(frozen=True, slots=True)
class CertificateParams:
    """A certificate's file."""

    host: SshHost
    path: str

    @property
    def questions(self) -> tuple[Question, ...]:
        """What must be asked for it."""
        return (Question("certificate", self.path),)


@dataclass(frozen=True, slots=True)
class ClockParams:
    """The host's clock; with ``synchronized`` also what its chronyd says."""

    host: SshHost
    synchronized: bool = False

    @property
    def questions(self) -> tuple[Question, ...]:
        """What must be asked for it."""
        return (Question("clock"), Question("synchronized")) if self.synchronized else (Question("clock"),)


SurveyParams = DiskParams | UnitParams | CertificateParams | ClockParams


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """What a database says of itself; ``received_at`` (Unix seconds) is None when it never received anything.

    ``epoch`` is the highest fencing token that it or its host has seen. ``record`` is the number of its newest record,
    None where positions are such numbers themselves.
    """

    role: str
    position: int
    epoch: int
    received_at: float | None
    record: int | None = None


class SshProbe:
    """Asks hosts over connections that are kept."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:
        """Prepare. Raises CredentialError when there is no known hosts file."""
        self._pool = SshPool(credentials, credentials.path(trust.known_hosts), clock, threads=AT_ONCE)
        self._surveyor = Surveyor(self._pool, clock)
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a target; with ``duration_seconds`` of the log-in, of a database, of a lag's command.

        Values: ``disk_free_bytes``, ``disk_size_bytes``, ``disk_free_ratio`` and where there are any
        ``inodes_free_ratio``; ``not_after_seconds``; ``clock_offset_seconds`` (positive: the host is ahead of us) and
        ``clock_uncertainty_seconds``; ``lag_seconds``; a database's status. Facts: a disk's ``mount`` as found, a
        unit's ``load``, ``active``, ``sub``, ``result``, of a clock ``synchronized`` and of an address that wanders
        ``holds``: ``yes`` or ``no``.
        """
        together: dict[SshHost, list[Target]] = {}
        work: list[list[Target]] = []
        for target in targets:
            if isinstance(target.params, HostParams | SurveyParams):
                together.setdefault(target.params.host, []).append(target)
            else:
                work.append([target])
        async for observation in each([*together.values(), *work], self._work, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def _work(self, targets: Sequence[Target]) -> Sequence[Observation]:
        if any(isinstance(target.params, SurveyParams) for target in targets):
            return await self._survey(targets)
        return [await self._ask(target) for target in targets]

    async def _survey(self, targets: Sequence[Target]) -> Sequence[Observation]:
        surveys = [target.params for target in targets if isinstance(target.params, SurveyParams)]
        questions = [question for params in surveys for question in params.questions]
        try:
            timeout_s = min(target.deadline_s for target in targets)
            found = await self._surveyor.ask(targets[0].params.host, questions, timeout_s)
        except (TargetError, CredentialError) as error:
            return [failed(target, self._clock.now(), error) for target in targets]
        return [self._surveyed(target, found) for target in targets]

    def _surveyed(self, target: Target, found: Survey) -> Observation:
        now = self._clock.now()
        if isinstance(target.params, HostParams):
            values = {"duration_seconds": found.elapsed_s}
            return Observation(target.subject, target.probe, now, Answer.OK, values=values)
        try:
            values, facts = answered(target.params, found)
        except NotSaid as error:
            return Observation(target.subject, target.probe, now, Answer.UNKNOWN, str(error))
        except TargetError as error:
            return failed(target, now, error)
        return Observation(target.subject, target.probe, now, Answer.OK, values=values, facts=facts)

    async def _ask(self, target: Target) -> Observation:
        params: HostParams | DatabaseParams | LagParams | VipParams = target.params
        argv = WORKS if isinstance(params, HostParams) else params.argv
        try:
            result = await self._pool.run(params.host, argv, timeout_s=target.deadline_s)
            values = {"duration_seconds": result.elapsed_s}
            if result.exit_status:
                reason = _complaint(argv, result)
                return Observation(target.subject, target.probe, self._clock.now(), Answer.FAILED, reason, values)
            if isinstance(params, LagParams):
                values["lag_seconds"] = read.seconds(result.stdout)
            if isinstance(params, VipParams):
                facts = {"holds": "yes" if read_holds(result.stdout) else "no"}
                return Observation(target.subject, target.probe, self._clock.now(), Answer.OK, "", values, facts)
            if not isinstance(params, DatabaseParams):
                return Observation(target.subject, target.probe, self._clock.now(), Answer.OK, values=values)
            status = read_status(result.stdout)
        except (TargetError, CredentialError) as error:
            return failed(target, self._clock.now(), error)
        values |= {"position": float(status.position), "epoch": float(status.epoch)}
        if status.received_at is not None:
            values["received_at"] = status.received_at
        if status.record is not None:
            values["record"] = float(status.record)
        stopped = status.role == "stopped"
        return Observation(
            target.subject,
            target.probe,
            self._clock.now(),
            Answer.FAILED if stopped else Answer.OK,
            "the database is stopped" if stopped else "",
            values,
            {"role": status.role},
        )


class NotSaid(KaraulaError):
    """The host cannot say, or was not asked: nothing is known, good or bad."""


def answered(params: SurveyParams, survey: Survey) -> tuple[dict[str, float], dict[str, str]]:
    """Return the values and facts that a survey has for one target.

    Raises NotSaid when nothing can be told, GarbledReply and other TargetErrors when the host failed.
    """
    match params:
        case DiskParams():
            return _disk(params, survey)
        case UnitParams():
            found = read.unit(_said(survey, params.questions[0]).lines)
            return {}, {"load": found.load, "active": found.active, "sub": found.sub, "result": found.result}
        case CertificateParams():
            return {"not_after_seconds": read.certificate(_said(survey, params.questions[0]).lines)}, {}
        case ClockParams():
            return _clock(params, survey)


def _disk(params: DiskParams, survey: Survey) -> tuple[dict[str, float], dict[str, str]]:
    about_bytes, about_inodes = params.questions
    room = read.disk(_said(survey, about_bytes).lines)
    values = {
        "disk_free_bytes": float(room.available),
        "disk_size_bytes": float(room.total),
        "disk_free_ratio": room.available / room.total,
    }
    inodes = read.inodes(_said(survey, about_inodes).lines)
    if inodes is not None:
        values["inodes_free_ratio"] = inodes.available / inodes.total
    return values, {"mount": room.mount}


def _clock(params: ClockParams, survey: Survey) -> tuple[dict[str, float], dict[str, str]]:
    theirs, rounding_s = read.clock(_said(survey, params.questions[0]).lines)
    if survey.first is None:
        raise NotSaid("nobody knows when the host read its clock")
    offset_s, open_s = offset(theirs, survey.first)
    values = {"clock_offset_seconds": offset_s, "clock_uncertainty_seconds": open_s + rounding_s}
    if not params.synchronized:
        return values, {}
    follows = read.synchronized(_said(survey, params.questions[1]).lines)
    return values, {"synchronized": "yes" if follows else "no"}


def offset(theirs: float, moment: Moment) -> tuple[float, float]:
    """Return how far a clock that showed ``theirs`` is ahead of ours, and by how much either way that may be wrong.

    It was read some time between the command's departure and its first line. Raises NotSaid when our own clock was set
    meanwhile.
    """
    took_s = moment.came - moment.sent
    if abs((moment.came_at - moment.sent_at) - took_s) > OUR_CLOCK_SET_S:
        raise NotSaid("our own clock was set while the host was asked")
    return theirs - (moment.sent_at + took_s / 2), took_s / 2


def _said(survey: Survey, question: Question) -> Said:
    """Return an answer that can be read."""
    answer = survey.answers[question]
    what = named(question)
    if answer is None:
        raise NotSaid(f"{what} was not asked: an earlier question got no answer")
    if isinstance(answer, TargetError):
        raise answer
    if answer.exit_status == MISSING:
        raise NotFound(f"{what}: there is no such file (or it may not be seen)")
    if answer.exit_status:
        said = f": {_plain(answer.lines[-1])}" if answer.lines else ""
        raise NotSaid(f"{what} cannot be told: exit status {answer.exit_status}{said}")
    return answer


def read_holds(text: str) -> bool:
    """Return what ``karaula-vip status`` printed; anything but its JSON object raises GarbledReply."""
    holds = _object(text, "what karaula-vip says").get("holds")
    if not isinstance(holds, bool):
        raise GarbledReply("karaula-vip does not say whether the host holds the address")
    return holds


def _object(text: str, what: str) -> dict[str, Any]:
    if len(text) > LONGEST_STATUS:
        raise GarbledReply(f"{what} is {len(text)} characters long; {LONGEST_STATUS} is the most taken")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GarbledReply(f"{what} is not JSON") from error
    if not isinstance(found, dict):
        raise GarbledReply(f"{what} is not a JSON object")
    return found


def read_status(text: str) -> DatabaseStatus:
    """Return what the status command printed; anything but the promised JSON object raises GarbledReply."""
    found = _object(text, "the database's status")
    role = found.get("role")
    if role not in ROLES:
        raise GarbledReply("the database's role is none of " + ", ".join(ROLES))
    received_at = found.get("received_at")
    if received_at is not None and not _is_number(received_at):
        raise GarbledReply("the database's received_at is not a time")
    return DatabaseStatus(
        role=str(role),
        position=_count(found, "position"),
        epoch=max(_count(found, "epoch"), _count(found, "seen") if "seen" in found else 0),
        received_at=None if received_at is None else float(received_at),
        record=_count(found, "record") if found.get("record") is not None else None,
    )


def _count(found: dict[str, object], name: str) -> int:
    value = found.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise GarbledReply(f"the database's {name} is not a whole number from 0")
    return value


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= LARGEST and math.isfinite(value)


def _complaint(argv: Sequence[str], result: SshResult) -> str:
    """Return what failed and the first line of what it said, fit for one line."""
    first = next((line for line in result.stderr.splitlines() if line.strip()), "")
    said = _plain(first)
    return f"'{' '.join(argv)}' ended with {result.exit_status}" + (f": {said}" if said else "")


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:LONGEST_REASON]
