"""Does a DNS server give the answer that is expected of it, and how fast; does it serve its zones.

A server serves a zone when it gives the zone's SOA on its own authority (RFC 1035), by UDP as clients ask and by TCP as
updates go. By TCP the question is signed with the key of updates (RFC 8945): whoever takes the key signs the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from monitor.clients.dns import DnsReply, normal, question
from monitor.errors import CredentialError, Refused, TargetError
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
SERIAL = 2  # the place of the serial number in an SOA record


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


@dataclass(frozen=True, slots=True)
class ZonesParams:
    """An authoritative server, the zones that it must serve, and the key that it takes updates with."""

    address: str
    port: int
    zones: tuple[str, ...]
    tsig_name: str = ""
    tsig_credential: str = ""


@dataclass(slots=True)
class Heard:
    """What a server has said so far: the serials of its zones, what is amiss, whether it takes the key."""

    serials: list[str] = field(default_factory=list)
    amiss: list[str] = field(default_factory=list)
    key: dict[str, str] = field(default_factory=dict)

    def facts(self) -> dict[str, str]:
        """Return ``serials``, and ``key`` (``accepted``) or ``key_refused``, where they are known."""
        return ({"serials": ", ".join(self.serials)} if self.serials else {}) | self.key


REFUSALS = {
    "REFUSED": "refuses to answer: it does not serve the zone, or not to this machine",
    "SERVFAIL": "cannot answer: the zone is not loaded, or has expired there",
    "NXDOMAIN": "says that there is no such zone",
    "NOTAUTH": "says that it does not serve the zone",
}
LAME = "answers, but not on its own authority: the zone is not served there (lame delegation)"


class DnsProbe:
    """Asks each server its question."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:  # noqa: ARG002 - as every probe is made
        """Prepare; the key of updates is read at each question that is signed with it."""
        self._credentials = credentials
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a target.

        Of a question ``duration_seconds``, ``records`` and the facts ``rcode`` and ``records``; of zones ``serials``.
        """
        async for observation in each(targets, self._told, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Nothing is kept."""

    async def _told(self, target: Target) -> Observation:
        params = target.params
        return await (self._zones(target, params) if isinstance(params, ZonesParams) else self._ask(target, params))

    async def _zones(self, target: Target, params: ZonesParams) -> Observation:
        """Ask for every zone's SOA, by UDP and by TCP."""
        started = self._clock.monotonic()
        heard = Heard()
        try:
            for zone in params.zones:
                for by_tcp in (False, True):
                    left_s = max(0.0, target.deadline_s - (self._clock.monotonic() - started))
                    wrong, serial = _served(await self._soa(params, zone, left_s, heard, by_tcp=by_tcp))
                    if wrong:
                        heard.amiss.append(f"asked for {zone} by {'TCP' if by_tcp else 'UDP'}, it {wrong}")
                        break
                else:
                    heard.serials.append(f"{zone} {serial}")
        except TargetError as error:
            told = failed(target, self._clock.now(), error)
            return replace(told, reason=f"{error} (asked for {zone} by {'TCP' if by_tcp else 'UDP'})")
        return Observation(
            target.subject,
            target.probe,
            self._clock.now(),
            Answer.FAILED if heard.amiss else Answer.OK,
            "; ".join(heard.amiss),
            {"duration_seconds": self._clock.monotonic() - started},
            heard.facts(),
        )

    async def _soa(self, params: ZonesParams, zone: str, left_s: float, heard: Heard, *, by_tcp: bool) -> DnsReply:
        """Ask for a zone's SOA; by TCP signed, and without the key once it was refused. Raises TargetError."""
        where = (params.address, params.port, zone, "SOA", left_s)
        if by_tcp and params.tsig_name and "key_refused" not in heard.key:
            try:
                secret = self._credentials.secret(params.tsig_credential)
                reply = await question(*where, by_tcp=True, key=(params.tsig_name, secret))
            except (Refused, CredentialError) as error:
                heard.key = {"key_refused": str(error)}
            else:
                heard.key = {"key": "accepted"} if reply.signed else {}
                return reply
        return await question(*where, by_tcp=by_tcp)

    async def _ask(self, target: Target, params: DnsParams) -> Observation:
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
            {"rcode": reply.rcode, **({"records": _few(sorted(reply.records))} if reply.records else {})},
        )


def _served(reply: DnsReply) -> tuple[str, str]:
    """Say why a reply is no word of a server about a zone of its own; empty, with the serial, when it is."""
    if reply.rcode != NOERROR:
        return REFUSALS.get(reply.rcode, f"answers {reply.rcode}"), ""
    if not reply.authoritative or not reply.records:
        return LAME, ""
    return "", reply.records[0].split()[SERIAL]


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
