"""The lease: an epoch that only grows, a time that a slow disk shortens, and a stopped daemon that does not act on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from engine_kit import plan, step
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_kit import ROOT

from dr.guard import Facts
from dr.guards.lease import lease
from dr.journal.event import Interrupted, RunAccepted, StepProbed, StepStarted, StepUnknown
from dr.journal.fold import begin
from dr.journal.sqlite import SqliteJournal
from dr.lease import LeaseLost, Tenancy
from dr.leases.local import LocalLease
from monitor.errors import StateError

LEASED = ROOT / "tests" / "crash" / "leased.py"
PATIENCE_S = 60.0


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.sampled_from(["renew", "wait", "long wait", "restart"]), max_size=12))
def test_the_epoch_grows_with_each_taking_and_none_is_held_beyond_its_time(course: list[str]) -> None:
    import tempfile  # noqa: PLC0415 - hypothesis has no folder of its own

    clock = Time()
    with tempfile.TemporaryDirectory() as folder:
        held_by = LocalLease(Path(folder), 30.0, clock)
        held = held_by.acquire()
        for word in course:
            if word == "restart":
                held_by.release()
                held_by = LocalLease(Path(folder), 30.0, clock)
                before, held = held, held_by.acquire()
                assert held.epoch == before.epoch + 1
                continue
            clock.now += {"renew": 0.0, "wait": 10.0, "long wait": 31.0}[word]
            try:
                renewed = held_by.renew()
            except LeaseLost:
                assert clock.now >= held.until, "only what has run out is lost"
                before, held = held, held_by.acquire()
                assert held.epoch == before.epoch + 1
            else:
                assert clock.now < held.until
                assert (renewed.epoch, renewed.until) == (held.epoch, clock.now + 30.0)
                held = renewed
        held_by.release()


def test_another_process_is_kept_out_and_a_changed_or_damaged_record_is_no_lease(tmp_path: Path) -> None:
    clock = Time()
    mine, other = LocalLease(tmp_path, 30.0, clock), LocalLease(tmp_path, 30.0, clock)
    assert mine.acquire().epoch == 1
    with pytest.raises(LeaseLost, match="is held by another daemon; only one may act"):
        other.acquire()
    mine.path.write_text('{"epoch": 7}')
    with pytest.raises(LeaseLost, match="was changed by somebody else: it says epoch 7"):
        mine.renew()
    assert mine.acquire().epoch == 8
    mine.path.write_text('{"epoch": "eight"}')
    with pytest.raises(StateError, match="is damaged"):
        mine.renew()
    mine.release()


def test_the_guard_says_who_may_act() -> None:
    run = begin("one", RunAccepted(0.0, plan(step("look")).to_json(), "ana", "", "person", "", 0.0, 0.0))
    facts = Facts((), (), {}, tenancy=Tenancy(held=True, epoch=4))
    assert "epoch 4" in lease(run, facts, None, 0.0).sentence
    lost = lease(run, replace(facts, tenancy=Tenancy(held=False, epoch=4, why="it has run out")), "look", 0.0)
    assert (lost.ruling.value, lost.reason, lost.again) == ("refuse", "lease-not-held", True)


# -- real processes ----------------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "dr")))}


@contextmanager
def acting(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, str(LEASED), str(folder)], stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()


def until(what: str, holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up, what
        time.sleep(0.05)


def acts(folder: Path) -> list[str]:
    path = folder / "acts"
    return path.read_text(encoding="ascii").splitlines() if path.exists() else []


def test_a_daemon_that_was_stopped_beyond_its_lease_does_not_act_when_it_wakes(tmp_path: Path) -> None:
    with acting(tmp_path) as process:
        until("it has stopped", lambda: "\nState:\tT" in Path(f"/proc/{process.pid}/status").read_text())
        words = [sys.executable, str(LEASED), str(tmp_path)]
        other = subprocess.run(words, capture_output=True, text=True, check=False, env=environment())
        assert other.returncode == 1
        assert other.stderr.strip() == (
            f"the state in {tmp_path} is held by another daemon (process {process.pid}); only one may run on it"
        )
        before = len(acts(tmp_path))
        time.sleep(3.5)  # more than the lease lasts: that is what is tried
        assert len(acts(tmp_path)) == before
        process.send_signal(signal.SIGCONT)
        until("it goes on under a new lease", lambda: "2 2" in acts(tmp_path))
        assert set(acts(tmp_path)[before:]) == {"2 2"}, "something was done under the old lease"
    assert json.loads((tmp_path / "lease.json").read_text())["epoch"] == 2
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    (events,) = journal.load().values()
    journal.close()
    words = [type(event) for event in events if isinstance(event, (Interrupted, StepStarted, StepProbed, StepUnknown))]
    assert words == [StepStarted, Interrupted, StepProbed, StepStarted]
