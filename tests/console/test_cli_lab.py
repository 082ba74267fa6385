"""`karaula lab …` against the lab itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from estate_kit import RunningLab, start_lab

from console.main import karaula

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with start_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


def on(lab: RunningLab, *words: str) -> Result:
    return CliRunner(env={"KARAULA_LAB": lab.url, "COLUMNS": None}).invoke(karaula, ["lab", *words])


def test_cut_and_restore_a_site_and_a_link(lab: RunningLab) -> None:
    cut = on(lab, "cut", "main")
    assert (cut.exit_code, cut.stdout) == (0, "cut-site main; to mend it: karaula lab clear cut-site main\n")
    assert "main  no power\n" in on(lab, "state").stdout
    assert on(lab, "restore", "main").stdout == "1 fault ended\n"
    assert on(lab, "restore", "main").stdout == "no such fault was in force\n"
    assert on(lab, "cut", "tabanovce/primary").exit_code == 0
    assert "cut-link  tabanovce/primary\n" in on(lab, "faults").stdout
    assert on(lab, "clear", "--all").stdout == "1 fault ended\n"
    assert on(lab, "state").stdout.endswith("no fault is in force\n")


def test_a_fault_with_a_value(lab: RunningLab) -> None:
    made = on(lab, "fault", "delay-link", "blace/primary", "ms=180", "--output", "json")
    assert json.loads(made.stdout)["parameters"] == {"ms": 180.0}
    assert on(lab, "clear", "delay-link", "blace/primary").stdout == "1 fault ended\n"


def test_what_the_lab_refuses_is_a_matter_of_usage(lab: RunningLab) -> None:
    for words, told in (
        (("cut", "mian"), "unknown site 'mian' for cut-site; there are: main, dr"),
        (("fault", "delay-link", "blace/primary"), "delay-link needs the parameter 'ms'"),
        (("truth", "nctz"), "the lab has no system 'nctz'; it has cdeps, ncts, ite, exim"),
    ):
        result = on(lab, *words)
        assert (result.exit_code, result.stderr) == (2, told + "\n")


def test_the_truth_of_a_system(lab: RunningLab) -> None:
    text = on(lab, "truth", "ncts").stdout
    assert text.startswith("ncts\nwritable at main\n")
    document = json.loads(on(lab, "truth", "ncts", "--output", "json").stdout)
    assert (document["schema_version"], document["active"], document["lost"]) == (1, "main", 0)


def test_up_runs_the_lab_in_the_foreground(lab: RunningLab, tmp_path: Path) -> None:
    """On addresses that are taken: it says so and ends, as the lab itself would."""
    words = ["-m", "console.main", "lab", "up", "--inventory", str(lab.inventory), "--state", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, *words, "--control", lab.url.removeprefix("http://")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    try:
        _, told = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 1
    assert told.startswith("the lab cannot start: ")
