"""
The dependencies of scripts in JavaScript and TypeScript, installed once for all jobs of one machine.

npm installs into the job's folder, where Node looks for packages. What it made is kept under a digest of the lock file and the Node that
is here, and the next job with the same gets a copy: the lock file names every package by its hash, so the copy is what npm would make again.
Without a lock file versions are free to move, so npm is asked each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import uuid
from pathlib import Path
from typing import Final

from headrace.runners.environment_prune import LAST_USED

MODULES: Final = "node_modules"
LOCK: Final = "package-lock.json"
_OF_PACKAGES: Final = ("package.json", LOCK, ".npmrc")


class NodePackages:
    """
    Args:
        folder: where they are kept, beside the environments of connectors; each is a folder `node-…`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def bring(self, root: Path, node: Path) -> bool:
        """
        Copy into a job's folder what was installed for the same lock file; false when nothing was.
        """
        kept = self._kept(root, node)
        if kept is None or not (kept / MODULES).is_dir():
            return False
        with contextlib.suppress(FileNotFoundError):  # taken away in this moment: npm installs it anew
            (kept / LAST_USED).touch()
            shutil.copytree(kept / MODULES, root / MODULES, symlinks=True)
            return True
        shutil.rmtree(root / MODULES, ignore_errors=True)
        return False

    def keep(self, root: Path, node: Path) -> None:
        """
        Keep what npm has installed in a job's folder, whole or not at all; of two jobs that do so at once the first is right.
        """
        kept = self._kept(root, node)
        if kept is None or kept.exists() or not (root / MODULES).is_dir():
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._folder / f".{kept.name}.{uuid.uuid4().hex}"
        try:
            shutil.copytree(root / MODULES, partial / MODULES, symlinks=True)
            (partial / LAST_USED).touch()
            with contextlib.suppress(OSError):  # the other job's is there
                partial.rename(kept)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _kept(self, root: Path, node: Path) -> Path | None:
        """
        Name the folder for what a job's files ask for; None without a lock file.
        """
        if not (root / LOCK).is_file():
            return None
        program = node.resolve()
        digest = hashlib.sha256(f"{program}\0{program.stat().st_mtime_ns}".encode())
        for name in _OF_PACKAGES:
            content = (root / name).read_bytes() if (root / name).is_file() else b""
            digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
        return self._folder / f"node-{digest.hexdigest()[:32]}"
