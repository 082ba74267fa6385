"""Ansible's playbooks by ansible-runner and Debian's ansible-playbook, at hosts of a real sshd."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from orchestrator_kit import INVENTORY, house
from real_kit import free_port, need
from sshd_kit import Sshd

from dr.action import Context, Holds
from dr.actions.ansible import Ansible, _said_by_check, _said_by_probe
from dr.errors import StepFailed
from dr.journal.event import StepProbed
from dr.journal.run import RunState
from monitor.clients import ansible
from monitor.clients.ansible import HostResult, Play, Played, carry_out
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.errors import DeadlineExceeded
from monitor.inventory.ansible import AnsibleProject

pytestmark = [pytest.mark.real, pytest.mark.anyio]
LONG_S = 120.0
TOP = Path(__file__).parents[2]
SECRET = 'a "quoted" secret'
ONE = "- hosts: {hosts}\n  gather_facts: false\n  tasks:\n"
PLAYBOOKS = {
    "announce": ONE
    + "    - name: announce\n"
    + '      ansible.builtin.shell: echo "{{ karaula_epoch }} {{ prefix }}" >> {{ place }}/announced\n'
    + '    - name: tell\n      ansible.builtin.debug: { msg: "by {{ password }}" }\n',
    "announced": ONE
    + "    - name: see\n      ansible.builtin.command: test -s {{ place }}/announced\n      changed_when: false\n",
    "announced-slowly": ONE + "    - ansible.builtin.command: test -s {{ place }}/notice\n      changed_when: false\n",
    "withdraw": ONE + "    - ansible.builtin.file: { path: '{{ place }}/announced', state: absent }\n",
    "notice": ONE
    + "    - ansible.builtin.copy: { content: '{{ prefix }}', dest: '{{ place }}/notice' }\n"
    + "    - ansible.builtin.command: 'true'\n      when: false\n",
    "trouble": ONE + "    - name: fail\n      ansible.builtin.command: /bin/false\n",
    "slow": ONE + "    - ansible.builtin.shell: touch {{ place }}/begun && exec sleep 3000\n",
}
DAEMON = """
import asyncio
from pathlib import Path
from monitor.clients.ansible import Play, carry_out
project = Path("{project}")
play = Play(project, "slow.yml", project / "inventory", {{}}, {options!r})
asyncio.run(carry_out(play, 600, lambda line: None))
"""
BOOK = """
kind: backup
summary: Announce it
steps:
  - id: announce
    action: ansible
    timeout_s: 600
    args:
      project: edge
      playbook: announce.yml
      probe: announced.yml
      undo: withdraw.yml
      limit: near
      variables: { prefix: "10.20.0.0/16" }
"""


class Edge:
    """A project of Ansible's with three hosts: one is near, one has no sshd, one has another's key."""

    def __init__(self, folder: Path) -> None:
        need("ansible-playbook", "ansible-core")
        self.folder = folder
        self.project = folder / "project"
        self.project.mkdir()
        self.sshd = Sshd(folder)
        self.stranger = Sshd(self._sub("stranger"), address="127.94.0.22")
        self.sshd.known_hosts.write_text(
            self.sshd.known_hosts.read_text()
            + self.sshd.known_hosts.read_text().replace(
                f"[{self.sshd.address}]:{self.sshd.port}", f"[{self.stranger.address}]:{self.stranger.port}"
            )
        )
        (folder / "password").write_text(SECRET + "\n")
        hosts = {
            "near": (self.sshd.address, self.sshd.port),
            "far": (self.sshd.address, free_port(self.sshd.address)),
            "stranger": (self.stranger.address, self.stranger.port),
        }
        python = "ansible_python_interpreter=/usr/bin/python3"
        lines = [
            f"{name} ansible_host={address} ansible_port={port} {python}" for name, (address, port) in hosts.items()
        ]
        (self.project / "inventory").write_text("\n".join([*lines, "[all:vars]", f"place={self._sub('place')}", ""]))
        for name, text in PLAYBOOKS.items():
            (self.project / f"{name}.yml").write_text(text.replace("{hosts}", "all"))
        (self.project / "ansible.cfg").write_text("[defaults]\nhost_key_checking = False\n")
        self.place = folder / "place"
        project = {
            "folder": str(self.project),
            "user": "root" if os.geteuid() == 0 else self.sshd.host().user,
            "credential": "ssh-karaula",
            "secrets": {"password": "password"},
        }
        trust = INVENTORY.trust.model_copy(update={"known_hosts": "known_hosts"})
        known = {"edge": AnsibleProject.model_validate(project)}
        self.inventory = INVENTORY.model_copy(update={"ansible": known, "trust": trust})
        self.said: list[str] = []

    def _sub(self, name: str) -> Path:
        (self.folder / name).mkdir()
        return self.folder / name

    def context(self, token: int = 7) -> Context:
        world: Any = SimpleNamespace(
            inventory=self.inventory, credentials=Credentials(self.folder), clock=RealClock()
        )  # all of the World that the action touches
        return Context("run-1", "announce", 1, "run-1/announce", token, LONG_S, world, self.said.append)

    def args(self, **more: object) -> Any:
        given = {"system": "ncts", "site": "dr", "project": "edge", "limit": "near", "variables": {"prefix": "x"}}
        return Ansible().Args.model_validate({**given, **more})

    def announced(self) -> list[str]:
        return (self.place / "announced").read_text().splitlines() if (self.place / "announced").exists() else []

    def play(self, playbook: str, *options: str) -> Play:
        strict = f"--ssh-common-args=-o StrictHostKeyChecking=yes -o UserKnownHostsFile={self.sshd.known_hosts}"
        user = ("--user=root", f"--private-key={self.folder / 'ssh-karaula'}")
        return Play(self.project, f"{playbook}.yml", self.project / "inventory", {}, (strict, *user, *options))


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    made = Edge(tmp_path_factory.mktemp("edge"))
    made.sshd.start()
    made.stranger.start()
    yield made
    made.sshd.stop()
    made.stranger.stop()


@pytest.fixture(autouse=True)
def place_of_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Plays have their folders here, and leave nothing: no file, no secret, no process."""
    short = Path(tempfile.mkdtemp(prefix="kp-"))  # a socket's path is short
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(short))
    yield short
    assert left(short) == []
    assert of_plays() == []
    short.rmdir()


