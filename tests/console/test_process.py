"""What the daemon's process does for itself."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from console.process import sweep

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ring:
    """Points at itself, so that only the collector can free it."""

    def __init__(self) -> None:
        """Close the ring."""
        self.itself = self


@pytest.fixture
def _as_it_was() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_as_it_was")
def test_a_sweep_frees_what_an_earlier_one_had_passed_over() -> None:
    ring = Ring()
    gone = weakref.ref(ring)
    sweep()
    assert gc.get_freeze_count() > 0
    del ring
    gc.collect()
    assert gone() is not None, "it is passed over until the next sweep"
    sweep()
    assert gone() is None
