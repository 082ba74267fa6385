"""Anchors find their way to every place, late if need be, and a place that fails is a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dr.evidence.anchor import genuine, new_key, public_key, read_lines
from dr.evidence.keep import Keeper
from dr.world import World
from monitor.chain import Head
from monitor.clock import ManualClock
from monitor.credential import Credentials
from monitor.errors import Unreachable
from monitor.inventory.evidence import Evidence
from monitor.inventory.read import read

pytestmark = pytest.mark.anyio
INVENTORY = Path(__file__).parents[2] / "inventory.yaml"
PRIVATE, PUBLIC = new_key()


@dataclass
class Answer:
    exit_status: int = 0
    stdout: str = ""
    stderr: str = ""


@dataclass
class Vault:
    """The SSH side: keeps what it is given, or cannot be reached."""

    lines: list[str] = field(default_factory=list)
    away: bool = False

    async def run(self, host: Any, argv: Any, *, timeout_s: float, stdin: bytes) -> Answer:
        if self.away:
            raise Unreachable("vault-dr: connection refused")
        assert list(argv) == ["anchorctl", "append"]
        self.lines += stdin.decode().splitlines()
        return Answer()


class Stage:
    """A keeper of a journal that only grows when told to."""

    def __init__(self, folder: Path, **places: dict[str, Any]) -> None:
        (folder / "evidence-key").write_bytes(PRIVATE)
        self.folder, self.clock, self.vault, self.count = folder, ManualClock(), Vault(), 3
        evidence = Evidence.model_validate({"signing_key": "evidence-key", "every_s": 60.0, "anchors": places})
        self.planned = 0  # entries of a second record, from when on there is one
        self.keeper = Keeper(self.world(evidence), self.heads)

    def world(self, evidence: Evidence | None) -> World:
        estate = read(INVENTORY).model_copy(update={"evidence": evidence})
        credentials = Credentials(self.folder)
        return World(estate, credentials, self.clock, self.vault, {}, None, None, lambda _system: None)  # type: ignore[arg-type]  # nothing else is used

    async def heads(self) -> list[Head]:
        second = [Head("downtimes-1", self.planned, bytes(32))] if self.planned else []
        return [Head("j1", self.count, bytes([self.count] * 32)), *second]

    async def grow(self, after_s: float = 61.0) -> None:
        self.count += 1
        self.clock.advance(after_s)
        await self.keeper.tick()


VAULT = {"place": "ssh", "host": "vault-dr", "command": ["anchorctl", "append"]}


def counts(lines: list[str]) -> list[int]:
    anchors, strange = read_lines(lines)
    assert not strange
    assert all(genuine(anchor, public_key(PUBLIC)) for anchor in anchors)
    return [anchor.count for anchor in anchors]


async def test_each_head_is_signed_once_and_goes_everywhere(tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    stage = Stage(tmp_path, vault=VAULT, mount={"place": "file", "path": str(file)})
    await stage.keeper.tick()
    await stage.grow()
    stage.clock.advance(600.0)
    await stage.keeper.tick()  # it has not grown
    assert counts(stage.vault.lines) == counts(file.read_text().splitlines()) == [3, 4]
    assert not stage.keeper.problems()


async def test_two_records_go_to_the_same_place_each_when_it_has_grown(tmp_path: Path) -> None:
    stage = Stage(tmp_path, vault=VAULT)
    stage.planned = 1
    await stage.keeper.tick()
    await stage.grow()
    stage.planned = 2
    await stage.grow()
    assert counts(stage.vault.lines) == [3, 1, 4, 5, 2]


async def test_not_more_often_than_was_asked(tmp_path: Path) -> None:
    stage = Stage(tmp_path, vault=VAULT)
    await stage.keeper.tick()
    for _ in range(10):
        await stage.grow(after_s=5.0)
    assert counts(stage.vault.lines) == [3]
    await stage.grow(after_s=11.0)
    assert counts(stage.vault.lines) == [3, 14]


async def test_a_place_that_is_away_gets_the_newest_head_later_and_the_other_is_not_held_up(tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    stage = Stage(tmp_path, vault=VAULT, mount={"place": "file", "path": str(file)})
    stage.vault.away = True
    await stage.keeper.tick()
    assert stage.keeper.problems() == [
        "the record's signed head cannot be kept at 'vault': vault-dr: connection refused"
    ]
    await stage.grow()
    assert counts(file.read_text().splitlines()) == [3, 4]
    stage.vault.away = False
    stage.clock.advance(61.0)
    await stage.keeper.tick()
    assert counts(stage.vault.lines) == [4]
    assert counts(file.read_text().splitlines()) == [3, 4]
    assert not stage.keeper.problems()


async def test_a_line_that_was_cut_short_does_not_spoil_the_next(tmp_path: Path) -> None:
    file = tmp_path / "anchors.jsonl"
    file.write_text('{"schema":1,"jour')
    stage = Stage(tmp_path, mount={"place": "file", "path": str(file)})
    await stage.keeper.tick()
    anchors, strange = read_lines(file.read_text().splitlines())
    assert ([anchor.count for anchor in anchors], strange) == ([3], ["line 1 is not an anchor"])


async def test_a_folder_that_is_not_there_and_a_key_that_is_none(tmp_path: Path) -> None:
    stage = Stage(tmp_path, mount={"place": "file", "path": str(tmp_path / "nowhere" / "anchors.jsonl")})
    await stage.keeper.tick()
    assert "No such file or directory" in stage.keeper.problems()[0]
    (tmp_path / "evidence-key").write_text("open sesame")
    await stage.grow()
    assert "not an unencrypted PEM private key" in stage.keeper.problems()[0]
    assert "sesame" not in stage.keeper.problems()[0]


async def test_without_evidence_nothing_is_asked(tmp_path: Path) -> None:
    stage = Stage(tmp_path, vault=VAULT)
    stage.keeper.reload(stage.world(None))
    await stage.keeper.tick()
    assert not stage.vault.lines
    assert stage.keeper.kept() == []


async def test_a_place_that_failed_once_is_told_of_once_the_monitor_would_know_itself_cut_off(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, vault=VAULT)
    stage.vault.away = True
    await stage.keeper.tick()
    assert len(stage.keeper.problems()) == 1
    assert stage.keeper.to_tell(isolated=False) == []
    stage.clock.advance(read(INVENTORY).polling.stale_after_s)
    assert len(stage.keeper.to_tell(isolated=False)) == 1
    stage.vault.away = False
    await stage.grow()
    assert stage.keeper.to_tell(isolated=False) == []


async def test_what_a_cut_off_monitor_cannot_send_is_not_told_beside_that_it_is_cut_off(tmp_path: Path) -> None:
    mount = {"place": "file", "path": str(tmp_path / "gone" / "anchors.jsonl")}
    stage = Stage(tmp_path, vault=VAULT, mount=mount)
    keeper = stage.keeper
    await keeper.tick()
    here = "the record's signed head cannot be kept at 'mount'"
    assert [each.partition(":")[0] for each in keeper.to_tell(isolated=False)] == [here]
    stage.vault.away = True
    keeper.to_tell(isolated=True)
    await stage.grow()
    assert len(keeper.problems()) == 2, "both are shown"
    assert [each.partition(":")[0] for each in keeper.to_tell(isolated=True)] == [here], "the mount is no network's"
    assert len(keeper.to_tell(isolated=False)) == 1, "it is back, and has not tried again"
    await stage.grow()
    assert len(keeper.to_tell(isolated=False)) == 2, "the vault is away by itself"
    assert len(keeper.to_tell(isolated=True)) == 2, "what was told stays"
    stage.vault.away = False
    await stage.grow()
    assert len(keeper.to_tell(isolated=False)) == 1
