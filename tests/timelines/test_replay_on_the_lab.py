"""Counterexamples of planted mistakes end on the lab as they do in the model; a story with a death is followed too."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from actions_kit import world_of
from click.testing import CliRunner, Result
from estate_kit import REPOSITORY, RunningLab, start_lab

from console.labtruth import world_of as truth_of
from console.main import karaula
from console.replay import replay
from dr.actions import ACTIONS
from dr.checker.deeds import Deed, Kind
from dr.checker.explore import Counterexample
from dr.playbook.read import plans_of, read_playbooks
from monitor.inventory.read import read

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


def prove(lab: RunningLab, *words: str) -> Result:
    where = ("--inventory", str(lab.inventory), "--playbooks", str(REPOSITORY / "playbooks"), "--lab", lab.url)
    command = ["prove", "--system", "ncts", "--faults", "1", "--replay", "--credentials", str(lab.credentials), *where]
    return CliRunner(env={"COLUMNS": None}).invoke(karaula, [*command, *words], catch_exceptions=False)


@pytest.mark.parametrize(
    ("plant", "law"),
    [("fence-opened", "law 1: main and dr both accept declarations of ncts"), ("fence-removed", "law 3: without any")],
)
def test_a_counterexample_ends_on_the_lab_as_in_the_model(tmp_path: Path, plant: str, law: str) -> None:
    with start_lab(tmp_path) as lab:
        result = prove(lab, "--plant", plant)
        assert result.exit_code == 0, result.output
        assert f"  model  {law}" in result.stdout
        assert f"  lab    {law}" in result.stdout
        assert "The same ending." in result.stdout
        if plant == "fence-opened":  # the lab's own books say so once it has looked
            lab.wait_for("ncts", lambda truth: truth["ever_double_writable"], within_s=60)
        else:
            assert not lab.truth("ncts")["ever_double_writable"]


def test_a_death_in_the_midst_of_a_promotion_is_played_and_survived(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab:
        inventory = read(lab.inventory)
        file = read_playbooks(REPOSITORY / "playbooks")["failover"]
        plan = next(plan for plan in plans_of(file, inventory, ACTIONS) if plan.system == "ncts")
        acts = [Deed(Kind.ACTS, step) for step in ("fence-old", "machines", "loss")]
        after = [Deed(Kind.LOOKS, "promote"), *(Deed(Kind.ACTS, step) for step in ("names", "front", "service"))]
        deeds = (Deed(Kind.PERSON, "", "approve"), *acts, Deed(Kind.DIES, "promote", "promote"), *after)
        ask: Any = lab.control

        async def played() -> tuple[str, object]:
            async with world_of(lab) as world:

                async def truth() -> Any:
                    return await asyncio.to_thread(truth_of, inventory, "ncts", ask)

                story = Counterexample(3, "made by hand", (), deeds)
                ending = await replay(plan, story, world, truth, tmp_path, epoch=9)
                return ending.state, ending.broken

        assert asyncio.run(played()) == ("SUCCEEDED", ())
        lab.wait_for("ncts", lambda truth: truth["writable_sites"] == ["dr"])
        assert len(lab.effects("ncts", "promote")) == 1
