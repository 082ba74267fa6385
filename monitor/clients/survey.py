"""Everything that is asked of a host in one poll, as one command over one SSH connection.

The command is always the same text; what is asked goes to its standard input as data, two lines a question, so that no
value of the inventory is ever part of a shell's program. A line ``karaula:0:0`` begins the answers, after whatever the
host greets with, and each ends in a line ``karaula:<number>:<exit status>``, so that what came before something hung is
still known. What the answers mean is left to others.

Two questions of a hang on the host's side: ``timeout`` there ends what can be ended, and what could not be ended
(``df`` of a dead NFS server) is not asked again for five minutes, or the host would fill with what we left behind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from monitor.errors import DeadlineExceeded, GarbledReply, SessionLost, TargetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.clients.ssh import SshPool
    from monitor.clock import Clock
    from monitor.inventory.equipment import SshHost

Kind = Literal["clock", "synchronized", "unit", "certificate", "disk", "inodes"]

MISSING = 66  # exit status of a question about a file that is not there
LEAVE_ALONE_S = 300.0
LONGEST_ANSWER = 16 * 1024
BEGIN = "karaula:0:0"
MARK = re.compile(r"karaula:([0-9]{1,4}):([0-9]{1,3})")
SCRIPT = (
    "LC_ALL=C; export LC_ALL; t=; command -v timeout >/dev/null 2>&1 && t='timeout 10'; n=0; echo; echo karaula:0:0; "
    "while IFS= read -r k && IFS= read -r v; do n=$((n+1)); case $k in "
    "clock) date +%s.%N;; "
    "synchronized) $t chronyc -c tracking;; "
    'unit) $t systemctl show --property=LoadState,ActiveState,SubState,Result -- "$v";; '
    'certificate) if [ -e "$v" ]; then $t openssl x509 -noout -enddate -in "$v"; else (exit 66); fi;; '
    'disk) if [ -e "$v" ]; then $t df -P -k -- "$v"; else (exit 66); fi;; '
    'inodes) $t df -P -i -- "$v";; '
    '*) (exit 64);; esac </dev/null 2>&1; printf \'\\nkaraula:%s:%s\\n\' "$n" "$?"; done'
)
COMMAND = ("sh", "-c", SCRIPT)
ORDER: tuple[Kind, ...] = ("clock", "synchronized", "unit", "certificate", "disk", "inodes")  # what may hang comes last


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask: a unit's name, a path; empty for the clock."""

    kind: Kind
    value: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What one question's command printed (both streams) and its exit status."""

    exit_status: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """When the command was sent and when its first answer had come, by our clocks (Unix seconds, monotonic seconds)."""

    sent_at: float
    sent: float
    came_at: float
    came: float


@dataclass(frozen=True, slots=True)
class Survey:
    """All answers of one poll. A question whose command hung has a TargetError, one that was not asked after it None.

    ``first`` is None when no answer came.
    """

    answers: dict[Question, Said | TargetError | None]
    first: Moment | None
    elapsed_s: float


