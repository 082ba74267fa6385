"""Certificates as servers show them: trusted, ended, of another name, of a strange authority, and no TLS at all."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tls_kit import ThrowawayCa

from monitor.clients.tls import Certificate, _read
from monitor.clock import RealClock
from monitor.credential import Credentials
from monitor.inventory.estate import Trust
from monitor.probe import Answer, Observation, Target
from monitor.probes.tls import TlsParams, TlsProbe

pytestmark = pytest.mark.anyio
ADDRESS = "127.94.12.1"
NAME = "front.customs.example"
DAY_S = 86400


@pytest.fixture
def ca(tmp_path: Path) -> ThrowawayCa:
    return ThrowawayCa(tmp_path)


@asynccontextmanager
async def serving(files: tuple[Path, Path] | None, behave=None):
    tls = None
    if files is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*files)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if behave is not None:
            await behave(reader, writer)
        writer.close()

    server = await asyncio.start_server(answer, ADDRESS, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def ask(folder: Path, port: int, name: str = NAME, deadline_s: float = 20.0) -> Observation:
    probe = TlsProbe(Credentials(folder), Trust(tls_ca="ca.pem", known_hosts="known_hosts"), RealClock())
    target = Target("check/front", "tls", TlsParams(ADDRESS, port, name), 10, deadline_s)
    (found,) = [one async for one in probe.observe([target])]
    await probe.close()
    return found


async def test_a_good_certificate(ca: ThrowawayCa, tmp_path: Path) -> None:
    async with serving(ca.server(NAME)) as port:
        found = await ask(tmp_path, port)
    assert (found.answer, found.reason) == (Answer.OK, "")
    assert abs(found.values["tls_not_after_seconds"] - RealClock().now() - 20 * DAY_S) < 3600
    assert found.facts == {"issuer": "CN=Throwaway CA"}
    async with serving(ca.server(ADDRESS)) as port:
        assert (await ask(tmp_path, port, ADDRESS)).answer is Answer.OK


@pytest.mark.parametrize(
    ("days", "names", "fault", "reason"),
    [
        ((-10, -3), [NAME], "expired", "the certificate ended 3.0 days ago"),
        ((2, 20), [NAME], "not-yet-valid", "the certificate begins in 2.0 days only (or a clock is wrong)"),
        (
            (-1, 20),
            ["other.customs.example", "127.0.0.1"],
            "wrong-name",
            "the certificate is for other.customs.example, 127.0.0.1, not for front.customs.example",
        ),
    ],
)
async def test_each_way_to_be_wrong_has_its_words(
    ca: ThrowawayCa, tmp_path: Path, days: tuple[int, int], names: list[str], fault: str, reason: str
) -> None:
    async with serving(ca.server(*names, days=days)) as port:
        found = await ask(tmp_path, port)
    assert (found.answer, found.facts["fault"], found.reason) == (Answer.FAILED, fault, reason)
    assert "tls_not_after_seconds" in found.values


async def test_an_authority_that_we_do_not_know_and_a_certificate_of_ones_own(ca: ThrowawayCa, tmp_path: Path) -> None:
    stranger = ThrowawayCa(tmp_path / "other", "Stranger")
    async with serving(stranger.server(NAME)) as port:
        found = await ask(tmp_path, port)
    assert found.facts["fault"] == "unknown-authority"
    assert "'CN=Stranger', which we do not trust" in found.reason
    await asyncio.to_thread(own_certificate, tmp_path)
    async with serving((tmp_path / "own.pem", tmp_path / "own.key")) as port:
        found = await ask(tmp_path, port)
    assert (found.facts["fault"], found.answer) == ("self-signed", Answer.FAILED)


def own_certificate(folder: Path) -> None:
    """A certificate that nobody but itself has signed."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - dt.timedelta(1), now + dt.timedelta(9))
    made = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    (folder / "own.pem").write_bytes(pem)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "own.key").write_bytes(key.private_bytes(*form))


async def test_no_tls_no_answer_and_nobody_there(ca: ThrowawayCa, tmp_path: Path) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.customs.example ESMTP\r\n")
        await writer.drain()

    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await asyncio.wait_for(reader.read(-1), 20)

    async with serving(None, greet) as port:
        found = await ask(tmp_path, port)
        assert (found.answer, found.reason.partition(" does not speak TLS")[1]) == (
            Answer.FAILED,
            " does not speak TLS",
        )
    async with serving(None, hang) as port:
        found = await ask(tmp_path, port, deadline_s=0.3)
        assert found.reason == f"{ADDRESS}:{port} did not finish the TLS handshake in time"
    found = await ask(tmp_path, port)
    assert (found.answer, "cannot be reached" in found.reason) == (Answer.FAILED, True)


async def test_a_certificate_that_breaks_the_rules_is_told_as_far_as_it_can_be_read() -> None:
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - dt.timedelta(1), now + dt.timedelta(9))
    names = x509.UnrecognizedExtension(x509.OID_SUBJECT_ALTERNATIVE_NAME, bytes.fromhex("3004a3023000"))
    x400 = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    der = x400.public_bytes(serialization.Encoding.DER)
    read = _read(der, 0.1, "", "")
    assert (read.names, read.fault, read.issuer) == ("", "", f"CN={NAME}")
    assert read.not_after is not None
    strange = der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020109"), 1)  # its version
    assert strange != der
    assert _read(strange, 0.1, "", "") == Certificate(None, None, "", "", 0.1, "not-readable", "")
