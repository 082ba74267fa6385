#!/usr/bin/python3
"""A system's address on one of this host's interfaces: taken, given up, looked at. For the gate (karaula_gate.py).

    karaula-vip status ADDRESS/PREFIX INTERFACE    {"holds": true|false}
    karaula-vip add    ADDRESS/PREFIX INTERFACE    take it, and tell the neighbours (gratuitous ARP, RFC 5227)
    karaula-vip remove ADDRESS/PREFIX INTERFACE    give it up

Every order may be repeated; ``add`` of what is there tells the neighbours once more. Needs CAP_NET_ADMIN, CAP_NET_RAW,
iproute2 and Python 3.11. IPv4 only: of IPv6 the kernel tells the neighbours itself (sysctl ndisc_notify).
Exit status: 0 done, 1 not done, 2 usage. How to install it: docs/targets.md.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
import struct
import subprocess
import sys
import time

FAILED, USAGE = 1, 2
INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
ETH_ARP, REQUEST, REPLY = 0x0806, 1, 2
BROADCAST = b"\xff" * 6
ANNOUNCEMENTS = 3  # one may be lost, and a neighbour that misses all of them sends into the void for minutes
BETWEEN_S = 0.2
ARGUMENTS = 3


class Trouble(Exception):
    """It cannot be done; the text is fit for a user."""


def ip(*words: str) -> str:
    """Return what iproute2 prints. Raises Trouble."""
    done = subprocess.run(["/sbin/ip", *words], capture_output=True, text=True, check=False)  # noqa: S603 - checked words
    if done.returncode:
        raise Trouble(f"ip {' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def holds(address: ipaddress.IPv4Interface, interface: str) -> bool:
    """Tell whether the interface has the address. Raises Trouble."""
    found = json.loads(ip("-json", "address", "show", "dev", interface))
    return any(one.get("local") == str(address.ip) for link in found for one in link.get("addr_info", ()))


def announce(address: ipaddress.IPv4Interface, interface: str) -> None:
    """Say to all neighbours, as request and as reply, that the address is here now. Raises Trouble."""
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_ARP)) as wire:
            wire.bind((interface, ETH_ARP))
            mac: bytes = wire.getsockname()[4]
            for number in range(ANNOUNCEMENTS):
                for operation in (REQUEST, REPLY):
                    wire.send(frame(mac, address.ip.packed, operation))
                if number < ANNOUNCEMENTS - 1:
                    time.sleep(BETWEEN_S)
    except OSError as error:
        raise Trouble(f"{interface}: the neighbours cannot be told: {error.strerror}") from error


def frame(mac: bytes, address: bytes, operation: int) -> bytes:
    """Return a gratuitous ARP message (RFC 826, RFC 5227 3) in its Ethernet frame."""
    head = BROADCAST + mac + struct.pack("!H", ETH_ARP)
    target = BROADCAST if operation == REPLY else bytes(6)
    return head + struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + address + target + address


def understood(arguments: list[str]) -> tuple[str, ipaddress.IPv4Interface, str]:
    """Return order, address and interface. Raises ValueError."""
    if len(arguments) != ARGUMENTS or arguments[0] not in ("status", "add", "remove"):
        raise ValueError("status, add or remove, an address with its prefix, an interface")
    if INTERFACE.fullmatch(arguments[2]) is None:
        raise ValueError(f"'{arguments[2]}' is no interface")
    return arguments[0], ipaddress.IPv4Interface(arguments[1]), arguments[2]


def main(arguments: list[str]) -> int:
    """Do one thing and print how it is then."""
    try:
        order, address, interface = understood(arguments)
    except ValueError as error:
        sys.stderr.write(f"karaula-vip: {error}\n")
        return USAGE
    try:
        there = holds(address, interface)
        if order == "add":
            if not there:
                ip("address", "add", str(address), "dev", interface)
            announce(address, interface)
        elif order == "remove" and there:
            ip("address", "delete", str(address), "dev", interface)
        sys.stdout.write(json.dumps({"holds": holds(address, interface)}) + "\n")
    except (Trouble, OSError, ValueError) as error:
        sys.stderr.write(f"karaula-vip: {error}\n")
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
