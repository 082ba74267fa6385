"""``./do sites`` for a person: it takes orders, says what is none, and leaves nothing behind when it is to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from estate_kit import REPOSITORY
from netns_kit import NAMESPACES, netns_estate

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
PROGRAM = Path(__file__).with_name("two_sites_by_hand.py")
PATHS = os.pathsep.join(str(REPOSITORY / name) for name in (".", "tests", "tests/real"))


def test_it_takes_orders_and_ends_by_a_signal_without_a_trace() -> None:
    with netns_estate():  # asks for what is needed
        pass
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, PROGRAM], env=dict(os.environ, PYTHONPATH=PATHS), **pipe) as estate:
        folder = Path()
        for line in estate.stdout:
            if "KARAULA_SOCKET=" in line:
                folder = Path(line.partition("=")[2].strip()).parents[1]
            if line.split() == ["end"]:
                break
        for order, said in (
            ("lose nowhere", "'lose nowhere' is no order, or changes nothing now; there are:"),
            ("repair main", "'repair main' is no order, or changes nothing now; there are:"),
            ("clients", "done: clients"),
            ("lost", "dr, standby: "),
        ):
            estate.stdin.write(f"{order}\n")
            estate.stdin.flush()
            assert any(line.startswith(said) for line in estate.stdout), order
        assert folder.is_dir()
        assert len(list(NAMESPACES.glob(f"karaula-{estate.pid}-*"))) > 10
        estate.send_signal(signal.SIGTERM)
        estate.stdout.read()
    assert estate.returncode == 128 + signal.SIGTERM
    assert not list(NAMESPACES.glob(f"karaula-{estate.pid}-*"))
    give_up = time.monotonic() + 60
    while folder.exists():
        assert time.monotonic() < give_up
        time.sleep(0.05)  # the reaper is a process of its own
