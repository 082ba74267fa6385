"""An authoritative DNS server: reading an address, a zone's serial, and replacing an address by a signed update.

Source: RFC 1035, RFC 2136 (UPDATE), RFC 8945 (TSIG, hmac-sha256). Queries go by UDP, and by TCP when truncated;
updates go by TCP, so that a refused connection is known not to have been an update.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from monitor.errors import (
    CredentialError,
    DeadlineExceeded,
    GarbledReply,
    NotFound,
    Refused,
    SessionLost,
    Unreachable,
    in_words,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from monitor.credential import Secret

T = TypeVar("T")
SENDS = 3  # how often a query is sent by UDP within its deadline


async def query_a(address: str, port: int, fqdn: str, timeout_s: float) -> tuple[tuple[str, ...], int]:
    """Return the IPv4 addresses of ``fqdn``, sorted, and their TTL in seconds, following CNAMEs in the answer.

    Raises NotFound (no such name or no address), Refused, Unreachable, DeadlineExceeded, GarbledReply.
    """
    reply = await _ask(address, port, fqdn, dns.rdatatype.A, timeout_s)
    if not isinstance(reply, dns.message.QueryMessage):
        raise GarbledReply(f"DNS server {address}:{port} answered with another kind of message")
    try:
        answer = reply.resolve_chaining().answer
    except dns.exception.DNSException as error:
        raise GarbledReply(f"DNS server {address}:{port} answered with a broken chain of names") from error
    if answer is None:
        raise NotFound(f"DNS server {address}:{port} has no address of {fqdn}")
    return tuple(sorted((item.address for item in answer), key=ipaddress.ip_address)), int(answer.ttl)


@dataclass(frozen=True, slots=True)
class DnsReply:
    """What a server said: its response code (``NOERROR``), and the records of the kind asked for, as ``normal``.

    ``authoritative``: on its own authority (the AA flag); ``signed``: with the key that the question was signed with.
    """

    rcode: str
    records: tuple[str, ...]
    authoritative: bool = False
    signed: bool = False


def normal(record: str) -> str:
    """Return a record's text in the form in which two of them are compared: no quotes, case or last dot."""
    return record.strip().replace('"', "").rstrip(".").lower()


async def question(
    address: str,
    port: int,
    name: str,
    record: str,
    timeout_s: float,
    *,
    recursive: bool = False,
    by_tcp: bool = False,
    key: tuple[str, Secret] | None = None,
) -> DnsReply:
    """Ask for the ``record`` (``A``, ``MX``, …) of ``name``; any response code is an answer.

    By UDP, and by TCP when the answer is too long, or from the start with ``by_tcp``. ``key``: the TSIG key, name and
    base64, to sign the question with. Raises Refused (not a name that can be asked for, not a key that the server
    takes), Unreachable, DeadlineExceeded, SessionLost, GarbledReply, CredentialError (the key is not base64).
    """
    kind = dns.rdatatype.from_text(record)
    signed_by = None if key is None else _key(*key)
    reply = await _exchange(address, port, name, kind, timeout_s, recursive=recursive, by_tcp=by_tcp, key=signed_by)
    found = {normal(item.to_text()) for records in reply.answer if records.rdtype == kind for item in records}
    authoritative = bool(reply.flags & dns.flags.AA)
    return DnsReply(dns.rcode.to_text(reply.rcode()), tuple(sorted(found)), authoritative, reply.had_tsig)


async def soa_serial(address: str, port: int, zone: str, timeout_s: float) -> int:
    """Return the serial number of ``zone``. Raises as ``query_a``."""
    reply = await _ask(address, port, zone, dns.rdatatype.SOA, timeout_s)
    for records in reply.answer:
        if records.rdtype == dns.rdatatype.SOA:
            return int(records[0].serial)
    raise NotFound(f"DNS server {address}:{port} does not have the zone {zone}")


async def replace_a(
    address: str,
    port: int,
    zone: str,
    fqdn: str,
    ip: str,
    ttl_s: int,
    tsig_name: str,
    tsig_secret: Secret,
    timeout_s: float,
) -> None:
    """Make ``ip`` the only address of ``fqdn``. Repeating it changes nothing.

    ``tsig_secret`` is the key in base64. Raises Refused (wrong key, wrong time, not its zone), Unreachable (not
    done), DeadlineExceeded, SessionLost and GarbledReply (outcome not known), CredentialError (key is not base64).
    """
    where = f"DNS server {address}:{port}"
    key = _key(tsig_name, tsig_secret)
    try:
        name, origin = dns.name.from_text(fqdn), dns.name.from_text(zone)
        update = dns.update.UpdateMessage(origin, keyring=key)
        update.replace(name.relativize(origin), ttl_s, "A", str(ipaddress.IPv4Address(ip)))
    except (ValueError, dns.exception.DNSException) as error:
        raise Refused(f"{where} cannot be asked to point {fqdn} in {zone} to {ip}: {error}") from error
    connection: Any = None
    try:
        async with asyncio.timeout(timeout_s):
            connection = await _connect(address, port, where)
            async with connection:
                reply = await _heard(dns.asyncquery.tcp(update, address, sock=connection), where)
    except TimeoutError as error:
        if connection is None:
            raise Unreachable(f"{where} did not accept a connection in time") from error
        raise DeadlineExceeded(f"{where} did not answer the update in time") from error
    _check(reply, where, f"the update of {fqdn}")
    if not reply.had_tsig:  # RFC 8945 5.3.1: anybody could have said yes
        raise GarbledReply(f"{where} did not sign its answer to the update of {fqdn}")


