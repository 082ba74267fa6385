"""An SNMP v2c agent (RFC 3416) over a read-only tree of objects: GET, GETNEXT, GETBULK; SET is answered notWritable.

A wrong community, another version or bytes that are no SNMP are met with silence, as RFC 3584 and every real agent do.
When ``garbled`` says so the agent answers every request with noise of the right length. What the objects are worth is
asked anew at each request.

A border crossing's router is one too: it shows interfaces (IF-MIB), BGP sessions (BGP4-MIB), VRRP (VRRP-MIB). It is
reached over the links themselves: with both of them cut it is silent. A link that is cut has its interface down and no
session; traffic that was moved away from the primary leaves the link itself as it is. Sessions to a site are there for
as long as the site has power and the link that they go over is not cut.
"""

from __future__ import annotations

import hmac
import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from lab import uplink
from lab.identity import Identity
from lab.plan import RouterPlan, SensorPlan
from lab.presence import Presence
from lab.scenario import Estate, Server
from lab.servers.ber import (
    END_OF_MIB_VIEW,
    INTEGER,
    NO_SUCH_INSTANCE,
    NO_SUCH_OBJECT,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    TIMETICKS,
    BadEncoding,
    Oid,
    Reader,
    Value,
    decode_integer,
    decode_oid,
    encode,
    integer,
    object_identifier,
    parse_oid,
    text,
)
from lab.servers.listener import Datagram, UdpListener, always_alive
from lab.servers.mib import SYSTEM, Reading, agent_objects

VERSION_2C = 1
GET, GET_NEXT, RESPONSE, SET, GET_BULK = 0xA0, 0xA1, 0xA2, 0xA3, 0xA5
NOT_WRITABLE = 17
MAX_REPETITIONS = 64
MAX_REPLY_BYTES = 1400  # RFC 3416 4.2.3: fewer repetitions rather than a datagram that must be split

OPER_STATUS = (1, 3, 6, 1, 2, 1, 2, 2, 1, 8)
BGP_STATE = (1, 3, 6, 1, 2, 1, 15, 3, 1, 2)
VRRP_STATE = (1, 3, 6, 1, 2, 1, 68, 1, 3, 1, 3)
IF_UP, IF_DOWN = 1, 2
BGP_ACTIVE, BGP_ESTABLISHED = 3, 6
VRRP_BACKUP, VRRP_MASTER = 2, 3

Objects = Mapping[Oid, Value]
Binding = tuple[Oid, Value]


@dataclass(frozen=True, slots=True)
class Question:
    """A request; for GETBULK the two numbers are non-repeaters and max-repetitions (RFC 3416 3)."""

    kind: int
    request_id: int
    first_number: int
    second_number: int
    bindings: tuple[Binding, ...]


def never() -> bool:
    """Say that the agent is sound."""
    return False


class SnmpAgent:
    """Answers for ``objects()`` to whoever knows ``community``."""

    def __init__(
        self,
        address: str,
        port: int,
        community: str,
        objects: Callable[[], Objects],
        *,
        presence: Callable[[], Presence] = always_alive,
        garbled: Callable[[], bool] = never,
    ) -> None:
        self._community = community.encode()
        self._objects = objects
        self._garbled = garbled
        self._noise = random.Random(f"{address}:{port}")
        self._listener = UdpListener(address, port, self._answer, presence)

    @property
    def port(self) -> int:
        """The UDP port in use."""
        return self._listener.port

    async def start(self) -> None:
        """Bind the port. Raises ``OSError`` when it is taken."""
        await self._listener.start()

    async def stop(self) -> None:
        """Close the port."""
        await self._listener.stop()

    def refresh(self) -> None:
        """Nothing to do: the truth is asked at every request."""

    def _answer(self, datagram: Datagram) -> bytes | None:
        try:
            question = self._read(datagram.payload)
        except BadEncoding:
            return None
        if question is None:
            return None
        reply = self._write(question, *self._perform(question))
        return self._noise.randbytes(len(reply)) if self._garbled() else reply

    def _read(self, message: bytes) -> Question | None:
        """Read a message; None when it is not for us. Raises ``BadEncoding``."""
        fields = Reader(Reader(message).expect(SEQUENCE))
        version = decode_integer(fields.expect(INTEGER))
        community = fields.expect(OCTET_STRING)
        if version != VERSION_2C or not hmac.compare_digest(community, self._community):
            return None
        pdu = fields.element()
        if pdu.tag not in (GET, GET_NEXT, GET_BULK, SET):
            return None
        inner = Reader(pdu.contents)
        numbers = [decode_integer(inner.expect(INTEGER)) for _ in range(3)]
        return Question(pdu.tag, numbers[0], numbers[1], numbers[2], _bindings(inner.expect(SEQUENCE)))

    def _perform(self, question: Question) -> tuple[int, int, Sequence[Binding]]:
        """Give error-status, error-index and the bindings of the reply."""
        if question.kind == SET:
            return NOT_WRITABLE, 1, question.bindings
        objects = self._objects()
        names = [name for name, _ in question.bindings]
        if question.kind == GET:
            return 0, 0, [(name, _exact(objects, name)) for name in names]
        ordered = sorted(objects)
        if question.kind == GET_NEXT:
            return 0, 0, [_next(objects, ordered, name) for name in names]
        singles = max(question.first_number, 0)
        found = [_next(objects, ordered, name) for name in names[:singles]]
        return 0, 0, found + _rows(objects, ordered, names[singles:], question.second_number)

    def _write(self, question: Question, status: int, index: int, bindings: Sequence[Binding]) -> bytes:
        encoded = [_encode_binding(binding) for binding in bindings]
        if question.kind == GET_BULK:
            while len(encoded) > 1 and sum(map(len, encoded)) > MAX_REPLY_BYTES:
                encoded.pop()
        numbers = b"".join(integer(number).encode() for number in (question.request_id, status, index))
        pdu = encode(RESPONSE, numbers + encode(SEQUENCE, b"".join(encoded)))
        community = encode(OCTET_STRING, self._community)
        return encode(SEQUENCE, integer(VERSION_2C).encode() + community + pdu)


