"""Datagrams of one socket, many a system call, with the kernel's time stamps; Linux, 64 bit, IPv4.

``socket.sendto`` and ``recvmsg`` let other threads run at each packet; while one of them parses a vCenter's reply, each
packet then waits for the interpreter's switch interval (5 ms), and a few hundred probes take seconds. The calls here
keep the interpreter for the microseconds that they take. Nothing here blocks.
Source: sendto(2), recvmmsg(2), cmsg(3), ip(7), socket(7), <linux/sock_diag.h>.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = 64
PACKET_BYTES = 2048
NAME_BYTES = 16
CONTROL_BYTES = 128
RECEIVE_BUFFER_BYTES = 1 << 22
SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>; Python has no names for these
SO_MEMINFO = 55
SO_RCVBUFFORCE = 33
DROPS_AT = 8 * 4  # SK_MEMINFO_DROPS
MEMINFO_BYTES = 9 * 4
IP_RECVTTL = 12
HEAD = struct.Struct("@QI4xQQQQi4xI4x")  # struct mmsghdr: name, its length, vectors, how many, control, its length
VECTOR = struct.Struct("@QQ")
CONTROL = struct.Struct("@Qii")
TIMESPEC = struct.Struct("@qq")
ADDRESS = struct.Struct("=H2s4s8x")
INT = struct.Struct("@i")


class Datagram(NamedTuple):
    """A datagram that came: ``source`` as ``place`` gives it; the kernel's receive time (Unix seconds) and its TTL."""

    packet: bytes
    source: bytes
    received_at: float | None
    ttl: int | None


def place(address: str, port: int) -> bytes:
    """Return an IPv4 address and port as ``struct sockaddr_in``. Raises OSError when the address is none."""
    return ADDRESS.pack(socket.AF_INET, port.to_bytes(2, "big"), socket.inet_aton(address))


class Datagrams:
    """Sends and receives on a socket that stays its owner's."""

    def __init__(self, sock: socket.socket) -> None:
        """Ask the kernel for time stamps, TTLs and a large buffer, and prepare to receive."""
        sock.settimeout(0)
        self._sock = sock
        self._descriptor = sock.fileno()
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        library = ctypes.PyDLL(None, use_errno=True)  # PyDLL: the interpreter is not let go
        self._sendto = library.sendto
        self._sendto.argtypes = (
            *(ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int),
            *(ctypes.c_char_p, ctypes.c_uint),
        )
        self._recvmmsg = library.recvmmsg
        self._recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._packets = ctypes.create_string_buffer(BATCH * PACKET_BYTES)
        self._names = ctypes.create_string_buffer(BATCH * NAME_BYTES)
        self._controls = ctypes.create_string_buffer(BATCH * CONTROL_BYTES)
        self._vectors = ctypes.create_string_buffer(BATCH * VECTOR.size)
        self._heads = ctypes.create_string_buffer(BATCH * HEAD.size)
        self._fresh_heads = b"".join(self._head(index) for index in range(BATCH))
        buffers = (self._packets, self._names, self._controls, self._heads)
        self._views = tuple(memoryview(each).cast("B") for each in buffers)

    def send(self, packet: bytes, to: bytes) -> int:
        """Send ``packet`` to a ``place``; return 0, or the error's number (``EAGAIN``: the send buffer is full)."""
        sent = self._sendto(self._descriptor, packet, len(packet), socket.MSG_DONTWAIT, to, NAME_BYTES)
        return ctypes.get_errno() if sent < 0 else 0

    def receive(self) -> Iterator[Datagram]:
        """Yield what is there, ``BATCH`` at most; the caller asks again when it was as many.

        Raises OSError: an ICMP error about an earlier packet (the next call goes on after it).
        """
        packets, names, controls, heads = self._views
        heads[:] = self._fresh_heads
        count = self._recvmmsg(self._descriptor, self._heads, BATCH, socket.MSG_DONTWAIT, None)
        if count < 0:
            number = ctypes.get_errno()
            if number in (errno.EAGAIN, errno.EINTR):
                return
            raise OSError(number, os.strerror(number))
        for index, head in enumerate(HEAD.iter_unpack(heads[: count * HEAD.size])):
            _, name_bytes, _, _, _, control_bytes, _, length = head
            at, name_at = index * PACKET_BYTES, index * NAME_BYTES
            source = bytes(names[name_at : name_at + NAME_BYTES]) if name_bytes == NAME_BYTES else b""
            notes = _notes(controls, index * CONTROL_BYTES, control_bytes)
            yield Datagram(bytes(packets[at : at + length]), source, *notes)

    def dropped(self) -> int:
        """Return how many packets the kernel threw away because we did not read them in time; 0 if it does not say."""
        try:
            found = self._sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, MEMINFO_BYTES)
        except OSError:
            return 0
        return int.from_bytes(found[DROPS_AT : DROPS_AT + 4], "little") if len(found) >= MEMINFO_BYTES else 0

    def _head(self, index: int) -> bytes:
        packet = ctypes.addressof(self._packets) + index * PACKET_BYTES
        vector = ctypes.addressof(self._vectors) + index * VECTOR.size
        VECTOR.pack_into(self._vectors, index * VECTOR.size, packet, PACKET_BYTES)
        name = ctypes.addressof(self._names) + index * NAME_BYTES
        control = ctypes.addressof(self._controls) + index * CONTROL_BYTES
        return HEAD.pack(name, NAME_BYTES, vector, 1, control, CONTROL_BYTES, 0, 0)


def _notes(controls: memoryview, at: int, length: int) -> tuple[float | None, int | None]:
    """Return the kernel's receive time (Unix seconds) and the packet's TTL, where it gave them."""
    received_at, ttl = None, None
    end = at + min(length, CONTROL_BYTES)
    while at + CONTROL.size < end:
        size, level, kind = CONTROL.unpack_from(controls, at)
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and size >= CONTROL.size + TIMESPEC.size:
            seconds, nanoseconds = TIMESPEC.unpack_from(controls, at + CONTROL.size)
            received_at = seconds + nanoseconds / 1e9
        elif level == socket.IPPROTO_IP and kind == socket.IP_TTL and size >= CONTROL.size + INT.size:
            (ttl,) = INT.unpack_from(controls, at + CONTROL.size)
        at += max(CONTROL.size, (size + 7) & ~7)
    return received_at, ttl
