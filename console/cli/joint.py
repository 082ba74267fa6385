"""What the commands about runs do when a joint run is meant: ask, show, decide, watch, report. Its id begins so."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, cast

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from console.cli.session import Session
    from console.terminal.joint_shapes import Joint, JointPlan

BEGINNING = "joint-"
EVERY_SYSTEM = "all"
RETURN_S = 300
PAUSE_S = 1.0


def several(systems: Sequence[str]) -> bool:
    """Tell whether a request for ``systems`` makes a joint run."""
    return len(systems) > 1 or EVERY_SYSTEM in systems


def meant(run: str | None) -> bool:
    """Tell whether what was typed for a run is a joint run's id, or the beginning of one."""
    return run is not None and run.startswith(BEGINNING)


def ask(
    session: Session,
    playbook: str,
    systems: Sequence[str],
    reason: str,
    wish: Mapping[str, Any],
    *,
    no_wait: bool,
) -> None:
    """Ask for a joint run and watch it. Raises ClientError and click's Exit."""
    body = {"playbook": playbook, "systems": list(systems), "reason": reason, **wish}
    watched(session, session.post("/api/joint-runs", body), no_wait=no_wait)


def show_plan(session: Session, playbook: str, systems: Sequence[str], wish: Mapping[str, Any], *, look: bool) -> None:
    """Ask for the plan of a joint run and show it; with ``look`` also what it would meet. Raises ClientError."""
    from console.terminal.ahead_view import ahead_view
    from console.terminal.joint_view import plan_view

    body = {"playbook": playbook, "systems": list(systems), "reason": "", **wish}
    found = cast("JointPlan", session.post("/api/joint-plans", body))
    names = [one["system"] for one in found["members"]] if look else []
    met = {name: session.post("/api/looks", {"playbook": playbook, "system": name, **wish}) for name in names}
    session.screen.document({"plan": found, **({"looks": met} if look else {})})
    session.screen.say(*plan_view(found))
    for name in names:
        session.screen.say("", *ahead_view(name, met[name]))


def found(session: Session, joint_id: str) -> Joint:
    """Return the joint run that ``joint_id`` begins. Raises ClientError."""
    return cast("Joint", session.get(f"/api/joint-runs/{joint_id}"))


def show(session: Session, joint_id: str) -> None:
    """Show it as it stands. Raises ClientError."""
    from console.terminal.joint_view import head, members_table, next_commands

    joint = found(session, joint_id)
    session.screen.document({"joint_run": joint})
    session.screen.say(head(joint, session.screen), "", members_table(joint, session.screen), *next_commands(joint))


def approve(session: Session, joint_id: str, reason: str, *, yes: bool, no_wait: bool) -> None:
    """Show the plan of all of it, ask, and send the approval of exactly that. Raises ClientError and click's Exit."""
    from console.terminal import exits
    from console.terminal.joint_view import headline, plan_view

    joint = found(session, joint_id)
    if joint["state"] == "WAITING":  # else the daemon says why not
        plan = cast("JointPlan", session.get(f"/api/joint-runs/{joint['id']}/plan"))
        session.screen.say(headline(joint), "", *plan_view(plan), "")
        if not yes:
            if session.screen.as_json or not sys.stdin.isatty():
                raise click.UsageError("nobody can be asked without a terminal; --yes approves what was shown")
            many = f"Approve this {joint['playbook']} of {len(joint['members'])} systems as {session.whoami()}?"
            if not click.confirm(many, default=False):
                session.screen.note(f"not approved; {joint['id']} still waits")
                click.get_current_context().exit(exits.FAILED)
    decide(session, joint["id"], "approve", reason=reason, plan_hash=joint["plan_hash"], no_wait=no_wait)


