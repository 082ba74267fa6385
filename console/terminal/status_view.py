"""The estate on the screen: what is not well in full, what is well in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import RenderableType
from rich.text import Text

from console.terminal import downtime_view, override_view
from console.terminal.figures import figure
from console.terminal.kinds import called, ordered
from console.terminal.screen import Cell, Screen, cell, state, table
from console.terminal.shapes import Alarm, Override, Pause, RunLine, StatusAnswer, Subject, SubjectAnswer
from console.terminal.words import (
    BAD,
    CALL,
    GOOD,
    QUIET,
    STRONG,
    STYLES,
    age,
    alarm_word,
    clean,
    detail_word,
    span,
    state_word,
)
from monitor.printable import printable

ALWAYS = ("system", "site")
FEW = 4
MANY = "who may approve is said with each"
ALARM_WIDTH = 32


@dataclass(frozen=True, slots=True)
class Decided:
    """What people have decided that stands: pauses, and overrides of single rules."""

    pauses: Sequence[Pause]
    overrides: Sequence[Override]


def overview(
    answer: StatusAnswer, runs: Sequence[RunLine], people: Decided, screen: Screen, *, everything: bool
) -> Iterator[RenderableType]:
    """Yield the estate, what matters most last: it stands above the prompt when the rest has scrolled away.

    What an alarm says is not said twice, unless ``everything`` is wanted: then each subject has its line.
    """
    yield Text.assemble((answer["estate"], STRONG), f"  {screen.moment(answer['at'])} {screen.zone}")
    yield from _isolated(answer["isolated"])
    kinds = _by_kind(answer["subjects"])
    first = [item for kind in ALWAYS for item in kinds.pop(kind, [])]
    calm = not answer["alarms"] and not answer["isolated"] and all(item["health"] == "ok" for item in first)
    yield from _numbers(kinds, calm=calm)
    alarmed = set() if everything else {alarm["subject"] for alarm in answer["alarms"]}
    causes = {alarm["subject"]: alarm["cause"] for alarm in answer["alarms"] if alarm["cause"]}
    if first:  # none, where other daemons watch them
        yield Text()
        yield _listed(first, screen, alarmed, causes)
    for found in kinds.values():
        bad = [item for item in found if item["health"] != "ok" and item["subject"] not in alarmed]
        shown = found if everything else bad[:FEW]
        if shown:
            yield Text()
            yield _listed(shown, screen, set(), causes)
        if len(bad) > len(shown):
            yield cell(f"  and {len(bad) - len(shown)} more: karaula status --all", QUIET)
    if answer["alarms"]:
        yield Text()
        yield _grouped(answer["alarms"], screen)
        yield from _held_back(answer["alarms"])
        yield from _unprepared(answer["alarms"])
    if runs:
        yield Text()
        yield from _unfinished(runs, screen)
    last = [downtime_view.in_force(downtime, screen) for downtime in answer["downtimes"]]
    last += [_paused(pause, screen) for pause in people.pauses]
    last += [cell(override_view.said(each, screen), CALL) for each in people.overrides]
    last += [cell(f"the daemon itself: {problem}", BAD) for problem in answer["problems"]]
    if last:
        yield Text()
        yield from last


def _isolated(reason: str) -> Iterator[Text]:
    if reason:
        yield cell(f"the monitor itself is cut off: {reason}", BAD)
        yield cell("  what it cannot see is unknown; no alarm starts anything", BAD)


def alarms(found: Sequence[Alarm], screen: Screen) -> RenderableType:
    """Return alarms as a table; those that another one explains stand below it."""
    rows: list[tuple[Cell, ...]] = []
    causes = [alarm for alarm in found if not alarm["cause"]]
    for alarm in causes:
        rows.append(_alarm(alarm, screen))
        if alarm["cleared_at"] is None:
            key = f"{alarm['name']} {alarm['subject']}"
            explained = [other for other in found if other["cause"] == key]
            if explained:
                text = f"explains {len(explained)} more: {_short(other['subject'] for other in explained)}"
                rows.append(("", "", "", cell(text, QUIET)))
            rows += [("", "", "", line) for line in _unprepared([alarm, *explained])]
    known = {f"{alarm['name']} {alarm['subject']}" for alarm in causes if alarm["cleared_at"] is None}
    rows += [_alarm(alarm, screen) for alarm in found if alarm["cause"] and alarm["cause"] not in known]
    return table(("ALARM", "OF", "SINCE", "BECAUSE"), rows, keep=3)


def in_full(one: SubjectAnswer, standing: Sequence[Alarm], screen: Screen) -> list[RenderableType]:
    """Return one subject with what was last seen of it and how it changed."""
    now = one["status"]
    cause = next((alarm["cause"] for alarm in standing if alarm["cause"]), "")
    parts: list[RenderableType] = [
        Text.assemble(
            (now["subject"], STRONG),
            "  ",
            state(now["health"]),
            f"  {', '.join(filter(None, (detail_word(now['detail'], cause), *_marks(now))))}".rstrip(),
        ),
        cell(f"since {screen.when(now['since'])}; last seen {screen.when(now['seen_at'])}"),
    ]
    if now["reason"]:
        parts.append(cell(now["reason"]))
    if cause:
        parts.append(cell(f"because of {cause}"))
    if standing:
        parts += [Text(), alarms(standing, screen)]
    seen = [(key, figure(key, value, screen.when)) for key, value in sorted(one["values"].items())]
    seen += sorted(one["facts"].items())
    if seen:
        parts += [Text(), table(("LAST SEEN", screen.when(one["observed_at"])), seen)]
    if one["flips"]:
        rows = [
            (screen.when(flip["at"]), state(flip["old"]), state(flip["new"]), flip["detail"], flip["reason"])
            for flip in one["flips"]
        ]
        parts += [Text(), table(("CHANGED", "FROM", "TO", "", "BECAUSE"), rows)]
    return parts


def _alarm(alarm: Alarm, screen: Screen) -> tuple[Cell, ...]:
    since = screen.moment(alarm["since"])
    style = STYLES.get(alarm["severity"], "")
    if alarm["cleared_at"] is None:
        since += f" ({age(screen.now - alarm['since'])})"
    else:
        since += f", stood {span(alarm['cleared_at'] - alarm['since'])}"
        style = QUIET
    why = f"{alarm['reason']} (in planned downtime, not sent)" if alarm["downtime"] else alarm["reason"]
    return cell(alarm_word(alarm["name"], alarm["cause"]), style), alarm["subject"], since, why


def _grouped(found: Sequence[Alarm], screen: Screen) -> RenderableType:
    """Return the alarms that no other one explains, those that say the same in one row."""
    groups: dict[tuple[str, str], list[Alarm]] = {}
    for alarm in found:
        if not alarm["cause"] and not alarm["downtime"]:
            groups.setdefault((alarm["name"], alarm["reason"]), []).append(alarm)
    rows: list[tuple[Cell, ...]] = []
    for (name, reason), group in groups.items():
        of = _short([_key(name, alarm["subject"]) for alarm in group])
        what = Text.assemble((name, STYLES.get(group[0]["severity"], "")), f"\n{clean(of)}")
        because = cell(reason)
        explained = sum(other["cause"] == f"{name} {alarm['subject']}" for other in found for alarm in group)
        if explained:
            because.append(f"\nexplains {explained} more: karaula alarms", QUIET)
        rows.append((what, age(screen.now - min(alarm["since"] for alarm in group)), because))
    made = table(("ALARM", "SINCE", "BECAUSE"), rows, keep=0)
    made.columns[0].max_width = ALARM_WIDTH
    made.columns[1].no_wrap = True
    return made


def _held_back(found: Sequence[Alarm]) -> Iterator[Text]:
    """Yield how many alarms are not sent, and why."""
    explained = sum(bool(alarm["cause"]) for alarm in found)
    planned = sum(bool(alarm["downtime"]) and not alarm["cause"] for alarm in found)
    counts = [f"{explained} explained by others"] if explained else []
    counts += [f"{planned} in planned downtime"] if planned else []
    if counts:
        yield cell(f"not sent: {', '.join(counts)}: karaula alarms", QUIET)


def _unprepared(found: Sequence[Alarm]) -> Iterator[Text]:
    """Yield why runs are not prepared that responses ask for; those that say the same in one line."""
    subjects: dict[str, list[str]] = {}
    for alarm in found:
        if alarm["not_prepared"]:
            subjects.setdefault(alarm["not_prepared"], []).append(_key(alarm["name"], alarm["subject"]))
    for why, of in subjects.items():
        yield cell(f"nothing is prepared for {_short(of)}, because {why}", CALL)


def _key(alarm: str, subject: str) -> str:
    """Return the subject without its kind where the alarm's name tells it."""
    kind, _, key = subject.partition("/")
    return key if alarm.startswith(kind) else subject


