"""The fixture of the tests of SNMP's clients: agents that answer what a test has them answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from test_client_snmp import ADDRESS, Agent


@pytest.fixture
async def agent():
    made: list[Agent] = []

    async def start(reply: Callable[[bytes], list[bytes]]) -> Agent:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_datagram_endpoint(lambda: Agent(reply), local_addr=(ADDRESS, 0))
        made.append(protocol)
        return protocol

    yield start
    for protocol in made:
        protocol.transport.close()
    await asyncio.sleep(0)
