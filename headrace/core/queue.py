"""
What the rest of the house may ask of the queue engine.

The engine carries tickets, not jobs: a ticket says *which* admitted job is to be worked on, the domain tables say everything else.
Services get a `Queue` handed in and never import the engine; `Claim` is what a ticket's handler holds while it works.

Promises, each with a test in the engine's contract suite:

- A ticket that was put and committed is handed to a handler at least once, whatever crashes: worker, machine or database.
- A ticket leaves the queue only when its handler returns, or when `Claim.settle` or `Queue.revoke` commits.
- Two tickets of one lane are never in two handlers at once, as far as the database can tell. A worker that the database has lost sight of
  ends its children and handlers before another may take over; what it still tries to write is refused.
- Within a lane tickets go by priority (higher first), then in the order they were put. A ticket that comes back keeps its place.
- Over all lanes the highest priority goes first, then the oldest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

# The driver's own async connection with the caller's transaction open on it. Opaque here: the core knows no driver.
Connection: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Ticket:
    """
    One piece of admitted work on its way to a worker.

    Args:
        job_id: the job's id in its canonical text form.
        token: the job's attempt when it was admitted. A hint, not a right: after a take-over the same ticket comes again with the same
            token while the job has moved on. The handler claims the job in the domain tables, fences its writes with the attempt that
            this claim gives it, and lets the ticket go when the job is final or was admitted anew since.
        lane: exclusivity key, at most some 2,000 bytes; None is in nobody's way.
        priority: higher first.
        step: ordinal of the fan-out item that the ticket stands for; None is the whole job.
    """

    job_id: str
    token: int
    lane: str | None = None
    priority: int = 0
    step: int | None = None


class Claim(Protocol):
    """
    A worker's hold on one ticket, valid until the handler returns.
    """

    @property
    def worker_id(self) -> int:
        """
        The membership that holds the ticket; a worker that joins again gets a new one.
        """

    @property
    def lost(self) -> bool:
        """
        Whether this worker may no longer act: others may hold the ticket now.

        Once true it stays so. The handler has been cancelled, and must end at once and write nothing.
        """

    async def settle(self, connection: Connection) -> None:
        """
        Take the ticket off the queue, and free its lane, when the caller's transaction commits.

        Optional: a handler that returns without it has its ticket taken off a moment later. With it, the job's final state, the
        next ticket of the lane and the end of this one are one commit. To be called when the children have ended: the next of the
        lane may start as soon as the transaction commits.

        Raises:
            FencedError: another worker was given the ticket; roll back.
        """

    def settled(self) -> None:
        """
        Say that the transaction of `settle` has committed, so that nobody need look for the ticket again.

        Optional, too. To be called after a commit that was heard of, and never else.
        """


# Takes tickets for at most so many slots, in the transaction of the connection.
Refill: TypeAlias = Callable[[Connection, int], Awaitable[None]]

# What a worker calls for each ticket. See the engine's `work` for what its ways to end mean.
Handler: TypeAlias = Callable[[Ticket, Claim], Awaitable[None]]


class Queue(Protocol):
    """
    Where admission puts tickets. Every method acts in the caller's open transaction, and commits nothing itself.
    """

    async def put(self, connection: Connection, tickets: Sequence[Ticket]) -> None:
        """
        Put *tickets* on the queue, in this order, in one round trip.

        Workers hear of them when the transaction commits; a rollback leaves nothing. The same job may have several tickets
        (a fan-out), and the queue does not refuse a duplicate: the domain tables know what is admitted.
        """

    async def revoke(self, connection: Connection, job_id: str) -> list[Ticket]:
        """
        Take back the job's tickets that no worker has fetched yet, and return them.

        Empty when all are being worked on or none is left: then cancelling is a matter between the domain tables and the handler.
        A fetch that happens at the same time either wins (the ticket is not returned) or never sees the ticket.
        """

    async def free_slots(self, connection: Connection) -> int:
        """
        How many more tickets the live workers could start at once, never negative.

        Slots of all workers that are members and not draining, minus all tickets on the queue.
        """

    async def settle(self, connection: Connection, claims: Sequence[Claim]) -> None:
        """
        Do what `Claim.settle` does for several claims that were given out by this queue, in one round trip.

        Raises:
            FencedError: another worker was given one of the tickets; roll back.
        """

    def refilling(self) -> AbstractContextManager[Refill]:
        """
        Lend what takes tickets in the caller's transaction for the slots which that transaction frees, so that none waits for a fetch.

        To be opened around the transaction. If the block ends well, this worker's handler gets what was taken as soon as slots are
        free; else the tickets are on the queue as before. Takes what a fetch would have taken, but stops before a ticket that has a lane;
        takes nothing where no worker runs, or one that is about to end.
        """
