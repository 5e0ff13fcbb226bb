"""
What callers send: pipelines and data components, field by field.

Source: the pages "Pipelines" and "Data components" of Matatika's public documentation, and the server's published OpenAPI file for `label`
and `name`. Unknown fields are ignored. A wrong type is one problem per field, all of them at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from headrace.core.errors import InvalidError
from headrace.core.pipelines import Component, Pipeline
from headrace.services.field_problems import FieldProblem, refuse

_SPACE = re.compile(r"\s+")
_WHOLE_AT_MOST = 2**31 - 1


def object_of(body: bytes) -> dict[str, Any]:
    """
    Read a body that is one JSON object; an empty one is an empty object, whatever its content type says.

    Raises:
        InvalidError: it is something else, or holds the character NUL.
    """
    if not body.strip():
        return {}
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise InvalidError("JSON parse error: the body is not one JSON object in UTF-8.", "Send one.") from None
    if not isinstance(found, dict):
        raise InvalidError("JSON parse error: the body is not a JSON object.", "Send one.")
    if b"\\u0000" in body and b"\\u0000" in msgspec.json.encode(found).replace(rb"\\", b""):
        raise InvalidError("The body contains the character NUL.", "Leave it out.")
    return found


class Fields:
    """
    Takes fields out of a body and collects what is wrong with them.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self.problems: list[FieldProblem] = []

    def text(self, name: str) -> str:
        value = self._body.get(name)
        if value is None or isinstance(value, str):
            return value or ""
        self._wrong(name, value, "must be a text")
        return ""

    def whole(self, name: str) -> int:
        value = self._body.get(name)
        if value is None:
            return 0
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _WHOLE_AT_MOST:
            return value
        self._wrong(name, value, "must be a whole number")
        return 0

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._body.get(name)
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return tuple(value)
        self._wrong(name, value, "must be a list of texts")
        return ()

    def properties(self, name: str = "properties") -> dict[str, str]:
        """
        Take an object of texts; other values become their JSON, which is what they are on this wire.
        """
        value = self._body.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._wrong(name, value, "must be an object")
            return {}
        return {
            key: each if isinstance(each, str) else msgspec.json.encode(each).decode()
            for key, each in value.items()
            if each is not None
        }

    def mapping(self, name: str) -> dict[str, Any]:
        value = self._body.get(name)
        if value is None or isinstance(value, dict):
            return value or {}
        self._wrong(name, value, "must be an object")
        return {}

    def _wrong(self, name: str, value: Any, message: str) -> None:
        self.problems.append(FieldProblem(name, value, message, "typeMismatch"))


def pipeline_in(
    body: Mapping[str, Any],
    *,
    id: UUID,  # noqa: A002 - the field's name
    workspace_id: UUID,
    draft: bool = False,
    before: Pipeline | None = None,
) -> Pipeline:
    """
    Read a pipeline; properties that come back masked keep the value they had.

    Raises:
        FieldsError: fields are of the wrong type.
    """
    fields = Fields(body)
    name, label = _names(fields)
    pipeline = Pipeline(
        id=id,
        workspace_id=workspace_id,
        name=name or (before.name if before else ""),
        label=label or (before.label if before else ""),
        schedule=fields.text("schedule").strip(),
        timeout_seconds=fields.whole("timeout"),
        max_retries=fields.whole("maxRetries"),
        script=fields.text("script"),
        data_components=fields.texts("dataComponents"),
        actions=fields.texts("actions"),
        triggered_by=fields.texts("triggeredBy"),
        properties=unmasked(fields.properties(), before.properties if before else {}),
        draft=draft,
        config_job=before.config_job if before else None,
    )
    refuse("pipeline", fields.problems)
    return pipeline


def component_in(
    body: Mapping[str, Any],
    *,
    id: UUID,  # noqa: A002 - the field's name
    workspace_id: UUID,
    before: Component | None = None,
) -> Component:
    """
    Read a data component or a data store; what is missing keeps the value it had.

    Raises:
        FieldsError: fields are of the wrong type.
    """
    fields = Fields(body)
    properties = unmasked(fields.properties(), before.properties if before else {})
    component = Component(
        id=id,
        workspace_id=workspace_id,
        name=fields.text("name").strip() or (before.name if before else ""),
        plugin=fields.text("dataPlugin").strip() or (before.plugin if before else ""),
        properties=properties if "properties" in body or before is None else before.properties,
        commands=fields.mapping("commands") or (before.commands if before else {}),
        jdbc_url=fields.text("jdbcUrl") or (before.jdbc_url if before else ""),
        draft=body.get("draft") is True,
    )
    refuse("datacomponent", fields.problems)
    return component


MASK = "***"


def unmasked(sent: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """
    Put back what a caller was shown as `***` and sends unchanged.
    """
    return {key: before[key] if value == MASK and key in before else value for key, value in sent.items()}


def _names(fields: Fields) -> tuple[str, str]:
    """
    Give name and label, one out of the other where only one was sent: before 2026 `name` was what people read.
    """
    label, name = fields.text("label").strip(), fields.text("name").strip()
    return _SPACE.sub("-", name or label), label or name
