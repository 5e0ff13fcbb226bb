"""
A copy of a Meltano project: its files, its plugins' environments, and its state on disk.

Each job has a copy of the project (project_place.py says where) and a system folder of its own, for Meltano keeps catalogs and settings of running plugins there by
the plugin's name alone, and two jobs of one plugin would read each other's. What is costly, the plugins' environments, is shared: links
lead to where `Environments` has built them.

State is kept by Meltano's own file backend in the job's folder, one file per state id, rewritten whenever the target confirms more. Before
the command the files are laid out from the database; afterwards, however it ended, what changed goes back. A worker that dies leaves the
files to the attempt that takes over.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from headrace.core.errors import DefinitionError
from headrace.core.meltano import FILE, MeltanoProject, Plugin, read_project
from headrace.runners.job_root import read_json, write_json

_STATE_FILE = "state.json"
_OWN_WAY = re.compile(r"^-|[$\\]|^\.{0,2}/|^file:")
"""Words of a pip_url that only Meltano's own installer understands where it runs: options, variables, paths."""


class ProjectFolder:
    """
    A Meltano project on disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / FILE

    @property
    def exists(self) -> bool:
        return self.file.is_file()

    def read(self) -> MeltanoProject:
        """
        Raises:
            DefinitionError: meltano.yml or a lock file is not as Meltano wants it.
        """
        return read_project(self._document(), self._locks()) if self.exists else MeltanoProject()

    def forget_system_folder(self) -> None:
        """
        Remove what Meltano kept beside the project: settings of plugins among it, which hold secrets when a run was killed.
        """
        shutil.rmtree(self.folder / ".meltano", ignore_errors=True)

    def add_plugins(self, plugins: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        """
        Add definitions to meltano.yml; one of a name that is there already wins over the file's.
        """
        self.read()  # says what is wrong with the file before we build on it
        document: dict[str, Any] = {"default_environment": "dev", "environments": [{"name": "dev"}]}
        if self.exists:
            document = self._document()
        known = document.setdefault("plugins", {}) or {}
        for plural, bodies in plugins.items():
            named = {body["name"]: body for body in known.get(plural) or []}
            for body in bodies:
                named[body["name"]] = {**named.get(body["name"], {}), **body}
            known[plural] = list(named.values())
        document["plugins"] = known
        # What the project may use after us is YAML; JSON is YAML, and keeps every value as it is.
        self.file.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2))

    def link(self, plugin: Plugin, environment: Path) -> None:
        """
        Let a plugin use an environment that stands elsewhere.
        """
        venv = self.folder / ".meltano" / plugin.type / plugin.name / "venv"
        venv.parent.mkdir(parents=True, exist_ok=True)
        venv.unlink(missing_ok=True)
        venv.symlink_to(environment)

    def _document(self) -> Any:
        try:
            return YAML(typ="safe").load(StringIO(self.file.read_text("utf-8"))) or {}
        except (YAMLError, UnicodeDecodeError) as error:
            said = " ".join(str(error).split())[:300]
            raise DefinitionError(
                f"{FILE} is not YAML in UTF-8: {said}", "Correct the file; Meltano would refuse it too.", file=FILE
            ) from error

    def _locks(self) -> list[Mapping[str, Any]]:
        locks: list[Mapping[str, Any]] = []
        for file in sorted(self.folder.glob("plugins/*/*.lock")):
            found = read_json(file)
            if isinstance(found, dict):
                locks.append({**found, "plugin_type": file.parent.name})
        return locks


def requirements_of(plugin: Plugin) -> tuple[str, ...] | None:
    """
    Give a plugin's packages as requirement lines; None when only Meltano's own installer can tell what they are.
    """
    try:
        words = shlex.split(plugin.pip_url)
    except ValueError:
        return None
    return None if any(_OWN_WAY.search(word) for word in words) else tuple(words)


class StateFiles:
    """
    The state folder of one job, in the form of Meltano's file backend: `{state id}/state.json`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def lay_out(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """
        Write what is known, unless an attempt before this one has left newer files here; its locks are void.
        """
        await asyncio.to_thread(self._lay_out, states)

    async def changed(self, states: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """
        Give what differs from *states* now, by state id.
        """
        return await asyncio.to_thread(self._changed, states)

    def _lay_out(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for state_id, state in states.items():
            if _is_name(state_id) and not (self.folder / state_id / _STATE_FILE).exists():
                write_json(self.folder / state_id / _STATE_FILE, state)
        for lock in self.folder.glob("*/lock"):
            lock.unlink(missing_ok=True)

    def _changed(self, states: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for file in self.folder.glob(f"*/{_STATE_FILE}"):
            state = read_json(file)  # a half-written one is left alone: what was known before holds
            if isinstance(state, dict) and state != states.get(file.parent.name):
                found[file.parent.name] = state
        return found


def _is_name(text: str) -> bool:
    return bool(text) and "/" not in text and "\x00" not in text and text not in (".", "..")
