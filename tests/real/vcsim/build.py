"""Builds the vCenter simulator with Debian's Go and Debian's govmomi, and runs it as a process of its own.

The binary is kept by the hash of its source and Go's version, so that only the first build takes its half minute.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).with_name("main.go")
GOPATH = "/usr/share/gocode"
GOVMOMI = f"{GOPATH}/src/github.com/vmware/govmomi/simulator"
CACHE = Path(__file__).parents[3] / ".karaula" / "vcsim"
PACKAGE = "golang-go golang-github-vmware-govmomi-dev"


def build(go: Path, cache: Path) -> Path:
    """Return the simulator's binary below ``cache``, building it when it is not there."""
    cache = cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    version = subprocess.run([go, "version"], check=True, capture_output=True).stdout
    key = hashlib.sha256(SOURCE.read_bytes() + version).hexdigest()[:16]
    binary = cache / f"vcsim-{key}"
    with (cache / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            fresh = binary.with_suffix(".new")
            environment = os.environ | {
                "GO111MODULE": "off",
                "GOPATH": GOPATH,
                "GOFLAGS": "",
                "GOPROXY": "off",
                "GOCACHE": str(cache / "go-build"),
            }
            subprocess.run(
                [go, "build", "-o", fresh, SOURCE], check=True, env=environment, stdin=subprocess.DEVNULL, timeout=600
            )
            fresh.rename(binary)
    return binary


@dataclass
class Simulator:
    """A running simulator."""

    process: subprocess.Popen[str]
    address: str
    port: int

    def freeze(self) -> None:
        """Hang: connections are still accepted by the kernel, nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End at once, as a crash would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running(binary: Path, certificate: Path, key: Path, *options: str, port: int = 0) -> Iterator[Simulator]:
    """Run the simulator on 127.0.0.1; user ``karaula``, password ``secret``."""
    command: list[str | Path] = [binary, "-cert", certificate, "-key", key, "-listen", f"127.0.0.1:{port}", *options]
    stores = tempfile.TemporaryDirectory()  # the simulator leaves its data stores behind when it is killed
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": stores.name},
    )
    try:
        assert process.stdout is not None
        word, _, rest = process.stdout.readline().partition(" ")
        assert word == "ready", f"the simulator did not start: {word}{rest}"
        host, _, at = rest.split()[0].rpartition(":")
        yield Simulator(process, host, int(at))
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        stores.cleanup()
