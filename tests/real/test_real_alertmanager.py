"""Debian's Alertmanager with the shipped configuration: who is told what, in which heaps, and what is not said.

The alerts are those that the rule tests see fire, with the labels that promtool holds to be theirs.
"""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from deploy_kit import ROOT, rules, seen_to_fire
from real_kit import free_port, need

pytestmark = pytest.mark.real

CONFIG = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
MATCHER = re.compile(r"^\s*(\w+)\s*(=~|=)\s*\"?([^\"]*)\"?\s*$")
INSTANCE = {"job": "karaula", "instance": "127.0.0.1:8470"}
Labels = dict[str, str]
LONG_S = 60.0


def shipped() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    return config


def matched(matchers: list[str], labels: Labels) -> bool:
    """Return whether labels are matched, as Alertmanager does it (a regular expression is anchored)."""
    for text in matchers:
        found = MATCHER.match(text)
        assert found, text
        name, how, value = found.groups()
        here = labels.get(name, "")
        if not (re.fullmatch(value, here) if how == "=~" else here == value):
            return False
    return True


def every_alert() -> list[Labels]:
    return [{"alertname": name, **labels} for name, sets in seen_to_fire().items() for labels in sets]


@dataclass(frozen=True)
class Pair:
    """A rule, an alert that inhibits by it, and one that is inhibited."""

    rule: int
    source: Labels
    target: Labels
    equal: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.rule}-{self.source['alertname']}-{self.target['alertname']}"


def pairs() -> list[Pair]:
    found: dict[str, Pair] = {}
    for number, rule in enumerate(shipped()["inhibit_rules"]):
        for source in (one for one in every_alert() if matched(rule["source_matchers"], one)):
            for target in (one for one in every_alert() if matched(rule["target_matchers"], one)):
                pair = Pair(number, source, target, tuple(rule["equal"]))
                found.setdefault(str(pair), pair)
    return list(found.values())


PAIRS = pairs()


