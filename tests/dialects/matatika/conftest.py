"""
A mill for each test, and one for all that only look.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from house import open_house
from matatika_mill import Mill
from matatika_story import Told, tell, write_checkout

from headrace.runners.process import ShimPool


@pytest.fixture(scope="session")
async def shared_mill(
    lasting_database_url: str, environments: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mill]:
    """
    One mill for all tests that only look, with a project in a git checkout and no plugins of its own.
    """
    folder = tmp_path_factory.mktemp("shared-mill")
    write_checkout(folder / "project")
    async with open_house(lasting_database_url, folder / "house") as house, ShimPool(warm=1) as pool:
        mill = Mill(house, folder / "project", pool, environments)
        yield mill
        await mill.client.aclose()


@pytest.fixture(scope="session")
async def told(shared_mill: Mill) -> Told:
    """
    Jobs of a workspace in every stage of their lives, as callers were shown them.
    """
    return await tell(shared_mill)


@pytest.fixture
async def mill(database_url: str, tmp_path: Path, environments: Path) -> AsyncIterator[Mill]:
    project = tmp_path / "project"
    project.mkdir()
    async with open_house(database_url, tmp_path / "house") as house, ShimPool(warm=1) as pool:
        mill = Mill(house, project, pool, environments)
        yield mill
        await mill.client.aclose()
