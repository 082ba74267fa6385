"""The lab's mail and ticket sinks, used by the standard library."""

from __future__ import annotations

import asyncio
import http.client
import json
import smtplib
from email.message import EmailMessage

import pytest
from server_kit import NETWORK, running

from lab.servers import mail_sink, ticket_sink

MAIL = (f"{NETWORK}.3.25", 2525)
TICKETS = (f"{NETWORK}.3.26", 8080)
pytestmark = pytest.mark.anyio


async def test_mail_arrives_as_it_was_sent(tmp_path):
    message = EmailMessage()
    message["Subject"] = "NCTS is down at Jažince and Delčevo"
    message.set_content("First line\n.a line with a dot\nlast")

    def send() -> None:
        with smtplib.SMTP(*MAIL, timeout=60) as server:
            server.send_message(message, "karaula@customs.example", ["duty@customs.example", "b@customs.example"])
            server.sendmail("", ["c@customs.example"], "a bounce")
            with pytest.raises(smtplib.SMTPResponseException):
                server.docmd("DATA") and server.data(b"without an envelope")

    async with running(tmp_path, mail_sink.servers) as lab:
        await asyncio.to_thread(send)
        first, second = lab.estate.mails
    assert first.sender == "karaula@customs.example"
    assert first.recipients == ("duty@customs.example", "b@customs.example")
    assert "\n.a line with a dot" in first.data.replace("\r\n", "\n")
    assert second.sender == ""
    assert second.data == "a bounce\r\n"


async def test_commands_out_of_order_are_refused(tmp_path):
    def talk() -> list[int]:
        with smtplib.SMTP(*MAIL, timeout=60) as server:
            codes = [server.docmd(line)[0] for line in ("RCPT TO:<a@b>", "EHLO me", "RCPT TO:<a@b>", "DATA")]
            return codes + [server.docmd(line)[0] for line in ("MAIL FROM:a@b", "MAIL FROM:<a@b>", "FROBNICATE")]

    async with running(tmp_path, mail_sink.servers):
        assert await asyncio.to_thread(talk) == [503, 250, 503, 503, 501, 250, 500]


async def test_a_ticket_is_opened_changed_and_shown(tmp_path):
    def ask(method: str, path: str, body: object = None) -> tuple[int, object, str]:
        connection = http.client.HTTPConnection(*TICKETS, timeout=60)
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        document = json.loads(answer.read())
        connection.close()
        return answer.status, document, answer.headers.get("Location", "")

    def talk() -> None:
        status, _, place = ask("POST", "/tickets", {"title": "NCTS is down", "state": "open"})
        assert (status, place) == (201, "/tickets/T-1")
        assert ask("PATCH", place, {"state": "closed"})[1]["title"] == "NCTS is down"
        assert ask("PUT", place, {"state": "open"})[1].get("title") is None
        assert [one["id"] for one in ask("GET", "/tickets")[1]] == ["T-1"]
        assert len(ask("GET", place)[1]["history"]) == 3
        assert ask("PATCH", "/tickets/T-9", {})[0] == 404
        assert ask("POST", "/tickets", ["no object"])[0] == 400
        assert ask("DELETE", place)[0] == 405
        assert ask("GET", "/elsewhere")[0] == 404

    async with running(tmp_path, ticket_sink.servers) as lab:
        await asyncio.to_thread(talk)
        assert [(one.method, one.path) for one in lab.estate.tickets] == [
            ("POST", "/tickets"),
            ("PATCH", "/tickets/T-1"),
            ("PUT", "/tickets/T-1"),
        ]
