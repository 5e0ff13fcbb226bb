"""
What was found out while a project folder was read: what its files may refer to, what is wrong, and what that costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from headrace.core.errors import DefinitionError
from headrace.core.plan import ConnectorSpec

Part = tuple[str, ...]
"""What a problem cost: ("project",), ("workspace", name), ("connector", name), ("flow", id) or ("tenant", flow, id)."""


@dataclass(frozen=True, slots=True)
class Findings:
    """
    Problems, and the parts of the project that are lost because of them.
    """

    problems: list[DefinitionError] = field(default_factory=list)
    lost: set[Part] = field(default_factory=set)

    def lose(self, part: Part | None, error: DefinitionError) -> None:
        self.problems.append(error)
        if part:
            self.lost.add(part)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What the files of flows may refer to.

    Attributes:
        folder: the project folder, absolute.
        names: placeholders that have a meaning everywhere.
        environ: variables for `${env:NAME}`.
        workspaces: each that headrace.yml names, and whether it is right.
        connectors: each that headrace.yml names; None for one that is wrong.
        of_connectors: says where a connector is missing.
    """

    folder: Path
    names: Mapping[str, str]
    environ: Mapping[str, str]
    workspaces: Mapping[str, bool] = field(default_factory=dict)
    connectors: Mapping[str, ConnectorSpec | None] = field(default_factory=dict)
    of_connectors: str = "in headrace.yml"


def meant(name: str, known: Iterable[str]) -> str:
    """
    The next move for a name that does not exist.
    """
    known = list(known)
    guess = get_close_matches(name, known, n=1)
    return f"Did you mean {guess[0]}?" if guess else f"Known are: {', '.join(known) or 'none'}."
