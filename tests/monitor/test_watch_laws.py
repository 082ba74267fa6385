"""Laws of telling: whatever falls, rises, flaps, is planned or restarts, nothing is told twice and nothing is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from examples_kit import examples
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from story_kit import Story, story
from watch_kit import REFUSES, estate

from monitor.alarms.inhibit import causes
from monitor.alarms.rules import RULES
from monitor.inventory.dependencies import ties
from monitor.inventory.planning import Group
from monitor.inventory.vantage import Anchor, Vantage
from monitor.status.alarm import Alarm
from monitor.status.downtime import Downtime

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.inventory.model import Inventory

SUBJECTS = ("dns/dns-main", "dns/dns-dr", "front/ncts/main", "link/blace/primary", "host/vault-dr", "vcenter/vc-main")
STEPS = st.one_of(
    st.tuples(st.just("fall"), st.sampled_from(SUBJECTS)),
    st.tuples(st.just("rise"), st.sampled_from(SUBJECTS)),
    st.tuples(st.just("swing"), st.sampled_from(SUBJECTS)),
    st.tuples(st.just("cut"), st.just("main")),
    st.tuples(st.just("blind"), st.just("")),
    st.tuples(st.just("mend"), st.just("")),
    st.tuples(st.just("plan"), st.sampled_from(("site/main", "dns/dns-main", "link/blace/primary"))),
    st.tuples(st.just("restart"), st.just("")),
)
WAITS = st.sampled_from((1, 3, 8, 25))

SETTLINGS = 4


def inventory() -> Inventory:
    vantage = Vantage(anchors={"witness": Anchor(address="127.0.0.1", probe="tcp", port=9)})
    group = Group(name="Names", members=("dns/dns-main", "dns/dns-dr"), needed_by=("front/ncts/main",))
    return estate().model_copy(update={"vantage": vantage, "groups": {"names": group}, "downtimes": {}})


async def act(it: Story, step: str, of: str) -> None:
    if step in ("fall", "rise"):
        it.world.set(REFUSES if step == "fall" else None, of)
    elif step == "swing":
        for number in range(8):
            it.world.set(REFUSES if number % 2 == 0 else None, of)
            await it.live(5)
    elif step == "cut":
        it.world.cut(of)
    elif step == "blind":
        it.world.set(REFUSES, *(target.subject for target in it.world.targets))
    elif step == "mend":
        it.world.mend()
    elif step == "plan":
        now = it.clock.now()
        name = f"{of} {now:.3f}"
        planned = Downtime(name, of, now, now + 40, now + 40, "Ana", "works", now, "command")
        await it.watch.downtimes.announce(planned, now)


async def lived(folder: Path, steps: list[tuple[tuple[str, str], int]]) -> Story:
    """Live through ``steps``, see after a while that all that stands alone was told, mend all, and let it settle."""
    it: Story | None = None
    steps = [(("restart", ""), 5), *steps]
    while steps:
        before = it
        async with story(folder, inventory(), before and before.world, before and before.post) as it:
            while steps:
                (step, of), wait_s = steps.pop(0)
                if step != "restart":
                    await act(it, step, of)
                await it.live(wait_s)
                if steps and steps[0][0][0] == "restart":
                    break
            if not steps:
                await it.live(60)
                for _ in range(SETTLINGS):  # what flapped may have settled just now: then it is told after its patience
                    if not late(it):
                        break
                    await it.live(10)
                assert not late(it), "what stands alone was told"
                it.world.mend()
                await it.live(200)
                assert it.standing() == {}
    assert it is not None
    return it


def late(it: Story) -> set[tuple[str, str]]:
    """Return what stands alone and was not told, except of what still flaps."""
    standing = {(key, "raised") for key in it.alone()}
    swinging = it.watch.flapping()
    return {each for each in standing - open_ends(it) if each[0].partition(" ")[2] not in swinging}


def open_ends(it: Story) -> set[tuple[str, str]]:
    """Return what was told as raised and not as cleared; raised and cleared take turns."""
    found: set[tuple[str, str]] = set()
    for key, event in it.post.told:
        if event == "raised":
            assert (key, "raised") not in found, f"{key} is told twice: {it.post.told}"
            found.add((key, "raised"))
        else:
            assert (key, "raised") in found, f"{key} is cleared without having been told: {it.post.told}"
            found.remove((key, "raised"))
    return found


SETTLED_JUST_NOW = [
    (("restart", ""), 8),
    (("mend", ""), 1),
    (("rise", "link/blace/primary"), 1),
    (("restart", ""), 3),
    (("mend", ""), 25),
    (("swing", "vcenter/vc-main"), 25),
    (("fall", "vcenter/vc-main"), 3),
    (("swing", "front/ncts/main"), 1),
]


@pytest.mark.proof
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@example(steps=SETTLED_JUST_NOW)
@given(steps=st.lists(st.tuples(STEPS, WAITS), max_size=8))
def test_each_message_has_its_end_and_nothing_is_lost_over_restarts(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[tuple[str, str], int]]
) -> None:
    it = asyncio.run(lived(tmp_path_factory.mktemp("law"), list(steps)))
    assert open_ends(it) == set()


KNOWN = [
    (call.name, subject)
    for subject in ties(inventory()).depends_on
    for call in {call.name: call for call in RULES.get(subject.partition("/")[0], {}).values()}.values()
] + [("flapping", subject) for subject in SUBJECTS]


@settings(max_examples=examples(150), deadline=None)
@given(standing=st.sets(st.sampled_from(KNOWN), max_size=60), circle=st.booleans())
def test_whoever_follows_the_causes_comes_to_an_alarm_that_stands_alone(
    standing: set[tuple[str, str]], circle: bool
) -> None:
    held = inventory()
    if circle:  # two groups whose members need the other one
        one = Group(name="One", members=("dns/dns-main",), needed_by=("dns/dns-dr",))
        other = Group(name="Other", members=("dns/dns-dr",), needed_by=("dns/dns-main",))
        held = held.model_copy(update={"groups": {"one": one, "other": other}})
        standing = standing | {("group-down", "group/one"), ("group-down", "group/other")}
    alarms = [Alarm(f"{n}", name, subject, "critical", n, "r") for n, (name, subject) in enumerate(sorted(standing))]
    by_key = {alarm.key: alarm for alarm in alarms}
    found = causes(alarms, ties(held))
    for alarm in alarms:
        seen, at = {alarm.id}, alarm
        while at.id in found:
            at = by_key[found[at.id]]
            assert at.id not in seen, f"{alarm.key} is explained in a circle"
            seen.add(at.id)
