"""
Fault drills 28 to 42 through hotglue's wire, one job each: taps, scripts and targets that nobody should trust.

What the runners prove of one process is in tests/runners; here is what a client sees of it, and what is left of the job.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hotglue_mill import TAP, TARGET, Mill, mill_over
from hotglue_rows import case, row
from house import House

from headrace.core.plan import ConnectorSpec, Limits
from headrace.runners.process import ShimPool

MEBIBYTE = 2**20
SCHEMA = '{"type": "SCHEMA", "stream": "people", "schema": {"properties": {"id": {"type": "integer"}}}, "key_properties": ["id"]}'
STATE = '{"type": "STATE", "value": {"bookmarks": {"people": 1}}}'


def record(number: int) -> str:
    return f'{{"type": "RECORD", "stream": "people", "record": {{"id": {number}}}}}'


@pytest.fixture
async def mill(house: House, environments: Path) -> AsyncIterator[Mill]:
    async with ShimPool(warm=1) as pool, mill_over(house, pool, environments) as mill:
        mill.flow()
        await mill.link(TARGET)
        yield mill


def saying(*lines: str | bytes, end: bytes = b"\n") -> ConnectorSpec:
    """
    Make a tap that writes lines and ends well.
    """
    text = b"\n".join(line.encode() if isinstance(line, str) else line for line in lines) + end
    program = f"import sys; sys.stdout.buffer.write({text!r})"
    return ConnectorSpec(name="tap-saying", kind="tap", command=("python", "-c", program), discover=False)


async def run_saying(mill: Mill, *lines: str | bytes, end: bytes = b"\n") -> dict[str, Any]:
    tap = saying(*lines, end=end)
    mill.flow(tap, TARGET)
    await mill.link(tap)
    return await mill.run()


@row("drill 28", "3.1 streaming")
@pytest.mark.parametrize(
    ("records", "mode"), [(1_000, "exits-early"), (40_000, "exits-early"), (40_000, "leaves-last")]
)
async def test_28_a_target_that_leaves_a_stream_early_is_no_success(mill: Mill, records: int, mode: str) -> None:
    """
    It ended with exit code 0 while the tap was writing, or left what the pipe still held: the export has failed, and the state stays
    what it was. That the tap broke off because of it, and may be gone first, is nobody's fault but the target's.
    """
    await mill.link(TAP, records=records)
    await mill.link(TARGET, mode=mode)

    failed = await mill.run(streaming_job=True)

    assert failed["status"] == "EXPORT_FAILED"
    assert failed["message"].startswith("target-fake ended without an error before it had read its input")
    assert (await mill.client.get(f"{mill.path}/linkedSources/state")).json() == {}


@row("drill 30")
async def test_30_what_is_no_message_is_told_with_its_line(mill: Mill) -> None:
    done = await run_saying(mill, SCHEMA, record(1), "Loading plugins ...", record(2), STATE)

    assert (done["status"], done["processed_rows"]) == ("JOB_COMPLETED", 2), done["message"]
    assert "Loading plugins ..." in await mill.log(done)


@row("drill 30")
async def test_30_a_record_that_is_cut_off_fails_the_sync(mill: Mill) -> None:
    """
    With the line and its beginning; what came before is in the files.
    """
    failed = await run_saying(mill, SCHEMA, record(1), STATE, record(2)[:-9], end=b"")

    assert failed["status"] == "SYNC_FAILED"
    assert "4" in failed["message"]
    assert failed["processed_rows"] == 1


HARD_BYTES = [
    "\ufeff" + SCHEMA + "\r",
    record(1) + "\r",
    '{"type": "RECORD", "stream": "people", "record": {"id": 2, "name": "a\\u0000b"}}',
    '{"type": "RECORD", "stream": "people", "record": {"id": 3, "name": "\\ud800"}}',
    b'{"type": "RECORD", "stream": "people", "record": {"id": 4, "name": "\xff\xfe"}}',
    STATE,
]


@row("drill 31")
async def test_31_hard_bytes_lose_no_record(mill: Mill, tmp_path: Path) -> None:
    """
    A byte order mark, carriage returns and NUL are taken; a value that no text can hold is kept aside, with its line.
    """
    hard = [line.replace(SCHEMA, SCHEMA_OF_NAMES) if isinstance(line, str) else line for line in HARD_BYTES]
    done = await run_saying(mill, *hard)

    assert (done["status"], done["processed_rows"]) == ("JOB_COMPLETED", 4), done["message"]
    assert [(one["id"], one["name"]) for one in mill.sent(done, tmp_path)] == [
        (1, None), (2, "a\0b"), (3, None), (4, None),
    ]  # fmt: skip
    (kept,) = tmp_path.rglob(f"{done['task_id'][:8]}*/.headrace/quarantine/people.jsonl")
    assert [line.count('"line":') for line in kept.read_text().splitlines()] == [1, 1]


SCHEMA_OF_NAMES = SCHEMA.replace('{"id": {"type": "integer"}}', '{"id": {"type": "integer"}, "name": {"type": ["null", "string"]}}')  # fmt: skip


@row("drill 32")
async def test_32_a_line_without_end_is_refused_at_its_limit(mill: Mill) -> None:
    mill.flow(limits={"sync": Limits(line_bytes=MEBIBYTE)})
    await mill.link(TAP, mode="huge-line", bytes=4 * MEBIBYTE)

    failed = await mill.run()

    assert failed["status"] == "SYNC_FAILED"
    assert "longer than" in failed["message"]
    assert "line" in failed["message"]


@row("drill 33")
@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([record(1), STATE], "SCHEMA"),
        ([SCHEMA, record(1).replace("people", "nobody")], "nobody"),
        ([SCHEMA, record(1), STATE.replace('{"bookmarks": {"people": 1}}', '"here"')], "STATE"),
        ([SCHEMA.replace('{"properties": {"id": {"type": "integer"}}}', "7")], "SCHEMA"),
    ],
)
async def test_33_messages_in_the_wrong_order_or_form_are_named(mill: Mill, lines: list[str], says: str) -> None:
    failed = await run_saying(mill, *lines)

    assert failed["status"] == "SYNC_FAILED"
    assert says in failed["message"]


@row("drill 33")
async def test_33_hundreds_of_streams_and_a_state_of_megabytes_are_taken(mill: Mill) -> None:
    program = f"""
