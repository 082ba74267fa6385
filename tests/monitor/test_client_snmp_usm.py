"""SNMPv3 by the RFCs' own examples, against agents that lie, and against any bytes at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_client_snmp import ADDRESS, Agent

from monitor.clients import snmp_ber as ber
from monitor.clients import snmp_usm as usm
from monitor.clients.snmp import Agents
from monitor.clients.snmp_usm import Engine, SignatureError, User
from monitor.credential import Secret
from monitor.errors import GarbledReply, Refused, Untrusted

OIDS = ["1.3.6.1.2.1.1.3.0"]
ENGINE_ID = bytes.fromhex("000000000000000000000002")
READER = User("reader", "sha", Secret("maplesyrup"), Secret("maplesyrup"))
PLAIN = User("reader", "sha256", Secret("maplesyrup"))
ENGINE = Engine(ENGINE_ID, 7, 1000, 50.0)


def test_the_key_is_that_of_rfc_3414_a_3_2() -> None:
    assert usm._hashed("sha1", "maplesyrup").hex() == "9fb5cc0381497b3793528939ff788d5d79145211"
    assert usm._localized("sha1", "maplesyrup", ENGINE_ID).hex() == "6695febc9288e36282235fc7151f128497b38f3f"


def answer_to(
    question: bytes,
    user: User,
    *,
    kind: int = ber.RESPONSE,
    engine: Engine = ENGINE,
    oid: str = OIDS[0],
    flags: int = usm.SIGNED | usm.ENCRYPTED,
    signer: User | None = None,
    message_id: int | None = None,
) -> bytes:
    """Answer as an agent would, with the product's own encoder turned round."""
    said = question_id(question) if message_id is None else message_id
    value = ber.tlv(ber.SEQUENCE, ber.tlv(ber.OID, ber.oid(oid)) + ber.tlv(0x43, b"\x05"))
    pdu = ber.tlv(kind, ber.integer(said) + ber.integer(0) * 2 + ber.tlv(ber.SEQUENCE, value))
    scoped = ber.tlv(ber.SEQUENCE, ber.tlv(ber.OCTETS, engine.id) + b"\x04\x00" + pdu)
    salt = b"saltsalt" if flags & usm.ENCRYPTED else b""
    if salt:
        encryptor = usm._cipher(user, engine.id, engine.boots, engine.time, salt).encryptor()
        scoped = ber.tlv(ber.OCTETS, encryptor.update(scoped) + encryptor.finalize())
    size = usm.AUTHENTICATIONS[user.authentication][1] if flags & usm.SIGNED else 0
    fields = ber.tlv(ber.OCTETS, engine.id) + ber.integer(engine.boots) + ber.integer(engine.time)
    fields += ber.tlv(ber.OCTETS, user.name.encode())
    security = ber.tlv(ber.SEQUENCE, fields + ber.tlv(ber.OCTETS, bytes(size)) + ber.tlv(ber.OCTETS, salt))
    whole = usm._message(said, flags, security, scoped)
    if not size:
        return whole
    at = len(whole) - len(scoped) - len(ber.tlv(ber.OCTETS, salt)) - size
    return whole[:at] + usm._signature(signer or user, engine.id, whole) + whole[at + size :]


def question_flags(question: bytes) -> int:
    start, stop = ber.expect(question, 0, len(question), ber.SEQUENCE)
    _, at = ber.expect(question, start, stop, ber.INTEGER)
    return usm._header(question, at, stop)[1]


def question_id(question: bytes) -> int:
    start, stop = ber.expect(question, 0, len(question), ber.SEQUENCE)
    _, at = ber.expect(question, start, stop, ber.INTEGER)
    return usm._header(question, at, stop)[0]


def discovered(question: bytes, engine: Engine = ENGINE) -> bytes:
    return answer_to(question, READER, kind=ber.REPORT, oid=usm.UNKNOWN_ENGINE, flags=0, engine=engine)


def speaking(reply: Callable[[bytes], list[bytes]]) -> Callable[[bytes], list[bytes]]:
    """Answer a discovery, and signed questions by ``reply``."""
    return lambda question: reply(question) if question_flags(question) & usm.SIGNED else [discovered(question)]


