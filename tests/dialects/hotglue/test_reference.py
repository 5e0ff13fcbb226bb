"""
What docs/reference/hotglue.md says of the wire.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hotglue_rows import ROWS

from headrace.dialects.hotglue import after_link
from headrace.dialects.hotglue.project import STATUSES
from headrace.dialects.hotglue.routes import HotglueRoutes
from headrace.dialects.hotglue.tenancy_routes import tenancy_routes
from headrace.dialects.hotglue.wire import RunRequest

PAGE = (Path(__file__).parents[3] / "docs/reference/hotglue.md").read_text("utf-8")


def test_every_path_is_documented() -> None:
    """
    By its last fixed word, and every method that it takes.
    """
    nothing: Any = None
    words = set()
    for route in (*tenancy_routes(nothing), *HotglueRoutes(nothing, nothing, nothing).routes()):
        words.add(re.findall(r"/(\w[\w.]*)", route.path)[-1])
        words |= (route.methods or set()) - {"HEAD", "POST"} if route.path.endswith("schedule") else set()

    missing = sorted(word for word in words if word not in PAGE)
    assert missing == []


def test_every_option_status_file_and_variable_is_documented() -> None:
    """
    By its own name; the widget's `job` stands with `job_name`, the root is the folder itself, and a target's is called after it.
    """
    options = {*RunRequest.__struct_fields__, "override_connector_config", "job_type", "connector_id"} - {"job"}
    files = {name.replace("<connector>", "{target}").rstrip("/") for name in ROWS["6.1"]} - {"root"}
    variables = {name for name in ROWS["6.3"] if name.isupper()}

    assert sorted(name for name in {*options, *STATUSES, *files, *variables} if f"`{name}" not in PAGE) == []


def test_every_setting_of_a_link_is_documented() -> None:
    for name in (
        after_link.JOB_ON_LINK,
        after_link.DISCOVER_ON_LINK,
        after_link.DEFAULT_SCHEDULE,
        "require_tenant_token",
    ):
        assert f"| `{name}` |" in PAGE
