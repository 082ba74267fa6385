"""A lease in a file of the state folder: for one daemon a folder, whose right to act ends when it no longer turns.

A file lock keeps other processes out for as long as this one lives, stopped or not; the epoch in the file grows with
each taking and is on the disk before it counts. The time is counted from before the write began: a slow disk shortens
the lease and never lengthens it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

from dr.lease import Held, LeaseLost
from monitor.errors import StateError

NAME = "lease.json"


class LocalLease:
    """Belongs to one thread at a time."""

    def __init__(self, folder: Path, ttl_s: float, monotonic: Callable[[], float]) -> None:
        """Keep the lease in ``folder``; each taking and each renewal is good for ``ttl_s``."""
        self.path = folder / NAME
        self._ttl_s = ttl_s
        self._monotonic = monotonic
        self._lock: int | None = None
        self._held: Held | None = None

    def acquire(self) -> Held:
        """Take the lease under the next epoch. Raises LeaseLost while another process has it, StateError."""
        self._take_lock()
        began = self._monotonic()
        epoch = self._read() + 1
        self._write(epoch)
        self._held = Held(epoch, began + self._ttl_s)
        return self._held

    def renew(self) -> Held:
        """Prolong it. Raises LeaseLost, StateError."""
        if self._held is None or self._lock is None:
            raise LeaseLost("this daemon has no lease")
        began = self._monotonic()
        if began >= self._held.until:
            self._held = None
            raise LeaseLost("the lease was not renewed in time")
        there = self._read()
        if there != self._held.epoch:
            self._held = None
            raise LeaseLost(f"{self.path} was changed by somebody else: it says epoch {there}")
        self._write(self._held.epoch)
        self._held = Held(self._held.epoch, began + self._ttl_s)
        return self._held

    def release(self) -> None:
        """Give it up; the epoch stays in the file."""
        self._held = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        try:
            descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"the lease {self.path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise LeaseLost(f"the lease in {self.path.parent} is held by another daemon; only one may act") from error
        self._lock = descriptor

    def _read(self) -> int:
        """Return the epoch in the file, 0 without one. Raises StateError."""
        try:
            body = json.loads(self.path.read_bytes())
            epoch = body["epoch"]
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise StateError(f"the lease {self.path} cannot be read: {error.strerror}") from error
        except (ValueError, LookupError, TypeError, RecursionError):
            epoch = None
        if type(epoch) is not int or epoch < 0:
            raise StateError(
                f'{self.path} is damaged; write {{"epoch": N}} into it with N above every fencing token seen'
            )
        return epoch

    def _write(self, epoch: int) -> None:
        fresh = self.path.with_suffix(".new")
        try:
            with fresh.open("w", encoding="ascii") as file:
                json.dump({"epoch": epoch, "process": os.getpid()}, file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            with contextlib.closing(_Descriptor(folder)):
                os.fsync(folder)
        except OSError as error:
            raise StateError(f"the lease {self.path} cannot be written: {error.strerror}") from error


class _Descriptor:
    def __init__(self, number: int) -> None:
        self._number = number

    def close(self) -> None:
        os.close(self._number)
