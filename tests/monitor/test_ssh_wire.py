"""The SSH client's wire: what has come is read at once, and no end of input follows a channel's close."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from monitor.clients.ssh_wire import Acknowledged, ReadAhead, end_input


class Wire:
    """A channel and its transport, as far as ``end_input`` and ``Acknowledged`` use them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.clear_to_send = threading.Event()
        self.clear_to_send.set()
        self.closed = self.eof_sent = False
        self.remote_chanid = 7
        self.sent: list[tuple[bytes, bool]] = []
        self.by_paramiko = 0

    def get_transport(self) -> Wire:
        return self

    def shutdown_write(self) -> None:
        self.by_paramiko += 1

    def _send_user_message(self, message: Any) -> None:
        self.sent.append((message.asbytes(), self.lock.locked()))

    def close(self) -> None:
        self.closed = True


def as_channel(wire: Wire) -> Any:
    return wire


def test_the_end_of_input_is_sent_once_and_while_nobody_can_close_the_channel() -> None:
    wire = Wire()
    end_input(as_channel(wire))
    end_input(as_channel(wire))
    assert wire.sent == [(b"\x60\x00\x00\x00\x07", True)]  # SSH_MSG_CHANNEL_EOF (RFC 4254, section 5.3)


def test_nothing_is_sent_after_a_close() -> None:
    wire = Wire()
    wire.close()
    end_input(as_channel(wire))
    assert wire.sent == []
    assert wire.by_paramiko == 0


def test_the_channel_is_not_held_while_keys_are_agreed_on() -> None:
    wire = Wire()
    wire.clear_to_send.clear()
    end_input(as_channel(wire))
    assert (wire.sent, wire.by_paramiko) == ([], 1)


def test_a_host_that_does_not_answer_in_time_has_its_channel_closed() -> None:
    wire = Wire()
    assert Acknowledged(as_channel(wire), lambda: 0.0).wait()
    assert wire.closed
    answered = Wire()
    event = Acknowledged(as_channel(answered), lambda: 60.0)
    event.set()
    assert event.wait()
    assert not answered.closed


def test_reading_ahead_gives_every_byte_in_order_and_then_the_end() -> None:
    ours, theirs = socket.socketpair()
    with theirs, ReadAhead(fileno=ours.detach()) as wire:
        wire.settimeout(0.01)
        sent = bytes(range(256)) * 10
        theirs.sendall(sent)
        assert b"".join(wire.recv(7) for _ in range(366)) == sent
        with pytest.raises(TimeoutError):
            wire.recv(7)
        theirs.close()
        assert wire.recv(7) == b""
