"""`karaula check`: every mistake in the inventory and the playbooks, at once, with its place."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from console.cli.session import output_option

if TYPE_CHECKING:
    from monitor.problem import Problem

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.option("--inventory", type=FILE, default="inventory.yaml", show_default=True, help="The estate.")
@click.option("--playbooks", type=FOLDER, default="playbooks", show_default=True, help="The folder of playbooks.")
@click.option(
    "--credentials",
    type=FOLDER,
    envvar="CREDENTIALS_DIRECTORY",
    help="Also look whether it holds every credential named ($CREDENTIALS_DIRECTORY).",
)
@output_option
def check(inventory: Path, playbooks: Path, credentials: Path | None, output: str) -> None:
    """Say every mistake in the inventory, the playbooks and the packages that bring actions.

    Exit code 0: none; 1: mistakes, each as file:line:column: what is wrong and what was probably meant; 2: usage.

    \b
    Example:
      karaula check
      karaula check --inventory /etc/karaula/inventory.yaml \\
          --playbooks /etc/karaula/playbooks
    """  # noqa: D301 - click's mark
    from console.terminal import exits
    from console.terminal.screen import Screen
    from dr.extensions import installed

    packages = installed().problems
    problems, found = _problems(inventory, playbooks, credentials)
    screen = Screen(as_json=output == "json")
    screen.document({"problems": [asdict(problem) for problem in problems], "packages": list(packages), "found": found})
    for told in (*packages, *problems):
        screen.line(str(told))
    if count := len(problems) + len(packages):
        screen.note(f"{count} mistake{'s' if count > 1 else ''}")
    else:
        screen.line("no mistakes: " + ", ".join(f"{count} {name}" for name, count in found.items()))
    click.get_current_context().exit(exits.FAILED if count else exits.DONE)


def _problems(inventory: Path, playbooks: Path, credentials: Path | None) -> tuple[list[Problem], dict[str, int]]:
    """Return every mistake, sorted by place, and how many entries of each sort there are."""
    from dr.extensions import installed
    from dr.playbook.read import check as check_together
    from dr.playbook.read import read_playbooks
    from monitor.credential import Credentials
    from monitor.errors import InventoryError
    from monitor.inventory.read import missing_credentials, read

    problems: set[Problem] = set()
    estate, files = None, None
    try:
        estate = read(inventory)
    except InventoryError as error:
        problems.update(error.problems)
    try:
        files = read_playbooks(playbooks)
    except InventoryError as error:
        problems.update(error.problems)
    if estate is not None and files is not None:
        problems.update(check_together(files, estate, installed().actions))
    if estate is not None and credentials is not None:
        problems.update(missing_credentials(estate, Credentials(credentials)))
    found = {"playbooks": len(files or {})}
    if estate is not None:
        counted = ("sites", "systems", "crossings", "sensors", "schedules")
        found = {**{name: len(getattr(estate, name)) for name in counted}, **found}
    return sorted(problems), found
