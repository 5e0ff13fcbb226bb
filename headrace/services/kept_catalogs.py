"""
The catalogs of a pipeline's extractors for the worker that runs it: read before a command, written after one that completed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import msgspec

from headrace.core.errors import FencedError, SecretError
from headrace.runners.meltano_catalogs import Catalog
from headrace.services.attempts import Work
from headrace.store import jobs, pipeline_catalogs
from headrace.store.database import Database
from headrace.store.sealing import Sealer


class KeptCatalogs:
    """
    Every method may raise `StoreUnavailableError`; nothing was written then.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def load(self, work: Work, scope: str, digest: str) -> dict[str, Catalog]:
        """
        Give the catalogs that a run with the definition of *digest* discovered, by extractor.
        """
        async with self._database.connection() as connection:
            kept = await pipeline_catalogs.load(connection, work.job.workspace_id, scope, digest)
        found: dict[str, Catalog] = {}
        for extractor, sealed in kept.items():
            with suppress(SecretError):  # its key is gone: it is discovered anew
                found[extractor] = msgspec.convert(self._sealer.open(sealed, _place(work, scope, extractor)), Catalog)
        return found

    async def save(self, work: Work, scope: str, digest: str, catalogs: Mapping[str, Catalog]) -> None:
        """
        Raises:
            FencedError: somebody else owns the attempt.
        """
        if not catalogs:
            return
        sealed = {
            extractor: self._sealer.seal(msgspec.to_builtins(catalog), _place(work, scope, extractor))
            for extractor, catalog in catalogs.items()
        }
        async with self._database.transaction() as connection:
            if (await jobs.standing(connection, work.claim)).fenced:
                raise FencedError("Another worker owns this job now.", job=str(work.job.id))
            await pipeline_catalogs.save(connection, work.job.workspace_id, scope, digest, sealed, job_id=work.job.id)


def _place(work: Work, scope: str, extractor: str) -> str:
    return f"catalog:{work.job.workspace_id}:{scope}:{extractor}"
