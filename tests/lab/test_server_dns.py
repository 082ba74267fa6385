"""The lab's DNS servers, asked and updated by dnspython and by BIND's tools."""

from __future__ import annotations

import asyncio
import base64
import subprocess

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.tsigkeyring
import dns.update
import pytest
from real_kit import need
from server_kit import NETWORK, running

from lab.servers import dns as dns_server

ADDRESS, PORT = f"{NETWORK}.1.53", 5353
OTHER = f"{NETWORK}.2.53"
NAME = "ncts.customs.example."
pytestmark = pytest.mark.anyio


def signed(lab, name: str = "karaula", secret: str = "") -> dns.update.UpdateMessage:
    ring = dns.tsigkeyring.from_text({name: secret or lab.identity.secret("tsig-karaula")})
    return dns.update.UpdateMessage("customs.example", keyring=ring, keyalgorithm=dns.tsig.HMAC_SHA256)


async def ask(name: str, kind: str = "A", *, address: str = ADDRESS, tcp: bool = False) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    over = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await over(query, address, port=PORT, timeout=60)


async def send(update: dns.update.UpdateMessage, *, tcp: bool = False) -> str:
    over = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return dns.rcode.to_text((await over(update, ADDRESS, port=PORT, timeout=60)).rcode())


def first(answer: dns.message.Message) -> str:
    return answer.answer[0][0].to_text()


async def serial() -> int:
    return (await ask("customs.example.", "SOA")).answer[0][0].serial


async def test_names_are_answered_over_both_transports(tmp_path):
    async with running(tmp_path, dns_server.servers):
        for tcp in (False, True):
            answer = await ask(NAME, tcp=tcp)
            assert answer.flags & dns.flags.AA
            assert first(answer) == f"{NETWORK}.1.12"
            assert answer.answer[0].ttl == 30
        assert first(await ask("NCTS.Customs.Example.")) == f"{NETWORK}.1.12"
        assert {one.to_text() for one in (await ask("customs.example.", "NS")).answer[0]} == {
            "dns-main.customs.example.",
            "dns-dr.customs.example.",
        }
        assert first(await ask("dns-dr.customs.example.")) == OTHER
        nothing = await ask("nowhere.customs.example.")
        assert nothing.rcode() == dns.rcode.NXDOMAIN
        assert nothing.authority[0].rdtype == dns.rdatatype.SOA
        no_data = await ask(NAME, "AAAA")
        assert (no_data.rcode(), no_data.answer) == (dns.rcode.NOERROR, [])
        assert (await ask("example.org.")).rcode() == dns.rcode.REFUSED
        status = dns.message.make_query(NAME, "A")
        status.set_opcode(dns.opcode.STATUS)
        assert (await dns.asyncquery.udp(status, ADDRESS, port=PORT, timeout=60)).rcode() == dns.rcode.NOTIMP


async def test_a_signed_update_changes_the_address_and_the_serial_once(tmp_path):
    async with running(tmp_path, dns_server.servers) as lab:
        before = await serial()
        for tcp, changed in ((False, True), (True, False)):
            update = signed(lab)
            update.replace(NAME, 60, "A", f"{NETWORK}.2.12")
            assert await send(update, tcp=tcp) == "NOERROR"
            assert lab.estate.effects.all("ncts")[-1].changed is changed
        assert await serial() == before + 1
        assert first(await ask(NAME)) == f"{NETWORK}.2.12"
        assert first(await ask(NAME, address=OTHER)) == f"{NETWORK}.1.12"  # the other server was not told
        update = signed(lab)
        update.delete(NAME)
        assert await send(update) == "NOERROR"
        assert (await ask(NAME)).rcode() == dns.rcode.NXDOMAIN


async def test_prerequisites_are_honoured(tmp_path):
    old, new = f"{NETWORK}.1.12", f"{NETWORK}.2.12"
    async with running(tmp_path, dns_server.servers) as lab:

        async def tried(*wants: tuple[str, ...]) -> str:
            update = signed(lab)
            for word, *arguments in wants:
                getattr(update, word)(*arguments)
            update.replace(NAME, 30, "A", new)
            return await send(update)

        assert await tried(("present", NAME, "A", new)) == "NXRRSET"
        assert await tried(("present", "nowhere.customs.example.")) == "NXDOMAIN"
        assert await tried(("absent", NAME)) == "YXDOMAIN"
        assert await tried(("absent", NAME, "A")) == "YXRRSET"
        assert await tried(("present", NAME, "MX")) == "NXRRSET"
        assert first(await ask(NAME)) == old
        assert await tried(("present", NAME, "A", old), ("present", NAME), ("absent", NAME, "MX")) == "NOERROR"
        assert first(await ask(NAME)) == new


