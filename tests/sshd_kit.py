"""Debian's sshd, one of its own for each test, with keys of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from real_kit import free_port, need, tell

from monitor.inventory.equipment import SshHost

ADDRESS = "127.94.0.21"
LONG_S = 60.0  # for what must succeed, however slow the machine


class Sshd:
    """One sshd of its own, with its own keys, in a folder of its own."""

    def __init__(self, folder: Path, user: str = "", *, address: str = ADDRESS, port: int = 0) -> None:
        """Prepare; as root it may be run as another ``user``, who is then the only one that it lets in."""
        self.folder = folder
        self.user = user if os.geteuid() == 0 else ""
        self.address = address
        self.port = port or free_port(address)
        self.binary = need("sshd", "openssh-server")
        self.keygen = need("ssh-keygen", "openssh-client")
        self.process: subprocess.Popen[bytes] | None = None
        self.known_hosts = folder / "known_hosts"
        for name in ("host", "ssh-karaula", "other"):
            self.new_key(name)
        (folder / "authorized").write_text((folder / "ssh-karaula.pub").read_text())
        self.trust()
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)

    def begin_at_home(self) -> None:
        """Have log-ins begin in this sshd's own home: an account's is everybody's who tests as that account."""
        command = r'command="cd \"$HOME\" && eval \"$SSH_ORIGINAL_COMMAND\""'
        (self.folder / "authorized").write_text(f"{command} {(self.folder / 'ssh-karaula.pub').read_text()}")

    def new_key(self, name: str, kind: str = "ed25519") -> None:
        (self.folder / name).unlink(missing_ok=True)
        subprocess.run([self.keygen, "-q", "-t", kind, "-N", "", "-f", self.folder / name], check=True)

    def trust(self, name: str = "host") -> None:
        public = (self.folder / f"{name}.pub").read_text()
        self.known_hosts.write_text(f"# made by a test\n[{self.address}]:{self.port} {public}")

    def hash_names(self) -> None:
        subprocess.run([self.keygen, "-q", "-H", "-f", self.known_hosts], check=True, capture_output=True)

    def fingerprint(self, name: str) -> str:
        shown = subprocess.run(
            [self.keygen, "-l", "-f", self.folder / f"{name}.pub"], check=True, capture_output=True, text=True
        )
        return shown.stdout.split()[1]

    def start(self, *options: str, path: str = "/usr/bin:/bin:/usr/sbin:/sbin") -> None:
        """Start it; log-ins have a home without start-up files: what those do for a person is no part of a test."""
        config = self.folder / "config"
        (self.folder / "home").mkdir(exist_ok=True)
        lines = [
            f"ListenAddress {self.address}:{self.port}",
            f"HostKey {self.folder / 'host'}",
            f"AuthorizedKeysFile {self.folder / 'authorized'}",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            f"SetEnv HOME={self.folder / 'home'} PATH={path}",
            *options,
        ]
        config.write_text("\n".join(lines) + "\n")
        with (self.folder / "log").open("ab") as log:
            command = [self.binary, "-D", "-e", "-f", config]
            if self.user:
                shutil.chown(self.folder / "host", self.user)
                self.process = subprocess.Popen(
                    command, stderr=log, start_new_session=True, user=self.user, group=self.user, extra_groups=[]
                )
            else:
                self.process = subprocess.Popen(command, stderr=log, start_new_session=True)
        give_up = time.monotonic() + LONG_S
        while b"Server listening" not in (self.folder / "log").read_bytes():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < give_up
            time.sleep(0.02)

    def family(self) -> list[int]:
        """Return sshd's process id and those of the connections it serves, oldest first."""
        assert self.process is not None
        found = [self.process.pid]
        for pid in found:
            with suppress(FileNotFoundError, ProcessLookupError):  # a connection ends when it likes
                found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found

    def signal(self, number: signal.Signals) -> None:
        tell(number, *self.family())

    def stop(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
            (self.folder / "log").write_bytes(b"")

    def host(self, **changes: object) -> SshHost:
        known = {
            "site": "main",
            "address": self.address,
            "port": self.port,
            "user": getpass.getuser(),
            "credential": "ssh-karaula",
        }
        return SshHost.model_validate(known | changes)
