"""How the record of runs is kept from being changed unseen: who signs it, and where its signed heads go."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from monitor.inventory.values import PAGE, Key, Model, Reference, Seconds, Text


class FilePlace(Model):
    """A file on another machine's disk (a mount), to which signed heads are appended."""

    place: Literal["file"]
    path: Annotated[str, Field(pattern=PAGE, description="absolute; its folder must be there")]


class SshPlace(Model):
    """A host on which ``command`` appends its standard input, best an append-only forced command."""

    place: Literal["ssh"]
    host: Key
    command: tuple[Text, ...] = Field(min_length=1, examples=[["tee", "-a", "/var/lib/karaula/anchors.jsonl"]])


def _some(places: dict[str, object]) -> dict[str, object]:
    if not places:
        raise ValueError("must not be empty: a head that is kept nowhere proves nothing")
    return places


AnchorPlace = Annotated[FilePlace | SshPlace, Field(discriminator="place")]


class Evidence(Model):
    """The journal's head is signed whenever it has grown, at most this often, and kept at each of ``anchors``."""

    signing_key: Reference = Field(description="credential that holds an Ed25519 private key (PEM)")
    every_s: Seconds = 60
    anchors: Annotated[dict[Key, AnchorPlace], AfterValidator(_some)]
