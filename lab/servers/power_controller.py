"""A switched PDU's Redfish service (DMTF DSP0266, schema OutletGroup of DSP0268): reads and switches outlet groups.

The service root is open, everything else needs HTTP Basic authentication. Switching is the action
``OutletGroup.PowerControl`` with ``{"PowerState": "On"|"Off"}``, answered 204, also when the group is so already. A
group reads its set state and the watts that it really draws, so a stuck relay shows as Off with watts; without site
power it draws none. Errors have the body of DSP0266 9.2 with messages of the Base registry.
"""

from __future__ import annotations

import hmac
from functools import partial
from http import HTTPStatus
from typing import Any

from lab.identity import Identity
from lab.plan import PowerPlan
from lab.scenario import Estate, Server
from lab.servers.http_server import HttpServer, Request, Response, json_response

ROOT = "/redfish/v1"
EQUIPMENT = f"{ROOT}/PowerEquipment"
PDUS = f"{EQUIPMENT}/RackPDUs"
ACTION = "Actions/OutletGroup.PowerControl"
STATES = ("On", "Off")
HEADERS = {"OData-Version": "4.0", "Cache-Control": "no-cache"}


def servers(estate: Estate, identity: Identity) -> list[Server]:
    """Build the power controllers of the inventory."""
    return [
        HttpServer(
            plan.address,
            plan.port,
            PowerController(estate, plan, identity.secret(plan.credential)).serve,
            partial(estate.power_presence, plan.key),
            identity.tls(plan.address),
        )
        for plan in estate.plan.power_controllers.values()
    ]


class PowerController:
    """Answers requests for one PDU."""

    def __init__(self, estate: Estate, plan: PowerPlan, password: str) -> None:
        self._estate = estate
        self._plan = plan
        self._credentials = f"{plan.user}:{password}".encode()
        self._groups = f"{PDUS}/{plan.pdu}/OutletGroups"

    async def serve(self, request: Request) -> Response:
        """Answer one request."""
        path = request.path.rstrip("/")
        if path in {"/redfish", ROOT} and request.method == "GET":
            return self._open(path)
        if not self._knows(request):
            response = _error(HTTPStatus.UNAUTHORIZED, "NoValidSession", "There is no valid session established.")
            headers = {**response.headers, "WWW-Authenticate": 'Basic realm="Redfish"'}
            return Response(response.status, response.body, response.content_type, headers)
        if path.startswith(f"{self._groups}/"):
            return self._group(request, path.removeprefix(f"{self._groups}/"))
        document = self._collections().get(path)
        if document is None:
            return _missing(path)
        if request.method != "GET":
            return _not_allowed(request.method)
        return json_response({"@odata.id": path, **document}, headers=HEADERS)

    def _knows(self, request: Request) -> bool:
        given = request.basic_credentials()
        return given is not None and hmac.compare_digest(f"{given[0]}:{given[1]}".encode(), self._credentials)

    def _open(self, path: str) -> Response:
        if path == "/redfish":
            return json_response({"v1": f"{ROOT}/"}, headers=HEADERS)
        document = {
            "@odata.id": f"{ROOT}/",
            "@odata.type": "#ServiceRoot.v1_16_0.ServiceRoot",
            "Id": "RootService",
            "Name": "Root Service",
            "RedfishVersion": "1.18.0",
            "PowerEquipment": {"@odata.id": EQUIPMENT},
        }
        return json_response(document, headers=HEADERS)

    def _collections(self) -> dict[str, dict[str, Any]]:
        """Give what can be read above the outlet groups, by path."""
        pdu = f"{PDUS}/{self._plan.pdu}"
        groups = [
            f"{self._groups}/{group}" for controller, group in self._estate.outlets if controller == self._plan.key
        ]
        return {
            EQUIPMENT: {
                "@odata.type": "#PowerEquipment.v1_2_0.PowerEquipment",
                "Id": "PowerEquipment",
                "Name": "DCIM Power Equipment",
                "RackPDUs": {"@odata.id": PDUS},
            },
            PDUS: _collection("PowerDistributionCollection", "Rack PDUs", [pdu]),
            pdu: {
                "@odata.type": "#PowerDistribution.v1_3_0.PowerDistribution",
                "Id": self._plan.pdu,
                "Name": f"Switched PDU at {self._plan.site}",
                "EquipmentType": "RackPDU",
                "OutletGroups": {"@odata.id": self._groups},
            },
            self._groups: _collection("OutletGroupCollection", "Outlet groups", groups),
        }

    def _group(self, request: Request, rest: str) -> Response:
        group, _, below = rest.partition("/")
        if (self._plan.key, group) not in self._estate.outlets or below not in {"", ACTION}:
            return _missing(request.path)
        if request.method != ("POST" if below else "GET"):
            return _not_allowed(request.method)
        return self._control(request, group) if below else self._read(group)

    def _read(self, group: str) -> Response:
        state = self._estate.outlet(self._plan.key, group)
        path = f"{self._groups}/{group}"
        document = {
            "@odata.id": path,
            "@odata.type": "#OutletGroup.v1_1_2.OutletGroup",
            "Id": group,
            "Name": f"Outlet group {group}",
            "PowerEnabled": True,
            "PowerState": "On" if state.on else "Off",
            "PowerWatts": {"Reading": state.watts},
            "Actions": {
                "#OutletGroup.PowerControl": {
                    "target": f"{path}/{ACTION}",
                    "PowerState@Redfish.AllowableValues": list(STATES),
                }
            },
        }
        return json_response(document, headers=HEADERS)

    def _control(self, request: Request, group: str) -> Response:
        try:
            parameters = request.json()
        except ValueError:
            parameters = None
        if not isinstance(parameters, dict):
            return _error(HTTPStatus.BAD_REQUEST, "MalformedJSON", "The request body was malformed JSON.")
        if "PowerState" not in parameters:
            message = "The action PowerControl requires the parameter PowerState to be present in the request body."
            return _error(HTTPStatus.BAD_REQUEST, "ActionParameterMissing", message)
        wanted = parameters["PowerState"]
        if wanted not in STATES:
            message = f"The value '{wanted}' for the parameter PowerState is not in the list of acceptable values."
            return _error(HTTPStatus.BAD_REQUEST, "ActionParameterValueNotInList", message)
        self._estate.orders.switch_outlets(self._plan.key, group, on=wanted == "On")
        return Response(HTTPStatus.NO_CONTENT, headers=HEADERS)


def _collection(kind: str, name: str, members: list[str]) -> dict[str, Any]:
    return {
        "@odata.type": f"#{kind}.{kind}",
        "Name": name,
        "Members@odata.count": len(members),
        "Members": [{"@odata.id": member} for member in members],
    }


def _missing(path: str) -> Response:
    return _error(HTTPStatus.NOT_FOUND, "ResourceMissingAtURI", f"The resource at the URI '{path}' was not found.")


def _not_allowed(method: str) -> Response:
    message = f"The HTTP method {method} is not allowed on this resource."
    return _error(HTTPStatus.METHOD_NOT_ALLOWED, "OperationNotAllowed", message)


def _error(status: HTTPStatus, message_id: str, message: str) -> Response:
    code = f"Base.1.18.{message_id}"
    detail = {"@odata.type": "#Message.v1_2_0.Message", "MessageId": code, "Message": message, "Severity": "Critical"}
    document = {"error": {"code": code, "message": message, "@Message.ExtendedInfo": [detail]}}
    return json_response(document, status, HEADERS)
