"""A group of commands that imports a command only when it is called or asked for help: `karaula --help` is at once.

The commands stand in a literal mapping: name, "module:attribute", and the line that the group's help shows. A test
keeps those lines equal to what the commands say of themselves.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

import click

JSON_WANTED = "karaula.json"  # in the context's meta: errors are a JSON document too


class LazyGroup(click.Group):
    """A group over ``where``: command name → ("module:attribute", one line of help)."""

    def __init__(self, *args: Any, where: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        """Hold the mapping; nothing is imported."""
        super().__init__(*args, **kwargs)
        self.where = where

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the mapping's order, which is that of use."""
        return [*self.where, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command ``cmd_name``; None when there is none."""
        if cmd_name not in self.where:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.where[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}:{attribute} is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that ``args`` begin with; say what was probably meant when there is none."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            close = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"see '{ctx.command_path} --help'"
            ctx.fail(f"there is no command '{name}'; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the commands with their lines, importing none."""
        rows = [(name, line) for name, (_, line) in self.where.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
