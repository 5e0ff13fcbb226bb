"""
What a job left in its folder, and what its script was given: for whoever looks at it, or runs the script again elsewhere.
"""

from __future__ import annotations

import fnmatch
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from headrace.core.errors import ConflictError, NotFoundError
from headrace.core.job import Job
from headrace.core.plan import Export, Script, Sync
from headrace.services.attempts import Attempts, Work
from headrace.store.files import FileStore
from headrace.store.job_rows import folder_of

_OURS = ".headrace"
_SECRET = (
    "config.json",
    "source-config.json",
    "target-config.json",
    "targets/*/config.json",
    "snapshots/tenant-config.json",
)
_GIVEN = ("catalog.json", "catalog-selected.json", "state.json", "selectedTables.json", "mapping.json",
          "target-catalog.json", "job_details.json")  # fmt: skip
_NOTED, _BEFORE = f"{_OURS}/snapshots.json", f"{_OURS}/snapshots-before"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptInputs:
    """
    All that a job's script was given.

    Attributes:
        script: files of the script's own folder, by path, with their sizes in bytes; they go over *files* of the same name.
        files: everything else in the job's folder when the script began.
        variables: of its environment, but for the paths of the folder itself and the key to this server.
        records: how many it was given.
        withheld: names of files and `environment` that the caller may not see.
        outcome: state of the step in the job.
    """

    entry: str
    requirements: tuple[str, ...]
    python: str | None
    empty_output: str
    script: Mapping[str, int]
    files: Mapping[str, int]
    variables: Mapping[str, str]
    records: int
    withheld: tuple[str, ...]
    outcome: str


@dataclass(frozen=True, slots=True)
class _Source:
    """Where an input's bytes are: an object of the store, or the bytes themselves."""

    size_bytes: int
    path: str = ""
    data: bytes | None = None


@dataclass(slots=True)
class _Gathered:
    script: dict[str, _Source] = field(default_factory=dict)
    files: dict[str, _Source] = field(default_factory=dict)
    withheld: list[str] = field(default_factory=list)


