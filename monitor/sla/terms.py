"""What was agreed on, as the ledger keeps it: links, operators, service levels, and how links are measured. Pure.

The ledger keeps every version with its time, so that a month is always reckoned by what held in it, whatever the
inventory says later; a link taken out of the inventory stays in the months in which it was there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from monitor.status.evaluate import sla_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from monitor.inventory.crossings import Sla
    from monitor.inventory.model import Inventory


@dataclass(frozen=True, slots=True)
class Agreement:
    """A service level for a calendar month; percent and milliseconds as in the inventory."""

    availability_percent: float
    rtt_ms: float
    loss_percent: float
    degraded_is_down: bool


@dataclass(frozen=True, slots=True)
class LinkTerms:
    """One link: whose it is, where it ends, what was agreed."""

    subject: str
    crossing: str
    which: str
    operator: str
    agreed: Agreement


@dataclass(frozen=True, slots=True)
class OperatorTerms:
    """An operator as people call it."""

    key: str
    name: str
    contact: str


@dataclass(frozen=True, slots=True)
class Method:
    """How links are measured; seconds, and numbers of measurements in a row."""

    interval_s: float
    deadline_s: float
    fail_after: int
    recover_after: int
    stale_after_s: float


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything that a month is reckoned by, beside what was measured."""

    estate: str
    zone: str
    method: Method
    crossings: tuple[tuple[str, str], ...]
    operators: tuple[OperatorTerms, ...]
    links: tuple[LinkTerms, ...]


def terms_of(inventory: Inventory) -> Terms:
    """Return the terms that stand in ``inventory``."""
    polling = inventory.polling
    return Terms(
        estate=inventory.estate.name,
        zone=inventory.estate.timezone,
        method=Method(
            polling.interval_s, polling.deadline_s, polling.fail_after, polling.recover_after, polling.stale_after_s
        ),
        crossings=tuple((key, crossing.name) for key, crossing in inventory.crossings.items()),
        operators=tuple(
            OperatorTerms(key, operator.name, operator.contact) for key, operator in inventory.operators.items()
        ),
        links=tuple(
            LinkTerms(f"link/{key}/{which}", key, which, link.operator, _agreed(sla_of(inventory, key, which)))
            for key, pair in inventory.links.items()
            for which, link in (("primary", pair.primary), ("backup", pair.backup))
        ),
    )


def _agreed(sla: Sla) -> Agreement:
    return Agreement(sla.availability_percent, sla.rtt_ms, sla.loss_percent, sla.degraded_is_down)


def joined(versions: Iterable[Terms]) -> Terms:
    """Return the last of ``versions`` (in order, at least one) with what only earlier ones had added to it."""
    every = list(versions)
    crossings: dict[str, tuple[str, str]] = {}
    operators: dict[str, OperatorTerms] = {}
    links: dict[str, LinkTerms] = {}
    for terms in every:
        crossings |= {item[0]: item for item in terms.crossings}
        operators |= {item.key: item for item in terms.operators}
        links |= {item.subject: item for item in terms.links}
    last = every[-1]
    return replace(
        last,
        crossings=tuple(crossings.values()),
        operators=tuple(operators.values()),
        links=tuple(links.values()),
    )


def to_text(terms: Terms) -> str:
    """Return the terms as the ledger keeps them; equal terms give equal text."""
    return json.dumps(asdict(terms), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def from_text(text: str) -> Terms:
    """Return what ``to_text`` wrote. Raises ValueError, KeyError or TypeError for anything else."""
    body: Mapping[str, Any] = json.loads(text)
    return Terms(
        estate=body["estate"],
        zone=body["zone"],
        method=Method(**body["method"]),
        crossings=tuple((key, name) for key, name in body["crossings"]),
        operators=tuple(OperatorTerms(**operator) for operator in body["operators"]),
        links=tuple(LinkTerms(**{**link, "agreed": Agreement(**link["agreed"])}) for link in body["links"]),
    )
