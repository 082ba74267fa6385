"""A changed inventory on a daemon that runs: what stays is untouched, what is wrong is refused whole, nothing leaks."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon_kit import PATIENCE_S, RunningDaemon, running_daemon
from estate_kit import RunningLab, start_lab

pytestmark = pytest.mark.lab
RACK = "  main-rack-1-humidity:"
MANY = 100


class Told:
    """What systemd would have been told."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.line.bind(str(self.path))
        self.line.settimeout(PATIENCE_S)

    def next(self) -> list[str]:
        return self.line.recv(4096).decode().split("\n")


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    with tempfile.TemporaryDirectory(prefix="karaula-n-") as folder:
        made = Told(Path(folder))
        yield made
        made.line.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with start_lab(tmp_path_factory.mktemp("reload"), rate=1.0) as running:
        text = running.inventory.read_text()
        assert "fail_after: 2" in text
        # Nothing is to move here but what a reload moves: also what a busy machine does not answer in time.
        running.inventory.write_text(text.replace("fail_after: 2", "fail_after: 5"))
        yield running


@pytest.fixture(scope="module")
def daemon(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory, told: Told) -> Iterator[RunningDaemon]:
    folder = tmp_path_factory.mktemp("state")
    inventory = folder / "inventory.yaml"
    inventory.write_text(lab.inventory.read_text())
    environment = {"NOTIFY_SOCKET": str(told.path)}
    with running_daemon(lab, folder / "s", inventory=inventory, environment=environment) as running:
        running.wait("a good day", lambda: not bad(running))
        yield running


@pytest.fixture(autouse=True)
def _as_it_was(daemon: RunningDaemon, lab: RunningLab) -> Iterator[None]:
    yield
    lab.clear()
    file(daemon).write_text(lab.inventory.read_text())
    assert "error" not in daemon.api("/api/reload", {})
    daemon.wait("a good day again", lambda: not bad(daemon))


def file(daemon: RunningDaemon) -> Path:
    return daemon.state.parent / "inventory.yaml"


def bad(daemon: RunningDaemon) -> dict[str, str]:
    subjects = daemon.api("/api/status")["subjects"]
    return {each["subject"]: each["reason"] for each in subjects if each["health"] != "ok"}


def since(daemon: RunningDaemon) -> dict[str, tuple[str, float]]:
    return {each["subject"]: (each["health"], each["since"]) for each in daemon.api("/api/status")["subjects"]}


def edit(daemon: RunningDaemon, old: str, new: str) -> None:
    text = file(daemon).read_text()
    assert old in text
    file(daemon).write_text(text.replace(old, new, 1))


def without_a_sensor(inventory: Path) -> None:
    head, _, tail = inventory.read_text().partition(RACK)
    _, found, rest = tail.partition("\n  main-rack-2-temperature:")
    assert found
    inventory.write_text(head.rstrip() + found + rest)


def held(daemon: RunningDaemon) -> tuple[int, int, int]:
    """Open files, threads, and tasks of the event loop."""
    process = Path(f"/proc/{daemon.process.pid}")
    tasks = next(line for line in daemon.api("/metrics").splitlines() if line.startswith("karaula_event_loop_tasks "))
    return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir())), int(float(tasks.split()[1]))


def refused(daemon: RunningDaemon) -> str:
    page = daemon.api("/metrics").splitlines()
    return next(line for line in page if line.startswith("karaula_configuration_refused "))[-3:]


def test_a_sensor_goes_and_comes_and_nothing_else_moves(daemon: RunningDaemon, lab: RunningLab) -> None:
    lab.fault("set-sensor", "main-rack-1-humidity", value=95)
    alarm = ("sensor-alarm", "sensor/main-rack-1-humidity")
    daemon.wait("the alarm", lambda: alarm in daemon.alarms())
    before = since(daemon)
    without_a_sensor(file(daemon))
    said = daemon.karaula("reload")
    assert said.splitlines()[:2] == ["removed  sensor/main-rack-1-humidity", "reloaded: 1 removed"]
    daemon.wait("the alarm to clear", lambda: alarm not in daemon.alarms())
    after = since(daemon)
    assert "sensor/main-rack-1-humidity" not in after
    assert {key: after[key] for key in after if after[key] != before[key]} == {}
    daemon.wait("its metrics to go", lambda: "main-rack-1-humidity" not in daemon.api("/metrics"))
    alarms = daemon.api("/api/alarms?history=true")
    cleared = next(each for each in alarms if (each["name"], each["subject"]) == alarm)
    assert cleared["cleared_at"] is not None

    lab.clear()
    file(daemon).write_text(lab.inventory.read_text())
    assert "added    sensor/main-rack-1-humidity" in daemon.karaula("reload")

    def flips() -> list[tuple[str, str, str]]:
        found = daemon.api("/api/status/sensor/main-rack-1-humidity").get("flips", [])
        return [(each["old"], each["new"], each["reason"]) for each in found[:2]]

    wanted = [("unknown", "ok", ""), ("down", "unknown", "no longer in the inventory")]
    daemon.wait("it to be well, from UNKNOWN", lambda: flips() == wanted)


