"""What deploy/ ships must agree with the code and the inventory, without starting anything."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import get_args

import click
import pytest
import yaml
from deploy_kit import (
    DASHBOARDS,
    ROOT,
    RUNBOOKS,
    Query,
    dashboards,
    panel_queries,
    rule_queries,
    rules,
    seen_to_fire,
    selectors,
)

from console.main import karaula
from deploy.boards.build import texts
from dr import metrics as dr_metrics
from dr.engine.telling import TOLD
from dr.journal.joint import CANCELING, IN_PROGRESS, WAITING
from dr.journal.run import RunState
from monitor.alarms.rules import OF_AGREEMENTS
from monitor.inventory.values import AlarmName
from monitor.metrics import catalog, configuration, estate, sensors, sla
from monitor.status.crossings import CROSSING_STATES

METRICS = {
    metric.name: metric for metric in (*catalog.METRICS, *dr_metrics.METRICS, *configuration.METRICS, *sla.METRICS)
}
RECORDED = {query.record: query for query in rule_queries() if query.record}
RUNBOOK_URL = "https://karaula.customs.example/docs/runbooks/"
PROMETHEUS_OWN = {"up", "scrape_duration_seconds"}
RUNBOOK_PARTS = ("# ", "**What it means.**", "**Who is affected.**", "## First, look at", "## How to fix it")
JOINT_STATES = {WAITING, IN_PROGRESS, CANCELING}
STATES = {
    "karaula_subject_status": set(estate.HEALTHS),
    "karaula_site_state": set(estate.HEALTHS),
    "karaula_system_state": set(estate.SYSTEM_STATES),
    "karaula_crossing_state": set(CROSSING_STATES),
    "karaula_sensor_state": set(sensors.SENSOR_WORDS),
    "karaula_sensor_ups_state": set(sensors.UPS_WORDS),
    "karaula_vote_state": set(estate.HEALTHS),
    "karaula_run_active": {state.value for state in RunState},
    "karaula_joint_run_active": JOINT_STATES,
    "karaula_joint_run_accepted_timestamp_seconds": JOINT_STATES,
}
SERIES = {  # a histogram is asked for by its three kinds of series
    f"{name}_{part}": (name, {"le"} if part == "bucket" else set())
    for name, metric in METRICS.items()
    if metric.kind == "histogram"
    for part in ("bucket", "count", "sum")
}
QUERIES = [*rule_queries(), *panel_queries()]


def labels_of(name: str) -> set[str]:
    if name in PROMETHEUS_OWN:
        return {"job", "instance"}
    if name in RECORDED:
        expr = RECORDED[name].expr
        kept = {word for group in re.findall(r"\bby\s*\(([^)]*)\)", expr) for word in re.split(r",\s*", group)}
        return kept or set().union(*(labels_of(inner) for inner, _ in selectors(expr)))
    name, more = SERIES.get(name, (name, set()))
    return set(METRICS[name].labels) | more


def where(query: Query) -> str:
    return query.where


@pytest.mark.parametrize("query", QUERIES, ids=where)
def test_a_query_names_metrics_labels_and_states_that_exist(query: Query) -> None:
    used = selectors(query.expr)
    assert used
    known = set()
    for name, matchers in used:
        assert name in PROMETHEUS_OWN or name in {*METRICS, *SERIES, *RECORDED}, f"{name} is in no catalogue"
        known |= labels_of(name)
        assert set(matchers) <= labels_of(name), f"{name} has no labels {set(matchers) - labels_of(name)}"
        if "state" in matchers:
            assert set(matchers["state"].split("|")) <= STATES[name]
    known |= set(re.findall(r'"(\w+)", "\$1"', query.expr))  # what label_replace makes
    for group in re.findall(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)", query.expr):
        assert {label.strip() for label in group.split(",")} <= known | {"instance"}
    assert query.labels <= known | {"instance"}


def test_every_metric_is_shown_or_watched_somewhere() -> None:
    used = {SERIES.get(name, (name,))[0] for query in QUERIES for name, _ in selectors(query.expr)}
    assert sorted(set(METRICS) - used) == []


def test_each_alert_has_texts_a_severity_and_a_test_that_sees_it_fire() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    names = Counter(rule["alert"] for rule in alerts)
    assert max(names.values()) == 1
    assert sorted(names.keys() - seen_to_fire().keys()) == []
    for rule in alerts:
        name = rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        # The alarm that is handed on brings its own severity, and a page with a part for each.
        handed_on = name == "KaraulaAlarm"
        assert handed_on or rule["labels"]["severity"] in {"info", "warning", "critical"}
        page = f"{RUNBOOK_URL}{name}.md" + ("#{{ $labels.alarm }}" if handed_on else "")
        assert rule["annotations"]["runbook_url"] == page


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert {path.stem for path in RUNBOOKS.iterdir()} == alerts


def test_each_alarm_has_its_part_of_the_page_of_alarms() -> None:
    """A new alarm: say below ``### its-name`` in docs/runbooks/KaraulaAlarm.md what it means and what to do."""
    page = (RUNBOOKS / "KaraulaAlarm.md").read_text()
    own = {
        "journal-failing",
        "history-failing",
        "isolated",
        "inventory-refused",
        "action-unusable",
        "evidence-not-anchored",
        "automatic-failover",
        "pause-ends",
        "drift",
    }
    wanted = {*get_args(AlarmName), *own, *OF_AGREEMENTS, *TOLD}
    assert sorted(re.findall(r"^### ([a-z-]+)$", page, re.MULTILINE)) == sorted(wanted), "each once, and no other"


