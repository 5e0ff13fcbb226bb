"""
The columns of a stream, read from its SCHEMA message.

| JSON schema of a property | kind | Parquet type |
|---|---|---|
| `integer` | integer | int64 |
| `number`, `integer` and `number` | number | float64 (text with `decimals: text`, where it has `multipleOf`) |
| `boolean` | boolean | bool |
| `string` with `format: date-time` | datetime | timestamp |
| `object`, `array` | json | string: the JSON text exactly as sent |
| anything else: `string`, other formats, several types, no type | text | string: strings as they are, other values as the JSON text sent |

`null` beside a type says nothing new. `anyOf`, `oneOf` and `allOf` count by the kinds of their members: one kind is that kind,
integer and number are number, and anything else is text, so that `date-time | string` keeps "not a date".
A schema that names no property at all has one column, `record`, with the JSON text of the whole record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from headrace.runners.data_errors import SchemaInvalidError

Kind = Literal["integer", "number", "boolean", "datetime", "text", "json"]
Decimals = Literal["float", "text"]

WHOLE_RECORD = "record"
_UNIONS = ("anyOf", "oneOf", "allOf")
_KINDS: dict[str, Kind] = {
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "object": "json",
    "array": "json",
    "string": "text",
}


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Shape:
    """
    What one SCHEMA message says of its stream.

    Args:
        whole: the schema names no property, and the only column is the record itself.
    """

    columns: tuple[Column, ...]
    key_properties: tuple[str, ...] = ()
    whole: bool = False


class _SchemaMessage(msgspec.Struct, gc=False):
    stream: str
    schema: dict[str, Any]
    key_properties: Any = None


_decode_schema = msgspec.json.Decoder(_SchemaMessage).decode


def read_schema(text: bytes, *, line: int, decimals: Decimals = "float") -> tuple[str, Shape]:
    """
    Stream name and shape of the SCHEMA message *text*.

    Raises:
        SchemaInvalidError: no stream, no schema, or properties that are no object.
    """
    try:
        message = _decode_schema(text)
        return message.stream, shape_of(message.schema, message.key_properties, decimals=decimals)
    except (ValueError, TypeError, RecursionError) as error:
        raise SchemaInvalidError(
            f"The SCHEMA message on line {line} cannot be used: {error}.",
            "Have the tap write a stream name and a JSON schema with properties.",
            line=line,
            excerpt=text[:200].decode("utf-8", "backslashreplace"),
        ) from error


def shape_of(schema: Mapping[str, Any], key_properties: Any = (), *, decimals: Decimals = "float") -> Shape:
    properties = schema.get("properties") or {}
    if not isinstance(properties, Mapping):
        raise TypeError("properties is no object")
    keys = tuple(key for key in key_properties or () if isinstance(key, str))
    if not properties:
        return Shape((Column(WHOLE_RECORD, "json"),), keys, whole=True)
    return Shape(tuple(Column(name, kind_of(value, decimals=decimals)) for name, value in properties.items()), keys)


def kind_of(schema: Any, *, decimals: Decimals = "float") -> Kind:
    """
    The kind of one property, by the table above.
    """
    if not isinstance(schema, Mapping):
        return "text"  # JSON schema allows true and false here
    union = next((schema[word] for word in _UNIONS if isinstance(schema.get(word), list)), None)
    if union is not None:
        return _kind_of_union({kind_of(member, decimals=decimals) for member in union if not _is_null(member)})
    types = set(_types(schema))
    if types == {"integer", "number"}:
        types = {"number"}
    if len(types) != 1:
        return "datetime" if not types and schema.get("format") == "date-time" else "text"
    only = types.pop()
    if only == "string" and schema.get("format") == "date-time":
        return "datetime"
    if only == "number" and decimals == "text" and "multipleOf" in schema:
        return "text"
    return _KINDS.get(only, "text")


def widened(kinds: set[Kind]) -> Kind:
    """
    The kind that holds every value of *kinds*: itself, number for integer and number, json for nested kinds, else text.
    """
    if len(kinds) == 1:
        return next(iter(kinds))
    return "number" if kinds == {"integer", "number"} else "text"


def _kind_of_union(kinds: set[Kind]) -> Kind:
    return widened(kinds) if kinds else "text"


def _is_null(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") in ("null", ["null"])


def _types(schema: Mapping[str, Any]) -> Iterator[str]:
    types = schema.get("type", ())
    for name in (types,) if isinstance(types, str) else types or ():
        if isinstance(name, str) and name != "null":
            yield name
