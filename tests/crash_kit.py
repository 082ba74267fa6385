"""One death of the daemon at one write of its journal, and what must be true after the next one has gone on.

The tests say for which playbook, write and side of the write.
"""

from __future__ import annotations

import contextlib
import signal
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from daemon_kit import RunningDaemon, running_daemon
from estate_kit import REPOSITORY, RunningLab, start_lab

CRASHING = (str(REPOSITORY / "tests" / "crash" / "crashing_daemon.py"),)
SYSTEMS = ("ncts", "cdeps", "ite", "exim")  # one case each on one lab
LABS = 4  # side by side
DIES_WITHIN_S = 90.0


@dataclass(frozen=True)
class Death:
    """The daemon dies ``before`` or ``after`` it writes the event ``mark`` of the run of ``playbook``."""

    playbook: str
    when: str
    mark: str

    def __str__(self) -> str:
        return f"{self.playbook}, {self.when} {self.mark}"


def deaths(playbook: str, marks: Sequence[str]) -> list[Death]:
    return [Death(playbook, when, mark) for mark in marks for when in ("before", "after")]


def batches(all_deaths: Sequence[Death]) -> list[tuple[Death, ...]]:
    """Return the deaths in groups, one a test."""
    size = LABS * len(SYSTEMS)
    return [tuple(all_deaths[at : at + size]) for at in range(0, len(all_deaths), size)]


def quiet(lab: RunningLab) -> Path:
    """Return the lab's inventory with alarms that prepare nothing: the only runs are those that the test asks for."""
    path = lab.inventory.with_suffix(".quiet.yaml")
    path.write_text(
        lab.inventory.read_text(encoding="utf-8").replace("mode: prepare", "mode: notify"), encoding="utf-8"
    )
    return path


def ask_and_approve(daemon: RunningDaemon, playbook: str, system: str) -> str:
    """Ask for a run unless there is one, approve it if it waits; return its id. Raises TransportError at a death."""
    runs = [run for run in daemon.api("/api/runs") if run["system"] == system]
    run: Any = runs[0] if runs else daemon.api("/api/runs", {"playbook": playbook, "system": system}, user="ana")
    assert "id" in run, run
    if run["state"] == "WAITING":
        daemon.api(f"/api/runs/{run['id']}/approve", {"plan_hash": run["plan_hash"]}, user="bojan")
    return str(run["id"])


def unhurried(lab: RunningLab) -> Path:
    """Return the quiet inventory, polled less often: what is looked at here are runs."""
    path = quiet(lab)
    text = path.read_text(encoding="utf-8")
    for brisk, calm in (
        ("interval_s: 2\n", "interval_s: 8\n"),
        ("deadline_s: 1.5\n", "deadline_s: 7\n"),
        ("stale_after_s: 10 ", "stale_after_s: 40 "),
    ):
        assert brisk in text
        text = text.replace(brisk, calm)
    path.write_text(text, encoding="utf-8")
    return path


