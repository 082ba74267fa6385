"""Outlet groups of a switched PDU: what they are set to, what they draw, and switching them.

Source: DMTF DSP0266 (Redfish protocol), DSP0268 schemas OutletGroup 1.x (PowerState, PowerWatts, #OutletGroup.
PowerControl) and PowerDistribution. HTTP basic authentication over TLS; the caller decides what a reading proves.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from monitor.errors import GarbledReply, NotFound, Refused, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.credential import Secret
    from monitor.inventory.equipment import PowerController

# What hostile JSON leads to: too deep, numbers too long for a float, other types than the schema's.
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


class Reply(Protocol):
    """What is needed of an HTTP answer."""

    @property
    def status(self) -> int: ...  # noqa: D102 - as in clients/http.py
    @property
    def body(self) -> bytes: ...  # noqa: D102 - as in clients/http.py


class Http(Protocol):
    """What is needed of ``clients/http.py``; clients do not know one another."""

    async def request(  # noqa: D102 - as in clients/http.py
        self,
        method: str,
        url: str,
        *,
        timeout_s: float,
        connect_to: tuple[str, int] | None = None,
        json: object | None = None,
        auth: tuple[str, Secret] | None = None,
    ) -> Reply: ...


@dataclass(frozen=True, slots=True)
class OutletGroup:
    """An outlet group: ``power`` is Redfish's PowerState (On, Off, PoweringOn, PoweringOff), ``watts`` what it draws.

    ``watts`` is None when the controller does not measure it.
    """

    power: str
    watts: float | None


def noted(name: str, group: OutletGroup) -> tuple[dict[str, str], dict[str, float]]:
    """Return the facts and values by which an observation carries what was read of the group ``name``."""
    watts = {} if group.watts is None else {f"outlets/{name}/watts": group.watts}
    return {f"outlets/{name}": group.power}, watts


def recalled(name: str, facts: Mapping[str, str], values: Mapping[str, float]) -> OutletGroup | None:
    """Return what ``noted`` has put there of the group ``name``; None where it was not read."""
    power = facts.get(f"outlets/{name}")
    return None if power is None else OutletGroup(power, values.get(f"outlets/{name}/watts"))


class RedfishClient:
    """Asks and switches; raises the errors of HttpClient.request, and Refused, NotFound, GarbledReply by status."""

    def __init__(self, http: Http) -> None:
        """Speak through ``http``."""
        self._http = http

    async def outlet_group(
        self, controller: PowerController, password: Secret, group: str, timeout_s: float
    ) -> OutletGroup:
        """Read the outlet group."""
        reply = await self._http.request(
            "GET", _url(controller, group), timeout_s=timeout_s, auth=(controller.user, password)
        )
        _check(reply, controller, group)
        try:
            found = json.loads(reply.body)
            power, reading = found["PowerState"], (found.get("PowerWatts") or {}).get("Reading")
            watts = None if reading is None else float(reading)
        except UNREADABLE as error:
            raise GarbledReply(f"{_name(controller, group)} answered what is not an OutletGroup") from error
        if not isinstance(power, str) or (watts is not None and not math.isfinite(watts)):
            raise GarbledReply(f"{_name(controller, group)} answered what is not an OutletGroup")
        return OutletGroup(power, watts)

    async def set_power(
        self, controller: PowerController, password: Secret, group: str, timeout_s: float, *, on: bool
    ) -> None:
        """Ask for power on or off. Acceptance is not proof: read the group afterwards."""
        reply = await self._http.request(
            "POST",
            f"{_url(controller, group)}/Actions/OutletGroup.PowerControl",
            timeout_s=timeout_s,
            json={"PowerState": "On" if on else "Off"},
            auth=(controller.user, password),
        )
        _check(reply, controller, group)


def _url(controller: PowerController, group: str) -> str:
    host = f"[{controller.address}]" if ":" in controller.address else controller.address
    pdu, outlets = quote(controller.pdu, safe=""), quote(group, safe="")
    return f"https://{host}:{controller.port}/redfish/v1/PowerEquipment/RackPDUs/{pdu}/OutletGroups/{outlets}"


def _name(controller: PowerController, group: str) -> str:
    return f"power controller {controller.address}:{controller.port}, outlet group {controller.pdu}/{group},"


def _check(reply: Reply, controller: PowerController, group: str) -> None:
    """Raise what a status other than success means."""
    name, status = _name(controller, group), reply.status
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP: success
        return
    if status in (401, 403):
        raise Refused(f"{name} does not accept user '{controller.user}' with this password")
    if status == 404:  # noqa: PLR2004 - HTTP: not found
        raise NotFound(f"{name} does not exist")
    if status == 503:  # noqa: PLR2004 - HTTP: service unavailable, nothing was done (RFC 9110 15.6.4)
        raise Unreachable(f"{name} is not ready (503)")
    said = _message(reply.body)
    if 400 <= status < 500:  # noqa: PLR2004 - HTTP: the request is at fault
        raise Refused(f"{name} refused: {said or status}")
    raise GarbledReply(f"{name} failed with {status}{': ' + said if said else ''}")


def _message(body: bytes) -> str:
    """Return the first message of a Redfish error body, empty when there is none."""
    try:
        error = json.loads(body)["error"]
        extended = error.get("@Message.ExtendedInfo") or [{}]
        return str(extended[0].get("Message") or error.get("message") or "")[:300]
    except UNREADABLE:
        return ""
