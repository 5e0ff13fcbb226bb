"""
How far the extractors of pipelines have read: Meltano's state, by workspace and state id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from headrace.store.database import Connection


async def load(connection: Connection, workspace_id: UUID, scope: str) -> dict[str, dict[str, Any]]:
    """
    Read what a pipeline may go on from: the states of its own *scope*, and those that belong to no pipeline.
    """
    rows = await (
        await connection.execute(
            """
            select state_id, state from pipeline_state
            where workspace_id = %(workspace_id)s and scope in ('', %(scope)s)
            """,
            {"workspace_id": workspace_id, "scope": scope},
        )
    ).fetchall()
    return {row["state_id"]: row["state"] for row in rows}


async def save(
    connection: Connection, workspace_id: UUID, scope: str, states: Mapping[str, Mapping[str, Any]], *, job_id: UUID
) -> None:
    """
    Keep states; one whose id ends with `:{scope}` belongs to that pipeline alone.
    """
    for state_id, state in states.items():
        await connection.execute(
            """
            insert into pipeline_state (workspace_id, state_id, scope, state, job_id)
            values (%(workspace_id)s, %(state_id)s, %(scope)s, %(state)s, %(job_id)s)
            on conflict (workspace_id, state_id)
              do update set state = excluded.state, job_id = excluded.job_id, updated_at = now()
            """,
            {
                "workspace_id": workspace_id,
                "state_id": state_id,
                "scope": scope if scope and state_id.endswith(f":{scope}") else "",
                "state": Jsonb(dict(state)),
                "job_id": job_id,
            },
        )


async def forget(connection: Connection, workspace_id: UUID, scope: str) -> None:
    """
    Forget the states that belong to one pipeline alone.
    """
    await connection.execute(
        "delete from pipeline_state where workspace_id = %(workspace_id)s and scope = %(scope)s",
        {"workspace_id": workspace_id, "scope": scope},
    )
