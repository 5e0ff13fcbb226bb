"""
A worker process that leaves a trace of everything it does, for the contract tests to judge.

Its handler writes `start`, works for a while, and writes `end` in the transaction that settles the ticket, as the real one does. Its rescuer
reaps once per heartbeat, as every node's does.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import time

from psycopg_pool import AsyncConnectionPool

from headrace.core.errors import FencedError, StoreUnavailableError
from headrace.core.queue import Claim, Ticket
from headrace.engine.liveness import Liveness
from headrace.engine.procrastinate import Node, ProcrastinateQueue, open_pool

TRACE = """
CREATE TABLE trace (
    id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
    what text NOT NULL, job_id text, lane text, worker_id bigint, node text NOT NULL
)
"""
WRITE = "INSERT INTO trace (what, job_id, lane, worker_id, node) VALUES (%s, %s, %s, %s, %s)"


class Workload:
    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.pool = open_pool(args.url)
        self.domain = AsyncConnectionPool(args.url, min_size=1, max_size=args.slots, open=False, reconnect_timeout=2.0)
        self.queue = ProcrastinateQueue(self.pool)
        self.stop = asyncio.Event()

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop.set)
        await self.pool.open()
        await self.domain.open()
        rescuer = asyncio.create_task(self.rescue())
        args = self.args
        node = Node(
            name=args.node,
            slots=args.slots,
            on_lost=self.end_children,
            liveness=Liveness(ttl_seconds=args.ttl, beat_seconds=args.ttl / 5),
            poll_seconds=args.poll,
            grace_seconds=args.grace,
        )
        await self.queue.work(self.handle, node=node, stop=self.stop)
        rescuer.cancel()
        await self.domain.close()
        await self.pool.close()

    async def handle(self, ticket: Ticket, claim: Claim) -> None:
        async with self.domain.connection() as connection:
            await connection.execute(WRITE, self.row("start", ticket, claim))
        if self.args.hold < 0:
            time.sleep(3600)  # noqa: ASYNC251 - a stuck event loop is what this is for
        await asyncio.sleep(self.args.hold)
        try:
            async with self.domain.connection() as connection:
                await connection.execute(WRITE, self.row("end", ticket, claim))
                await claim.settle(connection)
        except FencedError:
            print("fenced", ticket.job_id, flush=True)

    def row(self, what: str, ticket: Ticket, claim: Claim) -> tuple[object, ...]:
        return what, ticket.job_id, ticket.lane, claim.worker_id, self.args.node

    def end_children(self, reason: str) -> None:
        print("lost", reason, flush=True)

    async def rescue(self) -> None:
        while True:
            await asyncio.sleep(self.args.ttl / 5)
            try:
                for ticket in await self.queue.reap(self.args.ttl):
                    print("reaped", ticket.job_id, flush=True)
            except StoreUnavailableError as error:
                print("unavailable", error, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--node", required=True)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument(
        "--hold",
        type=float,
        default=0.003,
        help="seconds a handler works; negative: for ever, and the event loop with it",
    )
    parser.add_argument("--ttl", type=float, default=10.0)
    parser.add_argument("--poll", type=float, default=2.0)
    parser.add_argument("--grace", type=float, default=30.0)
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stdout, format=f"{os.getpid()} %(levelname)s %(asctime)s %(message)s"
    )
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    asyncio.run(Workload(parser.parse_args()).run())


if __name__ == "__main__":
    main()
