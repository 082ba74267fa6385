"""What a command prints: decoded, bounded, and handed on line by line while it comes."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

Stream = Literal["stdout", "stderr"]

OUTPUT_LIMIT_BYTES = 4 * 1024 * 1024
LINE_LIMIT_CHARACTERS = 64 * 1024


class Output:
    """Collects both streams up to a limit they share; what comes after it is counted in ``dropped_bytes``."""

    def __init__(
        self, emit: Callable[[Stream, list[str]], None] | None = None, limit_bytes: int = OUTPUT_LIMIT_BYTES
    ) -> None:
        """``emit(stream, lines)`` gets whole lines without their ends; one that is too long comes in pieces."""
        self.dropped_bytes = 0
        self._emit = emit
        self._room_bytes = limit_bytes
        self._text: dict[Stream, list[str]] = {"stdout": [], "stderr": []}
        self._tail: dict[Stream, str] = {"stdout": "", "stderr": ""}
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {name: decoder("replace") for name in self._text}

    def feed(self, stream: Stream, data: bytes) -> None:
        """Take the next bytes of a stream."""
        kept = data[: self._room_bytes]
        self._room_bytes -= len(kept)
        self.dropped_bytes += len(data) - len(kept)
        self._take(stream, self._decoders[stream].decode(kept))

    def finish(self) -> None:
        """Hand on what has no line end; nothing may be fed afterwards."""
        for stream, decoder in self._decoders.items():
            self._take(stream, decoder.decode(b"", final=True))
            if self._emit is not None and self._tail[stream]:
                self._emit(stream, [self._tail[stream]])

    def text(self, stream: Stream) -> str:
        """Return all that was kept of a stream."""
        return "".join(self._text[stream])

    def _take(self, stream: Stream, text: str) -> None:
        self._text[stream].append(text)
        if self._emit is None:
            return
        *lines, tail = (self._tail[stream] + text).split("\n")
        while len(tail) > LINE_LIMIT_CHARACTERS:
            lines.append(tail[:LINE_LIMIT_CHARACTERS])
            tail = tail[LINE_LIMIT_CHARACTERS:]
        self._tail[stream] = tail
        if lines:
            self._emit(stream, lines)


def relay(
    loop: asyncio.AbstractEventLoop, on_line: Callable[[str, str], None] | None
) -> Callable[[Stream, list[str]], None] | None:
    """Return an ``emit`` for a worker's thread by which ``on_line(stream, line)`` is called on ``loop``."""
    if on_line is None:
        return None

    def deliver(stream: Stream, lines: list[str]) -> None:
        for line in lines:
            on_line(stream, line)

    def emit(stream: Stream, lines: list[str]) -> None:
        loop.call_soon_threadsafe(deliver, stream, lines)

    return emit
