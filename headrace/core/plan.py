"""
What one job runs, frozen when it is admitted to the history.

A plan is a value that goes to the database as JSON and comes back equal; msgspec's structs give that, tagged unions included,
without a word of code. Secrets stand in a plan as references (a connection's id, the name of a sealed input), never as values.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct, field


class OnTaken(StrEnum):
    """What becomes of a new job whose exclusivity key belongs to a job that has not ended."""

    REJECT = "reject"
    QUEUE = "queue"
    SKIP = "skip"
    RECORD_CANCELLED = "record-as-cancelled"


class Limits(Struct, frozen=True, kw_only=True):
    """
    Limits of one step; None means no limit.

    Each has a default in the settings, a place in the project's files and an error that names both.
    """

    wall_seconds: float | None = None
    no_progress_seconds: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    line_bytes: int = 64 * 2**20
    output_bytes: int | None = None
    log_bytes: int = 64 * 2**20
    grace_seconds: float = 10.0


class ConnectorSpec(Struct, frozen=True, kw_only=True):
    """
    How one tap or target is installed and started.

    Attributes:
        name: its id in the project, such as `tap-flights` or `quickbooks:sandbox`.
        install: requirement lines for its own environment; empty when *command* needs none.
        executable: script in that environment; empty for the name of the first requirement.
        command: argument list that replaces install and executable; `python` first means the server's interpreter.
        compat: `py39` for packages that use names removed from the standard library, `pkg_resources` for those that need old setuptools.
        catalog_flag: `--catalog`, or `--properties` for taps of the older convention.
        input: how a target receives data: `singer` on standard input, or `files` by its setting `input_path`.
    """

    name: str
    kind: Literal["tap", "target"]
    install: tuple[str, ...] = ()
    python: str | None = None
    executable: str = ""
    command: tuple[str, ...] = ()
    compat: tuple[str, ...] = ()
    catalog_flag: Literal["--catalog", "--properties"] = "--catalog"
    discover: bool = True
    input: Literal["singer", "files"] = "singer"
    secrets: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


class ConfigRef(Struct, frozen=True, kw_only=True):
    """
    Where a connector's settings come from, resolved when the step starts: connector defaults < connection < sealed overrides.

    Attributes:
        connection: id of the connection whose stored settings apply and to which rewritten ones are saved back.
        overrides: name of the sealed input with values for this job only; never saved back.
        extra: plain values the dialect adds, such as `start_date`; never saved back.
    """

    connection: str | None = None
    overrides: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class SyncFiles(Struct, frozen=True, kw_only=True):
    """How the records of a sync are written down."""

    format: Literal["parquet", "csv"] = "parquet"
    datetimes: Literal["naive_ms", "utc_us"] = "naive_ms"
    on_misfit: Literal["quarantine", "fail", "null"] = "quarantine"


class Step(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One supervised part of a job; *name* is what people call the stage."""

    name: str
    limits: Limits = field(default_factory=Limits)


class Discover(Step, frozen=True, kw_only=True, tag="discover"):
    """Ask the tap for its catalog and save it on the connection."""

    connector: ConnectorSpec
    config: ConfigRef


class Sync(Step, frozen=True, kw_only=True, tag="sync"):
    """
    Tap to files.

    Attributes:
        bookmark: `use` hands the connection's saved state to the tap, `ignore` does not, `reset` forgets it for good first.
        sync_type: what the script is told; None for `full_sync` or `incremental_sync` by whether there was a state.
        field_map: selection for this job; None for the connection's own.
        max_records: per stream, or for every stream.
    """

    connector: ConnectorSpec
    config: ConfigRef
    files: SyncFiles = field(default_factory=SyncFiles)
    bookmark: Literal["use", "ignore", "reset"] = "use"
    sync_type: str | None = None
    field_map: dict[str, Any] | None = None
    max_records: dict[str, int] | int | None = None


class Payload(Step, frozen=True, kw_only=True, tag="payload"):
    """
    Records given with the job itself to files: one file per key of the sealed input *input*.
    """

    input: str = "state"
    files: SyncFiles = field(default_factory=SyncFiles)


class Script(Step, frozen=True, kw_only=True, tag="script"):
    """
    A user's program in its own environment.

    Attributes:
        source: digest of the stored folder that holds it; None passes the data through.
        entry: file to run, relative to the job root.
        requirements: requirement lines of its environment.
        target: the target that pass-through writes for.
        selected_tables: what `selectedTables.json` in the job's root says; None leaves the file out.
    """

    source: str | None = None
    entry: str = "etl.py"
    requirements: tuple[str, ...] = ()
    python: str | None = None
    target: ConnectorSpec | None = None
    empty_output: Literal["fail", "allow"] = "fail"
    files: dict[str, Any] = field(default_factory=dict)
    selected_tables: dict[str, Any] | None = None


class Export(Step, frozen=True, kw_only=True, tag="export"):
    """What the script made, through every target in turn."""

    targets: tuple[ExportTarget, ...] = ()


class ExportTarget(Struct, frozen=True, kw_only=True):
    connector: ConnectorSpec
    config: ConfigRef


class Pipe(Step, frozen=True, kw_only=True, tag="pipe"):
    """Tap straight to target: a streaming job."""

    tap: ConnectorSpec
    tap_config: ConfigRef
    target: ConnectorSpec
    target_config: ConfigRef
    bookmark: Literal["use", "ignore", "reset"] = "use"
    sync_type: str | None = None
    field_map: dict[str, Any] | None = None


AnyStep = Discover | Sync | Payload | Script | Export | Pipe


class Plan(Struct, frozen=True, kw_only=True):
    """
    Everything a worker needs to run a job, but secrets.

    Attributes:
        steps: run in this order; a finished one is not run again.
        key: exclusivity key; at most one job that holds it is live. None never waits and never blocks.
        environment: name of the sealed input with variables for every child; plain ones stand in *variables*.
        labels: plain values the dialect wants back when it projects the record.
        snapshots: whether the tenant's kept files are brought in before the first step and saved after the last.
    """

    steps: tuple[AnyStep, ...]
    key: str | None = None
    on_taken: OnTaken = OnTaken.REJECT
    priority: int = 0
    max_attempts: int = 1
    environment: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    snapshots: bool = True
    save_snapshots_on_failure: bool = False
