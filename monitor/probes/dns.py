"""Does a DNS server give the answer that is expected of it, and how fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.clients.dns import DnsReply, normal, question
from monitor.errors import TargetError
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 64
FEW = 5
NOERROR = "NOERROR"


@dataclass(frozen=True, slots=True)
class DnsParams:
    """What to ask a server for, and what it must say; ``expect`` empty: any records, but some."""

    address: str
    port: int
    name: str
    record: str = "A"
    expect: tuple[str, ...] = ()
    rcode: str = NOERROR
    recursive: bool = False


class DnsProbe:
    """Asks each server its question."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:  # noqa: ARG002 - as every probe is made
        """Prepare; a question needs no secret."""
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a target: ``duration_seconds``, ``records``, the fact ``rcode``."""
        async for observation in each(targets, self._ask, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Nothing is kept."""

    async def _ask(self, target: Target) -> Observation:
        params: DnsParams = target.params
        started = self._clock.monotonic()
        try:
            reply = await question(
                params.address, params.port, params.name, params.record, target.deadline_s, recursive=params.recursive
            )
        except TargetError as error:
            return failed(target, self._clock.now(), error)
        reason = _amiss(reply, params)
        return Observation(
            target.subject,
            target.probe,
            self._clock.now(),
            Answer.FAILED if reason else Answer.OK,
            reason,
            {"duration_seconds": self._clock.monotonic() - started, "records": float(len(reply.records))},
            {"rcode": reply.rcode},
        )


def _amiss(reply: DnsReply, params: DnsParams) -> str:
    """Say in what way a reply is not what was expected; empty when it is."""
    asked = f"{params.record} of {params.name}"
    if reply.rcode != params.rcode:
        return f"answered {reply.rcode} instead of {params.rcode} for {asked}"
    if params.rcode != NOERROR:
        return ""
    if not reply.records:
        return f"has no {asked}"
    expected = {normal(each) for each in params.expect}
    if not expected or expected == set(reply.records):
        return ""
    more, less = sorted(set(reply.records) - expected), sorted(expected - set(reply.records))
    found = [f"{_few(more)} was not expected"] if more else []
    found += [f"{_few(less)} is missing"] if less else []
    return f"{asked}: {', '.join(found)}"


def _few(records: Sequence[str]) -> str:
    shown = ", ".join(records[:FEW])
    return shown + (f" and {len(records) - FEW} more" if len(records) > FEW else "")
