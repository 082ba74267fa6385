#!/usr/bin/env python3
"""Set-up and the main commands of this repository; needs Python 3.11 and nothing else.

    ./do run            set up, start the simulated estate and the daemon, and say where the console is
    ./do test           set up, install the servers that tests need (as root), run every check and test
    ./do check          the quick part of it, under two minutes: formatting, types, import contracts, and tests without
                        servers, lab, browser and exploration, with a fifth of the random examples
    ./do bench [NAME]   repeatable measurements beside peers (bench/README.md)
    ./do sites          two sites of real servers in network namespaces, to play with as root (docs/two-sites.md)
    ./do matrix         every crash of every playbook, and every fault of its disk and clock (docs/crashes.md)
    ./do lock           write requirements.lock anew from pyproject.toml (--upgrade: with newest versions)
    ./do setup          only make the virtual environment .venv
    ./do add PACKAGE    put a package with actions of your own into .venv (docs/actions.md); a name or a folder
    ./do clean          remove .venv, .karaula and caches

Exit codes: 0 well, 1 something failed, 2 wrong usage, 3 set-up needs one command that only an administrator may run.
How the virtual environment is made, and why without make, tox or a build: docs/decisions/0005-do-without-make.md.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.environment import (
    LOCK_FILE,
    NEEDS_ADMINISTRATOR,
    PYTHON,
    ROOT,
    USAGE,
    VENV,
    WORK,
    add,
    apt_install,
    one_at_a_time,
    quietly,
    refuse_while_running,
    say,
    setup,
    stop,
    succeeds,
    uv_environment,
)
from deploy.gates import QUICK, gates

if TYPE_CHECKING:
    from collections.abc import Callable

CONSOLE = ("127.0.0.1", 8470)
LAB = ("127.80.0.1", 8900)
CACHES = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache", ".hypothesis", "build", "dist")
TEST_PACKAGES = (
    "openssh-client",
    "openssh-server",
    "snmpd",
    "snmp",
    "nut-client",
    "nut-server",
    "bind9",
    "bind9-dnsutils",
    "postgresql",
    "restic",
    "pgbackrest",
    "rclone",  # the append-only second place of backups
    "slapd",
    "ldap-utils",
    "chrony",
    "prometheus",
    "prometheus-alertmanager",
    "chromium",
    "golang-go",
    "golang-github-vmware-govmomi-dev",
    "fping",  # the peer of bench/echo.py
    "frr",
    "frr-snmp",
    "keepalived",
    "iproute2",
    "nftables",
    "poppler-utils",
    "openssl",
    "ansible-core",
    "python3-pip",  # the example of a package that brings an action is built and installed
    "python3-setuptools",
    "python3",  # what is shipped for hosts runs by the system's own
    "util-linux",
    "procps",
    "libatomic1",  # playwright's driver is linked against it
)
SITE_PACKAGES = "postgresql openssh-server bind9 slapd ldap-utils restic rclone golang-go iproute2 nftables openssl"
BENCHES = ("poll", "render", "scrape", "engine", "failover", "fanout", "journal", "resume", "snmp", "echo", "restore")


# -- run --------------------------------------------------------------------------------------------------------------


class Part:
    """One of the two processes of ``./do run``, with its log."""

    def __init__(self, name: str, *command: str | Path) -> None:
        self.name = name
        self.log = WORK / "log" / f"{name}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            # In a session of its own: Ctrl-C reaches us alone, and we stop the parts in order.
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=dict(os.environ, PYTHONUNBUFFERED="1"),
                start_new_session=True,
            )

    def complain_if_dead(self) -> None:
        """Stop everything when this part has ended by itself."""
        if (code := self.process.poll()) is not None:
            last = self.log.read_text(errors="replace").splitlines()[-15:]
            shown = "\n".join(f"    {line}" for line in last)
            stop(
                f"the {self.name} ended with exit code {code}; the last lines of {self.log.relative_to(ROOT)}:\n{shown}"
            )

    def wait_for(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until ``ready``; stop everything when it does not come."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.complain_if_dead()
            if time.monotonic() > deadline:
                stop(f"the {self.name} was not ready within {seconds:.0f} s; see {self.log.relative_to(ROOT)}")
            time.sleep(0.05)

    def end(self) -> None:
        """Ask it to stop, then make it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                say(f"the {self.name} does not stop; killing it")
                self.process.kill()
                self.process.wait()


