"""Debian's Prometheus scrapes the daemon on the lab; every rule and every panel must get data of the right labels.

The story: an override, backups, a verification, a drill; then main loses power, and a joint failover of two systems is
approved. Every query is asked before the loss, while it waits and after it. What shows nothing at any time is wrong,
unless it is an alert whose condition never held: then each of its selectors must have had data.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from daemon_kit import RunningDaemon, running_daemon
from deploy_kit import ROOT, RULE_FILES, Query, panel_queries, rule_queries, selectors
from estate_kit import RunningLab, start_lab
from real_kit import free_port, need

pytestmark = [pytest.mark.real, pytest.mark.lab]

QUERIES = [*rule_queries(), *panel_queries()]
PROMETHEUS_CONFIG = ROOT / "deploy" / "prometheus" / "prometheus.yml"
# What the story may bring or not.
ONLY_IN_NEED = {
    "karaula_target_skipped_total": "only what a broken probe does not let go of is passed over",
    "karaula_subject_flapping": "nothing changes to and fro, unless this machine is so busy that probes are lost",
    "karaula_sensor_temperature_rise_celsius_per_second": "it is there once a limit's window is over, as is the story",
}
# What the lab's estate cannot show, and why. It is asked for all the same, and a test holds that nothing is found.
NOT_THERE = {
    "karaula_host_replication_lag_seconds": "no host of the lab has a lag command",
    "karaula_host_certificate_not_after_timestamp_seconds": "no host of the lab has a certificate's file",
    **dict.fromkeys(
        (
            *("karaula_vm_network_received_bytes_per_second", "karaula_vm_network_transmitted_bytes_per_second"),
            *("karaula_vm_memory_swapped_bytes", "karaula_vm_memory_ballooned_bytes"),
        ),
        "of a VM at most six counters are read, and the shipped inventory names others",
    ),
    **dict.fromkeys(
        (
            *("karaula_postgresql_primary", "karaula_postgresql_replay_lag_seconds"),
            *("karaula_postgresql_replay_lag_bytes", "karaula_postgresql_standbys"),
            *("karaula_postgresql_synchronous_standbys", "karaula_postgresql_slot_retained_bytes"),
        ),
        "the lab has no PostgreSQL; test_real_postgresql.py asks a real one",
    ),
}
EXPECTED_FROM = 5  # past runs from which it is said how long one will take
LOST = "main-rack-1-temperature"  # a sensor at the site that is lost
Series = list[dict[str, Any]]


@dataclass
class Prometheus:
    """A Prometheus that runs, and what it answered in each part of the story."""

    url: str
    process: subprocess.Popen[bytes]
    answers: dict[str, list[Series]] = field(default_factory=dict)
    lost_at: float = 0.0  # when the site was lost, by time.monotonic()

    def ask(self, path: str, **parameters: str) -> Any:
        reply = httpx2.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=60)
        document = reply.json()
        assert document["status"] == "success", f"{parameters}: {document}"
        return document["data"]

    def query(self, expr: str) -> Series:
        found = self.ask("query", query=expr)
        assert found["resultType"] == "vector", expr
        series: Series = found["result"]
        return series

    def wait(self, expr: str, within_s: float = 60) -> None:
        """Wait until the query has a result."""
        end = time.monotonic() + within_s
        while not self.query(expr):
            assert time.monotonic() < end, f"nothing for {expr} within {within_s} s"
            time.sleep(0.2)

    def remember(self) -> None:
        """Ask every query, and every selector without its state, and add up the answers."""
        for query in QUERIES:
            self.answers.setdefault(query.expr, []).append(self.query(query.expr))
            for selector in plain_selectors(query.expr):
                self.answers.setdefault(selector, []).append(self.query(selector))

    def seen(self, expr: str) -> Series:
        return [series for answer in self.answers[expr] for series in answer]


def describe(alert: dict[str, Any]) -> str:
    """Return an alert's name and what it is about."""
    return " ".join(alert["metric"].get(label, "") for label in ("alertname", "alarm", "subject", "system")).strip()


def plain_selectors(expr: str) -> list[str]:
    """Return the selectors of an expression, less their states (which the fast tests hold against closed lists)."""
    return [
        name + "{" + ",".join(f'{label}=~"{value}"' for label, value in matchers.items() if label != "state") + "}"
        for name, matchers in selectors(expr)
    ]


