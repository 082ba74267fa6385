"""`karaula prove` on the shipped files, on a spoiled playbook, and on names that do not exist."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from console.main import karaula
from dr.guards import RUN_GUARDS
from dr.guards.exclusive import exclusive

TOP = Path(__file__).parents[2]


def prove(*words: str, playbooks: Path = TOP / "playbooks") -> Result:
    files = ("--inventory", str(TOP / "inventory.yaml"), "--playbooks", str(playbooks))
    return CliRunner(env={"COLUMNS": None}).invoke(karaula, ["prove", *words, *files], catch_exceptions=False)


@pytest.fixture
def passing_over(tmp_path: Path) -> Path:
    """A drill whose look at the copy may be passed over."""
    folder = tmp_path / "playbooks"
    shutil.copytree(TOP / "playbooks", folder)
    path = folder / "drill.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("    needs: [bubble]\n", "    needs: [bubble]\n    on_failure: continue\n"), encoding="utf-8"
    )
    return folder


def test_every_system_of_one_shape_is_proved_at_once() -> None:
    result = prove("failover", "--faults", "1")
    assert result.exit_code == 0, result.output
    line = result.stdout.splitlines()[1].split()
    assert line[:5] == ["failover", "cdeps,", "ncts,", "ite,", "exim"]
    assert "proven" in line
    assert "at most 1 disturbance a run; it says nothing of what an action does beyond" in result.stdout


def test_the_document() -> None:
    body = json.loads(prove("drill", "verify", "--system", "ite", "--faults", "1", "--output", "json").stdout)
    assert [(one["playbook"], one["systems"], one["proved"]) for one in body["proofs"]] == [
        ("drill", ["ite"], True),
        ("verify", ["ite"], True),
    ]
    assert body["moments"] == sum(one["moments"] for one in body["proofs"])


def test_what_may_be_passed_over_is_a_success_with_warnings(passing_over: Path) -> None:
    result = prove("drill", "--faults", "1", playbooks=passing_over)
    assert result.exit_code == 0, result.output
    assert "SUCCEEDED_WITH_WARNINGS" in result.stdout


def test_too_few_moments_are_no_proof() -> None:
    result = prove("failover", "--most", "50")
    assert result.exit_code == 1
    assert "failover was not explored to its end; allow more moments with --most" in result.stdout


def test_a_counterexample_is_a_numbered_story(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader refuses every playbook that we know to be bad, so the guard is what is spoiled here."""
    monkeypatch.setattr("dr.guards.RUN_GUARDS", tuple(guard for guard in RUN_GUARDS if guard is not exclusive))
    result = prove("failover", "--system", "ncts", "--faults", "0")
    assert result.exit_code == 1
    assert "failover of ncts breaks law 8 (one run a system):\n  1. the guards are asked\n" in result.stdout
    assert "  Then: a second run of ncts is let in while this one is WAITING" in result.stdout


@pytest.mark.parametrize("faults", ["0", "1"])
def test_that_nothing_succeeds_even_undisturbed_is_a_story_too(faults: str) -> None:
    result = prove("--plant", "fence-removed", "--system", "ncts", "--faults", faults)
    assert result.exit_code == 1
    _, told = result.stdout.split("breaks law 3", 1)
    told = told.partition("  Then: without any disturbance")[0]
    story = [line.strip() for line in told.splitlines()[1:]]
    assert [line.partition(". ")[0] for line in story] == [str(n) for n in range(1, len(story) + 1)]
    assert "step 'machines' succeeds" in "\n".join(story)
    assert story[-1].partition(". ")[2].startswith("guard 'fencing' keeps step 'promote' from beginning: ")
    body = json.loads(prove("--plant", "fence-removed", "--system", "ncts", "--output", "json").stdout)
    assert body["proofs"][0]["counterexample"]["course"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("failovr",), "unknown playbook 'failovr'; did you mean 'failover'?"),
        (("failover", "--system", "ntcs"), "unknown system 'ntcs'; did you mean 'ncts'?"),
        (("--faults", "9"), "9 is not in the range 0<=x<=4"),
    ],
)
def test_wrong_usage(words: tuple[str, ...], says: str) -> None:
    result = prove(*words)
    assert result.exit_code == 2
    assert says in result.stderr
