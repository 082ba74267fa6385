"""`karaula serve`: run the daemon in the foreground."""

from __future__ import annotations

import gc
import os
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import click

from console.cli.check import FILE, FOLDER

if TYPE_CHECKING:
    from console.daemon import Daemon
    from monitor.inventory.shard import Shard

HIGHEST_PORT = 65535


def address_and_port(text: str, example: str) -> tuple[str, int]:
    """Return what ``127.0.0.1:8470`` names, ``localhost`` as a number. Raises ValueError with a sentence."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= HIGHEST_PORT:
        raise ValueError(f"'{text}' is not ADDRESS:PORT, such as {example}")
    host = host.removeprefix("[").removesuffix("]")
    try:
        return str(ip_address("127.0.0.1" if host == "localhost" else host)), int(port)
    except ValueError as error:
        raise ValueError(f"'{host}' is not an address; write it in numbers, such as {example}") from error


class Listen(click.ParamType[tuple[str, int]]):
    """An address and port on loopback."""

    name = "address:port"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Return address and port; fail with the reason for an address that is not loopback."""
        if isinstance(value, tuple):
            return value
        try:
            host, port = address_and_port(str(value), "127.0.0.1:8470")
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not ip_address(host).is_loopback:
            reason = "there are no log-ins yet, so whoever reaches the web page may approve a failover"
            self.fail(
                f"{host} is refused, only loopback is served: {reason}. From another machine: "
                f"ssh -L {port}:127.0.0.1:{port} THIS-MACHINE",
                param,
                ctx,
            )
        return host, port


class Part(click.ParamType["Shard"]):
    """A shard, such as 2/5."""

    name = "number/count"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        """Return the shard; fail with the reason."""
        from monitor.inventory.shard import Shard, shard

        if isinstance(value, Shard):
            return value
        try:
            return shard(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("--inventory", type=FILE, default="inventory.yaml", show_default=True, help="The estate.")
@click.option("--playbooks", type=FOLDER, default="playbooks", show_default=True, help="The folder of playbooks.")
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=".karaula/state",
    show_default=True,
    help="Where journal and history are kept.",
)
@click.option(
    "--credentials",
    type=FOLDER,
    envvar="CREDENTIALS_DIRECTORY",
    help="The folder of secrets ($CREDENTIALS_DIRECTORY).",
)
@click.option(
    "--listen",
    type=Listen(),
    default="127.0.0.1:8470",
    show_default=True,
    help="The web page; loopback.",
)
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    help="The command line's socket; its permissions decide who may use the daemon. Default: "
    "karaula.sock in $RUNTIME_DIRECTORY (systemd) if that is set, else in the state folder.",
)
@click.option(
    "--shard",
    type=Part(),
    envvar="KARAULA_SHARD",
    default="1/1",
    show_default=True,
    help="Watch this part of the estate only; several daemons share it ($KARAULA_SHARD).",
)
@click.option(
    "--last-good",
    is_flag=True,
    envvar="KARAULA_LAST_GOOD",
    help="Start with the configuration that held last, while the files have mistakes ($KARAULA_LAST_GOOD).",
)
def serve(
    inventory: Path,
    playbooks: Path,
    state: Path,
    credentials: Path | None,
    listen: tuple[str, int],
    socket: Path | None,
    shard: Shard,
    last_good: bool,
) -> None:
    """Run the daemon: watch, alarm, keep the calendar, do the runs. SIGTERM or Ctrl-C stops it.

    Runs under way are journaled and go on at the next start. With --shard 1/3, 2/3 and 3/3 three daemons share the
    estate, each with the same inventory and a state folder of its own; the first alone does recovery.

    A start with mistakes in inventory or playbooks fails, and names them. What held last is kept in the state folder:
    with --last-good the daemon starts with that instead, an alarm stands (inventory-refused), and karaula reload
    takes up the files once they are mended. Files without mistakes are always used themselves.

    \b
    Example:
      karaula serve --credentials .karaula/lab/credentials
      karaula serve --inventory /etc/karaula/inventory.yaml \\
          --playbooks /etc/karaula/playbooks --state /var/lib/karaula
    """  # noqa: D301 - click's mark
    gc.disable()  # all that is loaded now stays, and to walk through it takes an eighth of the time
    from console.options import Options
    from console.process import serve as run

    gc.enable()
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if socket is None and runtime:
        socket = Path(runtime) / "karaula.sock"
    host, port = listen
    run(Options(inventory, playbooks, state, credentials, host, port, socket, shard, last_good), _started)


def _started(daemon: Daemon) -> None:
    """Say where the daemon can be reached."""
    shown = f"[{daemon.doors.host}]" if ":" in daemon.doors.host else daemon.doors.host
    click.echo(f"karaula serves http://{shown}:{daemon.doors.port}/ and {daemon.doors.socket_path}")
