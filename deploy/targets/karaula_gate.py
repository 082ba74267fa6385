#!/usr/bin/python3
"""The only thing that Karaula's SSH key may run on a host: listed verbs, and none under an old fencing token.

    restrict,command="/usr/local/lib/karaula/karaula-gate /etc/karaula/gate.conf cdeps" ssh-ed25519 AAAA... karaula

sshd starts it instead of what the client asked for, which comes in SSH_ORIGINAL_COMMAND. It is compared word by word
with the verbs of the configuration; a shell never sees it. A verb with ``{token}`` changes something: it runs alone of
its system, its token is written down (fsync, rename) *before* anything is done, and from then on no lower one is taken,
whatever the orchestrator at the other end believes of itself. A command that was begun is ended, whatever becomes of
the connection.

Exit status: the command's own, or 64 not a listed verb, 75 another command of the system still runs, 76 an old token,
78 the configuration or the kept token cannot be read (then nothing that changes is run), 124 cut off at its time limit.
How to install it: docs/targets.md. Needs Python 3.11 and nothing else; it knows nothing of the rest of Karaula.
"""

from __future__ import annotations

import configparser
import contextlib
import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

USAGE, BUSY, STALE, UNREADABLE, LATE = 64, 75, 76, 78, 124
LONGEST_COMMAND = 4096
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
TOKEN = re.compile(r"[0-9]{1,18}")
PLACE = re.compile(r"\{([a-z_]+)\}")
KEPT = re.compile(r"karaula-gate seen=([0-9]{1,18}) check=[0-9a-f]{8}\n")
LOOK_EVERY_S = 0.05
PIECE_BYTES = 4096


class Refusal(Exception):
    """The command is not run; ``status`` is the exit status."""

    def __init__(self, status: int, reason: str) -> None:
        """Say ``reason`` in words fit for whoever runs the recovery."""
        self.status = status
        super().__init__(reason)


@dataclass(frozen=True)
class Verb:
    """What is accepted, word by word, and what is run for it."""

    name: str
    accept: tuple[str, ...]
    run: tuple[str, ...]
    timeout_s: float

    @property
    def changes(self) -> bool:
        """Tell whether it carries a token."""
        return "{token}" in self.accept


@dataclass(frozen=True)
class Config:
    """The whole configuration; ``wait_s`` is how long a command waits for the one before it."""

    state: Path
    log: Path
    wait_s: float
    verbs: tuple[Verb, ...]


def line(token: int) -> str:
    """Return the highest token that came as it is kept."""
    text = f"karaula-gate seen={token}"
    return f"{text} check={zlib.crc32(text.encode()):08x}\n"


def read_config(path: Path) -> Config:
    """Read the configuration. Raises Refusal."""
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_file(file)
        gate = parser["gate"]
        state = Path(gate["state"])
        verbs = tuple(_verb(name, parser[name]) for name in parser.sections() if name != "gate")
        return Config(state, Path(gate.get("log", str(state / "calls.log"))), gate.getfloat("wait_s", 15.0), verbs)
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError, ValueError) as error:
        raise Refusal(UNREADABLE, f"{path} cannot be used: {type(error).__name__}: {error}") from error


def _verb(name: str, entry: Mapping[str, str]) -> Verb:
    verb = Verb(
        name,
        tuple(shlex.split(entry["accept"])),
        tuple(shlex.split(entry["run"])),
        float(entry.get("timeout_s", "300")),
    )
    if not verb.accept or not verb.run:
        raise ValueError(f"[{name}] accepts or runs nothing")
    filled = {place for word in verb.accept for place in PLACE.findall(word)} | {"system", "seen"}
    for place in (place for word in verb.run for place in PLACE.findall(word)):
        if place not in filled:
            raise ValueError(f"[{name}] nothing fills in {{{place}}}")
    return verb


def asked(config: Config, command: str) -> tuple[Verb, dict[str, str]]:
    """Return the verb that ``command`` is, and its values. Raises Refusal."""
    if not command:
        raise Refusal(USAGE, "this key runs listed commands only, and none was given")
    if len(command) > LONGEST_COMMAND or not command.isascii() or not command.isprintable():
        raise Refusal(USAGE, f"not a command: longer than {LONGEST_COMMAND} characters, or not plain text")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise Refusal(USAGE, f"not a command: {error}") from error
    for verb in config.verbs:
        values = _values(verb.accept, words)
        if values is not None:
            return verb, values
    known = ", ".join(verb.name for verb in config.verbs) or "none"
    raise Refusal(USAGE, f"not a listed command: {shlex.join(words)[:200]}. Listed are: {known}")


def _values(accept: Sequence[str], words: Sequence[str]) -> dict[str, str] | None:
    if len(accept) != len(words):
        return None
    values: dict[str, str] = {}
    for wanted, word in zip(accept, words, strict=True):
        place = PLACE.fullmatch(wanted)
        if place is None:
            if word != wanted:
                return None
        elif (TOKEN if place[1] == "token" else NAME).fullmatch(word) is None:
            return None
        else:
            values[place[1]] = word
    return values


# -- the token --------------------------------------------------------------------------------------------------------