def _unfinished(runs: Sequence[RunLine], screen: Screen) -> Iterator[RenderableType]:
    yield table(("RUN", "STATE", "NOW"), [(run["id"], state(run["state"]), _doing(run, screen)) for run in runs])
    waiting = [run for run in runs if run["state"] == "WAITING"]
    paused = [run for run in runs if run["state"] == "PAUSED"]
    if waiting:
        name = waiting[0]["id"] if len(waiting) == 1 else "RUN"
        yield Text.assemble("  To approve one: ", (f"karaula run approve {name} --as NAME", STRONG))
        who = {run["may_approve"] for run in waiting}
        said = f"{who.pop()} may" if len(who) == 1 else MANY
        yield cell(f"      {said}; shows the plan first", QUIET)
    if paused:
        name = paused[0]["id"] if len(paused) == 1 else "RUN"
        yield Text.assemble("  What can be done: ", (f"karaula run show {name}", STRONG))


def _doing(run: RunLine, screen: Screen) -> Text:
    if run["state"] == "WAITING" and run["approval_expires_at"] is not None:
        return cell(f"for an approval, {span(run['approval_expires_at'] - screen.now)} left", CALL)
    if run["state"] == "PAUSED":
        return cell(run["pause_reason"], CALL)
    doing = f": {', '.join(run['now_doing'])}" if run["now_doing"] else ""
    return cell(f"{run['steps_done']} of {run['steps_total']} steps{doing}")


