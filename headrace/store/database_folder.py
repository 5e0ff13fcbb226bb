"""
The folder of one embedded database: where it lies, what is in it, who owns which part.

    supervisor.lock   held by the one supervisor of this folder; names its pid
    server.lock       held by the server and, inherited, by each of its processes: free only when the last of them is gone
    password          of the one role, as a libpq password file, mode 0600
    start.log         what the server said before its log was open
    cluster/          PostgreSQL's data directory
    socket/           its socket, unless the path is too long for one
    log/              its log, one file per weekday

The last three are the server user's, mode 0700. The folder itself is ours, so that the server's user can put nothing in the place of
another part: mode 0700, or 0711 when the server runs as another user, who has to get through. Folders above it are never touched. When they keep the server's user
out (a project below `/root`), the folder is made under `/var/lib/headrace/` and a symbolic link stands in its place.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from headrace.core.errors import EmbeddedDatabaseError
from headrace.store.installation import ServerUser, open_system_dir

ROLE = DATABASE = "headrace"
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_BYTES = 107  # sun_path of unix(7), less the closing NUL
LOG_LINES = 8


@dataclass(frozen=True, slots=True)
class DatabaseFolder:
    path: Path  # resolved
    user: ServerUser

    @property
    def cluster(self) -> Path:
        return self.path / "cluster"

    @property
    def password_file(self) -> Path:
        return self.path / "password"

    @property
    def supervisor_lock(self) -> Path:
        return self.path / "supervisor.lock"

    @property
    def server_lock(self) -> Path:
        return self.path / "server.lock"

    @property
    def start_log(self) -> Path:
        return self.path / "start.log"

    @property
    def log_dir(self) -> Path:
        return self.path / "log"

    def major(self) -> int | None:
        """
        The major version that the data directory was made by; none when there is no data directory yet.
        """
        try:
            return int((self.cluster / "PG_VERSION").read_text().partition(".")[0])
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise EmbeddedDatabaseError(
                f"The database in {self.cluster} is damaged: its file PG_VERSION holds no version.",
                "Restore it from a backup.",
            ) from error

    def check_owner(self) -> None:
        owner = self.cluster.stat().st_uid
        if owner != self.user.uid:
            raise EmbeddedDatabaseError(
                f"The database in {self.cluster} belongs to uid {owner}, and PostgreSQL is to run as {self.user.name} (uid {self.user.uid}).",
                "Start as its owner, name its owner in HEADRACE_PG_USER, or give `cluster` and `log` to the other user with chown -R.",
            )

    def own(self, folder: Path) -> Path:
        """
        Make *folder* if needed, the server user's and nobody else's.
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        if not self.user.is_self:
            os.chown(folder, self.user.uid, self.user.gid)
        return folder

    def make_socket_dir(self) -> Path:
        """
        Make the folder of the socket: `socket/`, or a new one in `/tmp` if its path cannot be a socket's.
        """
        here = self.path / "socket"
        return self.own(here if can_hold_a_socket(here) else Path(tempfile.mkdtemp(prefix="headrace-", dir="/tmp")))

    def drop_socket_dir(self, socket_dir: Path) -> None:
        """
        Remove the socket's folder if it is one in `/tmp`.
        """
        if socket_dir.parent != self.path:
            shutil.rmtree(socket_dir, ignore_errors=True)

    def url(self, socket_dir: Path) -> str:
        """
        The connection URL for libpq. It names the password's file and not the password, so it may be logged.
        """
        return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(socket_dir), safe='')}&passfile={quote(str(self.password_file), safe='')}"

    def save_password(self, password: str) -> None:
        draft = self.path / "password.new"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"*:*:*:{ROLE}:{password}\n")
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self.password_file)
        self.sync()

    def sync(self) -> None:
        """
        Wait until the names in the folder, and its own, are on the disk: a database that was begun must survive a power cut.
        """
        for path in (self.path, self.path.parent):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def postmaster_status(self, pid: int) -> str:
        """
        What the server with *pid* wrote down of itself: `starting`, `ready`, `stopping`; empty when it wrote nothing yet.

        Line 8 of postmaster.pid, as pg_ctl reads it (PostgreSQL's src/include/utils/pidfile.h).
        """
        lines = self._postmaster_lines()
        return lines[7].strip() if len(lines) > 7 and lines[0] == str(pid) else ""

    def _postmaster_lines(self) -> list[str]:
        try:
            return (self.cluster / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, UnicodeDecodeError):
            return []

    def server_pids(self) -> list[int]:
        """
        All processes named postgres that stand in the data directory, whatever its pid file says.
        """
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._serves(entry)]

    def _serves(self, process: Path) -> bool:
        try:
            return (process / "cwd").samefile(self.cluster) and (process / "comm").read_text().startswith("postgres")
        except OSError:  # gone, or not ours to look at
            return False

    def end_leftovers(self, *, force: bool) -> None:
        """
        Ask the processes of an earlier server to end: fast shutdown to a living postmaster, SIGQUIT to orphans; SIGKILL by *force*.
        """
        pids = self.server_pids()
        postmaster = next((pid for pid in pids if str(pid) in self._postmaster_lines()[:1]), None)
        if force:
            order = signal.SIGKILL
        elif postmaster is not None:
            pids, order = [postmaster], signal.SIGINT
        else:
            order = signal.SIGQUIT
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, order)

    def forget_server(self, socket_dir: Path) -> None:
        """
        Remove what names the pid of a server that is known to be gone: it may be somebody else's by now, and would forbid a start.

        Only for the holder of `server.lock`.
        """
        for path in (self.cluster / "postmaster.pid", socket_dir / f"{SOCKET_NAME}.lock", socket_dir / SOCKET_NAME):
            path.unlink(missing_ok=True)

    def log_tail(self) -> list[str]:
        """
        The last lines that the server said, oldest first.
        """
        files = sorted([self.start_log, *self.log_dir.glob("*.log")], key=_modified_at_ns)
        lines = [line for file in files[-2:] if file.is_file() for line in _last_lines(file)]
        return lines[-LOG_LINES:]

    def last_words(self, *, fatal: bool) -> str:
        """
        The last line that the server said, or its last fatal one if there is any; only such a one says why it gave up.
        """
        lines = self.log_tail()
        grave = [line for line in lines if fatal and ("FATAL:" in line or "PANIC:" in line)]
        return (grave or lines or ["none"])[-1]