def of_plays() -> list[int]:
    """Return the processes of any play."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and b"KARAULA_ANSIBLE=karaula-ansible-" in environment(entry)
    ]


def left(place: Path) -> list[Path]:
    return list(place.iterdir())


def environment(entry: Path) -> bytes:
    try:
        return (entry / "environ").read_bytes()
    except OSError:
        return b""


async def until(holds: Callable[[], object]) -> None:
    give_up = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.05)


async def test_one_effect_though_the_reply_is_lost_and_though_it_is_asked_for_again(
    edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losing = ["announce.yml"]

    async def lossy(play: Play, timeout_s: float, on_line: Callable[[str], None]) -> Played:
        played = await carry_out(play, timeout_s, on_line)
        if play.playbook in losing:
            losing.remove(play.playbook)
            raise DeadlineExceeded("no reply")
        return played

    monkeypatch.setattr(ansible, "carry_out", lossy)
    acts: Any = {"ansible": Ansible()}
    async with house(tmp_path, acts, {"announce": BOOK}, inventory=edge.inventory, credentials=edge.folder) as home:
        first = await home.until(await home.submit("announce"))
        assert (first.state, losing) == (RunState.SUCCEEDED, [])
        record = first.steps["announce"]
        assert record.attempt == 1, "it was looked for, and not run again"
        assert record.plan.undoable
        assert edge.announced() == [f"{first.token} 10.20.0.0/16"]
        kept = "\n".join(output.text for output in home.journal.outputs(first.id))
        assert "by ***" in kept, "the whole output is kept, and no secret"
        assert "quoted" not in kept
        second = await home.until(await home.submit("announce"))
        assert second.state is RunState.SUCCEEDED
        values = second.steps["announce"].outputs
        assert (values["hosts"], values["ok"], values["changed"], values["failed"]) == (1, "near", "", "")
        assert len(edge.announced()) == 1
    known = {"playbook": "announce.yml", "probe": "announced.yml", "variables": {"prefix": "10.20.0.0/16"}}
    assert values["held_before"] is True
    await Ansible().undo(edge.args(**known, undo="withdraw.yml"), edge.context(), values)
    assert len(edge.announced()) == 1, "what held before the step is not the step's to take back"
    with pytest.raises(StepFailed, match=r"announced.yml was run, but that its effect is gone is not seen: announced"):
        await Ansible().undo(edge.args(**known, undo="announced.yml"), edge.context(), {})
    await Ansible().undo(edge.args(**known, undo="withdraw.yml"), edge.context(), {})
    assert edge.announced() == []


async def test_a_run_that_only_looks_tells_what_is_missing_and_what_it_cannot_see(edge: Edge) -> None:
    action, args = Ansible(), edge.args(playbook="notice.yml")
    done = await action.run(args, edge.context())
    assert "before: notice.yml would change something at near" in edge.said
    assert (done.outputs["changed"], (edge.place / "notice").read_text()) == ("near", "x")
    seen = await action.probe(args, edge.context())
    assert (seen.holds, seen.evidence) == (Holds.YES, "notice.yml would change nothing at near")
    blind = await action.probe(edge.args(playbook="announce.yml"), edge.context())
    assert blind.holds is Holds.CANNOT_TELL
    assert "cannot say beforehand what they would change ('announce'); name a playbook that can tell" in blind.evidence


async def test_each_hosts_trouble_is_told_and_a_strange_key_is_trouble(edge: Edge) -> None:
    """The project's own ansible.cfg says that keys are not to be checked."""
    args = edge.args(playbook="trouble.yml", probe="announced.yml", limit="near:far:stranger")
    with pytest.raises(
        StepFailed, match=r"trouble.yml: failed at near; unreachable at far, stranger \(near: fail: "
    ) as told:
        await Ansible().run(args, edge.context())
    assert told.value.retry_helps
    assert "whether it holds already cannot be seen" not in "\n".join(edge.said)
    assert "Host key verification failed" in "\n".join(edge.said)


