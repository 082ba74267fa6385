"""Overrides on the screen, one line each: what is out of force, by whom, until when, and what is still missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from monitor.printable import printable

if TYPE_CHECKING:
    from console.terminal.screen import Screen
    from console.terminal.shapes import Override


def said(override: Override, screen: Screen) -> str:
    """Return the override in one line."""
    what = f"override {override['id']}: '{override['rule']}' for {override['system']}, by {override['by']}"
    if override["confirmed_by"]:
        what += f", confirmed by {override['confirmed_by']}"
    until, reason = screen.moment(override["expires_at"]), printable(override["reason"])
    if override["ended_at"] is not None:
        return f"{what}; ended by {override['ended_by']} {screen.moment(override['ended_at'])}: {reason}"
    if override["expires_at"] <= screen.now:
        return f"{what}; it ended by itself {until}: {reason}"
    if override["in_force"]:
        return f"{what}; in force until {until}: {reason}"
    return (
        f"{what}; NOT in force, it waits for a second person until {until}: {reason}; "
        f"to agree: karaula override --confirm {override['id']} --as NAME"
    )


def over(override: Override, standing: Sequence[Override]) -> str:
    """Say that the override has ended, and whether the rule holds again: another one may still stand."""
    same = [
        one["id"]
        for one in standing
        if (one["rule"], one["system"]) == (override["rule"], override["system"]) and one["in_force"]
    ]
    ended, of = f"override {override['id']} has ended", f"for {override['system']}"
    if same:
        return f"{ended}; '{override['rule']}' stays out of force {of}, by override {', '.join(same)}"
    return f"{ended}; '{override['rule']}' holds {of} again"
