"""
`headrace run`: what it asks for, what it says, how it ends.
"""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest
from stand_in import CAUSE, JOB_ID, KEY, Command, StandIn, job, start_headrace, step

FLIGHTS = ("run", "flights", "--tenant", "acme")


async def test_it_says_the_id_alone_in_a_pipe(command: Command) -> None:
    """
    Without --follow the command ends when the job is accepted; a pipe gets the id and nothing else.
    """
    said = await command(*FLIGHTS)

    assert (said.code, said.out, said.err) == (0, f"{JOB_ID}\n", "")


async def test_options_become_the_run_call(command: Command, server: StandIn) -> None:
    """
    Options are sent in the words of the run call, what was not given is left out.
    """
    await command(
        *(*FLIGHTS, "--since", "2026-01-01", "--until", "2026-02-01", "--tap", "tap-flights", "--stream", "flights"),
        *("--full", "--set", "REGION=eu", "--set", "EMPTY=", "--queue"),
    )
    await command(*FLIGHTS)

    bodies = [body for method, path, _, body in server.asked if method == "POST"]
    assert bodies == [
        {
            "tenant": "acme",
            "override_start_date": "2026-01-01",
            "override_end_date": "2026-02-01",
            "tap": "tap-flights",
            "override_field_map": {"flights": {"name": "flights", "selected": ["*"]}},
            "reset_source_state": True,
            "environment_variables": {"REGION": "eu", "EMPTY": ""},
            "queue_if_active_job": True,
        },
        {"tenant": "acme"},
    ]


@pytest.mark.parametrize(("state", "code"), [("completed", 0), ("failed", 1), ("cancelled", 3)])
async def test_the_exit_code_is_how_the_job_ended(command: Command, server: StandIn, state: str, code: int) -> None:
    """
    With --follow, scripts learn the job's end from the exit code.
    """
    server.stages = [job("waiting"), job("running"), job(state, cause=CAUSE if state != "completed" else None)]

    said = await command(*FLIGHTS, "--follow")

    assert (said.code, said.out) == (code, f"{JOB_ID}\n")


async def test_a_failure_shows_its_cause_and_the_end_of_the_log(command: Command, server: StandIn) -> None:
    """
    Stage, sentence, who mends it and the evidence come first; a job's output cannot drive the terminal.
    """
    server.stages = [job("failed", cause=CAUSE)]
    server.lines = [
        {"number": n, "at": "2026-03-01T12:00:00Z", "stage": "sync", "stream": "stderr", "text": f"line {n} \x1b[2J"}
        for n in range(1, 30)
    ]

    said = await command(*FLIGHTS, "--follow")

    assert "sync: The tap ended with exit code 3" in said.err
    assert "Reconnect the account." in said.err
    assert "100.0 MiB" in said.err
    assert "line 29" in said.err
    assert "line 20 " not in said.err
    assert "\x1b" not in said.err
    assert max(map(len, said.err.splitlines())) <= 80


async def test_stages_are_told_line_by_line_in_a_pipe(command: Command, server: StandIn) -> None:
    """
    Without a terminal each change of stage is one line.
    """
    server.stages = [job("waiting"), job("running"), job("running"), job("completed")]

    said = await command(*FLIGHTS, "--follow")

    told = [line.split(" ", 1)[1] for line in said.err.splitlines()]
    assert told[0].startswith("waits for its turn")
    assert told[1].startswith("runs sync, ")
    assert told[1].endswith(", 336,792 records")
    assert told[-1] == "Completed in 12.3 s."
    assert len(told) == 3


async def test_the_log_is_heard_while_nothing_is_counted(command: Command, server: StandIn) -> None:
    """
    While an environment is built or a tap connects, the newest line of the log says so.
    """
    uncounted = job("running", steps=[step("sync", "running")])
    server.lines = [
        {
            "number": 7,
            "at": "2026-03-01T12:00:00Z",
            "stage": "sync",
            "stream": "stderr",
            "text": "Resolved 9\x1b packages",
        }
    ]
    server.stages = [
        uncounted,
        job("running", steps=[step("sync", "running"), step("etl", "running")]),
        job("completed"),
    ]
    server.stages[1]["steps"][0]["state"] = "completed"

    said = await command(*FLIGHTS, "--follow")

    assert "runs etl" in said.err
    assert "Resolved 9\N{REPLACEMENT CHARACTER} packages" in said.err


