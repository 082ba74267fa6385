"""Mail and tickets against servers that speak the protocols."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from email import message_from_bytes
from email.policy import default as default_policy
from typing import TYPE_CHECKING

import pytest
from watch_kit import START, estate

from lab.servers.http_server import HttpServer, Request, Response, error_response, json_response
from lab.servers.mail_sink import MailSink
from lab.servers.ticket_sink import TicketSink
from monitor.channels import MailChannel, TicketChannel, channels
from monitor.clients.http import HttpClient
from monitor.errors import DeadlineExceeded, GarbledReply, Refused, SessionLost, TargetError, Unreachable
from monitor.inventory.values import Endpoint
from monitor.status.alarm import Alarm

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from lab.states import Mail, Ticket

pytestmark = pytest.mark.anyio
ALARM = Alarm("0123456789ab", "system-down", "system/ncts", "critical", START, "active at no site: main is Jažince")
CLEARED = replace(ALARM, cleared_at=START + 60, note="now ok")
ADDRESS = "127.0.0.1"


def mail_to(port: int, deadline_s: float = 5.0) -> MailChannel:
    server = Endpoint(address=ADDRESS, port=port)
    return MailChannel(
        server, "karaula@customs.example", ("a@customs.example", "b@customs.example"), "customs.example", deadline_s
    )


@contextlib.asynccontextmanager
async def mail_sink() -> AsyncIterator[tuple[int, list[Mail]]]:
    mails: list[Mail] = []
    sink = MailSink(ADDRESS, 0, mails.append)
    await sink.start()
    try:
        yield sink.port, mails
    finally:
        await sink.stop()


async def test_a_mail_says_what_happened_and_the_second_answers_the_first() -> None:
    async with mail_sink() as (port, mails):
        channel = mail_to(port)
        reference = await channel.send(ALARM, "raised", "")
        await channel.send(CLEARED, "cleared", reference)
        await channel.close()
    raised, cleared = (message_from_bytes(mail.data.encode(), policy=default_policy) for mail in mails)
    assert mails[0].recipients == ("a@customs.example", "b@customs.example")
    assert raised["Subject"] == "ALARM critical: system-down system/ncts"
    assert raised["Message-ID"] == reference == "<0123456789ab.raised@customs.example>"
    assert "active at no site: main is Jažince" in raised.get_content()
    assert cleared["Subject"] == "CLEARED critical: system-down system/ncts"
    assert cleared["In-Reply-To"] == reference
    assert "Cleared 2026-09-21T14:14:20Z: now ok" in cleared.get_content()


@contextlib.asynccontextmanager
async def smtp_server(answers: dict[str, str]) -> AsyncIterator[int]:
    """An SMTP server that answers a verb as ``answers`` says; an empty answer breaks off, ``hang`` says nothing."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb = "greeting"
        while True:
            answer = answers.get(verb, {"greeting": "220 hello", "DATA": "354 go on"}.get(verb, "250 ok"))
            if answer == "hang":
                await reader.read()
                break
            if not answer:
                break
            writer.write(answer.encode() + b"\r\n")
            if verb == "DATA" and answer.startswith("354"):
                await reader.readuntil(b"\r\n.\r\n")
                verb = "body"
                continue
            line = await reader.readline()
            if not line:
                break
            verb = line.decode().split()[0].upper()
        writer.close()

    server = await asyncio.start_server(converse, ADDRESS, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("answers", "error", "words"),
    [
        ({"RCPT": "550 unknown"}, Refused, "no recipient is accepted"),
        ({"RCPT": "450 busy"}, Unreachable, "no recipient is accepted"),
        ({"MAIL": "550 not you"}, Refused, "550 not you"),
        ({"MAIL": "451 later"}, Unreachable, "451 later"),
        ({"body": "552 too large"}, Refused, "552 too large"),
        ({"greeting": ""}, SessionLost, "broke the connection off"),
        ({"DATA": ""}, SessionLost, "broke the connection off"),
        ({"greeting": "hang"}, DeadlineExceeded, "did not answer in time"),
        ({"body": "hang"}, DeadlineExceeded, "did not answer in time"),
    ],
)
async def test_what_a_mail_server_says_becomes_the_right_error(
    answers: dict[str, str], error: type[TargetError], words: str
) -> None:
    async with smtp_server(answers) as port:
        channel = mail_to(port, deadline_s=0.5 if error is DeadlineExceeded else 60)
        with pytest.raises(error, match=words):
            await channel.send(ALARM, "raised", "")
        await channel.close()


