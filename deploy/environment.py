"""The virtual environment ``.venv``: how it is made from requirements.lock on whatever this machine offers.

Serves ``./do`` and is therefore, like it, the standard library of Python 3.11 and nothing else. No package index is
named here: pip's and uv's own configuration say where packages come from.
"""

from __future__ import annotations

import configparser
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "karaula.stamp"
LOCK_FILE = ROOT / "requirements.lock"
WORK = ROOT / ".karaula"
ADDED = WORK / "added"  # what ./do add has put into .venv, one requirement a line
PROGRAM = ("monitor", "dr", "console")
OLDEST_PYTHON = (3, 11)
FAILED, USAGE, NEEDS_ADMINISTRATOR = 1, 2, 3
# pip's settings and what uv calls them, so that a machine's mirror counts for both.
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


def say(text: str) -> None:
    """Print a line of our own."""
    print(f"do: {text}", flush=True)


def stop(text: str, code: int = FAILED) -> NoReturn:
    """End with a message."""
    print(f"do: {text}", file=sys.stderr, flush=True)
    sys.exit(code)


def succeeds(*command: str | Path, env: dict[str, str] | None = None) -> bool:
    """Run in the repository with output shown; True when it exits 0."""
    return subprocess.run([str(word) for word in command], cwd=ROOT, env=env, check=False).returncode == 0


