"""What does a PostgreSQL server say of its replication, and how far is a standby behind.

How far behind is measured, not taken from time stamps: a standby that has applied everything up to a position is behind
by the time since we first saw the log longer than that. The time stamp of the last applied transaction grows on an idle
primary, and the primary's own ``replay_lag`` stands still when replay does; neither says how far a standby is behind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from monitor.clients.postgresql import Place, Replication, replication
from monitor.errors import CredentialError, TargetError
from monitor.probe import Answer, Observation, each, failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 256  # so many that hang at once hold up nobody else
MOST_SAMPLES = 512


@dataclass(frozen=True, slots=True)
class PostgresqlParams:
    """A server and the reference of its user's password."""

    place: Place
    credential: str


@dataclass(slots=True)
class Trail:
    """When the log was how long, by our monotonic clock: (seconds, bytes), oldest first."""

    samples: list[tuple[float, int]] = field(default_factory=list)

    def take(self, at: float, end: int) -> None:
        """Remember that the log was ``end`` bytes long; a log that got shorter is another one, and begins anew."""
        if self.samples and end < self.samples[-1][1]:
            self.samples.clear()
        if not self.samples or end > self.samples[-1][1]:
            self.samples.append((at, end))
        if len(self.samples) > MOST_SAMPLES:  # the older half more coarsely
            half = MOST_SAMPLES // 2
            self.samples = self.samples[:half:2] + self.samples[half:]

    def behind_s(self, at: float, applied: int) -> tuple[float, bool]:
        """Return for how long at least a server that has applied ``applied`` bytes has been behind.

        And whether that is known: False when the log was longer already when we first looked.
        """
        for place, (seen_at, end) in enumerate(self.samples):
            if end > applied:
                return max(0.0, at - seen_at), place > 0
        return 0.0, True

    def forget(self, applied: int) -> None:
        """Drop what everybody has applied, but for the newest of it, which shows that the rest is complete."""
        done = sum(end <= applied for _, end in self.samples)
        del self.samples[: max(0, done - 1)]


class PostgresqlProbe:
    """Logs in anew each time: that the server takes a log-in is a part of the question."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:
        """Prepare; files are looked up when something is asked."""
        self._credentials = credentials
        self._ca = trust.tls_ca
        self._clock = clock
        self._trails: dict[str, Trail] = {}
        self._fed_at: dict[str, float] = {}

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a target.

        Facts: ``role``, ``waits`` (for synchronous standbys), ``blind`` (it may not see); of a standby ``paused`` and
        ``fed`` (it streams).
        Values: ``duration_seconds``, ``position``, ``retained_bytes``, ``slots_lost``, ``slots_losing``; of a primary
        ``standbys``, ``sync_standbys``; where it is known ``lag_bytes`` and ``lag_seconds`` (of the standby that is
        furthest behind); of a standby ``silent_seconds`` (since its sender was last heard).
        """
        async for observation in each(targets, self._ask, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _ask(self, target: Target) -> Observation:
        params: PostgresqlParams = target.params
        started = self._clock.monotonic()
        try:
            password, ca_file = self._credentials.secret(params.credential), self._credentials.path(self._ca)
            found = await replication(params.place, password, ca_file, target.deadline_s)
        except (TargetError, CredentialError) as error:
            return failed(target, self._clock.now(), error)
        now = self._clock.monotonic()
        values = {
            "duration_seconds": now - started,
            "position": float(found.here),
            "retained_bytes": float(found.retained),
            "slots_lost": float(found.slots_lost),
            "slots_losing": float(found.slots_losing),
        }
        facts = {
            "role": "standby" if found.standby else "primary",
            "waits": _word(found.waits),
            "blind": _word(found.blind),
        }
        trail = self._trails.setdefault(target.subject, Trail())
        if found.standby:
            values |= self._standby(target.subject, found, trail, now)
            facts["paused"] = _word(found.paused)
            facts["fed"] = _word(found.receiver is not None and found.receiver.streams)
        else:
            values |= _primary(found, trail, now)
        return Observation(target.subject, target.probe, self._clock.now(), Answer.OK, values=values, facts=facts)

    def _standby(self, subject: str, found: Replication, trail: Trail, now: float) -> dict[str, float]:
        receiver = found.receiver
        if receiver is None or not receiver.streams or receiver.told is None or found.replayed is None:
            # What the primary has written since, nobody here knows: no lag is better than a wrong one.
            return {"silent_seconds": now - self._fed_at.setdefault(subject, now)}
        self._fed_at[subject] = now
        end = max(receiver.told, found.here)
        trail.take(now, end)
        values = {
            "lag_bytes": float(max(0, end - found.replayed)),
            "silent_seconds": max(0.0, receiver.silent_s or 0.0),
        }
        lag_s, known = trail.behind_s(now, found.replayed)
        if not known and found.replayed_age_s is not None:  # longer ago than we have looked: the most that it can be
            lag_s = max(lag_s, found.replayed_age_s)
        trail.forget(found.replayed)
        return values | {"lag_seconds": lag_s}


def _primary(found: Replication, trail: Trail, now: float) -> dict[str, float]:
    streaming = [standby for standby in found.standbys if standby.streams]
    values = {
        "standbys": float(len(streaming)),
        "sync_standbys": float(sum(standby.synchronous for standby in streaming)),
    }
    trail.take(now, found.here)
    applied = [standby.replayed for standby in streaming if standby.replayed is not None]
    if applied:
        values["lag_bytes"] = float(max(0, found.here - min(applied)))
        values["lag_seconds"] = trail.behind_s(now, min(applied))[0]
        trail.forget(min(applied))
    return values


def _word(flag: bool) -> str:
    return "yes" if flag else "no"
