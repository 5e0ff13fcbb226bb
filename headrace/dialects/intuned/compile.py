"""
From Intuned's jobs and runs to plans.

Pure: what the definition says and what the project's settings say decide everything; ids are given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from headrace.core.auth_session import operation_of
from headrace.core.batch import AutomationProject, Batch
from headrace.core.errors import InvalidError
from headrace.core.fan_out import Item, NewItem
from headrace.core.job import Job, NewJob
from headrace.core.plan import Automation, FanOut, ItemSink, Limits, OnTaken, Plan, SessionUse
from headrace.dialects.intuned.checks import attempts, check_parameters, check_sink, seconds, whole
from headrace.dialects.intuned.ids import project_id
from headrace.dialects.intuned.secrets import masked, masked_sink, masked_url
from headrace.dialects.intuned.session_use import session_of_job, session_of_run, session_proxy_of
from headrace.dialects.intuned.wire import (
    DEFAULT_TIMEOUT_SECONDS,
    JobBody,
    Notification,
    Number,
    RunBody,
    S3Sink,
    Sink,
    WebhookSink,
)

DIALECT: Final = "intuned"
DEFAULT_ATTEMPTS: Final = 3
RUN_PRIORITY: Final = 10
"""Of a single run: somebody waits for its result, so it goes before the items of jobs."""

_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    What surrounds one trigger or start.

    Attributes:
        id: of the job in the store; the job run's on the wire.
        run_id: makes the id of one run.
        limits: of every item.
        variables: of the workspace, for every child.
        trigger: `api` or `schedule`.
        idempotency_key: of the caller, or of an instant of a schedule: it makes one job, however often it is asked for.
        fingerprint: digest of what is asked for, so that a key means one request; the ids of runs in it are new each time.
    """

    id: UUID
    run_id: Callable[[], str]
    workspace_id: UUID
    workspace: str
    by: str
    limits: Limits
    variables: Mapping[str, str]
    trigger: str = "api"
    idempotency_key: str | None = None
    fingerprint: bytes = b""


def compile_batch(batch: Batch, body: JobBody, project: AutomationProject, asked: Asked) -> tuple[NewJob, Plan]:
    """
    Make the job of one trigger; *body* is the batch's definition, secrets included.

    Raises:
        InvalidError: the project's settings do not fit.
    """
    configuration = body.configuration
    tries = _first(attempts(configuration.retry), project.max_attempts, DEFAULT_ATTEMPTS)
    timeout = _timeout(configuration.request_timeout, project)
    items = tuple(
        NewItem(
            id=asked.run_id(),
            name=item.api_name,
            input=check_parameters(item.parameters, "parameters"),
            timeout_seconds=_own_timeout(item.request_timeout, timeout),
            max_attempts=_first(attempts(item.retry), tries),
        )
        for item in body.payload
    )
    sink = body.sink or _default_sink(project)
    proxy = _first(configuration.proxy, body.proxy, project.proxy)
    session = session_of_job(body.session, project)
    plan = _plan(
        project,
        asked,
        sink,
        proxy,
        max_concurrent=whole(configuration.max_concurrent_requests, "maxConcurrentRequests", most=_MOST),
        max_items=whole(configuration.max_runs, "maxRuns", most=_MOST),
        timeout_seconds=timeout,
        max_attempts=tries,
        session=session,
    )
    shown = masked(body)
    new = _new_job(
        project,
        asked,
        items,
        definition=f"{project.name}/{batch.name}",
        name=batch.name,
        details={
            "batch": str(batch.id),
            "job": batch.name,
            **_named(session),
            "snapshot": {
                "configuration": msgspec.to_builtins(shown.configuration),
                "sink": msgspec.to_builtins(masked_sink(sink)),
                "auth_session": msgspec.to_builtins(shown.session),
                "proxy": masked_url(body.proxy),
                "notifications": msgspec.to_builtins(shown.notifications),
            },
        },
        sealed=_sealed(sink, proxy) | _sealed_notifications(body.notifications),
    )
    return new, msgspec.structs.replace(plan, key=f"batch:{batch.id}", on_taken=OnTaken.RECORD_CANCELLED)


def compile_rerun(plan: Plan, job: Job, items: Sequence[Item], batch: Batch, asked: Asked) -> tuple[NewJob, Plan]:
    """
    Make a job of some *items* of an ended one: the same plan, inputs and policies; sealed inputs are the old job's, copied by the service.
    """
    again = tuple(
        NewItem(
            id=asked.run_id(),
            name=item.name,
            input=item.input,
            timeout_seconds=item.timeout_seconds,
            max_attempts=item.max_attempts,
        )
        for item in items
    )
    new = NewJob(
        id=asked.id,
        workspace_id=asked.workspace_id,
        workspace=asked.workspace,
        tenant=job.tenant,
        dialect=DIALECT,
        definition=job.definition,
        public_id=str(asked.id),
        root=f"{DIALECT}/{asked.workspace_id}/{job.tenant}/{asked.id}",
        name=job.name,
        trigger="rerun",
        started_by=asked.by,
        idempotency_key=asked.idempotency_key,
        fingerprint=asked.fingerprint,
        details={**job.details, "rerun_of": str(job.id)},
        items=again,
    )
    return new, msgspec.structs.replace(plan, key=f"batch:{batch.id}")


