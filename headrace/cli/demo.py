"""
`headrace demo`: the whole of it in one command, from an empty folder to an answer.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.core.errors import FatalError

if TYPE_CHECKING:
    from headrace.cli.remote import Address

FLOW, TENANT, WORKSPACE = "flights", "acme", "demo"
_PORT = 8450
_START_SECONDS = 120.0
_LOOK_SECONDS = 0.1
_END_SECONDS = 90.0
_QUERY_SECONDS = 60.0
_LOG_LINES = 15

QUESTION = "How late does each airline arrive out of New York, and which month is its worst?"
ANSWER_SQL = """
WITH years AS (
    SELECT airline, sum(flights) AS flights, round(sum(arr_delay_avg_minutes * flights) / sum(flights), 1) AS late,
        max_by(month, arr_delay_avg_minutes) AS worst
    FROM airline_months GROUP BY airline
)
SELECT airline, flights, late AS "minutes late", monthname(make_date(2013, worst::INT, 1)) AS "worst month"
FROM years WHERE flights >= 1000 ORDER BY late DESC LIMIT 6
"""
# Run by the interpreter of the flow's own environment, which has DuckDB; ours has not.
_READER = """
import json, sys, duckdb
found = duckdb.connect(sys.argv[1], read_only=True).execute(sys.argv[2])
rows = found.fetchall()
print(json.dumps({"columns": [column[0] for column in found.description], "rows": rows}, default=str))
"""


def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Project folder; made if it is not there.")] = Path(
        "demo"
    ),
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on; else 8450, or a free one.")
    ] = None,
) -> None:
    """
    Make a project, serve it, run its flow.

    Shows the answer at the end; on a terminal it goes on serving until Ctrl-C.
    """
    from headrace.cli.failures import INTERRUPTED
    from headrace.cli.run import EXIT_CODES

    home = folder / ".headrace"
    if not (folder / "headrace.yml").exists():
        from headrace.cli.init import write_project
        from headrace.cli.serving import say_progress

        write_project(folder, on_line=say_progress)
        print(f"Wrote a project to {folder}.")
    with _serving(folder, home, _PORT if port is None else port) as address:
        try:
            job = _run_flow(address)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        _say_answer(job, folder, home, address)
        if sys.stdout.isatty():
            print(f"\nServing {address.url} until Ctrl-C. Elsewhere try: headrace jobs --home {shlex.quote(str(home))}")
            with suppress(KeyboardInterrupt):
                while True:
                    time.sleep(3600)
    raise typer.Exit(EXIT_CODES[job["state"]])


@contextmanager
def _serving(project: Path, home: Path, port: int) -> Iterator[Address]:
    """
    Run `headrace up` on *project* while the block runs. It also ends when this process is killed: its standard input does.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = home / "server.log"
    command = [
        *(sys.executable, "-m", "headrace.cli.main", "up", "--with-parent"),
        *("--project", str(project), "--home", str(home), "--port", str(port if _is_free(port) else 0)),
    ]
    with log.open("ab") as output:
        server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield _wait_until_ready(server, home, log)
    finally:
        server.terminate()
        try:
            server.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        if server.stdin:
            server.stdin.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _wait_until_ready(server: subprocess.Popen[bytes], home: Path, log: Path) -> Address:
    """
    Wait until the server has left its address, which it does when it can answer.

    Raises:
        FatalError: it ended, or is not ready in time; with the end of its log.
    """
    from headrace.cli.remote import find_address

    give_up_at = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < give_up_at:
        with suppress(OSError, ValueError):
            if json.loads((home / "server.json").read_text("utf-8"))["pid"] == server.pid:
                return find_address(None, None, home)
        time.sleep(_LOOK_SECONDS)  # another process writes it; there is nothing to wait on
    end = "".join(log.read_text("utf-8", "replace").splitlines(keepends=True)[-_LOG_LINES:])
    raise FatalError(f"The server did not start. The end of {log}:\n{end}", "`headrace doctor` looks for the reason.")


def _run_flow(address: Address) -> dict[str, Any]:
    from headrace.cli.remote import Remote
    from headrace.cli.run import run_options, stay, submit

    async def ask() -> dict[str, Any]:
        async with Remote(address) as remote:
            job = await submit(remote, WORKSPACE, FLOW, run_options(TENANT, queue=True))
        return await stay(address, str(job["id"]))

    print(f"Running the flow {FLOW} for the tenant {TENANT}.", flush=True)
    return asyncio.run(ask())


def _say_answer(job: Mapping[str, Any], folder: Path, home: Path, address: Address) -> None:
    from headrace.cli.job_view import records_of
    from headrace.cli.output import say_table

    if job["state"] != "completed":
        print(f"\nThe log: headrace logs {job['public_id']} --home {shlex.quote(str(home))}")
        return
    warehouse = folder / "warehouse" / f"{TENANT}.duckdb"
    columns, rows = _read_answer(warehouse, home)
    if rows:
        print(f"\n{QUESTION}\n")
        say_table(columns, ([_cell(value) for value in row] for row in rows), nothing="")
    counts = records_of(job)
    print("\nRecords read:" if counts else "\nRecords read: none, nothing has changed since the last run.")
    for stream, count in sorted(counts.items()):
        print(f"  {stream:<12} {count:>9,}")
    print("\nWhere things are:")
    root = next((home / "files" / "jobs").glob(f"**/{job['id']}"), job["root"])
    for name, place in (("answer", warehouse), ("job", root), ("script", folder / "flows" / FLOW / "etl.py")):
        print(f"  {name:<12} {place}")
    print(f"  {'API':<12} {address.url}/api/v1\n  {'hotglue':<12} {address.url}/hotglue")


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _read_answer(warehouse: Path, home: Path) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """
    Read the answer back from what the target wrote; nothing, and a word on standard error, where that cannot be done.
    """
    why = "no environment here has DuckDB"
    for python in sorted((home / "environments").glob("*/bin/python")):
        try:
            told = subprocess.run(
                [str(python), "-c", _READER, str(warehouse), ANSWER_SQL],
                capture_output=True,
                timeout=_QUERY_SECONDS,
                text=True,
                check=False,
            )
            if told.returncode == 0:
                answer = json.loads(told.stdout)
                return answer["columns"], answer["rows"]
        except (subprocess.SubprocessError, OSError, ValueError) as error:
            why = str(error)
        else:
            last = (told.stderr.strip().splitlines() or [""])[-1]
            why = why if "No module named" in last else last
    print(f"The answer in {warehouse} could not be read: {why}.", file=sys.stderr)
    return (), ()
