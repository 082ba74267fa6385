"""What changed between two states of a run, one sentence a change: the view without a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from console.terminal.next_steps import choices
from console.terminal.screen import Screen
from console.terminal.shapes import Question, Run, Step
from console.terminal.words import span, state_word

SHORT = 40


def changes(old: Run | None, new: Run, screen: Screen) -> Iterator[str]:
    """Yield the changes from ``old`` (None: from nothing) to ``new``, each one line."""
    if old is None:
        yield f"{new['id']}: {headline(new)}"
    known = len(old["guards"]) if old else 0
    for verdict in new["guards"][known:]:
        if verdict["ruling"] == "refuse":
            yield f"guard {verdict['guard']} refuses: {verdict['sentence']}"
    if new["approved_by"] and (old is None or not old["approved_by"]):
        yield f"approved by {new['approved_by']}"
    if new["interruptions"] > (old["interruptions"] if old else 0):
        yield "the daemon was restarted under this run; it goes on"
    before = {step["id"]: step for step in old["steps"]} if old else {}
    for step in new["steps"]:
        said = _step(before.get(step["id"]), step)
        if said:
            yield said
    fresh = list(_questions(old, new, screen))
    yield from fresh
    if old is None or old["state"] != new["state"]:
        yield from _state(new, screen)
    elif fresh:
        yield from (f"  {choice.command}   ({choice.effect})" for choice in choices(new))


def asked(question: Question, now: float) -> str:
    """Return a question with its answers, the time left, and what counts then."""
    left = span(question["expires_at"] - now)
    then = f"'{question['on_timeout']}' is taken" if question["on_timeout"] else "it is refused"
    return f"{question['question']} ({' or '.join(question['choices'])}; {left} left, then {then})"


def headline(run: Run) -> str:
    """Return what the run is: ``failover of ncts, main to dr, asked for by ana: the reason``."""
    why = f": {run['reason']}" if run["reason"] else ""
    return f"{run['playbook']} of {run['system']}, {run['from_site']} to {run['to_site']}, by {run['requester']}{why}"


def outcome(run: Run) -> str:
    """Return how a final run ended: ``SUCCEEDED after 42 s``."""
    state = run["state"].replace("_", " ")
    took = ""
    if run["ended_at"] is not None:
        took = f" after {span(run['ended_at'] - (run['started_at'] or run['accepted_at']))}"
    return f"{state}{took}" + (f": {run['end_reason']}" if run["end_reason"] else "")


def step_time(step: Step, now: float) -> str:
    """Return how long the step took, or has taken so far."""
    if step["started_at"] is None:
        return ""
    end = now if step["ended_at"] is None or step["state"] == "IN_PROGRESS" else step["ended_at"]
    return span(end - step["started_at"])


def step_text(step: Step) -> str:
    """Return what is most worth saying of the step now."""
    again = f"attempt {step['attempt']}: " if step["attempt"] > 1 else ""
    if step["state"] in {"QUEUED", "IN_PROGRESS"}:
        return again + (step["description"] or step["action"])
    return again + (step["reason"] or seen(step["state"], step["evidence"]) or results(step) or step["description"])


def seen(state: str, evidence: str) -> str:
    """Return the evidence of an effect; of one that was taken back since it is evidence of what was."""
    return f"taken back; before that: {evidence}" if evidence and state == "UNDONE" else evidence


def results(step: Step) -> str:
    """Return what the step found out, as far as it is short: ``lost=0, position=66``."""
    said = {key: _short(value) for key, value in step["outputs"].items() if not key.endswith("_at")}
    return ", ".join(f"{key}={value}" for key, value in said.items() if 0 < len(value) <= SHORT)


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _questions(old: Run | None, new: Run, screen: Screen) -> Iterator[str]:
    known = {one["step"] for one in old["questions"]} if old else set()
    for one in new["questions"]:
        if one["step"] not in known:
            yield f"run asks: {asked(one, screen.now)}"


def _step(old: Step | None, new: Step) -> str:
    if new["state"] == "QUEUED" or (old and (old["state"], old["attempt"]) == (new["state"], new["attempt"])):
        return ""
    took = ""
    if new["ended_at"] is not None and new["started_at"] is not None and new["state"] != "IN_PROGRESS":
        took = f" after {span(new['ended_at'] - new['started_at'])}"
    text = step_text(new)
    return f"step {new['id']}: {state_word(new['state'])}{took}" + (f": {text}" if text else "")


def _state(run: Run, screen: Screen) -> Iterator[str]:
    if run["final"]:
        yield f"run {outcome(run)}"
    elif run["state"] == "WAITING":
        yield f"run WAITING for an approval{_until(run, screen)}"
    elif run["state"] == "PAUSED":
        yield f"run PAUSED: {run['pause_reason']}"
    else:
        yield f"run {run['state'].replace('_', ' ')}"
    for choice in choices(run):
        yield f"  {choice.command}   ({choice.effect})"


def _until(run: Run, screen: Screen) -> str:
    expires = run["approval_expires_at"]
    return f" until {screen.moment(expires)}; then it is refused" if expires is not None else ""