def quietly(*command: str | Path) -> bool:
    """Run without output; True when it exits 0, False also when there is no such program."""
    try:
        return subprocess.run([str(word) for word in command], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold a lock on the file ``do`` itself, so that two set-ups at once do not fight."""
    with (ROOT / "do").open("rb") as own:
        try:
            fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another ./do of this directory to finish its set-up")
            fcntl.flock(own, fcntl.LOCK_EX)
        yield


def running_from_venv() -> dict[int, str]:
    """Return PID and command line of every process that was started from our .venv."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir() if Path("/proc").is_dir() else ():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        # Processes end while we look, and those of others do not tell.
        with contextlib.suppress(OSError):
            words = [word.decode(errors="replace") for word in (entry / "cmdline").read_bytes().split(b"\0") if word]
            if words and str((entry / "cwd").readlink() / words[0]).startswith(f"{VENV}/bin/"):
                found[int(entry.name)] = " ".join(words).replace(f"{ROOT}/", "")
    return found


def refuse_while_running(what: str) -> None:
    """Stop when something still runs from .venv: it would lose its files."""
    if running := running_from_venv():
        listed = "\n".join(f"      {pid}  {command[:100]}" for pid, command in sorted(running.items()))
        stop(f"cannot {what} while this still runs; stop it first (kill PID):\n{listed}")


def wanted_stamp() -> str:
    """Return what the .venv must have been made from: the lock, this Python and this place."""
    digest = hashlib.sha256(LOCK_FILE.read_bytes())
    digest.update(f"{sys.version_info[:3]} {sys.base_prefix} {ROOT} layout-2".encode())
    return digest.hexdigest()


def pip_settings() -> dict[str, str]:
    """Read pip's configuration files and environment, as pip does, the later winning."""
    home = Path.home()
    files = [
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        home / ".pip/pip.conf",
        home / ".config/pip/pip.conf",
    ]
    if given := os.environ.get("PIP_CONFIG_FILE"):
        files.append(Path(given))
    parser = configparser.RawConfigParser()
    parser.read([path for path in files if path.is_file()])
    settings: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            settings |= {key: " ".join(value.split()) for key, value in parser.items(section)}
    for key in PIP_TO_UV:
        if value := os.environ.get("PIP_" + key.upper().replace("-", "_")):
            settings[key] = value
    return settings


def uv_environment() -> dict[str, str]:
    """Return the environment for uv, which does not read pip's configuration by itself."""
    env = dict(os.environ)
    for key, value in pip_settings().items():
        # pip passes over a local place that is not there, uv does not.
        places = [place for place in value.split() if "://" in place or Path(place).exists()]
        places = [place for place in places if not place.startswith("file://") or Path(place[7:]).exists()]
        if key in PIP_TO_UV and places:
            env.setdefault(PIP_TO_UV[key], ("," if key == "find-links" else " ").join(places))
    # Safe because every file must match a hash of the lock, from whichever index it comes.
    env.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return env


def by_uv() -> bool:
    """Make .venv with uv."""
    env = uv_environment()
    made = succeeds("uv", "venv", "--quiet", "--python", sys.executable, "--no-project", VENV, env=env)
    return made and succeeds(  # pip compiles by itself
        *("uv", "pip", "sync", "--quiet", "--compile-bytecode", "--python", PYTHON, "--require-hashes", LOCK_FILE),
        env=env,
    )


def by_pip() -> bool:
    """Make .venv without pip in it and fill it with this Python's pip (22.3 or newer knows ``--python``)."""
    made = succeeds(sys.executable, "-m", "venv", "--without-pip", VENV)
    return made and succeeds(
        *(sys.executable, "-m", "pip", "--python", PYTHON, "install", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", LOCK_FILE),
    )


def by_ensurepip() -> bool:
    """Make .venv with the pip that comes with Python, and let it fill its own home."""
    made = succeeds(sys.executable, "-m", "venv", VENV)
    return made and succeeds(
        *(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", LOCK_FILE),
    )


def by_apt() -> bool:
    """Install pip from Debian, as root, and use it."""
    return apt_install("python3-pip") and by_pip()


def ways() -> Iterator[tuple[str, Callable[[], bool]]]:
    """Yield the ways to make .venv that this machine offers, best first; apt only where there is no other."""
    none = True
    if shutil.which("uv"):
        none = False
        yield "uv", by_uv
    if quietly(sys.executable, "-m", "pip", "--python", sys.executable, "--version"):
        none = False
        yield "pip", by_pip
    if importlib.util.find_spec("ensurepip"):
        none = False
        yield "ensurepip", by_ensurepip
    if none and os.geteuid() == 0 and shutil.which("apt-get"):
        yield "apt-get and pip", by_apt


def put_project_into_venv() -> None:
    """Make the packages importable and write the command ``karaula``, without building anything."""
    site = next((VENV / "lib").glob("python3.*/site-packages"))
    (site / "karaula.pth").write_text(f"{ROOT}\n")
    command = VENV / "bin" / "karaula"
    # Two languages in one: sh starts this Python however long its path is, Python sees a string.
    command.write_text(
        f"#!/bin/sh\n'''exec' \"{PYTHON}\" \"$0\" \"$@\"\n' '''\n"
        "import sys\n\nfrom console.main import main\n\nsys.exit(main())\n"
    )
    command.chmod(0o755)
    make_karaula_known(site)


def make_karaula_known(site: Path) -> None:
    """Let pip and uv see that karaula is here, for packages that need it; no index has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    folder = site / f"karaula-{project['version']}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: karaula\nVersion: {project['version']}\n")
    (folder / "INSTALLER").write_text("do\n")
    (folder / "RECORD").write_text("")


def outside() -> Path:
    """Return the Python that .venv is made from: who has .venv/bin in the PATH runs ./do by the one in there."""
    return Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"


def installers() -> Iterator[tuple[str | Path, ...]]:
    """Yield the ways to put more packages into .venv, best first."""
    if shutil.which("uv"):
        yield "uv", "pip", "install", "--quiet", "--python", PYTHON
    for pip in ((outside(), "-m", "pip", "--python", PYTHON), (PYTHON, "-m", "pip")):
        if quietly(*pip, "--version"):
            yield *pip, "install", "--quiet", "--disable-pip-version-check"


def put_in(packages: Sequence[str]) -> bool:
    """Install packages into .venv beside what the lock pins, which none of them may change."""
    pinned = WORK / "pinned.txt"
    pinned.parent.mkdir(exist_ok=True)
    lines = LOCK_FILE.read_text().splitlines()
    pinned.write_text("".join(line.removesuffix("\\").rstrip() + "\n" for line in lines if "==" in line))
    ways_in = list(installers())
    if not ways_in:
        say("neither uv nor a usable pip is here. Type: sudo apt-get install python3-pip")
    return any(succeeds(*way, "-c", pinned, *packages, env=uv_environment()) for way in ways_in)


def add(*packages: str) -> None:
    """Put packages of others (actions of your own) into .venv, and again whenever it is made anew."""
    setup()
    places = [str(Path(one).resolve()) if Path(one).exists() else one for one in packages]
    with one_at_a_time():
        if not put_in(places):
            stop("they were not added; the reason stands above")
        before = ADDED.read_text().splitlines() if ADDED.exists() else []
        ADDED.write_text("".join(f"{one}\n" for one in dict.fromkeys([*before, *places])))
    say("added; restart what runs ('karaula check' and 'karaula actions' see it at once)")


def add_again() -> None:
    """Put back what ./do add had put into the .venv that was made anew; what cannot be is told, and all else works."""
    for one in ADDED.read_text().splitlines() if ADDED.exists() else ():
        if not put_in([one]):
            say(f"{one} could not be added again; when that is mended: ./do add {one}")


def compile_program() -> None:
    """Compile what has changed: a daemon's user may not write here, so each of its starts would do it again."""
    succeeds(PYTHON, "-m", "compileall", "-q", *PROGRAM)


def setup() -> None:
    """Make .venv from requirements.lock unless it is there and right, and compile what is new."""
    if sys.version_info < OLDEST_PYTHON:
        here = sys.version.split()[0]
        stop(f"Python 3.11 or newer is needed and this is {here}. Type: python3.11 ./do setup", NEEDS_ADMINISTRATOR)
    with one_at_a_time():
        if STAMP.is_file() and STAMP.read_text() == wanted_stamp():
            compile_program()
            return
        if Path(sys.prefix) == VENV:
            stop(f".venv must be made anew and this Python is in it. Type: {outside()} do setup", USAGE)
        refuse_while_running("make .venv anew")
        begun = time.monotonic()
        tried = False
        for name, way in ways():
            say(f"making .venv with {name}")
            shutil.rmtree(VENV, ignore_errors=True)
            if way():
                put_project_into_venv()
                add_again()
                STAMP.write_text(wanted_stamp())
                compile_program()
                say(f"set up in {time.monotonic() - begun:.0f} s")
                return
            tried = True
            say(f"that did not work with {name}")
        shutil.rmtree(VENV, ignore_errors=True)
        if tried:
            stop("could not make .venv; the reason stands above")
        stop("neither uv nor a usable pip is here. Type: sudo apt-get install python3-pip", NEEDS_ADMINISTRATOR)


def apt_install(*packages: str) -> bool:
    """Install Debian packages without questions and without starting their services."""
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    options = ("-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0")
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\n# Written by Karaula's ./do while it installs packages.\nexit 101\n")
        policy.chmod(0o755)
    try:
        return succeeds("apt-get", *options, "update", env=env) and succeeds(
            "apt-get", *options, "install", "--no-install-recommends", *packages, env=env
        )
    finally:
        if ours:
            policy.unlink()
