"""A run or plan on the screen: head, steps, guards' answers, and what can be typed next."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from console.terminal.changes import asked, headline, outcome, step_text, step_time
from console.terminal.next_steps import choices
from console.terminal.screen import Screen, cell, state, table
from console.terminal.shapes import Forecast, Override, Plan, Run, Step, Verdict
from console.terminal.words import BAD, CALL, QUIET, STRONG, STYLES, span, state_word

LEAST_ROOM = 3  # lines for the steps
WATCHING = "Ctrl-C stops watching; the run goes on."
ANY_RUN = "any-run"  # how the daemon calls a run in a plan that is not one yet
SETTLED_WELL = frozenset({"SUCCEEDED", "SKIPPED"})


def head(run: Run, screen: Screen) -> Group:
    """Return the run's name and state, what it is, and why it waits or how it ended."""
    style = STYLES.get(run["state"], "")
    first = Text.assemble((run["id"], STRONG), "  ", (run["state"].replace("_", " "), style))
    if run["started_at"] is not None and not run["final"]:
        first.append(f"  {span(screen.now - run['started_at'])}", QUIET)
    lines: list[RenderableType] = [first, cell(headline(run)), *([cell(run["wish"], CALL)] if run["wish"] else [])]
    if run["by_itself"]:
        lines.append(cell(run["by_itself"], CALL))
    if run["approved_by"]:
        at = f" {screen.moment(run['approved_at'])}" if run["approved_at"] is not None else ""
        lines.append(cell(f"approved by {run['approved_by']}{at}"))
    if run["loss_accepted_by"]:
        lines.append(cell(f"{run['loss_accepted_by']} accepts that up to {span(run['loss_accepted_s'])} are lost"))
    if run["interruptions"]:
        lines.append(cell(f"the daemon was restarted under it: {run['interruptions']} x", CALL))
    if run["state"] == "WAITING" and run["approval_expires_at"] is not None:
        left = span(run["approval_expires_at"] - screen.now)
        lines.append(cell(f"waits for an approval, {left} left; then it is refused", CALL))
    if run["state"] == "PAUSED":
        lines.append(cell(f"waits for a person: {run['pause_reason']}", CALL))
    lines += [cell(f"asks: {asked(one, screen.now)}", CALL) for one in run["questions"]]
    if run["final"]:
        lines.append(cell(outcome(run), style))
    return Group(*lines)


def live(run: Run, lines: dict[str, str], screen: Screen, trouble: str = "") -> Group:
    """Return the run so that it fits the screen's height; ``lines`` is the newest printed line by step.

    ``trouble`` says why this may not be the newest state.
    """
    top = Group(head(run, screen), cell(trouble, BAD)) if trouble else head(run, screen)
    width = screen.console.width
    for terse in (False, True):  # a small screen shows the commands without what they do, rather than too few steps
        title = "To type next, in another terminal:"
        below = [*next_commands(run, title, terse=terse), Text(WATCHING, QUIET)]
        used = sum(len(screen.console.render_lines(part, pad=False)) for part in (top, *below))
        room = max(screen.console.height - used - 2, LEAST_ROOM)
        if screen.console.height - used - 2 >= LEAST_ROOM:
            break
    return Group(top, Text(), steps_table(run["steps"], screen, lines=lines, room=room, width=width), *below)


