"""A chassis' Redfish service (DMTF DSP0266) with Sensor resources (DSP0268, Sensor 1.x): read only.

The service root is open, everything else needs HTTP Basic authentication. A faulty sensor has no reading and the state
UnavailableOffline, as a service management controller says it.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from lab.identity import Identity
from lab.plan import SensorPlan
from lab.scenario import Estate, Server
from lab.servers.http_server import HttpServer, Request, Response, json_response

ROOT = "/redfish/v1"
CHASSIS = f"{ROOT}/Chassis"
HEADERS = {"OData-Version": "4.0", "Cache-Control": "no-cache"}
UNITS = {"celsius": ("Cel", "Temperature"), "percent": ("%", "Humidity"), "watts": ("W", "Power")}


def servers(estate: Estate, identity: Identity) -> list[Server]:
    """Build a service for each address and port at which the inventory has Redfish sensors."""
    devices: dict[tuple[str, int], list[SensorPlan]] = {}
    for sensor in estate.plan.sensors.values():
        if sensor.source["protocol"] == "redfish":
            devices.setdefault((sensor.source["address"], sensor.source["port"]), []).append(sensor)
    return [
        HttpServer(
            address,
            port,
            Service(estate, sensors, identity.secret(sensors[0].source["credential"])).serve,
            partial(estate.sensor_presence, sensors[0].key),
            identity.tls(address),
        )
        for (address, port), sensors in devices.items()
    ]


class Service:
    """Answers for the chassis of one service."""

    def __init__(self, estate: Estate, sensors: Sequence[SensorPlan], password: str) -> None:
        self._estate = estate
        self._sensors = sensors
        self._credentials = f"{sensors[0].source['user']}:{password}".encode()

    async def serve(self, request: Request) -> Response:
        """Answer one request."""
        path = request.path.rstrip("/")
        given = request.basic_credentials()
        known = given is not None and hmac.compare_digest(f"{given[0]}:{given[1]}".encode(), self._credentials)
        if not known and path != ROOT:
            challenge = {**HEADERS, "WWW-Authenticate": 'Basic realm="Redfish"'}
            return json_response(_error("NoValidSession"), HTTPStatus.UNAUTHORIZED, challenge)
        document = self._documents().get(path)
        if document is None:
            return json_response(_error("ResourceMissingAtURI"), HTTPStatus.NOT_FOUND, HEADERS)
        if request.method != "GET":
            return json_response(_error("OperationNotAllowed"), HTTPStatus.METHOD_NOT_ALLOWED, HEADERS)
        return json_response({"@odata.id": path, **document}, headers=HEADERS)

    def _documents(self) -> dict[str, dict[str, Any]]:
        """Give everything that can be read, by path."""
        chassis: dict[str, list[SensorPlan]] = {}
        for sensor in self._sensors:
            chassis.setdefault(f"{CHASSIS}/{sensor.source['chassis']}", []).append(sensor)
        found = {
            ROOT: {"@odata.type": "#ServiceRoot.v1_16_0.ServiceRoot", "Id": "RootService", "Name": "Root Service"},
            CHASSIS: _collection("ChassisCollection", "Chassis", list(chassis)),
        }
        for path, sensors in chassis.items():
            places = {f"{path}/Sensors/{sensor.source['member']}": sensor for sensor in sensors}
            found[path] = {
                "@odata.type": "#Chassis.v1_25_0.Chassis",
                "Id": sensors[0].source["chassis"],
                "Name": f"Blade chassis at {sensors[0].site}",
                "ChassisType": "Enclosure",
                "Sensors": {"@odata.id": f"{path}/Sensors"},
            }
            found[f"{path}/Sensors"] = _collection("SensorCollection", "Sensors", list(places))
            found |= {place: self._sensor(sensor) for place, sensor in places.items()}
        return found

    def _sensor(self, plan: SensorPlan) -> dict[str, Any]:
        state = self._estate.sensor(plan.key)
        units, kind = UNITS[plan.unit]
        sound = {"State": "Enabled", "Health": "OK"}
        return {
            "@odata.type": "#Sensor.v1_9_0.Sensor",
            "Id": plan.source["member"],
            "Name": plan.source["member"],
            "ReadingType": kind,
            "Reading": None if state.faulty else state.value,
            "ReadingUnits": units,
            "ReadingRangeMin": plan.valid_min,
            "ReadingRangeMax": plan.valid_max,
            "Status": {"State": "UnavailableOffline", "Health": "Critical"} if state.faulty else sound,
        }


def _collection(kind: str, name: str, members: list[str]) -> dict[str, Any]:
    return {
        "@odata.type": f"#{kind}.{kind}",
        "Name": name,
        "Members@odata.count": len(members),
        "Members": [{"@odata.id": member} for member in members],
    }


def _error(message_id: str) -> dict[str, Any]:
    code = f"Base.1.18.{message_id}"
    return {"error": {"code": code, "message": f"See {code}."}}
