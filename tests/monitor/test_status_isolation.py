"""What the lookout believes when the clock is set: an answer that is dated in the future vouches for nothing."""

from __future__ import annotations

import pytest

from monitor.probe import Answer, Observation
from monitor.status.isolation import Lookout, Rules

ANCHOR, TARGET = "anchor/gateway", "host/web"
FAR = frozenset({TARGET, "host/db", "dns/one"})


def hear(lookout: Lookout, subject: str, at: float, answer: Answer = Answer.OK) -> None:
    lookout.hear(Observation(subject, "icmp", at, answer))


@pytest.fixture
def lookout() -> Lookout:
    """All answered at 1000; then the clock was set back to 500, and the uplink was cut."""
    made = Lookout(Rules(frozenset({ANCHOR}), 1, 0.9, frozenset(), FAR))
    for subject in (ANCHOR, *sorted(FAR)):
        hear(made, subject, 1000.0)
    return made


def test_a_failure_after_the_clock_was_set_back_is_not_vouched_for_by_an_answer_of_before(lookout: Lookout) -> None:
    hear(lookout, TARGET, 501.0, Answer.FAILED)
    assert not lookout.believable(TARGET, 501.0), "nobody was heard since"
    for subject in (ANCHOR, "host/db", "dns/one"):
        hear(lookout, subject, 502.0, Answer.FAILED)
    assert not lookout.believable(TARGET, 501.0), "and now it is known that nobody answers"
    hear(lookout, ANCHOR, 503.0)
    assert lookout.believable(TARGET, 501.0)


def test_nor_when_the_clock_has_come_there_again(lookout: Lookout) -> None:
    for subject in (ANCHOR, *sorted(FAR)):
        hear(lookout, subject, 502.0, Answer.FAILED)
    hear(lookout, TARGET, 999.0, Answer.FAILED)
    assert not lookout.believable(TARGET, 999.0), "the answer of 1000 was given before the clock was set back"


def test_answers_that_come_in_another_order_than_they_were_given_vouch_all_the_same(lookout: Lookout) -> None:
    hear(lookout, TARGET, 1003.0, Answer.FAILED)
    hear(lookout, ANCHOR, 1005.0)
    hear(lookout, "dns/one", 1004.5)
    hear(lookout, "host/db", 1006.0)
    assert lookout.believable(TARGET, 1003.0)
