"""The metrics of crossings: loss and round trip over the link that is in use, and nothing that is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from story_kit import Story, story
from watch_kit import REFUSES, Says, estate

from monitor.probe import Answer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio
PRIMARY, BACKUP = (
    Says(values={"rtt_seconds": rtt_s, "jitter_seconds": 0.001, "loss_ratio": loss})
    for rtt_s, loss in ((0.008, 0.0), (0.04, 0.002))
)
METRICS = ("karaula_crossing_rtt_seconds", "karaula_crossing_loss_ratio")
SILENT = Says(Answer.UNKNOWN, "no socket")


def router(primary: int, backup: int) -> Says:
    """What a router says whose interfaces are in these states."""
    states = {"primary": primary, "backup": backup}
    found = {f"{name} interface": state for name, state in states.items()}
    return Says(values=found | {f"{name} bgp": 6 if state == 1 else 1 for name, state in states.items()})


def shown(it: Story, key: str) -> tuple[float | None, ...]:
    """Round trip and loss of a crossing, as in /metrics."""
    return tuple(it.samples(metric).get((key,)) for metric in METRICS)


async def test_loss_and_round_trip_of_a_crossing_are_those_of_the_link_in_use(tmp_path: Path) -> None:
    async with story(tmp_path, estate()) as it:

        async def become(key: str, primary: Says, backup: Says, states: tuple[int, int] = (1, 1)) -> None:
            it.world.set(primary, f"link/{key}/primary")
            it.world.set(backup, f"link/{key}/backup")
            it.world.set(router(*states), f"router/{key}")
            await it.live(20)

        await become("pelince", PRIMARY, BACKUP)  # has no router: by the probes
        assert shown(it, "pelince") == (0.008, 0.0)
        await become("pelince", REFUSES, BACKUP)
        assert shown(it, "pelince") == (0.04, 0.002)
        await become("pelince", REFUSES, REFUSES)
        assert shown(it, "pelince") == (None, 1.0), "cut off: everything is lost, and nothing has a round trip"
        await become("pelince", SILENT, BACKUP)
        assert shown(it, "pelince") == (None, None)

        await become("blace", PRIMARY, BACKUP, (2, 1))  # the router knows better than the probes
        assert shown(it, "blace") == (0.04, 0.002)
        await become("blace", PRIMARY, BACKUP, (2, 2))
        assert shown(it, "blace") == (None, None), "it carries nothing over either"
        await become("blace", PRIMARY, REFUSES, (2, 1))
        assert shown(it, "blace") == (None, 1.0), "traffic goes into a dead link"
