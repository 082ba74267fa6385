"""A disk that is full, that fails, or that loses its power: by answering a process's system calls for the kernel.

A process that asks for it (``listen``) has its writes and syncs handed to its supervisor before the kernel sees them
(seccomp(2), SECCOMP_RET_USER_NOTIF; no root, nothing preloaded, nothing of the program changed). The supervisor lets
them go on or answers with an error. It sees every sync, so it knows what is on the disk for certain at any moment:
after a power cut everything else is gone, or there by halves.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import platform
import select
import socket
import struct
from contextlib import suppress
from pathlib import Path

CALLS = {
    "x86_64": {"write": 1, "pwrite64": 18, "fsync": 74, "fdatasync": 75, "ftruncate": 77, "fallocate": 285},
    "aarch64": {"write": 64, "pwrite64": 68, "fsync": 82, "fdatasync": 83, "ftruncate": 46, "fallocate": 47},
}.get(platform.machine(), {})
SECCOMP = {"x86_64": 317, "aarch64": 277}.get(platform.machine(), -1)
NAMES = {number: name for name, number in CALLS.items()}
SYNCS = frozenset({"fsync", "fdatasync"})
NO_NEW_PRIVILEGES, SET_FILTER, NEW_LISTENER = 38, 1, 1 << 3
TELL, ALLOW = 0x7FC00000, 0x7FFF0000
RECEIVE, SEND, CONTINUE = 0xC0502100, 0xC0182101, 1
SECTOR = 512
SYNCS_ALONE = 1 << 16  # added to an error: writes go well, and the disk says at the sync that it has failed


def lacking() -> str:
    """Say why nobody can answer for this machine's kernel; empty: somebody can."""
    told = Path("/proc/sys/kernel/seccomp/actions_avail")
    if CALLS and told.exists() and "user_notif" in told.read_text(encoding="ascii").split():
        return ""
    return f"this kernel ({platform.machine()}) lets nobody answer for it (seccomp's user_notif)"


def listen(to: socket.socket) -> None:
    """Let the supervisor at the other end of ``to`` answer for the kernel from now on. Raises OSError."""
    code = [(0x20, 0, 0, 0), *((0x15, len(CALLS) - at, 0, number) for at, number in enumerate(CALLS.values()))]
    code += [(0x06, 0, 0, ALLOW), (0x06, 0, 0, TELL)]
    program = b"".join(struct.pack("HBBI", *one) for one in code)
    held = ctypes.create_string_buffer(program)
    head = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(held))
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    descriptor = kernel.syscall(SECCOMP, SET_FILTER, NEW_LISTENER, head)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "this kernel lets nobody answer for it (seccomp)")
    socket.send_fds(to, [b"x"], [descriptor])
    os.close(descriptor)


class Disk:
    """What is below ``folder``, for one process. ``error`` (an errno, 0: none) is what writes and syncs end with.

    With ``SYNCS_ALONE`` it is what syncs alone end with.

    Whoever is forked beside shares ``error``, so that the process itself can say when its disk fails.
    """

    def __init__(self, folder: Path) -> None:
        import mmap  # noqa: PLC0415 - for this alone

        self.folder = folder
        self._shared = mmap.mmap(-1, 4)
        self.answered = 0
        self._synced: dict[int, bytes] = {}
        self._names: dict[str, int] = {}
        for path in folder.iterdir():
            self._names[path.name] = path.stat().st_ino
            self._synced[path.stat().st_ino] = path.read_bytes()

    @property
    def error(self) -> int:
        return int.from_bytes(self._shared[:4], "little")

    @error.setter
    def error(self, number: int) -> None:
        self._shared[:4] = number.to_bytes(4, "little")

    def supervise(self, beside: socket.socket) -> None:
        """Answer for the kernel until the process is dead."""
        _, descriptors, *_ = socket.recv_fds(beside, 1, 1)
        if not descriptors:
            return  # it died before it asked; what it says tells why
        (listener,) = descriptors
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        try:
            while not any(event & select.POLLHUP for _, event in poll.poll()):
                told = bytearray(80)
                try:
                    fcntl.ioctl(listener, RECEIVE, told)
                except OSError as error:
                    if error.errno in {errno.ENOENT, errno.EINTR}:  # killed meanwhile
                        continue
                    raise
                call, pid, _flags, number = struct.unpack_from("QIIi", told)
                (descriptor,) = struct.unpack_from("Q", told, 32)
                failure = self._answer(NAMES[number], pid, descriptor)
                with suppress(OSError):  # killed meanwhile
                    fcntl.ioctl(listener, SEND, struct.pack("QqiI", call, 0, -failure, 0 if failure else CONTINUE))
        finally:
            os.close(listener)

    def _answer(self, name: str, pid: int, descriptor: int) -> int:
        try:
            path = Path(f"/proc/{pid}/fd/{descriptor}").readlink()
        except OSError:
            return 0
        if not path.is_relative_to(self.folder):
            return 0
        number, syncs_alone = self.error & ~SYNCS_ALONE, bool(self.error & SYNCS_ALONE)
        fails = name in SYNCS if syncs_alone else name not in SYNCS or number == errno.EIO  # what is written fits
        if number and fails:
            self.answered += 1
            return number
        if name in SYNCS:
            self._sync(path)
        return 0

    def _sync(self, path: Path) -> None:
        if path.is_dir():
            self._names = {one.name: one.stat().st_ino for one in path.iterdir()}
        elif path.exists():
            self._synced[path.stat().st_ino] = path.read_bytes()

    def cut_power(self, torn: str = "") -> None:
        """Leave what was synced. With ``torn``, a word to choose by, half of the other sectors are there as well."""
        there = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        for path in self.folder.iterdir():
            path.unlink()
        for name, inode in self._names.items():
            kept = self._synced.get(inode, b"")
            whole = _mixed(kept, there.get(name, b""), f"{torn} {name}") if torn else kept
            (self.folder / name).write_bytes(whole)


def _mixed(old: bytes, new: bytes, word: str) -> bytes:
    """Return ``old`` with about half of the sectors of ``new``."""
    found = bytearray(old)
    for at in range(0, len(new), SECTOR):
        if hashlib.sha256(f"{word} {at}".encode()).digest()[0] % 2:
            found.extend(b"\0" * (at - len(found)))
            found[at : at + SECTOR] = new[at : at + SECTOR]
    return bytes(found)
