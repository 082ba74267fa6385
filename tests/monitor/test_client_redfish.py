"""The Redfish client against a real TLS server in a thread."""

from __future__ import annotations

import json

import pytest
from https_kit import reply, serving
from tls_kit import ThrowawayCa

from monitor.clients.http import HttpClient
from monitor.clients.redfish import OutletGroup, RedfishClient
from monitor.credential import Secret
from monitor.errors import GarbledReply, NotFound, Refused, Unreachable
from monitor.inventory.equipment import PowerController

pytestmark = pytest.mark.anyio
HUGE = b'{"PowerState": "On", "PowerWatts": {"Reading": 1%s}}' % (b"0" * 400)
BASE = "/redfish/v1/PowerEquipment/RackPDUs/rack-1/OutletGroups/ncts"
PASSWORD = Secret("pdu-password")


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return ThrowawayCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture
async def redfish(ca):
    http = HttpClient(ca.bundle)
    yield RedfishClient(http)
    await http.close()


def controller(server):
    return PowerController(
        address=server.address, port=server.port, site="main", pdu="rack-1", user="fence", credential="pdu-main"
    )


async def test_reads_and_switches_a_group(ca, redfish):
    state = {"PowerState": "On", "PowerWatts": {"Reading": 412.5}}

    def pdu(request, _connection):
        assert request.headers["authorization"].startswith("Basic ")
        if request.method == "POST":
            assert request.path == f"{BASE}/Actions/OutletGroup.PowerControl"
            state["PowerState"] = json.loads(request.body)["PowerState"]
            state["PowerWatts"]["Reading"] = 0
            return reply(204, b"")
        assert request.path == BASE
        return reply(200, json.dumps(state).encode())

    with serving(ca.server("127.0.0.1"), pdu) as server:
        there = controller(server)
        assert await redfish.outlet_group(there, PASSWORD, "ncts", 5) == OutletGroup("On", 412.5)
        await redfish.set_power(there, PASSWORD, "ncts", 5, on=False)
        assert await redfish.outlet_group(there, PASSWORD, "ncts", 5) == OutletGroup("Off", 0.0)


async def test_a_controller_that_does_not_measure(ca, redfish):
    with serving(ca.server("127.0.0.1"), lambda *_: reply(200, b'{"PowerState": "PoweringOff"}')) as server:
        got = await redfish.outlet_group(controller(server), PASSWORD, "ncts", 5)
    assert got == OutletGroup("PoweringOff", None)


@pytest.mark.parametrize(
    ("status", "body", "error", "text"),
    [
        (401, b"", Refused, "user 'fence'"),
        (404, b"", NotFound, "rack-1/ncts, does not exist"),
        (503, b"", Unreachable, "not ready"),
        (400, b'{"error": {"@Message.ExtendedInfo": [{"Message": "Locked by operator"}]}}', Refused, "Locked by"),
        (500, b"<html>", GarbledReply, "failed with 500"),
        (200, b"<html>", GarbledReply, "not an OutletGroup"),
        (200, b"[]", GarbledReply, "not an OutletGroup"),
        (200, b"[" * 100_000, GarbledReply, "not an OutletGroup"),
        (409, b"[" * 100_000, Refused, "refused"),
        (
            200,
            b'{"PowerState": "On", "PowerWatts": {"Reading": 1%s}}' % (b"0" * 400),
            GarbledReply,
            "not an OutletGroup",
        ),
        (200, b'{"PowerState": "On", "PowerWatts": {"Reading": NaN}}', GarbledReply, "not an OutletGroup"),
    ],
)
async def test_what_a_status_means(ca, redfish, status, body, error, text):
    with (
        serving(ca.server("127.0.0.1"), lambda *_: reply(status, body)) as server,
        pytest.raises(error, match=text) as caught,
    ):
        await redfish.outlet_group(controller(server), PASSWORD, "ncts", 5)
    assert PASSWORD.reveal() not in str(caught.value)


async def test_a_failed_switch_leaves_the_outcome_unknown(ca, redfish):
    with serving(ca.server("127.0.0.1"), lambda *_: reply(500, b"")) as server, pytest.raises(GarbledReply) as caught:
        await redfish.set_power(controller(server), PASSWORD, "ncts", 5, on=False)
    assert not caught.value.outcome_known
    assert len(server.requests) == 1
