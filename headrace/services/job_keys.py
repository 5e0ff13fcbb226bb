"""
Keys for the children of a job: they open the job's own workspace for as long as that attempt runs.

Nothing is stored: a key is a sealed note of job and attempt, and whether the attempt still runs is asked when it is used.
"""

from __future__ import annotations

import base64
import binascii
from uuid import UUID

import msgspec

from headrace.core.actor import Actor
from headrace.core.errors import SecretError
from headrace.store.database import Database
from headrace.store.jobs import Claim
from headrace.store.sealing import Sealer

PREFIX = "hrj_"
_PLACE = "job-key"


class JobKeys:
    """
    Makes keys for attempts, and tells who holds one.
    """

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    def make(self, claim: Claim) -> str:
        """
        Make the key of one attempt.
        """
        sealed = self._sealer.seal({"job": str(claim.job_id), "attempt": claim.token}, _PLACE)
        return PREFIX + base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    async def holder(self, key: str) -> Actor | None:
        """
        Tell who holds a key; None when it is none of ours, or its attempt runs no more.
        """
        note = self._open(key)
        if note is None:
            return None
        row = await self._database.one(
            "select workspace_id, name from job where id = %(job)s and attempt = %(attempt)s and state = 'running'",
            note,
        )
        if row is None:
            return None
        return Actor(UUID(note["job"]), f"job {row['name']}", "environment", row["workspace_id"], of_job=True)

    def _open(self, key: str) -> dict[str, str] | None:
        if not key.startswith(PREFIX):
            return None
        text = key.removeprefix(PREFIX)
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            note: dict[str, str] = self._sealer.open(sealed, _PLACE)
        except (binascii.Error, ValueError, SecretError, msgspec.DecodeError):
            return None
        return note
