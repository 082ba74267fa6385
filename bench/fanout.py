"""A hundred hosts, ten commands on each: one run of a thousand steps beside ansible-playbook with as many forks.

One Debian sshd listens on a hundred addresses of loopback. The thousand commands are the same, and at most twenty at a
time: Karaula's pool has twenty threads, ansible-playbook twenty forks (pipelining and ControlPersist on). Karaula asks
after each whether its effect holds, so it runs two thousand, and each intent is on disk (``synchronous=FULL``) before
its command is sent. Its processor time is that of its process, ansible's that of its processes and of the ssh that they
leave behind; what sshd and the commands themselves take counts for neither.
Exits with 1 when ansible's command module is not ten times slower, or not ten times as costly.
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

import yaml

from bench.engine import sshd
from bench.measure import WORK, Cost, Watch, cpu_s_of, machine, median, peer, table
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
from monitor.inventory.read import checked
from monitor.yamlfile import load

HOSTS, COMMANDS, AT_ONCE = 100, 10, 20
ROUNDS = 3
TIMES = 10.0
ADDRESSES = [f"127.77.{number // 50}.{number % 50 + 1}" for number in range(HOSTS)]
MODULES = ("command", "raw")


def place_of(place: Path, host: int, number: int) -> Path:
    """Return the folder that a command makes."""
    return place / f"host-{host:03}" / f"step-{number}"


def inventory(folder: Path, port: int) -> Path:
    """Write the shipped inventory with a hundred hosts more; return its file."""
    document = yaml.safe_load((ROOT / "inventory.yaml").read_text())
    usual = {"site": "main", "port": port, "user": getpass.getuser(), "credential": "ssh-karaula"}
    document["hosts"] |= {f"host-{host:03}": usual | {"address": one} for host, one in enumerate(ADDRESSES)}
    document.pop("windows", None)
    (folder / "inventory.yaml").write_text(yaml.safe_dump(document))
    return folder / "inventory.yaml"


def playbook(folder: Path, place: Path) -> Path:
    """Write the playbook: on each host one command after the other, all hosts side by side; return its folder."""
    steps = [
        {
            "id": f"host-{host:03}-step-{number}",
            "action": "ssh_run",
            "args": {
                "host": f"host-{host:03}",
                "command": ["mkdir", "-p", str(place_of(place, host, number))],
                "check": ["test", "-d", str(place_of(place, host, number))],
            },
            "needs": [f"host-{host:03}-step-{number - 1}"] if number else [],
            "timeout_s": 600,
        }
        for host in range(HOSTS)
        for number in range(COMMANDS)
    ]
    (folder / "playbooks").mkdir()
    text = json.dumps({"kind": "backup", "summary": "A thousand steps over SSH", "steps": steps}, indent=1)
    (folder / "playbooks" / "many.yaml").write_text(text)
    return folder / "playbooks"


async def karaula(folder: Path, port: int) -> list[Cost]:
    """Measure runs of the engine: one that connects, then more over the connections that it keeps."""
    clock, credentials, http = RealClock(), Credentials(folder), HttpClient(None)
    pool = SshPool(credentials, folder / "known_hosts", clock, threads=AT_ONCE)
    estate = checked(load(inventory(folder, port)))
    world = World(estate, credentials, clock, pool, {}, http, RedfishClient(http), lambda _system: None)
    place = folder / "karaula"
    rules = Rules(read_playbooks(playbook(folder, place)), ACTIONS, RUN_GUARDS, STEP_GUARDS, "")
    orchestrator = Orchestrator(SqliteJournal(folder / "journal.sqlite"), world, rules, epoch_seen=lambda _system: 0)
    await orchestrator.start()
    ended = asyncio.Event()
    orchestrator.subscribe(lambda run, _events: ended.set() if run.state.final else None)
    costs = []
    try:
        for _ in range(ROUNDS + 1):
            ended.clear()
            with Watch() as watch:
                run = await orchestrator.submit(Request("many", "ncts", "bench"))
                await ended.wait()
            run = orchestrator.run(run.id)
            assert run.state is RunState.SUCCEEDED, f"the run ended {run.state}: {run.end_reason}"
            assert made(place) == HOSTS * COMMANDS
            costs.append(watch.cost)
            shutil.rmtree(place)
    finally:
        await orchestrator.stop()
        await pool.close()
        await http.close()
    return costs


def made(place: Path) -> int:
    """Count the folders that the commands have made."""
    return sum(1 for host in place.iterdir() for _ in host.iterdir())


def left_behind_cpu_s(mark: str) -> float:
    """Return the processor time of the ssh processes that keep ansible's connections; ``mark`` is in their title."""
    total = 0.0
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError):
                if mark.encode() in (process / "cmdline").read_bytes():
                    total += cpu_s_of(int(process.name))
    return total


