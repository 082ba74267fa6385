"""The gates of ``./do test`` and ``./do check``: formatting, types, import contracts and tests, side by side.

Like ``do`` it is the standard library of Python 3.11 and nothing else.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from deploy.environment import PYTHON, ROOT, VENV, say

# What ./do check leaves out: tests that start something or explore, and four of five random examples of the others.
# The folders hold nothing but such tests; not to import them saves each worker a second.
QUICK = (
    *("-m", "not lab and not real and not browser and not proof"),
    *(f"--ignore=tests/{folder}" for folder in ("crash", "real", "timelines")),
    "--hypothesis-profile=quick",
)


def gates(*pytest: str) -> int:
    """Run every gate, all of them even when one fails; return the first failure's exit code.

    The tests wait half of their time, so the others run meanwhile, and each says at its end what it found.
    """
    tools = VENV / "bin"
    # Three workers for two processors, for the same reason: a server, a clock or a cut to be noticed takes its time.
    workers = ("-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")
    steps: tuple[tuple[str, tuple[str | Path, ...]], ...] = (
        ("ruff check", (tools / "ruff", "check", ".", "do")),
        ("ruff format", (tools / "ruff", "format", "--check", ".", "do")),
        ("mypy", (tools / "mypy",)),
        ("mypy do, bench", (tools / "mypy", "--explicit-package-bases", "do", *ROOT.glob("bench/*.py"))),
        ("lint-imports", (tools / "lint-imports",)),
    )
    # The tests start hundreds of Pythons: none is to compile anew what one before it has compiled.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    results: list[tuple[str, int, float]] = []
    started = time.monotonic()
    with subprocess.Popen([str(PYTHON), "-m", "pytest", *workers, "-rs", *pytest], cwd=ROOT, env=env) as tests:
        for name, command in steps:
            begun = time.monotonic()
            words = [str(word) for word in command]
            done = subprocess.run(words, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            say(f"{name}\n{done.stdout.decode().rstrip()}")
            results.append((name, done.returncode, time.monotonic() - begun))
    results.append(("pytest", tests.returncode, time.monotonic() - started))
    print()
    for name, code, seconds in results:
        say(
            f"{'ok    ' if code == 0 else 'FAILED'} {name:16} {seconds:6.1f} s"
            + (f"  exit code {code}" if code else "")
        )
    return next((code for _, code, _ in results if code), 0)
