"""
One child program, started from the shim's own small process.

Part of the shim (shim.py): the standard library only. A plain fork is right here: the shim has one thread and little memory, so a fork costs
half a millisecond and allows what a vfork forbids (limits, niceness, signals, descriptors at wanted numbers).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import resource
import signal

from headrace.runners.process_tree import LINUX, read_to_end

TYPE_CHECKING = False  # importing `typing` for it would cost a fifth of the shim's start
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    Program = Callable[[Mapping[str, str]], None]

PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 1, 15, 36  # linux/prctl.h
LIBC = ctypes.CDLL(None) if LINUX else None
DEAF_TO = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGALRM, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
)
DEAF_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
MOST_FDS = 1 << 20  # where close_range(2) is missing, a limit above this would take long
OOM_SCORE = "500"  # the kernel's out-of-memory killer takes a child before it takes the server


def start(message: Mapping[str, Any], fds: list[int], program: Program | None = None) -> int:
    """
    Start a child in a session of its own and return its process id once its program runs.

    *message* has argv, cwd, env, rlimits, nice, and targets: the numbers under which the child finds *fds*, in their order. Without an
    argv the child is a copy of this process that calls *program* with env.

    Raises:
        OSError: why the program could not be started.
    """
    told, tell = os.pipe()
    try:
        try:
            pid = os.fork()
            if pid == 0:
                become(message, fds, tell, program)
        finally:
            os.close(tell)
        said = read_to_end(told)  # the exec closes the other end
    finally:
        os.close(told)
    if said:
        os.waitpid(pid, 0)
        number, _, reason = said.decode().partition(" ")
        raise OSError(int(number), reason)
    return pid


def become(message: Mapping[str, Any], fds: list[int], tell: int, program: Program | None) -> NoReturn:
    """
    Turn this forked process into the wanted program; on failure write errno and reason to *tell* and go.
    """
    try:
        prepare(message, fds, tell, program)
        if program is not None:
            program(message["env"])
    finally:
        os._exit(127)


def prepare(message: Mapping[str, Any], fds: list[int], tell: int, program: Program | None) -> None:
    """
    Make this process the child's own; returns only where it is to call *program*.
    """
    try:
        where = "the limits of its process"
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # should the shim itself be killed
        tell = place(fds, message["targets"], tell)
        restrain(message["rlimits"], message["nice"])
        restore_signals()
        where = message["cwd"]
        os.chdir(where)
        if message["argv"] or program is None:
            where = message["argv"][0]
            os.execvpe(where, message["argv"], message["env"])  # noqa: S606 -- no shell is what we want
        os.closerange(max([2, *message["targets"]]) + 1, MOST_FDS)  # what an exec would close; *tell* is among them
    except (OSError, ValueError, IndexError) as error:
        number = (error.errno if isinstance(error, OSError) else None) or errno.EINVAL
        reason = getattr(error, "strerror", None) or str(error)
        os.write(tell, f"{number} {reason}: {where}".encode(errors="backslashreplace"))
        os._exit(127)


def place(fds: list[int], targets: list[int], tell: int) -> int:
    """
    Put *fds* at the numbers *targets* and *tell* out of their way; return where *tell* went.
    """
    above = max([2, *targets]) + 1
    tell = fcntl.fcntl(tell, fcntl.F_DUPFD_CLOEXEC, above)
    sources = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in fds]
    for source, target in zip(sources, targets, strict=True):
        os.dup2(source, target, inheritable=True)
    return tell


def restrain(rlimits: Mapping[str, int], nice: int) -> None:
    for name, wanted in rlimits.items():
        which = getattr(resource, f"RLIMIT_{name.upper()}")
        _, hard = resource.getrlimit(which)
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(which, (limit, limit))
    if nice:
        os.nice(nice)
    with contextlib.suppress(OSError):
        score = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        os.write(score, OOM_SCORE.encode())


def restore_signals() -> None:
    for number in (*DEAF_TO, *DEAF_BY_PYTHON):  # an ignored signal would stay ignored in the new program
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def prctl(option: int, value: Any) -> None:
    if LIBC:
        LIBC.prctl(option, value, 0, 0, 0)
