"""`karaula inventory import …`: entries from a CSV table, a NetBox export or a vCenter's folder, printed or merged."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from console.cli.check import FILE, FOLDER
from console.cli.lazy import LazyGroup

if TYPE_CHECKING:
    from console.intake.entry import Found

SOURCE = click.Path(dir_okay=False, path_type=Path)
F = TypeVar("F", bound=Callable[..., Any])
COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "csv": ("console.cli.inventory.bring:from_csv", "From a table, as spreadsheets save it."),
        "netbox": ("console.cli.inventory.bring:from_netbox", "From what NetBox's API answers, as JSON."),
        "vcenter": ("console.cli.inventory.bring:from_vcenter", "From the VMs in a folder of a vCenter."),
    }
)


@click.command(cls=LazyGroup, where=COMMANDS)
def bring() -> None:
    """Make entries from a table, NetBox or a vCenter.

    They are printed as YAML, or with --into put into an inventory: comments and order of what is there stay, a key that
    is there is never overwritten, and with any mistake nothing is written at all.

    \b
    Example:
      karaula inventory import csv crossings.csv --section crossings \\
          --into inventory.yaml --dry-run
      karaula inventory import netbox devices.json --site sk1=main
    """  # noqa: D301 - click's mark


class Pair(click.ParamType[tuple[str, str]]):
    """Two words with ``=`` between them."""

    name = "name=value"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return both; fail with a sentence."""
        if isinstance(value, tuple):
            return value
        name, equals, rest = str(value).partition("=")
        if not equals or not name or not rest:
            self.fail(f"'{value}' is not NAME=VALUE", param, ctx)
        return name, rest


def _results(function: F) -> F:
    """Add what every import has: --set, --into, --dry-run."""
    dry = click.option("--dry-run", is_flag=True, help="With --into: show the change as a diff, write nothing.")(
        function
    )
    into = click.option("--into", type=FILE, help="Put the entries into this inventory; FILE.bak keeps the old one.")(
        dry
    )
    return click.option(
        "--set",
        "fixed",
        type=Pair(),
        multiple=True,
        help="A field with the same value in every entry, such as user=karaula. May be repeated.",
    )(into)


@click.command()
@click.argument("file", type=SOURCE)
@click.option("--section", required=True, help="Where the rows go: hosts, crossings, links, sensors, checks …")
@click.option("--encoding", default="", help="When the file is not UTF-8: cp1250, cp1251 …")
@_results
def from_csv(
    file: Path, section: str, encoding: str, fixed: tuple[tuple[str, str], ...], into: Path | None, dry_run: bool
) -> None:
    """From a table, as spreadsheets save it.

    The first row names the columns: 'key' (else one is made from 'name'), and the section's own keys, with dots for
    what is deeper: source.protocol, primary.operator. A column that begins with another section goes there, under the
    same key: links.primary.operator in a table of crossings. Commas, semicolons or tabs, decimal commas, UTF-8, UTF-16.

    \b
    Example:
      karaula inventory import csv hosts.csv --section hosts \\
          --set user=karaula --set port=22 --into inventory.yaml
    """  # noqa: D301 - click's mark
    from console.intake import csvtext, table
    from console.intake.entry import Found
    from monitor.inventory.read import SECTIONS
    from monitor.problem import did_you_mean

    if section not in SECTIONS:
        hint = did_you_mean(section, SECTIONS)
        raise click.BadParameter(f"there is no section '{section}'" + (f"; {hint}" if hint else ""))
    for name, _ in fixed:
        if wrong := table.unknown_column(name, section):
            raise click.BadParameter(f"--set {name}: {wrong}")
    rows, problems = csvtext.rows(_content(file), str(file), encoding)
    found = table.entries(rows, str(file), section, dict(fixed)) if not problems else Found((), tuple(problems))
    _finish(found, into, dry_run=dry_run)


