"""
Keys of sinks that were wrong when a job run began, and have been corrected in its job since.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from headrace.core.errors import NotFoundError
from headrace.dialects.intuned.compile import sealed_sink
from headrace.dialects.intuned.run import shown_of
from headrace.dialects.intuned.secrets import opened
from headrace.dialects.intuned.wire import WebhookSink
from headrace.services.batches import Batches
from headrace.services.jobs import Jobs


class CorrectedSinks:
    """
    Opens what the job of a job run says of its sink now.
    """

    def __init__(self, jobs: Jobs, batches: Batches) -> None:
        self._jobs = jobs
        self._batches = batches

    async def __call__(self, job_id: UUID, url: str) -> dict[str, Any] | None:
        """
        Give what belongs to the webhook *url*, or to the bucket whose name it begins with; None when the job is gone or names another sink.
        """
        try:
            run = await self._jobs.get(job_id, workspace_id=None)
            batch = await self._batches.get(run.workspace_id, run.tenant, str(run.details.get("job")))
        except NotFoundError:
            return None
        sink = opened(shown_of(batch), batch.secrets).sink
        if sink is None or run.details.get("batch") != str(batch.id):
            return None
        same = url == sink.url if isinstance(sink, WebhookSink) else url.startswith(f"s3://{sink.bucket}/")
        return sealed_sink(sink) if same else None
