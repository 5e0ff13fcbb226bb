"""
`headrace deliveries`, `redeliver`: what is owed to webhooks and buckets, how it went, and sending it once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.jobs import find_job
from headrace.cli.options import Home, Json, Key, Url, Workspace
from headrace.core.errors import InvalidError

if TYPE_CHECKING:
    from headrace.cli.remote import Remote

Job = Annotated[str | None, typer.Option("--job", metavar="ID", help="Only what this job owes.")]
_PAGE = 1000


def deliveries(
    job: Job = None,
    state: Annotated[str | None, typer.Option(help="Only those in this state: pending, delivered or failed.")] = None,
    workspace: Workspace = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, newest first.")] = 20,
    url: Url = None,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    List what was or will be sent to webhooks and buckets, newest first.
    """
    from headrace.cli.output import say_ids, say_json, to_people
    from headrace.cli.remote import Remote, find_address

    async def ask() -> list[dict[str, Any]]:
        async with Remote(find_address(url, key, home)) as remote:
            return await _list(remote, job, workspace=workspace, state=state, limit=limit)

    found = asyncio.run(ask())
    if as_json:
        say_json(found)
    elif to_people():
        _say(found)
    else:
        say_ids(str(one["id"]) for one in found)


def redeliver(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Deliveries to send once more.")] = None,
    job: Annotated[str | None, typer.Option("--job", metavar="ID", help="All of this job's that have failed.")] = None,
    url: Url = None,
    key: Key = None,
    home: Home = None,
) -> None:
    """
    Send deliveries once more, under the same ids.
    """
    from headrace.cli.output import say_ids
    from headrace.cli.remote import Remote, find_address

    if bool(ids) == bool(job):
        raise InvalidError(
            "It is not said what to send." if job is None else "Deliveries and a job are named.",
            "Name deliveries of `headrace deliveries`, or a job by --job.",
        )

    async def ask() -> list[str]:
        async with Remote(find_address(url, key, home)) as remote:
            return await _redeliver(remote, ids or [], job)

    say_ids(asyncio.run(ask()))


async def _list(remote: Remote, job: str | None, **filters: Any) -> list[dict[str, Any]]:
    job_id = (await find_job(remote, job))["id"] if job is not None else None
    found: list[dict[str, Any]] = (await remote.get("/deliveries", job=job_id, **filters))["deliveries"]
    return found


async def _redeliver(remote: Remote, ids: Sequence[str], job: str | None) -> list[str]:
    """
    Owe the deliveries *ids* once more, or all failed ones of *job*; gives those that are owed now.
    """
    wanted, owed = list(ids), list[str]()
    while True:
        if job is not None:  # those that are owed again are failed no more, so the next page is the first again
            failed = await _list(remote, job, state="failed", limit=_PAGE)
            wanted = [str(one["id"]) for one in failed if str(one["id"]) not in owed]
        for one in wanted:
            await remote.post(f"/deliveries/{one}/redeliver")
            owed.append(one)
        if job is None or not wanted:
            return owed


def _say(found: Sequence[Mapping[str, Any]]) -> None:
    from headrace.cli.output import ago, say_table, state_text

    now = datetime.now(UTC)
    say_table(
        ("delivery", "topic", "to", "state", "tries", "owed", "last answer"),
        (
            (
                str(one["id"]),
                str(one["topic"]),
                str(one["url"]),
                state_text(str(one["state"])),
                str(one["attempts"]),
                ago(one["created_at"], now=now),
                str(one["last_error"] or one["last_status"] or ""),
            )
            for one in found
        ),
        nothing="Nothing was owed to anybody.",
    )
