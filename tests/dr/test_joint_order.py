"""The order in which the systems of one request are moved: dependencies first, then priorities; circles are refused."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from checker_kit import shipped
from hypothesis import given
from hypothesis import strategies as st

from dr.errors import IllegalEvent, RunRefused
from dr.journal import joint as words
from dr.playbook.joint import JointPlan, Member, joint_plan_from_json
from dr.playbook.order import in_order


@dataclass(frozen=True)
class Sys:
    priority: int = 5
    depends_on: tuple[str, ...] = ()


def shown(names: list[str], systems: dict[str, Sys]) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(place.system, place.group, place.needs) for place in in_order(names, systems)]


def test_what_is_depended_on_is_as_urgent_as_who_depends_on_it() -> None:
    systems = {"cdeps": Sys(2, ("ite",)), "ncts": Sys(1), "ite": Sys(3), "exim": Sys(4)}
    assert shown(list(systems), systems) == [
        ("ncts", 1, ()),
        ("ite", 2, ()),
        ("cdeps", 2, ("ite",)),
        ("exim", 3, ()),
    ]


def test_a_dependency_through_one_that_is_not_asked_for_counts() -> None:
    systems = {"a": Sys(1, ("b",)), "b": Sys(1, ("c",)), "c": Sys(9)}
    assert shown(["a", "c"], systems) == [("c", 1, ()), ("a", 1, ("c",))]


def test_a_circle_is_refused_in_one_message() -> None:
    with pytest.raises(RunRefused, match="a, b wait for one another; correct their depends_on"):
        in_order(["a", "b", "c"], {"a": Sys(1, ("b",)), "b": Sys(1, ("a",)), "c": Sys()})


@given(
    st.lists(st.tuples(st.integers(1, 9), st.sets(st.integers(0, 7))), min_size=1, max_size=8), st.sets(st.integers())
)
def test_nobody_comes_before_what_it_needs_nor_behind_a_less_urgent_one(
    drawn: list[tuple[int, set[int]]], left_out: set[int]
) -> None:
    systems = {
        f"s{n}": Sys(priority, tuple(f"s{other}" for other in sorted(others) if other < n))
        for n, (priority, others) in enumerate(drawn)
    }
    names = [name for n, name in enumerate(systems) if n not in left_out] or list(systems)
    places = in_order(names, systems)
    assert sorted(place.system for place in places) == sorted(names)
    groups = [place.group for place in places]
    for number, place in enumerate(places):
        earlier = {other.system: other.group for other in places[:number]}
        assert set(place.needs) <= earlier.keys()
        assert all(earlier[need] <= place.group for need in place.needs)
    assert sorted(set(groups)) == list(range(1, max(groups) + 1))


PLAN = JointPlan("failover", "failover", (Member("ncts", "ncts-1", 1, (), shipped("failover")),), {})
ACCEPTED = words.JointAccepted(1.0, PLAN.to_json(), "ana", "", 9.0, {}, {}, {})
NEXT = st.sampled_from(
    [
        ACCEPTED,
        words.JointApproved(2.0, "boris", "", PLAN.hash()),
        words.JointApproved(2.0, "boris", "", "another plan"),
        words.JointDenied(2.0, "boris", "no"),
        words.JointWentOn(2.0, "ncts", "boris", "why"),
        words.JointCancelAsked(2.0, "ana", "why"),
        *(words.JointEnded(3.0, state, "") for state in ("SUCCEEDED", "CANCELED", "IN_PROGRESS")),
    ]
)


@given(st.lists(NEXT, max_size=5))
def test_a_joint_run_never_goes_on_without_its_approval(events: list[words.JointEvent]) -> None:
    assert joint_plan_from_json(PLAN.to_json()) == PLAN
    joint = words.begin_joint("joint-1", ACCEPTED)
    for event in events:
        try:
            joint = words.fold_joint(joint, event)
        except IllegalEvent:
            break
    assert joint.state not in {"IN_PROGRESS", "SUCCEEDED"} or joint.approved_by == "boris"


def test_what_changes_production_is_not_journaled_without_an_approval_to_wait_for() -> None:
    with pytest.raises(IllegalEvent, match="starts without an approval"):
        words.begin_joint("joint-1", words.JointAccepted(1.0, PLAN.to_json(), "ana", "", 0.0, {}, {}, {}))
