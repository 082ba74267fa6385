"""SNMP GET against agents that answer what they should not, and against any bytes at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clients import snmp_ber as ber
from monitor.clients.snmp import MOST_ROWS, Agents, Denied, decode_response, encode_get, get
from monitor.credential import Secret
from monitor.errors import DeadlineExceeded, GarbledReply, Unreachable

ADDRESS = "127.94.6.61"
OIDS = ["1.3.6.1.2.1.1.1.0", "1.3.6.1.2.1.1.3.0"]
# A request as net-snmp's snmpget sends it (community "public", id 0x1a2b3c4d, the two objects above).
REQUEST = bytes.fromhex(
    "303702010104067075626c6963a02a02041a2b3c4d020100020100301c300c06082b060102010101000500300c06082b060102010103000500"
)


def answered(request: bytes, *values: bytes) -> bytes:
    """Turn a request into a response by putting values in place of its NULLs; all lengths are recomputed."""
    request_id = request[request.index(b"\xa0") + 2 :][: 2 + request[request.index(b"\xa0") + 3]]
    bindings = b""
    for oid, value in zip(OIDS, values, strict=True):
        name = ber.tlv(0x06, ber.oid(oid))
        bindings += ber.tlv(0x30, name + value)
    pdu = request_id + b"\x02\x01\x00\x02\x01\x00" + ber.tlv(0x30, bindings)
    return ber.tlv(0x30, b"\x02\x01\x01" + b"\x04\x06public" + ber.tlv(0xA2, pdu))


class Agent(asyncio.DatagramProtocol):
    def __init__(self, reply: Callable[[bytes], list[bytes]]) -> None:
        self.reply = reply
        self.asked: list[bytes] = []

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr) -> None:
        self.asked.append(data)
        for datagram in self.reply(data):
            self.transport.sendto(datagram, addr)


async def ask(port: int, timeout_s: float = 20.0) -> dict[str, ber.Value]:
    return await get(ADDRESS, port, Secret("public"), OIDS, timeout_s)


def test_the_request_is_what_net_snmp_sends() -> None:
    assert encode_get(b"public", 0x1A2B3C4D, OIDS) == REQUEST


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("tlv", "value"),
    [
        ("0201ff", -1),
        ("0202012c", 300),
        ("4104ffffffff", 2**32 - 1),
        ("4305008000 0000", 2**31),
        ("4609 00ffffffffffffffff", 2**64 - 1),
        ("0403 666f6f", b"foo"),
        ("0400", b""),
        ("0606 2b0601040185", None),
        ("0603 883703", "2.999.3"),
        ("4004 7f000001", "127.0.0.1"),
        ("4407 9f78043f800000", 1.0),
        ("4403 9f7804", b"\x9f\x78\x04"),
        ("8000", None),
        ("8100", None),
        ("8200", None),
    ],
)
async def test_values_of_every_type(agent, tlv: str, value: ber.Value) -> None:
    encoded = bytes.fromhex(tlv.replace(" ", ""))
    one = await agent(lambda request: [answered(request, encoded, b"\x02\x01\x07")])
    if tlv.startswith("0606"):
        with pytest.raises(GarbledReply, match="cut short"):
            await ask(one.port)
        return
    assert await ask(one.port) == {OIDS[0]: value, OIDS[1]: 7}


GARBAGE = {
    "ones": b"\xff" * 40,
    "text": b"HTTP/1.1 200 OK\r\n\r\n",
    "an endless length": b"\x30\x84\xff\xff\xff\xff",
    "an indefinite length": b"\x30\x80\x02\x01\x01\x00\x00",
    "a length of lengths": b"\x30\xff" + b"\x01" * 200,
    "a deep nest": b"\x30\x82\x40\x00" * 4000,
    "a request": REQUEST,
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_is_an_error_of_the_target(agent, name: str) -> None:
    one = await agent(lambda _request: [GARBAGE[name]])
    with pytest.raises(GarbledReply, match=f"{ADDRESS}:{one.port}"):
        await ask(one.port)


@pytest.mark.anyio
async def test_every_truncation_of_a_good_answer_is_garbage(agent) -> None:
    good = answered(REQUEST, b"\x04\x03foo", b"\x43\x02\x01\x00")
    assert decode_response(good).values == {OIDS[0]: b"foo", OIDS[1]: 256}
    for size in range(len(good)):
        with pytest.raises(ValueError, match=r"cut short|longer than"):
            decode_response(good[:size])


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "word"), [(1, "tooBig"), (2, "noSuchName"), (5, "genErr"), (16, "authorizationError"), (77, "error 77")]
)
async def test_an_error_status_is_told(agent, status: int, word: str) -> None:
    def refuse(request: bytes) -> list[bytes]:
        response = bytearray(answered(request, b"\x05\x00", b"\x05\x00"))
        at = response.index(b"\x02\x01\x00\x02\x01\x00")
        response[at + 2] = status
        return [bytes(response)]

    one = await agent(refuse)
    with pytest.raises(Denied, match=word):
        await ask(one.port)


@pytest.mark.anyio
async def test_an_answer_to_another_question_is_passed_over(agent) -> None:
    def late(request: bytes) -> list[bytes]:
        good = answered(request, b"\x02\x01\x01", b"\x02\x01\x02")
        at = good.index(b"\xa2") + 4
        stale = good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :]
        return [stale, good]

    one = await agent(late)
    assert await ask(one.port) == {OIDS[0]: 1, OIDS[1]: 2}


@pytest.mark.anyio
async def test_a_flood_of_other_answers_ends_the_question(agent) -> None:
    def flood(request: bytes) -> list[bytes]:
        good = answered(request, b"\x02\x01\x01", b"\x02\x01\x02")
        at = good.index(b"\xa2") + 4
        return [good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :]] * 150

    one = await agent(flood)
    with pytest.raises(GarbledReply, match="100 datagrams, and none answers"):
        await ask(one.port, timeout_s=60.0)


def test_of_an_answer_to_another_question_no_value_is_read() -> None:
    good = answered(REQUEST, b"\x02\x01\x01", b"\x07\x01\x02")  # the second is of no known type
    with pytest.raises(ValueError, match="unknown type"):
        decode_response(good)
    assert decode_response(good, 0).values == {}


def test_an_endless_object_identifier_is_refused_and_not_kept() -> None:
    longest = b"\x2b" + b"\x8f\xff\xff\xff\x7f" * 127
    assert ber.dotted(longest).count(".") == 128
    kept = ber._dotted.cache_info().currsize
    with pytest.raises(ValueError, match="longer than SNMP has"):
        ber.dotted(b"\x2b" * 641)
    assert ber._dotted.cache_info().currsize == kept


@pytest.mark.anyio
async def test_other_objects_than_asked_for_are_garbage(agent) -> None:
    def swap(request: bytes) -> list[bytes]:
        return [answered(request, b"\x02\x01\x01", b"\x02\x01\x02").replace(b"\x01\x01\x03\x00", b"\x01\x01\x04\x00")]

    one = await agent(swap)
    with pytest.raises(GarbledReply, match="other objects"):
        await ask(one.port)


@pytest.mark.anyio
async def test_a_lost_datagram_is_sent_again(agent) -> None:
    one = await agent(lambda _request: [])
    one.reply = lambda request: [answered(request, b"\x02\x01\x01", b"\x02\x01\x02")] if len(one.asked) > 1 else []
    assert await ask(one.port, timeout_s=3.0) == {OIDS[0]: 1, OIDS[1]: 2}
    assert one.asked[0] == one.asked[1]


@pytest.mark.anyio
async def test_silence_ends_at_the_deadline_and_hides_the_community(agent) -> None:
    one = await agent(lambda _request: [])
    with pytest.raises(DeadlineExceeded, match="wrong community") as caught:
        await get(ADDRESS, one.port, Secret("hunter2"), OIDS, 0.3)
    assert "hunter2" not in str(caught.value)


@pytest.mark.anyio
async def test_a_closed_port_is_told_at_once() -> None:
    with pytest.raises(Unreachable, match="refused"):
        await get("127.94.6.99", 9, Secret("public"), OIDS, 60.0)


@pytest.mark.anyio
async def test_a_slow_agent_delays_no_other(agent) -> None:
    slow = await agent(lambda _request: [])
    fast = await agent(lambda request: [answered(request, b"\x02\x01\x01", b"\x02\x01\x02")])
    waiting = asyncio.create_task(ask(slow.port, timeout_s=600.0))
    for _ in range(5):
        await ask(fast.port)
    assert not waiting.done()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=60), st.integers(0, 2), st.integers(0, 39))
def test_object_identifiers_come_back_as_they_went(arcs: list[int], first: int, second: int) -> None:
    dotted = ".".join(map(str, (first, second, *arcs)))
    assert ber.dotted(ber.oid(dotted)) == dotted


@given(st.binary(max_size=300))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        decode_response(data)


@given(st.integers(0, 200), st.binary(min_size=1, max_size=12))
def test_any_damage_is_decoded_or_refused(at: int, damage: bytes) -> None:
    good = answered(REQUEST, b"\x44\x07\x9f\x78\x04\x3f\x80\x00\x00", b"\x40\x04\x7f\x00\x00\x01")
    with contextlib.suppress(ValueError):
        decode_response(good[:at] + damage + good[at + len(damage) :])


VALUES = st.tuples(
    st.sampled_from([0x02, 0x04, 0x05, 0x06, 0x40, 0x41, 0x44, 0x46, 0x80, 0x99]), st.binary(max_size=200)
)


@given(st.tuples(VALUES, VALUES), st.integers(0, 300), st.binary(max_size=3))
def test_what_was_asked_for_is_read_as_anything_else_is(
    values: tuple[tuple[int, bytes], tuple[int, bytes]], at: int, damage: bytes
) -> None:
    """Knowing what comes makes reading faster, and changes nothing of what is read or refused."""
    whole = answered(REQUEST, *(ber.tlv(tag, body) for tag, body in values))
    data = whole[:at] + damage + whole[at + len(damage) :]

    def read(oids: list[str]) -> object:
        try:
            return decode_response(data, None, oids)
        except ValueError:
            return None

    for oids in (OIDS, OIDS[:1], OIDS[::-1], [*OIDS, OIDS[0]]):
        assert read(oids) == read([])


COLUMN, ROWS = "1.3.6.1.2.1.68.1.3.1.3", {"1.3.6.1.2.1.68.1.3.1.3.2.9": 2, "1.3.6.1.2.1.68.1.3.1.3.2.10": 3}
BEHIND = "1.3.6.1.2.1.68.1.3.1.4.2.9"  # the next column's first object


def walked(follow: Callable[[str], tuple[str, int]]) -> Callable[[bytes], list[bytes]]:
    """Answer GETNEXT by ``follow``, and every GET by noSuchInstance."""

    def reply(request: bytes) -> list[bytes]:
        at_pdu = request.index(b"public") + len(b"public")
        start, stop = ber.expect(request, at_pdu, len(request), ber.GET_NEXT)
        low, at = ber.expect(request, start, stop, ber.INTEGER)
        request_id = ber.number(request, low, at)
        for _ in ("error-status", "error-index"):
            _, at = ber.expect(request, at, stop, ber.INTEGER)
        for tag in (ber.SEQUENCE, ber.SEQUENCE, ber.OID):
            at, stop = ber.expect(request, at, stop, tag)
        name = at
        oid, value = follow(ber.dotted(request[name:stop]))
        binding = ber.tlv(ber.SEQUENCE, ber.tlv(ber.OID, ber.oid(oid)) + ber.integer(value))
        body = ber.integer(request_id) + b"\x02\x01\x00\x02\x01\x00" + ber.tlv(ber.SEQUENCE, binding)
        return [ber.tlv(ber.SEQUENCE, b"\x02\x01\x01\x04\x06public" + ber.tlv(ber.RESPONSE, body))]

    return reply


async def sought(agent, follow: Callable[[str], tuple[str, int]], wanted: str) -> tuple[ber.Value, int]:
    one = await agent(walked(follow))
    found = await Agents().find(ADDRESS, one.port, Secret("public"), COLUMN, wanted, 20.0)
    return found, len(one.asked)


def in_order(oid: str) -> tuple[str, int]:
    rows = sorted([*ROWS.items(), (BEHIND, 7)], key=lambda row: [int(part) for part in row[0].split(".")])
    here = [int(part) for part in oid.split(".")]
    return next(row for row in rows if [int(part) for part in row[0].split(".")] > here)


@pytest.mark.anyio
async def test_an_object_is_found_by_going_through_its_column(agent) -> None:
    assert await sought(agent, in_order, f"{COLUMN}.2.10") == (3, 2)
    assert await sought(agent, in_order, f"{COLUMN}.2.11") == (None, 3)  # up to the next column
    assert await sought(agent, lambda _: (f"{COLUMN}.2.9", 2), f"{COLUMN}.2.10") == (None, 2)  # goes in a circle
    found, asked = await sought(agent, lambda oid: (f"{oid}.1", 2) if oid != COLUMN else (f"{COLUMN}.1", 2), "none")
    assert (found, asked) == (None, MOST_ROWS)  # an endless column
