"""
What `headrace.core.queue` promises, with one worker in this process.

`test_queue_drills.py` holds the same promises while processes and the database die.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from engine_drill import DEADLINE_SECONDS, LISTENING, until, value
from psycopg_pool import AsyncConnectionPool

from headrace.core.errors import FencedError
from headrace.core.queue import Claim, Ticket
from headrace.engine.liveness import Liveness, boot_seconds
from headrace.engine.procrastinate import Node, ProcrastinateQueue, open_pool

Connection = psycopg.AsyncConnection[Any]
Working = Callable[..., Any]

QUEUED = "SELECT count(*) FROM procrastinate_jobs"
TAKEN = """
    SELECT args ->> 'job_id' FROM procrastinate_jobs WHERE status = 'doing' AND args ->> 'job_id' NOT IN ('a', 'b')
    ORDER BY priority DESC, id
"""
EMPTY = "SELECT count(*) = 0 FROM procrastinate_jobs"


class Recorder:
    """
    A handler that notes what it was given, and holds it while its gate is shut.
    """

    def __init__(self, *, open_gate: bool = True) -> None:
        self.events: list[tuple[str, str]] = []
        self.tickets: list[Ticket] = []
        self.claims: list[Claim] = []
        self.gate = asyncio.Event()
        self._changed = asyncio.Condition()
        if open_gate:
            self.gate.set()

    async def __call__(self, ticket: Ticket, claim: Claim) -> None:
        self.tickets.append(ticket)
        self.claims.append(claim)
        await self._note("start", ticket)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            await self._note("cancelled", ticket)
            raise
        await self._note("end", ticket)

    async def _note(self, what: str, ticket: Ticket) -> None:
        self.events.append((what, ticket.job_id))
        async with self._changed:
            self._changed.notify_all()

    async def seen(self, what: str, times: int = 1) -> None:
        def enough() -> bool:
            return sum(event == what for event, _ in self.events) >= times

        async with asyncio.timeout(DEADLINE_SECONDS), self._changed:
            await self._changed.wait_for(enough)


async def test_a_rolled_back_put_leaves_nothing(queue: ProcrastinateQueue, connection: Connection) -> None:
    """
    Tickets live and die with the transaction that put them.
    """
    await queue.put(connection, [Ticket("a", 1), Ticket("b", 1)])
    await connection.rollback()

    assert await value(connection, QUEUED) == 0


async def test_a_ticket_arrives_as_it_was_put_and_is_gone_when_its_handler_returns(
    queue: ProcrastinateQueue, connection: Connection, working: Working, url: str
) -> None:
    """
    Nothing of a ticket is changed on its way, and none is left behind.
    """
    tickets = [Ticket("a", 1), Ticket("b", 7, "lane", 5, 12), Ticket("c", 2, "other", -1)]
    record = Recorder()
    async with working(record):
        await queue.put(connection, tickets)
        await connection.commit()
        await record.seen("end", 3)
        await until(url, EMPTY)

    assert sorted(record.tickets, key=lambda ticket: ticket.job_id) == tickets


@pytest.mark.parametrize("settles", [True, False])
async def test_a_lane_is_a_chain(
    queue: ProcrastinateQueue, connection: Connection, working: Working, url: str, *, settles: bool
) -> None:
    """
    One lane runs one ticket at a time in the order put, each woken by the end of the one before.
    """
    record = Recorder()

    async def handle(ticket: Ticket, claim: Claim) -> None:
        await record(ticket, claim)
        if settles:
            async with await psycopg.AsyncConnection.connect(url) as own:
                await claim.settle(own)

    names = [f"{number:02}" for number in range(20)]
    async with working(handle):
        for name in names:
            await queue.put(connection, [Ticket(name, 1, "lane")])
            await connection.commit()
        await record.seen("end", 20)

    assert record.events == [(what, name) for name in names for what in ("start", "end")]


async def test_a_lane_that_is_held_keeps_no_other_lane_waiting(
    queue: ProcrastinateQueue, connection: Connection, working: Working
) -> None:
    """
    Only tickets of the same lane wait for each other; those without a lane wait for nobody.
    """
    record = Recorder(open_gate=False)
    async with working(record):
        await queue.put(connection, [Ticket("a1", 1, "a"), Ticket("a2", 1, "a"), Ticket("b", 1, "b"), Ticket("c", 1)])
        await connection.commit()
        await record.seen("start", 3)
        held = [name for _, name in record.events]
        record.gate.set()
        await record.seen("end", 4)

    assert sorted(held) == ["a1", "b", "c"]


async def test_urgent_tickets_pass_a_backlog(
    queue: ProcrastinateQueue, connection: Connection, working: Working
) -> None:
    """
    Twenty urgent tickets of their own lanes start before ten thousand others that were there first.
    """
    record = Recorder(open_gate=False)
    async with working(record, slots=2):
        await queue.put(connection, [Ticket(f"b{number}", 1, f"lane {number}") for number in range(10_000)])
        await connection.commit()
        await record.seen("start", 2)
        await queue.put(connection, [Ticket(f"u{number}", 1, f"urgent {number}", 100) for number in range(20)])
        await connection.commit()
        record.gate.set()
        await record.seen("start", 22)
        await connection.execute("DELETE FROM procrastinate_jobs WHERE status = 'todo'")
        await connection.commit()
    started = [name for what, name in record.events if what == "start"]

    assert started[2:22] == [f"u{number}" for number in range(20)]


async def test_only_a_ticket_that_nobody_fetched_can_be_revoked(
    queue: ProcrastinateQueue, connection: Connection, working: Working
) -> None:
    """
    Revoking gives back what it took, and leaves a ticket in hand alone.
    """
    record = Recorder(open_gate=False)
    async with working(record):
        await queue.put(connection, [Ticket("a", 1, "lane"), Ticket("b", 3, "lane", 2, 0), Ticket("b", 3, None, 2, 1)])
        await connection.commit()
        await record.seen("start", 2)  # by priority b's: the first holds the lane
        in_hand = await queue.revoke(connection, "b")
        waiting = await queue.revoke(connection, "a")
        await connection.commit()
        record.gate.set()

    assert in_hand == []
    assert waiting == [Ticket("a", 1, "lane")]
    assert ("start", "a") not in record.events


async def test_a_revocation_lets_the_next_of_the_lane_go(
    queue: ProcrastinateQueue, connection: Connection, working: Working
) -> None:
    """
    A revoked ticket stands in nobody's way, and one whose revocation is rolled back still goes.
    """
    record = Recorder()
    await queue.put(connection, [Ticket("a", 1, "lane"), Ticket("b", 1, "lane")])
    await connection.commit()
    await queue.revoke(connection, "a")
    async with working(record, poll_seconds=0.1):  # a rollback announces nothing
        await connection.commit()
        await record.seen("end")
        await queue.put(connection, [Ticket("c", 1)])
        await queue.revoke(connection, "c")
        await connection.rollback()
        await queue.put(connection, [Ticket("d", 1)])
        await connection.commit()
        await record.seen("end", 2)

    assert [ticket.job_id for ticket in record.tickets] == ["b", "d"]


async def test_a_ticket_whose_handler_fails_comes_back(
    queue: ProcrastinateQueue, connection: Connection, working: Working, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    """
    A handler that raises loses nothing: its ticket comes again after a pause, before others of its lane.
    """
    record = Recorder()

    async def handle(ticket: Ticket, claim: Claim) -> None:
        await record(ticket, claim)
        if len(record.tickets) == 1:
            raise ValueError("not now")

    async with working(handle, poll_seconds=0.2):
        await queue.put(connection, [Ticket("a", 1, "lane"), Ticket("b", 1, "lane")])
        await connection.commit()
        await record.seen("end", 3)
        await until(url, EMPTY)

    assert [ticket.job_id for ticket in record.tickets] == ["a", "a", "b"]
    assert "The handler of job a failed" in caplog.text


async def test_a_drain_waits_for_handlers_and_fetches_nothing_more(
    queue: ProcrastinateQueue, connection: Connection, working: Working, url: str
) -> None:
    """
    A worker that is asked to stop offers no slots, finishes what it has and leaves the rest.
    """
    record = Recorder(open_gate=False)
    async with working(record) as stop:
        await queue.put(connection, [Ticket("a", 1, "lane"), Ticket("b", 1, "lane")])
        await connection.commit()
        await record.seen("start")
        stop.set()
        await until(url, "SELECT sum(slots) = 0 FROM engine_workers")
        record.gate.set()

    assert record.events == [("start", "a"), ("end", "a")]
    assert await value(connection, QUEUED) == 1
    assert await value(connection, "SELECT count(*) FROM engine_workers") == 0


async def test_a_drain_cancels_handlers_after_the_grace_and_hands_their_tickets_back(
    queue: ProcrastinateQueue, connection: Connection, working: Working
) -> None:
    """
    A ticket whose handler was cancelled is due again at once, for another worker.
    """
    record = Recorder(open_gate=False)
    async with working(record, grace_seconds=0.05) as stop:
        await queue.put(connection, [Ticket("a", 1, "lane")])
        await connection.commit()
        await record.seen("start")
        stop.set()
        await record.seen("cancelled")
    again = Recorder()
    async with working(again):
        await again.seen("end")

    assert again.tickets == record.tickets
    assert again.claims[0].worker_id != record.claims[0].worker_id


async def test_a_worker_whose_task_is_cancelled_drains_as_well(
    queue: ProcrastinateQueue, connection: Connection
) -> None:
    """
    Cancelling `work` is asking it to stop: it leaves, and its tickets are back.
    """
    record = Recorder(open_gate=False)
    node = Node(name="here", slots=1, on_lost=print, grace_seconds=0.05)
    worker = asyncio.create_task(queue.work(record, node=node, stop=asyncio.Event()))
    await queue.put(connection, [Ticket("a", 1)])
    await connection.commit()
    await record.seen("start")
    worker.cancel()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.wait([worker])

    assert worker.cancelled()
    assert ("cancelled", "a") in record.events
    assert await value(connection, "SELECT string_agg(status::text, ' ') FROM procrastinate_jobs") == "todo"
    assert await value(connection, "SELECT count(*) FROM engine_workers") == 0


async def test_a_worker_that_waits_for_the_database_can_be_stopped(caplog: pytest.LogCaptureFixture) -> None:
    """
    Without a database a worker waits, says so once, and ends when asked.
    """
    stop = asyncio.Event()

    class StopWhenSaid(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            stop.set()

    said = StopWhenSaid()
    logging.getLogger("headrace.engine.outage").addHandler(said)
    async with open_pool("host=/nowhere connect_timeout=2") as pool, asyncio.timeout(DEADLINE_SECONDS):
        await ProcrastinateQueue(pool).work(Recorder(), node=Node(name="here", slots=1, on_lost=print), stop=stop)
    logging.getLogger("headrace.engine.outage").removeHandler(said)

    assert caplog.text.count("The database does not answer") == 1


async def test_each_heartbeat_says_until_when_the_worker_may_act(working: Working) -> None:
    """
    Before the others may take over, counted from before the beat was sent; so children can end by themselves under a worker that is stopped.
    """
    told: asyncio.Queue[tuple[float, float]] = asyncio.Queue()
    liveness = Liveness(ttl_seconds=8, beat_seconds=0.1)
    began_at = boot_seconds()
    async with (
        working(Recorder(), liveness=liveness, on_live=lambda until: told.put_nowait((until, boot_seconds()))),
        asyncio.timeout(DEADLINE_SECONDS),
    ):
        (first, first_at), (second, second_at) = await told.get(), await told.get()

    assert began_at < first - liveness.exit_after_seconds <= first_at
    assert first_at < second - liveness.exit_after_seconds <= second_at


async def test_settling_is_part_of_the_callers_transaction(
    queue: ProcrastinateQueue, connection: Connection, working: Working, url: str
) -> None:
    """
    A rolled back settlement leaves the ticket; the next of the lane goes with the commit, before the handler returns.
    """
    first_settled, second_started = asyncio.Event(), asyncio.Event()
    counts: list[int] = []

    async def handle(ticket: Ticket, claim: Claim) -> None:
        if ticket.job_id == "b":
            second_started.set()
            return
        async with await psycopg.AsyncConnection.connect(url) as own:
            await claim.settle(own)
            await own.rollback()
            counts.append(await value(own, QUEUED))
            await claim.settle(own)
        first_settled.set()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await second_started.wait()

    async with working(handle):
        await queue.put(connection, [Ticket("a", 1, "lane"), Ticket("b", 1, "lane")])
        await connection.commit()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await second_started.wait()
        await until(url, EMPTY)

    assert counts == [2]
    assert first_settled.is_set()


async def test_a_ticket_that_another_has_now_cannot_be_settled(
    queue: ProcrastinateQueue, connection: Connection, working: Working, url: str
) -> None:
    """
    The fence is the worker id in the row, not the row's id.
    """
    record = Recorder(open_gate=False)
    async with working(record):
        await queue.put(connection, [Ticket("a", 1, "lane")])
        await connection.commit()
        await record.seen("start")
        await connection.execute("WITH other AS (INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id)"
                                 " UPDATE procrastinate_jobs SET worker_id = other.id FROM other")  # fmt: skip
        await connection.commit()
        async with await psycopg.AsyncConnection.connect(url) as own:
            with pytest.raises(FencedError):
                await record.claims[0].settle(own)
        record.gate.set()
        await record.seen("end")

    assert await value(connection, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'") == 1


@asynccontextmanager
async def _refilled(
    queue: ProcrastinateQueue, url: str, claims: Sequence[Claim], slots: int
) -> AsyncIterator[Connection]:
    """
    Settle tickets and take others for their slots in one transaction, which commits when the block ends well.
    """
    with queue.refilling() as refill:
        async with await psycopg.AsyncConnection.connect(url) as own:
            await queue.settle(own, claims)
            await refill(own, slots)
            yield own


async def test_a_worker_takes_the_next_tickets_with_the_transaction_that_frees_its_slots(
    queue: ProcrastinateQueue, connection: Connection, working: Working, url: str
) -> None:
    """
    By priority, then age, and none behind one that has a lane: that is fetched in its turn.
    """
    record = Recorder(open_gate=False)
    async with working(record, slots=2):
        await queue.put(connection, [Ticket("a", 1), Ticket("b", 1)])
        await connection.commit()
        await record.seen("start", 2)
        late = [Ticket("c", 1), Ticket("d", 1, priority=5), Ticket("e", 1, "lane"), Ticket("f", 1, priority=-1)]
        await queue.put(connection, late)
        await connection.commit()
        async with _refilled(queue, url, record.claims[:2], 2):
            pass
        taken = await (await connection.execute(TAKEN)).fetchall()
        record.gate.set()
        await until(url, EMPTY)

    assert [job_id for (job_id,) in taken] == ["d", "c"]
    assert [ticket.job_id for ticket in record.tickets] == ["a", "b", "d", "c", "e", "f"]
    assert [ticket.step for ticket in record.tickets] == [None] * 6


async def test_a_ticket_with_a_lane_at_the_head_of_the_queue_is_passed_by_none(
    queue: ProcrastinateQueue, connection: Connection, working: Working, url: str
) -> None:
    """
    Or a worker whose slots are refilled for ever would never come to it.
    """
    record = Recorder(open_gate=False)
    async with working(record, slots=1):
        await queue.put(connection, [Ticket("a", 1), Ticket("b", 1, "lane"), Ticket("c", 1)])
        await connection.commit()
        await record.seen("start")
        async with _refilled(queue, url, record.claims, 1):
            pass
        assert await (await connection.execute(TAKEN)).fetchall() == []
        record.gate.set()
        await until(url, EMPTY)

    assert [ticket.job_id for ticket in record.tickets] == ["a", "b", "c"]


async def test_taking_tickets_waits_for_nobody_who_takes_them_back(
    queue: ProcrastinateQueue, connection: Connection, working: Working, url: str
) -> None:
    """
    Whoever does that may himself wait for the lock under which they are taken.
    """
    record = Recorder(open_gate=False)
    async with working(record, slots=1):
        await queue.put(connection, [Ticket("a", 1), Ticket("b", 1), Ticket("c", 1)])
        await connection.commit()
        await record.seen("start")
        await queue.revoke(connection, "b")
        async with asyncio.timeout(DEADLINE_SECONDS), _refilled(queue, url, record.claims, 2):
            pass
        taken = await (await connection.execute(TAKEN)).fetchall()
        await connection.commit()
        record.gate.set()
        await until(url, EMPTY)

    assert [job_id for (job_id,) in taken] == ["c"]
    assert [ticket.job_id for ticket in record.tickets] == ["a", "c"]


async def test_what_was_taken_in_a_transaction_that_is_rolled_back_stays_on_the_queue(
    queue: ProcrastinateQueue, connection: Connection, working: Working, url: str
) -> None:
    """
    And so does the ticket that was to be settled.
    """
    record = Recorder(open_gate=False)
    async with working(record, slots=1):
        await queue.put(connection, [Ticket("a", 1), Ticket("b", 1)])
        await connection.commit()
        await record.seen("start")
        with pytest.raises(ZeroDivisionError):
            async with _refilled(queue, url, record.claims, 1):
                raise ZeroDivisionError
        assert await value(connection, QUEUED) == 2
        record.gate.set()
        await until(url, EMPTY)

    assert [ticket.job_id for ticket in record.tickets] == ["a", "b"]


async def _commit_without_an_answer(queue: ProcrastinateQueue, url: str, claims: Sequence[Claim]) -> None:
    async with _refilled(queue, url, claims, 1) as own:
        await own.commit()
        raise ConnectionError


async def test_a_ticket_that_was_taken_while_the_answer_to_the_commit_was_lost_comes_again(
    queue: ProcrastinateQueue, connection: Connection, working: Working, url: str
) -> None:
    """
    The worker's by the table, and in no handler's hands: it is put back before the next fetch.
    """
    record = Recorder(open_gate=False)
    async with working(record, slots=1):
        await queue.put(connection, [Ticket("a", 1), Ticket("c", 1)])
        await connection.commit()
        await record.seen("start")
        with pytest.raises(ConnectionError):
            await _commit_without_an_answer(queue, url, record.claims)
        assert len(await (await connection.execute(TAKEN)).fetchall()) == 1
        await connection.commit()
        record.gate.set()
        await record.seen("end", 2)

    assert [ticket.job_id for ticket in record.tickets] == ["a", "c"]


async def test_a_worker_that_is_stopped_hands_back_what_no_handler_has_begun(
    queue: ProcrastinateQueue, connection: Connection, working: Working, url: str
) -> None:
    """
    At once, while the handlers that run go on to their ends; and it takes nothing more.
    """
    record = Recorder(open_gate=False)
    async with working(record, slots=1) as stop:
        await queue.put(connection, [Ticket("a", 1), Ticket("b", 1), Ticket("c", 1)])
        await connection.commit()
        await record.seen("start")
        async with _refilled(queue, url, record.claims, 1):
            pass
        stop.set()
        await until(url, "SELECT count(*) = 2 FROM procrastinate_jobs WHERE status = 'todo'")
        with queue.refilling() as refill:
            await refill(connection, 1)
        record.gate.set()

    assert [ticket.job_id for ticket in record.tickets] == ["a"]
    assert await value(connection, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'") == 2


async def test_what_is_taken_while_a_worker_is_stopped_is_handed_back_too(
    queue: ProcrastinateQueue, connection: Connection, working: Working, url: str
) -> None:
    """
    The transaction began before the stop and ends when all that was ready has gone back.
    """
    record = Recorder(open_gate=False)
    async with working(record, slots=1) as stop:
        await queue.put(connection, [Ticket("a", 1), Ticket("b", 1)])
        await connection.commit()
        await record.seen("start")
        async with _refilled(queue, url, record.claims, 1):
            stop.set()
            await until(url, "SELECT sum(slots) = 0 FROM engine_workers")
        await until(url, "SELECT count(*) = 1 FROM procrastinate_jobs WHERE status = 'todo'")
        assert record.events == [("start", "a")]
        record.gate.set()

    assert [ticket.job_id for ticket in record.tickets] == ["a"]


async def test_settling_several_tickets_is_refused_when_one_is_anothers(
    queue: ProcrastinateQueue, connection: Connection, working: Working, url: str
) -> None:
    """
    The caller rolls back, so none is off the queue.
    """
    record = Recorder(open_gate=False)
    async with working(record, slots=2):
        await queue.put(connection, [Ticket("a", 1), Ticket("b", 1)])
        await connection.commit()
        await record.seen("start", 2)
        await connection.execute("WITH other AS (INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id) UPDATE"
                                 " procrastinate_jobs SET worker_id = other.id FROM other WHERE args ->> 'job_id' = 'b'")  # fmt: skip
        await connection.commit()
        async with await psycopg.AsyncConnection.connect(url) as own:
            with pytest.raises(FencedError):
                await queue.settle(own, record.claims)
            await own.rollback()
        assert await value(connection, QUEUED) == 2
        record.gate.set()
        await record.seen("end", 2)


async def test_free_slots_are_what_the_members_have_left(
    queue: ProcrastinateQueue, connection: Connection, working: Working
) -> None:
    """
    Tickets count whether they wait or are in hand; without members there are none.
    """
    record = Recorder(open_gate=False)
    counts = [await queue.free_slots(connection)]
    await connection.commit()
    async with working(record, slots=3):
        counts.append(await queue.free_slots(connection))
        await queue.put(connection, [Ticket("a", 1, "lane"), Ticket("b", 1, "lane")])
        counts.append(await queue.free_slots(connection))
        await queue.put(connection, [Ticket(f"c{number}", 1) for number in range(5)])
        counts.append(await queue.free_slots(connection))
        await connection.commit()
        record.gate.set()

    assert counts == [0, 3, 1, 0]


async def dead_worker(connection: Connection, *jobs: str) -> None:
    """
    Write into the tables what a worker leaves that died a minute ago with *jobs* in its hands.
    """
    row = await (await connection.execute(
        "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 minute') RETURNING id"
    )).fetchone()  # fmt: skip
    assert row is not None
    for job in jobs:
        await connection.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE args ->> 'job_id' = %s", (row[0], job)
        )
    await connection.commit()


async def test_the_reaper_puts_back_what_the_dead_held_and_only_that(
    queue: ProcrastinateQueue, connection: Connection, working: Working
) -> None:
    """
    Tickets come back as they were, once, and those of the living are not touched.
    """
    record = Recorder(open_gate=False)
    tickets = [Ticket("dead", 4, "lane", 2, 9), Ticket("next", 1, "lane")]
    async with working(record):
        await queue.put(connection, [Ticket("living", 1)])
        await connection.commit()
        await record.seen("start")
        await queue.put(connection, tickets)
        await dead_worker(connection, "dead")
        reaped = await asyncio.gather(*(queue.reap(30.0) for _ in range(4)))
        record.gate.set()
        await record.seen("end", 3)

    assert [ticket for tickets in reaped for ticket in tickets] == tickets[:1]
    assert [ticket.job_id for ticket in record.tickets] == ["living", "dead", "next"]


async def test_reaping_in_a_transaction_that_is_rolled_back_reaps_nothing(
    queue: ProcrastinateQueue, connection: Connection
) -> None:
    """
    A rescuer may bind what it does in the domain tables to the reaping.
    """
    await queue.put(connection, [Ticket("a", 1)])
    await dead_worker(connection, "a")

    assert await queue.reap(30.0, connection) == [Ticket("a", 1)]
    await connection.rollback()
    assert await queue.reap(30.0) == [Ticket("a", 1)]
    assert await queue.reap(30.0) == []


async def test_a_row_that_is_locked_keeps_no_other_worker_from_being_reaped(
    queue: ProcrastinateQueue, connection: Connection, url: str
) -> None:
    """
    A machine that stopped in the middle of a transaction may hold its row for long; the others' rescue goes on.
    """
    await queue.put(connection, [Ticket("stuck", 1), Ticket("with it", 1), Ticket("free", 1)])
    await dead_worker(connection, "stuck", "with it")
    await dead_worker(connection, "free")
    async with await psycopg.AsyncConnection.connect(url) as holder:
        await holder.execute("SELECT FROM procrastinate_jobs WHERE args ->> 'job_id' = 'stuck' FOR UPDATE")
        first = await queue.reap(30.0)
        await holder.rollback()
    second = await queue.reap(30.0)

    assert first == [Ticket("free", 1)]
    assert second == [Ticket("stuck", 1), Ticket("with it", 1)]


async def test_a_ticket_without_a_worker_is_put_back(queue: ProcrastinateQueue, connection: Connection) -> None:
    """
    A fetch that commits while its worker is struck off leaves such a row.
    """
    await queue.put(connection, [Ticket("a", 1)])
    await connection.execute("UPDATE procrastinate_jobs SET status = 'doing', worker_id = NULL")
    await connection.commit()

    assert await queue.reap(30.0) == [Ticket("a", 1)]


async def cut(connection: Connection, *, listening: bool) -> None:
    """
    End the engine's sessions on the server's side: the one that listens and beats, or the pool's.
    """
    engines = f"SELECT pid {LISTENING}"
    if not listening:
        engines = f"SELECT pid FROM pg_stat_activity WHERE application_name = 'headrace-engine' AND datname = current_database() EXCEPT {engines}"
    cursor = await connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({engines}) AS engine")
    assert cursor.rowcount > 0
    await connection.commit()


async def test_a_worker_hears_again_after_its_listening_connection_was_cut(
    queue: ProcrastinateQueue, connection: Connection, working: Working
) -> None:
    """
    What is announced while nobody listens is found on connecting again.
    """
    record = Recorder()
    async with working(record):
        await cut(connection, listening=True)
        await queue.put(connection, [Ticket("a", 1)])
        await connection.commit()
        await record.seen("end")


async def test_a_ticket_that_nobody_announced_is_found_by_the_next_heartbeat(
    queue: ProcrastinateQueue, connection: Connection, working: Working
) -> None:
    """
    A lost announcement costs one beat, not the ticket.
    """
    record = Recorder()
    async with working(record, liveness=Liveness(ttl_seconds=4.0, beat_seconds=0.2)):
        await connection.execute("ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER")
        await queue.put(connection, [Ticket("unheard", 1)])
        await connection.execute("ALTER TABLE procrastinate_jobs ENABLE TRIGGER USER")
        await connection.commit()
        await record.seen("end")

    assert [ticket.job_id for ticket in record.tickets] == ["unheard"]


async def test_a_fetch_whose_answer_was_lost_loses_no_ticket(
    queue: ProcrastinateQueue, connection: Connection, working: Working, pool: AsyncConnectionPool[Any]
) -> None:
    """
    A ticket that is the worker's by the table but in no handler's hands is put back once the connection's end is noticed.
    """
    record = Recorder()
    async with working(record):
        await connection.execute(
            "ALTER TABLE procrastinate_jobs DISABLE TRIGGER USER"
        )  # it commits, and nobody hears of it
        await queue.put(connection, [Ticket("stray", 1)])
        await connection.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT id FROM procrastinate_workers)"
        )
        await connection.execute("ALTER TABLE procrastinate_jobs ENABLE TRIGGER USER")
        await connection.commit()
        await cut(connection, listening=False)
        await queue.put(connection, [Ticket("next", 1)])
        await connection.commit()
        await record.seen("end", 2)

    assert sorted(ticket.job_id for ticket in record.tickets) == ["next", "stray"]


async def test_workers_of_another_queue_leave_its_tickets_alone(
    pool: AsyncConnectionPool[Any], connection: Connection, working: Working
) -> None:
    """
    A queue's name is a bulkhead.
    """
    other = ProcrastinateQueue(pool, queue_name="other")
    record = Recorder()
    async with working(record):
        await other.put(connection, [Ticket("a", 1)])
        await connection.commit()
        await ProcrastinateQueue(pool).put(connection, [Ticket("b", 1)])
        await connection.commit()
        await record.seen("end")

    assert [ticket.job_id for ticket in record.tickets] == ["b"]
    assert await other.revoke(connection, "a") == [Ticket("a", 1)]
