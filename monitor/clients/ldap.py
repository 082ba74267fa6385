"""One visit to an LDAP directory (RFC 4511): TLS, a simple bind, one search that counts entries, and good-bye.

TLS is verified down to the name, from the first byte (ldaps) or by StartTLS before anything is said; a server that
cannot do it gets no password. Everything is under one deadline. What the count means is left to others.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from monitor.errors import (
    CredentialError,
    DeadlineExceeded,
    GarbledReply,
    NotFound,
    Refused,
    SessionLost,
    Unreachable,
    Untrusted,
    in_words,
)
from monitor.ldapfilter import encoded, tlv

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.credential import Secret

MOST_BYTES = 1024 * 1024
START_TLS = b"1.3.6.1.4.1.1466.20037"  # RFC 4511, section 4.14
NO_ATTRIBUTES = b"1.1"  # RFC 4511, section 4.5.1.8
SCOPES = {"base": 0, "one": 1, "sub": 2}
INTEGER, OCTETS, ENUMERATED, SEQUENCE = 0x02, 0x04, 0x0A, 0x30
BIND, BOUND, UNBIND, SEARCH, ENTRY, DONE, REFERENCE, EXTENDED, EXTENDED_ANSWER = (
    0x60, 0x61, 0x42, 0x63, 0x64, 0x65, 0x73, 0x77, 0x78,
)  # fmt: skip
SUCCESS, SIZE_LIMIT, NO_SUCH_OBJECT, INVALID_CREDENTIALS = 0, 4, 32, 49
RESULTS = {  # RFC 4511, appendix A.1: those that a person meets
    1: "operations error", 2: "protocol error", 3: "time limit exceeded", 7: "authentication method not supported",
    8: "stronger authentication required", 11: "administrative limit exceeded", 13: "confidentiality required",
    34: "invalid DN", 48: "inappropriate authentication", 49: "wrong name or password",
    50: "insufficient access rights", 51: "busy", 52: "unavailable", 53: "unwilling to perform",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Directory:
    """A server; ``server_name`` is the name in its certificate where that is not the address."""

    address: str
    port: int
    tls: Literal["ldaps", "starttls"] = "ldaps"
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for; ``enough`` entries end the search."""

    base: str
    scope: Literal["base", "one", "sub"] = "sub"
    filter: str = "(objectClass=*)"
    enough: int = 1


