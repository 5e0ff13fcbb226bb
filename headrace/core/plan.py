"""
What one job runs, frozen when it is admitted to the history.

A plan is a value that goes to the database as JSON and comes back equal; msgspec's structs give that, tagged unions included,
without a word of code. Secrets stand in a plan as references (a connection's id, the name of a sealed input), never as values.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct, field

from headrace.core.faces import ConnectorFace


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
        face: what people meet who link it; left out of plans, because it may hold a client's secret.
        access_token: whether it gives a fresh token of its own account, by `--access-token`.
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
    access_token: bool = False
    secrets: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    face: ConnectorFace | None = None


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


class Again(Struct, frozen=True, kw_only=True):
    """
    When a step that failed is tried again, within its attempt.

    Attributes:
        memory_bytes: limits of the tries after one that ran out of memory, in turn; None is no limit.
        stuck_tries: how often a step is tried again that made no progress.
    """

    memory_bytes: tuple[int | None, ...] = ()
    stuck_tries: int = 0


class Step(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One supervised part of a job; *name* is what people call the stage."""

    name: str
    limits: Limits = field(default_factory=Limits)
    again: Again = field(default_factory=Again)


class Discover(Step, frozen=True, kw_only=True, tag="discover"):
    """Ask the tap for its catalog and save it on the connection."""

    connector: ConnectorSpec
    config: ConfigRef


class AccessToken(Step, frozen=True, kw_only=True, tag="access-token"):
    """Have a connector refresh the token of its account; the new one is saved on the connection."""

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


class Automation(Step, frozen=True, kw_only=True, tag="automation"):
    """
    One call of a function in a user's automation project, for one item of a fan-out.

    What differs from item to item (name of the function, its parameters, its time) stands with the item, not here.

    Attributes:
        project: folder of the project below the project folder's `automations/`.
        source: digest of the stored copy of that folder; None runs it where it is.
        proxy: name of the sealed input with the proxy's URL, for the browser.
        options: plain values that the runner understands, such as `save_trace`.
    """

    project: str
    source: str | None = None
    proxy: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


class Command(Step, frozen=True, kw_only=True, tag="command"):
    """
    One command in a copy of a Meltano project: a Bash script, or a program.

    Attributes:
        project: digest of the stored project folder; None runs in an empty one.
        script: Bash text; empty runs *argv* instead.
        argv: a first word `meltano` is the project's own Meltano; empty with an empty *script* has nothing to do.
        meltano: requirement lines of Meltano's environment; empty when the command needs none.
        plugins: by Meltano's plural of their type, definitions that are added to the project's own.
        words: what the command names (plugins, `plugin:command`, jobs): what they need is installed first.
        state_scope: the suffix of the state ids that are this command's alone; ids with no suffix are the workspace's.
        streams_of: extractor whose streams are listed after the command, in the step's output; empty lists none.
    """

    project: str | None = None
    script: str = ""
    argv: tuple[str, ...] = ()
    meltano: tuple[str, ...] = ()
    plugins: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    state_scope: str = ""
    streams_of: str = ""


class Checkout(Step, frozen=True, kw_only=True, tag="checkout"):
    """
    A workspace's Meltano project into the file store.

    Attributes:
        url: of the git repository, free of secrets; empty makes a new project.
        branch: empty is the repository's own.
        directory: below the repository's top; empty is the top.
        sealed: name of the sealed input with `user` and `password`, or `token`, and `ssh_key`; None for a public repository.
    """

    url: str = ""
    branch: str = ""
    directory: str = ""
    sealed: str | None = None


AnyStep = Discover | AccessToken | Sync | Payload | Script | Export | Pipe | Automation | Command | Checkout


class ItemSink(Struct, frozen=True, kw_only=True):
    """
    Where the outcome of each item is sent.

    Attributes:
        kind: `webhook` sends a POST, `s3` writes an object.
        url: address that shows where it goes: the webhook's, or `s3://bucket/prefix`; free of secrets.
        sealed: name of the sealed input with headers, keys and whatever else the sender needs.
        skip_failed: items that failed are not sent.
        names: items of these names alone; None is all.
    """

    kind: Literal["webhook", "s3"]
    url: str
    sealed: str
    skip_failed: bool = False
    names: tuple[str, ...] | None = None


