"""The ways by which people are told of alarms: mail (RFC 5321, RFC 5322) and tickets of a service desk (a webhook).

Both are safe to repeat: a mail keeps its Message-ID, and before a ticket is opened the desk is asked whether it has
one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import smtplib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

from monitor.errors import DeadlineExceeded, GarbledReply, Refused, SessionLost, TargetError, Unreachable
from monitor.printable import printable

if TYPE_CHECKING:
    from monitor.clients.http import HttpClient, HttpReply
    from monitor.history import Event
    from monitor.inventory.model import Inventory
    from monitor.inventory.values import Endpoint
    from monitor.notify import Channel
    from monitor.status.alarm import Alarm

DEADLINE_S = 10.0
OK = 200
MULTIPLE_CHOICES = 300
SERVER_ERROR = 500
TOO_MANY_REQUESTS = 429
PERMANENT = 500


def channels(inventory: Inventory, http: HttpClient) -> list[Channel]:
    """Return the channels that the inventory's ``notify`` names."""
    notify = inventory.notify
    found: list[Channel] = []
    if (mail := mail_of(inventory)) is not None:
        found.append(mail)
    if notify.ticket_url is not None:
        found.append(TicketChannel(notify.ticket_url, http))
    return found


def mail_of(inventory: Inventory) -> MailChannel | None:
    """Return the mail of the inventory's ``notify``; None when it names no server or nobody to write to."""
    notify = inventory.notify
    if notify.mail_server is None or not notify.mail_to:
        return None
    sender = notify.mail_from or f"karaula@{inventory.estate.domain}"
    return MailChannel(notify.mail_server, sender, notify.mail_to, inventory.estate.domain)


