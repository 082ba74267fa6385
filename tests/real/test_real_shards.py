"""Three daemons share the lab's estate: each subject once, judged as by one daemon; Debian's Prometheus joins them."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from daemon_kit import RunningDaemon, running_daemon
from deploy_kit import ROOT
from estate_kit import RunningLab, start_lab
from real_kit import free_port, need

from monitor.inventory.dependencies import depends_on
from monitor.inventory.read import read

pytestmark = [pytest.mark.real, pytest.mark.lab]
SHARDS = 3
ANCHORS = [f"anchor/{key}" for key in read(ROOT / "inventory.yaml").vantage.anchors]  # each daemon's own uplink
CONFIG = ROOT / "deploy" / "prometheus" / "shards.yml"
RULES = ROOT / "deploy" / "prometheus" / "rules" / "shards.yml"


class Shared:
    """A lab and its daemons, each on a state folder of its own."""

    def __init__(self, lab: RunningLab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.daemons: list[RunningDaemon] = []

    def start(self, stack: contextlib.ExitStack, shard: str) -> RunningDaemon:
        number = len(list(self.folder.glob("s*.log")))
        made = running_daemon(self.lab, self.folder / f"s{number}", environment={"KARAULA_SHARD": shard})
        return stack.enter_context(made)

    def subjects(self) -> list[dict[str, Any]]:
        return [each for daemon in self.daemons for each in daemon.api("/api/status")["subjects"]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("shards")
    with start_lab(folder, rate=1.0) as lab, contextlib.ExitStack() as stack:
        made = Shared(lab, folder)
        made.daemons = [made.start(stack, f"{number}/{SHARDS}") for number in range(1, SHARDS + 1)]
        for daemon in made.daemons:
            daemon.wait("a good day", lambda daemon=daemon: not bad(daemon))
        yield made


def bad(daemon: RunningDaemon) -> list[str]:
    return [each["subject"] for each in daemon.api("/api/status")["subjects"] if each["health"] != "ok"]


def test_together_they_watch_what_one_would_and_nothing_twice(shared: Shared) -> None:
    counts = Counter(each["subject"] for each in shared.subjects())
    assert {subject: count for subject, count in counts.items() if count != 1} == dict.fromkeys(ANCHORS, SHARDS)
    listed = depends_on(read(shared.lab.inventory)).keys()
    assert {*listed} <= {*counts}
    assert {subject.partition("/")[0] for subject in counts.keys() - listed} <= {"vm", "datastore", "esx"}
    crossings = [{each for each in subjects(one) if each.startswith("crossing/")} for one in shared.daemons]
    assert all(crossings), "each has a share of the crossings"


def subjects(daemon: RunningDaemon) -> set[str]:
    return {each["subject"] for each in daemon.api("/api/status")["subjects"]}


def test_only_the_first_does_recovery_and_the_others_say_so(shared: Shared) -> None:
    first, second, _ = shared.daemons
    assert "system/ncts" in subjects(first)
    said = second.karaula("failover", "ncts", "--reason", "a test", "--no-wait", code=3)
    assert "this daemon only watches (shard 2/3)" in said
    assert second.api("/api/calendar")["upcoming"] == {}
    assert first.api("/api/calendar")["upcoming"] != {}
    assert "(shard 2/3)" in second.karaula("status", code=None)
    assert "(shard 2/3)" in second.api("/")
    pages = [daemon.api("/metrics") for daemon in shared.daemons]
    for number, page in enumerate(pages, 1):
        assert f'karaula_shard_info{{shard="{number}",shards="3"}} 1.0' in page
    assert ["karaula_schedule_next_timestamp_seconds{" in page for page in pages] == [True, False, False]


def test_a_fault_is_told_by_the_one_that_watches_it(shared: Shared) -> None:
    shared.lab.fault("cut-link", "blace/primary")
    daemon = next(each for each in shared.daemons if "link/blace/primary" in subjects(each))
    daemon.wait("the alarm", lambda: ("crossing-on-backup", "crossing/blace") in daemon.alarms())
    elsewhere = {one for other in shared.daemons if other is not daemon for one in other.alarms()}
    assert {one for one in elsewhere if "blace" in one[1]} == set()
    shared.lab.clear()
    daemon.wait("it to clear", lambda: not daemon.alarms())


# -- Prometheus ------------------------------------------------------------------------------------------------------


class Asked:
    """A Prometheus that scrapes what the test says."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def query(self, expr: str) -> list[dict[str, Any]]:
        reply = httpx2.get(f"{self.url}/api/v1/query", params={"query": expr}, timeout=60).json()
        assert reply["status"] == "success", reply
        found: list[dict[str, Any]] = reply["data"]["result"]
        return found

    def wait(self, expr: str, within_s: float = 60) -> list[dict[str, Any]]:
        end = time.monotonic() + within_s
        while not (found := self.query(expr)):
            assert time.monotonic() < end, f"nothing for {expr}"
            time.sleep(0.2)
        return found


