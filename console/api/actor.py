"""Who is asking. Until logins exist the Unix socket's permissions are the access control, and a name is a claim.

Over the socket the kernel says which user connects (SO_PEERCRED, unix(7)); ``X-Karaula-As`` may name the person
behind a shared account. Over loopback TCP the page asks for a name. Both are recorded with the channel.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import struct
from asyncio import BaseTransport
from dataclasses import dataclass

from fastapi import HTTPException, Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from console.api.desk import desk_of
from dr.journal.names import same_person
from dr.rights import must_be_proven
from monitor.inventory.recovery import EVERYBODY, LONGEST_NAME
from monitor.inventory.rules import DAEMON, person

HEADER = "x-karaula-as"
SOMEBODY = "somebody"
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
    """Return who sends ``request``.

    Raises HTTPException 400 when a name is needed or is not one, 403 for a name that its own account alone may use.
    """
    actor = caller_of(request, claimed)
    if actor.name.casefold() == DAEMON:  # as an account: nobody may claim it
        raise HTTPException(400, f"'{actor.name}' is the daemon's own account: say who you are, with --as NAME")
    return actor


def looker_of(request: Request) -> str:
    """Return who looks at what a run of theirs would meet; a look needs no name."""
    unix = request.client is not None and request.client.host == "unix"
    return caller_of(request, "" if unix else _claimed(request) or SOMEBODY).name


def caller_of(request: Request, claimed: str = "") -> Actor:
    """Return who sends ``request``, which may be the daemon's own account. Raises as ``actor_of``."""
    name = claimed.strip() or _claimed(request)
    if name:
        name = _one(name)
    client = request.client
    if client is not None and client.host == "unix":
        account = _account(client.port)
        if not same_person(name or account, account):
            _not_proven(request, name)
        return Actor(name or account, f"socket, user {account}")
    if not name:
        raise HTTPException(400, "say who you are: a name is recorded with every decision")
    _not_proven(request, name)
    return Actor(name, "web on loopback, name not proven")


def _claimed(request: Request) -> str:
    return _utf8(request.headers.get(HEADER, "")).strip()


def _one(name: str) -> str:
    """Return the name as it is written down. Raises HTTPException 400 for what is nobody's."""
    with contextlib.suppress(ValueError):
        found = person(name)
        if found != EVERYBODY and len(found) <= LONGEST_NAME:
            return found
    raise HTTPException(400, f"'{name[:LONGEST_NAME]}' cannot be a person's name here")


def _not_proven(request: Request, name: str) -> None:
    """Refuse a claimed name that has rights of its account's only. Raises HTTPException 403."""
    if must_be_proven(desk_of(request).inventory.rights, name):
        raise HTTPException(
            403, f"'{name}' is believed of the account of that name alone: log in to the daemon's host as {name}"
        )


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
