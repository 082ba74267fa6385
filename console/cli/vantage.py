"""`karaula vantage`: an observer at another place, whose word counts beside the daemon's own."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from console.cli.check import FILE, FOLDER
from console.cli.serve import address_and_port

if TYPE_CHECKING:
    from console.vantage import Place
    from monitor.inventory.vantage import ObserverPoint

HTTPS_PORT, HTTP_PORT = 443, 80


class Where(click.ParamType[tuple[str, int]]):
    """An address and port."""

    name = "address:port"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Return address and port; fail with a sentence."""
        if isinstance(value, tuple):
            return value
        try:
            return address_and_port(str(value), "127.80.3.40:8472")
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("name")
@click.option("--inventory", type=FILE, default="inventory.yaml", show_default=True, help="The estate.")
@click.option(
    "--credentials",
    type=FOLDER,
    envvar="CREDENTIALS_DIRECTORY",
    help="The folder of secrets ($CREDENTIALS_DIRECTORY): the CA and the token are enough.",
)
@click.option(
    "--certificate",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A PEM file with its certificate and key; needed beyond loopback.",
)
@click.option("--listen", type=Where(), help="Where to answer. Default: the address of its url in the inventory.")
def vantage(
    name: str, inventory: Path, credentials: Path | None, certificate: Path | None, listen: tuple[str, int] | None
) -> None:
    """Look at the systems from another place, and tell the daemon what is seen. SIGTERM or Ctrl-C stops it.

    NAME is an observer of vantage.points in the inventory. It asks every system's front and this place's anchors as
    the daemon does, keeps nothing, alarms nobody and starts nothing. Its word is one vote on whether a site is lost.

    \b
    Example:
      karaula vantage witness --certificate /etc/karaula/witness.pem \\
          --inventory /etc/karaula/inventory.yaml
    """  # noqa: D301 - click's mark
    import asyncio

    from console.vantage import Place, observe, point_of
    from monitor.credential import Credentials
    from monitor.inventory.read import read

    estate = read(inventory)
    host, port = listen or _listed(point_of(estate, name))
    asyncio.run(observe(name, estate, Credentials(credentials), Place(host, port, certificate), _started))


def _listed(point: ObserverPoint) -> tuple[str, int]:
    """Return the address that the inventory gives. Raises click.UsageError where it is a name."""
    parts = urlsplit(point.url)
    port = parts.port or (HTTPS_PORT if parts.scheme == "https" else HTTP_PORT)
    try:
        return str(ip_address(parts.hostname or "")), port
    except ValueError as error:
        raise click.UsageError(
            f"'{parts.hostname}' of the inventory is a name: say with --listen ADDRESS:{port} where to answer"
        ) from error


def _started(place: Place) -> None:
    """Say where the observer answers."""
    shown = f"[{place.host}]" if ":" in place.host else place.host
    scheme = "http" if place.certificate is None else "https"
    click.echo(f"karaula observes; its opinion is at {scheme}://{shown}:{place.port}/api/opinion")
