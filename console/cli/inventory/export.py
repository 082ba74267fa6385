"""`karaula inventory export`: the configuration items for a service desk."""

from __future__ import annotations

from pathlib import Path

import click

from console.cli.check import FILE


@click.command()
@click.option("--inventory", type=FILE, default="inventory.yaml", show_default=True, help="The estate.")
@click.option("--format", "form", type=click.Choice(["json", "csv"]), default="json", show_default=True, help="How.")
def export(inventory: Path, form: str) -> None:
    """Write the configuration items for a service desk.

    Each has a stable id, a class, a name, its site, who answers for it, its address, what it depends on and what
    requires it. No user, credential or command is among them. In CSV, what a spreadsheet would take for a formula gets
    an apostrophe.

    \b
    Example:
      karaula inventory export > items.json
      karaula inventory export --format csv > items.csv
    """  # noqa: D301 - click's mark
    from console.items import items, to_csv, to_json
    from monitor.inventory.read import read

    known = read(inventory)
    found = items(known)
    click.echo(to_csv(found) if form == "csv" else to_json(found, known.estate.name), nl=False)
