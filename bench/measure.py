"""What the measurements share: time and processor, peers in environments of their own, certificates, tables.

Every bench compares Karaula with a peer in one run on one machine; the ratios travel, the absolute figures do not.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import ipaddress
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.environment import ROOT, uv_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WORK = ROOT / ".karaula" / "bench"
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """What something took: seconds on the wall and seconds of processor, children included."""

    wall_s: float
    cpu_s: float

    def shared(self, count: int) -> Cost:
        """Return the cost of one of ``count`` that took this together."""
        return Cost(self.wall_s / count, self.cpu_s / count)


def own_cpu_s() -> float:
    """Return this process' processor time, its threads and its ended children included."""
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def cpu_s_of(pid: int) -> float:
    """Return the processor time of another process, its ended children included (proc(5), fields 14 to 17)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS_A_SECOND


def rss_bytes(pid: int | str = "self") -> int:
    """Return how much memory a process holds (proc(5), statm)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Watch:
    """Measures the body of a ``with``; ``pid`` for another process' processor time."""

    def __init__(self, pid: int | None = None) -> None:
        """Prepare."""
        self._pid = pid
        self.cost = Cost(0, 0)

    def _cpu_s(self) -> float:
        return own_cpu_s() if self._pid is None else cpu_s_of(self._pid)

    def __enter__(self) -> Self:
        """Start."""
        self._cpu, self._wall = self._cpu_s(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.cost = Cost(time.perf_counter() - self._wall, self._cpu_s() - self._cpu)


def median(costs: Sequence[Cost]) -> Cost:
    """Return the medians of wall and processor time."""
    return Cost(statistics.median(cost.wall_s for cost in costs), statistics.median(cost.cpu_s for cost in costs))


def mean(costs: Sequence[Cost]) -> Cost:
    """Return the means; for costs so small that the kernel's ticks would hide them."""
    return Cost(statistics.mean(cost.wall_s for cost in costs), statistics.mean(cost.cpu_s for cost in costs))


def table(title: str, rows: Sequence[tuple[str, Cost]], *, beside: int | None = None) -> None:
    """Print costs, and how many times as much each takes as the row ``beside`` (its index)."""
    print(f"\n{title}\n{'':46} {'wall':>12} {'processor':>12}" + ("   times" if beside is not None else ""))
    for name, cost in rows:
        line = f"{name:46} {cost.wall_s * 1000:9.2f} ms {cost.cpu_s * 1000:9.2f} ms"
        if beside is not None:
            ours = rows[beside][1]
            line += f"   {cost.wall_s / max(ours.wall_s, 1e-9):.1f} / {cost.cpu_s / max(ours.cpu_s, 1e-9):.1f}"
        print(line)


def machine() -> str:
    """Describe the machine in a line, for the figures that are kept."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} x {models[0] if models else 'unknown processor'}, Python {sys.version.split()[0]}"


def peer(name: str, *requirements: str) -> Path:
    """Return the ``bin`` of an environment that holds a peer and nothing of ours; made once, below .karaula/bench."""
    home = WORK / "peers" / name
    if not (home / "complete").exists():
        print(f"installing {' '.join(requirements)} into {home.relative_to(ROOT)}")
        shutil.rmtree(home, ignore_errors=True)
        python = home / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
        pips = [path for path in ("/usr/bin/python3", shutil.which("python3") or "") if path and has_pip(path)]
        if shutil.which("uv"):
            command = ["uv", "pip", "install", "--quiet", "--python", str(python), *requirements]
            subprocess.run(command, check=True, env=uv_environment())
        elif pips:
            command = [pips[0], "-m", "pip", "--python", str(python), "install", "--quiet", *requirements]
            subprocess.run(command, check=True)
        else:
            sys.exit("bench: neither uv nor pip is here to install the peer; type: sudo apt-get install python3-pip")
        (home / "complete").touch()
    return home / "bin"


def has_pip(python: str) -> bool:
    """Tell whether this Python has a pip."""
    return subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1 and its key; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "bench.pem", folder / "bench.key"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pkcs8 = serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    return certificate_file, key_file


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def fetch(port: int, path: str, timeout_s: float = 120) -> bytes:
    """GET from 127.0.0.1; anything but 200 ends the bench."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    if answer.status != http.HTTPStatus.OK:
        sys.exit(f"bench: {path} answered {answer.status}: {body[:300]!r}")
    return body


@contextlib.contextmanager
def process(*command: str | Path, log: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server while the body runs; its output goes to .karaula/bench/LOG."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / log).open("wb") as output:
        started = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | (env or {}),
        )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def wait_for_port(port: int, server: subprocess.Popen[bytes], seconds: float = 30, *, host: str = "127.0.0.1") -> None:
    """Wait until a server of ``process`` listens."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection((host, port), 1).close()
            return
        if server.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"bench: {server.args!r} does not listen on port {port}; see .karaula/bench/")
        time.sleep(0.05)
