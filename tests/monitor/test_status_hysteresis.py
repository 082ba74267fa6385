"""When a changed answer is believed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from monitor.status.hysteresis import Judgement, Memory, Rules, expired, judged, unseen
from monitor.status.state import Health

RULES = Rules(fail_after=2, recover_after=3, stale_after_s=10)
LETTERS = {"o": Health.OK, "d": Health.DEGRADED, "x": Health.DOWN, "?": Health.UNKNOWN}


def play(story: str, rules: Rules = RULES, memory: Memory | None = None, step_s: float = 1.0) -> str:
    """Feed one judgement a second and return the health after each, in the same letters."""
    memory = memory or unseen("host/a", 0)
    shown = ""
    for second, letter in enumerate(story, 1):
        at = second * step_s
        memory = expired(memory, at, rules)
        memory = judged(memory, Judgement(LETTERS[letter], f"{letter} at {second}"), at, rules)
        shown += next(key for key, health in LETTERS.items() if health is memory.status.health)
    return shown


def test_the_first_ok_is_believed_at_once_and_the_first_failure_is_not() -> None:
    assert play("oo") == "oo"
    assert play("xx") == "?x"


def test_a_lost_answer_flips_nothing_and_the_second_in_a_row_does() -> None:
    assert play("oxoxoxx") == "oooooox"


def test_recovery_needs_as_many_good_answers_in_a_row_as_was_asked_for() -> None:
    assert play("xxooxooo") == "?xxxxxxo"


def test_worse_news_of_two_kinds_is_believed_as_the_milder() -> None:
    assert play("oxd") == "ood"
    assert play("odx") == "ood"
    assert play("odxx") == "oodx"


def test_better_news_of_two_kinds_is_believed_as_the_worse() -> None:
    assert play("xxodo") == "?xxxd"


def test_what_is_not_known_turns_into_unknown_and_never_into_better() -> None:
    assert play("o??") == "oo?"
    assert play("xx??") == "?xx?"
    assert play("xx?o?o?o", Rules(3, 3, 100)) == "????????"  # never enough of one kind in a row


def test_after_unknown_the_first_ok_is_not_enough() -> None:
    assert play("o??ooo") == "oo???o"


def test_since_is_when_this_health_began_and_seen_when_it_was_last_confirmed() -> None:
    memory = unseen("host/a", 0)
    for at in (1.0, 2.0, 3.0):
        memory = judged(memory, Judgement(Health.OK), at, RULES)
    assert (memory.status.since, memory.status.seen_at) == (1.0, 3.0)
    memory = judged(memory, Judgement(Health.DOWN, "refused"), 4.0, RULES)
    assert (memory.status.health, memory.status.seen_at) == (Health.OK, 3.0)
    memory = judged(memory, Judgement(Health.DOWN, "refused again"), 5.0, RULES)
    assert (memory.status.since, memory.status.reason) == (5.0, "refused again")


def test_silence_says_since_when() -> None:
    memory = judged(unseen("host/a", 0), Judgement(Health.OK), 1_790_000_000, RULES)
    assert expired(memory, 1_790_000_010, RULES) is memory
    late = expired(memory, 1_790_000_010.1, RULES).status
    assert (late.health, late.reason) == (Health.UNKNOWN, "no answer since 2026-09-21 14:13:20 UTC")
    assert late.seen_at == 1_790_000_000


def test_an_answer_from_the_future_is_not_trusted_for_ever() -> None:
    memory = judged(unseen("host/a", 0), Judgement(Health.OK), 3600, RULES)
    assert expired(memory, 3595, RULES) is memory  # the clock was set back a little
    assert expired(memory, 0, RULES).status.health is Health.UNKNOWN


def test_an_ok_that_is_not_confirmed_any_more_says_what_came_instead() -> None:
    memory = judged(unseen("host/a", 0), Judgement(Health.OK), 0, Rules(5, 1, 10))
    memory = judged(memory, Judgement(Health.DOWN, "refused"), 9, Rules(5, 1, 10))
    assert expired(memory, 11, Rules(5, 1, 10)).status.reason == "not ok since 1970-01-01 00:00:00 UTC: refused"


rules = st.builds(Rules, st.integers(1, 5), st.integers(1, 5), st.floats(1, 60))
stories = st.lists(st.tuples(st.floats(0, 30), st.sampled_from(list(LETTERS.values())) | st.none()), max_size=60)


@given(rules, stories)
def test_ok_is_never_shown_without_a_fresh_ok(rules: Rules, story: list[tuple[float, Health | None]]) -> None:
    memory, now, last_ok = unseen("host/a", 0), 0.0, None
    for wait_s, health in story:
        now += wait_s
        memory = expired(memory, now, rules)
        if health is not None:
            memory = judged(memory, Judgement(health, "because"), now, rules)
            last_ok = now if health is Health.OK else last_ok
        if memory.status.health is Health.OK:
            assert last_ok is not None
            assert now - last_ok <= rules.stale_after_s


@given(rules, stories, st.data())
def test_fewer_bad_answers_than_asked_for_never_end_an_ok(
    rules: Rules, story: list[tuple[float, Health | None]], data: st.DataObject
) -> None:
    memory = unseen("host/a", 0)
    for second, (_, health) in enumerate(story):
        memory = judged(memory, Judgement(health or Health.OK, "r"), float(second), rules)
    for second in range(rules.recover_after):
        memory = judged(memory, Judgement(Health.OK), 100.0 + second / 100, rules)
    assert memory.status.health is Health.OK
    bad = st.sampled_from([Health.DEGRADED, Health.DOWN, Health.UNKNOWN])
    for health in data.draw(st.lists(bad, max_size=rules.fail_after - 1)):
        memory = judged(memory, Judgement(health, "r"), 100.5, rules)
        assert memory.status.health is Health.OK
    for _ in range(rules.fail_after):
        memory = judged(memory, Judgement(Health.DOWN, "r"), 100.6, rules)
    assert memory.status.health in (Health.DOWN, Health.DEGRADED, Health.UNKNOWN)


@given(rules, stories)
def test_health_and_since_change_together_and_only_forward(
    rules: Rules, story: list[tuple[float, Health | None]]
) -> None:
    memory, now = unseen("host/a", 0), 0.0
    for wait_s, health in story:
        now += wait_s
        before = memory.status
        memory = expired(memory, now, rules)
        if health is not None:
            memory = judged(memory, Judgement(health, "r"), now, rules)
        if memory.status.health is before.health and health is None:
            assert memory.status.since == before.since
        assert before.since <= memory.status.since <= now
