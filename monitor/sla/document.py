"""A month's figures as they are shown, sent and sealed: typed, and as JSON text whose hash both sides compare. Pure.

The text is canonical: the same figures always give the same bytes. It says neither when it was made nor its own hash.
Moments stand twice: as whole microseconds since 1970, by which is reckoned, and in the estate's time for people.

``SCHEMA`` grows with every change of what stands in it. A closed month keeps the version that it was closed with, in
all its revisions: else the same records would give other bytes than were sealed, and look as if they had been changed.

    1  the first one
    2  crossings have ``measured``
"""

from __future__ import annotations

import json
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

SCHEMA = 2
CROSSINGS_MEASURED = 2  # since this version


class Part(BaseModel):
    """Base of all parts: unknown keys are mistakes, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MethodPart(Part):
    """How links are measured."""

    interval_s: float
    deadline_s: float
    fail_after: int
    recover_after: int
    stale_after_s: float


class TimesPart(Part):
    """Microseconds of each kind; together the time reckoned, exactly."""

    up_us: int
    degraded_us: int
    down_us: int
    unknown_us: int
    planned_us: int
    excused_us: int
    total_us: int


class AvailabilityPart(Part):
    """Percent, rounded down to four digits; null where nothing counts. ``lost_us`` is the time that counts as lost."""

    percent: float | None
    at_worst_percent: float | None
    at_best_percent: float | None
    lost_us: int


class MeasuredPart(Part):
    """Loss and round trip while the link was not down; ``polls_by_rtt_ms``: polls up to each bound, then more."""

    probes_sent: int
    probes_lost: int
    probes_sent_while_down: int
    loss_percent: float | None
    rtt_mean_ms: float | None
    rtt_min_ms: float | None
    rtt_max_ms: float | None
    rtt_95_percent_within_ms: int | None
    rtt_bounds_ms: tuple[int, ...]
    polls_by_rtt_ms: tuple[int, ...]


class AgreedPart(Part):
    """The agreed figures of a link."""

    availability_percent: float
    rtt_ms: float
    loss_percent: float
    degraded_is_down: bool


class VerdictPart(Part):
    """One agreed figure against the measured one; ``met`` is null where nothing was measured.

    ``certain`` says that the unknown time could not change it.
    """

    what: Literal["availability", "loss", "round-trip"]
    agreed: float
    measured: float | None
    met: bool | None
    certain: bool


class StretchPart(Part):
    """A time with a reason."""

    start: str
    end: str
    start_us: int
    end_us: int
    reason: str


class OutagePart(StretchPart):
    """A time in which a link did not carry traffic as agreed.

    ``kind`` is what it counts as: down (and degraded, where that is agreed) counts; excused and planned do not, and
    then ``taken_out_by`` and ``taken_out_why`` say who took it out. ``announced`` are works of that time that were
    announced to the watch, agreed or not.
    """

    kind: Literal["down", "degraded", "excused", "planned"]
    began_before: bool
    still_on: bool
    taken_out_by: str
    taken_out_why: str
    announced: str


class LinkPart(Part):
    """One link's month. ``budget_left_us`` is how much more may be lost before the agreed availability is missed."""

    link: str
    crossing: str
    crossing_name: str
    which: str
    operator: str
    agreed: AgreedPart
    times: TimesPart
    availability: AvailabilityPart
    measured: MeasuredPart
    verdicts: tuple[VerdictPart, ...]
    budget_left_us: int
    outages: tuple[OutagePart, ...]
    unknown: tuple[StretchPart, ...]


class CrossingPart(Part):
    """One crossing's month: it is available while one of its links carries traffic.

    ``measured`` is the sum of its links' own ``measured``: every probe of either link, whichever carried the traffic.
    It is null in version 1, which did not have it.
    """

    crossing: str
    name: str
    times: TimesPart
    availability: AvailabilityPart
    measured: MeasuredPart | None = None
    outages: tuple[OutagePart, ...]


class OperatorPart(Part):
    """One operator's month: its links' times together."""

    operator: str
    name: str
    contact: str
    links: int
    links_in_breach: int
    times: TimesPart
    availability: AvailabilityPart
    measured: MeasuredPart


class EntryPart(Part):
    """What a person entered about a link's time; ``standing`` is false once it was withdrawn."""

    number: int
    entered: str
    kind: Literal["maintenance", "excused", "withdrawn"]
    link: str
    start: str
    end: str
    reason: str
    by: str
    withdraws: int
    standing: bool


class AnnouncedPart(StretchPart):
    """Works that were announced to the watch. They take nothing out, unless an entry says that they were agreed."""

    link: str
    by: str


class MonthPart(Part):
    """A month. ``operator`` is empty for all of them, else the one whose links alone are in it."""

    schema_version: int
    estate: str
    month: str
    zone: str
    operator: str
    start: str
    end: str
    until: str
    start_us: int
    end_us: int
    until_us: int
    closed: bool
    method: MethodPart
    terms_changed: tuple[str, ...]
    operators: tuple[OperatorPart, ...]
    links: tuple[LinkPart, ...]
    crossings: tuple[CrossingPart, ...]
    entries: tuple[EntryPart, ...]
    announced: tuple[AnnouncedPart, ...]
    not_watched: tuple[StretchPart, ...]

    @model_validator(mode="after")
    def _of_its_version(self) -> Self:
        """Refuse what is of a newer Karaula, or does not have what its version has."""
        if not 1 <= self.schema_version <= SCHEMA:
            raise ValueError(f"the figures are of version {self.schema_version}, this Karaula knows 1 to {SCHEMA}")
        has = self.schema_version >= CROSSINGS_MEASURED
        if any((crossing.measured is not None) is not has for crossing in self.crossings):
            raise ValueError(f"crossings have loss and delay since version {CROSSINGS_MEASURED}, and always since then")
        return self


def to_text(month: MonthPart) -> str:
    """Return the figures as JSON text; equal figures give equal bytes."""
    body = month.model_dump()
    if month.schema_version < CROSSINGS_MEASURED:
        for crossing in body["crossings"]:
            del crossing["measured"]
    return json.dumps(body, ensure_ascii=False, sort_keys=True, indent=1) + "\n"


def from_text(text: str) -> MonthPart:
    """Return what ``to_text`` wrote. Raises ValueError for anything else."""
    try:
        return MonthPart.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"].removeprefix("Value error, ")) from error


def of_operator(month: MonthPart, operator: str) -> MonthPart:
    """Return the month with this operator's links alone: no other's figures, and no crossings, which are of two."""
    links = tuple(link for link in month.links if link.operator == operator)
    own = {link.link for link in links}
    return month.model_copy(
        update={
            "operator": operator,
            "operators": tuple(each for each in month.operators if each.operator == operator),
            "links": links,
            "crossings": (),
            "entries": tuple(entry for entry in month.entries if entry.link in own),
            "announced": tuple(each for each in month.announced if each.link in own),
        }
    )
