"""
Job logs: compressed chunks in the file store, their line ranges in the database.

A chunk is gzip over JSON lines, so that the file of a finished job can be read with any tool.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from headrace.store.database import Database
from headrace.store.files import FileStore


@dataclass(frozen=True, slots=True)
class LogEntry:
    """
    One line of a job's log.

    Attributes:
        number: from 1, without gaps, over all stages of the job.
        stream: which child and which of its outputs, such as `tap.stderr`.
    """

    number: int
    at: datetime
    stage: str
    stream: str
    text: str


JOB: Final = -1
"""In the place of an item's ordinal: the log of the job itself. Items have logs of their own, with line numbers of their own."""


class Logs:
    """
    Appends and reads the logs of jobs, and of the items of jobs.
    """

    def __init__(self, database: Database, files: FileStore) -> None:
        self._database = database
        self._files = files

    async def last_line(self, job_id: UUID, *, step: int = JOB) -> tuple[int, int]:
        """
        Give the number of the last chunk and of the last line; both 0 for an empty log.
        """
        row = await self._database.one(
            """
            select seq, first_line + line_count - 1 as line from log_chunk
            where job_id = %(id)s and step = %(step)s order by seq desc limit 1
            """,
            {"id": job_id, "step": step},
        )
        return (row["seq"], row["line"]) if row else (0, 0)

    async def append(
        self, job_id: UUID, seq: int, entries: Sequence[LogEntry], *, step: int = JOB, token: int = 0
    ) -> None:
        """
        Keep *entries* as chunk *seq*, once; nothing of an attempt that is not the job's, or the item's, any more.

        *token* is the fencing token of the attempt whose lines they are, 0 before the first. Each attempt writes files of its own.
        """
        data = await asyncio.to_thread(_pack, entries)
        folder = f"logs/{job_id}" if step == JOB else f"logs/{job_id}/items/{step}"
        path = f"{folder}/{seq:06d}-{token}.jsonl.gz"
        await self._files.put(path, data)
        await self._database.run(
            """
            insert into log_chunk (job_id, step, seq, first_line, line_count, bytes, path, first_at, last_at)
            select %(job_id)s, %(step)s, %(seq)s, %(first_line)s, %(line_count)s, %(bytes)s, %(path)s, %(first_at)s, %(last_at)s
            where %(token)s = case when %(step)s < 0 then (select attempt from job where id = %(job_id)s)
                              else (select attempt from step where job_id = %(job_id)s and ordinal = %(step)s) end
            on conflict do nothing
            """,
            {
                "job_id": job_id,
                "step": step,
                "seq": seq,
                "token": token,
                "first_line": entries[0].number,
                "line_count": len(entries),
                "bytes": len(data),
                "path": path,
                "first_at": entries[0].at,
                "last_at": entries[-1].at,
            },
        )

    async def read(self, job_id: UUID, *, after: int = 0, limit: int = 1000, step: int = JOB) -> list[LogEntry]:
        """
        Read the lines with numbers above *after*, at most *limit*.
        """
        chunks = await self._database.all(
            """
            select path from log_chunk where job_id = %(id)s and step = %(step)s and first_line + line_count - 1 > %(after)s
            order by seq limit 64
            """,
            {"id": job_id, "step": step, "after": after},
        )
        found: list[LogEntry] = []
        for chunk in chunks:
            data = await self._files.get(chunk["path"])
            if data is not None:
                found += [entry for entry in await asyncio.to_thread(_unpack, data) if entry.number > after]
            if len(found) >= limit:
                break
        return found[:limit]


def _pack(entries: Sequence[LogEntry]) -> bytes:
    return gzip.compress(b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries), compresslevel=1, mtime=0)


def _unpack(data: bytes) -> list[LogEntry]:
    return msgspec.json.Decoder(LogEntry).decode_lines(gzip.decompress(data))