async def ask(port: int, user: User = READER, timeout_s: float = 20.0) -> dict[str, ber.Value]:
    return await Agents().get(ADDRESS, port, user, OIDS, timeout_s)


@pytest.mark.parametrize("user", [READER, PLAIN])
def test_a_question_can_be_read_by_who_knows_the_passwords_only(user: User) -> None:
    question = usm.request(user, ENGINE, 99, OIDS, 61.5)
    response = answer_to(question, user, flags=question_flags(question) & 3)
    read = usm.read(response, user)
    assert (read.id, read.signed, read.engine_id, read.boots, read.time) == (99, True, ENGINE_ID, 7, 1000)
    assert read.pdu.values == {OIDS[0]: 5}
    other = User(user.name, user.authentication, Secret("somethingelse"), user.privacy)
    with pytest.raises(SignatureError):
        usm.read(response, other)
    assert b"maplesyrup" not in question


def test_what_is_encrypted_does_not_show_what_is_asked() -> None:
    assert ber.oid(OIDS[0]) not in usm.request(READER, ENGINE, 99, OIDS, 50.0)
    assert ber.oid(OIDS[0]) in usm.request(PLAIN, ENGINE, 99, OIDS, 50.0)


@pytest.mark.anyio
async def test_an_answer_less_protected_than_the_question_is_not_believed(agent) -> None:
    for flags in (0, usm.SIGNED):
        liar = await agent(speaking(lambda question, flags=flags: [answer_to(question, READER, flags=flags)]))
        with pytest.raises(Untrusted, match="signature"):
            await ask(liar.port, timeout_s=1.5)


@pytest.mark.anyio
async def test_a_forged_answer_does_not_displace_the_true_one(agent) -> None:
    forger = User("reader", "sha", Secret("guessed-it"), Secret("maplesyrup"))
    one = await agent(
        speaking(lambda question: [answer_to(question, READER, signer=forger), answer_to(question, READER)])
    )
    assert await ask(one.port) == {OIDS[0]: 5}


@pytest.mark.anyio
async def test_a_replayed_answer_is_passed_over(agent) -> None:
    old = answer_to(usm.request(READER, ENGINE, 12345, OIDS, 50.0), READER)
    one = await agent(speaking(lambda question: [old, answer_to(question, READER)]))
    assert await ask(one.port) == {OIDS[0]: 5}


@pytest.mark.anyio
async def test_an_unsigned_report_on_the_time_changes_nothing(agent) -> None:
    def reply(question: bytes) -> list[bytes]:
        return [answer_to(question, READER, kind=ber.REPORT, oid=usm.NOT_IN_TIME, flags=0)]

    one = await agent(speaking(reply))
    with pytest.raises(Refused, match="reports"):
        await ask(one.port)


@pytest.mark.anyio
@pytest.mark.parametrize("boots", [3, 9])
async def test_an_engine_started_anew_is_followed(agent, boots: int) -> None:
    """Also when its boot counter went back: the report is signed and carries this question's ID."""
    anew = Engine(ENGINE_ID, boots, 4, 0.0)
    seen: list[int] = []

    def reply(question: bytes) -> list[bytes]:
        start, stop = ber.expect(question, 0, len(question), ber.SEQUENCE)
        _, at = ber.expect(question, start, stop, ber.INTEGER)
        _, _, at = usm._header(question, at, stop)
        low, high = ber.expect(question, at, stop, ber.OCTETS)
        seen.append(usm._security(question, low, high)[1])
        if seen[-1] == boots:
            return [answer_to(question, READER, engine=anew)]
        return [answer_to(question, READER, kind=ber.REPORT, oid=usm.NOT_IN_TIME, engine=anew, flags=usm.SIGNED)]

    one = await agent(speaking(reply))
    assert await ask(one.port) == {OIDS[0]: 5}
    assert seen == [7, boots]


