"""A server's certificate as a client meets it: is it trusted, is it for that name, until when; and if not, why not.

The handshake verifies in full. When it fails, a second one reads the certificate without trusting it, so that the
reason can say more than the library does; nothing is ever sent over it.
Source: RFC 8446, RFC 9525 (service identity); X509_V_ERR_* of OpenSSL's x509_vfy.h.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from monitor.errors import CredentialError, DeadlineExceeded, GarbledReply, SessionLost, Unreachable, in_words

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.clock import Clock

EXPIRED, NOT_YET, SELF_SIGNED, SELF_SIGNED_IN_CHAIN = 10, 9, 18, 19
NO_ISSUER, NO_ISSUER_LOCALLY, CANNOT_VERIFY = 2, 20, 21
WRONG_HOST, WRONG_ADDRESS, REVOKED = 62, 64, 23
FAULTS = {  # OpenSSL's number -> our word
    EXPIRED: "expired",
    NOT_YET: "not-yet-valid",
    SELF_SIGNED: "self-signed",
    SELF_SIGNED_IN_CHAIN: "unknown-authority",
    NO_ISSUER: "unknown-authority",
    NO_ISSUER_LOCALLY: "unknown-authority",
    CANNOT_VERIFY: "incomplete-chain",
    WRONG_HOST: "wrong-name",
    WRONG_ADDRESS: "wrong-name",
    REVOKED: "revoked",
}
LONGEST_NAMES = 200
UNREADABLE = (  # what ``cryptography`` says of a certificate that breaks RFC 5280
    ValueError,
    OverflowError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server showed. Times are Unix seconds; ``names`` are those that it is for, ``issuer`` who signed it.

    ``fault`` is empty when it is trusted for the name, else one of the words of ``FAULTS`` or ``not-trusted``, with
    ``why`` in OpenSSL's words. Times are None, names empty when the certificate could not be read either.
    """

    not_before: float | None
    not_after: float | None
    names: str
    issuer: str
    elapsed_s: float
    fault: str = ""
    why: str = ""


class TlsClient:
    """Makes handshakes; keeps nothing."""

    def __init__(self, ca_file: Path, clock: Clock) -> None:
        """Trust ``ca_file`` (a PEM bundle). Raises CredentialError when it cannot be used."""
        try:
            self._trusting = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise CredentialError(f"CA bundle {ca_file} cannot be used: {error}") from error
        self._reading = ssl.create_default_context()
        self._reading.check_hostname = False
        self._reading.verify_mode = ssl.CERT_NONE  # to say what is wrong with a certificate that was refused
        self._clock = clock

    async def certificate(self, address: str, port: int, name: str, timeout_s: float) -> Certificate:
        """Return what the server shows to who asks for ``name``, trusted or not.

        Raises Unreachable, DeadlineExceeded (no handshake in time), GarbledReply (not TLS), SessionLost (broken off).
        """
        where = f"{address}:{port}"
        started = self._clock.monotonic()
        connected = False
        try:
            async with asyncio.timeout(timeout_s):
                connection = await _connect(address, port)
                connected = True
                fault, why = "", ""
                try:
                    shown = await _handshake(connection, self._trusting, name)
                except ssl.SSLCertVerificationError as error:
                    fault, why = FAULTS.get(error.verify_code, "not-trusted"), error.verify_message
                    shown = await self._unverified(address, port, name)
        except TimeoutError as error:
            if connected:
                raise DeadlineExceeded(f"{where} did not finish the TLS handshake in time") from error
            raise Unreachable(f"{where} did not accept a connection in time") from error
        except ssl.SSLError as error:
            raise GarbledReply(f"{where} does not speak TLS with us: {error.reason or error}") from error
        except OSError as error:
            if connected:
                raise SessionLost(f"{where} broke the TLS handshake off: {in_words(error)}") from error
            raise Unreachable(f"{where} cannot be reached: {in_words(error)}") from error
        return _read(shown, self._clock.monotonic() - started, fault, why)

    async def _unverified(self, address: str, port: int, name: str) -> bytes:
        """Return the certificate without trusting it; nothing when it is not shown a second time."""
        try:
            return await _handshake(await _connect(address, port), self._reading, name)
        except OSError:
            return b""


async def _connect(address: str, port: int) -> socket.socket:
    """Return a connected socket. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, place = found[0]
    connection = socket.socket(family, kind, protocol)
    try:
        connection.settimeout(0)
        await loop.sock_connect(connection, place)
    except BaseException:
        connection.close()
        raise
    return connection


async def _handshake(connection: socket.socket, context: ssl.SSLContext, name: str) -> bytes:
    """Return the server's certificate (DER); the connection is closed whatever happens."""
    try:
        _, writer = await asyncio.open_connection(sock=connection, ssl=context, server_hostname=name)
    except BaseException:
        connection.close()
        raise
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return bytes(shown or b"")


def _read(shown: bytes, elapsed_s: float, fault: str, why: str) -> Certificate:
    try:
        found = x509.load_der_x509_certificate(shown)
        names = _names(found)
        issuer = found.issuer.rfc4514_string()[:LONGEST_NAMES]
        begins, ends = found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
    except UNREADABLE:
        return Certificate(None, None, "", "", elapsed_s, fault or "not-readable", why)
    return Certificate(begins, ends, names, issuer, elapsed_s, fault, why)


def _names(found: x509.Certificate) -> str:
    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *UNREADABLE):  # then the dates are still worth telling
        return ""
    names = [*extension.get_values_for_type(x509.DNSName), *map(str, extension.get_values_for_type(x509.IPAddress))]
    return ", ".join(names)[:LONGEST_NAMES]
