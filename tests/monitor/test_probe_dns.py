"""What is expected of a DNS server, against what it may say; the server itself is real in ``test_real_bind9``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.clients.dns import DnsReply, normal
from monitor.probes.dns import LAME, DnsParams, _amiss, _served

A = DnsParams("127.0.0.1", 53, "ncts.customs.example")


@pytest.mark.parametrize(
    ("reply", "params", "reason"),
    [
        (DnsReply("NOERROR", ("127.80.1.12",)), A, ""),
        (DnsReply("NOERROR", ()), A, "has no A of ncts.customs.example"),
        (DnsReply("NXDOMAIN", ()), A, "answered NXDOMAIN instead of NOERROR for A of ncts.customs.example"),
        (DnsReply("SERVFAIL", ()), A, "answered SERVFAIL instead of NOERROR for A of ncts.customs.example"),
        (DnsReply("NXDOMAIN", ()), DnsParams("s", 53, "gone.example", rcode="NXDOMAIN"), ""),
        (
            DnsReply("NOERROR", ("1.1.1.1",)),
            DnsParams("s", 53, "gone.example", rcode="NXDOMAIN"),
            "answered NOERROR instead of NXDOMAIN for A of gone.example",
        ),
        (DnsReply("NOERROR", ("a", "b")), DnsParams("s", 53, "n", expect=("B.", "a")), ""),
        (
            DnsReply("NOERROR", ("a", "c")),
            DnsParams("s", 53, "n", expect=("a", "b")),
            "A of n: c was not expected, b is missing",
        ),
    ],
)
def test_what_is_amiss(reply: DnsReply, params: DnsParams, reason: str) -> None:
    assert _amiss(reply, params) == reason


@given(st.lists(st.sampled_from(["a.example", "B.example.", '"text"', "10 mail.example."]), unique=True, min_size=1))
def test_order_case_quotes_and_the_last_dot_do_not_matter(records: list[str]) -> None:
    reply = DnsReply("NOERROR", tuple(sorted({normal(each) for each in records})))
    assert _amiss(reply, DnsParams("s", 53, "n", expect=tuple(reversed([each.upper() for each in records])))) == ""


SOA = "ns.customs.example. hostmaster.customs.example. 100 3600 600 86400 30"


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (DnsReply("NOERROR", (SOA,), authoritative=True), ("", "100")),
        (DnsReply("NOERROR", (SOA,)), (LAME, "")),  # out of a cache
        (DnsReply("NOERROR", ()), (LAME, "")),  # a referral to somebody else
        (DnsReply("NOERROR", (), authoritative=True), (LAME, "")),  # a name within another zone of its own
        (DnsReply("REFUSED", ()), ("refuses to answer: it does not serve the zone, or not to this machine", "")),
        (DnsReply("SERVFAIL", ()), ("cannot answer: the zone is not loaded, or has expired there", "")),
        (DnsReply("FORMERR", ()), ("answers FORMERR", "")),
    ],
)
def test_who_serves_a_zone(reply: DnsReply, found: tuple[str, str]) -> None:
    assert _served(reply) == found