def test_a_bad_inventory_is_refused_whole_and_an_alarm_says_so(daemon: RunningDaemon, told: Told) -> None:
    edit(daemon, "role: dr,", "role: drr,")
    edit(daemon, "operator: operator-b, far_end", "operator: operator-x, far_end")
    before = since(daemon)
    said = daemon.karaula("reload", code=1)
    assert f"{file(daemon)}:" in said
    assert "expected 'main' or 'dr', found 'drr'" in said
    assert "unknown operator 'operator-x'; did you mean" in said
    problems = daemon.api("/api/status")["problems"]
    assert len(problems) == 1
    assert "goes on, and a restart without --last-good would fail until it is mended: karaula check" in problems[0]
    assert "and 1 more mistake" in problems[0]
    daemon.wait("the alarm", lambda: ("inventory-refused", "karaula/inventory") in daemon.alarms())
    assert daemon.api("/-/healthy") == "healthy\n"  # nobody shall restart it for that
    daemon.wait("the metric", lambda: refused(daemon) == "1.0")
    assert {key: value for key, value in since(daemon).items() if value != before.get(key)} == {}

    file(daemon).write_text(daemon.lab.inventory.read_text())
    assert daemon.karaula("reload").startswith("reloaded: nothing has changed")
    assert daemon.api("/api/status")["problems"] == []
    daemon.wait("the alarm to clear", lambda: ("inventory-refused", "karaula/inventory") not in daemon.alarms())
    daemon.wait("the metric", lambda: refused(daemon) == "0.0")


def test_sighup_reloads_and_systemd_is_told(daemon: RunningDaemon, told: Told) -> None:
    told.line.settimeout(0)
    try:
        while True:
            told.next()
    except BlockingIOError:
        told.line.settimeout(PATIENCE_S)
    edit(daemon, "name: Pelince", "name: Pelintse")
    daemon.process.send_signal(signal.SIGHUP)
    begun = told.next()
    assert begun[0] == "RELOADING=1"
    assert 0 < time.monotonic() - int(begun[1].removeprefix("MONOTONIC_USEC=")) / 1e6 < 60
    assert told.next() == ["READY=1", "STATUS=watching"]
    log = daemon.log.read_text()
    assert "reloaded for SIGHUP" in log
    edit(daemon, "role: dr,", "role: drr,")
    daemon.process.send_signal(signal.SIGHUP)
    assert told.next()[0] == "RELOADING=1"
    ready, status = told.next()
    assert ready == "READY=1"
    assert "found 'drr'" in status
    assert daemon.process.poll() is None


def test_a_changed_secret_and_ca_are_taken_up(daemon: RunningDaemon, lab: RunningLab) -> None:
    before = since(daemon)
    bundle = lab.credentials / "lab-ca.pem"
    kept = bundle.read_bytes()
    key = lab.credentials / "ssh-karaula"
    secret = key.read_bytes()
    try:
        bundle.write_bytes(kept + b"\n")  # the same CA in other bytes: every session is made anew
        assert "changed  credentials.lab-ca.pem" in daemon.karaula("reload")
        daemon.wait_rounds(3)  # with the new sessions
        assert bad(daemon) == {}
        assert since(daemon) == before
        bundle.write_bytes(b"not a certificate")
        said = daemon.karaula("reload", code=None)
        assert "lab-ca.pem" in said or "CA" in said
        assert daemon.api("/api/status")["problems"] != []
        assert since(daemon) == before
        bundle.write_bytes(kept)
        key.unlink()
        assert "credential 'ssh-karaula' is not in" in daemon.karaula("reload", code=1)
    finally:
        bundle.write_bytes(kept)
        key.write_bytes(secret)
        key.chmod(0o600)


