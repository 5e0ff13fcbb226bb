"""
What a public key opens on a whole server, with every wire mounted.
"""

from __future__ import annotations

import pytest

from acceptance.running_server import RunningServer


@pytest.fixture(scope="module")
def public_key(shared_server: RunningServer) -> str:
    made = shared_server.client.post("/api/v1/keys", json={"name": "page", "role": "public", "workspace": "demo"})
    assert made.status_code == 201, made.text
    key: str = made.json()["key"]
    return key


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/hotglue/demo/plain/good/jobs", 200),
        ("/hotglue/tenants/demo", 403),
        ("/api/v1/jobs", 403),
        ("/matatika/api/workspaces", 403),
        ("/matatika/api/workspaces/demo/jobs", 403),
        ("/intuned/api/v1/workspace/demo/projects/none/jobs", 403),
    ],
)
def test_a_public_key_opens_only_what_the_widget_calls(
    shared_server: RunningServer, public_key: str, path: str, status: int
) -> None:
    """
    Whoever opens a page that shows the widget can read the key: no other wire takes it.
    """
    for headers in ({"x-api-key": public_key}, {"x-api-key": "", "authorization": f"Bearer {public_key}"}):
        assert shared_server.client.get(path, headers=headers).status_code == status