@contextlib.contextmanager
def prometheus(folder: Path, ports: list[int]) -> Iterator[Asked]:
    """Run it with the shipped configuration, only faster, on ports of the test's own."""
    binary = need("prometheus", "prometheus")
    config = yaml.safe_load(CONFIG.read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    static = config["scrape_configs"][0]["static_configs"][0]
    assert len(static["targets"]) == SHARDS
    static["targets"] = [f"127.0.0.1:{port}" for port in ports]
    rules = yaml.safe_load(RULES.read_text())
    for rule in rules["groups"][0]["rules"]:
        rule.pop("for", None)
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "shards.yml").write_text(yaml.safe_dump(rules))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    with (folder / "log").open("wb") as log:
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
    asked = Asked(port)
    try:
        end = time.monotonic() + 60
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(f"{asked.url}/-/ready").status_code == 200:
                    break
            assert time.monotonic() < end, "Prometheus is not ready"
            time.sleep(0.1)
        yield asked
    finally:
        process.terminate()
        process.wait(60)


def firing(asked: Asked) -> set[str]:
    return {one["metric"]["alertname"] for one in asked.query('ALERTS{alertstate="firing"}')}


def test_prometheus_shows_each_subject_once_and_misses_a_shard(shared: Shared, tmp_path: Path) -> None:
    with prometheus(tmp_path / "p", [daemon.port for daemon in shared.daemons]) as asked:
        asked.wait("karaula:shards:watching == 3")
        asked.wait('sum(karaula_subject_status{state="ok"}) > 100')
        listed = depends_on(read(shared.lab.inventory)).keys()
        shown = {
            one["metric"]["subject"]: float(one["value"][1])
            for one in asked.query("count by (subject) (count by (subject, instance) (karaula_subject_status))")
        }
        assert {subject for subject in listed if subject not in shown} == set()
        assert {subject: count for subject, count in shown.items() if count != 1} == dict.fromkeys(ANCHORS, SHARDS)
        asked.wait("count(karaula_crossing_state == 1) == 19")
        asked.wait("count(karaula_system_active == 1) == 4")
        assert firing(asked) == set()

        shared.daemons[2].kill()
        asked.wait('ALERTS{alertname="KaraulaShardMissing", alertstate="firing"}')
        assert asked.query("karaula:shards:watching")[0]["value"][1] == "2"


def test_a_folder_with_a_run_under_way_is_not_taken_by_one_that_only_watches(shared: Shared) -> None:
    first = shared.daemons[0]
    run = first.api("/api/runs", {"playbook": "failover", "system": "exim", "reason": "to be denied"}, user="ana")
    first.wait_run(run["id"], "WAITING")
    first.kill()
    why = f"run {run['id']} in .* is not over, and shard 2/3 does no recovery"
    as_second = {"KARAULA_SHARD": "2/3"}
    with pytest.raises(AssertionError, match=why), running_daemon(shared.lab, first.state, environment=as_second):
        pass
