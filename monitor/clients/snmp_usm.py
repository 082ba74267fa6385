"""SNMPv3 messages under the User-based Security Model: signed, encrypted, and checked before they are believed.

RFC 3412 (message), RFC 3414 (USM, keys by password), RFC 7860 (HMAC-SHA-2), RFC 3826 (AES-128 in CFB). MD5 and DES are
not spoken. What answers is fresh because it is signed and carries the random message ID of the question, so an agent
whose boot counter was set back is believed where RFC 3414's window alone would refuse it for ever.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from monitor.clients.snmp_ber import (
    GET,
    INTEGER,
    OCTETS,
    SEQUENCE,
    Response,
    element,
    expect,
    get_request,
    integer,
    number,
    read_pdu,
    tlv,
)
from monitor.errors import CredentialError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from monitor.credential import Credentials, Secret
    from monitor.inventory.sensors import SnmpUser

VERSION_3 = 3
SECURITY_MODEL = 3
SIGNED, ENCRYPTED, REPORTABLE = 1, 2, 4
MOST_BYTES = 65_507
PASSWORD_BYTES = 1_048_576  # RFC 3414, A.2: the password is repeated to a megabyte
ENGINE_ID_BYTES = (5, 32)  # RFC 3411, SnmpEngineID; none in a discovery
KEY_BYTES = 16
SALT_BYTES = 8
KEPT_KEYS = 10_000
SHORTEST_PASSWORD = 8  # RFC 3414, section 11.2
MOST_TIME = 2**31 - 1
# name -> hash and how many bytes of its HMAC are sent (RFC 3414, section 6.3.1; RFC 7860, section 4.1)
AUTHENTICATIONS: Mapping[str, tuple[str, int]] = {
    "sha": ("sha1", 12),
    "sha224": ("sha224", 16),
    "sha256": ("sha256", 24),
    "sha384": ("sha384", 32),
    "sha512": ("sha512", 48),
}
USM_STATS = "1.3.6.1.6.3.15.1.1."
NOT_IN_TIME, UNKNOWN_ENGINE = f"{USM_STATS}2.0", f"{USM_STATS}4.0"


class SignatureError(ValueError):
    """The message is well formed, and not signed by who knows the password."""


@dataclass(frozen=True, slots=True)
class User:
    """Who asks. ``authentication`` is a key of AUTHENTICATIONS; without ``privacy`` what is said can be read."""

    name: str
    authentication: str
    password: Secret
    privacy: Secret | None = None


@dataclass(frozen=True, slots=True)
class Engine:
    """What is known of an agent's engine: its ID, and its boots and seconds when the loop's clock read ``at``."""

    id: bytes
    boots: int
    time: int
    at: float

    def now(self, at: float) -> int:
        """Return what its clock says at ``at``."""
        return min(MOST_TIME, self.time + max(0, int(at - self.at)))


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was read and checked.

    ``signed`` says whether its signature was there and right, ``encrypted`` whether it came encrypted as well.
    """

    id: int
    signed: bool
    encrypted: bool
    engine_id: bytes
    boots: int
    time: int
    pdu: Response


def access_of(access: str | SnmpUser, credentials: Credentials) -> Secret | User:
    """Return what the reference of a community, or a user of the inventory, stands for. Raises CredentialError."""
    if isinstance(access, str):
        return credentials.secret(access)
    privacy = access.privacy_credential
    return User(
        access.name,
        access.authentication,
        _password(access.authentication_credential, credentials),
        None if privacy is None else _password(privacy, credentials),
    )


def _password(reference: str, credentials: Credentials) -> Secret:
    secret = credentials.secret(reference)
    if len(secret.reveal()) < SHORTEST_PASSWORD:
        raise CredentialError(f"credential '{reference}' is shorter than the {SHORTEST_PASSWORD} characters of SNMPv3")
    return secret


def new_id() -> int:
    """Return a random message or request ID."""
    return secrets.randbits(31)  # one draw; randbelow throws every second away


def discovery(message_id: int) -> bytes:
    """Return the question that makes an agent tell its engine (RFC 3414, section 4)."""
    scoped = tlv(SEQUENCE, b"\x04\x00\x04\x00" + get_request(message_id, ()))
    security = tlv(SEQUENCE, b"\x04\x00\x02\x01\x00\x02\x01\x00\x04\x00\x04\x00\x04\x00")
    return _message(message_id, REPORTABLE, security, scoped)


def request(user: User, engine: Engine, message_id: int, oids: Sequence[str], at: float, kind: int = GET) -> bytes:
    """Return a signed (and encrypted) request of a ``kind`` of ``snmp_ber`` whose request ID is its message ID."""
    boots, time = engine.boots, engine.now(at)
    scoped = tlv(SEQUENCE, tlv(OCTETS, engine.id) + b"\x04\x00" + get_request(message_id, oids, kind))
    flags, salt = SIGNED | REPORTABLE, b""
    if user.privacy is not None:
        flags |= ENCRYPTED
        salt = secrets.token_bytes(SALT_BYTES)
        encryptor = _cipher(user, engine.id, boots, time, salt).encryptor()
        scoped = tlv(OCTETS, encryptor.update(scoped) + encryptor.finalize())
    _, size = AUTHENTICATIONS[user.authentication]
    blank = bytes(size)
    fields = tlv(OCTETS, engine.id) + integer(boots) + integer(time) + tlv(OCTETS, user.name.encode())
    security = tlv(SEQUENCE, fields + tlv(OCTETS, blank) + tlv(OCTETS, salt))
    whole = _message(message_id, flags, security, scoped)
    # The last field but the salt before the scoped PDU: its place is counted from the end.
    at_blank = len(whole) - len(scoped) - len(tlv(OCTETS, salt)) - size
    return whole[:at_blank] + _signature(user, engine.id, whole) + whole[at_blank + size :]


