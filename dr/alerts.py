"""Alerts of others (Alertmanager's webhooks) as one more source of alarms: taken, told apart, and let go again.

An alert is one raising of one fingerprint; the same one told again, as Alertmanager does while it fires, changes
nothing but how long it is believed. Only what some response asks for is kept. An alert is never trusted more than an
alarm of our own: it stands from when it was heard here, and whatever begins by itself needs the same votes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitor.inventory.behaviour import Response
from monitor.printable import printable

PREFIX = "alert:"
MOST = 1000
LONGEST_REASON = 300
_REF = re.compile(r"alert:([0-9a-f]{1,32}):(.{1,64})")


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as it was told: ``starts_at`` is Alertmanager's own text and only compared, never reckoned with."""

    fingerprint: str
    starts_at: str
    firing: bool
    labels: Mapping[str, str]
    summary: str

    @property
    def ref(self) -> str:
        """Return what tells this raising from any other."""
        return f"{PREFIX}{self.fingerprint}:{self.starts_at}"


@dataclass(frozen=True, slots=True)
class Heard:
    """An alert that stands: since when, by our clock, and when it was told last."""

    alert: Alert
    since: float
    at: float

    @property
    def reason(self) -> str:
        """Return what to tell people, in one line."""
        name = self.alert.labels.get("alertname", "an alert")
        said = f"Alertmanager says {name}" + (f": {self.alert.summary}" if self.alert.summary else "")
        return printable(said)[:LONGEST_REASON]


class Alerts:
    """The alerts that stand and that a response asks for."""

    def __init__(self) -> None:
        """Begin with none."""
        self._heard: dict[str, Heard] = {}

    def standing(self) -> Sequence[Heard]:
        """Return them, oldest first."""
        return sorted(self._heard.values(), key=lambda heard: (heard.since, heard.alert.ref))

    def resume(self, refs: Iterable[str], now: float) -> None:
        """Believe, for as long as any other, alerts that runs of an earlier daemon still wait on."""
        for ref in refs:
            if found := _REF.fullmatch(ref):
                alert = Alert(found[1], found[2], True, {}, "told before the restart")  # noqa: FBT003 - it fires
                self._heard.setdefault(ref, Heard(alert, now, now))

    def take(self, told: Sequence[Alert], responses: Iterable[Response], now: float) -> tuple[int, int]:
        """Take in what was told; return how many alerts were kept or cleared, and how many nobody asks for.

        The same alert twice is one. What is resolved ends every raising of its fingerprint, whatever start it names:
        Alertmanager merges what it is told of one alert, and may move its start.
        """
        known = list(responses)
        used = 0
        for alert in told:
            if not alert.firing:
                ended = [ref for ref, heard in self._heard.items() if heard.alert.fingerprint == alert.fingerprint]
                used += bool(ended)
                for ref in ended:
                    del self._heard[ref]
            elif any(asks_for(response, alert.labels) for response in known) and self._room(alert.ref):
                before = self._heard.get(alert.ref)
                self._heard[alert.ref] = Heard(alert, now if before is None else before.since, now)
                used += 1
        return used, len(told) - used

    def forget(self, older_than_s: float, now: float) -> None:
        """Let go of what was not told again for so long: whoever told it is gone, or has forgotten."""
        self._heard = {ref: heard for ref, heard in self._heard.items() if abs(now - heard.at) <= older_than_s}

    def _room(self, ref: str) -> bool:
        return ref in self._heard or len(self._heard) < MOST


def asks_for(response: Response, labels: Mapping[str, str]) -> bool:
    """Tell whether the response is to alerts with these labels: all that it names must be there, word for word."""
    wanted = response.alert
    return bool(wanted) and all(labels.get(name) == value for name, value in (wanted or {}).items())
