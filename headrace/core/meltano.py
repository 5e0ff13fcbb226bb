"""
What a Meltano project says: its plugins, jobs, schedules and environments, and how their settings are named in the environment.

Source: docs.meltano.com, "Project structure" and "Settings" (Meltano 4.4, also tried). Pure: files are read elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.core.errors import DefinitionError

TYPES: Final = ("extractors", "loaders", "transforms", "transformers", "files", "utilities", "mappers", "orchestrators")
"""Plural names of plugin types, as files and addresses have them."""

FILE: Final = "meltano.yml"

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9]")
_KINDS: Final = {"password": True, "oauth": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """
    One setting of a plugin.

    Attributes:
        kind: Meltano's word, such as `string`, `integer` or `array`; empty counts as `string`.
        default: what the plugin uses when nobody sets it; None for nothing.
        body: the definition as it was read.
    """

    name: str
    kind: str = ""
    sensitive: bool = False
    required: bool = False
    default: Any = None
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """
    One plugin as a project or a lock file defines it.

    Attributes:
        type: plural, out of `TYPES`.
        parent: name of the plugin that it inherits from; empty for none.
        pip_url: arguments of the installer, as Meltano takes them; empty for a plugin without a package.
        config: values that the project sets.
        body: the definition as it was read.
    """

    type: str
    name: str
    variant: str = ""
    namespace: str = ""
    parent: str = ""
    pip_url: str = ""
    executable: str = ""
    settings: tuple[Setting, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """
        The fully qualified name, such as `extractors/tap-x--meltanolabs`.
        """
        return f"{self.type}/{self.name}" + (f"--{self.variant}" if self.variant else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """
    A schedule of the project: a job, or an extractor and a loader, at an interval.
    """

    name: str
    interval: str
    job: str = ""
    extractor: str = ""
    loader: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeltanoProject:
    """
    Attributes:
        plugins: by name.
        jobs: by name, their tasks in order; a task of several blocks is flattened.
        mappings: by the mapping's name, the mapper that makes it.
    """

    plugins: Mapping[str, Plugin] = field(default_factory=dict)
    jobs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    schedules: tuple[Schedule, ...] = ()
    environments: tuple[str, ...] = ()
    default_environment: str = ""
    mappings: Mapping[str, str] = field(default_factory=dict)

    def ancestor(self, name: str) -> Plugin | None:
        """
        Give the plugin that another inherits its package from, itself when it has one; None when nobody has.
        """
        seen: set[str] = set()
        plugin = self.plugins.get(name)
        while plugin is not None and not plugin.pip_url and plugin.parent and plugin.name not in seen:
            seen.add(plugin.name)
            plugin = self.plugins.get(plugin.parent.partition("--")[0])
        return plugin if plugin is not None and plugin.pip_url else None

    def settings(self, name: str) -> tuple[Setting, ...]:
        """
        List what a plugin can be set to, its ancestors' included; its own definitions first.
        """
        found: dict[str, Setting] = {}
        seen: set[str] = set()
        plugin = self.plugins.get(name)
        while plugin is not None and plugin.name not in seen:
            seen.add(plugin.name)
            for setting in plugin.settings:
                found.setdefault(setting.name, setting)
            plugin = self.plugins.get(plugin.parent.partition("--")[0])
        return tuple(found.values())

    def configured(self, name: str) -> frozenset[str]:
        """
        Name the settings that the project itself gives a value to.
        """
        return frozenset(self.config(name))

    def config(self, name: str) -> dict[str, Any]:
        """
        Give the values that the project itself sets, its ancestors' included; its own first.
        """
        values: dict[str, Any] = {}
        seen: set[str] = set()
        plugin = self.plugins.get(name)
        while plugin is not None and plugin.name not in seen:
            seen.add(plugin.name)
            values = {**plugin.config, **values}
            plugin = self.plugins.get(plugin.parent.partition("--")[0])
        return values

    def needed(self, words: Iterable[str]) -> list[Plugin]:
        """
        List the plugins that a run of *words* starts, each once; unknown words need nothing, Meltano itself will refuse them.
        """
        found: dict[str, Plugin] = {}
        for word in words:
            for block in self.jobs.get(word, (word,)):
                name = block.partition(":")[0]
                plugin = self.plugins.get(self.mappings.get(name, name))
                if plugin is not None:
                    found.setdefault(plugin.name, plugin)
        return list(found.values())


def read_project(document: Any, locks: Sequence[Mapping[str, Any]] = (), *, file: str = FILE) -> MeltanoProject:
    """
    Read the parsed meltano.yml of a project, and its lock files for what the project leaves to them.

    Raises:
        DefinitionError: a part of it has not the form that Meltano wants; names the part.
    """
    main = _mapping(document, "the file", file)
    locked = {(str(lock.get("plugin_type", "")), str(lock.get("name", ""))): lock for lock in locks}
    plugins: dict[str, Plugin] = {}
    mappings: dict[str, str] = {}
    for plural, bodies in _mapping(main.get("plugins"), "plugins", file).items():
        for body in _list(bodies, f"plugins.{plural}", file):
            plugin = _plugin(str(plural), _mapping(body, f"plugins.{plural}", file), locked, file)
            plugins[plugin.name] = plugin
            for mapping in _list(plugin.body.get("mappings"), f"{plugin.name}.mappings", file):
                mappings[str(_mapping(mapping, "mappings", file).get("name", ""))] = plugin.name
    environments = [
        _mapping(each, "environments", file) for each in _list(main.get("environments"), "environments", file)
    ]
    return MeltanoProject(
        plugins=plugins,
        jobs=dict(_job(each, file) for each in _list(main.get("jobs"), "jobs", file)),
        schedules=tuple(_schedule(each, file) for each in _list(main.get("schedules"), "schedules", file)),
        environments=tuple(str(each.get("name", "")) for each in environments),
        default_environment=str(main.get("default_environment") or ""),
        mappings=mappings,
    )


def variable(plugin: str, setting: str) -> str:
    """
    Name the environment variable that sets a plugin's setting: `tap-x`, `oauth.client_id` → `TAP_X_OAUTH_CLIENT_ID`.

    The extras `_select` and `_metadata` keep their underscore: `TAP_X__SELECT`.
    """
    return _NOT_IN_NAMES.sub("_", f"{plugin}_{setting}").upper()


def singular(plural: str) -> str:
    """
    Give the singular of a plugin type, as Meltano's own files have it.
    """
    return "utility" if plural == "utilities" else plural.removesuffix("s")


def plugin_of(plural: str, body: Mapping[str, Any]) -> Plugin:
    """
    Read one plugin definition, such as that of a hub or a lock file.
    """
    return _plugin(plural, body, {}, FILE)


def _plugin(
    plural: str, body: Mapping[str, Any], locked: Mapping[tuple[str, str], Mapping[str, Any]], file: str
) -> Plugin:
    name = body.get("name")
    if plural not in TYPES or not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
        raise _wrong(file, f"plugins.{plural}", "a list of plugins, each with a name")
    lock = locked.get((plural, name), {})
    known = {**lock, **body}
    settings = [*_list(body.get("settings"), f"{name}.settings", file), *_list(lock.get("settings"), name, file)]
    return Plugin(
        type=plural,
        name=name,
        variant=str(known.get("variant") or ""),
        namespace=str(known.get("namespace") or name.replace("-", "_")),
        parent=str(known.get("inherit_from") or ""),
        pip_url=str(known.get("pip_url") or ""),
        executable=str(known.get("executable") or ""),
        settings=tuple(_setting(_mapping(each, f"{name}.settings", file)) for each in settings),
        config=_mapping(body.get("config"), f"{name}.config", file),
        body=known,
    )


def _setting(body: Mapping[str, Any]) -> Setting:
    kind = str(body.get("kind") or "")
    return Setting(
        name=str(body.get("name") or ""),
        kind=kind,
        sensitive=bool(body.get("sensitive", _KINDS.get(kind, False))),
        required=body.get("required") in (True, "true"),
        default=body.get("value"),
        body=body,
    )


def _job(body: Any, file: str) -> tuple[str, tuple[str, ...]]:
    job = _mapping(body, "jobs", file)
    tasks: list[str] = []
    for task in _list(job.get("tasks"), f"jobs.{job.get('name')}", file):
        for words in task if isinstance(task, list) else [task]:
            tasks += str(words).split()
    return str(job.get("name", "")), tuple(tasks)


def _schedule(body: Any, file: str) -> Schedule:
    schedule = _mapping(body, "schedules", file)
    return Schedule(
        **{name: str(schedule.get(name) or "") for name in ("name", "interval", "job", "extractor", "loader")}
    )


def _mapping(value: Any, at: str, file: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _wrong(file, at, "a mapping")
    return value


def _list(value: Any, at: str, file: str) -> Sequence[Any]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise _wrong(file, at, "a list")
    return value


def _wrong(file: str, at: str, wanted: str) -> DefinitionError:
    return DefinitionError(
        f"{file}: {at} is not {wanted}.", "Correct the file; Meltano would refuse it too.", file=file, at=at
    )
