"""
`headrace rerun`: an ended job again, whole or from one of its steps on.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from typing import Annotated, Any

import typer

from headrace.cli.jobs import JobId
from headrace.cli.options import Follow, Home, Json, Key, Url
from headrace.core.errors import InvalidError


def rerun(
    job_id: JobId,
    from_step: Annotated[
        str | None, typer.Option("--from", metavar="STEP", help="First step to run, such as etl or export; else all.")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="OPTION=VALUE", help="Override, such as etl.memory_bytes=8589934592; may be repeated."
        ),
    ] = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="Wait for the tenant's active job instead of being refused.")
    ] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Asked again under this key, the job that is there is given.")
    ] = None,
    follow: Follow = False,
    url: Url = None,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Run an ended job again: the same plan, or that plan with overrides.

    Exit codes are those of `run`.
    """
    from headrace.cli.remote import Address, Remote, find_address
    from headrace.cli.run import EXIT_CODES, say_submitted, stay_with

    wanted = {"from": from_step, "options": dict(_option(text) for text in options or ()), "queue": queue}

    async def submit(address: Address) -> dict[str, Any]:
        from headrace.cli.jobs import find_job

        async with Remote(address) as remote:
            found = await find_job(remote, job_id)
            made: dict[str, Any] = await remote.post(
                f"/jobs/{found['id']}/rerun", wanted, Idempotency_Key=idempotency_key or uuid.uuid4().hex
            )
            return made

    address = find_address(url, key, home)
    job = asyncio.run(submit(address))
    say_submitted(job, as_json=as_json, follow=follow)
    if follow:
        job = stay_with(address, job, quiet=as_json and not sys.stderr.isatty())
        if as_json:
            from headrace.cli.output import say_json

            say_json(job)
        raise typer.Exit(EXIT_CODES[job["state"]])


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InvalidError(f"--set takes OPTION=VALUE, not {name!r}.", "Write it like --set etl.wall_seconds=7200.")
    return name, value
