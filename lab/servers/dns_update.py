"""Dynamic updates (RFC 2136) for a zone that keeps one address a name: what an update asks for, and whether it may be.

The order is the standard's: prerequisites (3.2), then the update section looked through (3.4.1), and only then applied
(3.4.2), all of it or nothing. Records other than A, and a second address for a name, are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.update


class Declined(Exception):
    """The update must not be done; carries the response code."""

    def __init__(self, rcode: dns.rcode.Rcode) -> None:
        self.rcode = rcode
        super().__init__(dns.rcode.to_text(rcode))


@dataclass(frozen=True, slots=True)
class Address:
    """An A record's data and its time to live in seconds."""

    address: str
    ttl_s: int


Addresses = Mapping[dns.name.Name, Address]


def apply_update(message: dns.update.UpdateMessage, origin: dns.name.Name, before: Addresses) -> Addresses:
    """Give the zone's addresses after ``message``. Raises ``Declined`` with the response code."""
    if len(message.zone) != 1 or message.zone[0].rdtype != dns.rdatatype.SOA:
        raise Declined(dns.rcode.FORMERR)
    if message.zone[0].name != origin:
        raise Declined(dns.rcode.NOTAUTH)
    for rrset in (*message.prerequisite, *message.update):
        if not rrset.name.is_subdomain(origin):
            raise Declined(dns.rcode.NOTZONE)
    _check_prerequisites(message.prerequisite, origin, before)
    for rrset in message.update:
        _check_form(rrset)
    wanted = {name: {known} for name, known in before.items()}
    for rrset in message.update:
        _apply(rrset, wanted)
    if any(len(addresses) > 1 for addresses in wanted.values()):
        raise Declined(dns.rcode.REFUSED)
    return {name: next(iter(addresses)) for name, addresses in wanted.items() if addresses}


def _check_prerequisites(prerequisites: Iterable[dns.rrset.RRset], origin: dns.name.Name, before: Addresses) -> None:
    """Check RFC 2136 3.2; the origin has its SOA and NS besides."""
    exact: dict[dns.name.Name, set[str]] = {}
    for rrset in prerequisites:
        name_in_use = rrset.name in before or rrset.name == origin
        if rrset.rdtype == dns.rdatatype.ANY:
            if rrset.deleting == dns.rdataclass.ANY and not name_in_use:
                raise Declined(dns.rcode.NXDOMAIN)
            if rrset.deleting == dns.rdataclass.NONE and name_in_use:
                raise Declined(dns.rcode.YXDOMAIN)
            continue
        at_origin = rrset.name == origin and rrset.rdtype in (dns.rdatatype.SOA, dns.rdatatype.NS)
        rrset_exists = at_origin or (rrset.rdtype == dns.rdatatype.A and rrset.name in before)
        if rrset.deleting == dns.rdataclass.NONE and rrset_exists:
            raise Declined(dns.rcode.YXRRSET)
        if rrset.deleting != dns.rdataclass.NONE and not rrset_exists:
            raise Declined(dns.rcode.NXRRSET)
        if rrset.deleting is None and rrset.rdtype == dns.rdatatype.A:
            exact.setdefault(rrset.name, set()).update(rdata.to_text() for rdata in rrset)
    for name, addresses in exact.items():
        if {before[name].address} != addresses:
            raise Declined(dns.rcode.NXRRSET)


def _check_form(rrset: dns.rrset.RRset) -> None:
    """Check RFC 2136 3.4.1, and that nothing but addresses is added or named."""
    if rrset.deleting is not None and rrset.ttl != 0:
        raise Declined(dns.rcode.FORMERR)
    if rrset.deleting != dns.rdataclass.ANY and rrset.rdtype == dns.rdatatype.ANY:
        raise Declined(dns.rcode.FORMERR)
    if rrset.deleting is None and rrset.rdtype != dns.rdatatype.A:
        raise Declined(dns.rcode.REFUSED)


def _apply(rrset: dns.rrset.RRset, wanted: dict[dns.name.Name, set[Address]]) -> None:
    """Do one line of RFC 2136 3.4.2. The origin's SOA and NS are not touched by deletions (3.4.2.3, 3.4.2.4)."""
    if rrset.rdtype not in (dns.rdatatype.A, dns.rdatatype.ANY):
        return
    known = wanted.setdefault(rrset.name, set())
    if rrset.deleting == dns.rdataclass.ANY:
        known.clear()
        return
    named = {rdata.to_text() for rdata in rrset}
    known -= {one for one in known if one.address in named}
    if rrset.deleting is None:
        known |= {Address(address, rrset.ttl) for address in named}
