"""
From hotglue's run call to a plan.

Pure: what the flow says, what the tenant has linked and what the request asks decide everything; ids and the time are given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from headrace.core.errors import InvalidError
from headrace.core.job import NewJob
from headrace.core.plan import (
    Again,
    AnyStep,
    ConfigRef,
    ConnectorSpec,
    Discover,
    Export,
    ExportTarget,
    Limits,
    OnTaken,
    Payload,
    Pipe,
    Plan,
    Script,
    Sync,
)
from headrace.dialects.hotglue.asking import Asked
from headrace.dialects.hotglue.ids import job_name, job_root
from headrace.dialects.hotglue.retries import again
from headrace.dialects.hotglue.wire import RunRequest, as_date_time, as_variables
from headrace.services.flows import FlowOfTenant, LinkOutline

DIALECT: Final = "hotglue"
API_TAP: Final = "api"
HIDDEN: Final = "***"
LINK_TRIGGER: Final = "link"
AUTO_SYNC: Final = "auto_sync"
MAX_RECORDS: Final = "max_record_count"

_Value = TypeVar("_Value")
_CREDENTIALS = re.compile(r"//[^/@\s]+@")


def compile_run(of: FlowOfTenant, request: RunRequest, asked: Asked) -> tuple[NewJob, Plan]:
    """
    Make the job and the plan that *request* asks for.

    Raises:
        InvalidError: the flow and what is linked in it do not say what to run; the reason names the choices.
    """
    run = _Run(of, request, asked)
    return run.job(), run.plan()


def choose_source(of: FlowOfTenant, request: RunRequest) -> LinkOutline | None:
    """
    Find the source to read; None is the API tap, whose data come with the request.

    Raises:
        InvalidError: it is not linked, or nothing says which.
    """
    linked = [link for link in of.links if link.role == "source"]
    names = ", ".join(f"`{link.connector}`" for link in linked) or "none"
    if request.tap == API_TAP:
        return None
    if request.tap:
        found = next((link for link in linked if link.connector == request.tap), None)
        if found is None:
            raise InvalidError(
                f"The tap `{request.tap}` is not linked for this tenant.", f"Linked: {names}.", field="tap"
            )
        return found
    if len(linked) == 1:
        return linked[0]
    if linked:
        raise InvalidError("Several taps are linked for this tenant.", f"Name one in `tap`: {names}.", field="tap")
    if request.state is UNSET:
        raise InvalidError("No tap is linked for this tenant.", "Link one, or send data in `state`.", field="tap")
    return None


def choose_targets(of: FlowOfTenant) -> list[tuple[str, LinkOutline | None]]:
    """
    List the targets to write, in the flow's order, each with its connection.

    The tenant's own link goes before one of the tenant `default`. Where anything is linked, only what is linked is written; else
    all that the flow names, with their connectors' own settings.
    """
    linked = {link.connector: link for link in (*of.shared_links, *of.links) if link.role == "target"}
    named = [name for name in of.flow.targets if name in linked]
    if of.flow.targets and not named:
        return [(name, None) for name in of.flow.targets]
    return [(name, linked[name]) for name in named or linked]


class _Run:
    """One run call and what was chosen for it."""

    def __init__(self, of: FlowOfTenant, request: RunRequest, asked: Asked) -> None:
        self._of = of
        self._request = request
        self._asked = asked
        self._settings = of.workspace.definition.get("settings") or {}
        self._source = choose_source(of, request)
        if self._source is not None and self._source.dangling:
            raise InvalidError(f"The tap `{self._source.connector}` is disconnected.", "Link it anew.", field="tap")
        self._targets = [
            ExportTarget(
                connector=self._connector(name),
                config=ConfigRef(
                    connection=str(link.id) if link else None,
                    overrides="target_config" if request.override_target_config else None,
                ),
            )
            for name, link in choose_targets(of)
        ]
        self._tap = self._source.connector if self._source else API_TAP
        self._target = ",".join(target.connector.name for target in self._targets)
        self._root = job_root(tenant=of.tenant, flow=of.flow.id, job_id=asked.job_id, at=asked.now)
        self._steps = self._streamed() if request.streaming_job else self._staged()

    def job(self) -> NewJob:
        of, request, asked = self._of, self._request, self._asked
        return NewJob(
            id=asked.id,
            workspace_id=of.workspace.id,
            workspace=of.workspace.name,
            tenant=of.tenant,
            dialect=DIALECT,
            definition=of.flow.id,
            public_id=asked.job_id,
            root=self._root,
            name=request.name or job_name(flow=of.flow.id, tap=self._tap, at=asked.now),
            trigger=asked.trigger,
            started_by=of.tenant,
            details=self._details(),
            sealed=self._sealed(),
            idempotency_key=asked.idempotency_key,
            fingerprint=asked.fingerprint,
        )

    def plan(self) -> Plan:
        of, request = self._of, self._request
        return Plan(
            steps=self._steps,
            # No id contains a slash, so that no two pairs of flow and tenant share a key.
            key=None if request.ignore_parallel_jobs else f"{DIALECT}:{of.workspace.id}:{of.flow.id}/{of.tenant}",
            on_taken=OnTaken.QUEUE if request.queue_if_active_job else OnTaken.REJECT,
            environment="environment" if request.environment_variables else None,
            variables=self._variables(),
            save_snapshots_on_failure=bool(self._settings.get("save_snapshots_on_failure")),
            save_bookmarks_on_failure=self._settings.get("rollback_on_failure") is False,
        )

    def _staged(self) -> tuple[AnyStep, ...]:
        of = self._of
        script = of.flow.script
        return (
            *self._discovered(),
            self._read(),
            Script(
                name="etl",
                limits=self._limits("etl"),
                again=self._again("etl"),
                source=of.script,
                entry=script.entry if script else "etl.py",
                requirements=script.requirements if script else (),
                python=script.python if script else None,
                empty_output=script.empty_output if script else "fail",
                target=self._targets[0].connector if self._targets else None,
                selected_tables=_given(self._request.override_selected_tables),
            ),
            Export(
                name="export", limits=self._limits("export"), again=self._again("export"), targets=tuple(self._targets)
            ),
        )

    def _discovered(self) -> tuple[AnyStep, ...]:
        """
        Ask the tap for its streams before each sync, where the environment's job settings say so.
        """
        if self._source is None or not self._settings.get("force_discover"):
            return ()
        spec = self._connector(self._source.connector)
        config = self._source_config(self._source)
        return (
            Discover(
                name="discover",
                limits=self._limits("discover"),
                again=self._again("discover"),
                connector=spec,
                config=config,
            ),
        )

    def _read(self) -> AnyStep:
        if self._source is None:
            return Payload(
                name="sync", limits=self._limits("sync"), again=self._again("sync"), files=self._of.flow.files
            )
        return Sync(
            name="sync",
            limits=self._limits("sync"),
            again=self._again("sync"),
            connector=self._connector(self._source.connector),
            config=self._source_config(self._source),
            files=self._of.flow.files,
            bookmark=self._bookmark(),
            sync_type=self._told_sync_type(),
            field_map=_given(self._request.override_field_map),
        )

    def _streamed(self) -> tuple[AnyStep, ...]:
        if self._source is None or len(self._targets) != 1:
            raise InvalidError(
                "A streaming job goes from one linked tap to one target.",
                f"Here the tap is `{self._tap}` and the targets are: {self._target or 'none'}.",
                field="streaming_job",
            )
        if MAX_RECORDS in self._request.environment_variables:
            raise InvalidError(
                f"A streaming job cannot be limited by `{MAX_RECORDS}`: what its target has read is written.",
                "Leave out the variable, or `streaming_job`.",
                field="environment_variables",
            )
        return (
            Pipe(
                name="sync",
                limits=self._limits("sync"),
                again=self._again("sync"),
                tap=self._connector(self._source.connector),
                tap_config=self._source_config(self._source),
                target=self._targets[0].connector,
                target_config=self._targets[0].config,
                bookmark=self._bookmark(),
                sync_type=self._told_sync_type(),
                field_map=_given(self._request.override_field_map),
            ),
        )

    def _source_config(self, source: LinkOutline) -> ConfigRef:
        dates = {"start_date": self._date("override_start_date"), "end_date": self._date("override_end_date")}
        return ConfigRef(
            connection=str(source.id),
            overrides="source_config" if self._request.override_source_config else None,
            extra={name: value for name, value in dates.items() if value},
        )

    def _bookmark(self) -> Literal["use", "ignore", "reset"]:
        if self._request.reset_source_state:
            return "reset"
        if self._settings.get("force_full_sync"):
            return "ignore"
        return "ignore" if self._request.override_start_date is not UNSET else "use"

    def _told_sync_type(self) -> str | None:
        return AUTO_SYNC if self._asked.trigger == LINK_TRIGGER else None

    def _sync_type(self) -> str:
        # A hint until the sync has begun: another job of the tenant may leave a bookmark in the meantime.
        bookmarked = self._source is not None and self._source.bookmarked and self._bookmark() == "use"
        return self._told_sync_type() or ("incremental_sync" if bookmarked else "full_sync")

    def _date(self, field: str) -> str | None:
        value = getattr(self._request, field)
        return None if value is UNSET else as_date_time(value, field)

    def _limits(self, step: str) -> Limits:
        """
        Give a step's limits; a script says nothing of its progress, so it has that limit only where its flow sets it.
        """
        found = self._of.flow.limits.get(step)
        if found is not None:
            return found
        limits = self._asked.limits
        return msgspec.structs.replace(limits, no_progress_seconds=None) if step == "etl" else limits

    def _again(self, step: str) -> Again:
        return again(self._settings, self._limits(step).memory_bytes)

    def _connector(self, name: str) -> ConnectorSpec:
        found = self._of.connectors.get(name)
        if found is None:
            raise InvalidError(
                f"The connector `{name}` is not defined.", "Define it under `connectors` in headrace.yml."
            )
        return found

    def _variables(self) -> dict[str, str]:
        of, asked = self._of, self._asked
        own = {
            "TENANT": of.tenant,
            "USER_ID": of.tenant,
            "FLOW": of.flow.id,
            "ENV_ID": of.workspace.name,
            "JOB_ID": asked.job_id,
            "JOB_ROOT": self._root,
            "TAP": self._tap,
            "TARGET": self._target,
            "SYNC_TYPE": self._sync_type(),
            "API_URL": asked.api_url,
        }
        if self._request.streaming_job:
            own["STREAMING_JOB"] = "True"
        return {**of.variables, **own}

    def _sealed(self) -> dict[str, Any]:
        request = self._request
        inputs: dict[str, Any] = {
            "source_config": request.override_source_config,
            "target_config": request.override_target_config,
            "environment": as_variables(request.environment_variables),
        }
        kept = {name: value for name, value in inputs.items() if value}
        if self._source is None or request.state is not UNSET:
            kept["state"] = _given(request.state) or {}
        return kept

    def _details(self) -> dict[str, Any]:
        request = self._request
        install = self._connector(self._tap).install if self._source else ()
        return {
            "tap": self._tap,
            "target": self._target or None,
            "streaming_job": request.streaming_job,
            "sync_type": self._sync_type(),
            "override_start_date": _given(request.override_start_date),
            "override_end_date": _given(request.override_end_date),
            "override_field_map": _given(request.override_field_map),
            "override_selected_tables": _given(request.override_selected_tables),
            "override_source_config": _hidden(request.override_source_config),
            "override_target_config": _hidden(request.override_target_config),
            "environment_variables": _hidden(request.environment_variables),
            "reset_source_state": request.reset_source_state,
            "tap_install_uri": _CREDENTIALS.sub(f"//{HIDDEN}@", " ".join(install)) or None,
            **({"metadata": dict(self._of.metadata)} if self._of.metadata else {}),
            "memory_bytes": _most(step.limits.memory_bytes for step in self._steps),
            **_shown_state(_given(request.state) or {}),
        }


def _shown_state(state: dict[str, Any]) -> dict[str, Any]:
    # PostgreSQL's JSON has no NUL: such data are kept as the text that encodes them.
    text = msgspec.json.encode(state)
    return {"state_text": text.decode()} if b"\\u0000" in text else {"state": state}


def _hidden(values: dict[str, Any]) -> dict[str, str] | None:
    return dict.fromkeys(values, HIDDEN) or None


def _given(value: _Value | UnsetType) -> _Value | None:
    return None if isinstance(value, UnsetType) else value


def _most(values: Any) -> int | None:
    known: Sequence[int] = [value for value in values if value is not None]
    return max(known, default=None)