def compile_run(body: RunBody, project: AutomationProject, asked: Asked) -> tuple[NewJob, Plan]:
    """
    Make the job of a single run: one item, which adds none; a session that is made for it is named after it.

    Raises:
        InvalidError: the project takes no single runs, or its settings do not fit.
    """
    if not project.api_access:
        raise InvalidError(
            "The project takes no single runs.", "Set `apiAccess.enabled` in its settings, or use a job."
        )
    item = NewItem(
        id=asked.run_id(),
        name=body.api,
        input=check_parameters(body.parameters, "parameters"),
        timeout_seconds=_own_timeout(body.request_timeout, _timeout(None, project)),
        max_attempts=_first(attempts(body.retry), project.max_attempts, DEFAULT_ATTEMPTS),
    )
    sink = body.sink or _default_sink(project)
    proxy = _first(body.proxy, project.proxy)
    options = {"save_trace": body.save_trace is not False}
    session = session_of_run(body.auth_session, project, run_id=item.id)
    plan = _plan(project, asked, sink, proxy, grows=False, options=options, session=session)
    new = _new_job(
        project,
        asked,
        (item,),
        definition=project.name,
        name=body.api,
        details={"run": item.id, **_named(session)},
        sealed={**_sealed(sink, proxy), **session_proxy_of(body.auth_session, session)},
    )
    return new, msgspec.structs.replace(plan, priority=RUN_PRIORITY)


def compile_operation(
    project: AutomationProject, asked: Asked, use: SessionUse, sealed: Mapping[str, Any]
) -> tuple[NewJob, Plan]:
    """
    Make the job of an operation on a session: to create, update or validate it.
    """
    plan = _plan(project, asked, None, project.proxy)
    new = _new_job(
        project,
        asked,
        (),
        definition=project.name,
        name=use.name,
        details={},
        sealed={**_sealed(None, project.proxy), **sealed},
    )
    return operation_of(new, plan, use, item_id=asked.run_id())


def _named(session: SessionUse | None) -> dict[str, str]:
    return {"session": session.name} if session else {}


def _plan(
    project: AutomationProject,
    asked: Asked,
    sink: Sink | None,
    proxy: str | None,
    *,
    options: Mapping[str, Any] | None = None,
    **fan_out: Any,
) -> Plan:
    item = Automation(
        name="item",
        limits=asked.limits,
        project=project.name,
        source=project.source,
        proxy="proxy" if proxy else None,
        options={**project.options, **(options or {})},
    )
    return Plan(
        fan_out=FanOut(
            item=item,
            pool=f"{DIALECT}:{asked.workspace_id}:{project.name}",
            pool_size=project.max_concurrent,
            sink=_item_sink(sink),
            **fan_out,
        ),
        variables=dict(asked.variables),
        snapshots=False,
    )


def _new_job(
    project: AutomationProject, asked: Asked, items: tuple[NewItem, ...], *, details: dict[str, Any], **fields: Any
) -> NewJob:
    # The project stands for the tenant: between projects the choice of what runs next is fair.
    return NewJob(
        id=asked.id,
        workspace_id=asked.workspace_id,
        workspace=asked.workspace,
        tenant=project.name,
        dialect=DIALECT,
        public_id=str(asked.id),
        root=f"{DIALECT}/{asked.workspace_id}/{project.name}/{asked.id}",
        trigger=asked.trigger,
        started_by=asked.by,
        idempotency_key=asked.idempotency_key,
        fingerprint=asked.fingerprint,
        details={
            "project": project.name,
            "project_id": str(project_id(asked.workspace_id, project.name)),
            **details,
        },
        items=items,
        **fields,
    )


def _sealed(sink: Sink | None, proxy: str | None) -> dict[str, Any]:
    sealed = {"sink": sealed_sink(sink), "proxy": proxy}
    return {name: value for name, value in sealed.items() if value is not None}


def _sealed_notifications(notifications: list[Notification] | None) -> dict[str, Any]:
    """
    Give the headers of each notification, by the name that `notices` of project.py has for it.
    """
    return {f"notification-{place}": {"headers": each.headers or {}} for place, each in enumerate(notifications or ())}


def sealed_sink(sink: Sink | None) -> dict[str, Any] | None:
    """
    Give what the sender of a sink needs beside its address, as `deliveries/item_sinks.py` reads it.
    """
    match sink:
        case WebhookSink(headers=headers):
            return {"headers": headers or {}}
        case S3Sink():
            return {
                "name": sink.bucket,
                "region": sink.region,
                "access_key_id": sink.access_key_id,
                "secret_access_key": sink.secret_access_key,
                "endpoint": sink.endpoint or "",
                "path_style": sink.force_path_style,
            }
    return None


def _item_sink(sink: Sink | None) -> ItemSink | None:
    if sink is None:
        return None
    s3 = isinstance(sink, S3Sink)
    return ItemSink(
        kind="s3" if s3 else "webhook",
        url=f"s3://{sink.bucket}/{sink.prefix or ''}" if isinstance(sink, S3Sink) else sink.url,
        sealed="sink",
        skip_failed=bool(sink.skip_on_fail),
        names=tuple(sink.apis_to_send) if sink.apis_to_send is not None else None,
    )


def _default_sink(project: AutomationProject) -> Sink | None:
    if project.sink is None:
        return None
    try:
        sink: Sink = msgspec.convert(project.sink, Sink)
    except msgspec.ValidationError as error:
        raise InvalidError(
            f"The sink in the settings of project {project.name!r} is wrong: {error}.",
            "Correct `defaults.sink.deployed`.",
        ) from None
    check_sink(sink, "defaults.sink.deployed")
    return sink


def _timeout(value: Number | None, project: AutomationProject) -> int:
    own = seconds(value)
    return own if own not in (None, DEFAULT_TIMEOUT_SECONDS) else project.timeout_seconds or DEFAULT_TIMEOUT_SECONDS


def _own_timeout(value: Number | None, otherwise: int) -> int:
    # Both clients send 600 when nothing was asked for, so 600 cannot override.
    own = seconds(value)
    return own if own is not None and own != DEFAULT_TIMEOUT_SECONDS else otherwise


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