def listens(address: tuple[str, int]) -> bool:
    """Tell whether something accepts connections there."""
    try:
        socket.create_connection(address, 1).close()
    except OSError:
        return False
    return True


def shown(address: tuple[str, int]) -> str:
    """Return an address as people write it."""
    return f"{address[0]}:{address[1]}"


WELCOME = """
  The estate is watched. Web page:  http://{console}/
  The lab's own page (faults):      http://{lab}/

  Try in another terminal:
    .venv/bin/karaula status                     what is well and what is not
    .venv/bin/karaula lab cut main               pull the main site's plug, then look at the web page
    .venv/bin/karaula runs                       what has been prepared; approve it on the web page

  Logs are in .karaula/log/, journal and history in .karaula/state/. Ctrl-C stops both.
"""


def put_earlier_state_away() -> None:
    """Make room for a new journal: the lab begins anew each time, and an old journal would speak of another estate."""
    state, earlier = WORK / "state", WORK / "state.earlier"
    if state.exists():
        shutil.rmtree(earlier, ignore_errors=True)
        state.rename(earlier)
        say(f"the estate begins anew; the journal of the run before is kept in {earlier.relative_to(ROOT)}")


def run() -> int:
    """Start lab and daemon and stay until a signal comes."""
    setup()
    for address in (CONSOLE, LAB):
        if listens(address):
            refuse_while_running(f"listen on {shown(address)}, which something does already,")
            stop(f"cannot listen on {shown(address)}: another program does already")
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell starts its background jobs with SIGINT ignored
        signal.signal(number, lambda *_: sys.exit(0))
    put_earlier_state_away()
    parts: list[Part] = []
    try:
        lab = Part("lab", PYTHON, "-m", "lab", "--inventory", "inventory.yaml", "--state", WORK / "lab")
        parts.append(lab)
        lab.wait_for(lambda: any(line.startswith("lab ready") for line in lab.log.read_text().splitlines()), 60)
        daemon = Part(
            "daemon",
            *(VENV / "bin" / "karaula", "serve", "--inventory", "inventory.yaml", "--playbooks", "playbooks"),
            *("--state", WORK / "state", "--credentials", WORK / "lab" / "credentials"),
        )
        parts.append(daemon)
        daemon.wait_for(lambda: listens(CONSOLE), 60)
        print(WELCOME.format(console=shown(CONSOLE), lab=shown(LAB)), flush=True)
        while True:
            for part in parts:
                part.complain_if_dead()
            time.sleep(0.5)
    finally:
        for part in reversed(parts):
            part.end()


# -- checks and the rest ----------------------------------------------------------------------------------------------


def servers(what_then: str, packages: tuple[str, ...] = TEST_PACKAGES) -> None:
    """Install Debian's servers, as root; where they cannot be, say what then."""
    missing = [name for name in packages if not quietly("dpkg", "-s", name)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"installing: {' '.join(missing)}")
        with one_at_a_time():
            if not apt_install(*missing):
                say(f"not all could be installed; {what_then}")
    elif missing:
        say(f"not installed: {' '.join(missing)}; {what_then}")


def test(*arguments: str) -> int:
    """Run everything; as root install first what the tests start."""
    servers("tests that need them will skip (with CI=true they fail)")
    setup()
    return gates(*arguments)


def sites() -> int:
    """Be two sites until somebody says that it is enough: this process becomes them, so that signals reach them."""
    if os.geteuid() != 0:
        stop("network namespaces need root. Type: sudo ./do sites", NEEDS_ADMINISTRATOR)
    servers("the estate needs them", (*SITE_PACKAGES.split(), "golang-github-vmware-govmomi-dev"))
    setup()
    paths = os.pathsep.join(str(ROOT / name) for name in (".", "tests", "tests/real"))
    script = str(ROOT / "tests" / "real" / "two_sites_by_hand.py")
    os.execve(PYTHON, [str(PYTHON), script], dict(os.environ, PYTHONPATH=paths))  # noqa: S606 - no shell is wanted


def check(*arguments: str) -> int:
    """Run what needs no servers and explores nothing, and fewer examples of everything: in less than two minutes."""
    setup()
    return gates(*QUICK, *arguments)


