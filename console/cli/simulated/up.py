"""`karaula lab up`: start the simulated estate in the foreground."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import click

from console.cli.check import FILE


@click.command()
@click.option("--inventory", type=FILE, default="inventory.yaml", show_default=True, help="The estate to simulate.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=".karaula/lab",
    show_default=True,
    help="Where its keys and credentials are kept.",
)
@click.option("--control", default="127.80.0.1:8900", show_default=True, help="ADDRESS:PORT of its control port.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed, the same traffic.")
@click.option("--rate", type=float, default=4.0, show_default=True, help="Declarations a second, all systems together.")
def up(inventory: Path, state: Path, control: str, seed: int, rate: float) -> None:
    """Start the simulated estate in the foreground; Ctrl-C stops it.

    The daemon for it, in a second terminal: karaula serve --credentials .karaula/lab/credentials

    \b
    Example:
      karaula lab up
      karaula lab up --seed 7 --rate 20
    """  # noqa: D301 - click's mark
    if importlib.util.find_spec("lab") is None:
        raise click.UsageError("the lab is not installed here; install karaula[lab]")
    command = [sys.executable, "-m", "lab", "--inventory", str(inventory), "--state", str(state)]
    command += ["--control", control, "--seed", str(seed), "--rate", str(rate)]
    sys.stdout.flush()
    os.execv(sys.executable, command)  # noqa: S606 - our own interpreter; in our place, so that signals reach it
