"""`karaula evidence`: is the record of runs what was written? Offline, on a journal and what was kept elsewhere."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from console.cli.evidence_year import year_command
from console.cli.session import output_option
from monitor.errors import CredentialError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from console.terminal.screen import Screen
    from dr.evidence.anchor import Anchor
    from dr.evidence.verify import Vouched

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def evidence() -> None:
    """Prove that the record of runs stands as it was written.

    \b
    Example:
      karaula evidence new-key evidence-key
      karaula evidence verify --anchors anchors.jsonl --key signing-key.pub
      karaula evidence year 2026
    """  # noqa: D301 - click's mark


evidence.add_command(year_command)


@evidence.command("new-key")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def new_key(file: Path) -> None:
    """Make a signing key in FILE (for the credentials directory) and print its public key.

    Keep the public key where the journal is not: with it, and nothing else, anybody can verify.

    \b
    Example:
      karaula evidence new-key /etc/karaula/credentials/evidence-key
    """  # noqa: D301 - click's mark
    from dr.evidence.anchor import new_key as make

    private, public = make()
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise click.UsageError(f"{file} is there already; a key is never overwritten") from None
    except OSError as error:
        raise click.UsageError(f"{file} cannot be made: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(private)
    click.echo(public.decode("ascii"), nl=False)


@evidence.command("public-key")
@click.argument("file", type=FILE)
def public_key(file: Path) -> None:
    """Print the public key of the signing key in FILE.

    \b
    Example:
      karaula evidence public-key /etc/karaula/credentials/evidence-key
    """  # noqa: D301 - click's mark
    from dr.evidence.anchor import private_key, public_pem

    click.echo(public_pem(private_key(_bytes(file))).decode("ascii"), nl=False)


@evidence.command()
@click.option(
    "--journal",
    type=FILE,
    default=".karaula/state/journal.sqlite",
    show_default=True,
    help="The journal, or a copy of it.",
)
@click.option(
    "--anchors", type=FILE, multiple=True, help="Signed heads that were kept elsewhere; several files may be."
)
@click.option("--key", type=FILE, help="The public key (PEM) that they were signed with.")
@click.option(
    "--downtimes",
    type=FILE,
    help="The record of planned downtimes, or a copy; downtimes.sqlite beside the journal if not given.",
)
@output_option
def verify(journal: Path, anchors: tuple[Path, ...], key: Path | None, downtimes: Path | None, output: str) -> None:
    """Verify the journal and the planned downtimes against their chains and against anchors; needs no daemon.

    The journal holds the runs, what people decided, the pauses and what became of each time of the calendar.

    Exit code 0: nothing was found against it; 1: something was, and is said. With --key at least one anchor must vouch.

    \b
    Example:
      karaula evidence verify --anchors anchors.jsonl --key signing-key.pub
      karaula evidence verify --journal copy.sqlite --output json
    """  # noqa: D301 - click's mark
    from console.terminal import exits
    from console.terminal.screen import Screen
    from dr.evidence.verify import LIMITS
    from dr.evidence.verify import verify as verified

    if not journal.is_file():
        raise click.UsageError(f"there is no journal {journal}; name it with --journal")
    if downtimes is not None and not downtimes.is_file():
        raise click.UsageError(f"there is no record of planned downtimes {downtimes}")
    beside = journal.with_name("downtimes.sqlite")
    planned = downtimes or (beside if beside.is_file() else None)
    heads, strange = _anchors(anchors)
    found = verified(journal, heads, _public_key(key) if key is not None else None, planned)
    faults = [*found.faults, *strange]
    screen = Screen(as_json=output == "json")
    screen.document(
        {
            "intact": not faults,
            "journal": found.journal.record,
            "events": found.journal.entries,
            "runs": found.runs,
            "anchors": found.journal.anchors,
            "anchored_events": found.journal.anchored,
            "anchored_at": found.journal.anchored_at,
            "downtimes": None if found.downtimes is None else asdict(found.downtimes),
            "faults": faults,
            "unchained": found.unchained,
            "limits": LIMITS,
        }
    )
    for fault in faults:
        screen.line(f"FAULT  {fault}")
    runs = f"{found.runs} run{'' if found.runs == 1 else 's'}"
    screen.line(f"journal {found.journal.record}: {found.journal.entries} events of {runs}")
    screen.line(_anchored(found.journal, "events", screen))
    if found.unchained:
        screen.line(found.unchained)
    if found.downtimes is not None:
        entries = f"{found.downtimes.entries} {'entry' if found.downtimes.entries == 1 else 'entries'}"
        screen.line(f"planned downtimes {found.downtimes.record}: {entries}")
        screen.line(_anchored(found.downtimes, "entries", screen))
    screen.line("intact as far as this shows" if not faults else "NOT as it was written")
    screen.line(LIMITS)
    click.get_current_context().exit(exits.FAILED if faults else exits.DONE)


def _anchored(record: Vouched, what: str, screen: Screen) -> str:
    """Say how far anchors vouch for a record."""
    if record.anchored_at is None:
        return "no anchor vouches for it: that its end was not cut off, nor all of it written anew, is not shown"
    since = record.entries - record.anchored
    later = f"{since} since then {'is' if since == 1 else 'are'} only chained" if since else "nothing came after that"
    return f"anchored: {record.anchored} {what}, signed {screen.moment(record.anchored_at)} UTC; {later}"


def _anchors(files: tuple[Path, ...]) -> tuple[list[Anchor], list[str]]:
    from dr.evidence.anchor import read_lines

    heads: list[Anchor] = []
    strange: list[str] = []
    for file in files:
        found, odd = read_lines(_bytes(file).decode("utf-8", "replace").splitlines())
        heads += found
        strange += [f"{file}: {sentence}" for sentence in odd]
    return heads, strange


def _public_key(file: Path) -> Ed25519PublicKey:
    from dr.evidence.anchor import public_key as read_key

    try:
        return read_key(_bytes(file))
    except CredentialError as error:
        why = f"{file}: {error}; 'karaula evidence public-key FILE' prints that of a signing key"
        raise click.UsageError(why) from None


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}") from None
