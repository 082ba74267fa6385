"""How long a standby has been behind, and answers that no honest server gives."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clients import postgresql
from monitor.clients.postgresql import read
from monitor.credential import Secret
from monitor.errors import GarbledReply
from monitor.probes.postgresql import MOST_SAMPLES, Trail

GOOD = {
    "standby": False, "here": 50_331_648, "replayed": None, "replayed_age_s": None, "paused": False, "receiver": None,
    "waits_for": "", "standbys": [{"state": "streaming", "sync": "async", "replayed": 50_331_648}],
    "slots": [{"status": "reserved", "retained": 16_777_216}],
}  # fmt: skip


@given(st.lists(st.tuples(st.floats(0.1, 100), st.integers(0, 50)), min_size=1, max_size=60), st.data())
def test_behind_is_never_more_than_it_was_and_never_less_by_more_than_a_poll(
    steps: list[tuple[float, int]], data: st.DataObject
) -> None:
    """The log grows between polls; what is told lies between the moment before and the moment when it was seen."""
    trail, at, end = Trail(), 0.0, 1000
    seen = []
    for wait_s, grown in steps:
        at, end = at + wait_s, end + grown
        trail.take(at, end)
        seen.append((at, end))
    applied = data.draw(st.integers(seen[0][1], end))
    told, known = trail.behind_s(at, applied)
    longer = [when for when, length in seen if length > applied]
    assert told == (at - longer[0] if longer else 0.0)
    assert known
    trail.forget(applied)
    assert trail.behind_s(at, applied) == (told, True)


def test_what_began_before_the_first_look_is_not_called_known() -> None:
    trail = Trail()
    trail.take(10.0, 500)
    assert trail.behind_s(10.0, 400) == (0.0, False)
    assert trail.behind_s(70.0, 400) == (60.0, False)
    assert trail.behind_s(70.0, 500) == (0.0, True)


def test_a_shorter_log_is_another_log() -> None:
    trail = Trail()
    trail.take(1.0, 500)
    trail.take(2.0, 100)
    assert trail.samples == [(2.0, 100)]


@given(st.integers(0, 4 * MOST_SAMPLES))
def test_a_trail_stays_short_and_keeps_its_beginning(polls: int) -> None:
    trail = Trail()
    for poll in range(polls):
        trail.take(float(poll), poll)
    assert len(trail.samples) <= MOST_SAMPLES
    if polls:
        assert trail.samples[0] == (0.0, 0)
        assert trail.samples[-1][1] == polls - 1


def test_a_good_answer() -> None:
    found = read(json.loads(json.dumps(GOOD)))
    assert (found.standby, found.here, found.retained, found.blind) == (False, 50_331_648, 16_777_216, False)


@pytest.mark.parametrize(
    "change",
    [{"here": None}, {"here": "x"}, {"here": True}, {"here": 2**70}, {"standbys": {}}, {"standbys": [1]},
     {"slots": [{}] * 101}, {"standby": None}, {"paused": 1}, {"replayed_age_s": "now"}, {"receiver": 7},
     {"replayed_age_s": 10**400}, {"replayed_age_s": -(10**400)}, {"replayed_age_s": float("nan")}],
    ids=str,
)  # fmt: skip
def test_a_bad_one_is_garbage(change: dict[str, object]) -> None:
    with pytest.raises(GarbledReply):
        read(GOOD | change)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(sorted(GOOD)), inner)))  # fmt: skip
def test_whatever_comes_is_read_or_refused(found: object) -> None:
    with contextlib.suppress(GarbledReply):
        read(found)


@pytest.mark.anyio
@pytest.mark.parametrize("body", ["[" * 200_000, '{"here": ' + "9" * 5000 + "}", "{"])
async def test_json_that_cannot_be_read_is_garbage(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Connection:
        async def close(self) -> None:
            pass

    async def connect(*_: object) -> Connection:
        return Connection()

    async def ask(_: object) -> object:
        return json.loads(body)

    monkeypatch.setattr(postgresql, "_connect", connect)
    monkeypatch.setattr(postgresql, "_ask", ask)
    place = postgresql.Place("127.0.0.1", 1, "", "karaula", "postgres")
    with pytest.raises(GarbledReply, match="cannot be read"):
        await postgresql.replication(place, Secret("x"), Path("ca.pem"), 20.0)
