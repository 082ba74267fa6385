"""What the watch tells of fencing tokens (the highest, and whether enough was asked to be sure of it) and of power."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from estate_kit import REPOSITORY

from console.seen import epoch_known, epoch_seen
from console.sight import observed
from monitor.clients.redfish import OutletGroup, noted
from monitor.inventory.read import read
from monitor.probe import Answer, Observation
from monitor.status.state import Health, Status

ESTATE = read(REPOSITORY / "inventory.yaml")
MAIN, DR = "database/ncts/main", "database/ncts/dr"


@dataclass
class Watched:
    newest: dict[str, Observation] = field(default_factory=dict)
    good: dict[str, Observation] = field(default_factory=dict)
    subjects: frozenset[str] = frozenset({MAIN, DR})

    def status(self, subject: str) -> Any:
        return "watched" if subject in self.subjects else None

    def observation(self, subject: str) -> Observation | None:
        return self.newest.get(subject)

    def last_good(self, subject: str) -> Observation | None:
        return self.good.get(subject)


def told(subject: str, epoch: int | None) -> Observation:
    answer = Answer.FAILED if epoch is None else Answer.OK
    return Observation(subject, "ssh", 0.0, answer, values={} if epoch is None else {"epoch": float(epoch)})


def both(watch: Any) -> tuple[bool, int]:
    return epoch_known(watch, ESTATE, "ncts"), epoch_seen(watch, ESTATE, "ncts")


def test_tokens_are_known_when_all_were_asked_and_one_has_told() -> None:
    watch = Watched()
    assert both(watch) == (False, 0)
    watch.newest[MAIN] = told(MAIN, 3)  # an old primary alone may have been left behind
    assert both(watch) == (False, 3)
    watch.newest[DR] = told(DR, 7)
    assert both(watch) == (True, 7)
    watch.newest[MAIN] = told(MAIN, None)
    assert both(watch) == (True, 7)


def test_silence_alone_tells_nothing_and_what_was_heard_before_still_counts() -> None:
    watch = Watched({MAIN: told(MAIN, None), DR: told(DR, None)})
    assert both(watch) == (False, 0)
    watch.good[DR] = told(DR, 7)
    assert both(watch) == (True, 7)


def test_what_another_daemon_watches_is_not_waited_for() -> None:
    assert both(Watched(subjects=frozenset())) == (True, 0)


def test_a_side_has_power_since_its_own_outlets_were_last_read_to_be_on() -> None:
    def told_of(subject: str, group: str, power: str) -> dict[str, str]:
        facts, values = noted(group, OutletGroup(power, 0.0))
        read = Observation("power/pdu-main", "outlets", 12.5, Answer.OK, "", values, facts)
        watch: Any = Watched({"power/pdu-main": read})
        watch.status = lambda subject: Status(subject, Health.DOWN, "", 0.0, 0.0)
        return observed(watch, ESTATE, subject)

    assert told_of(MAIN, "ncts", "On") == {"status": "down", "powered_at": "12.5"}
    assert told_of("front/ncts/main", "ncts", "On") == {"status": "down", "powered_at": "12.5"}
    for subject, group, power in (
        (MAIN, "ncts", "Off"),
        (MAIN, "cdeps", "On"),
        (DR, "ncts", "On"),
        ("system/ncts", "ncts", "On"),
        ("front/ncts/moon", "ncts", "On"),
    ):
        assert told_of(subject, group, power) == {"status": "down"}
    assert observed(Watched(), ESTATE, "front/ite/dr") == {}  # type: ignore[arg-type]  # as much of a watch as is asked