for number in range(300):
    print({SCHEMA!r}.replace("people", f"s{{number}}"))
for number in range(300):
    print({record(1)!r}.replace("people", f"s{{number}}"))
print({STATE!r}.replace(": 1}}", ': "' + "x" * {3 * MEBIBYTE} + '"}}'))
"""
    tap = ConnectorSpec(name="tap-saying", kind="tap", command=("python", "-c", program), discover=False)
    mill.flow(tap, TARGET)
    await mill.link(tap)

    done = await mill.run()

    assert (done["status"], len(done["metrics"]["recordCount"])) == ("JOB_COMPLETED", 300), done["message"]
    saved = await mill.client.get(f"{mill.path}/linkedSources/state")
    assert len(saved.json()["bookmarks"]["people"]) == 3 * MEBIBYTE


@row("drill 34")
async def test_34_a_secret_in_a_taps_last_words_is_in_nothing_that_is_kept(mill: Mill, tmp_path: Path) -> None:
    """
    Neither in the message, nor in what webhooks carry, the log, the history or a file.
    """
    secret = "t0p/s3cret+words"
    program = "import json, sys; sys.exit('ERROR cannot log in with ' + json.load(open(sys.argv[2]))['password'])"
    tap = ConnectorSpec(name="tap-telling", kind="tap", command=("python", "-c", program), discover=False)
    mill.flow(tap, TARGET)
    await mill.link(tap, password=secret)

    failed = await mill.run()

    rows = await mill.house.database.all(
        "select to_jsonb(j)::text || coalesce((select string_agg(e.data::text, '') from event e where e.job_id = j.id), '') as text from job j"
    )
    assert failed["status"] == "SYNC_FAILED"
    assert "cannot log in with ***" in failed["message"]
    assert secret not in str(failed) + await mill.log(failed) + rows[0]["text"]
    kept = [path for path in tmp_path.rglob(f"{failed['task_id'][:8]}*/**/*") if path.is_file()]
    assert kept
    assert [path for path in kept if secret.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("limits", "settings", "says"),
    [
        case("drill 36", Limits(processes=12, grace_seconds=1), {"mode": "forks", "records": 60}, "too many processes: limit 12"),
        case("drill 36", Limits(output_bytes=1), {"records": 100}, "output"),
        case("drill 25", Limits(no_progress_seconds=0.5, grace_seconds=1), {"mode": "silent"}, "no output for 0.5 s"),
        case("drill 26", Limits(no_progress_seconds=0.5, grace_seconds=1), {"mode": "hang"}, "no output for 0.5 s"),
        case("drill 27", Limits(wall_seconds=1, grace_seconds=0.5), {"mode": "ignore-term"}, "took too long: limit 1 s"),
    ],
)  # fmt: skip
async def test_a_tap_over_a_limit_is_ended_with_all_it_started(
    mill: Mill, limits: Limits, settings: dict[str, Any], says: str
) -> None:
    """
    The message names the limit, and no process is left.
    """
    mill.flow(limits={"sync": limits})
    await mill.link(TAP, **settings)
    before = {child.pid for child in psutil.Process(os.getpid()).children(recursive=True)}

    failed = await mill.run()

    assert failed["status"] == "SYNC_FAILED"
    assert says in failed["message"]
    left = [child for child in psutil.Process(os.getpid()).children(recursive=True) if child.pid not in before]
    assert [child.cmdline() for child in left if any(word.endswith("tap.py") for word in child.cmdline())] == []


@row("drill 37")
async def test_37_a_flood_of_log_lines_is_cut_and_its_end_is_kept(mill: Mill) -> None:
    mill.flow(limits={"sync": Limits(log_bytes=200_000)})
    await mill.link(TAP, mode="stderr-flood", bytes=4_000_000)

    failed = await mill.run()
    log = await mill.log(failed)

    assert failed["status"] == "SYNC_FAILED"
    assert failed["message"].startswith("the last word")
    assert "dropped" in log
    assert "the last word" in log
    assert len(log) < 600_000


@row("6.1 hg-tap-exception-*.json")
async def test_a_taps_own_exception_file_is_the_message(mill: Mill) -> None:
    """
    Before its traceback, and after its name where the file has no message.
    """
    program = """
