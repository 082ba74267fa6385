"""The DNS client before servers that lie, garble, lose datagrams or say nothing; real ones are in tests/real."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import dns.tsig
import pytest
from real_kit import free_port

from monitor.clients.dns import query_a, replace_a, soa_serial
from monitor.credential import Secret
from monitor.errors import DeadlineExceeded, GarbledReply, NotFound, Refused, SessionLost, Unreachable

pytestmark = pytest.mark.anyio
HOST, ZONE, NCTS = "127.0.0.1", "customs.example", "ncts.customs.example"
KEY = base64.b64encode(b"k" * 32).decode()


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answer):
        self.answer, self.received = answer, 0

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.received += 1
        reply = self.answer(data, self.received)
        if reply is not None:
            self.transport.sendto(reply, address)


@asynccontextmanager
async def by_udp(answer):
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: Datagrams(answer), local_addr=(HOST, 0))
    try:
        yield transport.get_extra_info("sockname")[1], protocol
    finally:
        transport.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def by_tcp(answer):
    talks = []

    async def talk(reader, writer):
        talks.append(asyncio.current_task())
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            reply = await answer(await reader.readexactly(size))
            if reply is not None:
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(talk, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    for task in talks:
        task.cancel()
    await asyncio.gather(*talks, return_exceptions=True)


def with_address(data, *_):
    response = dns.message.make_response(dns.message.from_wire(data))
    response.answer.append(dns.rrset.from_text(f"{NCTS}.", 30, "IN", "A", "127.80.1.12", "127.80.1.3"))
    return response.to_wire()


def rcode(code):
    def answer(data, *_):
        response = dns.message.make_response(dns.message.from_wire(data))
        response.set_rcode(code)
        return response.to_wire()

    return answer


async def update(port, timeout_s=5.0):
    await replace_a(HOST, port, ZONE, NCTS, "127.80.2.12", 30, "karaula", Secret(KEY), timeout_s)


async def test_addresses_in_order_of_their_numbers():
    async with by_udp(with_address) as (port, _):
        assert await query_a(HOST, port, NCTS, 5) == (("127.80.1.3", "127.80.1.12"), 30)


async def test_recursion_is_not_asked_for():
    asked = []

    def answer(data, *_):
        asked.append(dns.message.from_wire(data))
        return with_address(data)

    async with by_udp(answer) as (port, _):
        await query_a(HOST, port, NCTS, 5)
    assert not asked[0].flags & dns.flags.RD


async def test_a_lost_datagram_is_sent_again():
    async with by_udp(lambda data, count: with_address(data) if count == 2 else None) as (port, protocol):
        assert (await query_a(HOST, port, NCTS, 2))[1] == 30
        assert protocol.received == 2


async def test_silence_ends_at_the_deadline():
    async with by_udp(lambda *_: None) as (port, protocol):
        with pytest.raises(DeadlineExceeded):
            await query_a(HOST, port, NCTS, 0.3)
        assert 1 <= protocol.received <= 3


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda data, _: data[:2] + b"\x80\x00" + b"\xff" * 30, GarbledReply),
        (lambda data, _: data[:7], GarbledReply),
        (lambda data, _: bytes([data[0] ^ 1]) + with_address(data)[1:], GarbledReply),  # another's answer
        (rcode(dns.rcode.NXDOMAIN), NotFound),
        (rcode(dns.rcode.NOERROR), NotFound),
        (rcode(dns.rcode.SERVFAIL), Unreachable),
        (rcode(dns.rcode.REFUSED), Refused),
        (rcode(dns.rcode.NOTIMP), Refused),
    ],
)
async def test_what_an_answer_means(answer, error):
    async with by_udp(answer) as (port, _):
        for job in (query_a(HOST, port, NCTS, 2), soa_serial(HOST, port, ZONE, 2)):
            with pytest.raises(error):
                await job


async def test_what_is_not_a_name():
    with pytest.raises(Refused, match="cannot be asked"):
        await query_a(HOST, free_port(), "a..b", 1)


async def test_an_update_is_signed_and_a_refused_connection_was_none():
    seen = []

    async def answer(data):
        message = dns.message.from_wire(data, keyring={dns.name.from_text("karaula"): dns.tsig.Key("karaula", KEY)})
        seen.append(message)
        return dns.message.make_response(message).to_wire()

    async with by_tcp(answer) as port:
        await update(port)
    assert seen[0].had_tsig
    assert seen[0].opcode() == 5  # UPDATE
    with pytest.raises(Unreachable, match="Connection refused") as caught:
        await update(free_port())
    assert caught.value.outcome_known


async def test_an_unsigned_yes_is_not_believed():
    async def answer(data):
        header = bytearray(data[:12])
        header[2] |= 0x80  # a response, NOERROR, unsigned
        header[4:12] = bytes(8)
        return bytes(header)

    async with by_tcp(answer) as port:
        with pytest.raises(GarbledReply, match=r"sign|not DNS") as caught:
            await update(port)
    assert not caught.value.outcome_known


async def test_an_update_without_an_answer_has_no_known_outcome():
    async def silence(_data):
        await asyncio.sleep(3)

    async def hang_up(_data):
        return None

    async with by_tcp(hang_up) as port:
        with pytest.raises(SessionLost) as lost:
            await update(port)
    assert not lost.value.outcome_known
    async with by_tcp(silence) as port:
        with pytest.raises(DeadlineExceeded) as late:
            await update(port, 0.3)
    assert not late.value.outcome_known
    assert KEY not in str(late.value)
