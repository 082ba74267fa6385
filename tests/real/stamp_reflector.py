"""A STAMP Session-Reflector (RFC 8762, figure 5): ``stamp_reflector.py ADDRESS PORT stateful`` (or ``stateless``).

Written from the RFC alone. Its clock claims to be synchronized: in a test it is the sender's own.
"""

from __future__ import annotations

import socket
import struct
import sys
import time


def ntp(at: float) -> int:
    return int((at + 2_208_988_800) * 2**32) & 0xFFFF_FFFF_FFFF_FFFF


def main(address: str, port: int, *, stateful: bool) -> None:
    counts: dict[tuple[str, int], int] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as place:
        place.bind((address, port))
        while True:
            packet, sender = place.recvfrom(2048)
            came = ntp(time.time())
            sequence, sent, estimate = struct.unpack_from("!IQH", packet)
            number = counts.get(sender, 0) if stateful else sequence
            counts[sender] = number + 1
            head = struct.pack(
                "!IQHHQIQHHB3x", number, ntp(time.time()), 0x8001, 0, came, sequence, sent, estimate, 0, 64
            )
            place.sendto(head, sender)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), stateful=sys.argv[3] == "stateful")
