"""
From a tap's catalog and a tenant's field map to the catalog the tap is started with.

A field map names the streams and fields a tenant wants: `{"<stream>": {"name": "<stream>", "selected": ["a", "b"]}}`, where `["*"]`
is every field. Without one, every stream and field is selected. Fields whose metadata says `inclusion: automatic` always are.
Selection is written in both forms in use: metadata with an empty breadcrumb, and the older `selected` beside the schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any


def select(catalog: Mapping[str, Any], field_map: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Give a copy of *catalog* with just what *field_map* names selected.
    """
    selected = deepcopy(dict(catalog))
    for stream in selected.get("streams", []):
        wanted = _wanted_fields(stream, field_map)
        _select_stream(stream, wanted)
    return selected


def _wanted_fields(stream: Mapping[str, Any], field_map: Mapping[str, Any] | None) -> set[str] | None:
    """
    Name the fields wanted of *stream*: None is none at all, `{"*"}` every one.
    """
    if field_map is None:
        return {"*"}
    for name in (stream.get("tap_stream_id"), stream.get("stream")):
        if isinstance(name, str) and name in field_map:
            entry = field_map[name]
            fields = entry.get("selected", ["*"]) if isinstance(entry, Mapping) else entry
            return set(fields) if isinstance(fields, list) else {"*"} if fields else None
    return None


def _select_stream(stream: dict[str, Any], wanted: set[str] | None) -> None:
    properties = list((stream.get("schema") or {}).get("properties") or {})
    entries = {tuple(entry.get("breadcrumb", ())): entry for entry in stream.get("metadata") or []}
    stream["selected"] = wanted is not None
    for breadcrumb, chosen in [
        ((), wanted is not None),
        *((("properties", name), _chosen(name, wanted, entries)) for name in properties),
    ]:
        entry = entries.setdefault(breadcrumb, {"breadcrumb": list(breadcrumb), "metadata": {}})
        if (entry.setdefault("metadata", {}) or {}).get("inclusion") != "unsupported":
            entry["metadata"]["selected"] = chosen
    stream["metadata"] = list(entries.values())


def _chosen(name: str, wanted: set[str] | None, entries: Mapping[tuple[str, ...], Mapping[str, Any]]) -> bool:
    if wanted is None:
        return False
    metadata = entries.get(("properties", name), {}).get("metadata") or {}
    return "*" in wanted or name in wanted or metadata.get("inclusion") == "automatic"
