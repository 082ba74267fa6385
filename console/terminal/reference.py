"""Writes docs/cli.md from the commands themselves: `python -m console.terminal.reference > docs/cli.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from console.main import COMMANDS, karaula
from console.terminal import exits

WIDTH = 80
HEAD = """\
# The command line

`karaula` speaks to the daemon over a Unix socket, whose permissions are the access control until log-ins exist
([decision 0006](decisions/0006-unix-socket-until-logins.md)). This page is made from the commands' own help by
`python -m console.terminal.reference > docs/cli.md`; a test keeps it true.

## What all have in common

- **The socket** is `--socket` or `$KARAULA_SOCKET`, else `.karaula/state/karaula.sock` below the current directory if
  there is one (`./do run` makes it), else `/run/karaula/karaula.sock`.
- **Who you are** is the account that runs the command. On a shared account say it with `--as NAME` or `$KARAULA_AS`;
  both are recorded. Who asks for a failover cannot approve it.
- **Output** is for people: tables that fit 80 columns, times in the estate's zone with their age. Into a pipe nothing
  is wrapped or coloured; `NO_COLOR` takes the colours from a terminal too. `--output json` prints one JSON document
  with `schema_version` instead; an error is then `{"schema_version": 1, "error": {"code": …, "message": …}}`. Times in
  JSON are Unix seconds. Results go to standard output, remarks and errors to standard error.
- **Runs** are watched to their end: on a terminal live, into a pipe one line a change. Ctrl-C stops watching; the run
  goes on, and `karaula run watch` takes it up again. `--no-wait` returns at once.
- **Completion** of commands, systems, runs and steps: `karaula completion bash|zsh|fish`.
- **A defect** is one line; its trace is in the file that the line names, or shown with `karaula --debug …`.

## Exit codes

| code | meaning |
| ---: | --- |
"""


def reference() -> str:
    """Return the whole page."""
    codes = "".join(f"| {code} | {words} |\n" for code, words in exits.MEANINGS.items())
    return HEAD + codes + "".join(_sections())


def every_command() -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield every command and group with its whole name and a context, in the order of help."""
    root = click.Context(karaula, info_name="karaula", terminal_width=WIDTH, **karaula.context_settings)
    for name in COMMANDS:
        yield from _below(name, karaula.get_command(root, name), root)


def _below(
    name: str, command: click.Command | None, parent: click.Context
) -> Iterator[tuple[str, click.Command, click.Context]]:
    if command is None:
        raise LookupError(f"no command {name}")
    context = click.Context(command, info_name=name, parent=parent, terminal_width=WIDTH)
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            yield from _below(inner, command.get_command(context, inner), context)


def _sections() -> Iterator[str]:
    for name, command, context in every_command():
        yield f"\n## {name}\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