def bench(name: str = "") -> int:
    """Run one measurement, or all."""
    if name and name not in BENCHES:
        stop(f"no bench {name!r}; there are: {', '.join(BENCHES)}", USAGE)
    setup()
    codes = [
        subprocess.run([str(PYTHON), f"bench/{one}.py"], cwd=ROOT, check=False).returncode
        for one in ([name] if name else BENCHES)
    ]
    return next((code for code in codes if code), 0)


def matrix() -> int:
    """Try every point of both crash matrices, of which the tests try a sample."""
    setup()
    paths = dict(os.environ, PYTHONPATH=os.pathsep.join((str(ROOT), str(ROOT / "tests"))))
    codes = [
        subprocess.run([str(PYTHON), *(f"tests/crash/{one}".split())], cwd=ROOT, env=paths, check=False).returncode
        for one in ("matrix.py", "matrix.py --again", "faults.py")
    ]
    on_the_lab = [str(PYTHON), "-m", "pytest", "-q", "tests/crash/test_kill_at_each_write.py"]
    codes.append(
        subprocess.run(on_the_lab, cwd=ROOT, env=dict(os.environ, KARAULA_EVERY_DEATH="1"), check=False).returncode
    )
    return next((code for code in codes if code), 0)


def lock(option: str = "") -> int:
    """Resolve pyproject.toml into requirements.lock, for every platform, with hashes and without URLs."""
    if option not in ("", "--upgrade"):
        stop("usage: ./do lock [--upgrade]", USAGE)
    tools = WORK / "tools"
    uv = shutil.which("uv") or str(tools / "bin" / "uv")
    if not Path(uv).exists():
        made = succeeds(sys.executable, "-m", "venv", "--without-pip", tools)
        if not made or not succeeds(
            sys.executable, "-m", "pip", "--python", tools / "bin/python", "install", "-q", "uv"
        ):
            stop("uv is needed to write the lock. Type: pip install uv", NEEDS_ADMINISTRATOR)
    fresh = WORK / "requirements.lock.new"
    fresh.parent.mkdir(exist_ok=True)
    shutil.copyfile(LOCK_FILE, fresh)
    command = (uv, "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate")
    options = ("--all-extras", "--python-version", "3.11", "--output-file", fresh, "pyproject.toml")
    if not succeeds(*command, *options, *((option,) if option else ()), env=uv_environment()):
        stop("uv could not resolve pyproject.toml")
    if "://" in fresh.read_text():
        stop(f"the new lock names a URL and is not taken; see {fresh.relative_to(ROOT)}")
    fresh.replace(LOCK_FILE)
    say("requirements.lock is written; the next ./do makes .venv anew if it changed")
    return 0


def clean() -> int:
    """Remove everything that is not of the repository."""
    with one_at_a_time():
        refuse_while_running("clean")
        for path in (VENV, WORK, *(ROOT / name for name in CACHES)):
            if path.exists():
                say(f"removing {path.relative_to(ROOT)}")
                shutil.rmtree(path)
        for cache in [path for path in ROOT.rglob("__pycache__") if path.is_dir()]:
            shutil.rmtree(cache)
    return 0


def setup_only() -> int:
    """Set up and do nothing else."""
    setup()
    say(f"ready: {VENV.relative_to(ROOT)}")
    return 0


def add_packages(*packages: str) -> int:
    """Put packages into the environment."""
    if not packages:
        stop("usage: ./do add PACKAGE...", USAGE)
    add(*packages)
    return 0


MANY = 99
# Each command and how many arguments it takes at most.
COMMANDS: dict[str, tuple[Callable[..., int], int]] = {
    "run": (run, 0),
    "test": (test, MANY),
    "check": (check, MANY),
    "bench": (bench, 1),
    "sites": (sites, 0),
    "matrix": (matrix, 0),
    "lock": (lock, 1),
    "setup": (setup_only, 0),
    "add": (add_packages, MANY),
    "clean": (clean, 0),
}


def main(arguments: list[str]) -> int:
    """Pick the command."""
    name, *more = arguments or [""]
    if name in ("help", "-h", "--help"):
        print(__doc__)
        return 0
    if name not in COMMANDS or len(more) > COMMANDS[name][1]:
        print(__doc__, file=sys.stderr)
        return USAGE
    try:
        return COMMANDS[name][0](*more)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