@pytest.mark.parametrize("path", sorted(RUNBOOKS.iterdir()), ids=lambda path: path.stem)
def test_a_runbook_says_what_one_needs_at_night(path: Path) -> None:
    text = path.read_text()
    places = [text.index(part) for part in (*RUNBOOK_PARTS, "wake somebody")]
    assert places == sorted(places)
    assert text.startswith(f"# {path.stem}\n")
    looks = text.split("## First, look at")[1].split("\n## ")[0]
    assert re.findall(r"^(\d)\. ", looks, re.MULTILINE) == ["1", "2", "3"]
    for spoken in re.findall(r"`karaula((?: [a-z]+)+)", text):
        assert isinstance(karaula, click.Group)
        command = karaula.get_command(click.Context(karaula), spoken.split()[0])
        assert command is not None, f"there is no 'karaula{spoken}'"
        if isinstance(command, click.Group) and len(spoken.split()) > 1:
            assert command.get_command(click.Context(command), spoken.split()[1]) is not None, spoken
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (path.parent / target).is_file(), target
    titles = {board["title"] for board in dashboards().values()}
    assert set(re.findall(r'dashboard\s+"([^"]+)"', text)) <= titles


def test_dashboards_have_ids_of_their_own_and_one_data_source() -> None:
    boards = dashboards()
    uids = {board["uid"] for board in boards.values()}
    assert len(uids) == len(boards) == 7
    for name, board in boards.items():
        ids = Counter(panel["id"] for panel in board["panels"])
        assert max(ids.values()) == 1, name
        sources = {target["datasource"]["uid"] for panel in board["panels"] for target in panel.get("targets", [])}
        assert sources == {"${datasource}"}, name
        titles = Counter(panel["title"] for panel in board["panels"])
        assert max(titles.values()) == 1, name
        assert set(re.findall(r"/d/([a-z-]+)", json.dumps(board))) <= uids, name
        assert not any(panel["type"] == "piechart" for panel in board["panels"]), name


def test_dashboards_are_what_the_builder_writes() -> None:
    there = {path.name: path.read_text() for path in DASHBOARDS.iterdir()}
    assert there == texts(), "write them anew with: .venv/bin/python -m deploy.boards.build"


def test_numbers_that_have_a_unit_are_shown_with_one() -> None:
    ends = {"_seconds": {"s", "dateTimeFromNow"}, "_celsius": {"celsius"}, "_watts": {"watt"}, "_bytes": {"bytes"}}
    for name, board in dashboards().items():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                metric = re.fullmatch(r"(karaula_\w+)\{?[^}]*\}?", target["expr"])
                wanted = [units for end, units in ends.items() if metric and metric[1].endswith(end)]
                shown = {panel["fieldConfig"]["defaults"].get("unit", "")}
                for override in panel["fieldConfig"]["overrides"]:
                    shown |= {each["value"] for each in override["properties"] if each["id"] == "unit"}
                assert not wanted or shown & wanted[0], f"{name}: {panel['title']} is shown in {shown}"


def test_panels_do_not_lie_on_one_another() -> None:
    for name, board in dashboards().items():
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert at["x"] + at["w"] <= 24, f"{name}: {panel['title']}"
            assert not cells & taken, f"{name}: {panel['title']}"
            taken |= cells


def test_one_daemon_or_several_have_the_same_rules_alertmanager_and_pace() -> None:
    """A wall that shows alerts which nobody is told of is worse than none."""
    one, several = (
        yaml.safe_load((ROOT / "deploy" / "prometheus" / name).read_text()) for name in ("prometheus.yml", "shards.yml")
    )
    assert one["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    jobs = {name: config.pop("scrape_configs") for name, config in (("one", one), ("several", several))}
    assert one == several, "but for whom they ask"
    assert [job["job_name"] for job in jobs["one"]] == [job["job_name"] for job in jobs["several"]] == ["karaula"]


def test_the_unit_loads_every_credential_of_the_shipped_inventory() -> None:
    unit = (ROOT / "deploy" / "systemd" / "karaula.service").read_text()
    loaded = dict(re.findall(r"^LoadCredential=([^:\n]+):(.+)$", unit, re.MULTILINE))
    assert {path.rpartition("/")[2] for path in loaded.values()} == set(loaded)
    assert set(loaded) == references(yaml.safe_load((ROOT / "inventory.yaml").read_text()))


@pytest.mark.parametrize("path", sorted((ROOT / "deploy" / "systemd").glob("*.service")), ids=lambda path: path.stem)
def test_a_unit_starts_a_command_that_there_is_and_a_timer_a_unit(path: Path) -> None:
    (line,) = re.findall(r"^ExecStart=(.+)$", path.read_text(), re.MULTILINE)
    program, name, *words = line.split()
    assert program == "/opt/karaula/.venv/bin/karaula"
    assert isinstance(karaula, click.Group)
    command = karaula.get_command(click.Context(karaula), name)
    assert command is not None
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known
    for timer in path.parent.glob("*.timer"):
        assert timer.with_suffix(".service").is_file()


def references(data: object) -> set[str]:
    """Return every value of a key that names a credential, however deep."""
    if isinstance(data, dict):
        named = {
            "credential",
            "tsig_credential",
            "community",
            "authentication_credential",
            "privacy_credential",
            "tls_ca",
            "known_hosts",
        }
        own = {value for key, value in data.items() if key in named and isinstance(value, str)}
        return own.union(*(references(value) for value in data.values()))
    if isinstance(data, list):
        return set().union(*(references(value) for value in data))
    return set()
