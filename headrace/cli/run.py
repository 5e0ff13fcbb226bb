"""
`headrace run`: ask for a job and, if wanted, stay with it to its end.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.failures import CANCELLED, COMPLETED, FAILED, INTERRUPTED
from headrace.cli.options import Follow, Home, Json, Key, Url, Workspace
from headrace.core.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from headrace.cli.remote import Address, Remote

EXIT_CODES = {"completed": COMPLETED, "failed": FAILED, "cancelled": CANCELLED}


def run(
    flow: Annotated[str, typer.Argument(help="The flow's id, such as flights.")],
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="For whom.")],
    workspace: Workspace = None,
    since: Annotated[str | None, typer.Option(help="Read from this date-time on, whatever was read before.")] = None,
    until: Annotated[str | None, typer.Option(help="Read up to this date-time.")] = None,
    tap: Annotated[str | None, typer.Option(help="Which of the tenant's taps to read.")] = None,
    stream: Annotated[list[str] | None, typer.Option(help="Read only this stream; may be repeated.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Forget what was read before and read everything.")] = False,
    variables: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Environment variable for this job; may be repeated."),
    ] = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="Wait for the tenant's active job instead of being refused.")
    ] = False,
    follow: Follow = False,
    url: Url = None,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Run a flow for a tenant.

    Exit codes: 0 completed (without --follow: accepted), 1 failed, 2 wrong usage, 3 cancelled, 4 refused because a job of the tenant is active, 69 the server cannot be reached.
    """
    from headrace.cli.remote import find_address

    options = run_options(
        tenant,
        since=since,
        until=until,
        tap=tap,
        streams=stream or (),
        full=full,
        variables=variables or (),
        queue=queue,
    )
    address = find_address(url, key, home)
    job = asyncio.run(_submit(address, workspace, flow, options))
    say_submitted(job, as_json=as_json, follow=follow)
    if follow:
        job = stay_with(address, job, quiet=as_json and not sys.stderr.isatty())
        if as_json:
            from headrace.cli.output import say_json

            say_json(job)
        raise typer.Exit(EXIT_CODES[job["state"]])


def run_options(
    tenant: str,
    *,
    since: str | None = None,
    until: str | None = None,
    tap: str | None = None,
    streams: tuple[str, ...] | list[str] = (),
    full: bool = False,
    variables: tuple[str, ...] | list[str] = (),
    queue: bool = False,
) -> dict[str, Any]:
    """
    Write the options in the words of the run call; what is not asked for is left out.

    Raises:
        InvalidError: a variable is not of the form NAME=VALUE.
    """
    options: dict[str, Any] = {
        "override_start_date": since,
        "override_end_date": until,
        "tap": tap,
        "override_field_map": {name: {"name": name, "selected": ["*"]} for name in streams},
        "reset_source_state": full,
        "environment_variables": dict(_variable(text) for text in variables),
        "queue_if_active_job": queue,
    }
    return {"tenant": tenant} | {name: value for name, value in options.items() if value}


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InvalidError(f"--set takes NAME=VALUE, not {name!r}.", "Write it like --set REGION=eu.")
    return name, value


async def _submit(address: Address, workspace: str | None, flow: str, options: Mapping[str, Any]) -> dict[str, Any]:
    from headrace.cli.remote import Remote

    async with Remote(address) as remote:
        return await submit(remote, workspace or await workspace_of(remote, flow), flow, options)


async def submit(remote: Remote, workspace: str, flow: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """
    Ask for a job; gives it as the API shows it.
    """
    path = f"/flows/{workspace}/{flow}/runs"
    job: dict[str, Any] = await remote.post(path, options, Idempotency_Key=uuid.uuid4().hex)
    return job


async def workspace_of(remote: Remote, flow: str) -> str:
    """
    Find the one workspace that has a flow of this id.

    Raises:
        NotFoundError: none has.
        InvalidError: several have.
    """
    flows = (await remote.get("/flows"))["flows"]
    found = sorted({str(one["workspace"]) for one in flows if one["id"] == flow})
    if not found:
        known = ", ".join(sorted({str(one["id"]) for one in flows})) or "none"
        raise NotFoundError(
            f"There is no flow {flow!r}.", f"Known flows: {known}. `headrace problems` lists files with mistakes."
        )
    if len(found) > 1:
        raise InvalidError(
            f"Several workspaces have a flow {flow!r}.", f"Name one with --workspace: {', '.join(found)}."
        )
    return found[0]


def say_submitted(job: Mapping[str, Any], *, as_json: bool, follow: bool) -> None:
    """
    Tell the job's id: in words on a terminal, bare in a pipe.
    """
    from headrace.cli.output import say_json, to_people

    if as_json:
        if not follow:
            say_json(job)
    elif not to_people():
        print(job["id"], flush=True)
    elif not follow:
        from headrace.cli.job_view import short_id

        print(f"Job {short_id(job)} is {job['state']}. Follow it with: headrace logs -f {short_id(job)}")


def stay_with(address: Address, job: Mapping[str, Any], *, quiet: bool = False) -> dict[str, Any]:
    """
    Show a job until it ends, and how it ended; Ctrl-C leaves the job running and ends this process.
    """
    try:
        return asyncio.run(stay(address, str(job["id"]), quiet=quiet))
    except KeyboardInterrupt:
        from headrace.cli.job_view import short_id

        name = short_id(job)
        print(
            f"\nThe job goes on. Follow it with: headrace logs -f {name}\nEnd it with: headrace cancel {name}",
            file=sys.stderr,
        )
        raise typer.Exit(INTERRUPTED) from None


async def stay(address: Address, job_id: str, *, quiet: bool = False) -> dict[str, Any]:
    """
    Show a job until it ends, and how it ended, on standard error.
    """
    from headrace.cli import job_view
    from headrace.cli.follow import display_for, follow, last_lines, utc_now
    from headrace.cli.output import console
    from headrace.cli.remote import Remote

    target = console(errors=True)
    target.quiet = quiet
    async with Remote(address) as remote:
        job = await follow(remote, job_id, display_for(target))
        target.print(job_view.ending(job, await last_lines(remote, job), now=utc_now()))
        return job
