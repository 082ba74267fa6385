"""The DNS client against BIND 9: signed updates, refusals, truncation, restart."""

from __future__ import annotations

import base64
import contextlib
import time

import pytest
from bind9_kit import NAMED, Bind
from real_kit import free_port, need

from monitor.clients.dns import DnsReply, query_a, question, replace_a, soa_serial
from monitor.clock import RealClock
from monitor.credential import Credentials, Secret
from monitor.errors import CredentialError, DeadlineExceeded, NotFound, Refused, Unreachable
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Target
from monitor.probes.dns import DnsProbe, ZonesParams

pytestmark = [pytest.mark.anyio, pytest.mark.real]
HOST = "127.0.0.1"  # BIND listens on addresses that an interface has, not on all of 127/8
ZONE = "customs.example"
NCTS = "ncts.customs.example"
KEY = Secret(base64.b64encode(b"0123456789abcdef0123456789abcdef").decode())
WRONG = Secret(base64.b64encode(b"another key of thirty-two bytes!").decode())

RECORDS = """$TTL 60
@ IN SOA ns.customs.example. hostmaster.customs.example. 100 3600 600 86400 30
@ IN NS ns
ns IN A 127.0.0.53
ncts IN A 127.80.1.12
alias IN CNAME ncts
text IN TXT "no address"
"""


@pytest.fixture(scope="module")
def bind(tmp_path_factory):
    binary = need("named", "bind9")
    folder = tmp_path_factory.mktemp("bind9")
    port = free_port(HOST)
    (folder / "named.conf").write_text(NAMED.format(folder=folder, port=port, host=HOST, key=KEY.reveal()))
    many = "".join(f"many IN A 127.0.1.{number}\n" for number in range(1, 91))
    (folder / "zone").write_text(RECORDS + many)
    server = Bind(binary, folder, port)
    server.start()
    yield server
    server.stop()


async def replace(bind, ip, *, fqdn=NCTS, zone=ZONE, name="karaula", secret=KEY):
    await replace_a(HOST, bind.port, zone, fqdn, ip, 30, name, secret, 10)


async def test_an_update_replaces_the_address_and_raises_the_serial(bind):
    before = await soa_serial(HOST, bind.port, ZONE, 10)
    await replace(bind, "127.80.2.12")
    assert await query_a(HOST, bind.port, NCTS, 10) == (("127.80.2.12",), 30)
    after = await soa_serial(HOST, bind.port, ZONE, 10)
    assert after > before
    await replace(bind, "127.80.2.12")
    assert await query_a(HOST, bind.port, NCTS, 10) == (("127.80.2.12",), 30)
    assert await soa_serial(HOST, bind.port, ZONE, 10) == after  # the same again changes nothing


async def test_reading(bind):
    addresses, ttl = await query_a(HOST, bind.port, "alias.customs.example", 10)
    assert len(addresses) == 1
    assert ttl > 0
    addresses, _ = await query_a(HOST, bind.port, "many.customs.example", 10)
    assert len(addresses) == 90  # does not fit into UDP: asked again by TCP
    for name in ("nobody.customs.example", "text.customs.example"):
        with pytest.raises(NotFound):
            await query_a(HOST, bind.port, name, 10)
    with pytest.raises(Refused, match="REFUSED"):
        await query_a(HOST, bind.port, "www.somewhere-else.example", 10)
    with pytest.raises(Refused):
        await soa_serial(HOST, bind.port, "somewhere-else.example", 10)


async def test_what_the_server_refuses(bind):
    before = await query_a(HOST, bind.port, NCTS, 10)
    with pytest.raises(Refused, match="TSIG"):
        await replace(bind, "127.80.9.9", secret=WRONG)
    with pytest.raises(Refused, match="TSIG"):
        await replace(bind, "127.80.9.9", name="stranger")
    with pytest.raises(Refused):
        await replace(bind, "127.80.9.9", fqdn="www.other.example", zone="other.example")
    with pytest.raises(Refused, match="cannot be asked"):
        await replace(bind, "not an address")
    with pytest.raises(CredentialError, match="base64"):
        await replace(bind, "127.80.9.9", secret=Secret("?"))
    assert await query_a(HOST, bind.port, NCTS, 10) == before


