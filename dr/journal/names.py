"""Names of people, as they type them."""

from __future__ import annotations


def same_person(one: str, other: str) -> bool:
    """Tell whether two names mean one person."""
    return one.strip().casefold() == other.strip().casefold()
