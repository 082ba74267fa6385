"""What an action says, made fit for the journal: no secret, nothing that cannot be written or read again, no flood."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

from dr.action import Output

TEXT_LIMIT_CHARS = 10_000
LARGEST = 2**63


def text(said: str, redact: Callable[[str], str], limit_chars: int = TEXT_LIMIT_CHARS) -> str:
    """Return ``said`` without secrets and without half characters, cut to ``limit_chars`` with a word about it."""
    clean = redact(said).encode("utf-8", "replace").decode("utf-8")
    if len(clean) <= limit_chars:
        return clean
    return f"{clean[:limit_chars]} [cut: {len(clean)} characters]"


def outputs(
    told: Mapping[str, object], redact: Callable[[str], str], complain: Callable[[str], None]
) -> dict[str, Output]:
    """Return the outputs that can be kept; ``complain`` is told of every other.

    That an output is unfit does not undo what the action did, so the step succeeds without it. A later step that
    refers to it is then left out, and says so.
    """
    return dict(_fit(told, redact, complain))


def _fit(
    told: Mapping[str, object], redact: Callable[[str], str], complain: Callable[[str], None]
) -> Iterator[tuple[str, Output]]:
    for name, value in told.items():
        if isinstance(value, bool):
            yield name, value
        elif isinstance(value, str):
            yield name, text(str(value), redact)
        elif isinstance(value, int) and -LARGEST <= value < LARGEST:
            yield name, int(value)
        elif isinstance(value, float) and math.isfinite(value):
            yield name, float(value)
        else:
            complain(f"the output '{name}' is not kept: {_what(value)} is neither text, number nor truth value")


def _what(value: object) -> str:
    if isinstance(value, float):
        return repr(value)
    return f"a number of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"
