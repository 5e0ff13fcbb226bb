"""
The folders of one sync: what an earlier attempt left, what a checkpoint covers, what comes out at the end.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headrace.runners.file_names import FileNames
from headrace.runners.manifest import (
    MANIFEST,
    Manifest,
    Part,
    StreamParts,
    read_manifest,
    replace_file,
    sync_path,
    write_manifest,
)
from headrace.runners.part_formats import CsvFormat, ParquetFormat, PartFormat
from headrace.runners.part_writer import Commit, PartWriter
from headrace.runners.quarantine import UNREADABLE, Quarantine
from headrace.runners.resume import decide
from headrace.runners.sync_spec import SyncSpec

METRICS = "job_metrics.json"
_CHECKPOINT_SHARE = 20  # a checkpoint may take a twentieth of the time, so 10,000 streams checkpoint more rarely


class SyncFiles:
    """
    Args:
        names: the file-name stems of this sync's streams.
    """

    def __init__(self, spec: SyncSpec) -> None:
        self._spec = spec
        self._parts_dir = spec.work_dir / "parts"
        self._format: PartFormat = (
            ParquetFormat(spec.datetimes) if spec.format == "parquet" else CsvFormat(spec.datetimes, spec.csv)
        )
        self._longest_commit_seconds = 0.0
        self.names = FileNames()
        self.durable_state: dict[str, Any] | None = None

    def prepare(self, quarantine: Quarantine) -> tuple[PartWriter, dict[str, int]]:
        """
        Clear the folders, but for the parts that a resumed sync keeps; give the writer and the rows by stream that are there already.
        """
        for folder in (self._spec.output_dir, self._parts_dir):
            folder.mkdir(parents=True, exist_ok=True)
        manifest = read_manifest(self._spec.work_dir) or Manifest()
        for name in manifest.outputs:
            (self._spec.output_dir / name).unlink(missing_ok=True)
        kept = self._keep(manifest) if self._spec.resume else {}
        self._remove_all_but(kept, quarantine)
        writer = PartWriter(
            self._parts_dir,
            self._format,
            kept={stream: parts.parts for stream, parts in kept.items()},
            max_output_bytes=self._spec.limits.max_output_bytes,
        )
        return writer, {stream: parts.rows for stream, parts in kept.items()}

    def commit(
        self, state: bytes | None, quarantine: Quarantine, on_done: Callable[[msgspec.Raw | None], None]
    ) -> Commit:
        """
        What the writer does once everything before it is in parts: the manifest, then *on_done* with the state it covers.

        A checkpoint without a STATE of this attempt keeps the state that a resumed sync began with.
        """
        counts, sizes = dict(quarantine.counts), dict(quarantine.sizes)
        started_at = time.monotonic()

        def write(parts: Mapping[str, tuple[Part, ...]]) -> None:
            quarantine.sync()
            value = self.durable_state if state is None else msgspec.json.decode(state)
            streams = {
                stream: StreamParts(
                    parts.get(stream, ()), self.names.stem(stream), counts.get(stream, 0), sizes.get(stream, 0)
                )
                for stream in {**parts, **counts}
                if stream != UNREADABLE
            }
            write_manifest(
                self._spec.work_dir, Manifest(value, streams, tuple(self._output_name(name) for name in parts))
            )
            self.durable_state = value
            self._longest_commit_seconds = max(self._longest_commit_seconds, time.monotonic() - started_at)
            on_done(None if state is None else msgspec.Raw(state))

        return write

    def checkpoint_seconds(self, wanted_seconds: float) -> float:
        return max(wanted_seconds, _CHECKPOINT_SHARE * self._longest_commit_seconds)

    def assemble(self, parts: Mapping[str, tuple[Part, ...]]) -> list[dict[str, Any]]:
        """
        One file per stream, durable; says for each its stream, name, rows and bytes.
        """
        files = []
        for stream, of_stream in parts.items():
            name = self._output_name(stream)
            path = self._spec.output_dir / name
            temporary = path.with_name(f".{name}.tmp")
            try:
                self._format.assemble(self._parts_dir, of_stream, temporary)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            rows = sum(part.rows for part in of_stream)
            files.append({"stream": stream, "name": name, "rows": rows, "bytes": path.stat().st_size})
        sync_path(self._spec.output_dir)
        return files

    def write_metrics(self, counts: Mapping[str, int]) -> None:
        """
        Write the counts, beside those of streams that the tap wrote to files, and counted, itself.
        """
        record_count = self._counted_by_tap() | {stream: count for stream, count in counts.items() if count}
        replace_file(self._spec.output_dir / METRICS, msgspec.json.encode({"recordCount": record_count}))

    def _counted_by_tap(self) -> dict[str, Any]:
        try:
            written = msgspec.json.decode((self._spec.output_dir / METRICS).read_bytes())
        except (OSError, msgspec.DecodeError):
            return {}
        counts = written.get("recordCount") if isinstance(written, dict) else None
        return counts if isinstance(counts, dict) else {}

    def _output_name(self, stream: str) -> str:
        return f"{self.names.stem(stream)}-{self._spec.timestamp}.{self._format.extension}"

    def _keep(self, manifest: Manifest) -> dict[str, StreamParts]:
        """
        The parts that this attempt goes on from; the manifest says so before any other part is removed.
        """
        plan = decide(self._spec.initial_state, manifest.state, manifest.streams)
        kept = {stream: parts for stream, parts in manifest.streams.items() if stream in plan.kept_streams}
        for stream, parts in kept.items():
            self.names.claim(stream, parts.stem)
        self.durable_state = plan.state
        write_manifest(self._spec.work_dir, Manifest(plan.state, kept))
        return kept

    def _remove_all_but(self, kept: Mapping[str, StreamParts], quarantine: Quarantine) -> None:
        if not self._spec.resume:
            (self._spec.work_dir / MANIFEST).unlink(missing_ok=True)
        names = {part.name for parts in kept.values() for part in parts.parts}
        for path in self._parts_dir.iterdir():
            if path.name not in names:
                path.unlink()
        shutil.rmtree(self._spec.work_dir / "spill", ignore_errors=True)
        quarantine.remove_all_but(kept)
        for stream, parts in kept.items():
            quarantine.restore(stream, parts.quarantined, parts.quarantine_bytes)
