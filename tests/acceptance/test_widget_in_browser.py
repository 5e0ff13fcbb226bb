"""
hotglue's published widget as customers see it: its component in Chromium, on a page of another origin, against a whole server.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from acceptance.running_server import RunningServer
from acceptance.widget_kit import READING, config_of, run_widget

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no /usr/bin/chromium: apt-get install chromium")

TENANT = "browser-tenant"


def test_a_source_is_linked_through_the_widgets_form(
    widget: Path, shared_server: RunningServer, tmp_path: Path
) -> None:
    """
    It shows the flows and what they offer, asks for the connector's secret, links it, and shows it as linked.
    """
    given = {"config": config_of(shared_server), "tenant": TENANT, "tap": "tap-fake", "values": {"secret": "typed"}}

    seen = run_widget("browser.cjs", widget, given, str(tmp_path))

    assert [line for line in seen["offered"].splitlines() if line] == [READING, "tap-fake", "two-way", "fake"]
    assert "Connect tap-fake below" in seen["form"]
    assert "LINKED" in seen["linked"]
    assert seen["errors"] == []
    assert {status for _method, _path, status in seen["asked"]} == {200}
    path = f"/hotglue/widgets/{READING}/{TENANT}/linkedSources?config=true"
    assert [link["config"] for link in shared_server.client.get(path).json()] == [{"secret": "typed"}]
    assert (tmp_path / "linked.png").stat().st_size > 0
