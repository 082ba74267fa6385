"""Which pauses are about to end, so that people know that responses act again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.journal.pause import EVERYTHING, WARN_S, Pause, ending

HOUR_S = 3600.0


def pause(system: str, ends: float, since: float = 0.0) -> Pause:
    return Pause(system, "vera", "works", since, ends)


@pytest.mark.parametrize(
    ("pauses", "now", "told"),
    [
        ([pause("ncts", 2 * HOUR_S)], 2 * HOUR_S - WARN_S - 1, []),
        ([pause("ncts", 2 * HOUR_S)], 2 * HOUR_S - WARN_S, ["ncts"]),
        ([pause("ncts", 2 * HOUR_S)], 2 * HOUR_S, []),
        ([pause("ncts", 600)], 449, []),
        ([pause("ncts", 600)], 450, ["ncts"]),
        ([pause("ncts", HOUR_S), pause("ncts", 3 * HOUR_S)], HOUR_S - 60, []),
        ([pause("ncts", HOUR_S), pause(EVERYTHING, 3 * HOUR_S)], HOUR_S - 60, []),
        ([pause("ncts", 3 * HOUR_S), pause(EVERYTHING, HOUR_S)], HOUR_S - 60, [EVERYTHING]),
        ([pause("ncts", HOUR_S), pause("ite", HOUR_S + 60)], HOUR_S - 60, ["ite", "ncts"]),
    ],
)
def test_the_end_of_the_last_pause_that_covers_something_is_told(
    pauses: list[Pause], now: float, told: list[str]
) -> None:
    assert [each.system for each in ending(pauses, now)] == told


PAUSES = st.builds(pause, st.sampled_from(["ncts", "ite", EVERYTHING]), st.floats(1, 3 * HOUR_S), st.floats(-HOUR_S, 0))


@given(st.lists(PAUSES, max_size=5), st.floats(0, 3 * HOUR_S))
def test_what_is_told_is_in_force_and_ends_soon(pauses: list[Pause], now: float) -> None:
    for each in ending(pauses, now):
        assert each in pauses
        assert 0 < each.expires_at - now <= WARN_S
        assert not any(
            other.system in {each.system, EVERYTHING} and other.expires_at > each.expires_at for other in pauses
        )
