"""`karaula completion`: click's own completion script for a shell."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell; it also completes systems, runs and steps.

    \b
    Example:
      karaula completion bash >> ~/.bash_completion
      karaula completion zsh > "${fpath[1]}/_karaula"
      karaula completion fish > ~/.config/fish/completions/karaula.fish
    """  # noqa: D301 - click's mark
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(found(ctx.find_root().command, {}, "karaula", "_KARAULA_COMPLETE").source())