@pytest.mark.anyio
async def test_an_agent_that_never_agrees_on_the_time_is_told(agent) -> None:
    def reply(question: bytes) -> list[bytes]:
        return [answer_to(question, READER, kind=ber.REPORT, oid=usm.NOT_IN_TIME, flags=usm.SIGNED)]

    one = await agent(speaking(reply))
    with pytest.raises(GarbledReply, match="cannot be agreed on"):
        await ask(one.port)
    assert len(one.asked) < 10


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("stat", "word"), [(1, "security level"), (3, "no such user"), (5, "authentication password"), (6, "privacy")]
)
async def test_a_report_is_told_in_words(agent, stat: int, word: str) -> None:
    def reply(question: bytes) -> list[bytes]:
        return [answer_to(question, READER, kind=ber.REPORT, oid=f"{usm.USM_STATS}{stat}.0", flags=0)]

    one = await agent(speaking(reply))
    with pytest.raises(Refused, match=word):
        await ask(one.port)


@pytest.mark.anyio
@pytest.mark.parametrize("engine_id", [b"", b"\x80" * 4, b"\x80" * 33])
async def test_an_engine_id_of_no_engine_is_garbage(agent, engine_id: bytes) -> None:
    one = await agent(lambda question: [discovered(question, Engine(engine_id, 0, 0, 0.0))])
    with pytest.raises(GarbledReply, match="engine ID"):
        await ask(one.port)


@pytest.mark.anyio
async def test_a_buffer_too_small_is_asked_in_halves() -> None:
    oids = [f"1.3.6.1.2.1.1.{n}.0" for n in range(1, 21)]

    def reply(question: bytes) -> list[bytes]:
        asked = [oid for oid in oids if ber.oid(oid) in question]
        _, start, _ = ber.element(question, question.index(b"\xa0"), len(question))
        request_id = question[start : ber.element(question, start, len(question))[2]]
        status = b"\x02\x01\x01" if len(asked) > 6 else b"\x02\x01\x00"
        values = b"".join(
            ber.tlv(0x30, ber.tlv(6, ber.oid(oid)) + (b"\x05\x00" if len(asked) > 6 else b"\x02\x01\x01"))
            for oid in asked
        )
        pdu = ber.tlv(0xA2, request_id + status + b"\x02\x01\x00" + ber.tlv(0x30, values))
        return [ber.tlv(0x30, b"\x02\x01\x01\x04\x06public" + pdu)]

    loop = asyncio.get_running_loop()
    _, small = await loop.create_datagram_endpoint(lambda: Agent(reply), local_addr=(ADDRESS, 0))
    found = await Agents().get(ADDRESS, small.port, Secret("public"), oids, 20.0)
    small.transport.close()
    assert found == dict.fromkeys(oids, 1)


@given(st.binary(max_size=300), st.sampled_from([None, READER, PLAIN]))
def test_any_bytes_are_read_or_refused(data: bytes, user: User | None) -> None:
    with contextlib.suppress(ValueError):
        usm.read(data, user)


@given(st.integers(0, 300), st.binary(min_size=1, max_size=12), st.booleans())
def test_any_damage_is_noticed(at: int, damage: bytes, encrypted: bool) -> None:
    user, flags = (READER, 3) if encrypted else (PLAIN, 1)
    good = answer_to(usm.request(user, ENGINE, 99, OIDS, 50.0), user, flags=flags)
    bad = good[:at] + damage + good[at + len(damage) :]
    if bad == good:
        return
    with contextlib.suppress(ValueError):
        read = usm.read(bad, user)
        assert not read.signed  # it lost its flag on the way, and is not believed for that


@pytest.mark.parametrize("size", [1, 4, 33, 60_000])
def test_an_engine_id_of_a_wrong_size_is_refused_before_a_key_is_made_of_it(size: int) -> None:
    good = usm.request(PLAIN, Engine(bytes(size), 1, 1, 50.0), 99, OIDS, 50.0)
    kept = usm._localized.cache_info().currsize
    with pytest.raises(ValueError, match="an engine ID of a size"):
        usm.read(good, PLAIN)
    assert usm._localized.cache_info().currsize == kept


@given(st.integers(0, 400))
def test_every_truncation_is_refused(size: int) -> None:
    good = answer_to(usm.request(READER, ENGINE, 99, OIDS, 50.0), READER)
    if size < len(good):
        with pytest.raises(ValueError, match=r"\w"):
            usm.read(good[:size], READER)
