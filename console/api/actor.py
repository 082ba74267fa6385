"""Who is asking. Until logins exist the Unix socket's permissions are the access control, and a name is a claim.

Over the socket the kernel says which user connects (SO_PEERCRED, unix(7)); ``X-Karaula-As`` may name the person
behind a shared account. Over loopback TCP the page asks for a name. Both are recorded with the channel.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
import struct
from asyncio import BaseTransport
from dataclasses import dataclass

from fastapi import HTTPException, Request
from uvicorn.protocols.http.h11_impl import H11Protocol

NAME = re.compile(r"[\w][\w .@'-]{0,63}")
HEADER = "x-karaula-as"
DAEMON = "karaula"
_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class Actor:
    """A person as far as it is known: the name that is compared and shown, and how it reached us."""

    name: str
    channel: str

    def said(self, text: str) -> str:
        """Return ``text`` with the channel it came through, for the journal."""
        return f"{text} [{self.channel}]".strip()


class PeerProtocol(H11Protocol):
    """uvicorn's HTTP protocol that tells the application the peer's user id on a Unix socket."""

    def connection_made(self, transport: BaseTransport) -> None:
        """Note the peer's credentials as ``scope["client"]``."""
        super().connection_made(transport)  # type: ignore[arg-type]  # likewise
        peer = transport.get_extra_info("socket")
        if peer is not None and peer.family == socket.AF_UNIX:
            raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            _, uid, _ = _CREDENTIALS.unpack(raw)
            self.client = ("unix", uid)


def actor_of(request: Request, claimed: str = "") -> Actor:
    """Return who sends ``request``. Raises HTTPException 400 when a name is needed or is not one."""
    name = claimed or _utf8(request.headers.get(HEADER, ""))
    if name and (not NAME.fullmatch(name) or name.strip().casefold() == DAEMON):
        raise HTTPException(400, f"'{name[:64]}' cannot be a person's name here")
    client = request.client
    if client is not None and client.host == "unix":
        account = _account(client.port)
        return Actor(name.strip() or account, f"socket, user {account}")
    if not name:
        raise HTTPException(400, "say who you are: a name is recorded with every decision")
    return Actor(name.strip(), "web on loopback, name not proven")


def _utf8(header: str) -> str:
    """Return the header's bytes as UTF-8, which the command line sends: names here may be Cyrillic."""
    return header.encode("latin-1").decode("utf-8", "replace")


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"


def own_account() -> str:
    """Return the name of the user this process runs as."""
    return _account(os.getuid())
