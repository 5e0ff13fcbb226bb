"""
Backup of a live database and its files, and the empty home that is made out of it.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from house import House, open_house

from headrace.core.errors import ConflictError, HeadraceError, InvalidError, NotFoundError
from headrace.store.backup import Manifest, restore_backup, write_backup
from headrace.store.connections import Connections
from headrace.store.database import Database
from headrace.store.embedded import EmbeddedPostgres
from headrace.store.files import FileStore
from headrace.store.job_reads import history
from headrace.store.sealing import Sealer, new_key, parse_keys

USER = "nobody" if os.getuid() == 0 else None
CONFIG = {"token": "sealed-in-the-backup"}


@pytest.fixture
def ground() -> Iterator[Path]:
    """
    A folder that the database's user may pass through.
    """
    path = Path(tempfile.mkdtemp(prefix="headrace-test-", dir="/tmp"))
    path.chmod(0o711)
    (path / "home").mkdir(mode=0o711)
    yield path
    shutil.rmtree(path)


async def _fill(house: House, key: str) -> str:
    connections = Connections(house.database, Sealer(parse_keys(key)))
    async with house.database.transaction() as connection:
        await connections.declare(
            connection, house.workspace.id, workspace_id=house.workspace.id, flow_id="flights", tenant="acme",
            role="source", connector="tap-flights", config=CONFIG, digest=None,
        )  # fmt: skip
    await house.files.put("jobs/2026/01/01/x/etl-output/data.singer", b"{}")
    return str((await house.submit()).id)


async def _back_up(ground: Path, tmp_path: Path, url: str, keys: Path | None) -> Manifest:
    return await write_backup(
        ground / "backup.tar",
        url=url,
        files=tmp_path / "files",
        keys=keys,
        bin_dir=None,
        version="1",
        now=datetime.now(UTC),
    )


async def _restore(ground: Path, **options: Any) -> Manifest:
    return await restore_backup(
        ground / "backup.tar", ground / "home", **{"keys": None, "bin_dir": None, "user": USER, **options}
    )


async def test_history_files_and_secrets_come_back_into_an_empty_home(
    database_url: str, tmp_path: Path, ground: Path
) -> None:
    """
    Out of a database that is in use; the file is nobody else's to read. Without the keys they have to be named.
    """
    keys = tmp_path / "secret.keys"
    keys.write_text(new_key())
    async with open_house(database_url, tmp_path) as house:
        job_id = await _fill(house, keys.read_text())
        made = await _back_up(ground, tmp_path, database_url, None)
        workspace_id = house.workspace.id
    with pytest.raises(NotFoundError, match="holds no keys"):
        await _restore(ground)
    left = list((ground / "home").iterdir())

    await _restore(ground, keys=keys)

    assert (made.keys, made.files) == (False, 1)
    assert stat.S_IMODE((ground / "backup.tar").stat().st_mode) == 0o600
    assert left == []
    home = ground / "home"
    postgres = EmbeddedPostgres(home / "postgres", user=USER)
    database = Database(await postgres.start(), size=1)
    try:
        await database.open()
        connections = Connections(database, Sealer(parse_keys((home / "secret.keys").read_text())))
        (linked,) = await connections.of_tenant(workspace_id, "acme", "flights")
        assert linked.config == CONFIG
        assert [str(job.id) for job in await history(database, workspace_id)] == [job_id]
    finally:
        await database.close()
        await postgres.stop()
    files = FileStore(str(home / "files"), scratch=home / "scratch")
    assert await files.get("jobs/2026/01/01/x/etl-output/data.singer") == b"{}"


async def test_the_keys_are_in_a_backup_only_when_told_so(database_url: str, tmp_path: Path, ground: Path) -> None:
    keys = tmp_path / "secret.keys"
    keys.write_text(new_key())
    (tmp_path / "files").mkdir()

    await _back_up(ground, tmp_path, database_url, keys)

    with tarfile.open(ground / "backup.tar") as archive:
        assert archive.getnames() == ["manifest.json", "database.dump", "secret.keys"]
    with pytest.raises(ConflictError, match="exists"):
        await _back_up(ground, tmp_path, database_url, keys)


@pytest.mark.parametrize("content", [b"", b"no tar", b"\0" * 10240])
async def test_what_is_no_backup_leaves_the_home_as_it_was(ground: Path, content: bytes) -> None:
    (ground / "backup.tar").write_bytes(content)

    with pytest.raises(InvalidError):
        await _restore(ground)

    assert list((ground / "home").iterdir()) == []


async def test_a_home_with_something_in_it_is_left_alone(ground: Path) -> None:
    (ground / "home" / "admin.key").write_text("mine")

    with pytest.raises(ConflictError, match="not empty"):
        await _restore(ground)

    assert (ground / "home" / "admin.key").read_text() == "mine"


async def test_a_database_that_does_not_answer_leaves_no_file(tmp_path: Path, ground: Path) -> None:
    with pytest.raises(HeadraceError, match="pg_dump failed"):
        await _back_up(ground, tmp_path, f"postgresql://nobody@/none?host={ground}", None)

    assert [path.name for path in ground.iterdir()] == ["home"]
