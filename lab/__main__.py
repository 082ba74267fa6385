"""``python -m lab``: start the simulated estate of an inventory until SIGTERM or SIGINT.

Exit codes: 0 stopped by a signal, 1 could not start, 2 usage.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

import yaml

from lab.control import Control
from lab.identity import Identity
from lab.plan import read_plan
from lab.scenario import Estate
from lab.start import Lab


def main(arguments: list[str] | None = None) -> int:
    """Run the lab; return the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    address, _, port = options.control.rpartition(":")
    try:
        estate = Estate(
            read_plan(options.inventory),
            seed=options.seed,
            rate_per_s=options.rate,
            replication_delay_s=options.replication_delay,
        )
        identity = Identity(estate.plan, options.state)
        asyncio.run(_run(estate, identity, Control(estate, address, int(port))))
    except (OSError, yaml.YAMLError) as error:
        print(f"the lab cannot start: {error}", file=sys.stderr)
        return 1
    except KeyError as error:
        print(f"the lab cannot start: {options.inventory} has no {error}; try: karaula check", file=sys.stderr)
        return 1
    return 0


async def _run(estate: Estate, identity: Identity, control: Control) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    lab = Lab(estate, identity)
    await lab.start()
    try:
        await control.start()
        print(
            f"lab ready: {len(estate.plan.systems)} systems, {len(estate.plan.links)} links, "
            f"{len(estate.plan.sensors)} sensors; credentials in {identity.credentials}",
            flush=True,
        )
        await stopped.wait()
    finally:
        await control.stop()
        await lab.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description="Start the simulated estate.")
    parser.add_argument("--inventory", type=Path, required=True, help="inventory.yaml")
    parser.add_argument("--state", type=Path, required=True, help="directory for keys and credentials")
    parser.add_argument("--control", type=_endpoint, default="127.80.0.1:8900", help="address:port of the control port")
    parser.add_argument("--seed", type=int, default=1, help="repeats the same traffic")
    parser.add_argument("--rate", type=_not_negative, default=4.0, help="declarations a second, all systems together")
    parser.add_argument("--replication-delay", type=_not_negative, default=1.5, help="seconds from main to dr")
    return parser


def _endpoint(text: str) -> str:
    address, _, port = text.rpartition(":")
    if not address.startswith("127.") or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not an address:port on loopback (127.x.y.z:port)")
    return text


def _not_negative(text: str) -> float:
    value = float(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


if __name__ == "__main__":
    sys.exit(main())
