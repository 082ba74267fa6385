"""What removes an estate of network namespaces whose maker is no more, also when that was killed.

Run by ``netns_kit`` as a program: ``netns_reaper.py PREFIX``. Takes folders on standard input, one a line, and waits
for its end, which comes with the maker's however it ends. Then every process in a namespace whose name begins with
PREFIX is killed but for the maker, if that only wishes to be rid of them; the namespaces are deleted and the folders
removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

NAMESPACES = Path("/run/netns")
PATIENCE_S = 20.0


def inside(namespace: str) -> list[int]:
    """Return every process in a namespace."""
    said = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    return [int(word) for word in said.stdout.split()]


def empty(namespaces: list[str], spared: int) -> None:
    """Kill until nobody is left: one of them may just have started another."""
    give_up = time.monotonic() + PATIENCE_S
    while pids := [pid for namespace in namespaces for pid in inside(namespace) if pid != spared]:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > give_up:
            return
        time.sleep(0.05)  # until the kernel has ended them


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # its end is its maker's
        signal.signal(number, signal.SIG_IGN)
    maker = os.getppid()
    folders = [line.strip() for line in sys.stdin]
    namespaces = [place.name for place in NAMESPACES.glob(f"{sys.argv[1]}*")] if NAMESPACES.is_dir() else []
    empty(namespaces, maker)
    for namespace in namespaces:
        subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