def steps_table(
    steps: Sequence[Step],
    screen: Screen,
    *,
    lines: dict[str, str] | None = None,
    room: int | None = None,
    width: int | None = None,
) -> Table:
    """Return the steps, a line each when ``room`` (lines) is given; then those around what happens now."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False, width=width)
    made.add_column(no_wrap=True)
    made.add_column(no_wrap=True)
    made.add_column(no_wrap=True, justify="right")
    made.add_column(no_wrap=room is not None, overflow="ellipsis" if room is not None else "fold", ratio=1)
    shown, above, under = window(steps, room)
    if above:
        made.add_row("", "", "", cell(f"… {above} above: {_count(steps[:above])}", QUIET))
    for step in shown:
        text = step_text(step)
        if lines and step["state"] == "IN_PROGRESS" and lines.get(step["id"]):
            text = lines[step["id"]]
        made.add_row(cell(step["id"]), state(step["state"]), step_time(step, screen.now), cell(text))
    if under:
        made.add_row("", "", "", cell(f"… {under} more to come", QUIET))
    return made


def window(steps: Sequence[Step], room: int | None) -> tuple[Sequence[Step], int, int]:
    """Return the steps that fit into ``room`` lines, and how many are left out above and below.

    What is under way or in trouble is always among them, with a step before it where there is room.
    """
    if room is None or len(steps) <= room:
        return steps, 0, 0
    fit = max(room - 2, 1)
    first = next((n for n, step in enumerate(steps) if step["state"] not in SETTLED_WELL), len(steps))
    start = min(max(first - 1, 0) if fit > 1 else first, len(steps) - fit)
    return steps[start : start + fit], start, len(steps) - start - fit


def plan_view(plan: Plan | Run, expected: Forecast) -> list[RenderableType]:
    """Return the plan in full: every step with what it will do to what, and how long that took before."""
    rows = []
    for number, step in enumerate(plan["steps"], 1):
        after = f"after {', '.join(step['needs'])}" if step["needs"] else ""
        always = "in any case" if step["final"] else ""
        reads = "" if step["effects"] else "looks only"
        by = f"by {step['provider']}" if step["provider"] else ""
        more = "; ".join(part for part in (after, always, reads, by, _failing(step)) if part)
        what = cell(step["description"] or step["action"])
        if arguments(step):
            what.append(f"\n{arguments(step)}", QUIET)
        if more:
            what.append(f"\n{more}", QUIET)
        rows.append((f"{number}", step["id"], f"{step['action']} at {step['site']}", what))
    limit = f"RTO {span(plan['rto_s'])}, RPO {span(plan['rpo_s'])}"
    title = Text.assemble(
        (f"{plan['playbook']} of {plan['system']}", STRONG), f", {plan['from_site']} to {plan['to_site']} ({limit})"
    )
    return [
        title,
        cell(plan["summary"]),
        *([cell(plan["wish"], CALL)] if plan["wish"] else []),
        cell(expected["sentence"]),
        Text(),
        table(("", "STEP", "ACTION", "WHAT IT DOES"), rows, keep=2),
        Text(),
        guards(plan["guards"]),
        Text(f"plan {plan['plan_hash'][:12]}", QUIET),
    ]


def arguments(step: Step) -> str:
    """Return the step's arguments: ``tier=all state=on``."""
    return " ".join(f"{key}={_value(value)}" for key, value in step["args"].items())


def guards(verdicts: Sequence[Verdict]) -> RenderableType:
    """Return the guards' answers."""
    rows = [
        (verdict["guard"], Text(verdict["ruling"], STYLES.get(verdict["ruling"], "")), cell(_sentence(verdict)))
        for verdict in verdicts
    ]
    return table(("GUARD", "SAYS", "BECAUSE"), rows, keep=2)


def votes(run: Run) -> list[RenderableType]:
    """Return what the vantage points said of the side that the run leaves; empty where none was asked."""
    if not run["votes"]:
        return []
    rows = [
        (
            vote["point"],
            Text(vote["word"], STYLES.get(vote["word"], "")),
            cell(vote["looks_at"]),
            "never seen" if vote["age_s"] is None else f"{span(vote['age_s'])} old",
            cell(vote["reason"]),
        )
        for vote in run["votes"]
    ]
    title = f"Is {run['from_site']} lost? {run['votes_needed']} must say down, and none up:"
    return [Text(), Text(title, STRONG), table(("VANTAGE POINT", "SAYS", "LOOKS AT", "SEEN", "BECAUSE"), rows, keep=2)]


def _sentence(verdict: Verdict) -> str:
    """Return the guard's sentence; in a plan there is no run yet whose id it could name."""
    said = verdict["sentence"].replace(ANY_RUN, "RUN")
    return (f"step {verdict['step']}: " if verdict["step"] else "") + said


def next_commands(
    run: Run, title: str = "To type next:", *, terse: bool = False, overrides: Sequence[Override] = ()
) -> list[RenderableType]:
    """Return what can be typed about the run; empty when nothing needs to be. ``terse``: without what it does."""
    found = choices(run, overrides)
    lines: list[RenderableType] = [Text(), Text(title, STRONG)] if found else []
    for choice in found:
        lines.append(Text.assemble("  ", (choice.command, STRONG), overflow="fold"))
        if not terse:
            lines.append(cell(f"      {choice.effect}", QUIET))
    return lines


def _count(steps: Sequence[Step]) -> str:
    words: dict[str, int] = {}
    for step in steps:
        words[state_word(step["state"])] = words.get(state_word(step["state"]), 0) + 1
    return ", ".join(f"{count} {word}" for word, count in words.items())


def _failing(step: Step) -> str:
    return "" if step["on_failure"] == "stop" else f"if it fails: {step['on_failure']}"


def _value(value: object) -> str:
    if isinstance(value, list):
        return ",".join(_value(item) for item in value)
    if isinstance(value, dict):
        return "{" + " ".join(f"{key}={_value(item)}" for key, item in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)
