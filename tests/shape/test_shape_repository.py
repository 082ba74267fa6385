"""The shape of the repository: nothing of a machine in it, every exception explained, every link leads somewhere."""

from __future__ import annotations

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).name


@cache
def tracked() -> dict[str, str]:
    """Every tracked text file and what is in it; from the disk where there is no git."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git clone")
    texts = {}
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        if name and path.is_file() and b"\0" not in (content := path.read_bytes()):
            texts[name] = content.decode()
    return texts


def places(pattern: str, *, leave_out: tuple[str, ...] = ()) -> list[str]:
    search = re.compile(pattern)
    return [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, text in tracked().items()
        if not name.endswith(HERE) and not name.startswith(leave_out)
        for number, line in enumerate(text.splitlines(), 1)
        if search.search(line)
    ]


def test_no_file_names_a_place_of_the_machine_it_was_written_on() -> None:
    machine = r"(?<![\w.])/(work|root|home/(?!someone\b|karaula\b)\w+|Users)/"
    assert places(machine, leave_out=("tests/chroot/",)) == []


def test_no_file_names_a_package_registry() -> None:
    hosts = ("pypi.org", "pythonhosted.org", "proxy.golang.org", "registry.npmjs.org", "unpkg.com", "jsdelivr.net")
    assert places("|".join(re.escape(host) for host in hosts)) == []


def test_the_lock_has_hashes_and_no_url() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    pinned = re.findall(r"^[A-Za-z0-9._-]+==", lock, re.MULTILINE)
    blocks = [block for block in re.split(r"\n(?=\S)", lock) if "==" in block]
    assert len(blocks) == len(pinned)
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_no_secret_is_tracked() -> None:
    secrets = r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b"
    # Code may name the marker (to recognise or write a key); a key has a body below it.
    found = []
    for name, text in tracked().items():
        for match in re.finditer(secrets, text):
            rest = text[match.end() :].lstrip()
            if not match.group().startswith("-----") or re.match(r"[A-Za-z0-9+/=]{40,}", rest):
                found.append(name)
    assert found == []


def test_addresses_are_of_the_loopback_or_for_documentation() -> None:
    """A private address (RFC 1918) would be one of a real estate."""
    wanted = re.compile(r"(?<![\w.])(10\.\d{1,3}|192\.168|172\.(1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}(?![\w.])")
    found = [
        f"{name}: {match.group()}"
        for name, text in tracked().items()
        if not name.endswith((HERE, ".lock", ".js")) and not name.startswith("tests/")
        for match in wanted.finditer(text)
    ]
    assert found == []


def explained(section: str, table: str) -> list[str]:
    """Return entries of a pyproject list that have no comment on their line."""
    body = table[table.index(section) :]
    bare = []
    for line in body.splitlines()[1:]:
        if line.startswith(("]", "[")):
            break
        if re.search(r'"[A-Z]+\d+"', line) and "#" not in line:
            bare.append(line.strip())
    return bare


def test_each_ruff_exception_is_explained() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert explained("ignore = [", text) == []
    per_file = text[text.index("[tool.ruff.lint.per-file-ignores]") :].split("\n[", 2)[0]
    lines = per_file.splitlines()[1:]
    whole = [line.strip() for line in lines if re.search(r'"[A-Z]+\d*"', line) and "#" not in line]
    assert whole == []


def test_warnings_are_errors_and_types_are_strict() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["mypy"]["strict"] is True
    assert project["tool"]["pytest"]["ini_options"]["filterwarnings"][0] == "error"
    assert project["tool"]["ruff"]["lint"]["select"] == ["ALL"]


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for name, text in tracked().items():
        if not name.endswith(".md"):
            continue
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" in target or target.startswith(("#", "mailto:")):
                continue
            if not ((ROOT / name).parent / target.split("#")[0]).exists():
                broken.append(f"{name}: {target}")
    assert broken == []


def test_decisions_are_numbered_without_gaps() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(name[:4]) for name in names]
    assert numbers == list(range(1, len(names) + 1))


def test_every_package_that_tests_need_is_installed_by_do() -> None:
    """A test that asks for a Debian package must find it in the list of ``./do test``."""
    listed = (ROOT / "do").read_text()
    asked = {
        package
        for name, text in tracked().items()
        if name.startswith("tests/") and not name.endswith(HERE)
        for package in re.findall(r"\bneed\(\s*\"[^\"]+\",\s*\"([a-z0-9.+-]+)\"", text)
    }
    assert sorted(package for package in asked if f'"{package}"' not in listed) == []
