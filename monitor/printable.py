"""Makes text of others fit for one line: a mail's subject, a log line, a terminal.

What breaks a line or turns the direction of what follows is not dropped but shown as U+FFFD, so that a name does not
pass for another one. Source: Unicode 15.1, chapter 23 (control codes, line separators, bidirectional controls).
"""

from __future__ import annotations

import re

_BREAKS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"  # C0, DEL and C1 (with U+0085, next line), line and paragraph separator
_TURNS = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_HALVES = r"\ud800-\udfff"  # lone surrogates: no encoding takes them
_UNPRINTABLE = re.compile(f"[{_BREAKS}{_TURNS}{_HALVES}]")


def printable(text: str) -> str:
    """Return ``text`` with every character that cannot stand in one line replaced by U+FFFD."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)
