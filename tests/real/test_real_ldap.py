"""Directories: Debian's slapd over ldaps and StartTLS, and one that a test writes byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from real_kit import free_port
from slapd_kit import ADDRESS, ADMIN, PASSWORD, SUFFIX, Slapd
from tls_kit import ThrowawayCa

from monitor.clients.ldap import Directory, Search, context, count
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.errors import TargetError
from monitor.inventory.estate import Trust
from monitor.ldapfilter import encoded, tlv
from monitor.probe import Answer, Observation, Target
from monitor.probes.ldap import LdapParams, LdapProbe

pytestmark = [pytest.mark.real, pytest.mark.anyio]

LONG_S = 60.0
PEOPLE = f"ou=people,{SUFFIX}"


class Office:
    """A directory, and a probe that trusts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = ThrowawayCa(folder)
        ThrowawayCa(folder / "other")
        (folder / "stranger.pem").write_bytes((folder / "other" / "ca.pem").read_bytes())
        for name, text in (("admin", PASSWORD), ("wrong", "no"), ("empty", ""), ("person", "person")):
            (folder / name).write_text(text + "\n")
        self.slapd = Slapd(self.ca)
        self.probe = self.new_probe()

    def new_probe(self, ca: str = "ca.pem") -> LdapProbe:
        return LdapProbe(Credentials(self.folder), Trust(tls_ca=ca, known_hosts="known_hosts"), RealClock())

    def ldaps(self) -> Directory:
        return Directory(ADDRESS, self.slapd.tls_port)

    def start_tls(self) -> Directory:
        return Directory(ADDRESS, self.slapd.port, "starttls")

    def params(self, text: str = "(uid=ana)", **changes: object) -> LdapParams:
        search = Search(SUFFIX, "sub", text, 1)
        return replace(LdapParams(self.ldaps(), search, ADMIN, "admin"), **changes)

    async def ask(self, params: LdapParams, deadline_s: float = LONG_S, probe: LdapProbe | None = None) -> Observation:
        target = Target("check/x", "ldap", params, 10, deadline_s)
        (seen,) = [one async for one in (probe or self.probe).observe([target])]
        return seen


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    made = Office(tmp_path_factory.mktemp("ldap"))
    try:
        made.slapd.start()
        yield made
    finally:
        made.slapd.remove()


async def test_an_entry_is_found_by_both_kinds_of_tls(office: Office) -> None:
    for directory in (office.ldaps(), office.start_tls(), replace(office.ldaps(), server_name="ldap.customs.example")):
        seen = await office.ask(office.params(directory=directory))
        assert (seen.answer, seen.values["entries"]) == (Answer.OK, 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(objectClass=*)", 5), ("(uid=ana)", 1), ("(UID=ANA)", 1), ("(uid=*)", 3), ("(!(uid=*))", 2), ("(uid=a*)", 1),
        ("(uid=*n*)", 2), ("(uid=*s)", 1), ("(uid=b*r*s)", 1), ("(&(uid=*)(cn=Ana))", 1),
        ("(|(uid=ana)(uid=boris))", 2),
        (r"(cn=Boris \28night\29)", 1), (r"(cn=Vesna\2a)", 1), (r"(cn=\56esna\2a)", 1), ("(uid=nobody)", 0),
        ("(&(objectClass=inetOrgPerson)(!(|(uid=ana)(uid=boris))))", 1), ("(&)", 5), ("(|)", 0), ("(uid~=ana)", 1),
        ("(2.5.4.4=Ana)", 1), ("(cn;lang-de=Ana)", 0),
    ],
)  # fmt: skip
async def test_filters_mean_the_same_to_us_and_to_slapd(office: Office, text: str, found: int) -> None:
    search = Search(SUFFIX, "sub", text, 100)
    seen = await office.ask(office.params(search=search))
    assert seen.values["entries"] == found
    told = f"the search found {found} of the 100 entries that must be there"
    assert (seen.answer, seen.reason) == (Answer.FAILED, told)


async def test_scopes_and_enough(office: Office) -> None:
    for scope, found in (("base", 0), ("one", 3), ("sub", 3)):
        seen = await office.ask(office.params(search=Search(PEOPLE, scope, "(uid=*)", 50)))
        assert seen.values["entries"] == found
    seen = await office.ask(office.params(search=Search(PEOPLE, "sub", "(uid=*)", 2)))
    assert (seen.answer, seen.values["entries"]) == (Answer.OK, 2)  # slapd says that there were more: enough


