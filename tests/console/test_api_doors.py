"""The two doors: who may come in by them, and what is in the way when they cannot be opened."""

from __future__ import annotations

import json
import os
import pwd
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from web_kit import web_daemon

from console.serving import Doors, loopback_only
from monitor.errors import StateError

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="karaula-doors-") as name:
        yield Path(name)


@contextmanager
def bound(path: Path, port: int = 0, host: str = "127.0.0.1") -> Iterator[Doors]:
    doors = Doors(path, host, port)
    doors.bind()
    try:
        yield doors
    finally:
        doors._let_go()


def refused(path: Path, port: int = 0, host: str = "127.0.0.1") -> str:
    """Return what is said when the doors cannot be had."""
    with pytest.raises(StateError) as caught, bound(path, port, host):
        pass
    return str(caught.value)


def test_the_socket_is_for_owner_and_group(folder: Path) -> None:
    before = os.umask(0o022)
    try:
        with bound(folder / "k.sock"):
            mode = (folder / "k.sock").stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o660
        assert not (folder / "k.sock").exists()
    finally:
        assert os.umask(before) == 0o022, "the umask was not put back"


def test_the_peer_is_named_by_the_kernel() -> None:
    """SO_PEERCRED says who it is; the header only names the person behind a shared account."""
    with web_daemon() as daemon:
        transport = httpx2.HTTPTransport(uds=str(daemon.socket))
        with httpx2.Client(transport=transport, base_url="http://any") as client:
            me = pwd.getpwuid(os.getuid()).pw_name
            run = client.post("/api/runs", json={"playbook": "failover", "system": "ncts"}).json()
            assert run["requester"] == me
            assert run["reason"] == f"[socket, user {me}]"
            body = {"reason": "not now"}
            denied = client.post(f"/api/runs/{run['id']}/deny", json=body, headers={b"X-Karaula-As": "Ана".encode()})
            assert denied.status_code == 200, denied.text
            daemon.wait_state(run["id"], "CANCELED")
            after = client.get(f"/api/runs/{run['id']}").json()
            assert after["steps_done"] == 0, "what never began was never done"
            journal = client.get(f"/api/runs/{run['id']}/journal").json()
            said = next(event["body"] for event in journal if event["body"].get("by") == "Ана")
            assert said["reason"] == f"not now [socket, user {me}]"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_others_are_kept_out_by_the_permissions(folder: Path) -> None:
    folder.chmod(0o755)
    knock = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    with bound(folder / "k.sock"):
        done = subprocess.run(
            ["/usr/bin/python3", "-c", knock, str(folder / "k.sock")],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
            env={},
        )
    assert "PermissionError" in done.stderr


def test_a_socket_that_a_dead_daemon_left_is_replaced(folder: Path) -> None:
    path = folder / "k.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    before = path.stat().st_mtime_ns
    with bound(path):
        assert path.stat().st_mtime_ns > before
    assert not path.exists()


def test_a_living_daemons_socket_is_not_taken(folder: Path) -> None:
    path = folder / "k.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        assert refused(path) == f"another daemon listens at {path}; stop it, or choose another place with --socket"
        assert path.exists()


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_something_else_at_the_path_is_left_alone(folder: Path, what: str) -> None:
    path = folder / "k.sock"
    (folder / "precious").write_text("precious")
    if what == "folder":
        path.mkdir()
    elif what == "link":
        path.symlink_to(folder / "precious")
    else:
        path.write_text("precious")
    assert refused(path).startswith(f"{path} is in the way: it is not a socket; move it, or choose another place")
    assert path.exists()
    assert (folder / "precious").read_text() == "precious"


def test_another_daemons_new_socket_is_not_removed(folder: Path) -> None:
    path = folder / "k.sock"
    with bound(path):
        path.unlink()
        path.write_text("somebody else's")
    assert path.read_text() == "somebody else's"


def test_where_no_socket_can_be_made(folder: Path) -> None:
    assert refused(folder / "none" / "k.sock").endswith("cannot be made: No such file or directory")
    assert "longer than the system allows (107 bytes)" in refused(folder / ("x" * 120))


def test_a_port_in_use_is_said_and_the_socket_is_given_back(folder: Path) -> None:
    with bound(folder / "one.sock") as first:
        said = refused(folder / "two.sock", first.port)
        assert said == (
            f"127.0.0.1:{first.port} cannot be listened on: Address already in use; choose another with --listen"
        )
        assert not (folder / "two.sock").exists()
    with bound(folder / "two.sock", first.port) as second:
        assert second.port == first.port


def test_an_address_of_another_machine(folder: Path) -> None:
    assert "cannot be listened on: Cannot assign requested address" in refused(folder / "k.sock", 8470, "192.0.2.1")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "10.0.0.1", "::ffff:10.0.0.1", "", "karaula.example"])  # noqa: S104 - it is refused
def test_only_loopback_is_listened_on(host: str) -> None:
    with pytest.raises(StateError, match=r"loopback only|is not an address to listen on"):
        loopback_only(host)


@pytest.mark.parametrize(("host", "means"), [("localhost", "127.0.0.1"), ("127.9.9.9", "127.9.9.9"), ("::1", "::1")])
def test_loopback_may_be_named(host: str, means: str) -> None:
    assert loopback_only(host) == means


def test_host_names_that_mean_us() -> None:
    assert Doors(Path("k"), "::1", 8470).host_headers == {"[::1]:8470", "localhost:8470"}
    assert "127.0.0.1" in Doors(Path("k"), "127.0.0.1", 80).host_headers


def test_both_doors_lead_to_one_daemon() -> None:
    with web_daemon() as daemon:
        transport = httpx2.HTTPTransport(uds=str(daemon.socket))
        with httpx2.Client(transport=transport, base_url="http://evil.example") as client:
            by_socket = client.get("/api/pauses").json()
        assert by_socket == json.loads(daemon.ask("GET", "/api/pauses").text)
