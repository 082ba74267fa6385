"""`karaula actions`: what a playbook's steps can do: shipped, and by installed packages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from console.cli.session import output_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dr.action import Action

KINDS = {
    "string": "text",
    "number": "number",
    "integer": "whole number",
    "boolean": "true or false",
    "object": "mapping",
}
NO_VALUES: tuple[object, ...] = (None, "", [], {})
GIVEN = frozenset({"system", "site"})  # come from the run and the step


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@output_option
def actions(names: tuple[str, ...], output: str) -> None:
    """List the actions; of those named, the arguments as well. Needs no daemon.

    Beside the shipped ones there are those that installed packages bring by the entry point group karaula.actions. The
    daemon knows those that were installed when it started.

    Exit code 0: every package can be used; 1: one cannot, and is named.

    \b
    Example:
      karaula actions
      karaula actions promote ssh_run
      karaula actions --output json
    """  # noqa: D301 - click's mark
    from console.terminal import exits
    from console.terminal.screen import Screen, table
    from dr.extensions import installed
    from monitor.problem import did_you_mean

    found = installed()
    for name in names:
        if name not in found.actions:
            hint = did_you_mean(name, found.actions) or "see karaula actions"
            raise click.UsageError(f"there is no action '{name}'; {hint}")
    wanted = [_body(name, found.actions[name]) for name in names or sorted(found.actions)]
    screen = Screen(as_json=output == "json")
    screen.document({"actions": wanted, "problems": list(found.problems)})
    if names:
        for body in wanted:
            for line in _told(body):
                screen.line(line)
    else:
        screen.say(table(("ACTION", "FROM", "", "WHAT IT DOES"), [_row(body) for body in wanted]))
    for sentence in found.problems:
        screen.note(sentence)
    click.get_current_context().exit(exits.FAILED if found.problems else exits.DONE)


def kind_of(rule: Mapping[str, Any], quote: str = "'") -> str:
    """Return in words what a value may be, from its JSON Schema."""
    if "anyOf" in rule:
        return " or ".join(kind_of(one, quote) for one in rule["anyOf"] if one.get("type") != "null")
    if "enum" in rule:
        return " or ".join(f"{quote}{one}{quote}" for one in rule["enum"])
    if rule.get("type") == "array":
        return f"list of {kind_of(rule.get('items', {}), quote)}"
    return KINDS.get(rule.get("type", ""), "a value")


def _body(name: str, action: Action) -> dict[str, Any]:
    from console.version import VERSION
    from dr.playbook.foreign import Foreign, provider_of
    from monitor.inventory.schema import tidied

    model = tidied(action.Args.model_json_schema(mode="validation"))
    needed = set(model.get("required", ()))
    return {
        "name": name,
        "summary": action.summary,
        "provider": provider_of(action) or f"karaula {VERSION}",
        "unusable": action.unusable if isinstance(action, Foreign) else "",
        "reads_only": action.reads_only,
        "undoable": action.undoable,
        "arguments": {
            key: {"required": key in needed, "rule": rule}
            for key, rule in model["properties"].items()
            if key not in GIVEN
        },
        "outputs": list(action.outputs),
    }


def _row(body: Mapping[str, Any]) -> tuple[str, ...]:
    return body["name"], body["provider"], "looks only" if body["reads_only"] else "", body["summary"]


def _told(body: dict[str, Any]) -> Iterator[str]:
    yield f"{body['name']} ({body['provider']}): {body['summary']}"
    if body["unusable"]:
        return
    for key, argument in body["arguments"].items():
        rule = argument["rule"]
        given = rule.get("default")
        needed = "required" if argument["required"] else f"default {given!r}" if given not in NO_VALUES else "optional"
        described = f": {rule['description']}" if rule.get("description") else ""
        yield f"  {key} ({kind_of(rule)}, {needed}){described}"
    yield f"  yields: {', '.join(body['outputs']) or 'nothing'}"
    undo = "can be undone" if body["undoable"] else "cannot be undone by a machine"
    yield "  it only reads" if body["reads_only"] else f"  it changes something, and {undo}"
