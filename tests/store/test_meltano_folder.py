"""
What a job gets of a Meltano project.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headrace.core.errors import DefinitionError
from headrace.store.meltano_folder import files_of


def test_a_project_too_large_to_be_copied_is_refused_unread(tmp_path: Path) -> None:
    """
    Also when one file is larger than all memory.
    """
    (tmp_path / "meltano.yml").write_text("version: 1")
    (tmp_path / "output.jsonl").touch()
    os.truncate(tmp_path / "output.jsonl", 2**40)

    with pytest.raises(DefinitionError, match=r"output\.jsonl"):
        files_of(tmp_path)
