"""The lab's STAMP reflectors, packet by packet."""

from __future__ import annotations

import asyncio
import socket
import struct
import time

import pytest
from server_kit import running

from lab.servers import stamp_reflector

KEY = "tabanovce/primary"
SENT_AT = (3_973_000_000 << 32) + 12345
pytestmark = pytest.mark.anyio


def packet(sequence: int) -> bytes:
    return struct.pack("!IQH30x", sequence, SENT_AT, 0x8005)


async def ask(lab, payload: bytes, wait_s: float = 1.0) -> bytes | None:
    plan = lab.estate.plan.links[KEY]
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        await loop.sock_connect(sender, (plan.far_end, plan.port))
        await loop.sock_sendall(sender, payload)
        try:
            async with asyncio.timeout(wait_s):
                return await loop.sock_recv(sender, 2048)
        except TimeoutError:
            return None


async def test_a_reply_has_every_field_of_rfc_8762(tmp_path):
    async with running(tmp_path, stamp_reflector.servers) as lab:
        before = time.time()
        reply = await ask(lab, packet(7))
        after = time.time()
    assert reply is not None
    assert len(reply) == 44
    sequence, sent, estimate, mbz, received, sender_sequence, sender_sent, sender_estimate, mbz2, ttl, mbz3 = (
        struct.unpack("!IQHHQIQHHB3s", reply)
    )
    assert (sequence, sender_sequence, sender_sent, sender_estimate) == (0, 7, SENT_AT, 0x8005)
    assert (mbz, mbz2, mbz3) == (0, 0, b"\0\0\0")
    assert estimate & 0xFF != 0  # RFC 4656 4.1.2: a multiplier of zero is invalid
    assert estimate & 0x4000 == 0  # NTP format
    assert ttl == 64
    assert received <= sent
    assert before <= received / 2**32 - 2_208_988_800 <= after


async def test_a_longer_packet_keeps_what_follows_and_a_shorter_one_is_ignored(tmp_path):
    async with running(tmp_path, stamp_reflector.servers) as lab:
        reply = await ask(lab, packet(1) + b"\0\x01\0\x04beef")
        assert reply is not None
        assert reply[44:] == b"\0\x01\0\x04beef"
        assert await ask(lab, packet(1)[:43], wait_s=0.1) is None


async def test_a_cut_link_is_silent_and_one_delayed_says_so_in_its_stamps(tmp_path):
    async with running(tmp_path, stamp_reflector.servers) as lab:
        lab.fault("cut-link", KEY)
        assert await ask(lab, packet(1), wait_s=0.1) is None
        lab.heal("cut-link", KEY)
        lab.fault("delay-link", KEY, ms=200)
        began = time.monotonic()
        reply = await ask(lab, packet(2))
        assert reply is not None
        assert time.monotonic() - began >= 0.2
        (received,) = struct.unpack_from("!Q", reply, 16)
        (sent,) = struct.unpack_from("!Q", reply, 4)
        assert (sent - received) / 2**32 < 0.001  # what the link adds is no time spent in the reflector


async def test_loss_is_the_same_for_the_same_seed(tmp_path):
    async def lost() -> list[int]:
        folder = tmp_path
        async with running(folder, stamp_reflector.servers) as lab:
            lab.fault("lose-link", KEY, percent=40)
            replies = await asyncio.gather(*(ask(lab, packet(n), wait_s=0.3) for n in range(60)))
            return sum(reply is None for reply in replies)

    first = await lost()
    assert 10 < first < 40
    assert await lost() == first
