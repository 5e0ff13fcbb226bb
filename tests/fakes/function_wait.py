"""
A function that runs until a file is there.
"""

import asyncio
from pathlib import Path


async def automation(params, **_):
    while not Path(params["until"]).exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(0.05)
