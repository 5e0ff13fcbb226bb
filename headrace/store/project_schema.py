"""
Hold a file of the project folder against its published JSON Schema, and say what is wrong in words.

No message repeats a value that may be a secret: only keys, and words of the schema itself, are quoted.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry, Resource

from headrace.core.errors import DefinitionError
from headrace.store.project_yaml import Document, Location

SCHEMAS = ("headrace", "flow", "tenant")
"""Names of the published schemas; each is a file `<name>.schema.json` of this package."""

_TYPE_WORDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "empty",
}


def schema(name: str) -> dict[str, Any]:
    """
    A published schema as it stands in its file.
    """
    text = (resources.files("headrace.store") / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def violations(document: Document, schema_name: str) -> list[DefinitionError]:
    """
    Everything in which a document differs from its schema, in the order of its lines.
    """
    errors = _validator(schema_name).iter_errors(document.value)
    found = [problem for error in errors for problem in _explain(document, error)]
    return sorted(found, key=lambda problem: problem.facts["line"])


@functools.cache
def _validator(name: str) -> Draft202012Validator:
    registry = Registry().with_resources(
        (f"{each}.schema.json", Resource.from_contents(schema(each))) for each in SCHEMAS
    )
    return Draft202012Validator(schema(name), registry=registry)


def _explain(document: Document, error: ValidationError) -> Iterator[DefinitionError]:
    at: Location = tuple(error.absolute_path)
    rules: dict[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    found: Any = error.instance
    match error.validator:
        case "additionalProperties":
            for key in _unknown_keys(dict(found), rules):
                yield _unknown_key(document, (*at, key), rules)
        case "required":
            missing = next(name for name in rules["required"] if name not in found)
            about = rules.get("properties", {}).get(missing, {}).get("description", "")
            yield document.problem(at, f"{_name(at)} lacks `{missing}`.", f"Add it. {about}".strip())
        case "type":
            reason = f"{_name(at)} must be {_types(rules['type'])}, not {_type_of(found)}."
            yield document.problem(at, reason, _next_move(rules, found))
        case "enum":
            allowed = ", ".join(str(value) for value in rules["enum"])
            guess = get_close_matches(str(found), [str(value) for value in rules["enum"]], n=1)
            meant = f"Did you mean `{guess[0]}`? " if guess else ""
            yield document.problem(
                at, f"{_name(at)} must be one of: {allowed}.", f"{meant}{rules.get('description', '')}".strip()
            )
        case validator:
            said = rules.get("x-says", {}).get(validator)
            yield document.problem(
                at, f"{_name(at)} has a value that is not allowed.", said or rules.get("description", "")
            )


def _unknown_keys(instance: dict[str, Any], rules: dict[str, Any]) -> list[str]:
    patterns = [re.compile(pattern) for pattern in rules.get("patternProperties", {})]
    known = rules.get("properties", {})
    return [key for key in instance if key not in known and not any(pattern.search(key) for pattern in patterns)]


def _unknown_key(document: Document, at: Location, rules: dict[str, Any]) -> DefinitionError:
    known = list(rules.get("properties", {}))
    if not known:
        return document.problem(at, f"`{at[-1]}` is not a valid {rules['title']}.", rules["description"])
    guess = get_close_matches(str(at[-1]), known, n=1)
    meant = f"Did you mean `{guess[0]}`?" if guess else f"Known here: {', '.join(known)}."
    return document.problem(at, f"`{at[-1]}` is not a key that is known here.", meant)


def _next_move(rules: dict[str, Any], value: Any) -> str:
    about = str(rules.get("description", ""))
    return (
        f"Put it in quotes. {about}".strip()
        if "string" in _list(rules["type"]) and isinstance(value, int | float)
        else about
    )


def _types(types: str | list[str]) -> str:
    return " or ".join(_TYPE_WORDS[each] for each in _list(types) if each != "null")


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "empty"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
    return "a mapping"


def _list(types: str | list[str]) -> list[str]:
    return [types] if isinstance(types, str) else types


def _name(at: Location) -> str:
    """
    What to call the value at a location: its key, or its place in the list of that key.
    """
    if not at:
        return "The file"
    last = at[-1]
    return f"Item {last + 1} of {_name(at[:-1])}" if isinstance(last, int) else f"`{last}`"
