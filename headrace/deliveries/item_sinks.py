"""
Outcomes of items to the sinks of their jobs: a webhook with headers of its own, or an object in a bucket. The notifications that a job
names are sent like its webhook.

Tries follow the table that Intuned documents for its sinks (2026): the first pause is 10 s, each is twice the one before and at most 2 min,
until an hour (webhook) or ten minutes (bucket) have been waited. Any 2xx is success; no answer of the receiver's ends the tries early.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from headrace.deliveries.dispatcher import by_table
from headrace.deliveries.s3 import Bucket, S3Sender
from headrace.deliveries.webhook import Answer, WebhookSender
from headrace.store.deliveries import Delivery

FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(minutes=2)
WINDOWS = {"webhook": timedelta(hours=1), "notification": timedelta(hours=1), "s3": timedelta(minutes=10)}
"""For how long a delivery is tried again, by the kind of sink."""

_REFUSED = Answer(error="The sink of the job is not known any more.", final=True)


class Senders:
    """
    Sends each delivery the way of its sink.

    Args:
        webhooks: for webhooks of workspaces, and those of jobs.
        buckets: for objects.
        sink_of: opens the sink that came with a job, or the notification of the name that is given besides: `headers` of a webhook, or the fields of a `Bucket`; None when the job is gone.
        corrected: opens what the sink of that address is now, after it was refused; None when there is no such sink any more.
    """

    def __init__(
        self,
        webhooks: WebhookSender,
        buckets: S3Sender,
        sink_of: Callable[[UUID, str | None], Awaitable[dict[str, Any] | None]],
        corrected: Callable[[UUID, str], Awaitable[dict[str, Any] | None]],
    ) -> None:
        self._webhooks = webhooks
        self._buckets = buckets
        self._sink_of = sink_of
        self._corrected = corrected

    async def send(self, delivery: Delivery, *, secrets: str) -> Answer:
        """
        Make one try.
        """
        kind = kind_of(delivery)
        if kind is None:
            return await self._webhooks.send(delivery, secrets=secrets)
        name = delivery.sink.partition(":")[2] if kind == "notification" else None
        sink = await self._sink_of(delivery.job_id, name) if delivery.job_id else None
        if sink is None or delivery.job_id is None:
            return _REFUSED
        answer = await self._try(delivery, secrets, sink)
        if name is None and answer.sink_refused:
            now = await self._corrected(delivery.job_id, delivery.url)
            # Another endpoint may be another's server: what was to go to this one does not go there.
            if now is not None and now != sink and now.get("endpoint") == sink.get("endpoint"):
                return await self._try(delivery, secrets, now)
        return answer

    async def _try(self, delivery: Delivery, secrets: str, sink: dict[str, Any]) -> Answer:
        if kind_of(delivery) != "s3":
            return await self._webhooks.send(delivery, secrets=secrets, headers=sink.get("headers"))
        bucket = Bucket(**sink)
        return await self._buckets.put(bucket, delivery.url.removeprefix(f"s3://{bucket.name}/"), delivery.body)


def kind_of(delivery: Delivery) -> str | None:
    """
    Tell `webhook`, `s3` and `notification` apart; None for what is not an item's outcome.
    """
    scheme = delivery.sink.partition(":")[0]
    return scheme.removeprefix("item-") if scheme.startswith("item-") else None


def pause_of(delivery: Delivery, answer: Answer, chance: float) -> timedelta | None:
    """
    Say how long to wait after a failed try; None gives the delivery up.
    """
    kind = kind_of(delivery)
    if kind is None:
        return by_table(delivery, answer, chance)
    waited, pause = timedelta(), timedelta()
    for _ in range(delivery.attempts):
        waited += pause
        pause = min(LONGEST_PAUSE, pause * 2) if pause else FIRST_PAUSE
    refused = answer.final and answer.status is None
    if refused or waited + pause > WINDOWS[kind]:
        return None
    return pause