class Chain:
    """Deaths one after another on one lab and one state: each next daemon goes on with what the one before left."""

    def __init__(self, lab: RunningLab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.inventory = unhurried(lab)
        self.before = lab.lab_state()
        self.open: tuple[str, Death] | None = None
        self.survived = 0
        self.mistakes: list[str] = []

    def die(self, system: str, death: Death) -> None:
        """Let a daemon finish what the last death left open, then ask it for a run and let it die of that."""
        environment = {"KARAULA_TEST_CRASH": f"{death.when}:{death.mark}:{system}"}
        with running_daemon(
            self.lab, self.folder, program=CRASHING, environment=environment, inventory=self.inventory
        ) as daemon:
            self.close(daemon)
            self.before = self.lab.lab_state()
            if death.playbook == "failover":
                self.lab.fault("cut-site", "main")
            self.open = (system, death)
            with contextlib.suppress(httpx2.TransportError):
                ask_and_approve(daemon, death.playbook, system)
            assert daemon.process.wait(DIES_WITHIN_S) == -signal.SIGKILL, f"{death}: the daemon did not die"

    def end(self) -> None:
        """Let a last daemon, which does not die, finish what is open."""
        with running_daemon(self.lab, self.folder, ready=False, inventory=self.inventory) as daemon:
            self.close(daemon)

    def close(self, daemon: RunningDaemon) -> None:
        """Wait for the run that a death left open, and hold what became of it against the lab's truth."""
        if self.open is None:
            return
        (system, death), self.open = self.open, None
        run_id = ask_and_approve(daemon, death.playbook, system)
        run = daemon.wait_run(run_id, "SUCCEEDED", "SUCCEEDED_WITH_WARNINGS", "FAILED", "CANCELED", "PAUSED")
        journal = daemon.api(f"/api/runs/{run_id}/journal")
        mistakes = CHECKS[death.playbook](self.lab, system, self.before)
        if run["state"] != "SUCCEEDED":
            mistakes.insert(0, f"{run['state']}: {run['end_reason'] or run['pause_reason']}")
        if mistakes:
            story = "\n".join(f"{entry['seq']} {entry['word']} {entry['body']}" for entry in journal)
            self.mistakes.append(f"{death} of {system}: {'; '.join(mistakes)}\n{story}")
        else:
            self.survived += 1


def orders(lab: RunningLab, system: str) -> Counter[str]:
    """Count every order that the system was given, also those that found their work done already."""
    given = [one for one in lab.truth(system)["effects"] if one["by"] in {"redfish", "ssh", "vcenter", "dns"}]
    return Counter(f"{one['what']} {one['key']}" for one in given)


def failed_over(lab: RunningLab, system: str, before: dict[str, Any]) -> list[str]:
    """Return what is wrong after a failover with one death in it."""
    del before
    truth = lab.truth(system)
    wanted = {
        f"outlets off pdu-main/{system}": 1,
        f"promote {system}/dr": 1,
        f"address dns-dr/{system}.customs.example": 1,
    }
    found = dict(orders(lab, system))
    return [
        *([f"orders {found}, not {wanted}"] if found != wanted else []),
        *([f"writable at {truth['writable_sites']}"] if truth["writable_sites"] != ["dr"] else []),
        *([f"two writable sites: {truth['double_writable']}"] if truth["ever_double_writable"] else []),
    ]


def drilled(lab: RunningLab, system: str, before: dict[str, Any]) -> list[str]:
    """Return what is wrong after a drill with one death in it."""
    found = orders(lab, system)
    doubled = [f"{order}, {count} times" for order, count in found.items() if count != 1]
    kinds = Counter(order.rpartition(" ")[0] for order in found)
    wanted = dict.fromkeys(("clone", "plug", "power on", "power off", "destroy"), 5)
    truth = lab.truth(system)
    now = lab.lab_state()
    production = ("roles", "epochs", "addresses", "fronts", "writable_sites", "bubbles")
    was = before["systems"][system]
    return [
        *doubled,
        *([f"orders {dict(kinds)}, not {wanted}"] if kinds != wanted else []),
        *(f"{name} was {was[name]}, is {truth[name]}" for name in production if was[name] != truth[name]),
        *([f"two writable sites: {truth['double_writable']}"] if truth["ever_double_writable"] else []),
        *(["a clone ran on production's network"] if truth["production_clone"] else []),
        *(
            f"{machine} is left over"
            for machine in now["machines"].keys() - before["machines"].keys()
            if now["machines"][machine]["system"] == system
        ),
    ]


CHECKS = {"failover": failed_over, "drill": drilled}


def die_one_after_another(folder: Path, cases: Sequence[Death]) -> Chain:
    """Carry out one case for each system on a lab of their own."""
    folder.mkdir()
    with start_lab(folder) as lab:
        lab.wait_for(SYSTEMS[0], lambda truth: truth["acknowledged"] >= 2)
        chain = Chain(lab, folder / "state")
        for system, death in zip(SYSTEMS, cases, strict=False):
            chain.die(system, death)
        chain.end()
    return chain


def side_by_side(folder: Path, cases: Sequence[Death]) -> tuple[int, list[str]]:
    """Carry out cases, several labs at a time; return how many were survived, and what is wrong with the others."""
    chains = [cases[at : at + len(SYSTEMS)] for at in range(0, len(cases), len(SYSTEMS))]
    with ThreadPoolExecutor(len(chains)) as pool:
        begun = [pool.submit(die_one_after_another, folder / str(at), chain) for at, chain in enumerate(chains)]
    ended = [one.result() for one in begun]
    return sum(chain.survived for chain in ended), [mistake for chain in ended for mistake in chain.mistakes]
