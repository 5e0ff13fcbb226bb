"""
Steps that run taps and targets: what each is started with, and what is written down of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headrace.core.outcome import Failed, Succeeded
from headrace.core.plan import AccessToken, ConfigRef, Discover, Export, Payload, Pipe, Sync
from headrace.engine.accounts import blamed
from headrace.engine.desk import AttemptDesk, used
from headrace.runners import payload, singer
from headrace.runners.access_token import access_token
from headrace.runners.connector import Connector
from headrace.runners.export import export
from headrace.runners.job_root import read_json
from headrace.runners.stage import Stage
from headrace.runners.streaming import pipe

MAX_RECORDS = "max_record_count"
"""Variable by which a job limits the records of each stream, as in hotglue."""


async def discover(desk: AttemptDesk, step: Discover) -> Succeeded | Failed:
    """
    Ask the tap for its catalog, and save it on the connection.
    """
    tap = await desk.connector(step.connector, step.config)
    async with desk.stage(step.name, step.limits) as stage:
        found = await singer.discover(stage, tap)
    if isinstance(found, Failed):
        return used(blamed(found, step.config), stage)
    if step.config.connection:
        await desk.journal.save_catalog(step.config.connection, found)
    return used(Succeeded({"streams": len(found["streams"])}), stage)


async def refresh_token(desk: AttemptDesk, step: AccessToken) -> Succeeded | Failed:
    """
    Have the connector refresh its token; what it prints of it is saved with what it has rewritten.
    """
    connector = await desk.connector(step.connector, step.config)
    async with desk.stage(step.name, step.limits) as stage:
        found = await access_token(stage, connector)
    if isinstance(found, Failed):
        return used(blamed(found, step.config), stage)
    await desk.save_rewritten()
    if step.config.connection:
        await desk.journal.save_config(step.config.connection, found)
    return used(Succeeded(), stage)


async def sync(desk: AttemptDesk, step: Sync) -> Succeeded | Failed:
    """
    Run the tap into files, from where the connection's bookmark says.
    """
    tap = await desk.connector(step.connector, step.config)
    bookmark = await _bookmark(desk, step)
    sync_type = _tell_sync_type(desk, step, bookmark)
    async with desk.stage(step.name, step.limits) as stage:
        catalog = await _catalog(desk, step, tap, stage)
        if isinstance(catalog, Failed):
            return used(blamed(catalog, step.config), stage)
        await desk.save_rewritten()  # discovering may have rotated a token
        linked = desk.linked(step.config)
        outcome = await singer.sync(
            stage,
            replace(tap, settings=desk.work.settings(step.config, step.connector.settings)),
            files=step.files,
            limits=step.limits,
            catalog=catalog,
            field_map=step.field_map or (linked.field_map if linked else None),
            bookmark=bookmark,
            max_records=_max_records(desk, step),
            timestamp=_timestamp(desk),
        )
    told = replace(outcome, output={**outcome.output, "sync_type": sync_type})
    return used(blamed(told, step.config), stage)


async def write_payload(desk: AttemptDesk, step: Payload) -> Succeeded | Failed:
    """
    Write the records that came with the job to files.
    """
    records = desk.work.sealed.get(step.input) or {}
    async with desk.stage(step.name, step.limits) as stage:
        outcome = await payload.write(stage, records, files=step.files, timestamp=_timestamp(desk))
    return used(outcome, stage)


async def send(desk: AttemptDesk, step: Export) -> Succeeded | Failed:
    """
    Send what the script made through every target in turn.
    """
    targets = [await desk.connector(target.connector, target.config) for target in step.targets]
    desk.write_configs()
    async with desk.stage(step.name, step.limits) as stage:
        outcome = await export(stage, targets)
    return used(outcome, stage)


async def stream(desk: AttemptDesk, step: Pipe) -> Succeeded | Failed:
    """
    Run the tap straight into the target.
    """
    tap = await desk.connector(step.tap, step.tap_config)
    target = await desk.connector(step.target, step.target_config)
    bookmark = await _bookmark(desk, step)
    sync_type = _tell_sync_type(desk, step, bookmark)
    linked = desk.linked(step.tap_config)
    async with desk.stage(step.name, step.limits) as stage:
        outcome = await pipe(
            stage,
            tap,
            target,
            limits=step.limits,
            catalog=linked.catalog if linked else None,
            field_map=step.field_map or (linked.field_map if linked else None),
            bookmark=bookmark,
        )
    by_target = isinstance(outcome, Failed) and outcome.cause.stage == "export"
    outcome = blamed(outcome, step.target_config if by_target else step.tap_config)
    return used(replace(outcome, output={**outcome.output, "sync_type": sync_type}), stage)


async def _bookmark(desk: AttemptDesk, step: Sync | Pipe) -> dict[str, Any] | None:
    """
    Give the state to start from, after forgetting it for good where the step says so.
    """
    ref = _source(step)
    if step.bookmark == "reset" and ref.connection:
        await desk.journal.forget_bookmark(ref.connection)
    linked = desk.linked(ref)
    return linked.bookmark if linked and step.bookmark == "use" else None


def _tell_sync_type(desk: AttemptDesk, step: Sync | Pipe, bookmark: dict[str, Any] | None) -> str:
    sync_type = step.sync_type or ("full_sync" if bookmark is None else "incremental_sync")
    desk.outputs.setdefault(step.name, {})["sync_type"] = sync_type
    desk.journal.progress({"sync_type": sync_type})
    return sync_type


async def _catalog(desk: AttemptDesk, step: Sync, tap: Connector, stage: Stage) -> dict[str, Any] | Failed | None:
    """
    Give the catalog to start a tap with: the job's own, the connection's, or a new one; None when it takes none.
    """
    linked = desk.linked(step.config)
    kept = linked.catalog if linked else None
    if not step.connector.discover:
        return kept
    fresh = read_json(desk.root.catalog)
    if isinstance(fresh, dict):
        return fresh
    if kept is not None:
        return kept
    found = await singer.discover(stage, tap)
    if isinstance(found, dict) and step.config.connection:
        await desk.journal.save_catalog(step.config.connection, found)
    return found


def _max_records(desk: AttemptDesk, step: Sync) -> dict[str, int] | int | None:
    if step.max_records is not None:
        return step.max_records
    asked = desk.variables().get(MAX_RECORDS, "").strip()
    return int(asked) if asked.isdecimal() else None


def _source(step: Sync | Pipe) -> ConfigRef:
    return step.config if isinstance(step, Sync) else step.tap_config


def _timestamp(desk: AttemptDesk) -> str:
    return f"{desk.work.job.created_at:%Y%m%dT%H%M%S}"
