"""
The dispatcher: at least once, in order, one endpoint never at the cost of another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from outbox_kit import Outbox, make_dispatcher
from webhook_receiver import Receiver, answering, receiving, silent

from headrace.core.errors import SecretError
from headrace.deliveries.dispatcher import Dispatcher
from headrace.deliveries.webhook import PAUSES_SECONDS, WebhookSender

Tick = Callable[[], Awaitable[None]]


async def test_a_payload_arrives_byte_for_byte(outbox: Outbox, receiver: Receiver, tick: Tick) -> None:
    """
    The bytes that were owed are the bytes that are sent, with their topic and id beside them.
    """
    delivery_id = await outbox.owe(f"{receiver.url}/hook", body=b'{ "a" :"\xc3\xa9"}')

    await tick()

    (request,) = receiver.received
    delivery = await outbox.read(delivery_id)
    assert request.body == b'{ "a" :"\xc3\xa9"}'
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-headrace-topic"] == "SYNC_STARTED"
    assert request.headers["webhook-id"] == str(delivery_id)
    assert (delivery.state, delivery.last_status, delivery.last_error) == ("delivered", 200, None)
    assert delivery.finished_at is not None


async def test_a_receiver_that_is_down_is_tried_again_until_it_is_back(
    outbox: Outbox, receiver: Receiver, tick: Tick
) -> None:
    """
    After each failure comes the pause of the table; after recovery the payload arrives once more under its own id.
    """
    receiver.behave = answering(500)
    delivery_id = await outbox.owe(receiver.url)
    for pause_seconds in PAUSES_SECONDS[:3]:
        await outbox.make_due()
        await tick()
        assert (await outbox.pause_of(delivery_id)).total_seconds() == pytest.approx(pause_seconds, abs=3)
    receiver.behave = answering(204)
    await outbox.make_due()

    await tick()
    await tick()

    delivery = await outbox.read(delivery_id)
    assert delivery.state == "delivered"
    assert [one.headers["x-headrace-attempt"] for one in receiver.received] == ["1", "2", "3", "4"]
    assert {one.headers["webhook-id"] for one in receiver.received} == {str(delivery_id)}


async def test_nothing_listening_is_a_failure_like_any(outbox: Outbox, tick: Tick) -> None:
    """
    A refused connection leaves the payload owed, with a sentence that names no address.
    """
    async with receiving() as gone:
        url = gone.url
    delivery_id = await outbox.owe(url)

    await tick()

    delivery = await outbox.read(delivery_id)
    assert delivery.state == "pending"
    assert delivery.last_error == "The receiver could not be connected to."


async def test_the_last_failure_gives_up(outbox: Outbox, receiver: Receiver, tick: Tick) -> None:
    """
    A payload is tried ten times, then it is failed for good.
    """
    receiver.behave = answering(500)
    delivery_id = await outbox.owe(receiver.url)
    for _ in range(len(PAUSES_SECONDS) + 3):
        await outbox.make_due()
        await tick()

    delivery = await outbox.read(delivery_id)
    assert len(receiver.received) == len(PAUSES_SECONDS) + 1
    assert (delivery.state, delivery.last_status) == ("failed", 500)
    assert delivery.last_error == "The receiver answered 500 Internal Server Error."


async def test_gone_is_never_asked_again(outbox: Outbox, receiver: Receiver, tick: Tick) -> None:
    """
    410 fails the payload at once.
    """
    receiver.behave = answering(410)
    delivery_id = await outbox.owe(receiver.url)

    await tick()

    assert (await outbox.read(delivery_id)).state == "failed"


async def test_retry_after_is_waited_for(outbox: Outbox, receiver: Receiver, tick: Tick) -> None:
    """
    A receiver that asks for time gets it.
    """
    receiver.behave = answering(429, Retry_After="3600")
    delivery_id = await outbox.owe(receiver.url)

    await tick()

    assert (await outbox.pause_of(delivery_id)).total_seconds() == pytest.approx(3600, abs=3)


async def test_one_jobs_payloads_arrive_in_order(outbox: Outbox, receiver: Receiver, tick: Tick) -> None:
    """
    While the first payload of a job is owed to an endpoint, the second is not sent there.
    """
    job_id = await outbox.add_job()
    receiver.behave = answering(503)
    first = await outbox.owe(receiver.url, job_id=job_id)
    second = await outbox.owe(receiver.url, job_id=job_id)
    await tick()
    await tick()
    receiver.behave = None
    await outbox.make_due()

    await tick()
    await tick()

    assert [one.headers["webhook-id"] for one in receiver.received] == [str(first), str(first), str(second)]


async def test_another_jobs_payloads_do_not_wait(outbox: Outbox, receiver: Receiver, tick: Tick) -> None:
    """
    Order is kept inside a job; a failing payload of one job holds up no other job.
    """
    refused = await outbox.owe(receiver.url, job_id=await outbox.add_job())
    receiver.behave = answering(500)
    await tick()
    receiver.behave = None
    other = await outbox.owe(receiver.url, job_id=await outbox.add_job())

    await tick()

    assert (await outbox.read(other)).state == "delivered"
    assert (await outbox.read(refused)).state == "pending"


async def test_a_payload_given_up_lets_the_next_go(outbox: Outbox, receiver: Receiver, tick: Tick) -> None:
    """
    When a job's first payload has failed for good, its second comes due at once.
    """
    job_id = await outbox.add_job()
    receiver.behave = answering(410)
    await outbox.owe(receiver.url, job_id=job_id)
    second = await outbox.owe(receiver.url, job_id=job_id)
    await tick()
    receiver.behave = None

    await tick()

    assert (await outbox.read(second)).state == "delivered"


async def test_a_slow_endpoint_delays_nobody(outbox: Outbox, receiver: Receiver, sender: WebhookSender) -> None:
    """
    However much is owed to an endpoint that does not answer, another one's payload goes at once.
    """
    async with receiving(silent) as slow:
        for _ in range(50):
            await outbox.owe(slow.url)
        dispatcher = make_dispatcher(outbox, sender, concurrency=8, per_host=3)
        running = asyncio.create_task(dispatcher.run())
        await slow.has_received(3)
        await outbox.owe(receiver.url)
        dispatcher.wake()

        await receiver.has_received(1)

        assert slow.most_under_way == 3
        slow.released.set()
        await slow.has_received(50)
        running.cancel()
        await asyncio.wait([running])
        assert slow.most_under_way == 3


@pytest.mark.parametrize("rounds", range(6))
async def test_a_dispatcher_that_is_woken_and_ended_at_once_ends(
    outbox: Outbox, sender: WebhookSender, rounds: int
) -> None:
    """
    However many rounds of the loop lie between the two: an end that is lost would leave the server hanging when it stops.
    """
    dispatcher = make_dispatcher(outbox, sender, concurrency=8, per_host=3)
    running = asyncio.create_task(dispatcher.run())
    await asyncio.wait([running], timeout=0.2)  # it looks, and sleeps until it is woken

    dispatcher.wake()
    for _ in range(rounds):
        await asyncio.sleep(0)
    running.cancel()

    ended, _ = await asyncio.wait([running], timeout=60)
    running.cancel()
    assert ended


async def test_all_urls_of_one_host_share_its_bound(outbox: Outbox, sender: WebhookSender) -> None:
    """
    A host is held to its bound however many endpoints it has.
    """
    async with receiving(silent) as slow:
        for number in range(12):
            await outbox.owe(f"{slow.url}/{number}")
        dispatcher = make_dispatcher(outbox, sender, concurrency=8, per_host=2)

        begun = [await dispatcher.tick(), await dispatcher.tick()]

        await slow.has_received(2)
        slow.released.set()
        await dispatcher.settled()
        assert begun == [2, 0]


async def test_what_a_dead_sender_took_is_sent_again(outbox: Outbox, receiver: Receiver, sender: WebhookSender) -> None:
    """
    A lease that ran out makes its payload due again, under the same id.
    """
    delivery_id = await outbox.owe(receiver.url)
    await outbox.deliveries.take_due(limit=1, lease=timedelta(seconds=60))
    dispatcher = make_dispatcher(outbox, sender)
    assert await dispatcher.tick() == 0
    await outbox.lose_leases()

    assert await dispatcher.tick() == 1

    await dispatcher.settled()
    assert (await outbox.read(delivery_id)).state == "delivered"


async def test_a_sender_that_lost_its_lease_writes_nothing(outbox: Outbox) -> None:
    """
    Only the last try's ending counts.
    """
    delivery_id = await outbox.owe("http://127.0.0.1:8450/")
    (first,) = await outbox.deliveries.take_due(limit=1, lease=timedelta(seconds=60))
    await outbox.lose_leases()
    await outbox.deliveries.take_due(limit=1, lease=timedelta(seconds=60))

    await outbox.deliveries.settle(first, state="failed", status=None, error="late")

    assert (await outbox.read(delivery_id)).state == "pending"


async def test_many_dispatchers_send_each_payload_once(
    outbox: Outbox, receiver: Receiver, sender: WebhookSender
) -> None:
    """
    Nodes that look at the same moment take different payloads.
    """
    for _ in range(30):
        await outbox.owe(receiver.url)
    dispatchers = [make_dispatcher(outbox, sender, per_host=10) for _ in range(3)]

    for _ in range(4):
        await asyncio.gather(*(dispatcher.tick() for dispatcher in dispatchers))
        await asyncio.gather(*(dispatcher.settled() for dispatcher in dispatchers))

    ids = [one.headers["webhook-id"] for one in receiver.received]
    assert len(ids) == len(set(ids)) == 30


async def test_no_try_outlives_its_lease(outbox: Outbox, sender: WebhookSender) -> None:
    """
    Whatever a sender does, its try has ended before another may begin.
    """
    async with receiving(silent) as slow:
        delivery_id = await outbox.owe(slow.url)
        dispatcher = make_dispatcher(outbox, sender, lease=timedelta(seconds=1))
        await dispatcher.tick()
        await dispatcher.settled()

    assert (await outbox.read(delivery_id)).last_error == "The try was ended after 0.8 s."


async def test_an_unreadable_secret_leaves_the_payload_owed(
    outbox: Outbox, receiver: Receiver, sender: WebhookSender
) -> None:
    """
    Nothing is sent unsigned because its secret could not be opened.
    """

    async def secrets_of(_workspace_id: object, _url: str) -> str:
        raise SecretError("A stored secret cannot be opened with the keys of this server.")

    delivery_id = await outbox.owe(receiver.url)
    dispatcher = make_dispatcher(outbox, sender, secrets_of=secrets_of)
    await dispatcher.tick()
    await dispatcher.settled()

    delivery = await outbox.read(delivery_id)
    assert receiver.received == []
    assert delivery.state == "pending"
    assert delivery.last_error == "A stored secret cannot be opened with the keys of this server."


async def test_a_receivers_failure_never_touches_the_job(outbox: Outbox, receiver: Receiver, tick: Tick) -> None:
    """
    A delivery that is given up leaves its job exactly as it was.
    """
    job_id = await outbox.add_job()
    before = await outbox.database.one("select * from job where id = %(id)s", {"id": job_id})
    receiver.behave = answering(410)
    await outbox.owe(receiver.url, job_id=job_id)

    await tick()

    assert await outbox.database.one("select * from job where id = %(id)s", {"id": job_id}) == before


async def test_it_knows_how_long_nothing_will_be_due(outbox: Outbox, receiver: Receiver, tick: Tick) -> None:
    """
    What waits behind a payload that failed does not count as due.
    """
    assert await outbox.deliveries.seconds_to_next() is None
    job_id = await outbox.add_job()
    receiver.behave = answering(500)
    await outbox.owe(receiver.url, job_id=job_id)
    await outbox.owe(receiver.url, job_id=job_id)
    assert await outbox.deliveries.seconds_to_next() == 0

    await tick()

    seconds = await outbox.deliveries.seconds_to_next()
    assert seconds == pytest.approx(PAUSES_SECONDS[0], abs=3)


async def test_stopping_lets_tries_end_first(outbox: Outbox, sender: WebhookSender) -> None:
    """
    A try under way at shutdown is still written down.
    """
    async with receiving(silent) as slow:
        delivery_id = await outbox.owe(slow.url)
        dispatcher: Dispatcher = make_dispatcher(outbox, sender)
        running = asyncio.create_task(dispatcher.run())
        await slow.has_received(1)
        running.cancel()
        slow.released.set()
        await asyncio.wait([running])

    assert (await outbox.read(delivery_id)).state == "delivered"


async def test_the_pause_is_spread_by_chance(outbox: Outbox, receiver: Receiver, sender: WebhookSender) -> None:
    """
    What failed together does not come back together: a tenth of the pause, either way.
    """
    receiver.behave = answering(500)
    delivery_id = await outbox.owe(receiver.url)
    await outbox.database.run("update delivery set attempts = 3")
    dispatcher = make_dispatcher(outbox, sender, chance=lambda: 1.0)
    await dispatcher.tick()
    await dispatcher.settled()

    due_at = (await outbox.read(delivery_id)).due_at
    assert (due_at - datetime.now(UTC)).total_seconds() == pytest.approx(PAUSES_SECONDS[3] * 1.1, abs=5)
