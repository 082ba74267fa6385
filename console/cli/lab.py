"""`karaula lab …`: the group of commands for the simulated estate, which speak HTTP to its control port."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import click

from console.cli.lazy import LazyGroup

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "up": ("console.cli.lab_up:up", "Start the simulated estate in the foreground."),
        "state": ("console.cli.lab_look:state", "Show the estate as it really is."),
        "truth": ("console.cli.lab_look:truth", "Show one system as it really is, with what was lost."),
        "faults": ("console.cli.lab_look:faults", "Show the faults in force and those there are."),
        "cut": ("console.cli.lab_break:cut", "Cut a site's power, or a crossing's link."),
        "restore": ("console.cli.lab_break:restore", "Mend what was cut."),
        "fault": ("console.cli.lab_break:fault", "Break something."),
        "clear": ("console.cli.lab_break:clear", "Mend something, or everything."),
    }
)


@click.command(cls=LazyGroup, where=COMMANDS)
def lab() -> None:
    """Break and mend the simulated estate that './do run' starts.

    Nothing here touches anything but the lab's control port on this machine.

    \b
    Example:
      karaula lab cut main
      karaula lab fault set-sensor main-rack-1-temperature value=45
      karaula lab clear --all
    """  # noqa: D301 - click's mark
