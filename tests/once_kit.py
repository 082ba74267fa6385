"""Every action twice, and with its answer lost: what is tried where, and how an answer gets lost.

``tests/dr/test_actions_once.py`` tries on the simulated estate all but those of ``ELSEWHERE``, which need tools of
their own. Together they are the registry.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from actions_kit import Desk

from dr.action import Holds, Seen
from dr.errors import StepFailed
from monitor.clients.ssh import SshPool, SshResult
from monitor.errors import SessionLost, TargetError

_ACTIONS, _BACKUPS = "real/test_real_backup_actions.py", "real/test_real_backups.py"
_SECOND = (_BACKUPS, "test_a_second_copy_is_added_once_and_cannot_be_taken_back")
_FILES = (_ACTIONS, "test_files_go_into_restic_once_and_come_back")
_STANZA = (_ACTIONS, "test_a_stanza_is_backed_up_once_checked_and_restored")
ELSEWHERE = {
    "ansible": (
        "real/test_real_ansible.py",
        "test_one_effect_though_the_reply_is_lost_and_though_it_is_asked_for_again",
    ),
    "backup_copy": _SECOND,
    "backup_expire": (_BACKUPS, "test_retention_removes_only_what_it_may_and_can_be_asked_again"),
    "copy_check": _SECOND,
    "database_dump": (_ACTIONS, "test_a_dump_has_its_name_only_when_it_is_whole"),
    "http_call": ("dr/test_actions_http_call.py", "test_with_its_answer_lost_it_has_one_effect"),
    "pgbackrest_backup": _STANZA,
    "pgbackrest_check": _STANZA,
    "pgbackrest_restore": _STANZA,
    "restic_backup": _FILES,
    "restic_check": _FILES,
    "restic_restore": _FILES,
}


class Losing:
    """An SSH client that loses the answer to the first command with ``word`` in it that has ended well."""

    def __init__(self, ssh: SshPool, word: str) -> None:
        self._ssh, self._word = ssh, word
        self.lost = False

    async def run(self, host: Any, argv: Sequence[str] | str, **more: Any) -> SshResult:
        result = await self._ssh.run(host, argv, **more)
        said = argv if isinstance(argv, str) else shlex.join(argv)
        if not self.lost and self._word in said and result.exit_status == 0:
            self.lost = True
            raise SessionLost(f"the answer to '{self._word}' got lost")
        return result


@contextmanager
def losing(desk: Desk, word: str) -> Iterator[None]:
    """Let the answer to a command with ``word`` get lost; afterwards it has."""
    world = desk.world
    ssh: Any = Losing(world.ssh, word)
    desk.world = replace(world, ssh=ssh)
    try:
        yield
    finally:
        desk.world = world
    assert ssh.lost, f"no command had '{word}' in it"


async def in_the_dark(desk: Desk, action: str, site: str, args: dict[str, Any]) -> Seen:
    """Run the action whose answer gets lost, then do what the engine does: ask the world, and run again on a no.

    Return what the world says in the end.
    """
    try:
        await desk.run(action, site, **args)
    except TargetError as error:
        if error.outcome_known:
            raise
    seen = await desk.probe(action, site, **args)
    assert seen.holds is not Holds.CANNOT_TELL, seen
    if seen.holds is Holds.NO:
        await desk.run(action, site, attempt=2, **args)
        seen = await desk.probe(action, site, **args)
    return seen


async def once_more(desk: Desk, action: str, site: str, args: dict[str, Any]) -> None:
    """Run it again although it is done, as a person may ask for: it may refuse, and must do nothing."""
    try:
        await desk.run(action, site, attempt=3, **args)
    except StepFailed as error:
        if "already" not in str(error):
            raise