def can_hold_a_socket(folder: Path) -> bool:
    too_long = len(os.fsencode(folder / SOCKET_NAME)) > SOCKET_PATH_BYTES
    return not too_long and "," not in str(folder)  # libpq takes a comma for the end of a host


def _modified_at_ns(file: Path) -> int:
    return file.stat().st_mtime_ns if file.exists() else 0


def _last_lines(file: Path) -> list[str]:
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - 8192))
        return stream.read().decode(errors="replace").splitlines()[-LOG_LINES:]


def open_folder(data_dir: Path, user: ServerUser, system_dir: Path) -> DatabaseFolder:
    """
    Find the database folder of *data_dir*, or make it there or, if *user* cannot get there, under *system_dir*.

    Raises:
        EmbeddedDatabaseError: it is there and out of the user's reach.
        OSError: it cannot be made.
    """
    if not data_dir.exists():
        _make_folder(data_dir, user, system_dir)
    path = data_dir.resolve(strict=True)
    if not user.can_reach(path / "cluster"):
        raise EmbeddedDatabaseError(
            f"The user {user.name}, as whom PostgreSQL runs, cannot reach its database in {path}.",
            "Let that user through the folders above it, or move the folder to a place that it can reach and leave a symbolic link.",
        )
    return DatabaseFolder(path, user)


def _make_folder(data_dir: Path, user: ServerUser, system_dir: Path) -> None:
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    parent = data_dir.parent.resolve()
    if data_dir.is_symlink():
        raise EmbeddedDatabaseError(
            f"The database folder {data_dir.readlink()}, to which {data_dir} points, is gone.",
            f"Bring it back from a backup, or remove {data_dir} to begin with an empty database.",
        )
    if user.can_reach(parent / data_dir.name):
        data_dir.mkdir()
        data_dir.chmod(0o700 if user.is_self else 0o711)
        return
    place = Path(tempfile.mkdtemp(prefix=f"{parent.name}-", dir=open_system_dir(system_dir)))
    place.chmod(0o711)
    data_dir.symlink_to(place)


def try_lock(path: Path) -> int | None:
    """
    Take the lock of *path* and return its descriptor, or nothing when somebody holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
