"""The morning's mail: sent once at its hour, by whichever daemon is there, and again until the server takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from orchestrator_kit import INVENTORY, House, house

from console import morning as morning_module
from console.morning import PAUSE_S, Morning
from monitor.errors import Unreachable
from monitor.inventory.behaviour import Notify

pytestmark = pytest.mark.anyio
DAILY = INVENTORY.model_copy(update={"notify": Notify.model_validate({
    "mail_server": {"address": "127.0.0.1", "port": 25}, "mail_from": "k@x.example", "mail_to": ["d@x.example"],
    "morning": "0 7 * * *"})})  # fmt: skip
DAY_S = 86400.0


class Post:
    """A mail server as the channel sees it."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str, str]] = []
        self.down = False

    async def post(self, subject: str, text: str, reference: str, at: float) -> None:
        if self.down:
            raise Unreachable("mail server cannot be reached")
        self.taken.append((subject, text, reference))

    async def close(self) -> None:
        pass


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Post:
    made = Post()
    monkeypatch.setattr(morning_module, "mail_of", lambda _inventory: made)
    return made


def made(at: House, *, sends: bool = True) -> Morning:
    return Morning(at.orchestrator.journal.calendar, at.orchestrator, at.clock, sends=sends)


async def test_one_message_a_morning_also_over_a_restart(tmp_path: Path, post: Post) -> None:
    async with house(tmp_path) as at:
        morning = made(at)
        await morning.tick(DAILY)
        assert post.taken == []  # from now on, not for what is past
        at.clock.advance(DAY_S)
        for _ in range(3):
            await morning.tick(DAILY)
        await made(at).tick(DAILY)
        assert len(post.taken) == 1
        subject, text, _ = post.taken[0]
        assert subject.startswith("Backups: 0 of 2 proven")
        assert "no backup was ever taken" in text
        at.clock.advance(5 * DAY_S)
        await morning.tick(DAILY)
        assert len(post.taken) == 2  # of mornings that nobody was there for, the newest


async def test_a_mail_server_that_is_down_is_tried_again_and_said(tmp_path: Path, post: Post) -> None:
    async with house(tmp_path) as at:
        morning = made(at)
        await morning.tick(DAILY)
        at.clock.advance(DAY_S)
        post.down = True
        await morning.tick(DAILY)
        assert morning.problems() == [
            "the morning's message on backups could not be sent: mail server cannot be reached"
        ]
        post.down = False
        await morning.tick(DAILY)
        assert post.taken == []  # not so soon
        at.clock.advance(PAUSE_S)
        await morning.tick(DAILY)
        assert len(post.taken) == 1
        assert morning.problems() == []


@pytest.mark.parametrize("changes", [{"sends": False}, {}])
async def test_nobody_is_told_without_an_hour_or_by_a_daemon_that_only_watches(
    tmp_path: Path, post: Post, changes: dict[str, Any]
) -> None:
    inventory = DAILY if changes else INVENTORY
    async with house(tmp_path) as at:
        morning = made(at, **changes)
        for _ in range(3):
            await morning.tick(inventory)
            at.clock.advance(DAY_S)
        assert post.taken == []
