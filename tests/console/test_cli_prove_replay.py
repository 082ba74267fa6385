"""What ``karaula prove --plant`` finds, and that ``--replay`` touches nothing but the lab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from checker_kit import found, shipped
from click.testing import CliRunner

from console.cli.prove import PLANTED
from console.labtruth import refuse_unless_lab
from console.main import karaula
from dr.checker.plant import PLANTS
from dr.errors import RunRefused
from monitor.inventory.read import read

TOP = Path(__file__).parents[2]
INVENTORY = read(TOP / "inventory.yaml")
LAB = "http://127.80.0.1:8900"
STATE: dict[str, Any] = {
    "systems": {key: {"roles": dict.fromkeys(system.sites, "standby")} for key, system in INVENTORY.systems.items()},
    "outlets": {},
}


@pytest.mark.parametrize(("name", "law"), list(zip(PLANTED, (3, 1, 7, 7, 5), strict=True)))
def test_each_planted_mistake_is_found(name: str, law: int) -> None:
    plant = PLANTS[name]
    story = found(plant.spoil(shipped(plant.playbook)), 1).counterexample
    assert story is not None
    assert story.law == law
    undisturbed = "without any disturbance" in story.wrong  # then it is played as it goes, by nobody's deeds
    assert len(story.deeds) == (0 if undisturbed else len(story.course))


def test_the_command_knows_every_plant() -> None:
    assert tuple(PLANTS) == PLANTED


def test_the_lab_of_this_inventory_is_taken() -> None:
    refuse_unless_lab(INVENTORY, LAB, lambda _path: STATE)


@pytest.mark.parametrize("control", ["http://10.0.0.1:8900", "http://lab.example:8900", "https://[2001:db8::1]:8900"])
def test_a_control_port_elsewhere_is_refused(control: str) -> None:
    with pytest.raises(RunRefused, match="is not on loopback: a replay breaks things"):
        refuse_unless_lab(INVENTORY, control, lambda _path: STATE)


def test_an_estate_with_one_real_address_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    text = (TOP / "inventory.yaml").read_text(encoding="utf-8")
    for address in ("127.80.1.12", "127.80.3.10"):  # a front; the URL of the receipts
        path.write_text(text.replace(address, "10.7.0.9"), encoding="utf-8")
        with pytest.raises(RunRefused, match=r"the inventory names 10\.7\.0\.9, which is not on loopback"):
            refuse_unless_lab(read(path), LAB, lambda _path: STATE)


@pytest.mark.parametrize(
    "state", [{}, {"systems": {}}, {**STATE, "systems": {"other": {"roles": {}}}}, {**STATE, "outlets": 1}]
)
def test_what_is_not_the_lab_of_this_inventory_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(RunRefused, match="is not the lab of this inventory"):
        refuse_unless_lab(INVENTORY, LAB, lambda _path: state)


def test_what_is_not_among_the_proofs_cannot_be_planted() -> None:
    files = ("--inventory", str(TOP / "inventory.yaml"), "--playbooks", str(TOP / "playbooks"))
    result = CliRunner().invoke(karaula, ["prove", "drill", "--plant", "names-first", *files])
    assert result.exit_code == 2
    assert "'names-first' is planted in a failover, which is not among what is to be proven" in result.output