def _key(name: str, secret: Secret) -> dns.tsig.Key:
    """Return the TSIG key. Raises CredentialError."""
    try:
        return dns.tsig.Key(name, base64.b64decode(secret.reveal(), validate=True), dns.tsig.HMAC_SHA256)
    except (binascii.Error, ValueError, dns.exception.DNSException) as error:
        raise CredentialError(f"the TSIG key '{name}' is not base64") from error


async def _connect(address: str, port: int, where: str) -> Any:
    """Return a connected stream socket of dnspython's."""
    numeric, family = await _numeric(address, port, where)
    backend: Any = dns.asyncbackend.get_default_backend()  # its make_socket has no types
    try:
        return await backend.make_socket(family, socket.SOCK_STREAM, 0, None, (numeric, port), None)
    except OSError as error:
        raise Unreachable(f"{where} cannot be reached: {in_words(error)}") from error


async def _ask(
    address: str, port: int, name: str, kind: dns.rdatatype.RdataType, timeout_s: float
) -> dns.message.Message:
    reply = await _exchange(address, port, name, kind, timeout_s)
    _check(reply, f"DNS server {address}:{port}", name)
    return reply


async def _exchange(
    address: str,
    port: int,
    name: str,
    kind: dns.rdatatype.RdataType,
    timeout_s: float,
    *,
    recursive: bool = False,
    by_tcp: bool = False,
    key: dns.tsig.Key | None = None,
) -> dns.message.Message:
    where = f"DNS server {address}:{port}"
    flags = dns.flags.RD if recursive else 0  # no recursion desired: this server's own word
    try:
        query = dns.message.make_query(name, kind, flags=flags)
    except dns.exception.DNSException as error:
        raise Refused(f"{where} cannot be asked for '{name}': {error}") from error
    if key is not None:
        query.use_tsig(key)
    try:
        async with asyncio.timeout(timeout_s):
            numeric, _ = await _numeric(address, port, where)
            if by_tcp:
                reply = await _heard(dns.asyncquery.tcp(query, numeric, port=port), where)
            else:
                reply = await _heard(_both_ways(query, numeric, port, timeout_s / SENDS), where)
    except TimeoutError as error:
        raise DeadlineExceeded(f"{where} did not answer in time") from error
    return reply


async def _both_ways(query: dns.message.Message, address: str, port: int, patience_s: float) -> dns.message.Message:
    """Ask by UDP, again when a datagram was lost, and by TCP when the answer is too long; the caller ends it."""
    while True:
        try:
            reply, _ = await dns.asyncquery.udp_with_fallback(
                query, address, port=port, timeout=patience_s, ignore_unexpected=True
            )
        except dns.exception.Timeout:
            continue
        return reply


async def _heard(answering: Awaitable[T], where: str) -> T:
    """Await an exchange and turn what goes wrong in it into our errors; time-outs pass."""
    try:
        return await answering
    except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadTime, dns.tsig.BadKey) as error:
        raise Refused(f"{where} and we do not agree on the TSIG key or the time: {error}") from error
    except ConnectionRefusedError as error:
        raise Unreachable(f"{where} cannot be reached: {in_words(error)}") from error
    except dns.exception.Timeout as error:
        raise TimeoutError from error
    except (dns.exception.DNSException, ValueError) as error:
        raise GarbledReply(f"{where} answered what is not DNS: {type(error).__name__}") from error
    except (OSError, EOFError) as error:
        raise SessionLost(f"{where} broke the connection off: {type(error).__name__}") from error


async def _numeric(address: str, port: int, where: str) -> tuple[str, int]:
    """Return the address as a number, with its family."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(address, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise Unreachable(f"{where} cannot be found: {in_words(error)}") from error
    return str(found[0][4][0]), int(found[0][0])


def _check(reply: dns.message.Message, where: str, what: str) -> None:
    """Raise what a response code other than NOERROR means."""
    code = reply.rcode()
    if code == dns.rcode.NOERROR:
        return
    word = dns.rcode.to_text(code)
    if code == dns.rcode.NXDOMAIN:
        raise NotFound(f"{where} does not know {what}")
    if code == dns.rcode.SERVFAIL:
        raise Unreachable(f"{where} is not able to serve {what} (SERVFAIL)")
    raise Refused(f"{where} refused {what} ({word})")
