"""
What the core API shows and takes of deployments.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from pydantic import BaseModel, Field

from headrace.api.views import View
from headrace.core.errors import InvalidError

_NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"


class Base64File(BaseModel):
    """A file that is no text."""

    base64: str


Files = dict[str, str | Base64File]
"""Files by their path in the flow's folder: text as it is, anything else in base64."""


class NewFlowVersion(BaseModel):
    files: Files = Field(
        description="Everything in the flow's folder: `flow.yml`, the script, its requirements, its modules."
    )
    message: str = Field("", max_length=1000, pattern=_NO_CONTROLS, description="What is new.")
    take_over: bool = Field(False, description="Also when the project folder defines the flow.")


class NewConnectorVersion(BaseModel):
    connector: dict[str, Any] = Field(
        description="What stands under its name in headrace.yml; no placeholders are filled in."
    )
    message: str = Field("", max_length=1000, pattern=_NO_CONTROLS, description="What is new.")
    take_over: bool = Field(False, description="Also when the project folder defines the connector.")


class Rollback(BaseModel):
    version: int | None = Field(None, ge=1, le=2**31 - 1, description="Null is the one numbered before that in force.")


class VersionView(View):
    """One version of a flow or connector; it never changes but for whether it is in force."""

    kind: str
    name: str
    number: int
    digest: str = Field(description="Of all that the version means; the same content is the same version.")
    file_count: int
    size_bytes: int
    message: str
    deployed_by: str = Field(description="Name of the key.")
    deployed_at: datetime
    current: bool = Field(description="It is in force.")


class VersionsView(View):
    versions: list[VersionView] = Field(description="Newest first.")


class DeploymentView(VersionView):
    new: bool = Field(description="False when the same content had been deployed before.")
    changed: bool = Field(description="False when it was in force already.")


class FlowVersionView(VersionView):
    files: Files


class ConnectorVersionView(VersionView):
    connector: dict[str, Any]


def sound(value: dict[str, Any]) -> dict[str, Any]:
    """
    Give *value* back if it can be kept as JSON.

    Raises:
        InvalidError: it holds half a character (a lone surrogate), or a NUL, which PostgreSQL's JSON has not.
    """
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise InvalidError("A text in the body is not valid Unicode.", "Correct it.") from None
    if b"\\u0000" in encoded:
        raise InvalidError("A text in the body holds a NUL character.", "Leave it out.")
    return value


def bytes_of(files: Files) -> dict[str, bytes]:
    """
    Give the files as they were sent.

    Raises:
        InvalidError: one is no base64.
    """
    return {path: _bytes(path, content) for path, content in files.items()}


def _bytes(path: str, content: str | Base64File) -> bytes:
    if isinstance(content, str):
        return content.encode()
    try:
        return base64.b64decode(content.base64, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidError(f"The file {path[:255]!a} is no base64.", "Encode it anew.", path=path[:255]) from None


def files_view(files: Mapping[str, bytes]) -> Files:
    """
    Show files: text as it is, anything else in base64.
    """
    return {path: _shown(data) for path, data in files.items()}


def _shown(data: bytes) -> str | Base64File:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Base64File(base64=base64.b64encode(data).decode())
