"""Exit codes of the `karaula` command: each number once, with the words that help and docs/cli.md show."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DONE = 0
FAILED = 1
USAGE = 2
REFUSED = 3
NO_DAEMON = 4
WAITS_FOR_PERSON = 5
INTERRUPTED = 130

MEANINGS: Mapping[int, str] = MappingProxyType(
    {
        DONE: "done; the run succeeded",
        FAILED: "mistakes were found; the run FAILED or was CANCELED; a system's readiness is red; a defect",
        USAGE: "wrong usage; an unknown command, option, system or run",
        REFUSED: "refused: by a guard, by the state of the run or daemon, or by a permission",
        NO_DAEMON: "no daemon (or no lab) answers",
        WAITS_FOR_PERSON: "the run is PAUSED and waits for a person (only without a terminal)",
        INTERRUPTED: "Ctrl-C; a run that was watched goes on",
    }
)

# Errors of the daemon's that come of what was typed, by their code.
TYPED_WRONG = frozenset(
    {"run", "playbook", "system", "decision", "step", "request", "reason", "answer", "parameter", "forced"}
)


def of_refusal(status: int, code: str) -> int:
    """Return the exit code for the daemon's error ``code`` sent with HTTP ``status``."""
    if code == "mistakes":
        return FAILED
    if code in TYPED_WRONG and status < 500:  # noqa: PLR2004 - the daemon's own faults begin there
        return USAGE
    return FAILED if status == 500 else REFUSED  # noqa: PLR2004 - Internal Server Error


def of_run(state: str) -> int:
    """Return the exit code for a run's ``state`` (``RunState``), final or not."""
    if state in {"FAILED", "CANCELED"}:
        return FAILED
    return WAITS_FOR_PERSON if state == "PAUSED" else DONE