def id_of(data: bytes) -> int:
    """Return a message's ID, which says to what question it belongs; read before all else. Raises ValueError."""
    return _opened(data)[0]


def read(data: bytes, user: User | None, oids: Sequence[str] = ()) -> Message:
    """Read a message and check its signature, when it says that it has one; None reads the answer to a discovery.

    ``oids`` are those that were asked for.

    Raises SignatureError, and ValueError for what is no such message.
    """
    message_id, flags, at, stop = _opened(data)
    low, at = expect(data, at, stop, OCTETS)
    engine_id, boots, time, signature, salt = _security(data, low, at)
    signed = bool(flags & SIGNED)
    if signed and user is not None:
        begin, end = signature
        blanked = data[:begin] + bytes(end - begin) + data[end:]
        if not hmac.compare_digest(data[begin:end], _signature(user, engine_id, blanked)):
            raise SignatureError("its signature is wrong")
    scoped, begin, end = data, at, stop
    if flags & ENCRYPTED:
        if user is None or user.privacy is None or not signed or len(salt) != SALT_BYTES:
            raise ValueError("encrypted as nobody asked for")
        low, high = expect(data, at, stop, OCTETS)
        decryptor = _cipher(user, engine_id, boots, time, salt).decryptor()
        scoped = decryptor.update(data[low:high]) + decryptor.finalize()
        begin, end = 0, len(scoped)
    start, stop = expect(scoped, begin, end, SEQUENCE)
    _, at = expect(scoped, start, stop, OCTETS)
    _, at = expect(scoped, at, stop, OCTETS)
    pdu, _ = read_pdu(scoped, at, stop, None, oids)
    return Message(message_id, signed and user is not None, bool(flags & ENCRYPTED), engine_id, boots, time, pdu)


def _message(message_id: int, flags: int, security: bytes, scoped: bytes) -> bytes:
    header = integer(message_id) + integer(MOST_BYTES) + bytes((OCTETS, 1, flags)) + integer(SECURITY_MODEL)
    return tlv(SEQUENCE, integer(VERSION_3) + tlv(SEQUENCE, header) + tlv(OCTETS, security) + scoped)


def _opened(data: bytes) -> tuple[int, int, int, int]:
    """Return message ID, flags, where the header ends, and where the message."""
    start, stop = expect(data, 0, len(data), SEQUENCE)
    if stop != len(data):
        raise ValueError("not one message")
    low, at = expect(data, start, stop, INTEGER)
    if number(data, low, at) != VERSION_3:
        raise ValueError("not version 3")
    return (*_header(data, at, stop), stop)


def _header(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return message ID, flags, and where the header ends."""
    start, stop = expect(data, at, end, SEQUENCE)
    low, at = expect(data, start, stop, INTEGER)
    message_id = number(data, low, at)
    _, at = expect(data, at, stop, INTEGER)
    low, at = expect(data, at, stop, OCTETS)
    if at - low != 1:
        raise ValueError("flags of a size that SNMP does not have")
    flags = data[low]
    low, at = expect(data, at, stop, INTEGER)
    if number(data, low, at) != SECURITY_MODEL:
        raise ValueError("not the user-based security model")
    return message_id, flags, stop


def _security(data: bytes, at: int, end: int) -> tuple[bytes, int, int, tuple[int, int], bytes]:
    """Return engine ID, boots, time, where the signature stands, and the salt."""
    at, end = expect(data, at, end, SEQUENCE)
    low, at = expect(data, at, end, OCTETS)
    engine_id = data[low:at]
    shortest, longest = ENGINE_ID_BYTES
    if engine_id and not shortest <= len(engine_id) <= longest:  # before a key is made of it, and kept
        raise ValueError("an engine ID of a size that SNMP does not have")
    low, at = expect(data, at, end, INTEGER)
    boots = number(data, low, at)
    low, at = expect(data, at, end, INTEGER)
    time = number(data, low, at)
    if not (0 <= boots <= MOST_TIME and 0 <= time <= MOST_TIME):
        raise ValueError("boots or time of a size that SNMP does not have")
    _, at = expect(data, at, end, OCTETS)
    begin, stop = expect(data, at, end, OCTETS)
    tag, low, high = element(data, stop, end)
    if tag != OCTETS:
        raise ValueError("no salt where one belongs")
    return engine_id, boots, time, (begin, stop), data[low:high]


def _signature(user: User, engine_id: bytes, whole: bytes) -> bytes:
    name, size = AUTHENTICATIONS[user.authentication]
    key = _localized(name, user.password.reveal(), engine_id)
    return hmac.digest(key, whole, name)[:size]


def _cipher(user: User, engine_id: bytes, boots: int, time: int, salt: bytes) -> Cipher[CFB]:
    assert user.privacy is not None  # noqa: S101 - both callers have asked
    name, _ = AUTHENTICATIONS[user.authentication]
    key = _localized(name, user.privacy.reveal(), engine_id)[:KEY_BYTES]
    return Cipher(AES(key), CFB(boots.to_bytes(4, "big") + time.to_bytes(4, "big") + salt))


@lru_cache(KEPT_KEYS)
def _localized(name: str, password: str, engine_id: bytes) -> bytes:
    """Return the key of a password at one engine (RFC 3414, A.2). Kept: a megabyte is hashed for a password."""
    long = _hashed(name, password)
    return hashlib.new(name, long + engine_id + long).digest()


@lru_cache(KEPT_KEYS)
def _hashed(name: str, password: str) -> bytes:
    text = password.encode()
    if not text:
        raise ValueError("an empty password")
    return hashlib.new(name, (text * (PASSWORD_BYTES // len(text) + 1))[:PASSWORD_BYTES]).digest()
