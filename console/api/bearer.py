"""Tokens of other programs: who sends one in ``Authorization: Bearer`` (RFC 6750), compared in constant time."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monitor.credential import Secret

SCHEME = "bearer"
SHORTEST = 16
CHALLENGE = {"WWW-Authenticate": "Bearer"}


def fits(header: str, token: Secret) -> bool:
    """Tell whether the header carries the token; one that is too short to be a secret is nobody's."""
    scheme, _, given = header.partition(" ")
    wanted = token.reveal().encode()
    same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), wanted)
    return same and scheme.lower() == SCHEME and len(wanted) >= SHORTEST
