"""``kill -9`` of the daemon at each write of its journal, before it and just after it: the next daemon goes on.

No step's effect happens twice, no two sites are ever writable, a drill leaves nothing behind. How many of how many
deaths were survived is said at the end of the test run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from crash_kit import CRASHING, Death, ask_and_approve, batches, deaths, side_by_side, unhurried
from daemon_kit import running_daemon
from estate_kit import start_lab

pytestmark = pytest.mark.lab
ADMITTED = ("RunAccepted", "VotesHeard", "ApprovalAsked", "Approved", "VotesHeard (2)", "RunStarted")
STEPS = {
    "failover": ("fence-old", "machines", "loss", "promote", "names", "front", "service"),
    "drill": ("before", "bubble", "answers", "remove", "after"),
}
ENDS = ("StepStarted", "StepSucceeded")
MARKS = {
    playbook: (
        *(ADMITTED if playbook == "failover" else ("RunAccepted", "RunStarted")),
        *(f"{word} {step}" for step in steps for word in ENDS),
        "RunEnded",
    )
    for playbook, steps in STEPS.items()
}


@pytest.mark.parametrize("playbook", MARKS)
def test_a_run_without_a_death_writes_what_is_killed_at_below(tmp_path: Path, playbook: str) -> None:
    lines = tmp_path / "lines"
    with start_lab(tmp_path) as lab:
        environment = {"KARAULA_TEST_CRASH": f"count:{lines}:ncts"}
        with running_daemon(
            lab, tmp_path / "state", program=CRASHING, environment=environment, inventory=unhurried(lab)
        ) as daemon:
            if playbook == "failover":
                lab.fault("cut-site", "main")
            daemon.wait_run(ask_and_approve(daemon, playbook, "ncts"), "SUCCEEDED")
    written = lines.read_text(encoding="utf-8")
    assert sorted(written.splitlines()) == sorted(MARKS[playbook]), f"set MARKS to match:\n{written}"


@pytest.mark.parametrize(
    "cases",
    [batch for playbook, marks in MARKS.items() for batch in batches(deaths(playbook, marks))],
    ids=lambda cases: f"{cases[0].playbook}-from-{cases[0].mark.replace(' ', '-')}",
)
def test_every_death_is_survived(
    tmp_path: Path, cases: tuple[Death, ...], record_property: Callable[[str, object], None]
) -> None:
    survived, mistakes = side_by_side(tmp_path, cases)
    record_property("counted", (f"kill -9 at each journal write of a {cases[0].playbook}", survived, len(cases)))
    assert not mistakes, "\n\n".join(mistakes)
