"""OpenSSH's known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT): which keys a host may show.

Plain and hashed names are read. Patterns never match, and an ``@`` marker makes the file unusable rather than being
passed over, because overlooking ``@revoked`` would trust a key that somebody withdrew.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.errors import Untrusted

if TYPE_CHECKING:
    from pathlib import Path

SSH_PORT = 22


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A public host key: its type (``ssh-ed25519``) and its wire form (RFC 4253, section 6.6)."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """Return it as ``ssh-keygen -l`` prints it."""
        return fingerprint(self.blob)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Return the signature algorithms that this type of key can make (RFC 8332)."""
        return ("rsa-sha2-512", "rsa-sha2-256", self.kind) if self.kind == "ssh-rsa" else (self.kind,)


def fingerprint(blob: bytes) -> str:
    """Return ``SHA256:…`` of a key's wire form."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def host_name(address: str, port: int) -> str:
    """Return the name that the file uses: ``address``, or ``[address]:port`` when the port is not 22."""
    return address if port == SSH_PORT else f"[{address}]:{port}"


def known_keys(path: Path, name: str) -> tuple[KnownKey, ...]:
    """Return every key that the file has for ``name``, in its order; none when it has no such host.

    Raises Untrusted when the file cannot be read or has a line that is not understood.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Untrusted(f"known hosts file {path} cannot be read: {type(error).__name__}") from error
    found = []
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        key = _key(fields)
        if key is None:
            raise Untrusted(f"{path}:{number}: not a plain known_hosts line (name, type, key); correct or remove it")
        if any(_is_name(pattern, name) for pattern in fields[0].split(",")):
            found.append(key)
    return tuple(found)


def distrust(name: str, known: tuple[KnownKey, ...], offered: bytes) -> str:
    """Say why a host that shows the key ``offered`` (wire form) is not trusted; empty when it is."""
    if any(key.blob == offered for key in known):
        return ""
    if not known:
        return f"{name}: no host key is known; the host offers {fingerprint(offered)}"
    ours = ", ".join(key.fingerprint for key in known)
    return (
        f"{name}: the host key has changed: known {ours}, offered {fingerprint(offered)}; "
        "if the host was rebuilt, replace its line in the known hosts file, else take it for an attack"
    )


def _key(fields: list[str]) -> KnownKey | None:
    if len(fields) < 3 or fields[0].startswith("@"):  # noqa: PLR2004 - name, type, key
        return None
    try:
        blob = base64.b64decode(fields[2], validate=True)
    except ValueError:
        return None
    kind = fields[1].encode()
    if blob[: 4 + len(kind)] != len(kind).to_bytes(4, "big") + kind:
        return None
    return KnownKey(fields[1], blob)


def _is_name(pattern: str, name: str) -> bool:
    if not pattern.startswith("|1|"):
        return pattern == name
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in pattern[3:].split("|"))
    except ValueError:
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)
