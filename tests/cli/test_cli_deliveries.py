"""
`headrace deliveries` and `redeliver`, against the stand-in.
"""

from __future__ import annotations

import json
from typing import Any

from stand_in import JOB_ID, Command, StandIn


def failed(number: int) -> dict[str, Any]:
    return {
        "id": f"d{number}",
        "job_id": JOB_ID,
        "topic": "run-completed",
        "url": "s3://results/out.json",
        "state": "failed",
        "attempts": 8,
        "created_at": "2026-03-01T12:00:00Z",
        "last_status": None,
        "last_error": "The bucket refused the keys.",
    }


async def test_deliveries_are_ids_in_a_pipe_and_json_for_programs(command: Command, server: StandIn) -> None:
    server.failed = [failed(1)]

    ids = await command("deliveries", "--state", "failed", "--job", "tVN_B")
    shown = await command("deliveries", "--json")

    assert ids.out == "d1\n"
    asked = [query for _, path, query, _ in server.asked if path == "/deliveries"]
    assert asked[0] == {"job": JOB_ID, "state": "failed", "limit": "20"}
    assert json.loads(shown.out)[0]["last_error"] == "The bucket refused the keys."


async def test_a_jobs_failed_deliveries_are_all_sent_once_more(command: Command, server: StandIn) -> None:
    server.failed = [failed(number) for number in range(3)]

    said = await command("redeliver", "--job", JOB_ID)

    assert (said.code, said.out.split(), server.failed) == (0, ["d0", "d1", "d2"], [])


async def test_what_is_to_be_sent_has_to_be_said(command: Command, server: StandIn) -> None:
    """
    By deliveries or by a job; the next move is in the error.
    """
    nothing = await command("redeliver")
    both = await command("redeliver", "d1", "--job", JOB_ID)
    one = await command("redeliver", "d1")

    assert (nothing.code, both.code, one.code) == (2, 2, 0)
    assert "--job" in nothing.err
    assert [path for method, path, _, _ in server.asked if method == "POST"] == ["/deliveries/d1/redeliver"]
