"""Who looks on at runs: told every change and every line that a step prints, and never able to stop a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from dr.journal.event import Event
from dr.journal.run import Run

log = logging.getLogger(__name__)

Listener = Callable[[Run, Sequence[Event]], None]
LineListener = Callable[[str, str, int, str], None]


class Listeners:
    """Those who want to be told."""

    def __init__(self) -> None:
        """Begin with none."""
        self._changes: list[Listener] = []
        self._lines: list[LineListener] = []

    def add(self, listener: Listener, lines: LineListener | None) -> Callable[[], None]:
        """Tell ``listener`` every change of a run, and ``lines`` every line a step prints; call the result to leave."""
        self._changes.append(listener)
        if lines is not None:
            self._lines.append(lines)

        def leave() -> None:
            self._changes.remove(listener)
            if lines is not None:
                self._lines.remove(lines)

        return leave

    def changed(self, run: Run, events: Sequence[Event]) -> None:
        """Tell of a run's new state."""
        for listener in tuple(self._changes):
            _tell(lambda listener=listener: listener(run, events))  # type: ignore[misc]  # a lambda with a default

    def heard(self, run_id: str, step: str, attempt: int, line: str) -> None:
        """Tell of a line that a step prints."""
        for listener in tuple(self._lines):
            _tell(lambda listener=listener: listener(run_id, step, attempt, line))  # type: ignore[misc]  # likewise


def _tell(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:  # the border to whoever looks on: that must not stop a run
        log.exception("a listener broke")
