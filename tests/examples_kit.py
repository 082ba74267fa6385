"""How many examples Hypothesis tries where a test wants more or fewer than usual.

``./do check`` tries a fifth of the examples (its profile is ``quick``, see conftest.py), here as everywhere.
"""

from __future__ import annotations

from hypothesis import settings

USUAL = 100  # Hypothesis's own


def examples(count: int) -> int:
    """Return ``count``, or the part of it that the profile in force tries of the usual number."""
    return count * settings().max_examples // USUAL
