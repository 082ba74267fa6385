"""What a person may set for one run, and a failover that asks nothing of the lost site but never skips its fence."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from checker_kit import TOP, found, shipped
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_kit import FAILOVER, House, acts, house

from dr.actions import ACTIONS
from dr.errors import PlaybookError, RunRefused
from dr.evidence.collect import findings
from dr.playbook.model import plan_from_json
from dr.playbook.parameters import Parameter, Wish, values, wrong
from dr.playbook.read import plans_of, read_playbooks
from monitor.inventory.read import read

SETTABLE = FAILOVER.replace(
    "steps:",
    """parameters:
  note: { description: what to say, default: none }
  tries: { description: how often, type: integer, default: 2, minimum: 1, maximum: 5 }
  loud: { description: tell it, type: boolean, default: false }
steps:
  - { id: stop-old, action: look, site: from, timeout_s: 5,
      args: { note: "${parameters.note} x${parameters.tries}" } }""",
).replace("id: fence-old, action: fence, site: from,", "id: fence-old, action: fence, site: from, needs: [stop-old],")


def in_the_house(folder: Path, use: Any, text: str = SETTABLE) -> None:
    async def inside() -> None:
        async with house(folder, acts(), {"failover": text}) as here:
            await use(here)

    asyncio.run(inside())


def test_settings_are_typed_planned_hashed_and_reported(tmp_path: Path) -> None:
    async def use(here: House) -> None:
        plain = here.orchestrator.plan("failover", "ncts")
        set_ = here.orchestrator.plan("failover", "ncts", wish=Wish({"note": "hello", "tries": "3", "loud": "yes"}))
        assert plain.step("stop-old").args["note"] == "none x2"
        assert set_.step("stop-old").args["note"] == "hello x3"
        assert set_.wished == "note = hello, tries = 3, loud = True"
        assert plain.hash() != set_.hash() == plan_from_json(set_.to_json()).hash()
        run = await here.submit(wish=Wish({"tries": "4"}))
        assert run.plan.parameters["tries"] == 4
        assert "note = none, tries = 4, loud = False" in [finding.what for finding in findings(run, (), ())]

    in_the_house(tmp_path, use)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"tires": "3"}, "unknown parameter 'tires'; did you mean 'tries'?"),
        ({"tries": "many"}, "parameter 'tries' must be a whole number, not 'many'"),
        ({"tries": "9"}, "parameter 'tries' must be at most 5, not 9"),
        (
            {"loud": "perhaps", "tries": "0"},
            "must be yes or no, not 'perhaps'; parameter 'tries' must be at least 1",
        ),
    ],
)
def test_wrong_settings_are_said_in_one_message(tmp_path: Path, settings: dict[str, str], says: str) -> None:
    async def use(here: House) -> None:
        with pytest.raises(RunRefused, match=re.escape(says)):
            here.orchestrator.plan("failover", "ncts", wish=Wish(settings))

    in_the_house(tmp_path, use)


def test_a_default_that_is_none_and_a_parameter_that_is_not_there_are_mistakes(tmp_path: Path) -> None:
    async def use(here: House) -> None:
        with pytest.raises(PlaybookError) as caught:
            here.orchestrator.plan("failover", "ncts")
        said = [problem.message for problem in caught.value.problems]
        assert said == ["the default of 'tries' must be a whole number, not 'two'", "unknown parameter 'nots'"]

    text = SETTABLE.replace("default: 2", "default: two").replace("parameters.note}", "parameters.nots}")
    in_the_house(tmp_path, use, text)


@given(st.text(max_size=12), st.sampled_from(["text", "number", "integer", "boolean"]))
def test_whatever_is_typed_is_a_value_or_is_refused(text: str, kind: Any) -> None:
    default = {"text": "", "number": 1.5, "integer": 1, "boolean": True}[kind]
    known = {"one": Parameter(description="", type=kind, default=default)}
    refused = list(wrong(known, {"one": text}))
    value = values(known, {"one": text})["one"]
    assert bool(refused) == bool(known["one"].lacks(value))
    if not refused and kind != "text":
        assert not isinstance(value, str)


def test_a_forced_failover_leaves_the_lost_site_out_but_never_its_fence(tmp_path: Path) -> None:
    async def use(here: House) -> None:
        plan = here.orchestrator.plan("failover", "ncts", wish=Wish(forced=True))
        assert [step.id for step in plan.steps] == ["fence-old", "machines", "promote", "service"]
        assert plan.step("fence-old").needs == ()
        assert plan.left_out == (("stop-old", "look"),)
        assert "forced: main is taken for lost; left out there: 'stop-old' (look)" in plan.wished
        run = await here.until(await here.approve(await here.submit(wish=Wish(forced=True))))
        assert run.state == "SUCCEEDED"
        assert here.actions["look"].calls == []
        assert here.actions["fence"].calls[0] == "run 1"
        assert "warning" in [finding.severity for finding in findings(run, (), ()) if "forced" in finding.what]

    in_the_house(tmp_path, use)


def test_what_only_the_lost_site_could_tell_cannot_be_forced(tmp_path: Path) -> None:
    promote = "id: promote, action: promote, needs: [fence-old, machines],"
    text = SETTABLE.replace(promote, promote + ' args: { note: "${steps.stop-old.value}" },')

    async def use(here: House) -> None:
        with pytest.raises(PlaybookError, match="step 'promote' works with what 'stop-old' yields, which a forced run"):
            here.orchestrator.plan("failover", "ncts", wish=Wish(forced=True))

    in_the_house(tmp_path, use, text)


def test_only_a_failover_can_be_forced(tmp_path: Path) -> None:
    async def use(here: House) -> None:
        with pytest.raises(RunRefused, match="only a failover can be forced; 'failback' is a failback"):
            here.orchestrator.plan("failback", "ncts", wish=Wish(forced=True))

    async def inside() -> None:
        async with house(tmp_path) as here:
            await use(here)

    asyncio.run(inside())


def test_the_forced_way_of_a_playbook_is_proven_too(tmp_path: Path) -> None:
    page = (TOP / "docs" / "cookbook.md").read_text(encoding="utf-8")
    recipe = page.partition("gentle-failover.yaml")[2].partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "gentle-failover.yaml").write_text(recipe, encoding="utf-8")
    plans = plans_of(read_playbooks(tmp_path)["gentle-failover"], read(TOP / "inventory.yaml"), ACTIONS)
    forced = [plan for plan in plans if plan.forced]
    assert len(forced) * 2 == len(plans)
    assert forced[0].left_out == (("stop-old", "demote"),)
    assert found(forced[0], 1).proved


def test_a_plan_without_wishes_has_the_hash_that_earlier_versions_gave_it() -> None:
    body = shipped("failover").to_json()
    assert not {"parameters", "forced", "left_out"} & body.keys()
