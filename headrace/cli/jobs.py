"""
`headrace jobs`, `job`, `logs`, `cancel`: what was run, how it went, what it said, and its end.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from headrace.cli.failures import INTERRUPTED
from headrace.cli.options import Flow, Home, Json, Key, Url, Workspace
from headrace.core.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from headrace.cli.remote import Remote

JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's id, or the short one that tables show.")]
_SEARCHED = 500
_BEGINNING = 4  # characters of an id that are enough to look for it
_LOG_SECONDS = 0.5
_AWAY_SECONDS = 120.0


def jobs(
    flow: Flow = None,
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="Only jobs of this tenant.")] = None,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state, such as failed.")] = None,
    workspace: Workspace = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, newest first.")] = 20,
    url: Url = None,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    List jobs, newest first.
    """
    from headrace.cli.output import say_ids, say_json, to_people
    from headrace.cli.remote import Remote, find_address

    async def ask() -> list[dict[str, Any]]:
        async with Remote(find_address(url, key, home)) as remote:
            return await recent(remote, limit, workspace=workspace, flow=flow, tenant=tenant, state=state)

    found = asyncio.run(ask())
    if as_json:
        say_json(found)
    elif to_people():
        _say_jobs(found)
    else:
        say_ids(str(one["id"]) for one in found)


async def recent(remote: Remote, count: int, **filters: str | None) -> list[dict[str, Any]]:
    """
    Read the newest *count* jobs that fit, page by page.
    """
    found: list[dict[str, Any]] = []
    before: Any = None
    while len(found) < count:
        answer = await remote.get("/jobs", limit=min(100, count - len(found)), before=before, **filters)
        found += answer["jobs"]
        before = answer.get("next")
        if before is None or not answer["jobs"]:
            break
    return found[:count]


def _say_jobs(found: Sequence[Mapping[str, Any]]) -> None:
    from headrace.cli.job_view import short_id, standing, subject
    from headrace.cli.output import ago, duration, lasted, say_table, state_text

    now = datetime.now(UTC)
    say_table(
        ("job", "runs", "tenant", "state", "asked for", "took", "cause"),
        (
            (
                short_id(one),
                subject(one),
                one["tenant"],
                state_text(standing(one)),
                ago(one.get("created_at"), now=now),
                duration(lasted(one, now=now)),
                str((one.get("cause") or {}).get("sentence", "")),
            )
            for one in found
        ),
        nothing="No jobs yet. Run one with: headrace run FLOW --tenant T --follow",
    )


def job(job_id: JobId, url: Url = None, key: Key = None, home: Home = None, as_json: Json = False) -> None:
    """
    Show one job: its cause, stages and counts.
    """
    from headrace.cli.output import console, say_json
    from headrace.cli.remote import Remote, find_address

    async def ask() -> dict[str, Any]:
        async with Remote(find_address(url, key, home)) as remote:
            return await find_job(remote, job_id)

    found = asyncio.run(ask())
    if as_json:
        say_json(found)
        return
    from headrace.cli.job_view import whole

    console().print(whole(found, now=datetime.now(UTC)))


async def find_job(remote: Remote, name: str) -> dict[str, Any]:
    """
    Read a job by its id, or, among the newest jobs, by a short one or the beginning of its id.

    Raises:
        NotFoundError: there is none.
        InvalidError: several recent jobs share the short id.
    """
    try:
        job_id = UUID(name)
    except ValueError:
        known = await recent(remote, _SEARCHED)
        same = [one for one in known if one["public_id"] == name] or _beginning(known, name)
        if not same:
            raise NotFoundError(
                f"None of the newest {_SEARCHED} jobs is {name!r}.",
                "List jobs with `headrace jobs`, or give the whole id.",
            ) from None
        if len(same) > 1:
            raise InvalidError(
                f"Several jobs are called {name!r}.", f"Give the whole id: {', '.join(str(one['id']) for one in same)}."
            ) from None
        job_id = UUID(str(same[0]["id"]))
    found: dict[str, Any] = await remote.get(f"/jobs/{job_id}")
    return found


def _beginning(jobs: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    if len(name) < _BEGINNING:
        return []
    return [one for one in jobs if str(one["id"]).startswith(name) or str(one["public_id"]).startswith(name)]


def logs(
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    stage: Annotated[str | None, typer.Option(help="Only lines of this stage, such as sync.")] = None,
    item: Annotated[int | None, typer.Option(min=0, help="The log of this item of a job that calls functions.")] = None,
    url: Url = None,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Show what a job's programs have written.
    """
    from headrace.cli.remote import Remote, find_address

    async def show() -> None:
        async with Remote(find_address(url, key, home)) as remote:
            await _show_log(
                remote, await find_job(remote, job_id), follow=follow, stage=stage, item=item, as_json=as_json
            )

    try:
        asyncio.run(show())
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


async def _show_log(
    remote: Remote, found: Mapping[str, Any], *, follow: bool, stage: str | None, item: int | None, as_json: bool
) -> None:
    from headrace.cli.follow import FINAL_STATES, log_pages

    after = 0
    ended = not follow or found["state"] in FINAL_STATES
    while True:
        async for page in log_pages(remote, str(found["id"]), after=after, item=item):
            after = int(page[-1]["number"])
            for line in page:
                if stage in (None, line["stage"]):
                    _say_line(line, as_json=as_json)
        sys.stdout.flush()
        if ended:
            return
        await asyncio.sleep(_LOG_SECONDS)
        # The state is read before the lines: what was written until the end is then still shown.
        found = await remote.get_patiently(f"/jobs/{found['id']}", for_seconds=_AWAY_SECONDS)
        ended = found["state"] in FINAL_STATES


def _say_line(line: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        import json

        print(json.dumps(line, ensure_ascii=False))
        return
    from headrace.cli.output import printable

    at = str(line["at"])[11:19]
    print(f"{at} {line['stage']:<8} {printable(str(line['text']))}")


def tell_job(word: str, job_id: str, url: Url, key: Key, home: Home) -> dict[str, Any]:
    """
    Tell a job to do what a call of the core API is named after; give the job as it is then.
    """
    from headrace.cli.remote import Remote, find_address

    async def tell() -> dict[str, Any]:
        async with Remote(find_address(url, key, home)) as remote:
            found = await find_job(remote, job_id)
            answer: dict[str, Any] = await remote.post(f"/jobs/{found['id']}/{word}")
            return answer

    return asyncio.run(tell())


def cancel(job_id: JobId, url: Url = None, key: Key = None, home: Home = None, as_json: Json = False) -> None:
    """
    End a job.

    At once if it waits, else within its grace time.
    """
    from headrace.cli.output import say_json, to_people

    found = tell_job("cancel", job_id, url, key, home)
    if as_json:
        say_json(found)
        return
    if not to_people():
        print(found["id"])
        return
    from headrace.cli.job_view import short_id

    if found["state"] == "cancelled":
        print(f"Job {short_id(found)} is cancelled.")
    else:
        print(f"Job {short_id(found)} is asked to end. See how it goes: headrace job {short_id(found)}")
