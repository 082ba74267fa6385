"""A command's bytes on the wire, and what paramiko does not do: read ahead, give up waiting, end input in order.

Part of ``monitor.clients.ssh``; knows no hosts and no commands.
"""

from __future__ import annotations

import select
import socket
import threading
from typing import TYPE_CHECKING

import paramiko
from paramiko.common import cMSG_CHANNEL_EOF

if TYPE_CHECKING:
    from collections.abc import Callable

    from monitor.output import Output

SLICE_S = 0.1  # how late a worker sees that it was cancelled
AHEAD_BYTES = 16 * 1024


class ReadAhead(socket.socket):
    """A socket that reads what has come at once: paramiko asks for each packet's beginning, then for its rest."""

    _ahead = b""

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return up to ``size`` bytes. Raises OSError."""
        if not self._ahead:
            self._ahead = super().recv(max(size, AHEAD_BYTES), flags)
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data


class Acknowledged(threading.Event):
    """What paramiko waits for, without any time-out, once a command is sent: given up when no time is left."""

    def __init__(self, channel: paramiko.Channel, left_s: Callable[[], float]) -> None:
        """``left_s()`` is how many seconds may still be waited."""
        super().__init__()
        self._channel = channel
        self._left_s = left_s

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the host; one that does not answer in time has its channel closed, which ends the wait."""
        del timeout
        if not super().wait(self._left_s()):
            self._channel.close()
        return True


def end_input(channel: paramiko.Channel) -> None:
    """Tell the host that a command's input ends here, unless its channel is over already. Raises OSError.

    paramiko looks whether it is over and then sends, and in between its other thread may close the channel: sshd then
    cuts the whole connection, with every other command on it ("ieof packet referred to nonexistent channel"). So the
    channel is held meanwhile. Not while new keys are agreed on: that other thread might need it to get on with them.
    """
    transport = channel.get_transport()
    if not transport.clear_to_send.is_set():
        channel.shutdown_write()
        return
    with channel.lock:
        if channel.closed or channel.eof_sent:
            return
        channel.eof_sent = True
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_EOF)
        message.add_int(channel.remote_chanid)
        transport._send_user_message(message)  # type: ignore[attr-defined]  # noqa: SLF001 - as shutdown_write() does


def pump(channel: paramiko.Channel, stdin: bytes, output: Output, left_s: Callable[[], float]) -> None:
    """Move bytes both ways until the command's output ends or no time is left."""
    ready = select.poll()
    ready.register(channel.fileno(), select.POLLIN)
    pending = memoryview(stdin)
    told_end = False
    while left_s():
        ended = channel.eof_received or channel.closed  # looked at before the buffers, so that nothing is missed
        moved = False
        if channel.recv_ready():
            output.feed("stdout", channel.recv(65536))
            moved = True
        if channel.recv_stderr_ready():
            output.feed("stderr", channel.recv_stderr(65536))
            moved = True
        try:
            if pending and channel.send_ready():
                pending = pending[channel.send(bytes(pending[:32768])) :]
                moved = True
            elif not pending and not told_end:
                end_input(channel)
                told_end = True
        except OSError:
            pending, told_end = memoryview(b""), True  # the command ended without reading its input, as it may
        if ended and not moved:
            return
        if not moved:
            ready.poll(min(SLICE_S, left_s()) * 1000)
