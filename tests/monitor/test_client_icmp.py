"""ICMP echo: packets as RFC 792 has them, both kinds of socket, and the words when neither is permitted."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clients import icmp
from monitor.clients.icmp import IcmpClient, IcmpCodec, checksum
from monitor.clock import RealClock
from monitor.errors import Refused

ROOT = Path(__file__).parents[2]
PING = """
import asyncio, sys
from monitor.clients import icmp
from monitor.clock import RealClock
from monitor.errors import Refused

async def main():
    client = icmp.IcmpClient(RealClock())
    try:
        found = client.measure(["127.94.3.1", "127.94.3.2"], within_s=20.0, count=3, spacing_s=0.01)
        print(sorted([(address, len(burst.rtts_s), burst.ttl) async for address, burst in found]))
    except Refused as error:
        print("refused:", error)
    await client.close()

asyncio.run(main())
"""
ALL_BACK = "[('127.94.3.1', 3, 64), ('127.94.3.2', 3, 64)]"
need_root = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")


def ping(*wrapper: str) -> str:
    command = [*wrapper, sys.executable, "-c", PING]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    return (shown.stdout + shown.stderr).strip()


def echoed(packet: bytes, *, kind: int = 0, code: int = 0) -> bytes:
    """What a host makes of a request, in the words of RFC 792: type to 0, sum anew."""
    body = struct.pack("!BBH", kind, code, 0) + packet[4:]
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


def test_the_sum_is_that_of_rfc_1071() -> None:
    # The RFC's own example, section 3.
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF & ~0xDDF2


@need_root
def test_a_raw_socket_where_the_other_kind_is_not_permitted() -> None:
    shown = ping("unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh")
    assert shown == ALL_BACK


@need_root
def test_an_unprivileged_socket_where_permitted() -> None:
    allow = 'ip link set lo up; echo "0 2147483647" > /proc/sys/net/ipv4/ping_group_range; exec setpriv '
    drop = '--bounding-set=-all --inh-caps=-all "$@"'
    assert ping("unshare", "--net", "sh", "-c", allow + drop, "sh") == ALL_BACK


@need_root
def test_neither_permitted_says_what_to_do() -> None:
    shown = ping("unshare", "--net", "setpriv", "--bounding-set=-all", "--inh-caps=-all")
    assert shown.startswith("refused:")
    assert "sysctl -w net.ipv4.ping_group_range='0 2147483647'" in shown


@pytest.mark.anyio
async def test_a_refusal_is_typed(monkeypatch) -> None:
    def forbid(*_args: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(icmp.socket, "socket", forbid)
    client = IcmpClient(RealClock())
    with pytest.raises(Refused, match="ping_group_range"):
        async for _ in client.measure(["127.0.0.1"], within_s=1.0):
            pass


@given(st.integers(0, 65535), st.floats(0, 6e9), st.booleans())
def test_an_echoed_request_is_recognized(sequence: int, at: float, raw: bool) -> None:
    codec = IcmpCodec(raw=raw)
    packet, token = codec.encode(sequence, at)
    assert packet[0] == 8
    assert checksum(packet) == 0
    ip_header = b"\x46" + bytes(23) if raw else b""  # with an option: 24 bytes
    reply = codec.decode(ip_header + echoed(packet))
    assert reply is not None
    assert (reply.sequence, reply.token) == (sequence, token)


def test_what_is_meant_for_others_is_passed_over() -> None:
    ours, theirs = IcmpCodec(raw=True), IcmpCodec(raw=True)
    theirs._identifier = (ours._identifier + 1) % 65536
    packet, _ = theirs.encode(1, 0.0)
    header = b"\x45" + bytes(19)
    assert ours.decode(header + echoed(packet)) is None
    mine, _ = ours.encode(1, 0.0)
    assert ours.decode(header + mine) is None  # our own request, seen on loopback


def test_a_damaged_reply_is_garbage() -> None:
    codec = IcmpCodec(raw=False)
    packet, _ = codec.encode(1, 0.0)
    damaged = bytearray(echoed(packet))
    damaged[-1] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        codec.decode(bytes(damaged))


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_are_decoded_passed_over_or_refused(data: bytes, raw: bool) -> None:
    codec = IcmpCodec(raw=raw)
    try:
        reply = codec.decode(data)
    except ValueError:
        return
    assert reply is None or reply.token != codec.encode(reply.sequence, 0.0)[1]
