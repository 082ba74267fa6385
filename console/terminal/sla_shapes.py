"""The shapes of ``/api/sla``'s answers, as far as the command line shows them (``monitor.sla.document`` has all)."""

from __future__ import annotations

from typing import TypedDict


class SlaTimes(TypedDict):
    """Microseconds of each kind."""

    up_us: int
    degraded_us: int
    down_us: int
    unknown_us: int
    planned_us: int
    excused_us: int
    total_us: int


class SlaAvailability(TypedDict):
    """Percent and its bounds."""

    percent: float | None
    at_worst_percent: float | None
    at_best_percent: float | None
    lost_us: int


class SlaAgreed(TypedDict):
    """The agreed figures."""

    availability_percent: float
    rtt_ms: float
    loss_percent: float


class SlaMeasured(TypedDict):
    """Loss and round trip."""

    loss_percent: float | None
    rtt_mean_ms: float | None


class SlaVerdict(TypedDict):
    """One agreed figure against the measured one."""

    what: str
    met: bool | None


class SlaOutage(TypedDict):
    """One outage."""

    start: str
    end: str
    start_us: int
    end_us: int
    reason: str
    kind: str
    still_on: bool


class SlaLink(TypedDict):
    """One link's month; the verdicts are availability, loss, round trip."""

    link: str
    operator: str
    agreed: SlaAgreed
    times: SlaTimes
    availability: SlaAvailability
    measured: SlaMeasured
    verdicts: list[SlaVerdict]
    budget_left_us: int
    outages: list[SlaOutage]


class SlaCrossing(TypedDict):
    """One crossing's month; ``measured`` is of both links together, null in a month that was closed without it."""

    crossing: str
    availability: SlaAvailability
    measured: SlaMeasured | None


class SlaOperator(TypedDict):
    """One operator's month."""

    operator: str
    links: int
    links_in_breach: int
    availability: SlaAvailability
    measured: SlaMeasured


class SlaMonth(TypedDict):
    """A month's figures."""

    month: str
    start_us: int
    end_us: int
    until_us: int
    operators: list[SlaOperator]
    links: list[SlaLink]
    crossings: list[SlaCrossing]


class SlaSeal(TypedDict):
    """That a month is closed."""

    revision: int
    at: float
    why: str


class SlaAnswer(TypedDict):
    """``/api/sla``."""

    schema_version: int
    at: float
    months: list[str]
    sha256: str
    seal: SlaSeal | None
    trouble: str
    data: SlaMonth


class SlaEntry(TypedDict):
    """What a person entered."""

    number: int
    entered: str
    kind: str
    link: str
    start: str
    end: str
    reason: str
    by: str
    withdraws: int
    standing: bool


class SlaEntriesAnswer(TypedDict):
    """``/api/sla/entries``."""

    schema_version: int
    at: float
    entries: list[SlaEntry]
