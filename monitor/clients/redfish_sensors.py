"""What a chassis behind a Redfish service measures.

DMTF DSP0266 (protocol); DSP0268 schemas Sensor 1.x (Reading, ReadingUnits, Status), and the older Thermal
(Temperatures) and Power (PowerControl), which most services still have and many have alone. HTTP basic authentication
over TLS.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import quote

from monitor.errors import GarbledReply, NotFound, Refused, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.credential import Secret

Resource = Literal["sensors", "thermal", "power"]
# ReadingUnits are UCUM's case-sensitive codes; services also write words.
UNITS: Mapping[str, str] = {"Cel": "celsius", "C": "celsius", "%": "percent", "Percent": "percent", "W": "watts"}
OLDER: Mapping[Resource, tuple[str, str, str, str]] = {  # page, list, reading, unit
    "thermal": ("Thermal", "Temperatures", "ReadingCelsius", "celsius"),
    "power": ("Power", "PowerControl", "PowerConsumedWatts", "watts"),
}
THRESHOLDS = tuple(f"{way}Threshold{how}" for way in ("Upper", "Lower") for how in ("NonCritical", "Critical"))
ENABLED = "Enabled"
SOUND = 200
LONGEST_WORD = 40
LONGEST_PLACE = 4  # digits


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading: ``unit`` in the inventory's words, ``health`` the device's own (OK, Warning, Critical, or empty).

    ``lowest`` and ``highest`` bound what the sensor can measure, where the device says so and does not gainsay itself.
    """

    value: float
    unit: str
    health: str
    lowest: float | None = None
    highest: float | None = None


class Reply(Protocol):
    """What is needed of an HTTP answer."""

    @property
    def status(self) -> int: ...  # noqa: D102 - as in clients/http.py
    @property
    def body(self) -> bytes: ...  # noqa: D102 - as in clients/http.py


class Http(Protocol):
    """What is needed of ``clients/http.py``; clients do not know one another."""

    async def request(  # noqa: D102 - as in clients/http.py
        self, method: str, url: str, *, timeout_s: float, auth: tuple[str, Secret] | None = None
    ) -> Reply: ...


def page(resource: Resource, chassis: str, member: str) -> str:
    """Return the path of the page that holds a reading; the older pages hold several."""
    tail = f"Sensors/{quote(member, safe='')}" if resource == "sensors" else OLDER[resource][0]
    return f"/redfish/v1/Chassis/{quote(chassis, safe='')}/{tail}"


async def fetch(
    http: Http, address: str, port: int, path: str, access: tuple[str, Secret], timeout_s: float
) -> Mapping[str, Any]:
    """Return the object at ``path``. Raises the errors of HttpClient.request, Refused, NotFound and GarbledReply."""
    host = f"[{address}]" if ":" in address else address
    reply = await http.request("GET", f"https://{host}:{port}{path}", timeout_s=timeout_s, auth=access)
    where = f"{address}:{port}{path}"
    if reply.status in (401, 403):
        raise Refused(f"{where}: the service does not accept user '{access[0]}' with this password")
    if reply.status == 404:  # noqa: PLR2004 - HTTP: not found
        raise NotFound(f"{where} does not exist")
    if reply.status >= 500:  # noqa: PLR2004 - HTTP: the service's own failure, which may pass
        raise Unreachable(f"{where}: the service fails with {reply.status}")
    if reply.status != SOUND:
        raise Refused(f"{where}: the service answers {reply.status}")
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise GarbledReply(f"{where}: not a Redfish resource") from error
    if not isinstance(found, dict):
        raise GarbledReply(f"{where}: not a Redfish resource")
    return found


def reading(found: Mapping[str, Any], resource: Resource, member: str) -> Reading:
    """Return the reading that a page holds of ``member``.

    Raises NotFound when there is none (not there, no sensor in place, switched off), GarbledReply for no number.
    """
    if resource == "sensors":
        name, unit = "Reading", found.get("ReadingUnits")
        shown = UNITS.get(unit, f"'{_plain(unit)}'") if isinstance(unit, str) else "no unit"
        low, high = "ReadingRangeMin", "ReadingRangeMax"
    else:
        _, section, name, shown = OLDER[resource]
        low, high = "MinReadingRangeTemp", "MaxReadingRangeTemp"
        found = _member(found.get(section), member)
    status = found.get("Status")
    status = status if isinstance(status, dict) else {}
    state = status.get("State", ENABLED)
    if state != ENABLED:
        raise NotFound(f"the sensor's state is {_plain(str(state))}")
    health = status.get("Health")
    value = found.get(name)
    if value is None:
        raise NotFound("the service has no reading of the sensor")
    number = _number(value)
    if number is None:
        raise GarbledReply("the reading is not a number")
    words = _plain(health) if isinstance(health, str) else ""
    return Reading(number, shown, words, *_range(found, _number(found.get(low)), _number(found.get(high))))


def _range(found: Mapping[str, Any], lowest: float | None, highest: float | None) -> tuple[float | None, float | None]:
    """Return a sensor's range; none when the device's own thresholds are beyond it.

    An iDRAC with firmware 2.41 gives 13 to 19 °C to a processor at 47 °C whose threshold it sets at 85 °C.
    """
    for name in THRESHOLDS:
        threshold = _number(found.get(name))
        beyond = threshold is not None and highest is not None and threshold > highest
        if beyond and name.startswith("Upper"):
            return None, None
        below = threshold is not None and lowest is not None and threshold < lowest
        if below and name.startswith("Lower"):
            return None, None
    return lowest, highest


def _member(entries: object, member: str) -> Mapping[str, Any]:
    """Return the one entry whose MemberId or Name is ``member``; a name that several have is nobody's.

    Older iDRACs write MemberID, older iLOs none and no Name in Power: then it is the place in the list.
    """
    sound = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    for key in ("MemberId", "MemberID", "Name"):
        fitting = [entry for entry in sound if entry.get(key) == member]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise NotFound(f"{len(fitting)} entries have the {key} '{member}'")
    if member.isascii() and member.isdecimal() and len(member) <= LONGEST_PLACE and int(member) < len(sound):
        entry = sound[int(member)]
        if not any(key in entry for key in ("MemberId", "MemberID")):
            return entry
    raise NotFound(f"no entry has the MemberId or Name '{member}'")


def _plain(said: str) -> str:
    """Return a word of the service without what would move a screen."""
    return "".join(letter for letter in said[:200] if letter.isprintable())[:LONGEST_WORD]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