def kept(path: Path) -> int:
    """Read what is kept; nothing at all is no token yet. Raises Refusal for anything that is not whole."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise Refusal(UNREADABLE, f"the kept fencing token cannot be read: {error}") from error
    found = KEPT.fullmatch(text)
    if found is None or line(int(found[1])) != text:
        raise Refusal(
            UNREADABLE,
            f"the kept fencing token in {path} is damaged, so an old one could not be told from a new one. Look up the "
            f"highest token that was ever handed out (where the daemon runs: 'karaula tokens'), then here: "
            f"karaula-gate keep {path} TOKEN",
        )
    return int(found[1])


def keep(path: Path, token: int) -> None:
    """Write it so that after a power cut either the old or the new one is there, whole. Raises Refusal."""
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("w", encoding="ascii") as file:
            file.write(line(token))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise Refusal(UNREADABLE, f"the fencing token cannot be kept, so nothing was done: {error}") from error


@contextlib.contextmanager
def alone(path: Path, wait_s: float) -> Iterator[None]:
    """Be the only command of the system that changes something. Raises Refusal when another one goes on."""
    with path.open("a") as lock:
        give_up = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() >= give_up:
                    raise Refusal(
                        BUSY, f"another command of this system still runs after {wait_s:g} s; try again"
                    ) from error
                time.sleep(LOOK_EVERY_S)
            else:
                yield
                return


# -- running ----------------------------------------------------------------------------------------------------------


class Calls:
    """The journal of calls: one JSON object a line, what was asked and then what came of it."""

    def __init__(self, config: Config, system: str, command: str) -> None:
        """Prepare for one call."""
        client = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
        self._log = config.log
        self._call = {"system": system, "client": client, "command": command[:LONGEST_COMMAND], "pid": os.getpid()}
        self._began = time.monotonic()

    def note(self, what: str, **more: object) -> None:
        """Append a line; a full disk is said and stops nothing."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = json.dumps(
            {"at": at, "what": what, **self._call, "seconds": round(time.monotonic() - self._began, 3), **more}
        )
        try:
            descriptor = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
            try:
                os.write(descriptor, line.encode() + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            tell(f"the journal of calls cannot be written: {error}")


def tell(text: str) -> None:
    """Say one line on standard error, also when nobody listens any more."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"karaula-gate: {text}\n")
        sys.stderr.flush()


def perform(argv: Sequence[str], timeout_s: float) -> int:
    """Run to the end, whether or not the connection lives; return the exit status."""
    try:
        process = subprocess.Popen(  # noqa: S603 - the words are the configuration's, filled in with checked values
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise Refusal(UNREADABLE, f"{argv[0]} cannot be started: {error.strerror}") from error
    assert process.stdout is not None  # noqa: S101 - for the type checker
    assert process.stderr is not None  # noqa: S101 - likewise
    streams = ((process.stdout, sys.stdout.fileno()), (process.stderr, sys.stderr.fileno()))
    relays = [threading.Thread(target=_relay, args=pair, daemon=True) for pair in streams]
    for relay in relays:
        relay.start()
    try:
        status = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        tell(f"{argv[0]} did not end within {timeout_s:g} s and was killed")
        return LATE
    for relay in relays:
        relay.join(1.0)  # a server that the command started may hold the pipes open for ever
    return status if status >= 0 else 128 - status


def _relay(source: IO[bytes], to: int) -> None:
    heard = True
    while piece := os.read(source.fileno(), PIECE_BYTES):
        while heard and piece:
            try:
                piece = piece[os.write(to, piece) :]
            except OSError:
                heard = False


def serve(config: Config, system: str, command: str, calls: Calls) -> int:
    """Carry out one call. Raises Refusal."""
    verb, values = asked(config, command)
    place = config.state / f"{system}.token"
    if not verb.changes:
        seen = kept(place) if any("{seen}" in word for word in verb.run) else 0
        return perform(_filled(verb, system, values, seen), verb.timeout_s)
    token = int(values["token"])
    with alone(config.state / f"{system}.lock", config.wait_s):
        seen = kept(place)
        if token < seen:
            raise Refusal(
                STALE,
                f"stale fencing token {token}: {system} here has seen {seen}. A newer run has taken over; "
                "nothing was done",
            )
        if token > seen:
            keep(place, token)
        calls.note("begin", verb=verb.name, token=token)
        status = perform(_filled(verb, system, values, token), verb.timeout_s)
        calls.note("end", verb=verb.name, token=token, exit=status)
        return status


def _filled(verb: Verb, system: str, values: Mapping[str, str], seen: int) -> list[str]:
    known = {**values, "system": system, "seen": str(seen)}
    return [PLACE.sub(lambda place: known[place[1]], word) for word in verb.run]


def main(arguments: Sequence[str]) -> int:
    """Run for sshd, or ``keep FILE TOKEN`` for a person who repairs a damaged file."""
    for number in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    if len(arguments) == 3 and arguments[0] == "keep" and TOKEN.fullmatch(arguments[2]):  # noqa: PLR2004 - its words
        keep(Path(arguments[1]), int(arguments[2]))
        return 0
    if len(arguments) != 2 or NAME.fullmatch(arguments[1]) is None or "/" in arguments[1]:  # noqa: PLR2004 - likewise
        tell("usage: karaula-gate CONFIGURATION SYSTEM (from authorized_keys), or: karaula-gate keep FILE TOKEN")
        return USAGE
    command = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    calls: Calls | None = None
    try:
        config = read_config(Path(arguments[0]))
        calls = Calls(config, arguments[1], command)
        return serve(config, arguments[1], command, calls)
    except (Refusal, OSError) as error:
        refusal = error if isinstance(error, Refusal) else Refusal(UNREADABLE, f"nothing more was done: {error}")
        tell(str(refusal))
        if calls is not None:
            calls.note("refused", exit=refusal.status, reason=str(refusal))
        return refusal.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
