"""For tests against servers that Debian packages: where a binary is, or how to get it.

On a laptop without the package the test skips and says the line to type; in CI (environment variable ``CI``) a
missing server is a failure, so that nothing is ever proved by being skipped.
"""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import NoReturn

import pytest

EXTRA_PLACES = ("/usr/sbin", "/sbin", "/usr/local/sbin", "/lib/nut", "/usr/lib/openssh")


def need(binary: str, package: str) -> Path:
    """Return the path of ``binary`` (a name or an absolute path), which Debian's ``package`` brings."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *EXTRA_PLACES])
    found = shutil.which(binary, path=path)
    if found is None:
        missing(binary, package)
    return Path(found)


def need_folder(folder: str, package: str) -> Path:
    """Return ``folder``, which Debian's ``package`` brings."""
    if not Path(folder).is_dir():
        missing(folder, package)
    return Path(folder)


def missing(what: str, package: str) -> NoReturn:
    """Skip the test on a laptop, fail it in CI."""
    line = f"{what} is not on this machine; type: sudo apt-get install --yes {package}"
    if os.environ.get("CI"):
        pytest.fail(line)
    pytest.skip(line)


def free_port(address: str = "127.0.0.1", kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port that was free on ``address`` a moment ago."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
