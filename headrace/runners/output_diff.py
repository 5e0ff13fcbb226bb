"""
How two folders of output differ: per stream or file the rows that were added, removed and changed, and the first few of them.

The order of rows means nothing. Rows are told apart by the keys that the output itself names, else by a field `id` that is there in
every row once; without either a changed row is one removed and one added.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from headrace.runners.output_rows import Row, Table, tables_of

_NOTHING = Table("", lambda: iter(()))
_ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    One row that differs.

    Attributes:
        key: values of the fields that tell it apart; empty without such.
        before, after: the row; of a changed one only the fields that differ, None in one of the two of any other.
    """

    kind: Literal["added", "removed", "changed"]
    key: Row = field(default_factory=dict)
    before: Row | None = None
    after: Row | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDifference:
    """
    How one stream or file differs.

    Attributes:
        schema_changed: the file itself says another form: other fields, other types.
        samples: the first few rows that differ.
    """

    name: str
    rows_before: int
    rows_after: int
    added: int
    removed: int
    changed: int
    schema_changed: bool
    samples: tuple[Difference, ...] = ()

    @property
    def same(self) -> bool:
        return not (self.added or self.removed or self.changed or self.schema_changed)


@dataclass(slots=True)
class _Side:
    """What is held in memory of one side's rows: their digests, and by which key each goes."""

    digests: Counter[bytes] = field(default_factory=Counter)
    by_key: dict[bytes, bytes] | None = field(default_factory=dict)


def compare_output(
    before: Path, after: Path, *, ignore: Collection[str] = (), most_samples: int = 5
) -> list[TableDifference]:
    """
    Compare two folders of output, by the names of their streams and files; fields of *ignore* are not looked at.
    """
    old, new = tables_of(before), tables_of(after)
    return [
        _compare(name, old.get(name), new.get(name), frozenset(ignore), most_samples)
        for name in sorted(old.keys() | new.keys())
    ]


def _compare(
    name: str, old: Table | None, new: Table | None, ignore: frozenset[str], most_samples: int
) -> TableDifference:
    keys = (new or old or _NOTHING).keys or ("id",)
    one, other = (_read(table or _NOTHING, keys, ignore) for table in (old, new))
    gone, come = one.digests - other.digests, other.digests - one.digests
    changed: set[bytes] = set()
    if one.by_key is not None and other.by_key is not None:
        changed = {key for key, digest in one.by_key.items() if other.by_key.get(key, digest) != digest}
    samples: tuple[Difference, ...] = ()
    if most_samples and (gone or come):
        left = list(_differing(old or _NOTHING, gone, ignore, 20 * most_samples))
        right = list(_differing(new or _NOTHING, come, ignore, 20 * most_samples))
        samples = _samples(left, right, keys if changed else (), most_samples)
    return TableDifference(
        name=name,
        rows_before=one.digests.total(),
        rows_after=other.digests.total(),
        added=come.total() - len(changed),
        removed=gone.total() - len(changed),
        changed=len(changed),
        schema_changed=old is None or new is None or _shape(old, ignore) != _shape(new, ignore),
        samples=samples,
    )


def _read(table: Table, keys: tuple[str, ...], ignore: frozenset[str]) -> _Side:
    side = _Side()
    for row in table.rows():
        digest = _digest(row, ignore)
        side.digests[digest] += 1
        if side.by_key is not None:
            key = _key(row, keys)
            if key is None or key in side.by_key:
                side.by_key = None  # no key after all
            else:
                side.by_key[key] = digest
    return side


def _differing(table: Table, digests: Counter[bytes], ignore: frozenset[str], most: int) -> Iterator[Row]:
    left, found = Counter(digests), 0
    for row in table.rows():
        digest = _digest(row, ignore)
        if left[digest] > 0:
            left[digest] -= 1
            found += 1
            yield {name: value for name, value in row.items() if name not in ignore}
            if found >= most:
                return


def _samples(gone: list[Row], come: list[Row], keys: tuple[str, ...], most: int) -> tuple[Difference, ...]:
    """
    Pair the rows of both sides that have one key; the rest was removed or added.
    """
    after = {_key(row, keys): row for row in come} if keys else {}
    found: list[Difference] = []
    paired: set[bytes | None] = set()
    for row in gone:
        twin = after.get(_key(row, keys)) if keys else None
        if twin is None:
            found.append(Difference(kind="removed", before=row))
            continue
        paired.add(_key(row, keys))
        names = [name for name in {**row, **twin} if row.get(name, _ABSENT) != twin.get(name, _ABSENT)]
        found.append(
            Difference(
                kind="changed",
                key={name: row[name] for name in keys},
                before={name: row[name] for name in names if name in row},
                after={name: twin[name] for name in names if name in twin},
            )
        )
    found += [Difference(kind="added", after=row) for row in come if not keys or _key(row, keys) not in paired]
    order = {"changed": 0, "removed": 1, "added": 2}
    return tuple(sorted(found, key=lambda each: order[each.kind])[:most])


def _key(row: Row, keys: tuple[str, ...]) -> bytes | None:
    if not keys or any(row.get(name) is None for name in keys):
        return None
    return _encoded([row[name] for name in keys])


def _digest(row: Row, ignore: frozenset[str]) -> bytes:
    kept = {name: value for name, value in row.items() if name not in ignore}
    return hashlib.blake2b(_encoded(kept), digest_size=16).digest()


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value, order="deterministic", enc_hook=repr)
    except (TypeError, ValueError, OverflowError):  # half a character, or a key that is no text
        return repr(value).encode(errors="surrogatepass")


def _shape(table: Table, ignore: frozenset[str]) -> Any:
    return [name for name in table.schema if name not in ignore] if isinstance(table.schema, list) else table.schema
