"""
Targets that are no plain Singer targets, and such as leave something behind.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
from hotglue_mill import TAP, TARGET, Mill, mill_over
from hotglue_rows import row
from house import House

from headrace.core.plan import ConnectorSpec, Reuse
from headrace.engine.taken_over import take_over
from headrace.runners.job_root import JobRoot
from headrace.runners.process import ShimPool
from headrace.store.job_rows import folder_of

FILE_TARGET = """
import json, sys
from pathlib import Path

config = json.loads(Path(sys.argv[2]).read_text())
sent = {path.name: path.stat().st_size for path in Path(config["input_path"]).iterdir()}
note = {"cwd": str(Path.cwd()), "input": sys.stdin.read(), "sent": sent, "bucket": config["bucket"]}
Path(config["note"]).write_text(json.dumps(note))
"""

DAEMON_TARGET = """
import json, os, signal, sys
from pathlib import Path

config = json.loads(Path(sys.argv[2]).read_text())
lines = sys.stdin.read().splitlines()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(config["note"]).write_text(str(os.getpid()))
        print(json.dumps({"late": True}), flush=True)
        while True:
            signal.pause()
    os._exit(0)
os.wait()
print(json.dumps({"read": len(lines)}), flush=True)
"""

ACCOUNT_TARGET = """
import json, os, sys
from pathlib import Path

sys.stdin.read()
name = Path.cwd().name
account = Path(os.environ["ROOT"]) / "incremental_target_state.json"
found = account.read_text() if account.exists() else None
with Path(json.loads(Path(sys.argv[2]).read_text())["note"]).open("a") as note:
    note.write(json.dumps([name, found]) + "\\n")
account.write_text(f"of {name}")
sys.exit(4)
"""


@pytest.fixture
async def mill(house: House, environments: Path) -> AsyncIterator[Mill]:
    async with ShimPool(warm=1) as pool, mill_over(house, pool, environments) as mill:
        yield mill


async def flow_into(mill: Mill, folder: Path, program: str, **fields: object) -> None:
    """
    Define the flow from the fake tap to a target that is *program*.
    """
    (folder / "target.py").write_text(program)
    target = ConnectorSpec(name="target-odd", kind="target", command=("python", str(folder / "target.py")), **fields)  # type: ignore[arg-type]  # what the test gives is right
    mill.flow(TAP, target)
    await mill.link(TAP)
    await mill.link(target, note=str(folder / "note"), bucket="b")


@row("6.4 file target", "6.1 targets/<connector>/")
async def test_a_file_target_is_told_where_the_output_is(mill: Mill, tmp_path: Path) -> None:
    """
    Its setting `input_path` names the folder, and nothing comes on its standard input; it works in a folder of its own.
    """
    await flow_into(mill, tmp_path, FILE_TARGET, input="files")
    record = await mill.run()
    note = json.loads((tmp_path / "note").read_text())

    assert record["status"] == "JOB_COMPLETED", record["message"]
    assert [name.split("-")[0] for name in note["sent"]] == ["people"]
    assert all(note["sent"].values())
    assert (note["input"], note["bucket"]) == ("", "b")
    assert note["cwd"].endswith("/targets/target-odd")
    assert set(record["metrics"]) == {"recordCount"}


async def test_a_daemon_that_holds_a_targets_output_is_ended(mill: Mill, tmp_path: Path) -> None:
    """
    The job does not wait for it, and it does not outlive the job.
    """
    await flow_into(mill, tmp_path, DAEMON_TARGET)
    record = await mill.run()
    daemon = int((tmp_path / "note").read_text())

    assert record["status"] == "JOB_COMPLETED", record["message"]
    assert not Path(f"/proc/{daemon}").exists()


async def test_a_rerun_from_its_export_goes_on_where_the_target_was_ended(house: House, tmp_path: Path) -> None:
    """
    The target finds its own account of what it had done, beside the output that it is given again.
    """
    earlier = JobRoot(await house.files.obtain("jobs/earlier"))
    earlier.prepare()
    earlier.singer_output.write_text("{}")
    earlier.incremental_target_state.write_text('{"bookmarks": {}}')
    root = JobRoot(tmp_path / "later")
    root.prepare()

    await take_over(Reuse(folder="jobs/earlier", steps=("sync", "etl")), root, house.files)

    assert root.incremental_target_state.read_text() == '{"bookmarks": {}}'
    assert root.singer_output.read_text() == "{}"


async def test_a_rerun_whose_earlier_files_went_while_it_waited_has_failed(mill: Mill, house: House) -> None:
    """
    It would else send nothing, and be green.
    """
    mill.flow()
    await mill.link(TAP)
    await mill.link(TARGET)
    record = await mill.run()
    job = await house.job(UUID(record["task_id"]))
    made = await mill.client.post(f"/api/v1/jobs/{job.id}/rerun", json={"from": "etl"})
    await house.files.remove(folder_of(job.id, job.created_at))
    await mill.work()
    latest = (await mill.client.get(f"{mill.path}/jobs/latest")).json()

    assert made.status_code == 201, made.text
    assert (latest["job_id"], latest["status"]) == (made.json()["public_id"], "ETL_FAILED")
    assert "are gone" in latest["message"]


@row("6.4 re-trigger", "6.1 incremental_target_state.json")
async def test_a_target_finds_its_own_account_and_no_others(mill: Mill, tmp_path: Path) -> None:
    """
    hotglue's SDK skips what stands there as sent: with the account of another target, it would send nothing of that.
    """
    (tmp_path / "account.py").write_text(ACCOUNT_TARGET)
    targets = [
        ConnectorSpec(name=name, kind="target", command=("python", str(tmp_path / "account.py")))
        for name in ("target-a", "target-b")
    ]
    mill.flow(TAP, *targets)
    for connector in (TAP, *targets):
        await mill.link(connector, note=str(tmp_path / "note"))
    record = await mill.run()
    again = await mill.client.post(f"/api/v1/jobs/{UUID(record['task_id'])}/rerun", json={"from": "export"})
    await mill.work()

    assert (record["status"], again.status_code) == ("EXPORT_FAILED", 201)
    assert [json.loads(line) for line in (tmp_path / "note").read_text().splitlines()] == [
        ["target-a", None],
        ["target-b", None],
        ["target-a", "of target-a"],
        ["target-b", "of target-b"],
    ]