async def test_refusals(office: Office) -> None:
    where = f"{ADDRESS}:{office.slapd.tls_port}: "
    wrong = await office.ask(office.params(credential="wrong"))
    assert (wrong.answer, wrong.reason) == (Answer.FAILED, where + "log-in refused: wrong name or password")
    empty = await office.ask(office.params(credential="empty"))
    assert (empty.answer, "would log in as nobody" in empty.reason) == (Answer.UNKNOWN, True)
    assert (await office.ask(office.params(credential="missing"))).answer is Answer.UNKNOWN
    nobody = await office.ask(office.params(bind_dn=None, credential=None))
    assert nobody.reason == where + "the search is refused: insufficient access rights"
    root = await office.ask(office.params(bind_dn=None, credential=None, search=Search("", "base")))
    assert root.answer is Answer.OK
    person = await office.ask(office.params(bind_dn=f"uid=ana,{PEOPLE}", credential="person"))
    assert person.answer is Answer.OK
    gone = await office.ask(office.params(search=Search(f"ou=ships,{SUFFIX}")))
    assert gone.reason == where + f"there is no entry 'ou=ships,{SUFFIX}'"
    bad_dn = await office.ask(office.params(search=Search("not a dn")))
    assert bad_dn.reason == where + "the search is refused: invalid DN (invalid DN)"


async def test_strangers_get_no_password(office: Office) -> None:
    stranger = office.new_probe("stranger.pem")
    for directory in (office.ldaps(), office.start_tls()):
        seen = await office.ask(office.params(directory=directory), probe=stranger)
        assert (seen.answer, seen.facts) == (Answer.FAILED, {"error": "untrusted"})
        other = await office.ask(office.params(directory=replace(directory, server_name="other.example")))
        assert other.facts == {"error": "untrusted"}
    plain = await office.ask(office.params(directory=Directory(ADDRESS, office.slapd.port)))  # no TLS there
    assert plain.answer is Answer.FAILED


async def test_hung_gone_and_back(office: Office) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - as plain as it gets
    office.slapd.signal(signal.SIGSTOP)
    hung = [await office.ask(office.params(directory=one), 0.5) for one in (office.ldaps(), office.start_tls())]
    office.slapd.signal(signal.SIGCONT)
    office.slapd.stop()
    gone = await office.ask(office.params())
    office.slapd.start()
    back = await office.ask(office.params())
    assert {one.answer for one in (*hung, gone)} == {Answer.FAILED}
    assert all(one.reason.endswith("within 0.5 s") for one in hung), hung
    assert gone.reason.endswith("Connection refused")
    assert back.answer is Answer.OK
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208 - likewise


# -- a directory that a test writes ---------------------------------------------------------------------------------

DONE = b"\x0a\x01\x00\x04\x00\x04\x00"


def message(number: int, answer: bytes) -> bytes:
    return tlv(0x30, tlv(2, number.to_bytes(2)) + answer)


Script = Callable[[int], bytes]


@asynccontextmanager
async def serving(certificate: tuple[Path, Path] | None, script: Script) -> AsyncIterator[int]:
    """Answer the n-th thing that comes with ``script(n)``."""
    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        step = 0
        try:
            while await reader.read(65536):
                step += 1
                writer.write(script(step))
                await writer.drain()
        except OSError:
            pass  # the client has heard enough
        finally:
            writer.transport.abort()

    talks: list[asyncio.Task[None]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.ensure_future(talk(reader, writer)))

    server = await asyncio.start_server(accept, "127.94.0.90", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in talks:
            each.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", "answered what is not LDAP"),
        (lambda _: b"\x30\x80" + bytes(50), "answered what is not LDAP"),
        (lambda _: b"\x30\x84\x7f\xff\xff\xff", "answered what is not LDAP"),
        (lambda _: message(1, tlv(0x65, DONE)), "an answer of another kind"),
        (lambda _: message(9, tlv(0x61, DONE)), "an answer to no question of ours"),
        (lambda _: message(0, tlv(0x78, DONE)), "the server ends the session"),
        (lambda _: message(1, tlv(0x61, b"\x0a\x01\x34\x04\x00\x04\x03a\nb")), "log-in refused: unavailable (a b)"),
        (lambda step: message(step, tlv(0x61 if step == 1 else 0x64, DONE)), "no answer within {:g} s"),
        (lambda step: message(step, tlv(0x61, DONE)), "an answer of another kind in a search"),
    ],
)
async def test_what_no_directory_says(office: Office, script: Script, reason: str) -> None:
    certificate = office.ca.server("127.94.0.90")
    async with serving(certificate, script) as port:
        for deadline_s in (0.5, 5.0, 50.0) if "{" in reason else (LONG_S,):
            seen = await office.ask(office.params(directory=Directory("127.94.0.90", port)), deadline_s)
            if "no connection within" not in seen.reason:  # a busy machine takes its time over that too
                break
    assert (seen.answer, seen.reason.partition(f"{port}: ")[2]) == (Answer.FAILED, reason.format(deadline_s))