def servers(estate: Estate, identity: Identity) -> list[Server]:
    """Build an agent for each address and port at which the inventory has sensors, and one for each router."""
    devices: dict[tuple[str, int], list[SensorPlan]] = {}
    for sensor in estate.plan.sensors.values():
        if sensor.source["protocol"] == "snmp":
            devices.setdefault((sensor.source["address"], sensor.source["port"]), []).append(sensor)
    routers = [_router(estate, identity, router) for router in estate.plan.routers.values()]
    return [*(_agent(estate, identity, sensors) for sensors in devices.values()), *routers]


def _agent(estate: Estate, identity: Identity, sensors: Sequence[SensorPlan]) -> SnmpAgent:
    source = sensors[0].source
    address, port = source["address"], source["port"]
    began = estate.now()

    def objects() -> Objects:
        readings = [Reading(sensor, estate.sensor(sensor.key)) for sensor in sensors]
        return agent_objects(readings, f"{address}:{port}", estate.now() - began)

    return SnmpAgent(
        address,
        port,
        identity.secret(source["community"]),
        objects,
        presence=partial(estate.sensor_presence, sensors[0].key),
        garbled=lambda: any(estate.sensor(sensor.key).garbled for sensor in sensors),
    )


def _router(estate: Estate, identity: Identity, router: RouterPlan) -> SnmpAgent:
    return SnmpAgent(
        router.address,
        router.port,
        identity.secret(router.community),
        partial(_router_objects, estate, router, estate.now()),
        presence=partial(_router_presence, estate, router),
    )


def _router_presence(estate: Estate, router: RouterPlan) -> Presence:
    cut = all(estate.link(f"{router.crossing}/{which}").cut for which in ("primary", "backup"))
    return Presence.DEAD if cut else uplink.presence(estate)


def _router_objects(estate: Estate, router: RouterPlan, began: float) -> Objects:
    objects: dict[Oid, Value] = {
        (*SYSTEM, 1, 0): text("Simulated border router of the lab"),
        (*SYSTEM, 2, 0): object_identifier((1, 3, 6, 1, 4, 1, 8072, 3, 2, 10)),
        (*SYSTEM, 3, 0): integer(int((estate.now() - began) * 100) % 2**32, TIMETICKS),
        (*SYSTEM, 5, 0): text(router.crossing),
    }
    moved = estate.faults.active("move-traffic", router.crossing)
    for which, (interface, peer) in router.links.items():
        cut = estate.link(f"{router.crossing}/{which}").cut
        away = cut or (moved and which == "primary")
        if interface is not None:
            objects[*OPER_STATUS, interface] = integer(IF_DOWN if cut else IF_UP)
        if peer is not None:
            objects[*BGP_STATE, *parse_oid(peer)] = integer(BGP_ACTIVE if away else BGP_ESTABLISHED)
    for site, which, interface, peer in router.sessions:
        reached = estate.power[site] and not estate.link(f"{router.crossing}/{which}").cut
        if interface is not None:
            objects[*OPER_STATUS, interface] = integer(IF_UP if reached else IF_DOWN)
        if peer is not None:
            objects[*BGP_STATE, *parse_oid(peer)] = integer(BGP_ESTABLISHED if reached else BGP_ACTIVE)
    if router.vrrp is not None:
        away = moved or estate.link(f"{router.crossing}/primary").cut
        objects[*VRRP_STATE, *parse_oid(router.vrrp)] = integer(VRRP_BACKUP if away else VRRP_MASTER)
    return objects


def _bindings(contents: bytes) -> tuple[Binding, ...]:
    reader = Reader(contents)
    bindings: list[Binding] = []
    while not reader.at_end:
        pair = Reader(reader.expect(SEQUENCE))
        bindings.append((decode_oid(pair.expect(OBJECT_IDENTIFIER)), pair.element()))
    return tuple(bindings)


def _encode_binding(binding: Binding) -> bytes:
    name, value = binding
    return encode(SEQUENCE, object_identifier(name).encode() + value.encode())


def _exact(objects: Objects, name: Oid) -> Value:
    """Answer a GET: the object types here have one arc of instance, which tells noSuchInstance from noSuchObject."""
    value = objects.get(name)
    if value is not None:
        return value
    known_type = any(name[: len(oid) - 1] == oid[:-1] for oid in objects)
    return Value(NO_SUCH_INSTANCE if known_type else NO_SUCH_OBJECT)


def _next(objects: Objects, ordered: Sequence[Oid], name: Oid) -> Binding:
    at = bisect_right(ordered, name)
    if at == len(ordered):
        return name, Value(END_OF_MIB_VIEW)
    return ordered[at], objects[ordered[at]]


def _rows(objects: Objects, ordered: Sequence[Oid], names: Sequence[Oid], repetitions: int) -> list[Binding]:
    """Answer the repeaters of a GETBULK, row after row (RFC 3416 4.2.3)."""
    found: list[Binding] = []
    current = list(names)
    for _ in range(min(max(repetitions, 0), MAX_REPETITIONS) if names else 0):
        row = [_next(objects, ordered, name) for name in current]
        found += row
        current = [name for name, _ in row]
        if all(value.tag == END_OF_MIB_VIEW for _, value in row):
            break
    return found