async def test_a_daemon_that_stops_in_the_middle_looks_before_it_goes_on(edge: Edge, tmp_path: Path) -> None:
    for name in ("begun", "notice"):
        (edge.place / name).unlink(missing_ok=True)
    acts: Any = {"ansible": Ansible()}
    book = BOOK.replace("announce.yml", "slow.yml").replace("announced.yml", "announced-slowly.yml")
    setup: dict[str, Any] = {"inventory": edge.inventory, "credentials": edge.folder}
    async with house(tmp_path, acts, {"announce": book}, **setup) as home:
        run = await home.submit("announce")
        await until((edge.place / "begun").exists)
    assert of_plays() == [], "what it had begun has ended with it"
    async with house(tmp_path, acts, {"announce": book}, **setup) as home:

        def looked() -> list[StepProbed]:
            return [event for event in home.orchestrator.events(run.id) if isinstance(event, StepProbed)]

        await until(looked)
        assert looked()[0].holds == "no", "it is looked for before anything is run again"
        assert "announced-slowly.yml: failed at near" in looked()[0].evidence


async def test_what_is_cancelled_is_gone_with_all_that_it_started(edge: Edge) -> None:
    (edge.place / "begun").unlink(missing_ok=True)
    task = asyncio.create_task(carry_out(edge.play("slow", "--limit=near"), LONG_S, lambda _line: None))
    await until((edge.place / "begun").exists)
    assert of_plays()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(DeadlineExceeded, match=r"slow.yml was not done within 0.1 s and was ended"):
        await carry_out(edge.play("slow", "--limit=near"), 0.1, lambda _line: None)


async def test_what_a_dead_daemon_leaves_is_ended_before_anybody_looks(edge: Edge, place_of_plays: Path) -> None:
    (edge.place / "begun").unlink(missing_ok=True)
    options = edge.play("slow", "--limit=near").options
    program = DAEMON.format(project=str(edge.project), options=options)
    daemon = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=TOP)
    await until((edge.place / "begun").exists)
    ansible.sweep()
    assert of_plays(), "those of a living daemon are not touched"
    daemon.kill()
    await daemon.wait()
    assert of_plays(), "they have outlived it"
    assert left(place_of_plays)
    ansible.sweep()


NEAR, FAR = HostResult(ok=2), HostResult(unreachable=1)


@pytest.mark.parametrize(
    ("played", "by_check", "by_probe"),
    [
        (Played(0, {"near": NEAR}, (), (), ""), "yes", "yes"),
        (Played(0, {"near": HostResult(ok=1, changed=1)}, (), (), ""), "no", "cannot-tell"),
        (Played(2, {"near": HostResult(ok=1, failed=1)}, (), ("near: x",), ""), "cannot-tell", "no"),
        (Played(4, {"near": NEAR, "far": FAR}, (), (), ""), "cannot-tell", "cannot-tell"),
        (Played(2, {"near": HostResult(failed=1), "far": FAR}, (), (), ""), "cannot-tell", "cannot-tell"),
        (Played(0, {"near": NEAR}, ("a task",), (), ""), "cannot-tell", "yes"),
        (Played(1, {}, (), (), "ERROR! no hosts"), "cannot-tell", "cannot-tell"),
        (Played(0, {}, (), (), "no hosts matched"), "cannot-tell", "cannot-tell"),
        (Played(-9, {"near": NEAR}, (), (), ""), "cannot-tell", "cannot-tell"),
    ],
)
def test_what_a_look_proves(played: Played, by_check: str, by_probe: str) -> None:
    assert (_said_by_check("a.yml", played).holds.value, _said_by_probe("a.yml", played).holds.value) == (
        by_check,
        by_probe,
    )
