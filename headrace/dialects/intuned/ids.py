"""
Ids as Intuned makes them.

A run's is a nanoid of 21 characters (its published clients, 2025); job runs have UUIDs, which the core makes.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from uuid import UUID, uuid5

RUN_ID_LENGTH = 21
_PROJECTS = UUID("3f5d1d0c-9d6e-4f7e-8a55-0d2d6a0b6b61")


def run_id(chance: bytes) -> str:
    """
    Make a run's id of 21 random bytes; a nanoid's alphabet is that of base64 for URLs.
    """
    return urlsafe_b64encode(chance)[:RUN_ID_LENGTH].decode()


def project_id(workspace_id: UUID, name: str) -> UUID:
    """
    Give the id of a project, the same for ever.
    """
    return uuid5(_PROJECTS, f"{workspace_id}/{name}")
