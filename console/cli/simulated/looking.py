"""`karaula lab state|truth|anchors|faults`: the estate as it really is, beside what the daemon believes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from console.cli.session import Mistyped
from console.cli.simulated.talk import Lab, on_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType


@click.command()
@on_lab
def state(lab: Lab) -> None:
    """Show the estate as it really is.

    \b
    Example:
      karaula lab state
      karaula lab state --output json
    """  # noqa: D301 - click's mark
    answer = lab.get("/state")
    lab.screen.document(answer)
    lab.screen.say(*_state(answer))


@click.command()
@click.argument("system")
@on_lab
def truth(lab: Lab, system: str) -> None:
    """Show one system as it really is, with what was lost and what was done to it.

    \b
    Example:
      karaula lab truth ncts
    """  # noqa: D301 - click's mark
    known = lab.get("/state")["systems"]
    if system not in known:
        raise Mistyped(f"the lab has no system '{system}'; it has {', '.join(known)}")
    answer = lab.get(f"/truth/{system}")
    lab.screen.document(answer)
    lab.screen.say(*_truth(answer, lab))


@click.command()
@on_lab
def anchors(lab: Lab) -> None:
    """Print the journal's signed heads that the vault keeps, as 'ssh vault anchorctl list' would.

    \b
    Example:
      karaula lab anchors > anchors.jsonl
    """  # noqa: D301 - click's mark
    kept = lab.get("/state")["anchors"]
    lab.screen.document({"anchors": kept})
    for line in kept:
        lab.screen.line(line)


@click.command()
@on_lab
def faults(lab: Lab) -> None:
    """Show the faults in force, and those there are.

    \b
    Example:
      karaula lab faults
    """  # noqa: D301 - click's mark
    from console.terminal.screen import table

    answer = lab.get("/faults")
    lab.screen.document(answer)
    lab.screen.say(_in_force(answer["faults"]), "")
    rows = [
        (name, kind["target"], kind["needs"] or "", _some(kind["targets"])) for name, kind in answer["kinds"].items()
    ]
    lab.screen.say(table(("FAULT", "OF A", "NEEDS", "SUCH AS"), rows))


def _state(answer: dict[str, Any]) -> Iterator[RenderableType]:
    from console.terminal.screen import cell, table
    from console.terminal.words import BAD, GOOD

    def power(on: bool) -> RenderableType:
        return cell("power", GOOD) if on else cell("no power", BAD)

    yield table(("SITE", ""), [(key, power(site["power"])) for key, site in answer["sites"].items()])  # type: ignore[misc]  # power() returns Text
    yield ""
    yield table(
        ("SYSTEM", "WRITABLE AT", "ACKNOWLEDGED", "LOST"),
        [
            (key, ", ".join(one["writable_sites"]) or "nowhere", f"{one['acknowledged']}", _lost(one["lost"]))
            for key, one in answer["systems"].items()
        ],
    )
    yield ""
    yield _in_force(answer["faults"])


def _truth(answer: dict[str, Any], lab: Lab) -> Iterator[RenderableType]:
    from console.terminal.screen import cell, table
    from console.terminal.words import BAD, STRONG

    yield cell(answer["system"], STRONG)
    yield cell(f"writable at {', '.join(answer['writable_sites']) or 'no site'}")
    if answer["ever_double_writable"]:
        yield cell("it was writable at two sites at once", BAD)
    yield cell(
        f"{answer['acknowledged']} declarations were acknowledged, {answer['not_acknowledged']} were not; "
        f"lost: {_lost(answer['lost'])}"
    )
    sites = list(answer["positions"])
    rows = [
        (
            site,
            answer["roles"][site],
            f"{answer['positions'][site]}",
            f"{answer['epochs'][site]}",
            "answers" if answer["fronts"][site] else "dead",
            "a drill's copy" if answer["bubbles"][site] else "",
        )
        for site in sites
    ]
    yield ""
    yield table(("SITE", "DATABASE", "POSITION", "EPOCH", "FRONT", ""), rows)
    yield ""
    done = [(lab.screen.moment(one["at"]), one["what"], one["key"], _more(one)) for one in answer["effects"][-20:]]
    yield table(("AT (UTC)", "EFFECT", "ON", ""), done) if done else cell("nothing was done to it")


def _in_force(found: list[dict[str, Any]]) -> RenderableType:
    from console.terminal.screen import table

    rows = [
        (one["fault"], one["target"], " ".join(f"{key}={value}" for key, value in one["parameters"].items()))
        for one in found
    ]
    return table(("IN FORCE", "ON", ""), rows) if rows else "no fault is in force"


def _lost(count: int | None) -> str:
    return "not known while no site is writable" if count is None else f"{count}"


def _more(effect: dict[str, Any]) -> str:
    rest = {key: value for key, value in effect.items() if key not in {"at", "what", "key", "system"}}
    return " ".join(f"{key}={value}" for key, value in rest.items() if value not in (None, ""))


def _some(names: list[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (f", … ({len(names)})" if len(names) > limit else "")
