"""Does the port accept a connection, and how far away is it.

The round trip is the kernel's own measurement of the handshake (``TCP_INFO``), not the time our event loop took.
Source: RFC 9293; Linux ``struct tcp_info`` (linux/tcp.h), of which ``tcpi_rtt`` is at byte 68, in microseconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monitor.errors import in_words
from monitor.probe import Answer, Observation, each

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from monitor.clock import Clock
    from monitor.credential import Credentials
    from monitor.inventory.estate import Trust
    from monitor.probe import Target

AT_ONCE = 64
RTT_AT = 68


@dataclass(frozen=True, slots=True)
class TcpParams:
    """Where to connect to."""

    address: str
    port: int


class TcpProbe:
    """Connects and closes again, without sending anything."""

    def __init__(self, credentials: Credentials, trust: Trust, clock: Clock) -> None:  # noqa: ARG002 - as every probe is made
        """Prepare; needs no secret and no trust."""
        self._clock = clock

    async def observe(self, targets: Sequence[Target]) -> AsyncIterator[Observation]:
        """Yield one observation a target, with ``rtt_seconds`` when it answered."""
        async for observation in each(targets, self._ask, AT_ONCE, self._clock):
            yield observation

    async def close(self) -> None:
        """Nothing is kept."""

    async def _ask(self, target: Target) -> Observation:
        params: TcpParams = target.params
        where = f"{params.address}:{params.port}"
        try:
            async with asyncio.timeout(target.deadline_s):
                _, writer = await asyncio.open_connection(params.address, params.port)
        except TimeoutError:
            return self._failed(target, f"{where} did not accept a connection in time")
        except OSError as error:
            return self._failed(target, f"{where} cannot be reached: {in_words(error)}")
        rtt_s = _rtt_s(writer.get_extra_info("socket"))
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        values = {} if rtt_s is None else {"rtt_seconds": rtt_s}
        return Observation(target.subject, target.probe, self._clock.now(), Answer.OK, values=values)

    def _failed(self, target: Target, reason: str) -> Observation:
        return Observation(target.subject, target.probe, self._clock.now(), Answer.FAILED, reason)


def _rtt_s(connection: socket.socket) -> float | None:
    """Return the smoothed round-trip time in seconds, None where the kernel does not say."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, RTT_AT + 4)
    except OSError:
        return None
    return float(struct.unpack_from("=I", info, RTT_AT)[0]) / 1e6 if len(info) == RTT_AT + 4 else None
