"""The lab's power controllers, asked over HTTPS by the standard library."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
from typing import Any

import pytest
from server_kit import NETWORK, running

from lab.servers import power_controller

GROUP = "/redfish/v1/PowerEquipment/RackPDUs/pdu-main/OutletGroups/ncts"
ACTION = f"{GROUP}/Actions/OutletGroup.PowerControl"
pytestmark = pytest.mark.anyio


async def ask(lab, method: str, path: str, body: str | None = None, password: str | None = "") -> tuple[int, Any]:
    headers = {}
    if password is not None:
        secret = password or lab.identity.secret("pdu-main")
        headers["Authorization"] = "Basic " + base64.b64encode(f"karaula:{secret}".encode()).decode()

    def talk() -> tuple[int, Any]:
        connection = http.client.HTTPSConnection(f"{NETWORK}.1.6", 8444, timeout=60, context=lab.identity.client_tls())
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            assert answer.headers["OData-Version"] == "4.0"
            data = answer.read()
            return answer.status, json.loads(data) if data else None
        finally:
            connection.close()

    return await asyncio.to_thread(talk)


async def switch(lab, state: str) -> int:
    return (await ask(lab, "POST", ACTION, json.dumps({"PowerState": state})))[0]


async def reading(lab) -> tuple[str, int]:
    status, group = await ask(lab, "GET", GROUP)
    assert status == 200
    return group["PowerState"], group["PowerWatts"]["Reading"]


async def test_the_tree_leads_from_the_root_to_the_action(tmp_path):
    async with running(tmp_path, power_controller.servers) as lab:
        status, root = await ask(lab, "GET", "/redfish/v1/", password=None)
        assert status == 200
        equipment = (await ask(lab, "GET", root["PowerEquipment"]["@odata.id"]))[1]
        pdus = (await ask(lab, "GET", equipment["RackPDUs"]["@odata.id"]))[1]
        pdu = (await ask(lab, "GET", pdus["Members"][0]["@odata.id"]))[1]
        groups = (await ask(lab, "GET", pdu["OutletGroups"]["@odata.id"]))[1]
        assert groups["Members@odata.count"] == 4
        group = (await ask(lab, "GET", GROUP))[1]
        assert {"@odata.id": GROUP} in groups["Members"]
        assert group["Actions"]["#OutletGroup.PowerControl"]["target"] == ACTION


async def test_off_is_off_and_may_be_said_twice(tmp_path):
    async with running(tmp_path, power_controller.servers) as lab:
        state, watts = await reading(lab)
        assert state == "On"
        assert watts > 0
        assert [await switch(lab, "Off"), await switch(lab, "Off")] == [204, 204]
        assert await reading(lab) == ("Off", 0)
        orders = [one for one in lab.estate.effects.all("ncts") if one.by == "redfish"]
        assert [one.changed for one in orders] == [True, False]
        assert not lab.estate.alive_host("ncts-db-main")
        assert await switch(lab, "On") == 204
        assert (await reading(lab))[0] == "On"


async def test_a_stuck_relay_says_off_and_draws_watts(tmp_path):
    async with running(tmp_path, power_controller.servers) as lab:
        lab.fault("stuck-fence", "pdu-main/ncts")
        assert await switch(lab, "Off") == 204
        state, watts = await reading(lab)
        assert state == "Off"
        assert watts > 0
        assert lab.estate.alive_host("ncts-db-main")


async def test_it_outlives_its_site_and_shows_no_watts(tmp_path):
    async with running(tmp_path, power_controller.servers) as lab:
        lab.fault("cut-site", "main")
        assert await reading(lab) == ("On", 0)
        assert await switch(lab, "Off") == 204
        assert await reading(lab) == ("Off", 0)


async def test_errors_speak_redfish(tmp_path):
    async with running(tmp_path, power_controller.servers) as lab:
        for path, password in ((GROUP, None), (GROUP, "wrong"), ("/redfish/v1/Nothing", None)):
            assert (await ask(lab, "GET", path, password=password))[0] == 401
        missing = [f"{GROUP}x", f"{GROUP}/Nothing", "/redfish/v1/Systems", GROUP.replace("pdu-main", "pdu-dr")]
        for path in missing:
            status, document = await ask(lab, "GET", path)
            assert status == 404
            assert document["error"]["code"] == "Base.1.18.ResourceMissingAtURI"
        assert (await ask(lab, "GET", ACTION))[0] == 405
        assert (await ask(lab, "POST", GROUP, "{}"))[0] == 405
        for body, code in (("no json", "MalformedJSON"), ("{}", "ActionParameterMissing")):
            status, document = await ask(lab, "POST", ACTION, body)
            assert (status, document["error"]["code"]) == (400, f"Base.1.18.{code}")
        status, document = await ask(lab, "POST", ACTION, '{"PowerState": "Reset"}')
        assert document["error"]["@Message.ExtendedInfo"][0]["MessageId"] == "Base.1.18.ActionParameterValueNotInList"
        assert not [one for one in lab.estate.effects.all("ncts") if one.by == "redfish"]