class Sink(ThreadingHTTPServer):
    """Keeps what Alertmanager sends, by receiver."""

    daemon_threads = True

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                sink.told.append((body["receiver"], body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def heaps(self, receiver: str, status: str = "firing") -> list[set[tuple[str, str]]]:
        """Return what the receiver was told, a set of alert names and subjects for each message."""
        return [
            {(each["labels"]["alertname"], each["labels"].get("n", "")) for each in body["alerts"]}
            for to, body in self.told
            if to == receiver and body["status"] == status
        ]


@dataclass
class Alertmanager:
    """One that runs."""

    url: str
    sink: Sink
    posted: list[Labels] = field(default_factory=list)

    def post(self, *alerts: Labels, ended: bool = False) -> None:
        now = dt.datetime.now(dt.UTC)
        body = [
            {
                "labels": labels,
                "annotations": {"summary": "a test"},
                "startsAt": (now - dt.timedelta(minutes=ended)).isoformat(),  # an old one would be told at once
                "endsAt": (now if ended else now + dt.timedelta(hours=1)).isoformat(),
            }
            for labels in alerts
        ]
        httpx2.post(f"{self.url}/api/v2/alerts", json=body, timeout=20).raise_for_status()

    def inhibited(self) -> dict[str, bool]:
        """Return of each alert, by its label ``n``, whether it is inhibited."""
        found = httpx2.get(f"{self.url}/api/v2/alerts", timeout=20).json()
        return {one["labels"]["n"]: bool(one["status"]["inhibitedBy"]) for one in found}


@contextlib.contextmanager
def alertmanager(folder: Path, config: dict[str, Any]) -> Iterator[Alertmanager]:
    """Run it with its receivers turned to a sink, and faster."""
    binary = need("prometheus-alertmanager", "prometheus-alertmanager")
    sink = Sink()
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    config = copy.deepcopy(config)
    for receiver in config["receivers"]:
        told = receiver.pop("webhook_configs", []) + receiver.pop("email_configs", [])
        if told:
            resolved = any(each["send_resolved"] for each in told)
            receiver["webhook_configs"] = [{"url": sink.url, "send_resolved": resolved}]
    for route in (config["route"], *config["route"]["routes"]):
        route |= {"group_wait": "3s", "group_interval": "1s"}  # what is posted together is in one heap
    folder.mkdir(exist_ok=True)
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=log,
        )
    running = Alertmanager(f"http://127.0.0.1:{port}", sink)
    try:
        end = time.monotonic() + LONG_S
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(f"{running.url}/-/ready").status_code == 200:
                    break
            assert time.monotonic() < end, "Alertmanager is not ready"
            time.sleep(0.1)
        yield running
    finally:
        process.terminate()
        process.wait(20)
        sink.shutdown()
        sink.server_close()


def wait(what: str, holds: Callable[[], Any], shown: Callable[[], Any] = str) -> None:
    """Wait until ``holds()``; Alertmanager's parts learn of an alert one after another."""
    end = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < end, f"never came: {what}: {shown()}"
        time.sleep(0.1)


def apart(alerts: list[Labels]) -> list[Labels]:
    """Return the alerts, each about something of its own."""
    places = ("instance", "crossing", "system", "site", "link", "operator", "subject")
    return [
        {name: f"{value}-{number}" if name in places else value for name, value in labels.items()} | {"n": str(number)}
        for number, labels in enumerate(alerts)
    ]


def test_every_alert_that_a_rule_names_exists_and_has_the_labels_that_are_compared() -> None:
    """An inhibition over a label that neither side has inhibits everything."""
    names = {rule["alert"] for rule in rules() if "alert" in rule}
    for rule in shipped()["inhibit_rules"]:
        assert rule["equal"]
        for matchers in (rule["source_matchers"], rule["target_matchers"]):
            (named,) = [text for text in matchers if text.startswith("alertname")]
            spelled = set(MATCHER.match(named).group(3).split("|"))  # type: ignore[union-attr] # a test: None fails
            assert spelled <= names
            for name in spelled:
                having = [one for one in every_alert() if one["alertname"] == name and matched(matchers, one)]
                assert having, f"no rule test shows {name} as {matchers}"
                for labels in having:
                    assert set(rule["equal"]) <= labels.keys(), f"{name} has no {rule['equal']}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    with alertmanager(tmp_path_factory.mktemp("alertmanager"), shipped()) as found:
        yield found


def test_amtool_takes_the_configuration() -> None:
    amtool = need("amtool", "prometheus-alertmanager")
    done = subprocess.run([amtool, "check-config", CONFIG], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_pair_is_inhibited_for_the_same_thing_and_not_for_another(running: Alertmanager) -> None:
    assert len(PAIRS) > 25
    expected = {}
    for pair in PAIRS:
        same = dict.fromkeys(pair.equal, f"{pair}-same")
        other = dict.fromkeys(pair.equal, f"{pair}-other")
        running.post(
            pair.source | same | {"n": f"{pair}/source"},
            pair.target | same | {"n": f"{pair}/same"},
            pair.target | other | {"n": f"{pair}/other"},
        )
        expected |= {f"{pair}/source": False, f"{pair}/same": True, f"{pair}/other": False}

    def wrong() -> dict[str, bool | None]:
        found = running.inhibited()
        return {key: found.get(key) for key in expected if found.get(key) is not expected[key]}

    wait("each to be inhibited by its own", lambda: not wrong(), shown=wrong)


def test_everything_at_once_but_each_about_something_else_inhibits_nothing(tmp_path: Path) -> None:
    alerts = apart(every_alert())
    last = PAIRS[0]  # its target is inhibited once all that was posted before is known to who inhibits
    same = dict.fromkeys(last.equal, "last")
    alerts += [last.source | same | {"n": "source"}, last.target | same | {"n": "target"}]
    with alertmanager(tmp_path / "shipped", shipped()) as running:
        running.post(*alerts)
        wait("the last to be inhibited", lambda: running.inhibited().get("target"))
        assert [each for each, inhibited in running.inhibited().items() if inhibited] == ["target"]
        assert len(running.inhibited()) == len(alerts)
    # The trap, so that it is known that this test would see it.
    config = shipped()
    config["inhibit_rules"][1]["equal"] = ["customs_post"]
    with alertmanager(tmp_path / "trap", config) as running:
        running.post(*alerts)
        wait("others to be inhibited", lambda: sum(running.inhibited().values()) > 1, shown=running.inhibited)


def test_a_crossing_that_is_cut_off_is_one_message_to_who_is_on_call_and_its_end_another(tmp_path: Path) -> None:
    alarm = {"alertname": "KaraulaAlarm", "alarm": "crossing-cut-off", "subject": "crossing/blace", "crossing": "blace"}
    opinion = {"alertname": "KaraulaCrossingCutOff", "crossing": "blace"}
    burns = {"alertname": "KaraulaCrossingBurnsFast", "crossing": "blace"}
    slow = {
        "alertname": "KaraulaLinkSlowerThanAgreed",
        "crossing": "dojran",
        "link": "backup",
        "operator": "operator-b",
    }
    loss = {"alertname": "KaraulaLinkLosesMoreThanAgreed", "crossing": "blato", "link": "primary"}
    loss |= {"operator": "operator-b"}
    elsewhere = {"alertname": "KaraulaCrossingCutOff", "crossing": "stenje", "severity": "critical"}
    warning = {"alertname": "KaraulaCertificateEnds", "subject": "front/ncts/main", "severity": "warning"}
    with alertmanager(tmp_path / "run", shipped()) as running:
        cut = [one | {"severity": "critical"} for one in (alarm, opinion, burns)]
        month = {"alertname": "KaraulaAlarm", "alarm": "sla-breached", "subject": "link/stenje/backup"}
        month |= {"crossing": "stenje", "link": "backup", "severity": "warning"}
        running.post(*cut, elsewhere, warning, month, *(one | {"severity": "info"} for one in (slow, loss)))
        sink = running.sink
        wait("everybody to be told", lambda: len(sink.heaps("on-call")) >= 2 and len(sink.told) >= 5)
        assert sorted(sink.heaps("on-call"), key=str) == [{("KaraulaAlarm", "")}, {("KaraulaCrossingCutOff", "")}]
        assert sink.heaps("day-shift") == [{("KaraulaCertificateEnds", "")}]
        both = {("KaraulaLinkSlowerThanAgreed", ""), ("KaraulaLinkLosesMoreThanAgreed", "")}
        heaps = sorted(sink.heaps("contracts"), key=len)
        assert heaps == [{("KaraulaAlarm", "")}, both], "one heap for an operator, and one of the month"
        running.post(*cut, ended=True)
        wait("the end to be told", lambda: sink.heaps("on-call", "resolved"))
        assert ("KaraulaAlarm", "") in sink.heaps("on-call", "resolved")[0]
        assert len(sink.heaps("on-call")) == 2


def test_the_failovers_that_a_lost_site_prepared_are_one_message(tmp_path: Path) -> None:
    waits = [
        {"alertname": "KaraulaRunWaits", "system": system, "playbook": "failover", "severity": "critical"}
        for system in ("ncts", "exim", "ite")
    ]
    with alertmanager(tmp_path / "run", shipped()) as running:
        running.post(*(one | {"n": one["system"]} for one in waits))
        sink = running.sink
        wait("the pager to ring", lambda: sink.heaps("on-call"))
        assert sink.heaps("on-call") == [{("KaraulaRunWaits", one["system"]) for one in waits}]