async def test_json_gives_the_job_as_it_ended(command: Command) -> None:
    """
    With --json standard output is one JSON value and standard error is silent.
    """
    said = await command(*FLIGHTS, "--follow", "--json")

    assert json.loads(said.out)["state"] == "completed"
    assert said.err == ""


async def test_an_active_job_refuses_with_4(command: Command, server: StandIn) -> None:
    """
    A refusal is told apart from a failure.
    """
    server.problem = (409, {"code": "active-job", "reason": "There is a job currently running", "instruction": "Wait."})

    said = await command(*FLIGHTS, "--follow")

    assert (said.code, said.out) == (4, "")
    assert said.err == "Error: There is a job currently running\n  Wait.\n"


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [(400, "invalid", 2), (404, "not-found", 2), (500, "internal", 1), (503, "store-unavailable", 69)],
)
async def test_refusals_have_exit_codes(
    command: Command, server: StandIn, status: int, code: str, expected: int
) -> None:
    """
    What the caller mends is wrong usage; what time mends is unavailable.
    """
    server.problem = (status, {"code": code, "reason": "No.", "instruction": ""})

    said = await command(*FLIGHTS)

    assert said.code == expected


@pytest.mark.parametrize(
    "arguments", [("run", "flights"), ("run",), (*FLIGHTS, "--nonsense"), (*FLIGHTS, "--set", "novalue"), ("runn",)]
)
async def test_wrong_usage_is_2(command: Command, arguments: tuple[str, ...]) -> None:
    """
    Nothing is asked of the server when the command line is wrong.
    """
    said = await command(*arguments)

    assert said.code == 2
    assert "Traceback" not in said.err


async def test_an_unknown_flow_names_the_known_ones(command: Command) -> None:
    """
    A typo is answered with what there is.
    """
    said = await command("run", "fligths", "--tenant", "acme")

    assert said.code == 2
    assert "Known flows: flights." in said.err


async def test_a_wrong_key_is_told(command: Command) -> None:
    """
    The server's own words are shown, without a trace.
    """
    said = await command(*FLIGHTS, HEADRACE_API_KEY="wrong")

    assert said.code == 2
    assert said.err == "Error: The API key is not known here.\n  List keys with `headrace keys`.\n"


async def test_errors_are_json_for_programs(command: Command) -> None:
    """
    With --json errors are JSON on standard error.
    """
    said = await command(*FLIGHTS, "--json", HEADRACE_API_KEY="wrong")

    assert (said.code, said.out) == (2, "")
    assert json.loads(said.err)["code"] == "unauthenticated"


async def test_a_server_that_is_away_is_69(command: Command, unused_port: int) -> None:
    """
    Nothing listens there.
    """
    said = await command(*FLIGHTS, HEADRACE_URL=f"http://127.0.0.1:{unused_port}")

    assert said.code == 69
    assert "does not answer" in said.err
    assert "headrace up" in said.err


async def test_a_server_that_comes_back_is_waited_for(command: Command, server: StandIn) -> None:
    """
    A restart of the server does not end a followed job.
    """
    server.away = 1

    said = await command(*FLIGHTS, "--follow")

    assert said.code == 0
    assert "The database did not answer. Waiting for it." in said.err


async def test_ctrl_c_leaves_the_job_running(server: StandIn, tmp_path: Path) -> None:
    """
    Who stops watching is told how to watch again and how to end the job; nothing is cancelled.
    """
    server.stages = [job("running")]
    child = await start_headrace(
        *(*FLIGHTS, "--follow"), folder=tmp_path, HEADRACE_URL=server.url, HEADRACE_API_KEY=KEY
    )
    await asyncio.wait_for(server.looked.wait(), 30)
    child.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(child.communicate(), 30)

    assert child.returncode == 130
    assert "headrace logs -f tVN_B" in err.decode()
    assert "headrace cancel tVN_B" in err.decode()
    assert "Traceback" not in err.decode()
    assert not [path for _, path, _, _ in server.asked if path.endswith("/cancel")]
