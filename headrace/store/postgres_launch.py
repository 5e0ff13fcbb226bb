"""
Become a PostgreSQL program that ends when its parent does and holds no right of root.

Run by path, `python -I -S postgres_launch.py PARENT_PID USER PROGRAM [ARGUMENT...]`, and never imported: between fork and exec of a
process with threads only another program may do this much. USER is empty to stay who we are. Needs nothing but the standard
library, and reads that before the rights are dropped, so the interpreter may stand where USER cannot reach it.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def launch(parent_pid: int, user: str, command: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if user:
        entry = pwd.getpwnam(user)
        os.initgroups(entry.pw_name, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    os.umask(0o077)
    # After setuid, which clears it. SIGINT is PostgreSQL's fast shutdown: it drops its clients, writes a checkpoint and goes.
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:  # it died before the line above, so nobody will tell us
        sys.exit(1)
    for ignored_by_python in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored_by_python, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606  # to become the program is what this one is for


if __name__ == "__main__":
    launch(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
