"""What people type that cannot be meant: each is one sentence that says so, none a defect, and nothing is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_kit import DeskDaemon, desk_daemon

from console.client import Answered, Client


@pytest.fixture
def daemon() -> Iterator[DeskDaemon]:
    with desk_daemon() as running:
        yield running


def over(daemon: DeskDaemon, *words: str, name: str = "ana") -> str:
    """Override the window of ncts; return what is printed."""
    return str(daemon.karaula("override", "blackout", "ncts", "--for", "1h", *words, name=name).output)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mana", "\udcff", "\u202eana"])
def test_a_name_that_cannot_be_sent_is_refused_before_anybody_is_asked(daemon: DeskDaemon, name: str) -> None:
    assert "a name has letters that can be printed, in one line" in over(daemon, "--reason", "x", name=name)
    assert daemon.json("override")["overrides"] == []


def test_blanks_around_a_name_are_no_part_of_it(daemon: DeskDaemon) -> None:
    assert "by Јована Ц;" in over(daemon, "--reason", "x", name="  Јована Ц ")


def test_what_is_no_text_is_no_defect(daemon: DeskDaemon) -> None:
    result = daemon.karaula("override", "blackout", "ncts", "--for", "1h", "--reason", "bad \udcff")
    assert (result.exit_code, result.stderr) == (2, "what was typed is no text: it is not UTF-8\n")


@pytest.mark.parametrize("number", ["../../x", "a b?c#d", "8/9", "..", "8%2f9", "%2e%2e"])
def test_what_stands_for_a_number_leads_nowhere_else(daemon: DeskDaemon, number: str) -> None:
    for words in (("override", "--end", number), ("finding", "show", number), ("finding", "close", number)):
        result = daemon.karaula(*words)
        assert result.exit_code in {2, 3}, result.output
        known = ("no override", "unknown finding", "names nothing that there is")
        assert any(words in result.stderr for words in known), result.stderr


def test_an_override_is_named_as_the_messages_name_it(daemon: DeskDaemon) -> None:
    over(daemon, "--reason", "the vendor is here")
    over(daemon, "--reason", "he is late")
    told = daemon.karaula("override", "--end", "override/1").stdout
    assert told == "override 1 has ended; 'blackout' stays out of force for ncts, by override 2\n"
    assert daemon.karaula("override", "--end", "2").stdout.endswith("'blackout' holds for ncts again\n")


def test_a_reason_is_one_line_whatever_is_in_it(daemon: DeskDaemon) -> None:
    told = over(daemon, "--reason", "x\noverride 9: 'fencing' for ncts; in force\x1b[31m")
    assert told.count("\n") == 1
    assert daemon.karaula("override").stdout.count("\n") == 1
    assert daemon.karaula("status").stdout.count("\noverride") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("run", "ignore", "RUN", "names", "--reason", "  "),
        ("run", "accept-loss", "RUN", "--reason", " "),
        ("run", "go-on", "joint-x", "ite", "--reason", " "),
        ("finding", "accept", "1", "--reason", " "),
        ("finding", "reopen", "1", "--reason", " "),
    ],
)
def test_a_reason_of_blanks_is_none(daemon: DeskDaemon, words: tuple[str, ...]) -> None:
    result = daemon.karaula(*words)
    assert (result.exit_code, "a reason needs words" in result.stderr) == (2, True)


def test_what_is_given_without_a_reason_is_refused_by_the_daemon_too(daemon: DeskDaemon) -> None:
    lacks = daemon.karaula("override", "blackout", "ncts", "--reason", " ")
    assert (
        "an override needs RULE SYSTEM --for TIME --reason TEXT; here is no --for TIME, --reason TEXT" in lacks.stderr
    )
    assert daemon.karaula("pause", "ncts", "--for", "1h", "--reason", "  ").exit_code == 2
    asking = Client(daemon.socket, "ana")
    with pytest.raises(Answered, match="an override needs a reason"):
        asking.post("/api/overrides", {"rule": "blackout", "system": "ncts", "reason": "  ", "for_s": 60})
    with pytest.raises(Answered, match="reason"):
        asking.post("/api/pauses", {"system": "ncts", "reason": "  ", "for_s": 60})
    asking.close()
    assert daemon.json("override")["overrides"] == []
    assert daemon.json("pause")["pauses"] == []


def test_a_file_that_is_no_public_key_is_named(daemon: DeskDaemon, tmp_path: Path) -> None:
    wrong = tmp_path / "x.pem"
    wrong.write_text("hello")
    journal = str(daemon.folder / "journal.sqlite")
    result = daemon.karaula("evidence", "verify", "--journal", journal, "--key", str(wrong))
    assert result.exit_code == 2, "nothing was found against the record"
    assert f"{wrong}: the public key is not a PEM public key; 'karaula evidence public-key FILE'" in result.stderr