@contextlib.contextmanager
def prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """Run Prometheus with the shipped configuration, only faster, and on addresses of the test's own."""
    binary = need("prometheus", "prometheus")
    config = yaml.safe_load(PROMETHEUS_CONFIG.read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    (folder / "rules").mkdir()
    for path in RULE_FILES:
        rules = yaml.safe_load(path.read_text())
        for group in rules["groups"]:
            group.pop("interval", None)
        (folder / "rules" / path.name).write_text(yaml.safe_dump(rules))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    running = Prometheus(f"http://127.0.0.1:{port}", process)
    try:
        end = time.monotonic() + 60
        while True:
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(f"{running.url}/-/ready").status_code == 200:
                    break
            assert time.monotonic() < end, "Prometheus is not ready"
            time.sleep(0.1)
        yield running
    finally:
        process.terminate()
        process.wait(60)


def waiting_failover(daemon: RunningDaemon, system: str) -> str:
    """Return the id of the failover that was prepared for the system."""

    def there() -> str | None:
        runs = daemon.api("/api/runs")
        found = [run["id"] for run in runs if run["system"] == system and run["state"] == "WAITING"]
        return found[0] if found else None

    run_id: str = daemon.wait(f"a failover of {system} to be prepared", there, 90)
    return run_id


def live_through(lab: RunningLab, daemon: RunningDaemon, watcher: Prometheus) -> None:
    """Play the story and ask at its three moments."""
    lab.fault("old-snapshot", "vc-dr/exim-web-2", days=9)
    daemon.karaula("downtime", "check/vault-ssh", "--for", "2h", "--reason", "a test", "--as", "ana")
    watcher.wait('karaula_subject_downtime{subject="check/vault-ssh"}')
    daemon.karaula("override", "blackout", "exim", "--for", "2h", "--reason", "a test", "--as", "ana")
    watcher.wait('karaula_override_active{system="exim"} == 1')
    proven = ("--state", str(daemon.state), "--inventory", str(lab.inventory))
    daemon.karaula("prove", "backup", "--faults", "0", *proven)  # with fewer disturbances than are demanded
    for _ in range(EXPECTED_FROM - 1):
        run = daemon.api("/api/runs", {"playbook": "backup", "system": "ncts"}, user="ana")
        assert daemon.wait_run(run["id"])["state"] == "SUCCEEDED"
    for playbook in ("backup", "verify", "drill"):
        daemon.karaula(playbook, "ncts", "--reason", "a test", "--as", "ana", timeout_s=150)
    watcher.wait('karaula_run_last_success_timestamp_seconds{system="ncts", playbook="drill"}')
    watcher.wait('karaula_run_expected_seconds{system="ncts", playbook="backup"}')
    watcher.wait('karaula_proof_timestamp_seconds{system="ncts", playbook="backup"}')
    watcher.wait("count(count_over_time(karaula:link_available:avg30d[1m]) > 3)")
    watcher.remember()
    watcher.lost_at = time.monotonic()
    lab.fault("cut-site", "main")
    for system in ("ncts", "ite", "exim"):
        waiting_failover(daemon, system)
    joint = daemon.api("/api/joint-runs", {"playbook": "failover", "systems": ["ncts", "exim"]}, user="ana")
    watcher.wait('karaula_joint_run_active{state="WAITING"}')
    watcher.remember()
    daemon.karaula("run", "approve", joint["id"], "--yes", "--as", "boris", timeout_s=150)
    watcher.wait("karaula_joint_recovery_time_actual_seconds")
    watcher.wait('karaula_recovery_time_actual_seconds{system="ncts"}')
    watcher.wait('karaula_system_active{system="ncts", site="dr"} == 1')
    # What is not known any more is gone at once, not after Prometheus' five minutes; when it was last known stays.
    watcher.wait(f'absent(karaula_sensor_temperature_celsius{{sensor="{LOST}"}})')
    watcher.remember()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    need("prometheus", "prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        start_lab(folder) as lab,
        running_daemon(lab, folder / "state") as daemon,
        prometheus(folder, f"127.0.0.1:{daemon.port}") as watcher,
    ):
        live_through(lab, daemon, watcher)
        yield watcher


def where(query: Query) -> str:
    return query.where


@pytest.mark.parametrize("query", QUERIES, ids=where)
def test_a_query_gets_data_with_the_labels_that_are_shown(query: Query, watched: Prometheus) -> None:
    series = watched.seen(query.expr)
    if not series and {name for name, _ in selectors(query.expr)} <= NOT_THERE.keys() | ONLY_IN_NEED.keys():
        return
    if not series and query.alert:
        parts = [
            watched.seen(selector)
            for selector in plain_selectors(query.expr)
            if selector.partition("{")[0] not in ONLY_IN_NEED
        ]
        assert all(parts), f"no data for a selector of {query.expr}"
        series = [part[0] for part in parts]
        shown = {label for one in series for label in one["metric"]}
        assert query.labels <= shown
        return
    assert series, f"no data for {query.expr}"
    for one in series:
        assert query.labels <= set(one["metric"]), f"{query.expr} gives {one['metric']}"


@pytest.mark.parametrize("metric", NOT_THERE)
def test_what_is_said_not_to_be_there_is_not(metric: str, watched: Prometheus) -> None:
    """Else a query of it could be proven, and is not."""
    assert not watched.query(f"last_over_time({metric}[1h])"), NOT_THERE[metric]


def test_a_lost_sensor_leaves_its_times_behind(watched: Prometheus) -> None:
    assert watched.query(f'karaula_sensor_temperature_celsius{{sensor="{LOST}"}}') == []
    for metric in ("karaula_subject_seen_timestamp_seconds", "karaula_subject_last_success_timestamp_seconds"):
        assert len(watched.query(f'time() - {metric}{{subject="sensor/{LOST}"}} > 2')) == 1
    assert len(watched.query(f'karaula_sensor_state{{sensor="{LOST}", state=~"fault|unknown"}} == 1')) == 1
    assert watched.query("max(karaula_part_silent_seconds) == 0"), "a lost site is no illness of the daemon"


def test_prometheus_takes_openmetrics(watched: Prometheus) -> None:
    """Only that format has units, and counters whose family has no ``_total``."""
    found = {
        one["metric"]: one for one in watched.ask("targets/metadata", match_target='{job="karaula"}', limit="1000")
    }
    assert found["karaula_link_rtt_seconds"]["unit"] == "seconds"
    assert found["karaula_source_attempts"]["type"] == "counter"
    shown = {sample for sample in found if sample.startswith("karaula_")}
    assert all(one["help"] for name, one in found.items() if name in shown)


def test_prometheus_takes_every_rule(watched: Prometheus) -> None:
    found = [rule for group in watched.ask("rules")["groups"] for rule in group["rules"]]
    assert len(found) == len(rule_queries())
    assert [rule["name"] for rule in found if rule["health"] != "ok" or rule.get("lastError")] == []


def test_the_alerts_of_a_lost_site_fire_once_each(watched: Prometheus) -> None:
    firing = watched.query('ALERTS{alertstate="firing", alertname="KaraulaAlarm"}')
    alarms = {(one["metric"]["alarm"], one["metric"]["subject"]) for one in firing}
    assert ("site-down", "site/main") in alarms
    assert not {name for name, _ in alarms} & {"host-down", "vm-down", "front-down"}, "explained by the lost site"
    # Of what calls people only the site has, and nothing else is about to: no system that was there, and no machine.
    # Crossings are apart; a link of theirs that loses probes on a busy machine is not the site's doing.
    since_s = max(1, int(time.monotonic() - watched.lost_at))
    called = watched.query(
        f'count_over_time(ALERTS{{alertstate="firing", severity="critical", crossing=""}}[{since_s}s])'
    )
    about_to = watched.query('ALERTS{severity="critical", crossing=""}')
    assert {describe(one) for one in (*called, *about_to)} == {"KaraulaAlarm site-down site/main"}
    active = watched.query("sum by (system) (karaula_system_active)")
    assert all(float(one["value"][1]) <= 1 for one in active)


def test_the_scrape_is_clean(watched: Prometheus) -> None:
    target = watched.ask("targets")["activeTargets"][0]
    assert (target["health"], target["lastError"]) == ("up", "")
    page = httpx2.get(target["scrapeUrl"]).text
    promtool = need("promtool", "prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_promtool_accepts_configuration_and_rules() -> None:
    promtool = need("promtool", "prometheus")
    done = subprocess.run([promtool, "check", "config", PROMETHEUS_CONFIG], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_do_what_their_tests_say() -> None:
    promtool = need("promtool", "prometheus")
    tests = sorted((ROOT / "deploy" / "prometheus" / "tests").glob("*.yml"))
    assert tests
    done = subprocess.run([promtool, "test", "rules", *tests], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
