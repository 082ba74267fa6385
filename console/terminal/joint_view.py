"""A joint run or its plan on the screen: the whole, a line for each system, what changed, and what can be typed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from console.terminal.joint_shapes import Joint, JointMember, JointPlan
from console.terminal.next_steps import Choice
from console.terminal.run_view import guards
from console.terminal.screen import Cell, Screen, cell, state, table
from console.terminal.words import BAD, CALL, GOOD, QUIET, STRONG, STYLES, span, state_word


def choices(joint: Joint) -> list[Choice]:
    """Return what can be done to ``joint`` as it stands, the likeliest first."""
    name = joint["id"]
    if joint["state"] == "WAITING":
        return [
            Choice(f"karaula run approve {name} --as NAME", f"{joint['may_approve']} may; shows it first"),
            Choice(f"karaula run deny {name} --reason …", "end it, nothing is done"),
        ]
    if joint["final"]:
        return [Choice(f"karaula run report {name}", "each system's recovery time, and that of all together")]
    found = [
        Choice(f"karaula run show {member['run']['id']}", f"see to {member['system']}: {_plainly(member)}")
        for member in joint["members"]
        if member["run"] is not None and member["state"] in {"PAUSED", "WAITING"}
    ]
    held = {need for member in joint["members"] if member["held"] for need in member["needs"]}
    bad = [one["system"] for one in joint["members"] if one["system"] in held and one["run"] and not one["went_on"]]
    found += [
        Choice(f"karaula run go-on {name} {system} --reason …", f"let begin what waits for {system}") for system in bad
    ]
    if joint["stands_still"]:
        found.append(Choice(f"karaula run cancel {name} --reason …", "end the whole"))
    return found


def head(joint: Joint, screen: Screen) -> Group:
    """Return its name and state, what it is, and why it waits or how it ended."""
    style = STYLES.get(joint["state"], "")
    lines: list[RenderableType] = [
        Text.assemble((joint["id"], STRONG), "  ", (joint["state"].replace("_", " "), style)),
        cell(headline(joint)),
    ]
    if joint["approved_by"]:
        at = f" {screen.moment(joint['approved_at'])}" if joint["approved_at"] is not None else ""
        lines.append(cell(f"approved by {joint['approved_by']}{at}"))
    if joint["approval_expires_at"] is not None:
        left = span(joint["approval_expires_at"] - screen.now)
        lines.append(cell(f"waits for one approval of all of it, {left} left; then it is refused", CALL))
    elif joint["stands_still"]:
        lines.append(cell(f"waits for a person: {joint['stands_still']}", CALL))
    lines += [cell(f"without {system}: {why}", QUIET) for system, why in joint["left_out"].items()]
    if joint["final"]:
        lines.append(cell(outcome(joint), style))
    return Group(*lines)


def headline(joint: Joint) -> str:
    """Return what it is: ``failover of ncts, ite by ana: the reason``."""
    systems = ", ".join(member["system"] for member in joint["members"])
    return f"{joint['playbook']} of {systems} by {joint['requester']}" + (
        f": {joint['reason']}" if joint["reason"] else ""
    )


def outcome(joint: Joint) -> str:
    """Return how it ended: ``SUCCEEDED after 42 s``."""
    took = f" after {span((joint['ended_at'] or 0.0) - (joint['approved_at'] or joint['accepted_at']))}"
    return f"{joint['state'].replace('_', ' ')}{took}" + (f": {joint['end_reason']}" if joint["end_reason"] else "")


def members_table(joint: Joint, screen: Screen) -> RenderableType:
    """Return a line for each system."""
    rows = [
        (
            f"{member['group']}",
            member["system"],
            state(member["state"]),
            _steps(member),
            _time(member, screen.now),
            cell(_plainly(member), CALL if member["held"] or member["state"] == "PAUSED" else ""),
        )
        for member in joint["members"]
    ]
    return table(("GROUP", "SYSTEM", "STATE", "STEPS", "TIME", "NOW"), rows, keep=3)


def next_commands(joint: Joint, title: str = "To type next:") -> list[RenderableType]:
    """Return what can be typed; empty when nothing needs to be."""
    found = choices(joint)
    lines: list[RenderableType] = [Text(), Text(title, STRONG)] if found else []
    for choice in found:
        lines += [Text.assemble("  ", (choice.command, STRONG), overflow="fold"), cell(f"      {choice.effect}", QUIET)]
    return lines


def changes(old: Joint | None, new: Joint, screen: Screen) -> Iterator[str]:
    """Yield the changes from ``old`` (None: from nothing) to ``new``, each one line."""
    if old is None:
        yield f"{new['id']}: {headline(new)}"
        for system, why in new["left_out"].items():
            yield f"without {system}: {why}"
    if new["approved_by"] and (old is None or not old["approved_by"]):
        yield f"approved by {new['approved_by']}"
    before = {member["system"]: member for member in old["members"]} if old else {}
    for member in new["members"]:
        was = before.get(member["system"])
        if member["went_on"] and (was is None or not was["went_on"]):
            yield f"{member['went_on']} lets go on what waits for {member['system']}"
        if _said(member) != (_said(was) if was else "") and (member["run"] or member["held"]):
            yield f"{member['system']}: {_said(member)}"
    if old is None or old["state"] != new["state"]:
        yield from _state(new, screen)
    if new["stands_still"] and new["state"] != "WAITING" and (old is None or not old["stands_still"]):
        yield f"it stands still: {new['stands_still']}"
        yield from (f"  {choice.command}   ({choice.effect})" for choice in choices(new))


def plan_view(plan: JointPlan) -> list[RenderableType]:
    """Return the plan: the order, and for each system what its run does and what the guards say."""
    rows = [
        (
            f"{one['group']}",
            one["system"],
            f"{one['plan']['from_site']} to {one['plan']['to_site']}",
            ", ".join(one["needs"]),
            f"RTO {span(one['plan']['rto_s'])}",
            " → ".join(step["id"] for step in one["plan"]["steps"]),
        )
        for one in plan["members"]
    ]
    parts: list[RenderableType] = [
        Text(f"{plan['playbook']} of {len(plan['members'])} systems, in this order", STRONG),
        cell(_rule(plan)),
        Text(),
        table(("GROUP", "SYSTEM", "WAY", "AFTER", "OBJECTIVE", "STEPS"), rows, keep=2),
    ]
    parts += [cell(f"without {system}: {why}", QUIET) for system, why in plan["left_out"].items()]
    for one in plan["members"]:
        against = [verdict for verdict in one["plan"]["guards"] if verdict["ruling"] != "allow"]
        if against:
            parts += [Text(), Text(one["system"], STRONG), guards(against)]
    parts += [
        Text(),
        cell(f"Each in full: karaula plan {plan['playbook']} SYSTEM", QUIET),
        Text(f"plan {plan['plan_hash'][:12]}", QUIET),
    ]
    return parts


def report_view(report: dict[str, Any], screen: Screen) -> Iterator[RenderableType]:
    """Yield the parts of a joint run's report (``dr.evidence.joint.JointReport`` as JSON)."""
    style = STYLES.get(report["state"], "")
    yield Text.assemble((report["id"], STRONG), "  ", (report["state"].replace("_", " "), style))
    why = f": {report['reason']}" if report["reason"] else ""
    yield cell(f"{report['playbook']}, asked for by {report['requester']}{why}")
    if report["approved_by"]:
        yield cell(f"approved by {report['approved_by']} {screen.when(report['approved_at'])}")
    if report["end_reason"]:
        yield cell(report["end_reason"], style)
    for system, reason in report["left_out"].items():
        yield cell(f"without {system}: {reason}")
    yield Text()
    rows = [_reported(one) for one in report["members"]]
    yield table(("GROUP", "SYSTEM", "STATE", "TOOK", "RTA", "RTO", "", "RUN"), rows, keep=3)
    yield Text()
    total = "not known" if report["rta_s"] is None else span(report["rta_s"])
    yield cell(f"Recovery time of all of them: {total} ({report['rta_note']})", STRONG)
    yield Text()
    yield cell("Each run in full: karaula run report RUN", QUIET)