def _paused(pause: Pause, screen: Screen) -> Text:
    what = "everything" if pause["system"] == "all" else pause["system"]
    left = span(pause["expires_at"] - screen.now)
    return cell(f"{what} is paused by {pause['owner']} for another {left}: {printable(pause['reason'])}", CALL)


def _by_kind(subjects: Sequence[Subject]) -> dict[str, list[Subject]]:
    kinds: dict[str, list[Subject]] = {}
    for item in subjects:
        kinds.setdefault(item["subject"].partition("/")[0], []).append(item)
    return {kind: kinds[kind] for kind in ordered(kinds)}


def _listed(found: Sequence[Subject], screen: Screen, alarmed: set[str], causes: Mapping[str, str]) -> RenderableType:
    """Return subjects, a line each; why is left out for those that an alarm speaks of.

    ``causes`` has the alarm that explains a subject's own: it is why nothing is known of what cannot be reached.
    """
    kinds = {item["subject"].partition("/")[0] for item in found}
    rows = []
    for item in found:
        kind, _, key = item["subject"].partition("/")
        cause = causes.get(item["subject"], "")
        detail = detail_word(item["detail"], cause)
        detail = f"at {detail}" if kind == "system" and detail in _sites(found) else detail
        detail = ", ".join(filter(None, (detail, *_marks(item))))
        why = cause if cause and item["health"] == "unknown" else item["reason"]
        why = "" if item["subject"] in alarmed else why
        name = f"{kind} {key}" if len(kinds) > 1 else key
        rows.append((name, state(item["health"]), detail, span_word(screen.now - item["since"]), why))
    because = "BECAUSE" if any(row[-1] for row in rows) else ""
    heading = "" if len(kinds) > 1 else kinds.pop().upper()
    return table((heading, "STATE", "", "FOR", because), rows)


def _marks(item: Subject) -> Iterator[str]:
    """Yield what else is to be known of a subject's state."""
    if item["flapping"]:
        yield "flapping"
    if item["downtime"]:
        yield "planned downtime"


def _sites(found: Sequence[Subject]) -> set[str]:
    return {item["subject"].removeprefix("site/") for item in found if item["subject"].startswith("site/")}


def span_word(seconds: float) -> str:
    """Return how long something has been so, without tenths."""
    return age(max(seconds, 0.0)).removesuffix(" ago")


def _numbers(kinds: dict[str, list[Subject]], *, calm: bool) -> Iterator[Text]:
    """Yield how many of each kind are how: those where all is well together, the others a line each.

    Only where the systems are well too and no alarm stands (``calm``) is it said that all is.
    """
    well, others = [], False
    for kind, found in kinds.items():
        counted = _counted(kind, found)
        name = called(kind, len(found))
        if all(item["health"] == "ok" for item in found):
            well.append(f"{len(found)} {name}" + (" on primary" if kind == "crossing" else ""))
        else:
            others = True
            yield Text.assemble(f"{name}: ", counted)
    if well:
        yield cell(f"{'all well' if calm and not others else 'well'}: {', '.join(well)}", GOOD)


def _counted(kind: str, found: Sequence[Subject]) -> Text:
    counts: dict[tuple[str, str], int] = {}
    for item in found:
        word = item["detail"] if kind == "crossing" and item["detail"] else item["health"]
        counts[item["health"], word] = counts.get((item["health"], word), 0) + 1
    parts = Text()
    for number, ((health, word), count) in enumerate(counts.items()):
        shown = "on primary" if word == "primary" else state_word(word).replace("-", " ")
        parts.append(", " if number else "")
        parts.append(f"{count} {shown}", STYLES.get(health, ""))
    return parts


def _short(names: Iterator[str] | Sequence[str], limit: int = FEW) -> str:
    listed = list(names)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more
