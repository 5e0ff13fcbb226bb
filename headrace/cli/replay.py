"""
`headrace replay`: the script of a past job on this machine, over the inputs it had, and how its output differs.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from headrace.cli.failures import COMPLETED, FAILED, USAGE
from headrace.cli.jobs import JobId
from headrace.cli.options import Home, Json, Key, Url
from headrace.core.errors import ConflictError, HeadraceError

if TYPE_CHECKING:
    from headrace.cli.remote import Address
    from headrace.runners.output_diff import Difference, TableDifference

_VALUE_LENGTH = 60


def replay(
    job_id: JobId,
    script: Annotated[
        Path | None,
        typer.Option("--script", help="Folder of the flow whose script runs; else the one that the job ran."),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Keep everything in this folder, which must be empty or not there.")
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore", metavar="FIELD", help="A field that differs each time, such as a time; may be repeated."
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", min=0, max=1000, help="Show so many rows that differ of each stream.")
    ] = 5,
    stage: Annotated[str, typer.Option("--stage", help="What to replay; only etl for now.")] = "etl",
    url: Url = None,
    key: Key = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """
    Run the script of a past job here, over the inputs it had, and show how its output differs.

    Nothing is sent to a target, no bookmark and no snapshot on the server changes. Exit codes: 0 the same, 1 different, 2 it could not be run, 69 the server cannot be reached.
    """
    from headrace.cli.remote import find_address

    if stage != "etl":
        raise ConflictError(f"The stage {stage!r} cannot be replayed.", "Only `--stage etl` can, for now.")
    try:
        with _place(keep) as folder:
            replayed = asyncio.run(_replay(find_address(url, key, home), job_id, folder, script, home))
            found = _compare(folder, ignore or (), rows)
    except HeadraceError as error:
        from headrace.cli.failures import ServerUnreachableError
        from headrace.cli.output import say_error

        if isinstance(error, ServerUnreachableError):
            raise
        say_error(error, as_json=as_json)
        raise typer.Exit(USAGE) from None
    same = all(one.same for one in found)
    if as_json:
        _say_json(replayed, found, keep, same=same)
    else:
        _say(found, keep, same=same)
    raise typer.Exit(COMPLETED if same else FAILED)


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="headrace-replay-") as folder:
            yield Path(folder)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ConflictError(f"{keep} is not empty.", "Name a folder that is empty or does not exist.")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.absolute()


async def _replay(
    address: Address, job_id: str, folder: Path, script: Path | None, home: Path | None
) -> dict[str, Any]:
    """
    Fetch a job's inputs and output and run the script; gives the job.

    Raises:
        CallerError, FatalError: the script did not end well here, or could not be started.
    """
    from headrace.cli.jobs import find_job
    from headrace.cli.local_script import local_script, own_script, run_here
    from headrace.cli.remote import Remote

    async with Remote(address) as remote:
        job = await find_job(remote, job_id)
        inputs: dict[str, Any] = await remote.get(f"/jobs/{job['id']}/inputs")
        chosen = local_script(script) if script else own_script(inputs)
        _tell_begin(job, inputs, script)
        await _fetch_inputs(remote, str(job["id"]), inputs, folder / "job", script=script is None)
        await _fetch_output(remote, str(job["id"]), folder / "before")
    await run_here(folder / "job", inputs, chosen, home)
    return job


async def _fetch_inputs(remote: Any, job_id: str, inputs: Mapping[str, Any], folder: Path, *, script: bool) -> None:
    for kind in ("files", "script") if script else ("files",):  # a script's own file goes over what was there before
        for path in inputs[kind]:
            await remote.download(f"/jobs/{job_id}/inputs/{kind}/{_quoted(path)}", inside(folder, path))


async def _fetch_output(remote: Any, job_id: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for one in (await remote.get(f"/jobs/{job_id}/files"))["files"]:
        name = str(one["path"]).removeprefix("etl-output/")
        if name != one["path"]:
            await remote.download(f"/jobs/{job_id}/files/{_quoted(one['path'])}", inside(folder, name))


def inside(folder: Path, path: str) -> Path:
    """
    Give the place of a path that a server named.

    Raises:
        ConflictError: it leads out of the folder.
    """
    file = folder / path
    if not file.resolve().is_relative_to(folder.resolve()):
        raise ConflictError(f"The server names a file outside of the folder: {path!a}.", "Do not trust it.")
    return file


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(path, safe="/")


def _compare(folder: Path, ignore: Sequence[str], rows: int) -> list[TableDifference]:
    from headrace.runners.output_diff import compare_output

    return compare_output(folder / "before", folder / "job" / "etl-output", ignore=ignore, most_samples=rows)


def _tell_begin(job: Mapping[str, Any], inputs: Mapping[str, Any], script: Path | None) -> None:
    from headrace.cli.output import byte_count

    size = byte_count(sum(inputs["files"].values()))
    which = f"the script in {script}" if script else "the script that it ran"
    lines = [f"Job {job['public_id']} ({job['definition']} for {job['tenant']}) again, with {which}."]
    lines.append(f"  Inputs: {len(inputs['files'])} files, {size}, {inputs['records']:,} records.")
    if inputs["withheld"]:
        lines.append(f"  Without {', '.join(inputs['withheld'])}: the key may not see secrets.")
    if inputs["outcome"] != "completed":
        lines.append(f"  In the job the script ended as {inputs['outcome']}: its output may be a part.")
    print("\n".join(lines), file=sys.stderr, flush=True)


def _say(found: Sequence[TableDifference], keep: Path | None, *, same: bool) -> None:
    from rich.markup import escape

    from headrace.cli.output import console, printable, say_table, to_people

    total = sum(one.rows_before for one in found)
    number = f"{len(found)} {'stream or file' if len(found) == 1 else 'streams or files'}"
    out = console()
    if same:
        out.print(
            f"[green]✓[/] The same output: {number}, {total:,} {'row' if total == 1 else 'rows'}.", highlight=False
        )
    else:
        different = [one for one in found if not one.same]
        out.print(f"[red]✗[/] Different output: {len(different)} of {number}.", highlight=False)
        columns = ("stream", "before", "now", "added", "removed", "changed", "fields")
        table = [(printable(one.name), *_counts(one)) for one in different]
        if to_people():
            say_table(columns, [tuple(escape(cell) for cell in row) for row in table], nothing="")
        else:
            for row in (columns, *table):
                print("\t".join(row))
        for one in different:
            for sample in one.samples:
                print(printable(f"  {one.name}: {_line(sample)}"))
    if keep is not None:
        print(f"Everything is in {keep}: before/ is the job's output, job/etl-output/ that of now.", file=sys.stderr)


def _counts(one: TableDifference) -> tuple[str, ...]:
    numbers = (one.rows_before, one.rows_after, one.added, one.removed, one.changed)
    return (*(f"{number:,}" for number in numbers), "other" if one.schema_changed else "same")


def _line(sample: Difference) -> str:
    if sample.kind == "changed":
        key = ", ".join(f"{name}={_shown(value)}" for name, value in sample.key.items())
        before, after = sample.before or {}, sample.after or {}
        fields = [f"{name} {_side(before, name)} → {_side(after, name)}" for name in dict.fromkeys([*before, *after])]
        return f"~ {key}: {'; '.join(fields)}"
    sign: Literal["+", "-"] = "+" if sample.kind == "added" else "-"
    row = sample.after if sample.kind == "added" else sample.before
    return f"{sign} {', '.join(f'{name}={_shown(value)}' for name, value in (row or {}).items())}"


def _side(row: Mapping[str, Any], name: str) -> str:
    return _shown(row[name]) if name in row else "(none)"


def _shown(value: Any) -> str:
    import json

    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _VALUE_LENGTH else text[: _VALUE_LENGTH - 1] + "…"


def _say_json(job: Mapping[str, Any], found: Sequence[TableDifference], keep: Path | None, *, same: bool) -> None:
    from dataclasses import asdict

    import msgspec

    from headrace.cli.output import say_json

    streams = [asdict(one) | {"same": one.same} for one in found]
    told = {"job": job["id"], "same": same, "streams": streams, "folder": str(keep) if keep else None}
    say_json(msgspec.json.decode(msgspec.json.encode(told, enc_hook=str)))
