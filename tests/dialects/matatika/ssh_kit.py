"""
Repositories over ssh: by a program in the place of ssh that tells what it was asked, and by OpenSSH's own server.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_STAND_IN = """#!{python}
import json, os, pathlib, stat, sys
here = pathlib.Path({here!r})
options = dict(word.split("=", 1) for flag, word in zip(sys.argv, sys.argv[1:]) if flag == "-o" and "=" in word)
file = pathlib.Path(options["IdentityFile"].strip('"'))
key = file.read_text() if file.exists() else ""
modes = [oct(stat.S_IMODE(each.stat().st_mode)) for each in (file, file.parent)] if key else []
with (here / "asked").open("a") as asked:
    asked.write(json.dumps({{"argv": sys.argv[1:], "options": options, "key": key, "modes": modes, "file": str(file)}}) + "\\n")
if key != (here / "deploy-key").read_text():
    sys.exit("git@git.test: Permission denied (publickey).\\n")
os.chdir(here)
os.execvp("sh", ["sh", "-c", sys.argv[-1]])
"""


@dataclass(frozen=True, slots=True)
class StandIn:
    """
    A folder of repositories that are read through a program named ssh, by whoever has the key.
    """

    folder: Path
    key: str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----\n"

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        (self.folder / "deploy-key").write_text(self.key)
        program = self.folder / "bin" / "ssh"
        program.parent.mkdir()
        program.write_text(_STAND_IN.format(python=sys.executable, here=str(self.folder)))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "asked").read_text().splitlines()]


def new_key(file: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return file


def why_no_server() -> str:
    """
    Say why OpenSSH's server cannot be started here; empty where it can.
    """
    if shutil.which("sshd", path=_path()) is None or shutil.which("ssh") is None:
        return "OpenSSH is not installed"
    if os.getuid() == 0 and not (Path("/run/sshd").is_dir() and "\nsshd:" in Path("/etc/passwd").read_text()):
        return "sshd as root wants a user sshd and the folder /run/sshd"
    return ""


@contextmanager
def server(folder: Path, *, host_key: Path, opens: Path, port: int) -> Iterator[None]:
    """
    Let the holder of the key *opens* in, as the user who runs the tests.
    """
    options = {
        "ListenAddress": "127.0.0.1", "AuthorizedKeysFile": f"{opens}.pub", "StrictModes": "no", "PidFile": "none",
        "PermitRootLogin": "yes", "UsePAM": "no", "KbdInteractiveAuthentication": "no",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    program = shutil.which("sshd", path=_path())
    assert program is not None
    with (folder / "sshd.log").open("a") as said:
        argv = [program, "-D", "-e", "-f", os.devnull, "-h", str(host_key), "-p", str(port), *words]
        sshd = subprocess.Popen(argv, stderr=said)
    try:
        _await_listener(port, folder / "sshd.log")
        yield
    finally:
        sshd.terminate()
        sshd.wait(10)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _await_listener(port: int, said: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.05)
        else:
            return


def _path() -> str:
    return f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
