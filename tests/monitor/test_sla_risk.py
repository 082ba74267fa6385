"""When an operator's agreement is at risk in a month, when it is broken, and that each is told once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sla_kit import LINK, OCTOBER, WHOLE, Books, flip, terms
from story_kit import Story, story
from watch_kit import REFUSES, estate

from monitor.alarms.book import Book, Circumstances
from monitor.inventory.crossings import Sla
from monitor.inventory.dependencies import ties
from monitor.sla import office
from monitor.sla.measure import BOUNDS_MS, Quarter
from monitor.sla.period import HOUR_US, MINUTE_US
from monitor.sla.report import month_report
from monitor.sla.risk import AT_RISK, BREACHED, conditions
from monitor.sla.terms import Agreement
from monitor.status.alarm import Condition
from monitor.status.state import Health, Status

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.inventory.model import Inventory

DAY_US = 24 * HOUR_US
ALLOWED_US = (WHOLE.end_us - WHOLE.start_us) // 1000  # 99.9 %
NO_PROBES = (0, 0, 10, 10)


def quarters(until_us: int, each: tuple[int, int, int, int]) -> list[Quarter]:
    """Quarter hours of ``sent`` and ``lost`` probes, mean and smallest round trip in ms."""
    sent, lost, mean_ms, least_ms = each
    counts = (sent, *([0] * len(BOUNDS_MS)))
    size_us = 15 * MINUTE_US
    return [
        Quarter(LINK, index, 1, sent, lost, 0, (sent - lost) * mean_ms * 1000, least_ms * 1000, mean_ms * 1000, counts)
        for index in range(WHOLE.start_us // size_us, until_us // size_us)
        if sent
    ]


def holds(folder: Path, lost_us: int, until_us: int, each: tuple[int, int, int, int] = NO_PROBES) -> Any:
    """Return what is at risk and what is broken of LINK, when so much was lost up to ``until_us``, and the words."""
    books = Books(folder)
    try:
        began = WHOLE.start_us + HOUR_US
        flips = [flip(LINK, Health.DOWN, began), flip(LINK, Health.OK, began + lost_us)] if lost_us else []
        books.watch(1, WHOLE.start_us - HOUR_US, until_us, flips, terms(1, Agreement(99.9, 20.0, 0.5, False)))
        books.write(list(quarters(until_us, each)))
        records = books.archive.records(WHOLE)
        assert records is not None
        found = {(one.name, one.subject): one for one in conditions(month_report(OCTOBER, records))}
        risk, breach = found[AT_RISK, LINK], found[BREACHED, LINK]
        return risk.holds, breach.holds, breach.words if breach.holds else risk.words
    finally:
        books.close()


@pytest.mark.parametrize(
    ("part", "expected"),
    [(0.0, (False, False)), (0.5, (False, False)), (0.7, (None, False)), (0.8, (True, False)), (1.1, (True, True))],
)
def test_lost_time_is_a_budget(tmp_path: Path, part: float, expected: tuple[bool | None, bool]) -> None:
    risk, breach, words = holds(tmp_path, int(part * ALLOWED_US), WHOLE.start_us + 3 * DAY_US)
    assert (risk, breach) == expected
    if breach:
        assert words == "Operator A at Crossing 0 (primary) in 2026-10: 49 min lost of the 45 min that 99.9 % allow"


@pytest.mark.parametrize(
    ("days", "each", "expected"),
    [
        (3, (450, 0, 10, 8), (False, False)),
        (3, (450, 4, 10, 8), (False, False)),  # 0.89 %, but of three days only
        (20, (450, 3, 10, 8), (True, False)),  # 0.67 % of twenty days, 0.5 % of the whole month are allowed
        (25, (450, 3, 10, 8), (True, True)),
        (3, (450, 0, 21, 8), (True, False)),  # slower than the agreed 20 ms, which the rest of the month can mend
        (3, (450, 0, 30, 28), (True, True)),  # never faster than 28 ms
        (30, (450, 0, 24, 10), (True, True)),  # no time left to mend it
        (0.8, (450, 0, 30, 28), (False, False)),  # not measured for a day yet
        (3, (450, 0, 20, 8), (None, False)),  # just kept: as it was said before
    ],
)
def test_loss_and_round_trip(
    tmp_path: Path, days: float, each: tuple[int, int, int, int], expected: tuple[bool | None, bool]
) -> None:
    assert holds(tmp_path, 0, WHOLE.start_us + int(days * DAY_US), each)[:2] == expected


TIES = ties(estate())
OURS = "link/blace/primary"
KNOWN = {OURS: Status(OURS, Health.OK, "", 0, 0)}


def asked(risk: bool | None, breach: bool | None) -> Circumstances:
    return Circumstances(
        agreements=(Condition(AT_RISK, OURS, risk, "the words"), Condition(BREACHED, OURS, breach, "the words"))
    )


@given(st.lists(st.tuples(st.sampled_from((True, False, None)), st.booleans()) | st.none(), max_size=20))
def test_each_stands_from_when_it_holds_until_it_does_not(course: list[tuple[bool | None, bool] | None]) -> None:
    """None: the month is not reckoned, as in the first seconds after a start; then nothing changes."""
    book = Book()
    stand = {AT_RISK: False, BREACHED: False}
    for now, step in enumerate(course):
        book = Book(book.standing())  # a restart
        changes = book.update(KNOWN, TIES, now, 30, Circumstances() if step is None else asked(*step))
        before = dict(stand)
        if step is not None:
            stand = {name: stand[name] if holds is None else holds for name, holds in zip(stand, step, strict=True)}
        assert {alarm.name for alarm in book.standing()} == {name for name, on in stand.items() if on}
        assert {alarm.name for alarm in changes.raised} == {
            name for name, on in stand.items() if on and not before[name]
        }
        assert {alarm.name for alarm in changes.cleared} == {name for name, on in before.items() if on > stand[name]}
        causes = {alarm.name: alarm.cause for alarm in book.standing()}
        assert causes.get(AT_RISK, "") == (f"{BREACHED} {OURS}" if BREACHED in causes and AT_RISK in causes else "")


def test_a_link_that_is_gone_and_one_that_cannot_be_seen() -> None:
    book = Book()
    book.update(KNOWN, TIES, 1, 30, asked(risk=True, breach=False))
    blind = Circumstances(blind=frozenset({OURS}), agreements=asked(risk=False, breach=True).agreements)
    assert not book.update(KNOWN, TIES, 2, 30, blind).raised
    assert [alarm.name for alarm in book.standing()] == [AT_RISK]
    other = ties(estate().model_copy(update={"links": {}, "crossings": {}, "groups": {}}))
    assert [alarm.note for alarm in book.update({}, other, 3, 30).cleared] == ["no longer in the inventory"]


def strict() -> Inventory:
    """The shipped estate, where an operator promised to be down for 26 s a month at most."""
    pair = estate().links["pelince"]
    sla = Sla(availability_percent=99.999, rtt_ms=60, loss_percent=0.5)
    primary = pair.primary.model_copy(update={"sla": sla})
    links = {**estate().links, "pelince": pair.model_copy(update={"primary": primary})}
    return estate().model_copy(update={"links": links})


@pytest.mark.anyio
async def test_people_are_told_once_that_it_is_at_risk_and_once_that_it_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(office, "REFRESH_SHARE", 0.0)  # of a time that the test moves

    risk, breach = f"{AT_RISK} link/pelince/primary", f"{BREACHED} link/pelince/primary"

    def told(it: Story) -> list[tuple[str, str]]:
        return [(key, event) for key, event in it.post.told if key.startswith("sla-")]

    async with story(tmp_path, strict()) as it:
        await it.live(70)
        it.world.set(REFUSES, "link/pelince/primary")
        await it.live(24)
        it.world.set(None, "link/pelince/primary")
        await it.until(lambda: told(it), 300)
        assert told(it) == [(risk, "raised")]
        it.world.set(REFUSES, "link/pelince/primary")
        await it.until(lambda: len(told(it)) > 1, 300)
        await it.live(30)
        assert told(it) == [(risk, "raised"), (breach, "raised")]
        assert it.standing()[risk] == breach
        assert it.standing()[breach] == "", "nothing that the link does now explains it"
    async with story(tmp_path, strict(), it.world, it.post) as again:
        again.world.set(None, "link/pelince/primary")
        await again.live(60)
        assert told(again) == [(risk, "raised"), (breach, "raised")], "a restart says nothing again"
        assert {risk, breach} <= again.standing().keys()
