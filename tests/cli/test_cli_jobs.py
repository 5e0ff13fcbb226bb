"""
`headrace jobs`, `job`, `logs`, `cancel`, `flows`, `problems`, `keys`, against the stand-in.
"""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from stand_in import CAUSE, JOB_ID, KEY, Command, StandIn, job, start_headrace

LINES: list[dict[str, Any]] = [
    {"number": 1, "at": "2026-03-01T12:00:01Z", "stage": "sync", "stream": "stderr", "text": "reading \x1b[31mred"},
    {"number": 2, "at": "2026-03-01T12:00:02Z", "stage": "etl", "stream": "stdout", "text": "rows: 3"},
]


async def test_jobs_are_ids_in_a_pipe(command: Command, server: StandIn) -> None:
    """
    `headrace jobs | xargs` gets ids; filters go to the server.
    """
    said = await command("jobs", "--flow", "flights", "--tenant", "acme", "--state", "failed", "--limit", "5")

    assert said.out == f"{JOB_ID}\n"
    assert server.asked[-1][2] == {"limit": "5", "flow": "flights", "tenant": "acme", "state": "failed"}


async def test_jobs_are_json_for_programs(command: Command) -> None:
    """
    --json gives what the API gives.
    """
    said = await command("jobs", "--json")

    assert [one["public_id"] for one in json.loads(said.out)] == ["tVN_B"]


@pytest.mark.parametrize("name", [JOB_ID, "tVN_B", JOB_ID[:13]])
async def test_a_job_is_found_by_both_its_ids(command: Command, name: str) -> None:
    """
    Tables show the short id, or the beginning of a long one, so commands take them.
    """
    said = await command("job", name, "--json")

    assert json.loads(said.out)["id"] == JOB_ID


async def test_one_job_shows_its_cause_before_its_stages(command: Command, server: StandIn) -> None:
    """
    Why comes first, then how far, then the counts.
    """
    server.stages = [job("failed", cause=CAUSE)]

    said = await command("job", "tVN_B")

    why, stages, counts = (said.out.index(text) for text in ("exit code 3", "export", "336,776"))
    assert why < stages < counts
    assert "\x1b" not in said.out
    assert max(map(len, said.out.splitlines())) <= 80


async def test_an_unknown_job_is_told(command: Command) -> None:
    """
    Neither a short nor a long id that is not there leaves a trace.
    """
    short = await command("job", "nope")
    long = await command("job", "01890a5d-0000-774b-bcce-b302099a8057")

    assert (short.code, long.code) == (2, 2)
    assert "headrace jobs" in short.err
    assert "Traceback" not in short.err + long.err


async def test_logs_are_shown_by_stage(command: Command, server: StandIn) -> None:
    """
    A line is time, stage and text, without anything that drives the terminal.
    """
    server.lines = LINES

    everything = await command("logs", "tVN_B")
    only = await command("logs", "tVN_B", "--stage", "etl")

    assert everything.out == "12:00:01 sync     reading \N{REPLACEMENT CHARACTER}[31mred\n12:00:02 etl      rows: 3\n"
    assert only.out == "12:00:02 etl      rows: 3\n"


async def test_followed_logs_end_with_the_job(command: Command, server: StandIn) -> None:
    """
    Lines written until the job's end are all shown, each once.
    """
    server.lines = LINES
    server.stages = [job("running"), job("running"), job("completed")]

    said = await command("logs", "-f", JOB_ID, "--json")

    assert [json.loads(line)["number"] for line in said.out.splitlines()] == [1, 2]


async def test_ctrl_c_ends_following_a_log(server: StandIn, tmp_path: Path) -> None:
    """
    No trace, no cancelled job.
    """
    server.stages = [job("running")]
    told = {"HEADRACE_URL": server.url, "HEADRACE_API_KEY": KEY}
    child = await start_headrace("logs", "-f", JOB_ID, folder=tmp_path, **told)
    await asyncio.wait_for(server.looked.wait(), 30)
    child.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(child.communicate(), 30)

    assert child.returncode == 130
    assert err == b""


async def test_cancel_asks_and_says_the_id(command: Command, server: StandIn) -> None:
    """
    The job's id is all that a pipe gets.
    """
    said = await command("cancel", "tVN_B")

    assert said.out == f"{JOB_ID}\n"
    assert server.asked[-1][:2] == ("POST", f"/jobs/{JOB_ID}/cancel")


async def test_problems_point_at_file_and_line(command: Command) -> None:
    """
    As compilers do, so that editors can follow; the exit code says that there are some.
    """
    said = await command("problems")

    assert said.code == 1
    assert said.out == "flows/flights/flow.yml:3: There is no tap `x`.\n  Define it.\n"


async def test_flows_and_keys_are_listed(command: Command) -> None:
    """
    Bare ids in a pipe, everything as JSON.
    """
    assert (await command("flows")).out == "flights\n"
    assert (await command("keys", "list")).out == "k1\n"
    assert json.loads((await command("flows", "--json")).out)[0]["workspace"] == "demo"


async def test_a_key_is_made_and_taken_back(command: Command, server: StandIn) -> None:
    """
    The key itself is the whole output, for `KEY=$(headrace keys add ci)`.
    """
    made = await command("keys", "add", "ci", "--role", "viewer", "--workspace", "demo")
    revoked = await command("keys", "revoke", "k1")

    assert (made.out, revoked.out) == ("hr_new\n", "k1\n")
    posted = [body for method, _, _, body in server.asked if method == "POST"]
    assert posted == [{"name": "ci", "role": "viewer", "workspace": "demo"}]


async def test_a_new_secret_is_made_without_a_server(command: Command, server: StandIn) -> None:
    """
    It can be used as it is printed.
    """
    from headrace.store.sealing import Sealer, parse_keys

    said = await command("keys", "new-secret")

    assert Sealer(parse_keys(said.out))
    assert server.asked == []


async def test_a_job_and_a_batch_are_paused_and_go_on(command: Command, server: StandIn) -> None:
    """
    Ids alone go to a pipe: of a batch its whole name, which commands take.
    """
    said = [await command(word, JOB_ID) for word in ("pause", "resume")]
    batch = [await command("batch", word, "nightly") for word in ("pause", "resume")]
    told = await command("batch", "pause", "shop/nightly", "--json")
    unknown = await command("batch", "pause", "weekly")

    assert [(each.code, each.out) for each in said] == [(0, f"{JOB_ID}\n")] * 2
    assert [(each.code, each.out) for each in batch] == [(0, "shop/nightly\n")] * 2
    posted = [path for method, path, _, _ in server.asked if method == "POST"]
    at = "/batches/demo/shop/nightly"
    assert posted == [f"/jobs/{JOB_ID}/pause", f"/jobs/{JOB_ID}/resume", f"{at}/pause", f"{at}/resume", f"{at}/pause"]
    assert json.loads(told.out)["paused"] is True
    assert (unknown.code, "Known batches: shop/nightly." in unknown.err) == (2, True)