class JobFiles:
    """
    What may be asked about a job's files; whoever calls has checked that the actor may see the job.
    """

    def __init__(self, attempts: Attempts, files: FileStore) -> None:
        self._attempts = attempts
        self._files = files

    async def listed(self, job: Job, *, secrets: bool) -> dict[str, int]:
        """
        List the files in a job's folder with their sizes in bytes; with *secrets* those with settings, too, where there still are any.
        """
        found = await self._files.present(folder_of(job.id, job.created_at))
        return {path: size for path, size in sorted(found.items()) if _may_see(path, secrets=secrets)}

    async def read(self, job: Job, path: str, *, secrets: bool) -> AsyncIterator[bytes]:
        """
        Read one of the files that `listed` names.

        Raises:
            NotFoundError: there is none, or not for this caller.
        """
        if path in await self.listed(job, secrets=secrets):
            found = await self._files.stream(f"{folder_of(job.id, job.created_at)}/{path}")
            if found is not None:
                return found
        raise NotFoundError(f"The job has no file {path[:255]!r}.", "List them with GET /api/v1/jobs/ID/files.")

    async def inputs(self, job: Job, *, secrets: bool) -> ScriptInputs:
        """
        Tell what the job's script was given; without *secrets*, settings and variables that came with the job are withheld.

        Snapshots are as they were before the job; settings as they are now, for nobody keeps those of then.

        Raises:
            ConflictError: the job has no script stage, or its files are gone.
        """
        work = await self._attempts.look(job.id)
        step = _script_of(work)
        gathered = await self._gather(work, step, secrets=secrets)
        environment = work.sealed.get(work.plan.environment or "", {})
        if environment and not secrets:
            gathered.withheld.append("environment")
        record = next(each for each in job.steps if each.name == step.name)
        outputs = {each.name: each.output for each in job.steps}
        sync_type = next((output["sync_type"] for output in outputs.values() if "sync_type" in output), None)
        own = {str(name): str(value) for name, value in environment.items()} if secrets else {}
        return ScriptInputs(
            entry=step.entry,
            requirements=step.requirements,
            python=step.python,
            empty_output=step.empty_output,
            script={path: source.size_bytes for path, source in sorted(gathered.script.items())},
            files={path: source.size_bytes for path, source in sorted(gathered.files.items())},
            variables={**work.plan.variables, **({"SYNC_TYPE": sync_type} if sync_type else {}), **own},
            records=sum(sum(output.get("record_count", {}).values()) for output in outputs.values()),
            withheld=tuple(gathered.withheld),
            outcome=str(record.state),
        )

    async def read_input(self, job: Job, path: str, *, secrets: bool) -> AsyncIterator[bytes]:
        """
        Read one of the files that `inputs` names; the script's own begin with `script/`, the others with `files/`.

        Raises:
            NotFoundError: there is none, or not for this caller.
            ConflictError: as `inputs`.
        """
        work = await self._attempts.look(job.id)
        gathered = await self._gather(work, _script_of(work), secrets=secrets)
        kind, _, name = path.partition("/")
        source = {"script": gathered.script, "files": gathered.files}.get(kind, {}).get(name)
        if source is not None and source.data is not None:
            return _once(source.data)
        found = await self._files.stream(source.path) if source is not None else None
        if found is None:
            raise NotFoundError(f"The job's script was given no file {path[:255]!r}.", "List them first.")
        return found

    async def _gather(self, work: Work, step: Script, *, secrets: bool) -> _Gathered:
        folder = folder_of(work.job.id, work.job.created_at)
        present = await self._files.present(folder)
        if not any(path.startswith("sync-output/") for path in present):
            raise ConflictError(
                "The files that the job's script was given are gone.", "Retention has removed them; run the flow anew."
            )
        gathered = _Gathered()
        for path, size in present.items():
            if path.startswith("sync-output/") or path in _GIVEN or path in step.files:
                gathered.files[path] = _Source(size, f"{folder}/{path}")
        for name in await self._snapshots_before(folder):
            kept, left = f"{_BEFORE}/{name}", f"snapshots/{name}"
            source = kept if kept in present else left
            if source in present:
                gathered.files[left] = _Source(present[source], f"{folder}/{source}")
        if step.source is not None:
            prefix = f"scripts/{step.source}/files"
            for path, size in (await self._files.sizes(prefix)).items():
                gathered.script[path] = _Source(size, f"{prefix}/{path}")
        for path, settings in _settings(work, step).items():
            if secrets:
                data = msgspec.json.encode(settings)
                gathered.files[path] = _Source(len(data), data=data)
            else:
                gathered.files.pop(path, None)
                gathered.withheld.append(path)
        return gathered

    async def _snapshots_before(self, folder: str) -> list[str]:
        noted = await self._files.get(f"{folder}/{_NOTED}")
        return list(msgspec.json.decode(noted, type=dict[str, Any])) if noted else []


def _may_see(path: str, *, secrets: bool) -> bool:
    if path.split("/")[0] == _OURS:
        return False
    return secrets or not any(fnmatch.fnmatchcase(path, pattern) for pattern in _SECRET)


def _script_of(work: Work) -> Script:
    for step in work.plan.steps:
        if isinstance(step, Script):
            return step
    raise ConflictError("The job has no stage that runs a script.", "Only jobs of flows with an etl stage have one.")


def _settings(work: Work, step: Script) -> dict[str, dict[str, Any]]:
    """
    Give the files with settings that a script finds, as the engine writes them.
    """
    found: dict[str, dict[str, Any]] = {}
    for each in work.plan.steps:
        match each:
            case Sync(connector=spec, config=ref) if _linked(work, ref.connection):
                settings = work.settings(ref, spec.settings)
                more = {"selected_tables": step.selected_tables} if step.selected_tables is not None else {}
                found |= {"config.json": {**settings, **more}, "source-config.json": settings}
            case Export(targets=(target, *_)) if _linked(work, target.config.connection):
                found["target-config.json"] = work.settings(target.config, target.connector.settings)
    if work.tenant_config:
        found["snapshots/tenant-config.json"] = dict(work.tenant_config)
    return found


def _linked(work: Work, connection: str | UUID | None) -> bool:
    return connection is None or str(connection) in work.connections


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