def context(ca_file: Path) -> ssl.SSLContext:
    """Return a context that trusts ``ca_file`` alone. Raises CredentialError."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise CredentialError(f"CA bundle {ca_file} cannot be used: {error}") from error


async def count(
    directory: Directory, tls: ssl.SSLContext, who: tuple[str, Secret] | None, search: Search, timeout_s: float
) -> int:
    """Return how many entries were found, at most ``search.enough``; ``who`` is a DN and its password, None: nobody.

    Raises Unreachable, Untrusted, Refused, NotFound (there is no such base), SessionLost, DeadlineExceeded,
    GarbledReply; CredentialError for an empty password, with which a bind succeeds as nobody (RFC 4513, 5.1.2).
    """
    where = f"{directory.address}:{directory.port}"
    if who is not None and not who[1].reveal():
        raise CredentialError(f"{where}: the password is empty, and would log in as nobody")
    visit = _Visit(where, search, timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            return await visit.run(directory, tls, who)
    except ssl.SSLCertVerificationError as error:
        raise Untrusted(f"{where}: the certificate is not trusted: {error.verify_message}") from error
    except TimeoutError as error:
        if visit.connected:
            raise DeadlineExceeded(f"{where}: no answer within {timeout_s:g} s") from error
        raise Unreachable(f"{where}: no connection within {timeout_s:g} s") from error
    except ssl.SSLError as error:
        raise GarbledReply(f"{where}: TLS failed: {(error.reason or 'no reason given').lower()}") from error
    except OSError as error:
        kind = SessionLost if visit.connected else Unreachable
        raise kind(f"{where}: {in_words(error)}") from error
    finally:
        visit.close()


class _Visit:
    """One connection and the number of the newest question on it."""

    def __init__(self, where: str, search: Search, timeout_s: float) -> None:
        self.connected = False
        self._where = where
        self._search = search
        self._timeout_s = timeout_s
        self._number = 0
        self._buffer = b""
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def run(self, directory: Directory, tls: ssl.SSLContext, who: tuple[str, Secret] | None) -> int:
        name = directory.server_name or directory.address
        at_once = directory.tls == "ldaps"
        self._reader, self._writer = await asyncio.open_connection(
            directory.address, directory.port, ssl=tls if at_once else None, server_hostname=name if at_once else None
        )
        self.connected = True
        if not at_once:
            self._succeeded(
                await self._ask(tlv(EXTENDED, tlv(0x80, START_TLS)), EXTENDED_ANSWER), "StartTLS is refused"
            )
            if self._buffer:  # somebody in between speaks for the server
                raise GarbledReply(f"{self._where}: something was said between StartTLS and TLS")
            await self._writer.start_tls(tls, server_hostname=name)
        if who is not None:
            asked = tlv(INTEGER, b"\3") + tlv(OCTETS, who[0].encode()) + tlv(0x80, who[1].reveal().encode())
            self._succeeded(await self._ask(tlv(BIND, asked), BOUND), "log-in refused")
        found = await self._count()
        self._send(tlv(UNBIND, b""))
        return found

    def close(self) -> None:
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.transport.abort()

    async def _count(self) -> int:
        search = self._search
        self._send(
            tlv(
                SEARCH,
                tlv(OCTETS, search.base.encode())
                + tlv(ENUMERATED, bytes((SCOPES[search.scope],)))
                + tlv(ENUMERATED, b"\0")  # aliases are not followed
                + tlv(INTEGER, search.enough.to_bytes(3))
                + tlv(INTEGER, min(120, math.ceil(self._timeout_s)).to_bytes(2))
                + tlv(0x01, b"\xff")  # types only
                + encoded(search.filter)
                + tlv(SEQUENCE, tlv(OCTETS, NO_ATTRIBUTES)),
            )
        )
        found = 0
        while True:
            kind, content = await self._answer()
            if kind == ENTRY:
                found += 1
            elif kind == DONE:
                code, said = _result(content)
                if code == NO_SUCH_OBJECT:
                    raise NotFound(f"{self._where}: there is no entry '{search.base[:200]}'")
                if code not in (SUCCESS, SIZE_LIMIT):
                    raise Refused(f"{self._where}: the search is refused: {_worded(code, said)}")
                return min(found, search.enough)
            elif kind != REFERENCE:
                raise GarbledReply(f"{self._where}: an answer of another kind in a search")

    async def _ask(self, question: bytes, kind: int) -> bytes:
        self._send(question)
        found, content = await self._answer()
        if found != kind:
            raise GarbledReply(f"{self._where}: an answer of another kind")
        return content

    def _succeeded(self, content: bytes, otherwise: str) -> None:
        code, said = _result(content)
        if code != SUCCESS:
            raise Refused(f"{self._where}: {otherwise}: {_worded(code, said)}")

    def _send(self, question: bytes) -> None:
        self._number += 1
        if self._writer is not None:
            self._writer.write(tlv(SEQUENCE, tlv(INTEGER, self._number.to_bytes(2)) + question))

    async def _answer(self) -> tuple[int, bytes]:
        """Return kind and content of the next message to us."""
        try:
            message = await self._message()
            tag, number, rest = element(message)
            kind, content, _ = element(rest)
        except ValueError as error:
            raise GarbledReply(f"{self._where}: answered what is not LDAP") from error
        asked = int.from_bytes(number, signed=True)
        if tag != INTEGER or asked not in (self._number, 0):
            raise GarbledReply(f"{self._where}: an answer to no question of ours")
        if asked == 0:
            raise SessionLost(f"{self._where}: the server ends the session")  # RFC 4511, section 4.4.1
        return kind, content

    async def _message(self) -> bytes:
        """Return the content of the next LDAPMessage. Raises ValueError for what is none."""
        while True:
            if self._buffer[:1] not in (b"", bytes((SEQUENCE,))):
                raise ValueError("not a message")
            size = whole(self._buffer)
            if size is not None and len(self._buffer) >= size:
                message, self._buffer = self._buffer[:size], self._buffer[size:]
                return element(message)[1]
            piece = await self._reader.read(65536) if self._reader is not None else b""
            if not piece:
                raise SessionLost(f"{self._where}: the server closed the connection")
            self._buffer += piece


def whole(data: bytes) -> int | None:
    """Return how many bytes the element has that begins ``data``; None when that cannot be told yet.

    Raises ValueError for a length that LDAP does not have, and one that is beyond all bounds.
    """
    if len(data) < 2:  # noqa: PLR2004 - tag and length
        return None
    first = data[1]
    if first < 0x80:  # noqa: PLR2004 - the short form
        return 2 + first
    more = first & 0x7F
    if not 1 <= more <= 4:  # noqa: PLR2004 - 0: an indefinite length; more: absurd
        raise ValueError("not a length")
    if len(data) < 2 + more:
        return None
    size = int.from_bytes(data[2 : 2 + more])
    if size > MOST_BYTES:
        raise ValueError("too long")
    return 2 + more + size


def element(data: bytes) -> tuple[int, bytes, bytes]:
    """Return tag, content and what follows of the element that begins ``data``. Raises ValueError."""
    size = whole(data)
    if size is None or size > len(data):
        raise ValueError("torn off")
    start = 2 if data[1] < 0x80 else 2 + (data[1] & 0x7F)  # noqa: PLR2004 - the short form
    return data[0], data[start:size], data[size:]


def _result(content: bytes) -> tuple[int, str]:
    """Return code and diagnostic message of an LDAPResult (RFC 4511, section 4.1.9)."""
    try:
        tag, code, rest = element(content)
        _, _, rest = element(rest)
        _, said, _ = element(rest)
    except ValueError as error:
        raise GarbledReply("the directory's result cannot be read") from error
    if tag != ENUMERATED or not 1 <= len(code) <= 2:  # noqa: PLR2004 - bytes of a code
        raise GarbledReply("the directory's result has no code")
    text = said[:300].decode("utf-8", "replace")
    return int.from_bytes(code), "".join(character if character.isprintable() else " " for character in text).strip()


def _worded(code: int, said: str) -> str:
    words = RESULTS.get(code, f"result {code}")
    return f"{words} ({said})" if said else words
