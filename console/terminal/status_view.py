"""The estate on the screen: what is not well in full, what is well in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from console.terminal.next_steps import who_may_approve
from console.terminal.screen import Cell, Screen, cell, state, table
from console.terminal.shapes import Alarm, Pause, RunLine, StatusAnswer, Subject, SubjectAnswer
from console.terminal.words import BAD, CALL, QUIET, STRONG, STYLES, age, span, state_word

# In the order in which people ask; kinds that are not here follow by name.
KINDS = (
    "system",
    "site",
    "crossing",
    "link",
    "sensor",
    "front",
    "database",
    "vcenter",
    "host",
    "vm",
    "power",
    "dns",
    "check",
)
PLURALS = {"crossing": "crossings", "power": "power controllers", "dns": "name servers", "vm": "VMs"}
ALWAYS = ("system", "site")


def overview(
    answer: StatusAnswer, runs: Sequence[RunLine], pauses: Sequence[Pause], screen: Screen, *, everything: bool
) -> list[RenderableType]:
    """Return the estate on one screen; with ``everything`` each subject has its line."""
    parts: list[RenderableType] = [
        Text.assemble((answer["estate"], STRONG), f"  {screen.moment(answer['at'])} {screen.zone}")
    ]
    parts += [cell(f"the daemon itself: {problem}", BAD) for problem in answer["problems"]]
    if answer["alarms"]:
        parts += [Text(), alarms(answer["alarms"], screen)]
    if runs:
        parts += [Text(), *_unfinished(runs, screen)]
    parts += [_paused(pause, screen) for pause in pauses]
    parts.append(Text())
    kinds = _by_kind(answer["subjects"])
    for kind in ALWAYS:
        if kind in kinds:
            parts += [_listed(kind, kinds[kind], screen), Text()]
    rest = {kind: found for kind, found in kinds.items() if kind not in ALWAYS}
    parts.append(table(("", "WATCHED", "OF THEM"), [_counted(kind, found) for kind, found in rest.items()], keep=2))
    for kind, found in rest.items():
        shown = [item for item in found if everything or item["health"] != "ok"]
        if shown:
            parts += [Text(), _listed(kind, shown, screen)]
    return parts


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
    known = {f"{alarm['name']} {alarm['subject']}" for alarm in causes if alarm["cleared_at"] is None}
    rows += [_alarm(alarm, screen) for alarm in found if alarm["cause"] and alarm["cause"] not in known]
    return table(("ALARM", "OF", "SINCE", "BECAUSE"), rows, keep=3)


def in_full(one: SubjectAnswer, standing: Sequence[Alarm], screen: Screen) -> list[RenderableType]:
    """Return one subject with what was last seen of it and how it changed."""
    now = one["status"]
    parts: list[RenderableType] = [
        Text.assemble((now["subject"], STRONG), "  ", state(now["health"]), f"  {now['detail']}".rstrip()),
        cell(f"since {screen.when(now['since'])}; last seen {screen.when(now['seen_at'])}"),
    ]
    if now["reason"]:
        parts.append(cell(now["reason"]))
    if standing:
        parts += [Text(), alarms(standing, screen)]
    seen = [(key, f"{value:g}") for key, value in sorted(one["values"].items())]
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
    return cell(alarm["name"], style), alarm["subject"], since, alarm["reason"]


def _unfinished(runs: Sequence[RunLine], screen: Screen) -> Iterator[RenderableType]:
    rows = [(run["id"], state(run["state"]), _doing(run, screen)) for run in runs]
    yield table(("RUN", "STATE", "NOW"), rows)
    for run in runs:
        if run["state"] == "WAITING":
            yield Text.assemble("  approve it: ", (f"karaula run approve {run['id']} --as NAME", STRONG))
            yield cell(f"              {who_may_approve(run)} may", QUIET)
        if run["state"] == "PAUSED":
            yield Text.assemble("  what can be done: ", (f"karaula run show {run['id']}", STRONG))


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
    return cell(f"{what} is paused by {pause['owner']} for another {left}: {pause['reason']}", CALL)


def _by_kind(subjects: Sequence[Subject]) -> dict[str, list[Subject]]:
    kinds: dict[str, list[Subject]] = {}
    for item in subjects:
        kinds.setdefault(item["subject"].partition("/")[0], []).append(item)
    order = {kind: number for number, kind in enumerate(KINDS)}
    return dict(sorted(kinds.items(), key=lambda pair: (order.get(pair[0], len(KINDS)), pair[0])))


def _listed(kind: str, found: Sequence[Subject], screen: Screen) -> RenderableType:
    detail = "ACTIVE AT" if kind == "system" else ""
    rows = [
        (
            item["subject"].partition("/")[2],
            state(item["health"]),
            item["detail"],
            age(screen.now - item["since"]).removesuffix(" ago"),
            item["reason"],
        )
        for item in found
    ]
    return table((kind.upper(), "STATE", detail, "FOR", "BECAUSE" if any(row[-1] for row in rows) else ""), rows)


def _counted(kind: str, found: Sequence[Subject]) -> tuple[Cell, ...]:
    counts: dict[tuple[str, str], int] = {}
    for item in found:
        word = item["detail"] if kind == "crossing" and item["detail"] else item["health"]
        counts[item["health"], word] = counts.get((item["health"], word), 0) + 1
    parts = Text()
    for number, ((health, word), count) in enumerate(counts.items()):
        shown = "on primary" if word == "primary" else state_word(word).replace("-", " ")
        parts.append(", " if number else "")
        parts.append(f"{count} {shown}", STYLES.get(health, ""))
    return PLURALS.get(kind, f"{kind}s"), f"{len(found)}", parts


def _short(names: Iterator[str] | Sequence[str], limit: int = 4) -> str:
    listed = list(names)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more
