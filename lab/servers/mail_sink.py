"""A mail server that keeps what it is given (RFC 5321, minimal: no relaying, no extensions but SIZE and 8BITMIME).

The messages go to ``estate.mails``, in the order of their arrival.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lab.identity import Identity
from lab.scenario import Estate, Server
from lab.servers.listener import TcpListener
from lab.states import Mail

MAX_MESSAGE_BYTES = 10 * 1024 * 1024
PATH = re.compile(r"(?:FROM|TO):\s*<([^>]*)>", re.IGNORECASE)


def servers(estate: Estate, identity: Identity) -> list[Server]:  # noqa: ARG001 - mail comes without log-in
    """Build the mail server, if the inventory has one."""
    if estate.plan.mail_server is None:
        return []
    return [MailSink(*estate.plan.mail_server, estate.mails.append, estate.now)]


@dataclass(slots=True)
class _Envelope:
    greeted: bool = False
    sender: str | None = None
    recipients: list[str] = field(default_factory=list)

    def clear(self) -> None:
        self.sender = None
        self.recipients = []


class MailSink:
    """Accepts every message for everybody and hands it to ``keep``."""

    def __init__(
        self,
        address: str,
        port: int,
        keep: Callable[[Mail], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._keep = keep
        self._now = now
        self._listener = TcpListener(address, port, self._converse)

    @property
    def port(self) -> int:
        """The TCP port in use."""
        return self._listener.port

    async def start(self) -> None:
        """Begin to follow the truth. Raises ``OSError`` when the port cannot be bound."""
        await self._listener.start()

    async def stop(self) -> None:
        """Close the port and every connection."""
        await self._listener.stop()

    def refresh(self) -> None:
        """Become what the truth says now."""
        self._listener.refresh()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _say(writer, "220 mail.customs.example ESMTP lab")
        envelope = _Envelope()
        while line := await reader.readline():
            verb, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            verb = verb.upper()
            if verb == "DATA" and envelope.recipients:
                await _say(writer, "354 end with a line of one dot")
                await _say(writer, await self._take(reader, envelope))
                envelope.clear()
                continue
            await _say(writer, _answer(envelope, verb, rest))
            if verb == "QUIT":
                return

    async def _take(self, reader: asyncio.StreamReader, envelope: _Envelope) -> str:
        lines: list[bytes] = []
        size = 0
        while (line := await reader.readline()) not in (b".\r\n", b".\n"):
            if not line:
                raise EOFError("the client left within its message")
            size += len(line)
            if size <= MAX_MESSAGE_BYTES:
                lines.append(line.removeprefix(b"."))  # RFC 5321 4.5.2: a doubled dot at the start of a line
        if size > MAX_MESSAGE_BYTES:
            return "552 5.3.4 too large"
        text = b"".join(lines).decode("utf-8", "replace")
        self._keep(Mail(self._now(), envelope.sender or "", tuple(envelope.recipients), text))
        return "250 2.0.0 kept"


def _answer(envelope: _Envelope, verb: str, rest: str) -> str:
    if verb in {"EHLO", "HELO"}:
        envelope.greeted = True
        envelope.clear()
        if verb == "HELO":
            return "250 mail.customs.example"
        return f"250-mail.customs.example\r\n250-SIZE {MAX_MESSAGE_BYTES}\r\n250 8BITMIME"
    if verb in {"MAIL", "RCPT", "DATA"}:
        return _transact(envelope, verb, rest)
    if verb == "RSET":
        envelope.clear()
        return "250 2.0.0 forgotten"
    return {
        "NOOP": "250 2.0.0 nothing done",
        "VRFY": "252 2.5.0 send it and see",
        "QUIT": "221 2.0.0 bye",
    }.get(verb, "500 5.5.1 not understood")


def _transact(envelope: _Envelope, verb: str, rest: str) -> str:
    if verb == "DATA" or not envelope.greeted or (verb == "RCPT" and envelope.sender is None):
        return "503 5.5.1 first EHLO, then MAIL, then RCPT"
    path = PATH.match(rest)
    if path is None:
        return "501 5.5.4 the address belongs in angle brackets"
    if verb == "MAIL":
        envelope.clear()
        envelope.sender = path[1]
    else:
        envelope.recipients.append(path[1])
    return "250 2.1.0 ok"


async def _say(writer: asyncio.StreamWriter, line: str) -> None:
    writer.write(line.encode() + b"\r\n")
    await writer.drain()