async def test_nothing_is_believed_that_came_before_tls(office: Office) -> None:
    """As in CVE-2021-38084 and its kin: what stands behind the answer to StartTLS was not said over TLS."""
    granted = message(1, tlv(0x78, DONE))
    async with serving(None, lambda _: granted + message(2, tlv(0x61, DONE))) as port:
        directory = Directory("127.94.0.90", port, "starttls")
        seen = await office.ask(office.params(directory=directory))
    assert seen.reason.endswith("something was said between StartTLS and TLS")


async def test_a_server_without_starttls_gets_no_password(office: Office) -> None:
    said: list[int] = []
    refusal = message(1, tlv(0x78, b"\x0a\x01\x02\x04\x00\x04\x00"))
    async with serving(None, lambda step: said.append(step) or refusal) as port:
        seen = await office.ask(office.params(directory=Directory("127.94.0.90", port, "starttls")))
    assert seen.reason.endswith("StartTLS is refused: protocol error")
    assert said == [1]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(st.binary(max_size=40) | st.binary(max_size=12).map(lambda one: message(1, tlv(0x61, one)))))
async def test_whatever_comes_ends_in_a_count_or_a_complaint(office: Office, answers: list[bytes]) -> None:
    tls = context(office.ca.bundle)
    async with serving(None, lambda step: answers[step - 1] if step <= len(answers) else b"") as port:
        directory = Directory("127.94.0.90", port, "starttls")
        with contextlib.suppress(TargetError):
            await count(directory, tls, None, Search("x"), 0.03)


async def test_nobody_listens(office: Office) -> None:
    seen = await office.ask(office.params(directory=Directory(ADDRESS, free_port(ADDRESS))))
    assert seen.reason.endswith("Connection refused")


# -- filters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("uid=ana", "a filter begins with '(', as in (uid=karaula), at character 1"),
        ("(uid=ana", "a filter ends with ')'"),
        ("(uid=ana))", "something follows the filter at character 10"),
        ("(&(uid=ana)", "a filter ends with ')'"),
        ("(!)", "a filter begins with '(', as in (uid=karaula), at character 3"),
        ("(uid)", "'uid' is not attribute, comparison and value, as in uid=karaula"),
        ("(=x)", "'=x' is not attribute, comparison and value, as in uid=karaula"),
        ("(uid:=x)", "'uid:=x' is not attribute, comparison and value, as in uid=karaula"),
        (r"(uid=a\zz)", "a '\\' in a value is followed by two hexadecimal digits; itself it is written \\5c"),
        ("(uid=(x)", "a '(' in a value is written \\28"),
        ("(uid>=a*)", "a '*' in a value is written \\2a here"),
        ("(uid=**)", "write (attribute=*) for any value"),
        ("(!" * 30 + "(a=b)" + ")" * 30, "a filter is at most 20 deep"),
        ("(a=" + "x" * 3000 + ")", "a filter has at most 2000 characters"),
    ],
)
def test_what_is_no_filter(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told) + "$"):
        encoded(text)


@given(st.text(alphabet="(&|!)uid=*~<>\\2a ", max_size=60))
def test_any_text_is_a_filter_or_is_not(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert encoded(text)[0] in range(0xA0, 0xA9) or encoded(text)[0] == 0x87
