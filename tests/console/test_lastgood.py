"""A start while the files have mistakes: refused with what can be done, or with what held last where that was asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cli_kit import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from tls_kit import ThrowawayCa

from console.lastgood import LastGood, Mistaken, find
from console.options import Options
from monitor.credential import Credentials
from monitor.errors import StateError
from monitor.inventory.read import read, references_of

pytestmark = pytest.mark.anyio
INVENTORY = (ROOT / "inventory.yaml").read_text()
BAD = INVENTORY.replace("role: dr,", "role: drr,", 1)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    for _, reference in references_of(read(ROOT / "inventory.yaml")):
        (folder / reference).write_text("secret\n")
    (folder / "lab-ca.pem").write_bytes(Path(ThrowawayCa(folder).bundle).read_bytes())
    return folder


class Stage:
    """Files of a person's, and the folder in which is kept what held."""

    def __init__(self, folder: Path, secrets: Path) -> None:
        (folder / "books").mkdir()
        for path in (ROOT / "playbooks").glob("*.yaml"):
            (folder / "books" / path.name).write_bytes(path.read_bytes())
        self.options = Options(folder / "inventory.yaml", folder / "books", folder / "state", secrets, last_good=True)
        self.write(INVENTORY)

    def write(self, text: str) -> None:
        self.options.inventory.write_text(text)

    def last_good(self, *, asked: bool = True) -> LastGood:
        options = replace(self.options, last_good=asked)
        return LastGood(options, Credentials(options.credentials))

    async def held(self, text: str, at: float) -> None:
        """A daemon started, or reloaded, with this."""
        self.write(text)
        last_good = self.last_good()
        files, _, refused = last_good.start(at)
        assert refused is None
        await last_good.keep(files, at)
        assert last_good.problems() == []


@pytest.fixture
def stage(tmp_path: Path, secrets: Path) -> Stage:
    return Stage(tmp_path, secrets)


async def test_what_held_last_is_started_with_only_where_that_was_asked_for(stage: Stage) -> None:
    other = INVENTORY.replace("name: Pelince", "name: Pelintse")
    await stage.held(INVENTORY, 1000.0)
    await stage.held(other, 2000.0)
    stage.write(BAD)
    with pytest.raises(Mistaken) as refusal:
        stage.last_good(asked=False).start(3000.0)
    kept = find(stage.options.state)
    assert kept is not None
    said = str(refusal.value)
    assert said.startswith(f"{stage.options.inventory}:"), "the mistake first"
    assert "expected 'main' or 'dr', found 'drr'" in said
    assert "What held last, of 1970-01-01 00:33:20 UTC, is kept." in said
    assert f"diff {kept.inventory} {stage.options.inventory}" in said
    assert "systemctl set-environment KARAULA_LAST_GOOD=1; systemctl restart karaula" in said
    files, at, refused = stage.last_good().start(3000.0)
    assert (files.inventory.crossings["pelince"].name, at) == ("Pelintse", 2000.0)
    assert refused is not None
    assert refused.at == 3000.0
    assert "found 'drr'" in refused.reason
    assert kept.inventory.read_text() == other
    assert [path.name for path in kept.folder.parent.iterdir() if path.is_dir()] == [kept.folder.name]


async def test_files_without_a_mistake_are_used_whatever_was_asked(stage: Stage) -> None:
    await stage.held(INVENTORY, 1000.0)
    stage.write(INVENTORY.replace("name: Pelince", "name: Pelintse"))
    files, at, refused = stage.last_good().start(3000.0)
    assert (files.inventory.crossings["pelince"].name, at, refused) == ("Pelintse", 3000.0, None)


async def test_a_mistake_in_a_playbook_is_one_too(stage: Stage) -> None:
    await stage.held(INVENTORY, 1000.0)
    (stage.options.playbooks / "backup.yaml").write_text("kind: backupp\n")
    files, _, refused = stage.last_good().start(3000.0)
    assert refused is not None
    assert "backup" in files.playbooks


async def test_with_nothing_kept_or_with_what_was_changed_there_it_is_refused(stage: Stage) -> None:
    stage.write(BAD)
    with pytest.raises(Mistaken, match="nothing is watched until this is mended"):
        stage.last_good().start(1.0)
    await stage.held(INVENTORY, 1000.0)
    kept = find(stage.options.state)
    assert kept is not None
    kept.inventory.write_text(INVENTORY + "# a word more\n")
    stage.write(BAD)
    with pytest.raises(Mistaken, match="is not what was kept there"):
        stage.last_good().start(1.0)
    await stage.held(INVENTORY, 3000.0)  # which puts it right
    assert find(stage.options.state) is not None


async def test_what_cannot_be_kept_is_a_problem_and_no_more(stage: Stage) -> None:
    last_good = stage.last_good()
    files, _, _ = last_good.start(1.0)
    stage.write(BAD)
    await last_good.keep(files, 1.0)
    assert "inventory.yaml was changed after it was read" in last_good.problems()[0]
    assert find(stage.options.state) is None
    stage.write(INVENTORY)
    (stage.options.state / "last-good").rename(stage.options.state / "away")
    (stage.options.state / "last-good").write_text("in the way")
    await last_good.keep(files, 1.0)
    assert "cannot be kept" in last_good.problems()[0]
    (stage.options.state / "last-good").unlink()
    await last_good.keep(files, 1.0)
    assert last_good.problems() == []


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=200) | st.sampled_from([b"{}", b'{"at": 1, "folder": "..", "sha256": {}}', b"[]"]))
def test_whatever_stands_in_the_record_is_told_not_raised(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    state = tmp_path_factory.mktemp("state")
    (state / "last-good").mkdir()
    (state / "last-good" / "current.json").write_bytes(raw)
    try:
        kept = find(state)
    except StateError:
        return
    assert kept is None or not kept.prints
