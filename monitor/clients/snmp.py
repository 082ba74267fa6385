"""SNMP GET and GETNEXT (RFC 3416) over UDP, version 2c by community or version 3 by user: one question, one answer.

Written out (docs/decisions/0012 and the one on SNMPv3) because an agent's garbage must be an error and nothing else:
gufo-snmp 0.13 panics in its BER header on such a datagram, an exception outside ``Exception``. Each question has a
connected socket of its own: only the agent is heard on it, and a closed port is told.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from monitor.clients import snmp_usm as usm
from monitor.clients.snmp_ber import (
    GET,
    GET_NEXT,
    INTEGER,
    OCTETS,
    REPORT,
    SEQUENCE,
    Response,
    Value,
    expect,
    get_request,
    integer,
    number,
    read_pdu,
    tlv,
)
from monitor.clients.snmp_usm import Engine, Message, SignatureError, User
from monitor.credential import Secret
from monitor.errors import DeadlineExceeded, GarbledReply, Refused, Unreachable, Untrusted

__all__ = ["Agents", "Denied", "User", "Value", "get"]

Found = TypeVar("Found")

VERSION_2C = 1
TOO_BIG = 1
ERRORS = ("noError", "tooBig", "noSuchName", "badValue", "readOnly", "genErr", "noAccess")
AUTHORIZATION_ERROR = 16
OIDS_A_REQUEST = 32
TRIES = 3
DATAGRAM_BYTES = 65_507
MOST_STRAYS = 100  # datagrams that are no answer to one question; a flood is not read until the time-out
MOST_ROWS = 256  # of a column that is gone through for one object
RESYNCS = 3  # a new engine ID, then its time, then the answer
REFUSALS = {
    f"{usm.USM_STATS}1.0": "the agent does not accept this security level",
    f"{usm.USM_STATS}3.0": "the agent knows no such user",
    f"{usm.USM_STATS}5.0": "the agent does not accept the authentication password (or its protocol)",
    f"{usm.USM_STATS}6.0": "the agent cannot decrypt what is sent: the privacy password is wrong",
}


class Denied(Refused):
    """The agent answered a request with an error status, for whichever of its objects."""


def encode_get(community: bytes, request_id: int, oids: Sequence[str], kind: int = GET) -> bytes:
    """Return a request of a ``kind`` of ``snmp_ber`` in a v2c message (RFC 1901)."""
    return tlv(SEQUENCE, integer(VERSION_2C) + tlv(OCTETS, community) + get_request(request_id, oids, kind))


def decode_response(datagram: bytes, wanted: int | None = None, oids: Sequence[str] = ()) -> Response:
    """Return what an agent answered. Raises ValueError for anything that is not a v2c response.

    With ``wanted``, of an answer to another request ID no value is read; ``oids`` are those that were asked for.
    """
    start, stop = expect(datagram, 0, len(datagram), SEQUENCE)
    low, at = expect(datagram, start, stop, INTEGER)
    version = number(datagram, low, at)
    _, at = expect(datagram, at, stop, OCTETS)
    response, at = read_pdu(datagram, at, stop, wanted, oids)
    if stop != len(datagram) or at != stop or version != VERSION_2C or response.kind == REPORT:
        raise ValueError("not one v2c message")
    return response


class Agents:
    """Asks agents, and remembers of those that speak version 3 which engine they are and what its clock says.

    Belongs to one event loop; nothing else is kept between questions.
    """

    def __init__(self) -> None:
        """Know nobody."""
        self._engines: dict[tuple[str, int], Engine] = {}

    async def get(
        self, address: str, port: int, access: Secret | User, oids: Sequence[str], timeout_s: float
    ) -> dict[str, Value]:
        """Read ``oids`` (dotted, no leading dot) and return a value for each; None where the agent has no such object.

        ``access`` is a community or a user of version 3. Text is bytes, addresses and object identifiers are dotted
        text. A lost datagram is sent again within ``timeout_s``. Raises Unreachable, DeadlineExceeded, GarbledReply,
        Refused (Denied for an error status), and Untrusted when all that answers is signed by somebody else.
        """
        values: dict[str, Value] = {}

        async def ask(wire: _Wire) -> None:
            for start in range(0, len(oids), OIDS_A_REQUEST):
                values.update(await self._part(wire, (address, port), access, oids[start : start + OIDS_A_REQUEST]))

        await self._asked((address, port), access, timeout_s, ask)
        return values

    async def find(
        self, address: str, port: int, access: Secret | User, column: str, wanted: str, timeout_s: float
    ) -> Value:
        """Go through a table's ``column`` row by row for the object ``wanted``; None when it is not in MOST_ROWS rows.

        For agents that tell an object to who walks and not to who asks for it: keepalived's, which moreover finds
        the next row only after one that it has told of itself. Raises as ``get``.
        """
        found: Value = None

        async def ask(wire: _Wire) -> None:
            nonlocal found
            here = column
            for _ in range(MOST_ROWS):
                response = await self._answered(wire, (address, port), access, (here,), GET_NEXT)
                ((after, value),) = response.values.items() if len(response.values) == 1 else (("", None),)
                if not after.startswith(f"{column}.") or _numbers(after) <= _numbers(here):
                    return  # the end of the column, or an agent that goes in circles
                if after == wanted:
                    found = value
                    return
                here = after

        await self._asked((address, port), access, timeout_s, ask)
        return found

    async def _asked(
        self, place: tuple[str, int], access: Secret | User, timeout_s: float, ask: Callable[[_Wire], Awaitable[None]]
    ) -> None:
        """Have ``ask`` put its questions on a socket of its own, within ``timeout_s``. Raises as ``get``."""
        address, port = place
        where = f"{address}:{port}"
        wire = None
        try:
            async with asyncio.timeout(timeout_s):
                wire = await _Wire.to(address, port, timeout_s / TRIES)
                await ask(wire)
        except TimeoutError as error:
            if wire is not None and wire.forged:
                raise Untrusted(f"{where}: every answer's signature is wrong") from error
            # An agent does not answer a wrong community at all, nor (most of them) what it cannot decrypt.
            wrong = "community" if isinstance(access, Secret) else "privacy password"
            text = f"{where}: no SNMP answer in {timeout_s:g} s (down, cut off, or wrong {wrong})"
            raise DeadlineExceeded(text) from error
        except (GarbledReply, Unreachable, Refused, Untrusted) as error:
            raise type(error)(f"{where}: {error}") from error
        finally:
            if wire is not None:
                wire.close()

    async def _part(
        self, wire: _Wire, place: tuple[str, int], access: Secret | User, oids: Sequence[str]
    ) -> dict[str, Value]:
        response = await self._answered(wire, place, access, oids, GET, may_be_too_big=len(oids) > 1)
        if response.error_status == TOO_BIG:  # small devices have small buffers: ask in halves
            half = len(oids) // 2
            first = await self._part(wire, place, access, oids[:half])
            return first | await self._part(wire, place, access, oids[half:])
        if response.values.keys() != set(oids):
            raise GarbledReply("not an SNMP answer: other objects than were asked for")
        return response.values

    async def _answered(
        self,
        wire: _Wire,
        place: tuple[str, int],
        access: Secret | User,
        oids: Sequence[str],
        kind: int,
        *,
        may_be_too_big: bool = False,
    ) -> Response:
        """Return the answer to one request. Raises Denied for an error status."""
        response = await (
            self._v2c(wire, access, oids, kind)
            if isinstance(access, Secret)
            else self._v3(wire, place, access, oids, kind)
        )
        status = response.error_status
        if status and not (status == TOO_BIG and may_be_too_big):
            name = ERRORS[status] if 0 < status < len(ERRORS) else f"error {status}"
            raise Denied(f"the agent says {'authorizationError' if status == AUTHORIZATION_ERROR else name}")
        return response

    async def _v2c(self, wire: _Wire, community: Secret, oids: Sequence[str], kind: int) -> Response:
        request_id = usm.new_id()

        def answer(datagram: bytes) -> Response | None:
            response = decode_response(datagram, request_id, oids)
            return response if response.request_id == request_id else None  # else the answer to another question

        return await wire.ask(encode_get(community.reveal().encode(), request_id, oids, kind), answer)

    async def _v3(self, wire: _Wire, place: tuple[str, int], user: User, oids: Sequence[str], kind: int) -> Response:
        engine = self._engines.get(place) or await self._discover(wire)
        for _ in range(RESYNCS):
            message = await self._signed(wire, user, engine, oids, kind)
            pdu = message.pdu
            if pdu.kind != REPORT:
                self._engines[place] = Engine(engine.id, message.boots, message.time, wire.now())
                return pdu
            reported = next(iter(pdu.values), "")
            if reported == usm.NOT_IN_TIME and message.signed:
                engine = Engine(engine.id, message.boots, message.time, wire.now())
            elif reported == usm.UNKNOWN_ENGINE:
                engine = await self._discover(wire)
            else:
                self._engines.pop(place, None)
                raise Refused(REFUSALS.get(reported, f"the agent reports {reported or 'nothing'}"))
        self._engines.pop(place, None)
        raise GarbledReply("not an SNMP answer: the agent's engine and its clock cannot be agreed on")

    async def _signed(self, wire: _Wire, user: User, engine: Engine, oids: Sequence[str], kind: int) -> Message:
        """Return the answer to a signed question: a response as well protected as the question, or a report."""
        message_id = usm.new_id()

        def answer(datagram: bytes) -> Message | None:
            if usm.id_of(datagram) != message_id:
                return None
            message = usm.read(datagram, user, oids)
            if message.pdu.kind == REPORT:
                return message
            if not message.signed or message.encrypted != (user.privacy is not None):
                raise SignatureError("less protected than the question")
            ours = message.engine_id == engine.id and message.pdu.request_id == message_id
            return message if ours else None

        return await wire.ask(usm.request(user, engine, message_id, oids, wire.now(), kind), answer)

    async def _discover(self, wire: _Wire) -> Engine:
        message_id = usm.new_id()

        def answer(datagram: bytes) -> Message | None:
            if usm.id_of(datagram) != message_id:
                return None
            message = usm.read(datagram, None)
            return message if message.pdu.kind == REPORT else None

        found = await wire.ask(usm.discovery(message_id), answer)
        if not found.engine_id:
            raise GarbledReply("not an SNMP answer: an engine ID of a size that SNMP does not have")
        # Boots and time are not signed here: a first guess, which a signed report corrects.
        return Engine(found.engine_id, found.boots, found.time, wire.now())


async def get(address: str, port: int, community: Secret, oids: Sequence[str], timeout_s: float) -> dict[str, Value]:
    """Read ``oids`` by version 2c; see ``Agents.get``."""
    return await Agents().get(address, port, community, oids, timeout_s)


def _numbers(oid: str) -> tuple[int, ...]:
    return tuple(int(part) for part in oid.split("."))


class _Wire:
    """One connected socket to an agent, and one question at a time on it; ``forged`` once an answer was."""

    def __init__(self, agent: socket.socket, try_s: float) -> None:
        self._socket = agent
        self._try_s = try_s
        self._loop = asyncio.get_running_loop()
        self._strays = 0
        self.forged = False

    @classmethod
    async def to(cls, address: str, port: int, try_s: float) -> _Wire:
        """Open it. Raises Unreachable."""
        try:
            family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET  # noqa: PLR2004 - IPv6
            target: Any = (address, port)
        except ValueError:  # a name
            family, target = await _resolved(address, port)
        agent = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            agent.connect(target)
        except OSError as error:
            agent.close()
            raise Unreachable(_why(error)) from error
        return cls(agent, try_s)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def now(self) -> float:
        """Return the loop's clock, in seconds."""
        return self._loop.time()

    async def ask(self, datagram: bytes, accept: Callable[[bytes], Found | None]) -> Found:
        """Send until ``accept`` takes what comes; it says None to what belongs to another question.

        Ends with the caller's time-out, or after MOST_STRAYS of those. Raises GarbledReply for what ``accept`` calls a
        ValueError and for so many strays (Untrusted when one was forged), and Unreachable.
        """
        self._strays = 0
        answered: asyncio.Future[Found] = self._loop.create_future()
        again: asyncio.TimerHandle | None = None

        def send() -> None:
            nonlocal again
            again = self._loop.call_later(self._try_s, send)
            self._send(datagram, answered)

        # By number: asyncio writes down the whole socket each time that it does not know it.
        number = self._socket.fileno()
        self._loop.add_reader(number, self._receive, accept, answered)
        try:
            send()
            return await answered
        finally:
            if again is not None:
                again.cancel()
            self._loop.remove_reader(number)

    def _send(self, datagram: bytes, answered: asyncio.Future[Found]) -> None:
        try:
            self._socket.send(datagram)
        except BlockingIOError:
            pass  # the kernel's buffer is full: as good as lost, and sent again
        except OSError as error:
            _end(answered, Unreachable(_why(error)))

    def _receive(self, accept: Callable[[bytes], Found | None], answered: asyncio.Future[Found]) -> None:
        try:
            found = accept(self._socket.recv(DATAGRAM_BYTES))
        except BlockingIOError:
            pass  # a datagram whose checksum was wrong
        except OSError as error:
            _end(answered, Unreachable(_why(error)))
        except SignatureError:
            self.forged = True  # somebody else's; ours may still come
            self._stray(answered)
        except ValueError as error:
            _end(answered, GarbledReply(f"not an SNMP answer: {error}"))
        else:
            if found is None:
                self._stray(answered)
            elif not answered.done():
                answered.set_result(found)

    def _stray(self, answered: asyncio.Future[Found]) -> None:
        """Count what is no answer to this question, and end it when there are too many."""
        self._strays += 1
        if self._strays < MOST_STRAYS:
            return
        if self.forged:
            _end(answered, Untrusted("every answer's signature is wrong"))
        else:
            _end(answered, GarbledReply(f"{MOST_STRAYS} datagrams, and none answers the question"))


def _end(answered: asyncio.Future[Found], error: Exception) -> None:
    if not answered.done():
        answered.set_exception(error)


async def _resolved(name: str, port: int) -> tuple[socket.AddressFamily, Any]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise Unreachable(error.strerror or str(error)) from error
    return found[0][0], found[0][4]


def _why(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
