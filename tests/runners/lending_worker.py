"""
A worker that lends a browser to one call, and then waits to be killed: `lending_worker.py FOLDER ENVIRONMENTS`.

It prints the process id of the shim that keeps the browser, once the call has ended.
"""

import asyncio
import sys
from pathlib import Path

from automation_kit import Automations, result_of

from headrace.runners.environments import Environments
from headrace.runners.process import ShimPool

FUNCTION = """
import os
async def automation(page, params):
    await page.set_content("<title>shop</title>")
    return os.getppid()
"""


async def lend(folder: Path, environments: Path) -> None:
    async with ShimPool(warm=0) as pool:
        automations = Automations(pool, Environments(environments), folder)
        automations.write("requirements.txt", "playwright\n")
        automations.write("api/work.py", FUNCTION)
        print(result_of(await automations.call()), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(lend(Path(sys.argv[1]), Path(sys.argv[2])))