def ansible(folder: Path, port: int, module: str) -> list[Cost]:
    """Measure ansible-playbook with one module: a run that connects, and one over the connections that it kept."""
    programs = peer("ansible", "ansible-core")
    place, paths = folder / "ansible", folder / f"cp-{module}"
    env = os.environ | {
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_FORKS": str(AT_ONCE),
        "ANSIBLE_SSH_ARGS": f"-o ControlMaster=auto -o ControlPersist=600s -o UserKnownHostsFile={folder}/known_hosts",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(paths),
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
    }
    lines = [
        f"host-{host:03} ansible_host={address} ansible_port={port} ansible_user={getpass.getuser()} "
        f"ansible_ssh_private_key_file={folder / 'ssh-karaula'} place={place}/host-{host:03}"
        for host, address in enumerate(ADDRESSES)
    ]
    (folder / "hosts.ini").write_text("\n".join(["[all]", *lines]) + "\n")
    tasks = [
        {"name": f"step-{number}", f"ansible.builtin.{module}": f"mkdir -p {{{{ place }}}}/step-{number}"}
        for number in range(COMMANDS)
    ]
    file = folder / f"{module}.yaml"
    file.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}], indent=1))
    costs = []
    for _ in range(2):
        before = left_behind_cpu_s(str(paths))
        with Watch() as watch:
            done = subprocess.run(
                [programs / "ansible-playbook", "-i", folder / "hosts.ini", file],
                env=env, capture_output=True, check=False,
            )  # fmt: skip
        assert done.returncode == 0, done.stdout.decode()[-2000:] + done.stderr.decode()[-2000:]
        assert made(place) == HOSTS * COMMANDS
        costs.append(Cost(watch.cost.wall_s, watch.cost.cpu_s + left_behind_cpu_s(str(paths)) - before))
        shutil.rmtree(place)
    end_connections(str(paths))
    return costs


def end_connections(mark: str) -> None:
    """End the ssh processes that keep the connections of one of our runs."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError):
                if mark.encode() in (process / "cmdline").read_bytes():
                    os.kill(int(process.name), 15)


def main() -> int:
    """Run it; 1 when a bound is not kept."""
    WORK.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK, prefix="f") as name, sshd(Path(name), ADDRESSES) as port:
        folder = Path(name)
        ours = asyncio.run(karaula(folder, port))
        theirs = {module: ansible(folder, port, module) for module in MODULES}
    print(machine())
    rows = [("karaula, first run (connects)", ours[0]), (f"karaula (median of {ROUNDS})", median(ours[1:]))]
    for module, (first, second) in theirs.items():
        rows += [(f"ansible-playbook, {module}, first run", first), (f"ansible-playbook, {module}, connected", second)]
    title = f"{HOSTS} hosts, {COMMANDS} commands each, {AT_ONCE} at a time"
    table(f"{title}; times: wall / processor beside Karaula", rows, beside=1)
    kept = True
    for which, our, their in (("first run", ours[0], theirs["command"][0]), ("connected", rows[1][1], rows[3][1])):
        wall, cpu = their.wall_s / our.wall_s, their.cpu_s / our.cpu_s
        kept &= wall >= TIMES and cpu >= TIMES
        print(
            f"{which}: {wall:.1f} times faster than the command module, {cpu:.1f} times cheaper; {TIMES:g} are wanted"
        )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
