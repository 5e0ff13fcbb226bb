"""
Tries of items: taking one, and writing down what it came to, each under the item's own fencing token.

Every function runs in the caller's transaction; `settle` is called with the fan-out's `lock` held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from headrace.core.fan_out import FanOutRecord, Item, ItemEnd, ItemSettlement
from headrace.core.outcome import Cancelled, Cause, Failed, Interrupted, Outcome
from headrace.store.database import Connection, statement
from headrace.store.item_rows import item_of
from headrace.store.job_rows import json_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemClaim:
    """
    The right to write an item's record, as long as nobody claims it after.

    Attributes:
        token: fencing token; every write names it.
    """

    job_id: UUID
    ordinal: int
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedItem:
    """
    An item in a worker's hands; *cancel_requested_at* is its job's.
    """

    claim: ItemClaim
    item: Item
    cancel_requested_at: datetime | None


@dataclass(frozen=True, slots=True)
class Taking:
    """An item that a node is to try."""

    job_id: UUID
    ordinal: int
    node_id: UUID
    node_name: str


async def claim(connection: Connection, items: Sequence[Taking]) -> list[ClaimedItem | None]:
    """
    Take admitted items, or such whose worker is gone; None for one that has ended or waits again. Named twice, it is taken twice.

    Where no item is named twice this is one statement: it needs no transaction.
    """
    found: list[ClaimedItem | None] = []
    for each in _without_repeats(items):
        parameters = {
            "job_ids": [item.job_id for item in each], "ordinals": [item.ordinal for item in each],
            "node_ids": [item.node_id for item in each], "node_names": [item.node_name for item in each],
        }  # fmt: skip
        rows = await (await connection.execute(statement("claim_items"), parameters, prepare=True)).fetchall()
        claimed = {(row["job_id"], row["ordinal"]): row for row in rows}
        found += [_claimed(claimed.get((item.job_id, item.ordinal))) for item in each]
    return found


def _without_repeats(items: Sequence[Taking]) -> list[list[Taking]]:
    """
    Cut a list in as few pieces as have no item twice.
    """
    pieces: list[list[Taking]] = [[]]
    for item in items:
        if any((item.job_id, item.ordinal) == (other.job_id, other.ordinal) for other in pieces[-1]):
            pieces.append([])
        pieces[-1].append(item)
    return pieces


def _claimed(row: DictRow | None) -> ClaimedItem | None:
    if row is None:
        return None
    return ClaimedItem(
        claim=ItemClaim(job_id=row["job_id"], ordinal=row["ordinal"], token=row["attempt"]),
        item=item_of(row),
        cancel_requested_at=row["cancel_requested_at"],
    )


@dataclass(frozen=True, slots=True)
class ItemStanding:
    """What a try learns about its item and job."""

    fenced: bool
    cancel_requested: bool


async def standing(connection: Connection, claim: ItemClaim) -> ItemStanding:
    """
    Tell whether the claim still holds and whether somebody asked the job to end.
    """
    row = await (await connection.execute(statement("item_standing"), _of(claim))).fetchone()
    return ItemStanding(fenced=row is None, cancel_requested=bool(row and row["cancel_requested_at"]))


async def hand_back(connection: Connection, claim: ItemClaim) -> bool:
    """
    Undo a claim whose try came to nothing: its ticket comes again, and the next claim counts no crash. False when fenced.
    """
    row = await (await connection.execute(statement("hand_back_item"), _of(claim))).fetchone()
    return row is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledTry:
    """
    What one try of an item came to.

    Attributes:
        appended: JSON list of the items it asked for; None for none.
    """

    claim: ItemClaim
    end: ItemEnd
    settlement: ItemSettlement
    appended: bytes | None = None


async def settle(connection: Connection, job_id: UUID, tries: Sequence[SettledTry]) -> FanOutRecord | None:
    """
    Write what tries made of items of one job, in their order; gives the fan-out's counts after it, None when one is fenced: roll back.
    """
    ends = [_ending(one.end.outcome) for one in tries]
    parameters = {
        "job_id": job_id, "ordinals": [one.claim.ordinal for one in tries], "tokens": [one.claim.token for one in tries],
        "states": [str(one.settlement.state) for one in tries], "final": [one.settlement.state.final for one in tries],
        "due_at": [one.settlement.due_at for one in tries], "results": [one.end.result for one in tries],
        "appended": [one.appended for one in tries], "causes": [json_of(cause) for cause, _ in ends],
        "outcomes": [name for _, name in ends], "failed": [isinstance(one.end.outcome, Failed) for one in tries],
        "outputs": [Jsonb(_output(one.end)) for one in tries],
    }  # fmt: skip
    row = await (await connection.execute(statement("settle_items"), parameters, prepare=True)).fetchone()
    if row is None or row["settled"] < len(tries):
        return None
    return FanOutRecord(
        total=row["total"], completed=row["completed"], failed=row["failed"], cancelled=row["cancelled"]
    )


def _ending(outcome: Outcome) -> tuple[Cause | None, str]:
    """
    Give why a try ended as it did, if it says so, and the word for it in the history.
    """
    cause = outcome.cause if isinstance(outcome, (Failed, Cancelled)) else None
    return cause, "interrupted" if isinstance(outcome, Interrupted) else type(outcome).__name__.lower()


def _output(end: ItemEnd) -> dict[str, Any]:
    return end.noted if isinstance(end.outcome, Interrupted) else end.outcome.output


def _of(claim: ItemClaim) -> dict[str, Any]:
    return {"job_id": claim.job_id, "ordinal": claim.ordinal, "token": claim.token}