def _reported(one: dict[str, Any]) -> tuple[Cell, ...]:
    verdict = {True: cell("met", GOOD), False: cell("missed", BAD), None: cell("")}[one["met"]]
    took = "" if one["took_s"] is None else span(one["took_s"])
    rta = "" if one["rta_s"] is None else span(one["rta_s"])
    where = one["run_id"] or one["waits"]
    if one["went_on"]:
        where += f" ({one['went_on']} let go on what waited for it)"
    return f"{one['group']}", one["system"], state(one["state"]), took, rta, span(one["rto_s"]), verdict, where


def _rule(plan: JointPlan) -> str:
    if plan["kind"] in {"switchover", "failover", "reprotect", "failback"}:
        return "One approval for all; a system begins when those that it is after have succeeded."
    return "One after another by group; one that fails holds up nobody."


def _steps(member: JointMember) -> str:
    done = member["run"]["steps_done"] if member["run"] else 0
    return f"{done}/{member['steps']}"


def _time(member: JointMember, now: float) -> str:
    run = member["run"]
    if run is None or run["started_at"] is None:
        return ""
    return span((run["ended_at"] if run["ended_at"] is not None else now) - run["started_at"])


def _plainly(member: JointMember) -> str:
    run = member["run"]
    if run is None:
        return member["waits"]
    if run["state"] == "PAUSED":
        return run["pause_reason"]
    return run["end_reason"] or ", ".join(run["now_doing"])


def _said(member: JointMember) -> str:
    """Return what is told of a member when it changes: not every step of its run."""
    run = member["run"]
    if run is None:
        return member["waits"] if member["held"] else ""
    why = run["pause_reason"] if run["state"] == "PAUSED" else run["end_reason"]
    word = state_word(run["state"]) if run["state"] != "PAUSED" else "PAUSED"
    return f"run {run['id']} {word}" + (f": {why}" if why else "")


def _state(joint: Joint, screen: Screen) -> Iterator[str]:
    if joint["final"]:
        yield f"joint run {outcome(joint)}"
    elif joint["state"] == "WAITING":
        expires = joint["approval_expires_at"]
        until = f" until {screen.moment(expires)}; then it is refused" if expires is not None else ""
        yield f"joint run WAITING for one approval of all of it{until}"
    else:
        yield f"joint run {joint['state'].replace('_', ' ')}"
    if joint["final"] or joint["state"] == "WAITING":
        yield from (f"  {choice.command}   ({choice.effect})" for choice in choices(joint))
