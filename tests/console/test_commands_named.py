"""Every command of `karaula` that a page, a message or a shipped file names is there, with the options it is given."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from console.main import karaula

ROOT = Path(__file__).parents[2]
PAGES = sorted({ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")} - {ROOT / "docs/cli.md"})
SOURCES = sorted(
    path
    for folder in ("monitor", "dr", "console", "deploy", "playbooks")
    for path in (ROOT / folder).rglob("*.*")
    if path.suffix in {".py", ".html", ".yaml", ".yml", ".service", ".timer"}
)
IN_A_LINE = re.compile(r"(?<!\bb)[`'\"]karaula ([a-z][^`'\"\n{]*)")
A_LINE = re.compile(r"^\s*(?:sudo )?karaula ([a-z][^#|;&>\n]*)", re.MULTILINE)
NOT_COMMANDS = {"postgres", "serves", "observes"}  # a line of pg_ident.conf; what a daemon says of itself


def named(text: str, *, pages: bool) -> Iterator[list[str]]:
    """Yield the words after `karaula`, wherever a command stands."""
    text = text.replace("\\\n", " ")
    for said in (*IN_A_LINE.findall(text), *(A_LINE.findall(text) if pages else ())):
        try:
            words = shlex.split(re.split(r"\s{2,}|[|;&>(…]", said)[0])
        except ValueError:
            continue
        if words and words[0] not in NOT_COMMANDS:
            yield words


def wrong(words: list[str]) -> str:
    """Say what of the command is not there; empty: it is."""
    command: click.Command = karaula
    context = click.Context(karaula)
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        if found is None and (command is karaula or not command.invoke_without_command):
            return f"no command '{words[0]}'"
        if found is None:
            break
        command, words = found, words[1:]
        context = click.Context(command, parent=context)
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
    given = [word.partition("=")[0] for word in words if word.startswith("--") and len(word) > len("--")]
    strange = [name for name in given if name not in options]
    return f"no option {strange[0]}" if strange else ""


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_says_to_type_can_be_typed(path: Path) -> None:
    found = [(words, said) for words in named(path.read_text(encoding="utf-8"), pages=True) if (said := wrong(words))]
    assert not found


def test_what_a_message_says_to_type_can_be_typed() -> None:
    seen = 0
    for path in SOURCES:
        for words in named(path.read_text(encoding="utf-8"), pages=False):
            seen += 1
            assert not (said := wrong(words)), f"{path.relative_to(ROOT)}: karaula {' '.join(words)}: {said}"
    assert seen > 50


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["history"], "no command 'history'"),
        (["run", "aprove"], "no command 'aprove'"),
        (["runs", "--all"], "no option"),
    ],
)
def test_what_is_not_there_is_found(words: list[str], said: str) -> None:
    assert said in wrong(words)
