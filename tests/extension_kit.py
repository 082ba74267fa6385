"""Packages that bring actions, laid out as an installer does it: modules, metadata and entry points in a folder."""

from __future__ import annotations

from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from textwrap import dedent

from dr.extensions import GROUP

GOOD = '''
"""Hoist a flag, so that something has an effect."""
from typing import Annotated, ClassVar

from pydantic import Field

from dr.action import Done, Effect, Holds, Lasting, Seen, StepArgs

UP = []


class FlagArgs(StepArgs):
    colour: Annotated[str, Field(description="of the flag")] = "red"


class Flag(Lasting):
    name = "flag"
    summary = "hoist a flag"
    outputs: ClassVar[tuple[str, ...]] = ("colour",)
    Args = FlagArgs

    def effects(self, args):
        return (Effect(f"flag/{args.site}", "colour", args.colour),)

    async def run(self, args, context):
        UP.append(args.colour)
        return Done({"colour": args.colour})

    async def probe(self, args, context):
        return Seen(Holds.YES if args.colour in UP else Holds.NO, f"flags: {UP}", {"colour": args.colour})
'''


def lay_out(folder: Path, package: str, source: str, version: str = "1.2.0", **points: str) -> None:
    """Install ``package`` into ``folder``: a module of its name, and an entry point for each of ``points``."""
    module = package.replace("-", "_")
    folder.mkdir(exist_ok=True)
    (folder / f"{module}.py").write_text(dedent(source), encoding="utf-8")
    metadata = folder / f"{module}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = [f"{name} = {module}:{value}\n" for name, value in points.items()]
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{''.join(lines)}")


def points_in(folder: Path) -> list[EntryPoint]:
    """Return the entry points of all that is installed in ``folder``."""
    found = distributions(path=[str(folder)])
    return [point for one in found for point in one.entry_points if point.group == GROUP]
