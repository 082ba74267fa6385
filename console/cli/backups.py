"""`karaula backups`: the backups, to which level each was proven, and the morning's message."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from console.cli.session import Session, talks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from console.terminal.screen import Screen
    from console.terminal.shapes import Backup, BackupsAnswer, MorningAnswer, Proof


@click.command()
@click.argument("what", type=click.Choice(["morning"]), required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many at most.")
@talks
def backups(session: Session, what: str | None, limit: int) -> None:
    """List the backups and what was proven of them, or show the morning's message.

    Proven is a backup that passed its required level: L0 it exists and is fresh, L1 its checksums hold, L2 it restores,
    L3 what was restored boots, L4 it answers as it did when it was taken. What counts after a loss is the age of the
    newest proven one.

    \b
    Example:
      karaula backups
      karaula backups morning
    """  # noqa: D301 - click's mark
    screen = session.screen
    if what == "morning":
        message = cast("MorningAnswer", session.get("/api/backups/morning"))
        screen.document({**message})
        screen.say(message["text"].rstrip())
        return
    answer = cast("BackupsAnswer", session.get("/api/backups"))
    shown = answer["backups"][:limit]
    screen.document({**answer, "backups": shown})
    _proofs(screen, answer["proofs"])
    if shown:
        _listed(screen, shown)
    else:
        screen.say("", "no backup was taken yet; take one: karaula backup SYSTEM")


def _proofs(screen: Screen, proofs: list[Proof]) -> None:
    from console.terminal.screen import cell, table
    from console.terminal.words import BAD, GOOD, WARN

    rows = [
        (
            proof["system"],
            cell("proven", GOOD) if proof["met"] else cell("NOT PROVEN", BAD),
            _age(proof["proven_age_s"]),
            _age(proof["objective_s"]),
            _age(proof["nominal_age_s"]),
            proof["required"],
            _places(proof),
        )
        for proof in proofs
    ]
    heads = ("SYSTEM", "", "PROVEN RPO", "AT MOST", "NEWEST", "LEVEL", "PLACES")
    screen.say(table(heads, rows))
    for proof in proofs:
        for finding in proof["findings"]:
            screen.say(cell(f"{proof['system']}: {finding}", WARN if proof["met"] else BAD))


def _listed(screen: Screen, shown: list[Backup]) -> None:
    from console.terminal.screen import table
    from console.terminal.words import size

    rows = [
        (
            one["id"],
            screen.moment(one["taken_at"]),
            f"{one['records']}",
            size(one["size_bytes"]),
            _proof(one),
            _copy(one),
        )
        for one in shown
    ]
    screen.say("", table(("BACKUP", "TAKEN", "RECORDS", "SIZE", "PROOF", "COPY"), rows))
    for line in _reasons(shown):
        screen.say(line)


def _reasons(shown: list[Backup]) -> Iterator[str]:
    """Yield why the newest ones fell; the reasons of older ones stand in their runs."""
    most = 3
    for one in [one for one in shown if one["failed"] and one["removed_at"] is None][:most]:
        yield f"{one['id']}: {one['failed']} (karaula run show {one['verify_run']})"


def _proof(one: Backup) -> Text:
    from console.terminal.screen import cell
    from console.terminal.words import BAD, GOOD, QUIET

    if one["removed_at"] is not None:
        return cell("removed by the retention", QUIET)
    if one["verified_at"] is not None:
        return cell(f"proven {one['level']}".rstrip(), GOOD)
    if one["fell_at"]:
        return cell(f"FELL AT {one['fell_at']}", BAD)
    return cell("NOT PROVEN", BAD) if one["failed"] else cell("not verified yet", QUIET)


def _copy(one: Backup) -> Text:
    from console.terminal.screen import cell
    from console.terminal.words import QUIET, WARN

    if one["removed_at"] is not None:
        return cell("", QUIET)
    return cell("in one place only", WARN) if one["one_place"] else cell("copied" if one["copied_at"] else "", QUIET)


def _age(seconds: float | None) -> str:
    from console.terminal.words import span

    return "none" if seconds is None else span(float(round(seconds)))


def _places(proof: Proof) -> Text:
    from console.terminal.screen import cell
    from console.terminal.words import QUIET, WARN

    if proof["one_place"] and proof["copies"] == 1:
        return cell("1 of 2", WARN)
    return cell(_counted(proof), QUIET)


def _counted(proof: Proof) -> str:
    if proof["copies"] > 1:
        return f"{proof['copies']}, append-only" if proof["append_only"] else f"{proof['copies']}"
    return f"{proof['copies']}"
