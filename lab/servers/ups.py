"""Network UPS Tools' upsd (RFC 9271, protocol 1.3), as far as a reader goes: VER, LIST, GET, log-in words; no SET.

A UPS whose driver has stopped answers ``ERR DATA-STALE`` to every question about its variables (RFC 9271 5.3), which is
how a hung driver looks after 15 seconds. A line is UTF-8 here as with upsd, although names are ASCII.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from lab.identity import Identity
from lab.plan import SensorPlan
from lab.points import BATTERY_LOW, ON_BATTERY, UPS_STATE
from lab.presence import Presence
from lab.scenario import Estate, Server
from lab.servers.listener import TcpListener, always_alive

VERSION = "Network UPS Tools upsd 2.8.1 - https://www.networkupstools.org/"
PROTOCOL_VERSION = "1.3"
FIXED_ANSWERS = {
    "VER": VERSION,
    "PROTVER": PROTOCOL_VERSION,
    "NETVER": PROTOCOL_VERSION,
    "HELP": "Commands: HELP VER PROTVER GET LIST USERNAME PASSWORD LOGIN LOGOUT STARTTLS",
    "STARTTLS": "ERR FEATURE-NOT-CONFIGURED",
    "LOGOUT": "OK Goodbye",
}
FULL_PERCENT = 100
LOOK_UP_WORDS = 3  # VAR, the UPS, the variable


@dataclass(frozen=True, slots=True)
class Ups:
    """One UPS: its description and variables by name; stale when its driver no longer reports."""

    description: str
    variables: Mapping[str, str]
    stale: bool = False


@dataclass(slots=True)
class _Session:
    """What one client has said of itself; empty is nothing."""

    user: str = ""
    password: str = ""
    logged_in_to: str = ""


class UpsDaemon:
    """Answers for ``supplies()``, UPS by name."""

    def __init__(
        self,
        address: str,
        port: int,
        supplies: Callable[[], Mapping[str, Ups]],
        presence: Callable[[], Presence] = always_alive,
    ) -> None:
        self._supplies = supplies
        self._listener = TcpListener(address, port, self._converse, presence)

    @property
    def port(self) -> int:
        """The TCP port in use."""
        return self._listener.port

    async def start(self) -> None:
        """Begin to follow the truth. Raises ``OSError`` when the port cannot be bound."""
        await self._listener.start()

    async def stop(self) -> None:
        """Close the port and every connection."""
        await self._listener.stop()

    def refresh(self) -> None:
        """Become what the truth says now."""
        self._listener.refresh()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session()
        while line := await reader.readline():
            try:
                words = shlex.split(line.decode())
            except ValueError:  # an open quotation mark or no UTF-8
                words = ["?"]
            if not words:
                continue
            writer.write(self._answer(session, words[0].upper(), words[1:]).encode() + b"\n")
            await writer.drain()
            if words[0].upper() == "LOGOUT":
                return

    def _answer(self, session: _Session, command: str, arguments: list[str]) -> str:
        if command in FIXED_ANSWERS:
            return FIXED_ANSWERS[command]
        if command in {"USERNAME", "PASSWORD", "LOGIN"}:
            return self._introduce(session, command, arguments)
        if command == "LIST":
            return self._list(arguments)
        if command == "GET":
            return self._get(arguments)
        return "ERR UNKNOWN-COMMAND"

    def _introduce(self, session: _Session, command: str, arguments: list[str]) -> str:
        if len(arguments) != 1:
            return "ERR INVALID-ARGUMENT"
        said = arguments[0]
        if command == "USERNAME":
            fault = "ALREADY-SET-USERNAME" if session.user else ""
            session.user = session.user or said
        elif command == "PASSWORD":
            fault = "ALREADY-SET-PASSWORD" if session.password else ""
            session.password = session.password or said
        else:
            fault = self._log_in(session, said)
        return f"ERR {fault}" if fault else "OK"

    def _log_in(self, session: _Session, name: str) -> str:
        """Count a client of UPS ``name``; give the error or nothing."""
        if not session.user:
            return "USERNAME-REQUIRED"
        if not session.password:
            return "PASSWORD-REQUIRED"
        if name not in self._supplies():
            return "UNKNOWN-UPS"
        if session.logged_in_to:
            return "ALREADY-LOGGED-IN"
        session.logged_in_to = name
        return ""

    def _list(self, arguments: list[str]) -> str:
        kind = arguments[0].upper() if arguments else ""
        supplies = self._supplies()
        if kind == "UPS" and len(arguments) == 1:
            return _listing("UPS", [f'UPS {name} "{_escape(ups.description)}"' for name, ups in supplies.items()])
        if kind not in {"VAR", "RW", "CMD", "CLIENT"} or len(arguments) != LOOK_UP_WORDS - 1:
            return "ERR INVALID-ARGUMENT"
        name = arguments[1]
        ups = supplies.get(name)
        if ups is None:
            return "ERR UNKNOWN-UPS"
        if ups.stale:
            return "ERR DATA-STALE"
        if kind != "VAR":
            return _listing(f"{kind} {name}", [])
        return _listing(f"VAR {name}", [_variable(name, key, value) for key, value in sorted(ups.variables.items())])

    def _get(self, arguments: list[str]) -> str:
        kind = arguments[0].upper() if arguments else ""
        expected = LOOK_UP_WORDS if kind in {"VAR", "TYPE", "DESC"} else LOOK_UP_WORDS - 1
        if kind not in {"VAR", "TYPE", "DESC", "UPSDESC", "NUMLOGINS"} or len(arguments) != expected:
            return "ERR INVALID-ARGUMENT"
        name = arguments[1]
        ups = self._supplies().get(name)
        if ups is None:
            return "ERR UNKNOWN-UPS"
        if kind == "UPSDESC":
            return f'UPSDESC {name} "{_escape(ups.description)}"'
        if kind == "NUMLOGINS":
            return f"NUMLOGINS {name} 0"
        return "ERR DATA-STALE" if ups.stale else _get_variable(kind, name, arguments[2], ups)


def servers(estate: Estate, identity: Identity) -> list[Server]:  # noqa: ARG001 - reading needs no log-in
    """Build an upsd for each address and port at which the inventory has a UPS."""
    daemons: dict[tuple[str, int], list[SensorPlan]] = {}
    for sensor in estate.plan.sensors.values():
        if sensor.source["protocol"] == "nut":
            daemons.setdefault((sensor.source["address"], sensor.source["port"]), []).append(sensor)
    return [
        UpsDaemon(address, port, partial(_supplies, estate, sensors), partial(estate.sensor_presence, sensors[0].key))
        for (address, port), sensors in daemons.items()
    ]


def _supplies(estate: Estate, sensors: Sequence[SensorPlan]) -> Mapping[str, Ups]:
    variables: dict[str, dict[str, str]] = {}
    stale: set[str] = set()
    states: dict[str, float] = {}
    for sensor in sensors:
        name = sensor.source["ups"]
        state = estate.sensor(sensor.key)
        known = variables.setdefault(name, {"device.mfr": "Lab", "device.type": "ups", "driver.name": "simulated"})
        if sensor.quantity == UPS_STATE:
            states[name] = state.value
        else:
            known[sensor.source["variable"]] = f"{state.value:g}"
        if state.faulty:
            stale.add(name)
    for name, known in variables.items():
        charge = float(known.get("battery.charge", FULL_PERCENT))
        on_line = "OL" if charge >= FULL_PERCENT else "OL CHRG"
        known["ups.status"] = {ON_BATTERY: "OB DISCHRG", BATTERY_LOW: "OB LB DISCHRG"}.get(
            int(states.get(name, 0)), on_line
        )
    return {name: Ups(f"UPS {name}", known, name in stale) for name, known in variables.items()}


def _get_variable(kind: str, name: str, variable: str, ups: Ups) -> str:
    if variable not in ups.variables:
        return "ERR VAR-NOT-SUPPORTED"
    if kind == "TYPE":
        return f"TYPE {name} {variable} NUMBER"
    if kind == "DESC":
        return f'DESC {name} {variable} "Description unavailable"'
    return _variable(name, variable, ups.variables[variable])


def _listing(what: str, lines: list[str]) -> str:
    return "\n".join([f"BEGIN LIST {what}", *lines, f"END LIST {what}"])


def _variable(ups: str, name: str, value: str) -> str:
    return f'VAR {ups} {name} "{_escape(value)}"'


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