def test_a_system_with_a_run_under_way_cannot_leave(daemon: RunningDaemon) -> None:
    run = daemon.api("/api/runs", {"playbook": "failover", "system": "exim", "reason": "to be denied"}, user="ana")
    daemon.wait_run(run["id"], "WAITING")
    edit(daemon, "owner: licences@customs.example", "owner: permits@customs.example")
    said = daemon.karaula("reload")
    assert "changed  system/exim" in said
    assert f"run {run['id']} is WAITING and keeps the plan it began with" in said
    assert daemon.api(f"/api/runs/{run['id']}")["state"] == "WAITING"
    text = file(daemon).read_text()
    head, _, tail = text.partition("\n  exim:\n")
    _, mark, rest = tail.partition("\n# -- border crossings")
    file(daemon).write_text(head + "\n" + mark + rest)
    drop_lines(daemon, "system: exim")
    said = daemon.karaula("reload", code=3)
    assert f"no system 'exim', and run {run['id']} of it is WAITING" in said
    assert daemon.status("system/exim") == "ok"
    daemon.karaula("run", "deny", run["id"], "--reason", "only a test", user="bob")
    daemon.wait_run(run["id"])
    said = daemon.karaula("reload")
    assert "removed  system/exim" in said
    assert "removed  front/exim/main" in said
    assert daemon.api(f"/api/runs/{run['id']}")["state"] == "CANCELED"
    assert daemon.karaula("run", "show", run["id"])
    assert "system/exim" not in since(daemon)


def drop_lines(daemon: RunningDaemon, words: str) -> None:
    """Drop schedules and responses of one line each."""
    lines = file(daemon).read_text().splitlines(keepends=True)
    file(daemon).write_text("".join(line for line in lines if words not in line))


def test_a_hundred_reloads_leak_nothing(daemon: RunningDaemon, lab: RunningLab) -> None:
    whole = lab.inventory.read_text()
    without_a_sensor(file(daemon))
    smaller = (
        file(daemon)
        .read_text()
        .replace("polling.stale", "polling.stale")
        .replace("vm: exim-db-1 }", "vm: exim-db-1 } # moved", 1)
    )
    bundle = lab.credentials / "lab-ca.pem"
    kept = bundle.read_bytes()
    counts: list[tuple[int, int, int]] = []
    try:
        with daemon.client() as client:
            for number in range(MANY):
                file(daemon).write_text(smaller if number % 2 else whole)
                if number % 5 == 0:
                    bundle.write_bytes(kept + b"\n" * (number % 3))
                reply: Any = client.post("/api/reload", json={}, timeout=60)
                assert reply.status_code == 200, reply.text
                if number in (19, MANY - 1):
                    daemon.wait_rounds(2)  # what was replaced is let go, what is new has connected
                    counts.append(held(daemon))
    finally:
        bundle.write_bytes(kept)
    daemon.wait(
        f"all but 8 more of {counts[0]} to be let go, of {counts[1]}",
        lambda: all(now <= then + 8 for now, then in zip(held(daemon), counts[0], strict=True)),
    )
    daemon.wait("no alarm to stand", lambda: not daemon.alarms())


def test_a_daemon_killed_in_a_reload_starts_with_what_the_file_says(
    daemon: RunningDaemon, lab: RunningLab, tmp_path: Path
) -> None:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(lab.inventory.read_text())
    with running_daemon(lab, tmp_path / "s", inventory=inventory) as first:
        first.wait("a good day", lambda: not bad(first))
        head, _, tail = inventory.read_text().partition(RACK)
        inventory.write_text(
            head.rstrip() + "\n  main-rack-2-temperature:" + tail.partition("\n  main-rack-2-temperature:")[2]
        )
        os.kill(first.process.pid, signal.SIGHUP)
        first.kill()
    with running_daemon(lab, tmp_path / "s", inventory=inventory) as second:
        second.wait("a good day", lambda: not bad(second))
        assert "sensor/main-rack-1-humidity" not in since(second)
        flips = second.api("/api/status/site/main")["flips"]
        assert len(flips) == 1  # it came up once, in the first daemon
    good = inventory.read_text()
    inventory.write_text(good.replace("role: dr,", "role: drr,", 1))
    log = (tmp_path / "s").with_suffix(".log")
    again = running_daemon(lab, tmp_path / "s", inventory=inventory)
    with pytest.raises(AssertionError, match="the daemon died"), again:
        pass
    assert "found 'drr'" in log.read_text()
    assert "systemctl set-environment KARAULA_LAST_GOOD=1" in log.read_text()
    with running_daemon(lab, tmp_path / "s", inventory=inventory, environment={"KARAULA_LAST_GOOD": "1"}) as third:
        third.wait("the alarm", lambda: ("inventory-refused", "karaula/inventory") in third.alarms())
        assert "found 'drr'" in third.karaula("status", code=None)
        assert len(third.api("/api/status/site/main")["flips"]) == 1, "the record goes on"
        inventory.write_text(good)
        assert third.karaula("reload").startswith("reloaded: nothing has changed")
        third.wait("the alarm to clear", lambda: ("inventory-refused", "karaula/inventory") not in third.alarms())