async def test_an_update_survives_the_servers_death(bind):
    await replace(bind, "127.80.1.77")
    bind.stop()
    with pytest.raises(Unreachable):
        await replace(bind, "127.80.1.78")
    with pytest.raises(DeadlineExceeded):
        await query_a(HOST, bind.port, NCTS, 0.3)
    bind.start()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(Unreachable):
            assert (await query_a(HOST, bind.port, NCTS, 10))[0] == ("127.80.1.77",)
            return
    pytest.fail("named did not answer again")


async def test_any_record_of_a_name_and_any_response_code_is_an_answer(bind) -> None:
    async def said(name: str, record: str) -> DnsReply:
        return await question(HOST, bind.port, name, record, 5)

    assert (await said(ZONE, "NS")) == DnsReply("NOERROR", ("ns.customs.example",), authoritative=True)
    assert (await said("text.customs.example", "TXT")).records == ("no address",)
    assert (await said("alias.customs.example", "CNAME")).records == ("ncts.customs.example",)
    assert len((await said("alias.customs.example", "A")).records) == 1  # by way of the alias
    assert await said("text.customs.example", "A") == DnsReply("NOERROR", (), authoritative=True)
    assert await said("nobody.customs.example", "A") == DnsReply("NXDOMAIN", (), authoritative=True)
    assert await said("www.elsewhere.example", "A") == DnsReply("REFUSED", ())
    with pytest.raises(Refused, match="cannot be asked"):
        await said("a" * 64 + ".customs.example", "A")


async def test_whether_a_server_takes_the_key_of_updates_is_known_without_one(bind, tmp_path) -> None:
    """A question for the SOA is signed as an update would be; the zone is served whatever becomes of that."""
    (tmp_path / "right").write_text(KEY.reveal())
    (tmp_path / "wrong").write_text(WRONG.reveal())
    (tmp_path / "broken").write_text("?")
    probe = DnsProbe(Credentials(tmp_path), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())

    async def told(name: str, credential: str) -> dict[str, str]:
        params = ZonesParams(HOST, bind.port, (ZONE,), name, credential)
        (seen,) = [seen async for seen in probe.observe([Target("dns/dns-main", "dns", params, 10, 10)])]
        assert seen.answer is Answer.OK
        assert seen.facts["serials"].startswith(f"{ZONE} ")
        return {fact: words for fact, words in seen.facts.items() if fact != "serials"}

    assert await told("karaula", "right") == {"key": "accepted"}
    for name, credential in (("karaula", "wrong"), ("stranger", "right")):
        (refused,) = (await told(name, credential)).items()
        assert refused[0] == "key_refused"
        assert "do not agree on the TSIG key or the time" in refused[1]
    assert "is not base64" in (await told("karaula", "broken"))["key_refused"]
    assert "missing" in (await told("karaula", "missing"))["key_refused"]


async def test_a_server_is_well_that_serves_its_zones_on_its_own_authority_by_udp_and_tcp(bind, tmp_path) -> None:
    probe = DnsProbe(Credentials(tmp_path), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())

    async def told(*zones, port=bind.port, deadline_s=10):
        target = Target("dns/dns-main", "dns", ZonesParams(HOST, port, zones), 10, deadline_s)
        (seen,) = [seen async for seen in probe.observe([target])]
        return seen

    serial = await soa_serial(HOST, bind.port, ZONE, 10)
    well = await told(ZONE)
    assert (well.answer, well.facts) == (Answer.OK, {"serials": f"{ZONE} {serial}"})
    ill = await told("other.example", "lost.example", ZONE)
    assert ill.answer is Answer.FAILED
    assert ill.reason == (
        "asked for other.example by UDP, it refuses to answer: it does not serve the zone, or not to this machine; "
        "asked for lost.example by UDP, it cannot answer: the zone is not loaded, or has expired there"
    )
    assert ill.facts == {"serials": f"{ZONE} {serial}"}
    deaf = await told(ZONE, port=free_port(), deadline_s=0.5)
    assert deaf.answer is Answer.FAILED
    assert deaf.reason.endswith("did not answer in time (asked for customs.example by UDP)")
