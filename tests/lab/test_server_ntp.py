"""The lab's time servers, packet by packet."""

from __future__ import annotations

import asyncio
import socket
import struct
import time

import pytest
from server_kit import running

from lab.servers import ntp_server

pytestmark = pytest.mark.anyio
ORIGIN = 0x1234_5678_9ABC_DEF1


async def ask(lab, first: int, size: int = 48, wait_s: float = 60.0) -> bytes | None:
    plan = next(one for one in lab.estate.plan.time_servers if one.site == "dr")
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        await loop.sock_connect(sender, (plan.address, plan.port))
        await loop.sock_sendall(sender, (bytes((first,)) + bytes(39) + struct.pack("!Q", ORIGIN))[:size])
        try:
            async with asyncio.timeout(wait_s):
                return await loop.sock_recv(sender, 2048)
        except TimeoutError:
            return None


def told(reply: bytes | None) -> float:
    """Return the transmit time of a reply, in Unix seconds."""
    assert reply is not None
    return struct.unpack_from("!Q", reply, 40)[0] / 2**32 - 2_208_988_800


async def test_a_reply_is_that_of_a_synchronized_server_of_stratum_1(tmp_path):
    async with running(tmp_path, ntp_server.servers) as lab:
        before = time.time()
        reply = await ask(lab, 0x23)
        assert reply is not None
        assert len(reply) == 48
        assert (reply[0], reply[1]) == (0x24, 1)
        assert struct.unpack_from("!Q", reply, 24)[0] == ORIGIN
        assert before - 0.01 <= told(reply) <= time.time() + 0.01


async def test_what_is_no_question_is_not_answered_nor_is_anything_without_power(tmp_path):
    async with running(tmp_path, ntp_server.servers) as lab:
        for first, size in ((0x24, 48), (0x23, 47), (0x1B, 1)):
            assert await ask(lab, first, size, wait_s=0.2) is None
        lab.fault("cut-site", "dr")
        assert await ask(lab, 0x23, wait_s=0.2) is None


async def test_a_time_server_can_be_set_off(tmp_path):
    async with running(tmp_path, ntp_server.servers) as lab:
        lab.fault("skew-time", "dr", seconds=90)
        assert abs(told(await ask(lab, 0x23)) - time.time() - 90) < 60
