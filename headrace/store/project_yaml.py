"""
Read a YAML file of the project folder into plain values, each with the line where it stands.

YAML 1.2, with three differences that keep what people write: a key is always the text that stands there, a date stays text (settings are
JSON, which has no dates), and values that JSON cannot hold are refused.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from headrace.core.errors import DefinitionError

Location = tuple[str | int, ...]
"""Keys and indexes that lead to a value from the top of its file."""

_LIMIT_BYTES = 16 * 2**20
_LIMIT_VALUES = 1_000_000  # aliases of aliases can stand for more values than any memory holds
_LIMIT_DEPTH = 100
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Document:
    """
    One file, read; its value is shared with later readers of the same file, and never changed.

    Attributes:
        file: its path inside the project folder.
        value: its content as plain JSON values.
        lines: where each value stands, its key's line if it has one; the first line is 1.
    """

    file: str
    value: Any
    lines: dict[Location, int] = field(default_factory=dict)

    def problem(self, at: Location, reason: str, instruction: str) -> DefinitionError:
        """
        Say what is wrong with the value at a location; of one that is missing, the line is that of what should hold it.
        """
        line = next(self.lines[at[:depth]] for depth in range(len(at), -1, -1) if at[:depth] in self.lines or not depth)
        return problem(self.file, line, reason, instruction, at=at)


def problem(file: str, line: int, reason: str, instruction: str, *, at: Location = ()) -> DefinitionError:
    return DefinitionError(f"{file}, line {line}: {reason}", instruction, file=file, line=line, at=list(at))


def read_document(folder: Path, file: str) -> Document:
    """
    Read *file* of the project folder; an empty one is an empty mapping.

    Raises:
        DefinitionError: it cannot be read, is no YAML, or has a key twice.
    """
    try:
        content = (folder / file).read_bytes()
    except OSError as error:
        raise problem(file, 1, f"The file cannot be read ({error.strerror}).", "Check that it is there.") from error
    if len(content) > _LIMIT_BYTES:
        raise problem(file, 1, "The file is larger than 16 MiB.", "Move tenants into files of their own.")
    return _parse(file, content)


def read_content(name: str, content: bytes) -> Document:
    """
    Read a document that somebody sent under a name; raises what `read_document` raises.
    """
    if len(content) > _LIMIT_BYTES:
        raise problem(name, 1, "The file is larger than 16 MiB.", "Send it in parts.")
    return _parse.__wrapped__(name, content)


# A file of a tenant takes milliseconds to parse, and of thousands only one has changed when the folder is read again.
@functools.lru_cache(maxsize=16_384)
def _parse(file: str, content: bytes) -> Document:
    try:
        node = YAML(typ="safe").compose(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise problem(file, line, "The file is not UTF-8.", "Save it as UTF-8.") from error
    except YAMLError as error:
        raise _not_yaml(file, error) from error
    except RecursionError as error:
        raise problem(file, 1, "The file is nested too deep.", "Write out less brackets.") from error
    if node is None:
        return Document(file, {}, {(): 1})
    reader = _Reader(file)
    value = reader.read(node, ())
    return Document(file, {} if value is None else value, reader.lines)


def _not_yaml(file: str, error: YAMLError) -> DefinitionError:
    mark = error.problem_mark or error.context_mark if isinstance(error, MarkedYAMLError) else None
    said = (error.problem or error.context if isinstance(error, MarkedYAMLError) else None) or "it cannot be parsed"
    return problem(
        file,
        mark.line + 1 if mark else 1,
        f"This is not valid YAML: {said}.",
        "Check indentation, quotes and colons on this line and the one before.",
    )


class _Reader:
    """
    Nodes to plain values, with a note of every line.
    """

    def __init__(self, file: str) -> None:
        self.lines: dict[Location, int] = {}
        self._file = file
        self._values = 0

    def read(self, node: Node, at: Location) -> Any:
        self.lines.setdefault(at, node.start_mark.line + 1)
        self._values += 1
        if self._values > _LIMIT_VALUES or len(at) > _LIMIT_DEPTH:
            raise self._refuse(
                node,
                "The file is too large or too deep.",
                "Write out less, and look for an alias inside its own anchor.",
            )
        match node:
            case MappingNode():
                return self._read_mapping(node, at)
            case SequenceNode():
                return [self.read(item, (*at, index)) for index, item in enumerate(node.value)]
            case ScalarNode():
                return self._read_scalar(node)
        raise self._refuse(node, "This cannot be read.", "Use mappings, lists and plain values.")

    def _read_mapping(self, node: MappingNode, at: Location) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in self._own_pairs(node):
            if key.value in found:
                raise self._refuse(key, f"The key `{key.value}` stands here twice.", "Remove one of them.")
            self.lines[*at, key.value] = key.start_mark.line + 1
            found[key.value] = self.read(value, (*at, key.value))
        for merged in self._merged_nodes(node):
            for name, value in self._read_mapping(merged, at).items():
                found.setdefault(name, value)
        return found

    def _own_pairs(self, node: MappingNode) -> Iterator[tuple[ScalarNode, Node]]:
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise self._refuse(key, "A key must be plain text.", "Put it in quotes.")
            if key.tag != _MERGE:
                yield key, value

    def _merged_nodes(self, node: MappingNode) -> Iterator[MappingNode]:
        for key, value in node.value:
            if key.tag == _MERGE:
                for merged in value.value if isinstance(value, SequenceNode) else [value]:
                    if not isinstance(merged, MappingNode):
                        raise self._refuse(key, "`<<` merges mappings only.", "Point it at an anchor of a mapping.")
                    yield merged

    def _read_scalar(self, node: ScalarNode) -> Any:
        text: str = node.value
        match str(node.tag).rpartition(":")[2]:
            case "str" | "timestamp":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() in {"true", "yes", "on"}
            case "int":
                return _integer(text)
            case "float" if text.lower().lstrip("+-") not in {".nan", ".inf"}:
                return float(text.replace("_", ""))
        raise self._refuse(node, f"The value {text} cannot be read.", "Put it in quotes if it is text.")

    def _refuse(self, node: Node, reason: str, instruction: str) -> DefinitionError:
        return problem(self._file, node.start_mark.line + 1, reason, instruction)


def _integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    for prefix, base in (("0x", 16), ("0o", 8), ("0b", 2)):
        if digits.lstrip("+-").startswith(prefix):
            return int(digits, base)
    return int(digits)
