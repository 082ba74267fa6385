"""`karaula inventory …`: the group of commands that bring entries into the inventory and hand them to others."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import click

from console.cli.lazy import LazyGroup

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "import": ("console.cli.inventory.bring:bring", "Make entries from a table, NetBox or a vCenter."),
        "export": ("console.cli.inventory.export:export", "Write the configuration items for a service desk."),
    }
)


@click.command(cls=LazyGroup, where=COMMANDS)
def inventory() -> None:
    """Bring entries into the inventory, and hand them to others.

    \b
    Example:
      karaula inventory import csv hosts.csv --section hosts
      karaula inventory export --format csv
    """  # noqa: D301 - click's mark
