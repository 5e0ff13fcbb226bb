"""
What the worker asks of one sync-output process: the SPEC.json it is started with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

Datetimes = Literal["naive_ms", "utc_us"]
OnMisfit = Literal["quarantine", "fail", "null"]
Format = Literal["parquet", "csv"]
MaxRecords = int | dict[str, int] | None


@dataclass(frozen=True, slots=True)
class CsvOptions:
    """
    How a CSV file is written; strings are quoted, null is an empty field without quotes.
    """

    delimiter: str = ","
    quotechar: str = '"'


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What one sync may use.

    Args:
        max_line_bytes: a longer line ends the sync with `line-too-long`.
        max_records: records a stream may have, for every stream or by stream; the first one beyond ends the sync with `record-limit`.
        drop_beyond: those beyond are dropped and counted instead, and the sync goes on.
        max_output_bytes: size of all files and parts together; more ends the sync with `output-limit`.
        checkpoint_seconds: at the first STATE after so long, what it covers is made durable.
        checkpoint_bytes: the same after so many bytes from the tap.
    """

    max_line_bytes: int = 64 << 20
    max_records: MaxRecords = None
    drop_beyond: bool = False
    max_output_bytes: int | None = None
    checkpoint_seconds: float = 30.0
    checkpoint_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True)
class SyncSpec:
    """
    One Singer stream into files.

    Args:
        output_dir: where the one file per stream and `job_metrics.json` go.
        work_dir: parts, manifest and quarantine; on the same file system as *output_dir* if files are not to be copied.
        timestamp: UTC, `YYYYMMDDTHHMMSS`; the last part of each file's name.
        datetimes: `naive_ms` is what hotglue's target writes and gluestick scripts expect; `utc_us` keeps zone and microseconds.
        decimals: `text` keeps numbers with `multipleOf` as the exact text sent; `float` makes them float64.
        on_misfit: a value that fits no rule becomes null and is kept in `work_dir/quarantine` (`quarantine`), ends the sync (`fail`),
            or becomes null and is only counted (`null`).
        batch_roots: folders from which files of BATCH messages may be read; None allows any that the process may read.
        report_fd: an open pipe to the worker; None reports nothing.
        initial_state: the Singer state that the job started from; with *resume* it decides which parts may be kept.
        resume: go on from `work_dir/manifest.json` of an attempt that died.
    """

    output_dir: Path
    work_dir: Path
    timestamp: str
    format: Format = "parquet"
    datetimes: Datetimes = "naive_ms"
    decimals: Literal["float", "text"] = "float"
    on_misfit: OnMisfit = "quarantine"
    csv: CsvOptions = CsvOptions()
    limits: Limits = Limits()
    batch_roots: tuple[Path, ...] | None = None
    report_fd: int | None = None
    initial_state: dict[str, Any] | None = field(default=None)
    resume: bool = False


def read_spec(path: Path) -> SyncSpec:
    """
    Raises:
        msgspec.ValidationError: the file is no SyncSpec.
    """
    return msgspec.json.decode(path.read_bytes(), type=SyncSpec, dec_hook=_decode_path)


def write_spec(spec: SyncSpec, path: Path) -> None:
    path.write_bytes(msgspec.json.encode(spec, enc_hook=str))


def _decode_path(wanted: type, value: Any) -> Any:
    if wanted is not Path or not isinstance(value, str):
        raise TypeError(f"{value!r} is no {wanted.__name__}")  # msgspec makes it a ValidationError
    return Path(value)


def limit_of(max_records: MaxRecords, stream: str) -> int | None:
    """
    How many records *stream* may have; None for any number.
    """
    return max_records.get(stream) if isinstance(max_records, dict) else max_records
