"""For tests against servers that Debian packages: where a binary is, or how to get it.

On a laptop without the package the test skips and says the line to type; in CI (environment variable ``CI``) a
missing server is a failure, so that nothing is ever proved by being skipped.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import NoReturn

import pytest

FIRST_PORT, SHARE, WORKERS = 20_000, 3_000, 4
_numbers = itertools.count()
EXTRA_PLACES = ("/usr/sbin", "/sbin", "/usr/local/sbin", "/lib/nut", "/usr/lib/openssh")


def need(binary: str, package: str) -> Path:
    """Return the path of ``binary`` (a name or an absolute path), which Debian's ``package`` brings."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *EXTRA_PLACES])
    found = shutil.which(binary, path=path)
    if found is None:
        missing(binary, package)
    return Path(found)


def need_folder(folder: str, package: str) -> Path:
    """Return ``folder``, which Debian's ``package`` brings."""
    if not Path(folder).is_dir():
        missing(folder, package)
    return Path(folder)


def tell(number: int, *pids: int) -> None:
    """Send a signal to processes; after SIGSTOP wait until every thread of theirs stands still.

    One thread takes the signal and stops the others when it is given the processor; until then they go on answering.
    """
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # a session that has just ended
            os.kill(pid, number)
    while number == signal.SIGSTOP and any(_runs(pid) for pid in pids):
        time.sleep(0.005)


def _runs(pid: int) -> bool:
    """Tell whether a thread of the process is not stopped."""
    try:
        states = [
            (task / "stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()
        ]
    except FileNotFoundError:
        return Path(f"/proc/{pid}").exists()  # a thread has just ended
    return any(state not in "TtZX" for state in states)


def missing(what: str, package: str) -> NoReturn:
    """Skip the test on a laptop, fail it in CI."""
    line = f"{what} is not on this machine; type: sudo apt-get install --yes {package}"
    if os.environ.get("CI"):
        pytest.fail(line)
    pytest.skip(line)


def free_port(address: str = "127.0.0.1", kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port that is free on ``address`` and that nobody else on this machine takes before its server does.

    The system gives its own from 32768 upwards to whoever asks for any; ours are below, and each worker has its share.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for number in _numbers:
        port = FIRST_PORT + worker % WORKERS * SHARE + (os.getpid() * 97 + number) % SHARE
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind((address, port))
            return port
    raise AssertionError("the numbers have no end")
