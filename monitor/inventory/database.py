"""A system's replicated database: its kind, and the commands by which each kind is asked and told."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, PrivateAttr

from monitor.inventory.values import Key, Model, Seconds, Text


class DatabaseCommands(Model):
    """Commands run on ``database_host`` by SSH, as argument lists.

    ``status`` prints one JSON object: ``{"role": "primary"|"standby"|"stopped", "position": int, "received_at": float,
    "epoch": int}``; position is a replication position that only grows, received_at the Unix time of its newest record.
    Where positions are not numbers of records: also ``"record": int``, the number of the newest record, as receipts
    count. ``"seen"``: the highest fencing token that came to the host, where ``epoch`` is that of the newest promotion.
    ``"marker"``, ``"marker_at"``: the newest marker that is there, and when it was written. ``"pending"``: how much has
    been received and is not applied yet; ``"attached"``: the sites that follow.
    The five of backups, from ``backup`` to ``discard``, are needed by systems whose ``backup`` has no ``store``.
    ``{epoch}``, ``{peer}``, ``{backup}`` and ``{scratch}`` are filled in. Every command may be repeated safely.
    """

    status: tuple[Text, ...] = Field(min_length=1, description="print role, position, received_at, epoch as JSON")
    promote: tuple[Text, ...] = Field(
        min_length=1, description="standby becomes primary; refuses an epoch it has passed"
    )
    demote: tuple[Text, ...] = Field(min_length=1, description="primary stops writing and becomes a standby of {peer}")
    follow: tuple[Text, ...] = Field(min_length=1, description="throw away what {peer} does not have and follow it")
    attach: tuple[Text, ...] | None = Field(
        None, min_length=1, description="on the primary, when {peer} follows it: wait for it, and commit with it again"
    )
    mark: tuple[Text, ...] | None = Field(
        None, min_length=1, description='commit a marker on the primary; prints {"marker": int, "at": Unix time}'
    )
    backup: tuple[Text, ...] | None = Field(
        None, min_length=1, description="write backup {backup}; prints its manifest as JSON"
    )
    check: tuple[Text, ...] | None = Field(
        None, min_length=1, description="read all of {backup}, print its manifest as found"
    )
    restore: tuple[Text, ...] | None = Field(
        None, min_length=1, description="restore {backup} into scratch place {scratch}"
    )
    query: tuple[Text, ...] | None = Field(
        None, min_length=1, description="print counts and newest record of {scratch} as JSON"
    )
    discard: tuple[Text, ...] | None = Field(None, min_length=1, description="remove scratch place {scratch}")


class DatabaseKind(Model):
    """How one kind of replicated database is asked and told; many systems share it."""

    commands: DatabaseCommands


class Database(Model):
    """The system's replicated database."""

    kind: Key = Field(description="one of database_kinds")
    marker_s: Seconds = Field(10, description="how often a marker is committed, where the kind has 'mark'")
    # Inventory joins the commands of the kind, so that nobody has to look them up.
    _commands: DatabaseCommands | None = PrivateAttr(default=None)

    @property
    def commands(self) -> DatabaseCommands:
        """The commands of ``kind``. Raises LookupError outside an Inventory that has this kind."""
        if self._commands is None:
            raise LookupError(f"database kind '{self.kind}' is not in database_kinds")
        return self._commands

    def join(self, kinds: Mapping[str, DatabaseKind]) -> None:
        """Take the commands from ``kinds``; an unknown kind is left for ``read.py`` to report."""
        if self.kind in kinds:
            self._commands = kinds[self.kind].commands
