"""The lab's front ends, asked over HTTPS by the standard library."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
from typing import Any

import pytest
from server_kit import NETWORK, running

from lab.servers import front

MAIN, DR = f"{NETWORK}.1.12", f"{NETWORK}.2.12"
pytestmark = pytest.mark.anyio


async def ask(
    lab, method: str, path: str, body: Any = None, *, address: str = MAIN, port: int = 8443, wait_s: float = 3
) -> tuple[int, Any]:
    def talk() -> tuple[int, Any]:
        connection = http.client.HTTPSConnection(address, port, timeout=wait_s, context=lab.identity.client_tls())
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    return await asyncio.to_thread(talk)


async def test_the_active_site_accepts_and_the_other_does_not(tmp_path):
    async with running(tmp_path, front.servers, only="ncts") as lab:
        health = {"system": "ncts", "site": "main", "role": "active", "position": 0, "epoch": 1}
        assert await ask(lab, "GET", "/health") == (200, health)
        assert (await ask(lab, "GET", "/health", address=DR))[1]["role"] == "standby"
        assert await ask(lab, "POST", "/declarations", {"id": "D-1"}) == (201, {"id": "D-1", "position": 1})
        assert await ask(lab, "POST", "/declarations", {"id": "D-2"}) == (201, {"id": "D-2", "position": 2})
        assert await ask(lab, "POST", "/declarations", {"id": "D-1"}) == (201, {"id": "D-1", "position": 1})
        assert (await ask(lab, "POST", "/declarations", {"id": "D-3"}, address=DR))[0] == 409
        assert await ask(lab, "GET", "/declarations/D-2") == (200, {"id": "D-2", "position": 2})
        assert (await ask(lab, "GET", "/declarations/D-3"))[0] == 404
        assert (await ask(lab, "GET", "/health"))[1]["position"] == 2


@pytest.mark.parametrize("body", [None, {}, {"id": ""}, {"id": 7}, {"id": "a b"}, ["D-1"]])
async def test_a_declaration_needs_an_id(tmp_path, body):
    async with running(tmp_path, front.servers, only="ncts") as lab:
        assert (await ask(lab, "POST", "/declarations", body))[0] == 400
        assert (await ask(lab, "PUT", "/declarations", {"id": "D-1"}))[0] == 404
        assert lab.estate.database("ncts", "main").position == 0


async def test_it_dies_and_comes_back_with_its_machines(tmp_path):
    async with running(tmp_path, front.servers, only="ncts") as lab:
        reader, writer = await asyncio.open_connection(MAIN, 8443, ssl=lab.identity.client_tls(), server_hostname=MAIN)
        writer.write(b"GET /health HTTP/1.1\r\nHost: front\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        inventory = lab.estate.inventories["vc-main"]
        webs = [inventory.by_name(f"ncts-web-{n}") for n in (1, 2)]
        lab.estate.machine_orders.power(webs[0], on=False)
        assert (await ask(lab, "GET", "/health"))[0] == 200  # one of two is enough
        lab.estate.machine_orders.power(webs[1], on=False)
        with pytest.raises(ConnectionResetError):
            await reader.readuntil(b"never said")
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await ask(lab, "GET", "/health")
        lab.estate.machine_orders.power(webs[0], on=True)
        assert (await ask(lab, "GET", "/health"))[0] == 200


async def test_a_hanging_front_is_connected_to_and_says_nothing(tmp_path):
    async with running(tmp_path, front.servers, only="ncts") as lab:
        reader, writer = await asyncio.open_connection(MAIN, 8443, ssl=lab.identity.client_tls(), server_hostname=MAIN)
        lab.fault("hang-front", "ncts/main")
        writer.write(b"GET /health HTTP/1.1\r\nHost: front\r\n\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(reader.readline())), 0.1)
        with socket.create_connection((MAIN, 8443)):
            pass  # the kernel accepts
        with pytest.raises(TimeoutError):
            await ask(lab, "GET", "/health", wait_s=0.2)
        lab.heal("hang-front", "ncts/main")
        assert (await ask(lab, "GET", "/health"))[0] == 200
        writer.close()


async def test_a_slow_front_answers_late(tmp_path):
    async with running(tmp_path, front.servers, only="ncts") as lab:
        lab.fault("slow-front", "ncts/main", seconds=30)
        with pytest.raises(TimeoutError):
            await ask(lab, "GET", "/health", wait_s=0.2)
        assert (await ask(lab, "GET", "/health", address=DR))[0] == 200


async def test_a_strangers_trust_fails(tmp_path):
    async with running(tmp_path, front.servers, only="ncts") as lab:
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(MAIN, 8443, ssl=ssl.create_default_context(), server_hostname=MAIN)
        assert (await ask(lab, "GET", "/health"))[0] == 200


async def test_a_drills_front_is_isolated(tmp_path):
    async with running(tmp_path, front.servers, only="ncts") as lab:
        await ask(lab, "POST", "/declarations", {"id": "D-1"})
        lab.estate.database("ncts", "dr").receive(lab.estate.now() + 60, 0)
        inventory = lab.estate.inventories["vc-dr"]
        with pytest.raises(ConnectionRefusedError):
            await ask(lab, "GET", "/health", address=DR, port=9443)
        names = ("ncts-db-1", "ncts-app-1", "ncts-app-2", "ncts-web-1", "ncts-web-2")
        orders = lab.estate.machine_orders
        clones = [orders.clone(inventory.by_name(name), f"drill-1-{name}", power_on=False) for name in names]
        for clone in clones:
            orders.plug(clone, {card.key: ("drill-bubble", True) for card in clone.cards})
            orders.power(clone, on=True)
        role = (await ask(lab, "GET", "/health", address=DR, port=9443))[1]["role"]
        assert role == "active"
        bubble = {"address": DR, "port": 9443}
        assert await ask(lab, "GET", "/declarations/D-1", **bubble) == (200, {"id": "D-1", "position": 1})
        assert (await ask(lab, "POST", "/declarations", {"id": "DRILL"}, **bubble))[0] == 201
        assert (await ask(lab, "GET", "/declarations/DRILL", address=DR))[0] == 404
        assert (await ask(lab, "GET", "/declarations/DRILL"))[0] == 404
        lab.estate.machine_orders.power(clones[0], on=False)
        with pytest.raises(ConnectionRefusedError):
            await ask(lab, "GET", "/health", **bubble)
