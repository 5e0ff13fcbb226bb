"""
The core API over the real services.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from house import House, open_house
from house_app import client_of, face_of, furnish_flights


@pytest.fixture
async def house(database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(database_url, tmp_path) as house:
        await furnish_flights(house)
        yield house


@pytest.fixture
def app(house: House) -> FastAPI:
    return face_of(house)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_of(app) as client:
        yield client
