"""
`headrace items`: how the items of a job went.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from headrace.cli.jobs import JobId, find_job
from headrace.cli.options import Home, Json, Key, Url

_PAGE = 1000


def items(
    job_id: JobId,
    state: Annotated[str | None, typer.Option(help="Only items in this state, such as failed.")] = None,
    url: Url = None,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    List the items of a job that calls functions, in their order.
    """
    from headrace.cli.output import say_ids, say_json, to_people
    from headrace.cli.remote import Remote, find_address

    async def ask() -> list[dict[str, Any]]:
        async with Remote(find_address(url, key, home)) as remote:
            job = await find_job(remote, job_id)
            found: list[dict[str, Any]] = []
            after: int | None = -1
            while after is not None:
                answer = await remote.get(f"/jobs/{job['id']}/items", after=after, limit=_PAGE)
                found += [item for item in answer["items"] if state in (None, item["state"])]
                after = answer["next"]
            return found

    found = asyncio.run(ask())
    if as_json:
        say_json(found)
    elif to_people():
        _say_items(found)
    else:
        say_ids(str(item["id"]) for item in found)


def _say_items(items: Sequence[Mapping[str, Any]]) -> None:
    from headrace.cli.output import duration, lasted, say_table, state_text

    now = datetime.now(UTC)
    say_table(
        ("item", "function", "state", "tries", "took", "cause"),
        (
            (
                str(item["ordinal"]),
                str(item["name"]),
                state_text(str(item["state"])),
                str(item["attempt"]),
                duration(lasted(item, now=now)),
                str((item["cause"] or {}).get("sentence", "")),
            )
            for item in items
        ),
        nothing="It has no such items.",
    )
