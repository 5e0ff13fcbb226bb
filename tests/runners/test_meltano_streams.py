"""
Streams out of what `meltano select` lists.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.runners.meltano_streams import read_streams


def test_streams_are_read_with_what_is_selected(tmp_path: Path) -> None:
    """
    One entry for each property; a stream is selected when one of its fields is.
    """
    entries = [("a", "id", "automatic"), ("a", "x", "excluded"), ("b", "y", "excluded"), ("b", "z", "unsupported")]
    listed = {"streams": [dict(zip(("stream", "property", "selection"), each, strict=True)) for each in entries]}
    (tmp_path / "x.json").write_text(json.dumps(listed))

    assert read_streams(tmp_path / "x.json") == [
        {
            "name": "a",
            "selected": "SELECTED",
            "fields": [{"name": "id", "selected": "AUTOMATIC"}, {"name": "x", "selected": "EXCLUDED"}],
        },
        {"name": "b", "selected": "EXCLUDED", "fields": [{"name": "y", "selected": "EXCLUDED"}]},
    ]


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "{}", '{"streams": 1}', '{"streams": [1, {"stream": 1}]}', '{"streams": null}']
)
def test_another_form_gives_nothing(tmp_path: Path, text: str) -> None:
    """
    A Meltano that prints something else breaks no verification.
    """
    (tmp_path / "x.json").write_text(text)

    assert read_streams(tmp_path / "x.json") == []
