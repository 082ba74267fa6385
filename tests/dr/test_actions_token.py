"""A fencing token that is not above every one the database has seen promotes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from actions_kit import Desk, world_of
from estate_kit import start_lab

from dr.errors import StepFailed

pytestmark = [pytest.mark.anyio, pytest.mark.lab]


async def test_a_token_that_the_standby_has_seen_promotes_nothing(tmp_path: Path) -> None:
    with start_lab(tmp_path) as lab:
        async with world_of(lab) as world:
            seen = lab.truth("ncts")["epochs"]["dr"]
            stale = Desk(world, token=seen)
            await stale.run("fence", "main")
            with pytest.raises(StepFailed, match=f"has seen fencing token {seen}.*this run's is {seen}"):
                await stale.run("promote", "dr")
            assert lab.effects("ncts", "promote") == []
            assert lab.truth("ncts")["writable_sites"] == []

            fresh = Desk(world, token=seen + 1)
            first = await fresh.run("promote", "dr")
            assert await fresh.run("promote", "dr", attempt=2) == first
            assert len(lab.effects("ncts", "promote")) == 1
