"""
A stand-in for the server, and the command that finds it.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stand_in import KEY, Command, Said, StandIn, headrace, standing_in


@pytest.fixture
async def server() -> AsyncIterator[StandIn]:
    async with standing_in() as server:
        yield server


@pytest.fixture
def command(server: StandIn, tmp_path: Path) -> Command:
    """
    The command in an empty folder, told where the stand-in is and its key.
    """

    async def run(*arguments: str, **variables: str) -> Said:
        told = {"HEADRACE_URL": server.url, "HEADRACE_API_KEY": KEY}
        return await headrace(*arguments, folder=tmp_path, **(told | variables))

    return run


@pytest.fixture
def unused_port() -> int:
    """
    A port of loopback on which nothing listens.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
