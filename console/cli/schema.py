"""`karaula schema`: the JSON Schema of the inventory and of playbooks, for editors."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("what", type=click.Choice(["inventory", "playbook"]), default="inventory")
def schema(what: str) -> None:
    """Print the JSON Schema that editors use to complete and explain every key.

    \b
    Example:
      karaula schema > .karaula/inventory.schema.json
      karaula schema playbook > .karaula/playbook.schema.json
    """  # noqa: D301 - click's mark
    if what == "inventory":
        from monitor.inventory.schema import schema as inventory_schema

        made = inventory_schema()
    else:
        from dr.extensions import installed
        from dr.playbook.schema import schema as playbook_schema

        actions = installed().actions
        made = playbook_schema(actions, {name: action.summary for name, action in actions.items()})
    click.echo(json.dumps(made, indent=2, ensure_ascii=False))