class SessionUse(Struct, frozen=True, kw_only=True):
    """
    The login that the items of a job need; with *operation*, the one that its only item makes or checks.

    Attributes:
        name: of the login in its project.
        operation: None in a job that uses it.
        check_attempts: tries of the check, one of which must succeed.
        create_attempts: tries of making it.
        recreate: whether one that is not valid is made again with the parameters that are kept.
        timeout_seconds: of one try.
        proxy: name of the sealed input with the proxy's URL for checking and making; None for the login's own, else the item's.
        given: name of the sealed input with `parameters` (JSON text) and `proxy`, of a `create` or `update`.
        on_lost: what becomes of a job that has begun when its login cannot be made valid any more.
    """

    name: str
    operation: Literal["create", "update", "validate"] | None = None
    check_attempts: int = 3
    create_attempts: int = 3
    recreate: bool = True
    timeout_seconds: float = 600.0
    proxy: str | None = None
    given: str | None = None
    on_lost: Literal["pause", "cancel"] = "pause"


class FanOut(Struct, frozen=True, kw_only=True):
    """
    A job of items instead of steps: each is admitted by itself, to whichever worker has a free slot.

    Attributes:
        item: what every item is run with.
        max_concurrent: items of the job in flight at once; None is bounded by slots and pool alone.
        pool: name of a capacity that several jobs share; None shares none.
        pool_size: items in flight at once over all jobs of the pool.
        max_items: when so many items have completed or failed, the rest are cancelled; the job still completes.
        grows: whether items that an item asks for are added to the job.
        timeout_seconds: of one try of an item that was added.
        max_attempts: tries that an item has that was added.
        retry_base_seconds: pause after the first failed try of an item; doubles with each.
        retry_limit_seconds: longest pause between two tries.
        session: login that the items need.
    """

    item: Automation
    max_concurrent: int | None = None
    pool: str | None = None
    pool_size: int | None = None
    max_items: int | None = None
    grows: bool = True
    timeout_seconds: float = 600.0
    max_attempts: int = 3
    retry_base_seconds: float = 1.0
    retry_limit_seconds: float = 60.0
    sink: ItemSink | None = None
    session: SessionUse | None = None


class Reuse(Struct, frozen=True, kw_only=True):
    """
    What a job takes over from an earlier one instead of making it again.

    Attributes:
        folder: the earlier job's, in the file store.
        steps: names of the steps that count as completed.
        bookmark: whether the end of the earlier job's sync becomes this one's.
    """

    folder: str
    steps: tuple[str, ...]
    bookmark: bool = False


class Plan(Struct, frozen=True, kw_only=True):
    """
    Everything a worker needs to run a job, but secrets.

    Attributes:
        steps: run in this order; a finished one is not run again. Empty in a fan-out.
        fan_out: how the items are run that were submitted with the plan; None for a plan of steps.
        key: exclusivity key; at most one job that holds it is live. None never waits and never blocks.
        environment: name of the sealed input with variables for every child; plain ones stand in *variables*.
        labels: plain values the dialect wants back when it projects the record.
        snapshots: whether the tenant's kept files are brought in before the first step and saved after the last.
        save_bookmarks_on_failure: a source that was read to its end keeps its new bookmark even when a later step fails.
    """

    steps: tuple[AnyStep, ...] = ()
    fan_out: FanOut | None = None
    key: str | None = None
    on_taken: OnTaken = OnTaken.REJECT
    priority: int = 0
    max_attempts: int = 1
    environment: str | None = None
    variables: dict[str, str] = field(default_factory=dict)
    snapshots: bool = True
    save_snapshots_on_failure: bool = False
    save_bookmarks_on_failure: bool = False
    reuse: Reuse | None = None
