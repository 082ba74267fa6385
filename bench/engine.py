"""A playbook of ten steps over SSH: the engine, its SSH alone, and ansible-playbook, on one Debian sshd.

The ten commands are the same. Karaula also asks after each whether its effect holds, as it always does, so it runs
twenty; and its journal is on disk with ``synchronous=FULL``. Karaula's daemon is running, as it is in life;
ansible-playbook is started for each run, as it is in life, and keeps its connection in between (ControlPersist).
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure import Cost, Watch, free_port, machine, median, peer, process, table, wait_for_port
from deploy.environment import ROOT
from dr.actions import ACTIONS
from dr.engine.orchestrator import Orchestrator, Request, Rules
from dr.guards import RUN_GUARDS, STEP_GUARDS
from dr.journal.run import RunState
from dr.journal.sqlite import SqliteJournal
from dr.playbook.read import read_playbooks
from dr.world import World
from monitor.clients.http import HttpClient
from monitor.clients.redfish import RedfishClient
from monitor.clients.ssh import SshPool
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.read import read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STEPS = 10
ROUNDS = 5
HOST = "ncts-db-main"
MOST_ADDRESSES = 16


def commands(place: Path) -> list[tuple[list[str], list[str]]]:
    """Return the ten commands, each with the command that tells whether its effect holds."""
    return [
        (["mkdir", "-p", str(place / f"step-{number}")], ["test", "-d", str(place / f"step-{number}")])
        for number in range(STEPS)
    ]


@contextlib.contextmanager
def sshd(folder: Path, addresses: Sequence[str] = ("127.0.0.1",)) -> Iterator[int]:
    """Run Debian's sshd for this user on a port of its own; keys and known_hosts are in ``folder``.

    One listens on sixteen addresses at most (its MAX_LISTEN_SOCKS); for more there are several.
    """
    binary = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        sys.exit("bench: type: sudo apt-get install openssh-server")
    port = free_port()
    for name in ("host", "ssh-karaula"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    key = (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text("".join(f"[{address}]:{port} {key}" for address in addresses))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with contextlib.ExitStack() as running:
        for first in range(0, len(addresses), MOST_ADDRESSES):
            mine = addresses[first : first + MOST_ADDRESSES]
            lines = (
                *(f"ListenAddress {address}:{port}" for address in mine),
                f"HostKey {folder / 'host'}",
                f"AuthorizedKeysFile {folder / 'ssh-karaula.pub'}",
                "MaxStartups 1000",
                "PidFile none",
                "StrictModes no",
                "UsePAM no",
                "PasswordAuthentication no",
                # Debian's bash reads .bashrc when sshd starts it, unless it is not the first shell: not measured here.
                "SetEnv SHLVL=2",
            )
            config = folder / f"sshd_config-{first}"
            config.write_text("\n".join(lines) + "\n")
            server = running.enter_context(process(binary, "-D", "-e", "-f", config, log=f"sshd-{first}.log"))
            wait_for_port(port, server, host=mine[-1])
        yield port


def playbook(folder: Path, place: Path) -> Path:
    """Write the playbook of ten steps, one after the other; return its folder."""
    steps = [
        {
            "id": f"step-{number}",
            "action": "ssh_run",
            "args": {"host": HOST, "command": command, "check": check},
            "needs": [f"step-{number - 1}"] if number else [],
            "timeout_s": 60,
        }
        for number, (command, check) in enumerate(commands(place))
    ]
    (folder / "playbooks").mkdir()
    # JSON is YAML too.
    text = json.dumps({"kind": "backup", "summary": "Ten steps over SSH", "steps": steps}, indent=1)
    (folder / "playbooks" / "ten.yaml").write_text(text)
    return folder / "playbooks"


async def karaula(folder: Path, port: int) -> list[tuple[str, Cost]]:
    """Measure runs of the engine, then the same twenty commands without it."""
    text = (ROOT / "inventory.yaml").read_text()
    before = "address: 127.80.1.22, port: 2222, user: karaula"
    assert before in text, "the shipped inventory has changed its hosts"
    here = folder / "inventory.yaml"
    here.write_text(text.replace(before, f"address: 127.0.0.1, port: {port}, user: {getpass.getuser()}"))
    clock, credentials = RealClock(), Credentials(folder)
    http = HttpClient(None)
    pool = SshPool(credentials, folder / "known_hosts", clock)
    world = World(read(here), credentials, clock, pool, {}, http, RedfishClient(http), lambda _system: None)
    place = folder / "karaula"
    rules = Rules(read_playbooks(playbook(folder, place)), ACTIONS, RUN_GUARDS, STEP_GUARDS, "")
    orchestrator = Orchestrator(SqliteJournal(folder / "journal.sqlite"), world, rules, epoch_seen=lambda _system: 0)
    await orchestrator.start()
    ended = asyncio.Event()
    orchestrator.subscribe(lambda run, _events: ended.set() if run.state.final else None)
    costs, bare = [], []
    try:
        for _ in range(ROUNDS + 1):
            ended.clear()
            with Watch() as watch:
                run = await orchestrator.submit(Request("ten", "ncts", "bench"))
                await ended.wait()
            state = orchestrator.run(run.id).state
            assert state is RunState.SUCCEEDED, f"the run ended {state}"
            costs.append(watch.cost)
            shutil.rmtree(place)
        host = world.inventory.hosts[HOST]
        for _ in range(ROUNDS):
            with Watch() as watch:
                for command, check in commands(place):
                    await pool.run(host, command, timeout_s=60)
                    result = await pool.run(host, check, timeout_s=60)
                    assert result.exit_status == 0
            bare.append(watch.cost)
            shutil.rmtree(place)
    finally:
        await orchestrator.stop()
        await pool.close()
        await http.close()
    return [
        ("karaula, first run (connects)", costs[0]),
        (f"karaula (median of {ROUNDS})", median(costs[1:])),
        (f"its SSH alone, same 20 commands (median of {ROUNDS})", median(bare)),
    ]


def ansible(folder: Path, port: int) -> list[tuple[str, Cost]]:
    """Measure ansible-playbook with the same ten commands, by its command module and by its raw module."""
    programs = peer("ansible", "ansible-core")
    place = folder / "ansible"
    env = os.environ | {
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_SSH_ARGS": f"-o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile={folder}/known_hosts",
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
    }
    inventory = folder / "hosts.ini"
    inventory.write_text(
        f"target ansible_host=127.0.0.1 ansible_port={port} ansible_user={getpass.getuser()} "
        f"ansible_ssh_private_key_file={folder / 'ssh-karaula'}\n"
    )
    rows = []
    for module in ("command", "raw"):
        tasks = [
            {"name": f"step-{number}", f"ansible.builtin.{module}": " ".join(command)}
            for number, (command, _) in enumerate(commands(place))
        ]
        file = folder / f"{module}.yaml"
        file.write_text(json.dumps([{"hosts": "target", "gather_facts": False, "tasks": tasks}], indent=1))
        costs = []
        for _ in range(ROUNDS + 1):
            with Watch() as watch:
                done = subprocess.run(
                    [programs / "ansible-playbook", "-i", inventory, file], env=env, capture_output=True, check=False
                )
            assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
            assert len(list(place.iterdir())) == STEPS
            costs.append(watch.cost)
            shutil.rmtree(place)
        rows.append((f"ansible-playbook, {module} module, first run", costs[0]))
        rows.append((f"ansible-playbook, {module} module (median of {ROUNDS})", median(costs[1:])))
    return rows


def main() -> int:
    """Run all of it."""
    with tempfile.TemporaryDirectory(prefix="karaula-bench-") as name, sshd(Path(name)) as port:
        rows = asyncio.run(karaula(Path(name), port)) + ansible(Path(name), port)
    print(machine())
    table("ten steps over SSH; times: wall / processor beside Karaula", rows, beside=1)
    ours, alone = rows[1][1], rows[2][1]
    print(f"\nthe engine and its journal add {(ours.wall_s - alone.wall_s) / STEPS * 1000:.1f} ms a step")
    return 0


if __name__ == "__main__":
    sys.exit(main())