class Surveyor:
    """Asks hosts; remembers what hung."""

    def __init__(self, pool: SshPool, clock: Clock) -> None:
        """Ask over ``pool``, which somebody else closes."""
        self._pool = pool
        self._clock = clock
        self._hung: dict[tuple[SshHost, Question], float] = {}  # until when (monotonic)

    async def ask(self, host: SshHost, questions: Sequence[Question], timeout_s: float) -> Survey:
        """Return what ``host`` answered.

        Raises what ``SshPool.run`` raises when nothing at all was answered; later a hang or a broken connection is an
        answer of the questions it befell.
        """
        started = self._clock.monotonic()
        asked = self._askable(host, questions)
        listener = _Listener(self._clock)
        text = "".join(f"{question.kind}\n{question.value}\n" for question in asked)
        late: TargetError | None = None
        try:
            result = await self._pool.run(
                host, COMMAND, timeout_s=timeout_s, stdin=text.encode(), on_line=listener.line, on_sent=listener.sent
            )
        except (DeadlineExceeded, SessionLost) as error:
            if not listener.begun:
                raise
            late = error
        else:
            if not listener.begun:
                raise GarbledReply(f"{host.address}: the shell did not do what it was told{_first(result.stderr)}")
        found = listener.answers(asked)
        if isinstance(late, DeadlineExceeded) and len(found) < len(asked):
            self._hung[host, asked[len(found)]] = self._clock.monotonic() + LEAVE_ALONE_S
        answers: dict[Question, Said | TargetError | None] = dict.fromkeys(asked)
        answers |= found
        if len(found) < len(asked):
            answers[asked[len(found)]] = _without_answer(asked[len(found)], late)
        for question in questions:
            answers.setdefault(question, _left_alone(question))
        return Survey(answers, listener.moment(), self._clock.monotonic() - started)

    def _askable(self, host: SshHost, questions: Sequence[Question]) -> list[Question]:
        now = self._clock.monotonic()
        self._hung = {place: until for place, until in self._hung.items() if until > now}
        ordered = sorted(set(questions), key=lambda question: (ORDER.index(question.kind), question.value))
        return [question for question in ordered if (host, question) not in self._hung]


class _Listener:
    """Gathers lines as they come, from where the answers begin, and when the first answer had come."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: list[str] = []
        self._sent: tuple[float, float] | None = None
        self._first: tuple[float, float] | None = None
        self.begun = False

    def sent(self) -> None:
        self._sent = (self._clock.now(), self._clock.monotonic())

    def line(self, stream: str, line: str) -> None:
        if stream != "stdout":
            return
        if not self.begun:
            self.begun = line == BEGIN
            return
        if self._first is None and MARK.fullmatch(line):
            self._first = (self._clock.now(), self._clock.monotonic())
        self._lines.append(line)

    def moment(self) -> Moment | None:
        if self._sent is None or self._first is None:
            return None
        return Moment(*self._sent, *self._first)

    def answers(self, asked: Sequence[Question]) -> dict[Question, Said]:
        """Return the complete answers, in the order of ``asked``. Raises GarbledReply when the marks do not fit."""
        found: dict[Question, Said] = {}
        gathered: list[str] = []
        for line in self._lines:
            mark = MARK.fullmatch(line)
            if mark is None:
                gathered.append(line)
                continue
            if len(found) == len(asked) or int(mark[1]) != len(found) + 1:
                raise GarbledReply("the host's answers are not in the order of the questions")
            found[asked[len(found)]] = Said(int(mark[2]), _shortened(gathered))
            gathered = []
        return found


def _shortened(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the lines that are not empty, as far as an honest answer can be long."""
    kept = []
    room = LONGEST_ANSWER
    for line in lines:
        room -= len(line)
        if room < 0:
            break
        if line.strip():
            kept.append(line)
    return tuple(kept)


def _without_answer(question: Question, late: TargetError | None) -> TargetError:
    what = named(question)
    if late is None:
        return GarbledReply(f"{what}: the host's answer ended early")
    if isinstance(late, DeadlineExceeded):
        return DeadlineExceeded(f"{what}: the host's command hangs")
    return SessionLost(f"{what}: the connection broke before the answer")


def _left_alone(question: Question) -> TargetError:
    what = named(question)
    return DeadlineExceeded(f"{what}: the host's command hung; it is tried again every {LEAVE_ALONE_S / 60:g} minutes")


def named(question: Question) -> str:
    """Return a question in a few words."""
    words = {"disk": "df", "inodes": "df", "unit": "unit", "certificate": "certificate"}
    word = words.get(question.kind, question.kind)
    return f"{word} {question.value}".rstrip()


def _first(text: str) -> str:
    line = next((line for line in text.splitlines() if line.strip()), "")
    shown = "".join(character if character.isprintable() else " " for character in line)[:200]
    return f": {shown}" if shown else ""
