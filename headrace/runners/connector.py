"""
A connector ready to start, and the settings file that is lent to it.

Taps and targets rewrite their config file while they run: a rotated refresh token must come back to the connection, or the next
job cannot log in. So what a file was written with is noted beside the job (`Lent`), and whoever takes it back, be it after a crash
of the worker, sees what has changed in the meantime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from headrace.core.plan import ConnectorSpec
from headrace.runners.job_root import JobRoot, read_json, write_json

_ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """
    A connector ready to start.

    Attributes:
        command: its program, resolved in its environment.
        settings: what it is started with, secrets included.
        private: names of settings that came from this job alone; never saved back.
        connection: id of the connection that the settings came from; None when there is none to save back to.
    """

    spec: ConnectorSpec
    command: Sequence[str]
    settings: Mapping[str, Any]
    private: frozenset[str] = frozenset()
    connection: str | None = None

    def folder(self, root: JobRoot) -> Path:
        """
        Give the folder that it works in as a target.
        """
        return root.folder / "targets" / file_name(self.spec.name)


class Lent(msgspec.Struct, frozen=True):
    """
    One settings file that a connector may rewrite.

    Attributes:
        path: of the file, relative to the job's root.
        settings: what it was written with.
        private: names that are never saved back.
    """

    connection: str
    path: str
    settings: dict[str, Any]
    private: frozenset[str]


def lend_config(root: JobRoot, connector: Connector, path: Path, settings: Mapping[str, Any] | None = None) -> None:
    """
    Write a connector's settings, or *settings* instead, to *path*, in its care until `take_back`.
    """
    given = dict(connector.settings if settings is None else settings)
    if connector.connection is not None:
        lent = Lent(connector.connection, str(path.relative_to(root.folder)), given, connector.private)
        write_json(root.lent / f"{file_name(lent.path)}.json", msgspec.to_builtins(lent), secret=True)
    write_json(path, given, secret=True)


def take_back(root: JobRoot) -> dict[str, dict[str, Any]]:
    """
    Tell, by connection, which settings have been rewritten; `forget_lent` once that is saved.

    A file that is gone or no JSON object any more has changed nothing: its connector was ended while it wrote.
    """
    rewritten: dict[str, dict[str, Any]] = {}
    for note in sorted(root.lent.glob("*.json")):
        lent = msgspec.convert(read_json(note), Lent)
        changed = _changed(lent, read_json(root.folder / lent.path))
        if changed:
            rewritten.setdefault(lent.connection, {}).update(changed)
    return rewritten


def forget_lent(root: JobRoot) -> None:
    """
    Forget what was lent.
    """
    for note in root.lent.glob("*.json"):
        note.unlink(missing_ok=True)


def file_name(name: str) -> str:
    """
    Make a name fit for one file or folder.
    """
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)


def _changed(lent: Lent, found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        return {}
    return {
        name: value
        for name, value in found.items()
        if name not in lent.private and lent.settings.get(name, _ABSENT) != value
    }