async def test_what_the_zone_does_not_keep_is_refused_and_changes_nothing(tmp_path):
    async with running(tmp_path, dns_server.servers) as lab:
        before = await serial()
        second = signed(lab)
        second.delete("cdeps.customs.example.")
        second.add(NAME, 30, "A", f"{NETWORK}.9.9")
        assert await send(second) == "REFUSED"
        text = signed(lab)
        text.add(NAME, 30, "TXT", '"words"')
        assert await send(text) == "REFUSED"
        elsewhere = signed(lab)
        elsewhere.add("www.example.org.", 30, "A", "127.0.0.1")
        assert await send(elsewhere) == "NOTZONE"
        ring = dns.tsigkeyring.from_text({"karaula": lab.identity.secret("tsig-karaula")})
        foreign = dns.update.UpdateMessage("example.org", keyring=ring, keyalgorithm=dns.tsig.HMAC_SHA256)
        foreign.add("www.example.org.", 30, "A", "127.0.0.1")
        assert await send(foreign) == "NOTAUTH"
        assert await serial() == before


async def test_an_update_without_the_right_key_is_turned_away(tmp_path):
    async with running(tmp_path, dns_server.servers) as lab:
        unsigned = dns.update.UpdateMessage("customs.example")
        unsigned.replace(NAME, 30, "A", f"{NETWORK}.2.12")
        assert await send(unsigned) == "REFUSED"
        wrong = signed(lab, secret=base64.b64encode(b"x" * 32).decode())
        with pytest.raises(dns.tsig.PeerBadSignature):
            await send(wrong)
        with pytest.raises(dns.tsig.PeerBadKey):
            await send(signed(lab, name="stranger"))
        assert first(await ask(NAME)) == f"{NETWORK}.1.12"


async def test_dead_is_silence_and_refusal_and_the_returned_server_has_the_newer_zone(tmp_path):
    async with running(tmp_path, dns_server.servers) as lab:
        lab.fault("cut-site", "dr")
        with pytest.raises(dns.exception.Timeout):
            await dns.asyncquery.udp(dns.message.make_query(NAME, "A"), OTHER, port=PORT, timeout=0.2)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(OTHER, PORT)
        update = signed(lab)
        update.replace(NAME, 30, "A", f"{NETWORK}.9.9")
        assert await send(update) == "NOERROR"
        lab.heal("cut-site", "dr")
        assert first(await ask(NAME, address=OTHER, tcp=True)) == f"{NETWORK}.9.9"
        lab.fault("hang-dns", "dns-dr")
        query = dns.message.make_query(NAME, "A")
        with pytest.raises(dns.exception.Timeout):
            await dns.asyncquery.tcp(query, OTHER, port=PORT, timeout=0.2)


@pytest.mark.real
async def test_bind_tools_read_and_update_it(tmp_path):
    async with running(tmp_path, dns_server.servers) as lab:

        async def call(*words: object, text: str = "") -> subprocess.CompletedProcess[str]:
            return await asyncio.to_thread(
                subprocess.run, [str(word) for word in words], input=text, capture_output=True, text=True, check=False
            )

        async def update(secret: str, script: str) -> subprocess.CompletedProcess[str]:
            key = f"hmac-sha256:karaula:{secret}"
            return await call(need("nsupdate", "bind9-dnsutils"), "-y", key, text=f"server {ADDRESS} {PORT}\n{script}")

        script = f"update delete {NAME} A\nupdate add {NAME} 45 A {NETWORK}.2.12\nsend\n"
        bad = await update(base64.b64encode(b"y" * 32).decode(), script)
        assert bad.returncode != 0
        assert "BADSIG" in bad.stderr
        good = await update(lab.identity.secret("tsig-karaula"), script)
        assert (good.returncode, good.stderr) == (0, "")
        dig = await call(need("dig", "bind9-dnsutils"), f"@{ADDRESS}", "-p", PORT, NAME, "A", "+noall", "+answer")
        assert dig.stdout.split() == [NAME, "45", "IN", "A", f"{NETWORK}.2.12"]


async def test_what_is_no_dns_is_answered_with_formerr_or_not_at_all(tmp_path):
    async with running(tmp_path, dns_server.servers) as lab:
        server = dns_server.DnsServer(
            lab.estate, lab.estate.plan.dns_servers["dns-main"], lab.identity.secret("tsig-karaula")
        )
        assert server._answer(b"short", udp=True) is None
        reply = server._answer(b"\x12\x34\x01\x00" + b"\x00\x09" + b"\x00" * 6 + b"junk", udp=True)
        assert reply is not None
        assert dns.message.from_wire(reply).rcode() == dns.rcode.FORMERR
        assert server._answer(reply, udp=True) is None  # a reply is not a question
