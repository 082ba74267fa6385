"""How a run is named, and what is said of a name that nobody knows. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from dr.errors import RunRefused
from monitor.problem import did_you_mean


def new_id(system: str, playbook: str, now: float, taken: Collection[str]) -> str:
    """Return an id that is not ``taken``: ``ncts-failover-20261124-003000``, with a number where that is."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%d-%H%M%S")
    base = f"{system}-{playbook}-{stamp}"
    number = 1
    while (candidate := base if number == 1 else f"{base}-{number}") in taken:
        number += 1
    return candidate


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return ``unknown system 'nctx'; did you mean 'ncts'?``."""
    hint = did_you_mean(name, known)
    later = " (a new file counts after 'karaula reload')" if what == "playbook" else ""
    return f"unknown {what} '{name}'" + (f"; {hint}" if hint else "") + later


def complete(beginning: str, ids: Collection[str]) -> str:
    """Return the one of ``ids`` that has this beginning. Raises RunRefused when none has, or several."""
    found = [known for known in ids if beginning and known.startswith(beginning)]
    if len(found) == 1:
        return found[0]
    if found:
        raise RunRefused("run", f"'{beginning}' begins {len(found)} runs: {', '.join(sorted(found)[:5])}")
    hint = did_you_mean(beginning, ids)
    raise RunRefused("run", f"there is no run '{beginning}'" + (f"; {hint}" if hint else ""))