@click.command()
@click.argument("file", type=SOURCE)
@click.option(
    "--to",
    type=click.Choice(["checks", "hosts"]),
    default="checks",
    show_default=True,
    help="What machines become: echo checks, or hosts to reach by SSH.",
)
@click.option("--site", "sites", type=Pair(), multiple=True, help="NetBox's site slug = the site's key here.")
@click.option(
    "--crossing-field",
    default="karaula_crossing",
    show_default=True,
    help="A circuit's custom field: the crossing it serves.",
)
@click.option("--link-field", default="karaula_link", show_default=True, help="Likewise: primary or backup.")
@click.option("--far-end-field", default="karaula_far_end", show_default=True, help="Likewise: the far end's address.")
@_results
def from_netbox(
    file: Path,
    to: str,
    sites: tuple[tuple[str, str], ...],
    crossing_field: str,
    link_field: str,
    far_end_field: str,
    fixed: tuple[tuple[str, str], ...],
    into: Path | None,
    dry_run: bool,
) -> None:
    """From what NetBox's API answers, as JSON.

    Devices and virtual machines that are active and have a primary IP address become checks or hosts; circuits that
    say in custom fields which crossing they serve become links. What is left out is named. FILE is what
    /api/dcim/devices/?limit=0 (or virtualization/virtual-machines, circuits/circuits) answers.

    \b
    Example:
      karaula inventory import netbox devices.json --site sk1=main \\
          --into inventory.yaml --dry-run
    """  # noqa: D301 - click's mark
    from console.intake import netbox

    wish = netbox.Wish(
        section="hosts" if to == "hosts" else "checks",
        sites=dict(sites),
        fixed=_typed(dict(fixed)),
        crossing=crossing_field,
        which=link_field,
        far_end=far_end_field,
    )
    _finish(netbox.entries(_content(file), str(file), wish), into, dry_run=dry_run)


@click.command()
@click.argument("vcenter")
@click.option("--folder", default="", help="An inventory path, such as DC0/vm/Customs. Default: all VMs.")
@click.option("--inventory", type=FILE, default="inventory.yaml", show_default=True, help="Says where VCENTER is.")
@click.option("--credentials", type=FOLDER, envvar="CREDENTIALS_DIRECTORY", help="The folder of secrets.")
@_results
def from_vcenter(
    vcenter: str,
    folder: str,
    inventory: Path,
    credentials: Path | None,
    fixed: tuple[tuple[str, str], ...],
    into: Path | None,
    dry_run: bool,
) -> None:
    """From the VMs in a folder of a vCenter.

    VCENTER is its key in the inventory. Each VM that reports an address becomes a host; nothing is changed there.

    \b
    Example:
      karaula inventory import vcenter vc-main --folder DC0/vm/Customs \\
          --set user=karaula --set port=22 --set credential=ssh-karaula
    """  # noqa: D301 - click's mark
    import asyncio

    from console.intake import vcenter as live
    from monitor.clock import RealClock
    from monitor.credential import Credentials
    from monitor.inventory.read import read
    from monitor.problem import did_you_mean

    known = read(inventory)
    if vcenter not in known.vcenters:
        hint = did_you_mean(vcenter, known.vcenters)
        raise click.BadParameter(f"the inventory has no vCenter '{vcenter}'" + (f"; {hint}" if hint else ""))
    held = asyncio.run(live.snapshot(known, vcenter, folder, Credentials(credentials), RealClock()))
    found = live.entries(held, vcenter, known.vcenters[vcenter].site, _typed(dict(fixed)))
    _finish(found, into, dry_run=dry_run)


def _content(file: Path) -> bytes:
    """Return what a source holds. Raises click's error for one that cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{file} cannot be read: {error.strerror}") from error


def _typed(fixed: Mapping[str, str]) -> dict[str, Any]:
    """Return what --set gave as YAML would read it."""
    from monitor.yamlfile import resolve

    return {name: resolve(value) for name, value in fixed.items()}


def _finish(found: Found, into: Path | None, *, dry_run: bool) -> None:
    """Print the entries, or put them into an inventory; say what was left out and what was there."""
    from console.intake.merge import alone, merge, write
    from monitor.errors import InventoryError

    if dry_run and into is None:
        raise click.UsageError("--dry-run shows what --into FILE would change")
    say = functools.partial(click.echo, err=True)
    for note in found.notes:
        say(f"left out: {note}")
    if found.problems:
        raise InventoryError(found.problems)
    if not found.entries:
        say("nothing to import")
        return
    if into is None:
        click.echo(alone(found.entries), nl=False)
        return
    merged = merge(into.read_bytes(), str(into), found.entries)
    for line in merged.differing:
        say(line)
    counts = f"{len(merged.added)} added, {len(merged.same)} there already, {len(merged.differing)} there and different"
    if dry_run:
        click.echo(merged.diff(str(into)), nl=False)
        say(f"{counts}; nothing is written")
    elif merged.added:
        backup = write(into, merged)
        say(f"{counts}; the file as it was: {backup}. Then: karaula reload")
    else:
        say(f"{counts}; nothing is written")