import json, pathlib, sys
pathlib.Path("hg-tap-exception-17.json").write_text(json.dumps(
    {"exception_name": "InvalidCredentialsError", "exception_message": "the token was revoked", "alerting_level": "none"}))
raise SystemExit("Traceback (most recent call last):\\n  File 'x'\\nKeyError: 'a'")
"""
    tap = ConnectorSpec(name="tap-excepting", kind="tap", command=("python", "-c", program), discover=False)
    mill.flow(tap, TARGET)
    await mill.link(tap)

    failed = await mill.run()

    assert failed["status"] == "SYNC_FAILED"
    assert failed["message"].startswith("the token was revoked")
    assert failed["error"]["who"] == "customer"


@row("drill 42")
async def test_42_a_job_that_kills_its_worker_thrice_is_parked(mill: Mill) -> None:
    """
    The fourth worker does not start it any more; the message says what happened and where to look.
    """
    await mill.link(TAP)
    root = (await mill.client.post(f"{mill.path}/jobs")).json()["s3_root"]
    job = await mill.house.jobs.by_root(root, workspace_id=mill.house.workspace.id)
    assert job is not None
    await mill.house.admit(1)
    for _ in range(4):
        work = await mill.house.claim(job.id)
        assert work is not None
        await mill.house.attempts.start_step(work, 0)
        await mill.house.lose_worker(job.id)

    await mill.work()
    parked = (await mill.client.get(f"{mill.path}/jobs/status", params={"job_root": root})).json()

    assert parked["status"] == "SYNC_FAILED"
    assert parked["message"].startswith("The worker died")
    assert parked["error"]["who"] == "operator"
    assert await mill.work() == 0
