"""With a host lost: what is called room for it can be shown, machine by machine, and nothing counts on a sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_readiness import ESX_1, ESX_2, GIB, INVENTORY, MACHINES, WELL, esx, judged, known, vm

from dr.readiness.known import Sight
from dr.readiness.lights import Light
from dr.readiness.spare import Room, homeless, lacking
from monitor.status.state import Health

ONE_LOST = INVENTORY.model_copy(update={"readiness": INVENTORY.readiness.model_copy(update={"spare_hosts": 1})})
ESX_3, OTHER = "esx/vc-dr/esx-3", "vm/vc-dr/other"
SIZES = st.integers(1, 12).map(float)
ROOMS = st.lists(
    st.builds(
        lambda number, free, runs: Room(f"esx-{number}", free, free + sum(runs), tuple(runs)),
        st.integers(),
        st.integers(0, 16).map(float),
        st.lists(SIZES, max_size=2),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda room: room.host,
)


def fits(machines: Sequence[float], rooms: Sequence[float]) -> bool:
    """Try every way to place the machines."""
    for places in product(range(len(rooms)), repeat=len(machines)):
        taken = [0.0] * len(rooms)
        for memory, place in zip(machines, places, strict=True):
            taken[place] += memory
        if all(used <= room for used, room in zip(taken, rooms, strict=True)):
            return True
    return False


@given(st.lists(SIZES, max_size=5), st.lists(st.integers(0, 16).map(float), max_size=4))
def test_what_has_a_home_has_one_in_truth_and_what_is_too_large_has_none(
    machines: list[float], rooms: list[float]
) -> None:
    left = homeless(machines, rooms)
    assert left is None or left in machines
    if left is None:
        assert fits(machines, rooms)
    if max(machines, default=0.0) > max(rooms, default=0.0):
        assert left == max(machines)


@given(st.lists(SIZES, max_size=3), ROOMS, st.integers(1, 3))
def test_a_loss_that_is_taken_can_be_taken_whichever_hosts_it_is(
    started: list[float], rooms: list[Room], spare: int
) -> None:
    lack = lacking(started, rooms, spare)
    if lack is not None:
        others = [room.free for room in rooms if room.host not in lack.hosts]
        assert len(lack.hosts) == min(spare, len(rooms))
        assert lack.most == max(others, default=0.0)
        return
    for room in rooms if spare == 1 else ():
        others = [other.free for other in rooms if other is not room]
        assert fits([*started, *room.runs], others), room
    lost = sorted(rooms, key=lambda room: room.whole, reverse=True)[:spare]
    whole = sum(room.whole for room in lost)
    assert sum(started) <= sum(room.free for room in rooms) - whole, "what fits host by host fits in sum"


def capacity(changed: dict[str, Sight]) -> tuple[Light, str]:
    check = judged("capacity", known({**WELL, **changed}, inventory=ONE_LOST))
    return check.light, check.sentence


@pytest.mark.parametrize(
    ("gib", "light", "says"),
    [
        # two hosts with 38 GiB free and one with 54: when that is lost 66 are free in sum, and 40 find room on none
        (40.0, "amber", f"without {ESX_3} a machine of 42.9 GB that is started or runs there finds no room, while no"),
        (36.0, "green", "of memory are free in cluster one of vc-dr"),
    ],
)
def test_a_machine_larger_than_any_room_that_remains_has_none(gib: float, light: str, says: str) -> None:
    hosts = {ESX_1: esx(used=26), ESX_2: esx(used=26), ESX_3: esx(used=10)}
    spread = {
        f"{OTHER}-{number}-{part}": vm(gib=2, host=f"esx-{number}")
        for number, parts in ((1, 13), (2, 13), (3, 5))
        for part in range(parts)
    }
    off = dict.fromkeys(MACHINES, vm(on=False, gib=0.5))
    found = capacity({**hosts, **spread, **off, MACHINES[0]: vm(on=False, gib=gib)})
    assert (found[0], says in found[1]) == (light, True), found


def test_what_runs_on_the_lost_host_needs_a_host_too_also_where_its_machines_are_not_known() -> None:
    off = dict.fromkeys(MACHINES, vm(on=False, gib=1))
    hosts = {ESX_1: esx(used=44), ESX_2: esx(used=32), ESX_3: esx(used=32)}
    light, said = capacity({**off, **hosts})
    assert (light, "without esx/vc-dr/esx-1 a machine of 47.2 GB" in said) == (Light.AMBER, True), said
    halves = {f"{OTHER}-{number}": vm(gib=22, host="esx-1") for number in range(2)}
    assert capacity({**off, **hosts, **halves})[0] is Light.GREEN, "one on each of the others"


def test_a_machine_of_which_nothing_is_heard_leaves_it_unknown() -> None:
    light, said = capacity({OTHER: Sight(Health.UNKNOWN, "not heard")})
    assert (light, f"where {OTHER} runs, or how large it is, was not told" in said) == (Light.UNKNOWN, True), said
    assert judged("capacity", known({**WELL, OTHER: Sight(Health.UNKNOWN, "not heard")})).light is Light.GREEN


def test_a_cluster_of_many_hosts_is_judged_for_three_of_them() -> None:
    rooms = [Room(f"esx-{number}", 10 * GIB, 20 * GIB, (5 * GIB, 5 * GIB)) for number in range(64)]
    assert lacking([8 * GIB] * 20, rooms, 3) is None
    odd = replace(rooms[40], runs=(10.5 * GIB,))
    found = lacking([], [*rooms[:40], odd, *rooms[41:]], 3)
    assert found is not None
    assert "esx-40" in found.hosts, "the one whose machine is too large for the others is among those tried"
