"""The help: complete, exemplified, equal to docs/cli.md, and at once (by what is imported, not by the clock)."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from console.api import backups as backups_api
from console.api import configuration as configuration_api
from console.api import downtimes as downtimes_api
from console.api import drift as drift_api
from console.api import estate as estate_api
from console.api import findings as findings_api
from console.api import joint_views, journal_views, plan_views, views
from console.api import overrides as overrides_api
from console.api import readiness as readiness_api
from console.cli.lazy import LazyGroup
from console.main import COMMANDS, EPILOG, karaula
from console.terminal import drift_view, exits, finding_shapes, joint_shapes, readiness_shapes, shapes
from console.terminal.reference import every_command, reference

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING = list(every_command())
HEAVY = ("fastapi", "paramiko", "pyVmomi", "pydantic", "rich", "httpx2", "uvicorn", "asyncio", "jinja2", "yaml")


def imported(*words: str) -> set[str]:
    """Return the top-level modules that the command line has imported after ``words``."""
    code = (
        "import sys\nfrom console.main import karaula\n"
        f"karaula.main({list(words)!r}, standalone_mode=False)\n"
        "sys.stderr.write(' '.join({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("status", "--help"), ("completion", "bash")])
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    assert imported(*words) & set(HEAVY) == set()


def test_a_run_that_goes_on_after_a_crash_waits_for_no_web_page() -> None:
    code = "import sys, console.process\nprint(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"fastapi", "starlette", "uvicorn", "reportlab", "rich"} == set()


def test_the_page_says_what_the_commands_say() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    assert page == reference(), "write it anew: python -m console.terminal.reference > docs/cli.md"


@pytest.mark.parametrize(("name", "command"), [(name, command) for name, command, _ in EVERYTHING])
def test_every_command_has_help_with_an_example_that_fits(name: str, command: click.Command) -> None:
    assert command.help
    assert "Example:\n" in command.help
    example = command.help.partition("Example:\n")[2]
    assert name.rpartition(" ")[2] in example
    assert max(len(line) for line in example.splitlines()) <= 80


@pytest.mark.parametrize(("name", "command"), [(name, command) for name, command, _ in EVERYTHING])
def test_every_example_can_be_parsed(name: str, command: click.Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    known = {path: (found, context) for path, found, context in EVERYTHING}
    text = (command.help or "").partition("Example:\n")[2].replace("\\\n         ", "")
    for line in text.strip().splitlines():
        match = re.match(r"karaula (?P<words>.*)", re.split(r" {2,}(?=[a-z])| >{1,2} | [|] ", line.strip())[0])
        assert match, line
        if "/etc/" in line or "credentials" in line:
            continue
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', match["words"])]
        path = "karaula"
        while words and f"{path} {words[0]}" in known:
            path = f"{path} {words.pop(0)}"
        found, _ = known[path]
        found.make_context(path, words)


def test_groups_show_the_lines_that_commands_have() -> None:
    for name, command, context in EVERYTHING:
        if isinstance(command, LazyGroup):
            for inner, (_, line) in command.where.items():
                found = command.get_command(context, inner)
                assert found is not None
                assert line.rstrip(".").split()[0] == found.get_short_help_str(200).split()[0], f"{name} {inner}"
    assert list(COMMANDS) == list(karaula.list_commands(click.Context(karaula)))


def test_exit_codes_are_in_the_help_and_on_the_page() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    for code, words in exits.MEANINGS.items():
        assert f"{code:3}  {words}" in EPILOG
        assert f"| {code} | {words} |" in page


@pytest.mark.parametrize(
    ("shape", "view"),
    [
        (shapes.Subject, views.SubjectView),
        (shapes.Alarm, views.AlarmView),
        (shapes.Flip, views.FlipView),
        (shapes.Step, views.StepView),
        (shapes.Verdict, views.VerdictView),
        (shapes.RunLine, views.RunView),
        (shapes.Run, views.RunDetailView),
        (shapes.Question, views.QuestionView),
        (shapes.Plan, plan_views.PlanView),
        (shapes.Pause, views.PauseView),
        (shapes.Override, overrides_api.OverrideView),
        (drift_view.Compared, drift_api.ComparedView),
        (finding_shapes.Finding, findings_api.FindingView),
        (finding_shapes.FindingDetail, findings_api.FindingDetailView),
        (finding_shapes.FindingMoment, findings_api.MomentView),
        (shapes.Forecast, plan_views.ForecastView),
        (shapes.Slot, views.SlotView),
        (shapes.Entry, journal_views.EventView),
        (shapes.Output, journal_views.OutputView),
        (shapes.Backup, backups_api.BackupView),
        (shapes.Proof, backups_api.ProofView),
        (shapes.MorningAnswer, backups_api.MorningReply),
        (shapes.Downtime, downtimes_api.DowntimeView),
        (shapes.DowntimesAnswer, downtimes_api.DowntimesReply),
        (shapes.StatusAnswer, estate_api.StatusReply),
        (shapes.SubjectAnswer, estate_api.SubjectReply),
        (shapes.BackupsAnswer, backups_api.BackupsReply),
        (shapes.CalendarAnswer, estate_api.CalendarReply),
        (shapes.Reloaded, configuration_api.ReloadReply),
        (readiness_shapes.Check, plan_views.CheckView),
        (readiness_shapes.Readiness, plan_views.ReadinessView),
        (readiness_shapes.ReadinessAnswer, readiness_api.ReadinessReply),
        (joint_shapes.Joint, joint_views.JointView),
        (joint_shapes.JointMember, joint_views.JointMemberView),
        (joint_shapes.JointPlan, joint_views.JointPlanView),
        (joint_shapes.JointPlace, joint_views.JointPlaceView),
    ],
)
def test_both_ends_of_the_socket_know_the_same_shapes(shape: type, view: type[views.View]) -> None:
    ours = set(shape.__annotations__)
    for base in getattr(shape, "__orig_bases__", ()):
        ours |= set(getattr(base, "__annotations__", {}))
    assert ours == set(view.model_fields)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_clicks_own(shell: str) -> None:
    command = [sys.executable, "-m", "console.main", "completion", shell]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "_KARAULA_COMPLETE" in done.stdout


def test_the_version_is_the_distributions() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert CliRunner().invoke(karaula, ["--version"]).stdout == f"karaula {declared}\n"
