"""Anchors: the head of the journal, or of another chained record, signed and kept where that is not.

A chain alone does not show that its end was cut off or that all of it was written anew; a signed head at another place
does, for everything up to it. Ed25519 (RFC 8032) over canonical JSON. Whoever has the private key and reaches every
place can still lie: keep the places on another machine, append-only, and the key out of its reach.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from monitor.chain import Head
from monitor.errors import CredentialError

SCHEMA = 1
FIELDS = {"schema", "journal", "count", "link", "at", "signature"}
LONGEST_LINE = 4096


@dataclass(frozen=True, slots=True)
class Anchor:
    """A signed head; ``journal`` is the id of its record, ``at`` when it was signed, in Unix seconds."""

    journal: str
    count: int
    link: bytes
    at: float
    signature: bytes

    def signed(self) -> bytes:
        """Return the bytes that the signature is over."""
        return _signed(self.journal, self.count, self.link, self.at)

    def line(self) -> str:
        """Return it as one line of JSON, without an end of line."""
        body = {**_body(self.journal, self.count, self.link, self.at), "signature": _text(self.signature)}
        return json.dumps(body, sort_keys=True, separators=(",", ":"))


def new_key() -> tuple[bytes, bytes]:
    """Return a new private and its public key, both as PEM."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, public_pem(key)


def public_pem(key: Ed25519PrivateKey) -> bytes:
    """Return the public key as PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_key(pem: bytes) -> Ed25519PrivateKey:
    """Return the signing key. Raises CredentialError; no part of the key is in its text."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CredentialError("the signing key of the evidence is not an unencrypted PEM private key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise CredentialError(
            "the signing key of the evidence is not an Ed25519 key; make one: karaula evidence new-key"
        )
    return key


def public_key(pem: bytes) -> Ed25519PublicKey:
    """Return the key to verify with. Raises CredentialError."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise CredentialError("the public key is not a PEM public key") from None
    if not isinstance(key, Ed25519PublicKey):
        raise CredentialError("the public key is not an Ed25519 key")
    return key


def sign(head: Head, at: float, key: Ed25519PrivateKey) -> Anchor:
    """Return the head, signed."""
    signature = key.sign(_signed(head.record, head.count, head.link, at))
    return Anchor(head.record, head.count, head.link, at, signature)


def genuine(anchor: Anchor, key: Ed25519PublicKey) -> bool:
    """Tell whether the holder of the private key signed it."""
    try:
        key.verify(anchor.signature, anchor.signed())
    except InvalidSignature:
        return False
    return True


def read_lines(lines: Iterable[str]) -> tuple[list[Anchor], list[str]]:
    """Return the anchors of a place, and a sentence for each line that is none."""
    anchors, strange = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            anchors.append(_read(line))
        except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
            strange.append(f"line {number} is not an anchor")
    return anchors, strange


def _read(line: str) -> Anchor:
    body = json.loads(line) if len(line) <= LONGEST_LINE else None
    if not isinstance(body, dict) or set(body) != FIELDS or body["schema"] != SCHEMA:
        raise ValueError("not an anchor of a version that is known")
    if (
        type(body["count"]) is not int
        or not isinstance(body["journal"], str)
        or not isinstance(body["at"], (int, float))
    ):
        raise ValueError("a part of another kind")
    link = bytes.fromhex(body["link"])
    return Anchor(
        body["journal"], body["count"], link, float(body["at"]), base64.b64decode(body["signature"], validate=True)
    )


def _body(journal: str, count: int, link: bytes, at: float) -> dict[str, Any]:
    return {"schema": SCHEMA, "journal": journal, "count": count, "link": link.hex(), "at": at}


def _signed(journal: str, count: int, link: bytes, at: float) -> bytes:
    return json.dumps(_body(journal, count, link, at), sort_keys=True, separators=(",", ":")).encode()


def _text(signature: bytes) -> str:
    return base64.b64encode(signature).decode("ascii")
