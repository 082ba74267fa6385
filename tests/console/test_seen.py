"""What the watch tells of fencing tokens: the highest, and whether enough was asked to be sure of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from estate_kit import REPOSITORY

from console.seen import epoch_known, epoch_seen
from monitor.inventory.read import read
from monitor.probe import Answer, Observation

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
