"""Watching a run until it ends: a live view on a terminal, one line a change without, nothing when JSON is wanted.

A daemon that goes away does not end the watch at once: its runs are journaled, and the next daemon continues them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

from rich.live import Live

from console.client import Answered, ClientError, NoDaemon
from console.terminal import exits
from console.terminal.changes import changes
from console.terminal.run_view import head, live, steps_table
from console.terminal.shapes import Run

if TYPE_CHECKING:
    from console.cli.session import Session

RETURN_S = 300
PAUSE_S = 1.0
PER_S = 4


class Watched:
    """The newest state of a run and the newest line of each of its steps."""

    def __init__(self, run: Run) -> None:
        """Begin with ``run``."""
        self.run = run
        self.lines: dict[str, str] = {}
        self.trouble = ""

    def take(self, kind: str, body: Any) -> bool:
        """Take an event of the stream in; tell whether the run changed."""
        self.trouble = ""
        if kind == "line":
            self.lines[body["step"]] = body["line"]
        elif kind == "run":
            self.run = cast("Run", body)
        return kind == "run"


def follow(session: Session, run: Run) -> Run:
    """Watch ``run`` until it is final, or (without a terminal) until it is paused; return how it stands.

    Raises ClientError, and KeyboardInterrupt after having said that the run goes on.
    """
    watched = Watched(run)
    try:
        if session.screen.live:
            _live(session, watched)
        else:
            _lines(session, watched)
    except KeyboardInterrupt:
        session.screen.note(f"\nnot watched any more; run {run['id']} goes on: karaula run watch {run['id']}")
        raise
    return watched.run


def exit_code(run: Run) -> int:
    """Return the exit code for how the run stands."""
    return exits.of_run(run["state"])


def _live(session: Session, watched: Watched) -> None:
    screen = session.screen
    with Live(
        get_renderable=lambda: live(watched.run, watched.lines, screen, watched.trouble),
        console=screen.console,
        refresh_per_second=PER_S,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
    ):
        for kind, body in _events(session, watched):
            watched.take(kind, body)
    screen.say(head(watched.run, screen))
    screen.say("")
    screen.say(steps_table(watched.run["steps"], screen))


def _lines(session: Session, watched: Watched) -> None:
    screen = session.screen
    seen: Run | None = None
    with contextlib.closing(_events(session, watched)) as events:
        for kind, body in events:
            if not watched.take(kind, body):
                continue
            for sentence in changes(seen, watched.run, screen):
                screen.line(f"{screen.moment(screen.now)}  {sentence}")
            if screen.as_json and watched.run["state"] == "WAITING" and (seen is None or seen["state"] != "WAITING"):
                screen.note("\n".join(changes(None, watched.run, screen)))
            seen = watched.run
            if watched.run["state"] == "PAUSED" and not screen.attended:
                return


def _events(session: Session, watched: Watched) -> Generator[tuple[str, Any], None, None]:
    """Yield the run's events; when the daemon goes away, ask again for a while."""
    path = f"/api/runs/{watched.run['id']}/stream"
    patience = RETURN_S
    while True:
        try:
            for event in session.stream(path):
                patience = RETURN_S
                yield event
        except NoDaemon as error:
            _lost(session, watched, error, patience)
        except Answered as error:
            if error.code != "state":
                raise
            _lost(session, watched, error, patience)
        else:
            if watched.run["final"]:
                return
            _lost(session, watched, NoDaemon("the daemon ended its answer"), patience)
        patience -= 1
        session.wait(PAUSE_S)


def _lost(session: Session, watched: Watched, error: ClientError, patience: int) -> None:
    """Say once that the daemon is gone. Raises ``error`` when it has been gone for too long."""
    if patience <= 0:
        raise error
    if not watched.trouble:
        watched.trouble = "the daemon does not answer; the run is in its journal and goes on when it is back"
        if not session.screen.live:
            session.screen.note(watched.trouble)