def decide(
    session: Session,
    joint_id: str,
    decision: str,
    *,
    reason: str = "",
    system: str = "",
    plan_hash: str = "",
    no_wait: bool,
) -> None:
    """Send a decision about the whole and watch what comes of it. Raises ClientError and click's Exit."""
    joint = found(session, joint_id)
    body = {"reason": reason, "system": system, "plan_hash": plan_hash}
    answer = session.post(f"/api/joint-runs/{joint['id']}/{decision}", body)
    good = frozenset({"CANCELED"}) if decision in {"deny", "cancel"} else frozenset[str]()
    watched(session, answer, no_wait=no_wait, good=good)


def report_of(session: Session, joint_id: str) -> str:
    """Return where its report is asked for, without the form's ending. Raises ClientError."""
    return f"/api/joint-runs/{found(session, joint_id)['id']}/report"


def watched(session: Session, joint: Joint, *, no_wait: bool = False, good: frozenset[str] = frozenset()) -> None:
    """Watch it until it ends (without a terminal: or stands still), then end the command with its exit code."""
    from console.terminal import exits
    from console.terminal.joint_view import changes, next_commands, report_view

    screen = session.screen
    if no_wait:
        screen.document({"joint_run": joint})
        for sentence in changes(None, joint, screen):
            screen.line(sentence)
        if not joint["final"]:
            screen.line(f"  karaula run watch {joint['id']}   (watch it to its end)")
        return
    try:
        ended = _follow(session, joint)
    except KeyboardInterrupt:
        screen.note(f"\nnot watched any more; {joint['id']} goes on: karaula run watch {joint['id']}")
        raise
    screen.document({"joint_run": ended})
    if ended["final"] and any(member["run"] for member in ended["members"]) and not screen.as_json:
        screen.say("", *report_view(session.get(f"/api/joint-runs/{ended['id']}/report.json"), screen))
    if screen.live:
        screen.say(*next_commands(ended))
    code = exits.of_run(ended["state"] if ended["final"] else "PAUSED")
    click.get_current_context().exit(exits.DONE if ended["state"] in good else code)


def _follow(session: Session, joint: Joint) -> Joint:
    from console.terminal.joint_view import changes

    screen = session.screen
    if screen.live:
        return _live(session, joint)
    seen: Joint | None = None
    with contextlib.closing(_states(session, joint["id"])) as states:
        for newest in states:
            joint = newest
            for sentence in changes(seen, joint, screen):
                screen.line(f"{screen.moment(screen.now)}  {sentence}")
            seen = joint
            if joint["stands_still"] and joint["state"] != "WAITING":
                break
    return joint


def _live(session: Session, joint: Joint) -> Joint:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    from console.terminal.joint_view import head, members_table, next_commands
    from console.terminal.run_view import WATCHING
    from console.terminal.words import QUIET

    screen = session.screen
    held = [joint]

    def picture() -> Group:
        below = next_commands(held[0], "To type next, in another terminal:")
        table = members_table(held[0], screen)
        return Group(head(held[0], screen), Text(), table, *below, Text(WATCHING, QUIET))

    with Live(get_renderable=picture, console=screen.console, refresh_per_second=4, transient=True):
        for newest in _states(session, joint["id"]):
            held[0] = newest
    screen.say(head(held[0], screen), "", members_table(held[0], screen))
    return held[0]


def _states(session: Session, joint_id: str) -> Any:
    """Yield the joint run at each change until it is final; when the daemon goes away, ask again for a while."""
    from console.client import Answered, NoDaemon

    patience, newest = RETURN_S, None
    while True:
        try:
            for kind, body in session.stream(f"/api/joint-runs/{joint_id}/stream"):
                if kind == "joint":
                    patience, newest = RETURN_S, body
                    yield body
        except (NoDaemon, Answered) as error:
            if patience <= 0 or (isinstance(error, Answered) and error.code != "state"):
                raise
        if newest is not None and newest["final"]:
            return
        if patience == RETURN_S:
            session.screen.note(
                "the daemon does not answer; the joint run is in its journal and goes on when it is back"
            )
        patience -= 1
        session.wait(PAUSE_S)
