"""A command's output: pieces in any cut give the same text and lines; a flood is bounded."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from monitor.output import LINE_LIMIT_CHARACTERS, Output, Stream


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_however_it_is_cut_it_reads_the_same(data: bytes, cuts: list[int]) -> None:
    seen: list[str] = []
    output = Output(lambda _stream, lines: seen.extend(lines))
    places = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(places):
        output.feed("stdout", data[start:end])
    output.finish()
    text = data.decode("utf-8", "replace")
    assert output.text("stdout") == text
    assert seen == (text.removesuffix("\n").split("\n") if text else [])


def test_the_limit_is_shared_by_both_streams() -> None:
    output = Output(limit_bytes=10)
    output.feed("stdout", b"1234567")
    output.feed("stderr", b"abcdefg")
    output.feed("stdout", b"89")
    output.finish()
    assert (output.text("stdout"), output.text("stderr"), output.dropped_bytes) == ("1234567", "abc", 6)


def test_a_line_without_end_comes_in_pieces() -> None:
    seen: list[tuple[Stream, int]] = []
    output = Output(lambda stream, lines: seen.extend((stream, len(line)) for line in lines))
    output.feed("stderr", b"x" * (LINE_LIMIT_CHARACTERS * 2 + 5))
    output.finish()
    assert seen == [("stderr", LINE_LIMIT_CHARACTERS), ("stderr", LINE_LIMIT_CHARACTERS), ("stderr", 5)]