class MailChannel:
    """Sends one mail for each event, each over a connection of its own, from a thread of its own."""

    name = "mail"

    def __init__(
        self, server: Endpoint, sender: str, recipients: tuple[str, ...], domain: str, deadline_s: float = DEADLINE_S
    ) -> None:
        """Prepare; ``deadline_s`` bounds each exchange with the server, and twice that the whole delivery."""
        self._server = server
        self._sender = sender
        self._recipients = recipients
        self._domain = domain
        self._deadline_s = deadline_s
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="mail")

    async def send(self, alarm: Alarm, event: Event, reference: str) -> str:
        """Send the mail and return its Message-ID; ``cleared`` answers the mail of ``raised``. Raises TargetError."""
        message = self._letter(f"{_word(event)} {alarm.severity}: {title(alarm)}", describe(alarm))
        message["Message-ID"] = f"<{alarm.id}.{event}@{self._domain}>"
        message["Date"] = datetime.fromtimestamp(alarm.cleared_at or alarm.since, UTC)
        if event == "cleared" and reference:
            message["In-Reply-To"] = message["References"] = reference
        await self._send(message)
        return str(message["Message-ID"])

    async def post(self, subject: str, text: str, reference: str, at: float) -> None:
        """Send a message that is about no alarm; sent again under its ``reference`` the same. Raises TargetError."""
        message = self._letter(subject, text)
        message["Message-ID"] = f"<{reference}@{self._domain}>"
        message["Date"] = datetime.fromtimestamp(at, UTC)
        await self._send(message)

    async def close(self) -> None:
        """Take no more; a delivery that runs ends by its own time-out."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _letter(self, subject: str, text: str) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = ", ".join(self._recipients)
        message["Subject"] = printable(subject)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
        message.set_content(text)
        return message

    async def _send(self, message: EmailMessage) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(2 * self._deadline_s):
                await loop.run_in_executor(self._threads, self._deliver, message)
        except TimeoutError as error:
            raise DeadlineExceeded(f"mail server {self._server.address} did not take the mail in time") from error

    def _deliver(self, message: EmailMessage) -> None:
        try:
            connection = smtplib.SMTP(
                self._server.address,
                self._server.port,
                local_hostname=f"karaula.{self._domain}",
                timeout=self._deadline_s,
            )
            try:
                connection.send_message(message)
                with contextlib.suppress(smtplib.SMTPException, OSError):
                    connection.quit()  # the mail is accepted, whatever the server says to the farewell
            finally:
                connection.close()
        except (smtplib.SMTPException, OSError) as error:
            raise self._translated(error) from error

    def _translated(self, error: smtplib.SMTPException | OSError) -> TargetError:
        where = f"mail server {self._server.address}:{self._server.port}"
        if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
            return DeadlineExceeded(f"{where} did not answer in time")
        match error:
            case smtplib.SMTPRecipientsRefused():
                codes = [code for code, _ in error.recipients.values()]
                return _refused(where, min(codes, default=PERMANENT), "no recipient is accepted")
            case smtplib.SMTPResponseException():
                said = error.smtp_error
                text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
                return _refused(where, error.smtp_code, text)
            case smtplib.SMTPServerDisconnected():
                return SessionLost(f"{where} broke the connection off")
            case smtplib.SMTPException():
                return GarbledReply(f"{where}: {error}")
            case _:
                return Unreachable(f"{where} cannot be reached: {error.strerror or error}")


def _refused(where: str, code: int, said: str) -> TargetError:
    """Return the error of a reply: codes from 500 on are for good, those from 400 may pass (RFC 5321, 4.2.1)."""
    text = f"{where} refused the mail: {code} {said}"
    return Refused(text) if code >= PERMANENT else Unreachable(text)


class TicketChannel:
    """Opens a ticket by POST of a JSON object and closes it by PATCH of ``URL/NUMBER``."""

    name = "tickets"

    def __init__(self, url: str, http: HttpClient, deadline_s: float = DEADLINE_S) -> None:
        """Prepare; ``deadline_s`` bounds each request. The client stays its owner's."""
        self._url = url.rstrip("/")
        self._http = http
        self._deadline_s = deadline_s

    async def send(self, alarm: Alarm, event: Event, reference: str) -> str:
        """Open or close the alarm's ticket; return the ticket's number. Raises TargetError."""
        if event == "raised":
            return await self._find(alarm) or await self._open(alarm)
        if not reference:
            return ""  # the desk refused the ticket, so there is none to close
        body = {"status": "closed", "closed_at": _iso(alarm.cleared_at), "resolution": alarm.note}
        self._judge(await self._ask("PATCH", f"{self._url}/{reference}", body))
        return reference

    async def close(self) -> None:
        """Nothing is kept."""

    async def _find(self, alarm: Alarm) -> str:
        """Return the number of the ticket that an earlier try may have opened; empty when none is found."""
        try:
            reply = await self._ask("GET", f"{self._url}?alarm_id={alarm.id}", None)
            found = json.loads(reply.body) if reply.status == OK else []
        except (GarbledReply, ValueError):
            return ""  # a desk that cannot be searched
        entries = found if isinstance(found, list) else []
        return next((_number(entry) for entry in entries if _is_for(entry, alarm)), "")

    async def _open(self, alarm: Alarm) -> str:
        body = {
            "alarm_id": alarm.id,
            "status": "open",
            "title": title(alarm),
            "description": describe(alarm),
            "severity": alarm.severity,
            "alarm": alarm.name,
            "subject": alarm.subject,
            "opened_at": _iso(alarm.since),
        }
        reply = await self._ask("POST", self._url, body)
        self._judge(reply)
        try:
            number = _number(json.loads(reply.body))
        except ValueError:
            number = ""
        return number or reply.headers.get("location", "").rstrip("/").rpartition("/")[2] or alarm.id

    async def _ask(self, method: str, url: str, body: dict[str, Any] | None) -> HttpReply:
        return await self._http.request(method, url, timeout_s=self._deadline_s, json=body)

    def _judge(self, reply: HttpReply) -> None:
        if OK <= reply.status < MULTIPLE_CHOICES:
            return
        text = f"the service desk at {self._url} answered {reply.status}"
        if reply.status >= SERVER_ERROR or reply.status == TOO_MANY_REQUESTS:
            raise Unreachable(text)
        raise Refused(text)


def title(alarm: Alarm) -> str:
    """Return one line that says what is wrong with what."""
    return printable(f"{alarm.name} {alarm.subject}")


def describe(alarm: Alarm) -> str:
    """Return the alarm in a few lines of plain text."""
    lines = [f"Alarm {alarm.name} of {alarm.subject}: {alarm.reason}", f"Raised {_iso(alarm.since)}."]
    if alarm.cleared_at is not None:
        lines.append(f"Cleared {_iso(alarm.cleared_at)}: {alarm.note}")
    return "\n".join(printable(line) for line in [*lines, f"Alarm number {alarm.id}."]) + "\n"


def _word(event: Event) -> str:
    return "ALARM" if event == "raised" else "CLEARED"


def _iso(at: float | None) -> str:
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _number(entry: object) -> str:
    return str(entry.get("id") or "") if isinstance(entry, dict) else ""


def _is_for(entry: object, alarm: Alarm) -> bool:
    return isinstance(entry, dict) and entry.get("alarm_id") == alarm.id
