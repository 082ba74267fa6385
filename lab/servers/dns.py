"""An authoritative DNS server for the estate's zone (RFC 1035), UDP and TCP, that takes signed updates (RFC 2136).

An update must carry a TSIG (RFC 8945) of the key that the inventory names: without one it is REFUSED, with a wrong one
NOTAUTH and the TSIG error. Queries need none. The zone is the truth's; the serial grows with every change.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Mapping
from functools import partial

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update

from lab import uplink
from lab.identity import Identity
from lab.plan import DnsPlan
from lab.scenario import Estate, Server
from lab.servers.dns_update import Address, Declined, apply_update
from lab.servers.listener import Datagram, TcpListener, UdpListener

HEADER_BYTES = 12
PLAIN_UDP_BYTES = 512
MAX_TCP_BYTES = 65_535
APEX_TTL_S = 3600
NEGATIVE_TTL_S = 5
FUDGE_S = 300
TIMERS = f"60 15 604800 {NEGATIVE_TTL_S}"  # refresh, retry, expire, minimum
LENGTH = struct.Struct("!H")

Keyring = Mapping[dns.name.Name, dns.tsig.Key]


def servers(estate: Estate, identity: Identity) -> list[Server]:
    """Build the DNS servers of the inventory."""
    return [DnsServer(estate, plan, identity.secret(plan.tsig_credential)) for plan in estate.plan.dns_servers.values()]


class DnsServer:
    """One server: what its copy of the zone says, over both transports."""

    def __init__(self, estate: Estate, plan: DnsPlan, tsig_secret: str) -> None:
        self._estate = estate
        self._plan = plan
        name = dns.name.from_text(plan.tsig_name)
        self._keyring: Keyring = {name: dns.tsig.Key(name, tsig_secret, dns.tsig.HMAC_SHA256)}
        presence, refuses = partial(estate.dns_presence, plan.key), partial(uplink.refuses, estate)
        self._udp = UdpListener(plan.address, plan.port, self._answer_datagram, presence, refuses)
        self._tcp = TcpListener(plan.address, plan.port, self._converse, presence, refuses=refuses)

    async def start(self) -> None:
        """Bind both ports. Raises ``OSError`` when one is taken."""
        await self._udp.start()
        try:
            await self._tcp.start()
        except OSError:
            await self._udp.stop()
            raise

    async def stop(self) -> None:
        """Close both ports and every connection."""
        await self._tcp.stop()
        await self._udp.stop()

    def refresh(self) -> None:
        """Become what the truth says now."""
        self._tcp.refresh()

    def _answer_datagram(self, datagram: Datagram) -> bytes | None:
        return self._answer(datagram.payload, udp=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
            reply = self._answer(await reader.readexactly(length), udp=False)
            if reply is None:
                return
            writer.write(LENGTH.pack(len(reply)) + reply)
            await writer.drain()

    def _answer(self, wire: bytes, *, udp: bool) -> bytes | None:
        """Give the reply to a message; None for what deserves none (too short for a header, or itself a reply)."""
        if len(wire) < HEADER_BYTES or wire[2] & 0x80:
            return None
        try:
            query = dns.message.from_wire(wire, keyring=self._keyring)
        except (dns.message.UnknownTSIGKey, dns.tsig.BadKey, dns.tsig.BadAlgorithm):
            return _unsigned_error(wire, dns.rcode.BADKEY)
        except dns.tsig.BadSignature:
            return _unsigned_error(wire, dns.rcode.BADSIG)
        except dns.tsig.BadTime:
            return _unsigned_error(wire, dns.rcode.BADTIME)
        except dns.exception.DNSException:
            return _bare(wire, dns.rcode.FORMERR)
        response = dns.message.make_response(query, fudge=FUDGE_S)
        if isinstance(query, dns.update.UpdateMessage):
            response.set_rcode(self._update(query))
        elif query.opcode() == dns.opcode.QUERY:
            self._resolve(query, response)
        else:
            response.set_rcode(dns.rcode.NOTIMP)
        limit = max(query.payload, PLAIN_UDP_BYTES) if udp else MAX_TCP_BYTES
        return response.to_wire(max_size=limit)

    # -- queries ------------------------------------------------------------------------------------------------------

    def _resolve(self, query: dns.message.Message, response: dns.message.Message) -> None:
        zone = self._estate.zone(self._plan.key)
        origin = dns.name.from_text(zone.origin)
        if len(query.question) != 1:
            response.set_rcode(dns.rcode.FORMERR)
            return
        question = query.question[0]
        transfer = question.rdtype in (dns.rdatatype.AXFR, dns.rdatatype.IXFR)
        if transfer or not question.name.is_subdomain(origin) or question.rdclass != dns.rdataclass.IN:
            response.set_rcode(dns.rcode.REFUSED)
            return
        response.flags |= dns.flags.AA
        found = self._records(question.name)
        response.answer = [one for one in found if question.rdtype in (one.rdtype, dns.rdatatype.ANY)]
        if not response.answer:
            response.authority = [self._soa(NEGATIVE_TTL_S)]
            if not found:
                response.set_rcode(dns.rcode.NXDOMAIN)

    def _records(self, name: dns.name.Name) -> list[dns.rrset.RRset]:
        """Give every record of ``name``: the apex, the servers' own names, and what the zone holds."""
        zone = self._estate.zone(self._plan.key)
        plain = name.to_text(omit_final_dot=True).lower()
        if plain == zone.origin:
            names = [f"{key}.{zone.origin}." for key in self._estate.plan.dns_servers]
            return [self._soa(APEX_TTL_S), dns.rrset.from_text_list(name, APEX_TTL_S, "IN", "NS", names)]
        own = self._estate.plan.dns_servers.get(plain.removesuffix("." + zone.origin))
        if own is not None:
            return [dns.rrset.from_text(name, APEX_TTL_S, "IN", "A", own.address)]
        record = zone.address(plain)
        return [dns.rrset.from_text(name, record.ttl_s, "IN", "A", record.address)] if record else []

    def _soa(self, ttl_s: int) -> dns.rrset.RRset:
        zone = self._estate.zone(self._plan.key)
        names = f"{self._plan.key}.{zone.origin}. hostmaster.{zone.origin}."
        return dns.rrset.from_text(f"{zone.origin}.", ttl_s, "IN", "SOA", f"{names} {zone.serial} {TIMERS}")

    # -- updates ------------------------------------------------------------------------------------------------------

    def _update(self, message: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        if not message.had_tsig:
            return dns.rcode.REFUSED
        zone = self._estate.zone(self._plan.key)
        before = {dns.name.from_text(one.name): Address(one.address, one.ttl_s) for one in tuple(zone.records.values())}
        try:
            after = apply_update(message, dns.name.from_text(zone.origin), before)
        except Declined as declined:
            return declined.rcode
        orders = self._estate.orders
        for name in before.keys() - after.keys():
            orders.remove_record(self._plan.key, name.to_text())
        touched = {rrset.name for rrset in message.update}  # repetitions too: the ledger of effects wants to know
        for name in sorted(touched & after.keys()):
            orders.put_record(self._plan.key, name.to_text(), after[name].address, after[name].ttl_s)
        return dns.rcode.NOERROR


def _bare(wire: bytes, rcode: dns.rcode.Rcode) -> bytes:
    """Answer with the header alone."""
    flags = struct.unpack_from("!H", wire, 2)[0] & 0x7900 | dns.flags.QR | rcode  # keep opcode and RD
    return wire[:2] + struct.pack("!HHHHH", flags, 0, 0, 0, 0)


def _unsigned_error(wire: bytes, error: dns.rcode.Rcode) -> bytes:
    """Answer NOTAUTH with a TSIG that has no MAC but the error (RFC 8945 5.2), in the name of the request's key."""
    request = dns.message.from_wire(wire, keyring=False)
    if request.tsig is None or request.keyname is None:
        return _bare(wire, dns.rcode.FORMERR)
    now = int(time.time())
    other = now.to_bytes(6, "big") if error == dns.rcode.BADTIME else b""
    theirs = request.tsig[0]
    rdata: bytes = theirs.replace(mac=b"", original_id=request.id, error=error, other=other).to_digestable()
    name = request.keyname.to_digestable()
    record = name + struct.pack("!HHIH", dns.rdatatype.TSIG, dns.rdataclass.ANY, 0, len(rdata))
    header = bytearray(_bare(wire, dns.rcode.NOTAUTH))
    header[HEADER_BYTES - 1] = 1  # one additional record
    return bytes(header) + record + rdata
