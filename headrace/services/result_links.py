"""
Addresses under which a job's results can be fetched for a while by whoever knows them.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from headrace.core.errors import NotFoundError, SecretError
from headrace.store.sealing import Sealer

_PLACE = "result-link"


class ResultLinks:
    """
    Tokens that name a job and an end; sealed, so that nobody else can make one.

    Args:
        now: the current time, aware UTC.
        lifetime: how long a token is good for.
    """

    def __init__(
        self, sealer: Sealer, *, now: Callable[[], datetime], lifetime: timedelta = timedelta(hours=1)
    ) -> None:
        self._sealer = sealer
        self._now = now
        self._lifetime = lifetime

    def issue(self, job_id: UUID) -> tuple[str, datetime]:
        """
        Make a token, and say when it expires.
        """
        expires_at = self._now() + self._lifetime
        sealed = self._sealer.seal([str(job_id), expires_at.timestamp()], _PLACE)
        return urlsafe_b64encode(sealed).rstrip(b"=").decode(), expires_at

    def open(self, token: str) -> UUID:
        """
        Give the job that a token is for.

        Raises:
            NotFoundError: it is no token of this server, or has expired.
        """
        try:
            job_id, expires = self._sealer.open(urlsafe_b64decode(token + "=" * (-len(token) % 4)), _PLACE)
        except (ValueError, SecretError):
            raise _gone() from None
        if self._now().timestamp() > expires:
            raise _gone()
        return UUID(job_id)


def _gone() -> NotFoundError:
    return NotFoundError("The address of these results is not known, or has expired.", "Get the job run again.")
