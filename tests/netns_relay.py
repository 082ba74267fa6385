"""A wire that delays and doubles: frames between two TAP devices, each in a network namespace of its own.

Run by ``netns_kit`` as a program: ``netns_relay.py NAMESPACE TAP NAMESPACE TAP``. Says ``ready`` when both devices are
open, then takes lines on standard input: ``THERE_S BACK_S DUPLICATE_RATIO``; ends when standard input does.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time
from itertools import count

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
FRAME_LIMIT = 65536


def enter(namespace: str) -> None:
    """Move this process to a named network namespace (setns(2); Python 3.11 has no name for it)."""
    with open(f"/run/netns/{namespace}", "rb") as place:  # noqa: PTH123 - a file descriptor is what is needed
        if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns", namespace)


def tap(namespace: str, name: str) -> int:
    """Make the TAP device ``name`` in ``namespace``; it lives as long as this process."""
    enter(namespace)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return device


def relay(left: int, right: int) -> None:
    """Carry frames from ``left`` to ``right`` (there) and back."""
    there_s = back_s = doubled = 0.0
    order, dice = count(), random.Random(1)  # noqa: S311 - chance, not a secret
    waiting: list[tuple[float, int, int, bytes]] = []
    while True:
        patience_s = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        ready = select.select([0, left, right], [], [], patience_s)[0]
        now = time.monotonic()
        if 0 in ready:
            line = sys.stdin.readline()
            if not line:
                return
            there_s, back_s, doubled = (float(word) for word in line.split())
            os.write(1, b"set\n")
        for source, target, delay_s in ((left, right, there_s), (right, left, back_s)):
            if source in ready:
                frame = os.read(source, FRAME_LIMIT)
                for _ in range(2 if dice.random() < doubled else 1):
                    heapq.heappush(waiting, (now + delay_s, next(order), target, frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, target, frame = heapq.heappop(waiting)
            try:
                os.write(target, frame)
            except OSError:
                continue  # the device is down: the frame is lost, as on a wire


if __name__ == "__main__":
    ends = tap(sys.argv[1], sys.argv[2]), tap(sys.argv[3], sys.argv[4])
    os.write(1, b"ready\n")
    relay(*ends)
