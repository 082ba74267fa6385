"""`karaula lab …`: the group of commands for the simulated estate, which speak HTTP to its control port."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import click

from console.cli.lazy import LazyGroup

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "up": ("console.cli.simulated.up:up", "Start the simulated estate in the foreground."),
        "state": ("console.cli.simulated.looking:state", "Show the estate as it really is."),
        "truth": ("console.cli.simulated.looking:truth", "Show one system as it really is, with what was lost."),
        "faults": ("console.cli.simulated.looking:faults", "Show the faults in force and those there are."),
        "anchors": (
            "console.cli.simulated.looking:anchors",
            "Print the journal's signed heads that the vault keeps.",
        ),
        "cut": (
            "console.cli.simulated.breaking:cut",
            "Cut a site, a crossing's link, or the monitor's uplink.",
        ),
        "restore": ("console.cli.simulated.breaking:restore", "Mend what was cut."),
        "fault": ("console.cli.simulated.breaking:fault", "Break something."),
        "clear": ("console.cli.simulated.breaking:clear", "Mend something, or everything."),
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
