"""Overrides on the screen, one line each: what is out of force, by whom, until when, and what is still missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from console.terminal.screen import Screen
    from console.terminal.shapes import Override


def said(override: Override, screen: Screen) -> str:
    """Return the override in one line."""
    what = f"override {override['id']}: '{override['rule']}' for {override['system']}, by {override['by']}"
    if override["confirmed_by"]:
        what += f", confirmed by {override['confirmed_by']}"
    until = screen.moment(override["expires_at"])
    if override["ended_at"] is not None:
        return f"{what}; ended by {override['ended_by']} {screen.moment(override['ended_at'])}: {override['reason']}"
    if override["expires_at"] <= screen.now:
        return f"{what}; it ended by itself {until}: {override['reason']}"
    if override["in_force"]:
        return f"{what}; in force until {until}: {override['reason']}"
    return (
        f"{what}; NOT in force, it waits for a second person until {until}: {override['reason']}; "
        f"to agree: karaula override --confirm {override['id']} --as NAME"
    )


def over(override: Override) -> str:
    """Say that the override has ended."""
    return f"override {override['id']} has ended; '{override['rule']}' holds for {override['system']} again"