async def test_no_mail_server_is_unreachable() -> None:
    async with mail_sink() as (port, _):
        pass
    channel = mail_to(port)
    with pytest.raises(Unreachable, match="Connection refused"):
        await channel.send(ALARM, "raised", "")
    await channel.close()


@contextlib.asynccontextmanager
async def desk() -> AsyncIterator[tuple[TicketChannel, list[Ticket]]]:
    told: list[Ticket] = []
    sink = TicketSink(ADDRESS, 0, told.append)
    await sink.start()
    http = HttpClient(None)
    try:
        yield TicketChannel(f"http://{ADDRESS}:{sink.port}/tickets", http), told
    finally:
        await http.close()
        await sink.stop()


async def test_a_ticket_is_opened_once_and_closed_however_often_it_is_tried() -> None:
    async with desk() as (channel, told):
        first = await channel.send(ALARM, "raised", "")
        again = await channel.send(ALARM, "raised", "")
        assert first == again == "T-1"
        other = await channel.send(replace(ALARM, id="ba9876543210"), "raised", "")
        assert other == "T-2"
        for _ in range(2):
            assert await channel.send(CLEARED, "cleared", first) == "T-1"
    assert [(each.method, each.path) for each in told] == [
        ("POST", "/tickets"),
        ("POST", "/tickets"),
        ("PATCH", "/tickets/T-1"),
        ("PATCH", "/tickets/T-1"),
    ]
    opened, closed = json.loads(told[0].body), json.loads(told[2].body)
    assert opened["alarm_id"] == ALARM.id
    assert (opened["title"], opened["status"], opened["severity"]) == ("system-down system/ncts", "open", "critical")
    assert closed == {"status": "closed", "closed_at": "2026-09-21T14:14:20Z", "resolution": "now ok"}


async def test_a_ticket_that_was_never_opened_needs_no_closing() -> None:
    async with desk() as (channel, told):
        assert await channel.send(CLEARED, "cleared", "") == ""
        with pytest.raises(Refused, match="answered 404"):
            await channel.send(CLEARED, "cleared", "T-9")
    assert len(told) <= 1


@contextlib.asynccontextmanager
async def odd_desk(serve: Callable[[Request], Response]) -> AsyncIterator[TicketChannel]:
    async def answer(request: Request) -> Response:
        return serve(request)

    server = HttpServer(ADDRESS, 0, answer)
    await server.start()
    http = HttpClient(None)
    try:
        yield TicketChannel(f"http://{ADDRESS}:{server.port}/desk/", http, deadline_s=60)
    finally:
        await http.close()
        await server.stop()


async def test_a_desk_that_cannot_be_searched_still_gets_its_ticket() -> None:
    def serve(request: Request) -> Response:
        if request.method == "GET":
            return error_response(405, "not here")
        return Response(201, headers={"Location": "/desk/77"})

    async with odd_desk(serve) as channel:
        assert await channel.send(ALARM, "raised", "") == "77"


async def test_a_desk_without_numbers_is_given_ours() -> None:
    async with odd_desk(lambda request: json_response([] if request.method == "GET" else {"fine": True})) as channel:
        assert await channel.send(ALARM, "raised", "") == ALARM.id


@pytest.mark.parametrize(("status", "error"), [(503, Unreachable), (429, Unreachable), (400, Refused), (302, Refused)])
async def test_what_a_desk_answers_becomes_the_right_error(status: int, error: type[TargetError]) -> None:
    async with odd_desk(lambda _: Response(status)) as channel:
        with pytest.raises(error, match=f"answered {status}"):
            await channel.send(ALARM, "raised", "")


async def test_the_inventory_says_which_channels_there_are() -> None:
    http = HttpClient(None)
    found = channels(estate(), http)
    assert [channel.name for channel in found] == ["mail", "tickets"]
    nobody = estate().model_copy(update={"notify": type(estate().notify)()})
    assert channels(nobody, http) == []
    for channel in found:
        await channel.close()
    await http.close()
    assert GarbledReply.retry_helps


@pytest.mark.parametrize("bad", ["\n", "\r", "\x85", "\u2028", "\u2029", "\u202e", "\x1b", "\ud800"])
async def test_a_name_that_breaks_lines_breaks_no_message(bad: str) -> None:
    odd = replace(ALARM, subject=f"esx/vc-main/te{bad}st", reason=f"te{bad}st does not answer")
    async with mail_sink() as (port, mails):
        channel = mail_to(port)
        await channel.send(odd, "raised", "")
        await channel.close()
    mail = message_from_bytes(mails[0].data.encode(), policy=default_policy)
    assert mail["Subject"] == "ALARM critical: system-down esx/vc-main/te\ufffdst"
    assert "te\ufffdst does not answer" in mail.get_content()
