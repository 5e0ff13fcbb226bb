"""
An outbox with a workspace in it, and a dispatcher that may send to loopback.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from outbox_kit import Outbox, make_dispatcher
from webhook_receiver import Receiver, receiving

from headrace.deliveries.dispatcher import Dispatcher
from headrace.deliveries.webhook import WebhookSender
from headrace.store.database import Database, migrate
from headrace.store.deliveries import Deliveries


@pytest.fixture
async def outbox(database_url: str) -> AsyncIterator[Outbox]:
    await migrate(database_url)
    database = Database(database_url, size=4)
    await database.open()
    workspace_id = uuid4()
    await database.run("insert into workspace (id, name) values (%(id)s, 'demo')", {"id": workspace_id})
    yield Outbox(database, workspace_id, Deliveries(database))
    await database.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def sender() -> AsyncIterator[WebhookSender]:
    sender = WebhookSender(timeout_seconds=5, private_networks=True, now=lambda: datetime.now(UTC))
    yield sender
    await sender.close()


@pytest.fixture
async def dispatcher(outbox: Outbox, sender: WebhookSender) -> AsyncIterator[Dispatcher]:
    dispatcher = make_dispatcher(outbox, sender)
    yield dispatcher
    await dispatcher.settled()


Tick = Callable[[], Awaitable[None]]


@pytest.fixture
def tick(dispatcher: Dispatcher) -> Tick:
    """
    Look once, and wait for the tries that this began.
    """

    async def tick() -> None:
        await dispatcher.tick()
        await dispatcher.settled()

    return tick
