"""
BATCH messages: records in files beside the stream, as the Singer SDK writes them.

The message names its files as `file://` URLs in `manifest` and how they are written in `encoding`: `jsonl` with compression `none` or `gzip`, or
`parquet`. Each file is read in blocks and goes the way of RECORD lines. Other places (`s3://` and the like) are an error: a sync has no keys for them.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit
from zlib import error as ZlibError  # noqa: N812 - an exception under a lower-case name

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.runners.data_errors import BatchError, LineTooLongError

_READ_BYTES = 256 << 10
_ROWS = 1000
_UNREADABLE = (OSError, EOFError, ZlibError, ValueError, pa.ArrowException)


class _Encoding(msgspec.Struct):
    format: str = "jsonl"
    compression: str | None = None


class _BatchMessage(msgspec.Struct):
    stream: str
    manifest: list[str]
    encoding: _Encoding = msgspec.field(default_factory=_Encoding)


@dataclass(frozen=True, slots=True)
class RecordBlock:
    """
    *count* RECORD lines, without the last newline.
    """

    lines: bytes
    count: int


def read_batch(text: bytes, *, line: int, roots: tuple[Path, ...] | None, max_line_bytes: int) -> Iterator[RecordBlock]:
    """
    The records of the BATCH message *text*, in order.

    Raises:
        BatchError: the message, or a file it names, cannot be read.
        LineTooLongError: a line of a file is over the limit.
    """
    try:
        batch = msgspec.json.decode(text, type=_BatchMessage)
        for url in batch.manifest:
            yield from _read_file(_path_of(url, roots), batch.encoding, max_line_bytes)
    except _UNREADABLE as error:
        raise BatchError(
            f"The BATCH message on line {line} cannot be read: {error}.",
            "Have the tap write file:// batches of jsonl, jsonl.gz or parquet, or turn batches off.",
            line=line,
            excerpt=text[:200].decode("utf-8", "backslashreplace"),
        ) from error


def _path_of(url: str, roots: tuple[Path, ...] | None) -> Path:
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"}:
        raise ValueError(f"{parts.scheme}:// is not a local file")
    path = Path(unquote(parts.path)).resolve()
    if roots is not None and not any(path.is_relative_to(root.resolve()) for root in roots):
        raise ValueError(f"{path.name} is outside the folders that batches may be read from")
    return path


def _read_file(path: Path, encoding: _Encoding, max_line_bytes: int) -> Iterator[RecordBlock]:
    if encoding.format == "parquet":
        yield from _parquet_blocks(path)
    elif encoding.format == "jsonl" and encoding.compression in {None, "", "none", "gzip", "gz"}:
        packed = encoding.compression in {"gzip", "gz"}
        with gzip.open(path) if packed else path.open("rb") as file:
            yield from _jsonl_blocks(file, max_line_bytes)
    else:
        raise ValueError(f"{encoding.format} with {encoding.compression} is not known")


def _jsonl_blocks(file: IO[bytes] | gzip.GzipFile, max_line_bytes: int) -> Iterator[RecordBlock]:
    held = b""
    while chunk := file.read(_READ_BYTES):
        held += chunk
        end = held.rfind(b"\n")
        if end >= 0:
            yield from _wrapped(held[:end].split(b"\n"))
            held = held[end + 1 :]
        elif len(held) > max_line_bytes:
            raise LineTooLongError(
                f"A line of a BATCH file is longer than {max_line_bytes} bytes.",
                "Raise max_line_bytes, or have the tap write smaller records.",
            )
    yield from _wrapped([held])


def _wrapped(records: list[bytes]) -> Iterator[RecordBlock]:
    lines = [b'{"record":%b}' % record for record in records if record.strip()]
    if lines:
        yield RecordBlock(b"\n".join(lines), len(lines))


def _parquet_blocks(path: Path) -> Iterator[RecordBlock]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS):
            yield from _wrapped([json.dumps(row, default=_plain).encode() for row in batch.to_pylist()])


def _plain(value: Any) -> Any:
    """
    A Parquet value that JSON does not have, as a tap would have written it: date-times in ISO 8601, decimals as their digits.
    """
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
