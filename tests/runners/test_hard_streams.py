"""
Hard streams, small ones, through a whole sync: schema changes, odd names, other messages, cut ends.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hotglue_rows import row

from headrace.runners.sync_spec import CsvOptions
from tests.runners.singer_kit import (
    DATETIME,
    INTEGER,
    NUMBER,
    OBJECT,
    TEXT,
    TIMESTAMP,
    record,
    schema,
    state,
    stream_of,
    sync,
)


@row("drill 33")
def test_a_changed_schema_still_gives_one_file(tmp_path: Path):
    """
    Parts of two shapes become one file: new columns null before, a changed kind widened to text.
    """
    done = sync(
        tmp_path,
        schema({"id": INTEGER, "a": INTEGER, "at": DATETIME}),
        record({"id": 1, "a": 1, "at": "2020-01-01T00:00:00Z"}),
        schema({"id": INTEGER, "a": TEXT, "b": TEXT, "at": TEXT}),
        record({"id": 2, "a": "x", "b": "new", "at": "later"}),
        state({"n": 2}),
    )

    assert done.files() == [f"t-{TIMESTAMP}.parquet"]
    assert done.rows() == [
        {"id": 1, "a": "1", "at": "2020-01-01T00:00:00.000", "b": None},
        {"id": 2, "a": "x", "at": "later", "b": "new"},
    ]


@pytest.mark.parametrize(("first", "wanted"), [(7, [7.0, 1.5]), (2**53 + 1, ["9007199254740993", "1.5"])])
def test_integer_and_number_become_number_unless_a_digit_would_be_lost(
    tmp_path: Path, first: int, wanted: list[object]
):
    """
    Widening never rounds: an integer that float64 cannot hold makes the column text.
    """
    done = sync(tmp_path, schema({"a": INTEGER}), record({"a": first}), schema({"a": NUMBER}), record({"a": 1.5}))

    assert [row["a"] for row in done.rows()] == wanted


def test_the_same_schema_again_starts_no_part(tmp_path: Path):
    """
    Taps that repeat their SCHEMA before each page cost nothing.
    """
    same = schema({"id": INTEGER})
    done = sync(tmp_path, same, record({"id": 1}), same, record({"id": 2}))

    assert len(list((done.spec.work_dir / "parts").iterdir())) == 1
    assert done.rows() == [{"id": 1}, {"id": 2}]


def test_activate_version_and_unknown_messages_are_counted(tmp_path: Path):
    """
    They need nothing done and end nothing.
    """
    version = json.dumps({"type": "ACTIVATE_VERSION", "stream": "t", "version": 1})
    log = json.dumps({"type": "LOG", "message": "hi"})
    done = sync(tmp_path, version, schema({"id": INTEGER}), version, log, record({"id": 1}), state({"n": 1}))

    assert (done.exit, done.rows()) == (0, [{"id": 1}])
    assert done.finished["other_messages"] == {"ACTIVATE_VERSION": 2, "LOG": 1}


@pytest.mark.parametrize(("encoding", "pack"), [("none", bytes), ("gzip", gzip.compress)])
def test_batches_of_json_lines_are_read(tmp_path: Path, encoding: str, pack):
    """
    A BATCH is as good as its records, in its place among them.
    """
    source = tmp_path / "batch 1.jsonl"
    source.write_bytes(pack(b'{"id": 2}\n\n{"id": 3, "a": 5}\n{"id": 4}'))
    batch = {
        "type": "BATCH",
        "stream": "t",
        "encoding": {"format": "jsonl", "compression": encoding},
        "manifest": [source.as_uri()],
    }
    done = sync(tmp_path, schema({"id": INTEGER, "a": TEXT}), record({"id": 1}), json.dumps(batch), record({"id": 5}))

    assert [row["id"] for row in done.rows()] == [1, 2, 3, 4, 5]
    assert done.rows()[2]["a"] == "5"
    assert done.metrics() == {"t": 5}


def test_batches_of_parquet_are_read(tmp_path: Path):
    """
    Parquet batches go by the same rules as records.
    """
    source = tmp_path / "batch.parquet"
    table = pa.table({"id": [1, 2], "o": [{"x": 1}, None], "at": pa.array([0, None], pa.timestamp("us", "UTC"))})
    pq.write_table(table, source)
    batch = {"type": "BATCH", "stream": "t", "encoding": {"format": "parquet"}, "manifest": [source.as_uri()]}
    done = sync(tmp_path, schema({"id": INTEGER, "o": OBJECT, "at": DATETIME}), json.dumps(batch), datetimes="utc_us")

    assert [(row["id"], row["o"]) for row in done.rows()] == [(1, '{"x": 1}'), (2, None)]
    assert done.rows()[0]["at"].timestamp() == 0


@pytest.mark.parametrize("url", ["s3://bucket/x.jsonl", "file:///nowhere/x.jsonl", "file://elsewhere/x.jsonl"])
def test_a_batch_that_cannot_be_read_is_a_named_error(tmp_path: Path, url: str):
    """
    What came before is kept.
    """
    batch = json.dumps({"type": "BATCH", "stream": "t", "encoding": {"format": "jsonl"}, "manifest": [url]})
    done = sync(tmp_path, schema({"id": INTEGER}), record({"id": 1}), batch, record({"id": 2}))

    assert (done.exit, done.error_code) == (65, "batch-unreadable")
    assert done.rows() == [{"id": 1}]


@row("drill 40")
def test_batches_outside_the_allowed_folders_are_refused(tmp_path: Path):
    """
    A tap cannot have this process read another tenant's files.
    """
    (tmp_path / "allowed").mkdir()
    source = tmp_path / "other.jsonl"
    source.write_text('{"id": 1}\n')
    url = f"file://{tmp_path}/allowed/../other.jsonl"
    batch = json.dumps({"type": "BATCH", "stream": "t", "encoding": {"format": "jsonl"}, "manifest": [url]})
    done = sync(tmp_path, schema({"id": INTEGER}), batch, batch_roots=(tmp_path / "allowed",))

    assert done.error_code == "batch-unreadable"
    assert done.files() == []


@row("drill 30")
def test_noise_is_told_and_counted_and_ends_nothing(tmp_path: Path):
    """
    The first twenty lines that are no messages are reported, the rest counted; blank lines are not noise.
    """
    noise = [f"Downloading page {number}..." for number in range(30)]
    done = sync(
        tmp_path, schema({"id": INTEGER}), *noise, "", record({"id": 1}), "123", '{"hello": 1}', record({"id": 2})
    )

    assert (done.exit, done.rows()) == (0, [{"id": 1}, {"id": 2}])
    assert done.finished["noise"] == 32
    assert done.of_kind("noise")[0] == {"kind": "noise", "line": 2, "excerpt": "Downloading page 0..."}
    assert len(done.of_kind("noise")) == 20


def test_a_record_that_is_no_json_is_kept_aside(tmp_path: Path):
    """
    Two threads of a tap that write at once: never silent, whether or not the line starts like a record.
    """
    broken = '{"type": "RECORD", "stream": "t", "record": {"id": 2, {"type": "RECORD"}'
    other = '{"type": "RECORD", "str {"type": "RECORD", "stream": "t", "record": {"id": 3}}'
    done = sync(tmp_path, schema({"id": INTEGER}), record({"id": 1}), broken, other, record({"id": 4}))

    assert [row["id"] for row in done.rows()] == [1, 4]
    assert done.metrics() == {"t": 2}
    assert sum(done.finished["quarantined"].values()) == 2
    kept = done.quarantine() + done.quarantine("_unreadable")
    assert sorted((item["line"], item["text"]) for item in kept) == [(3, broken), (4, other)]


@pytest.mark.parametrize("value", ["null", "[1]", '"x"', "{" * 100_000])
def test_a_record_that_is_no_object_is_kept_aside(tmp_path: Path, value: str):
    """
    It is no row, and not lost.
    """
    odd = '{"type": "RECORD", "stream": "t", "record": ' + value + "}"
    done = sync(tmp_path, schema({"id": INTEGER}), record({"id": 1}), odd, record({"id": 2}))

    assert [row["id"] for row in done.rows()] == [1, 2]
    assert sum(done.finished["quarantined"].values()) == 1


def test_nesting_without_end_in_a_value_is_kept_aside(tmp_path: Path):
    """
    A million brackets neither crash the process nor cost the rows around them.
    """
    deep = '{"type": "RECORD", "stream": "t", "record": {"id": 2, "o": ' + "[" * 100_000 + "]" * 100_000 + "}}"
    done = sync(tmp_path, schema({"id": INTEGER, "o": OBJECT}), record({"id": 1}), deep, record({"id": 3}))

    assert [row["id"] for row in done.rows()] == [1, 3]
    assert sum(done.finished["quarantined"].values()) == 1


def test_extra_columns_are_ignored_and_counted_exactly(tmp_path: Path):
    """
    As hotglue does, but the report says which and how often.
    """
    records = [
        record({"id": number, "zz": 9} if number % 3 else {"id": number, "ä.b": None, "zz": 1}) for number in range(900)
    ]
    done = sync(tmp_path, schema({"id": INTEGER, "a": TEXT}), *records)

    assert done.finished["extra_columns"] == {"t": {"zz": 900, "ä.b": 300}}
    assert done.rows()[5] == {"id": 5, "a": None}
    assert done.finished["quarantined"] == {}


def test_any_number_of_extra_names_is_survived(tmp_path: Path):
    """
    Names are counted up to a cap, rows never suffer.
    """
    records = [record({"id": number, f"x{number}": 1}) for number in range(500)]
    done = sync(tmp_path, schema({"id": INTEGER}), *records)

    assert len(done.rows()) == 500
    assert len(done.finished["extra_columns"]["t"]) == 64


@row("6.2 no record")
def test_a_stream_without_records_leaves_no_file(tmp_path: Path):
    """
    A SCHEMA alone is no stream for the ETL; it is still counted as seen.
    """
    done = sync(tmp_path, schema({"id": INTEGER}), schema({"id": INTEGER}, "empty"), record({"id": 1}))

    assert done.files() == [f"t-{TIMESTAMP}.parquet"]
    assert done.finished["schemas_seen"] == 2


@row("6.2 file name")
def test_names_of_streams_become_safe_file_names(tmp_path: Path):
    """
    A slash is an underscore, as in hotglue's targets; two streams never share a file, and none leaves the folder.
    """
    names = ["a/b c", "a_b c", "../../etc/passwd", "..", "", "ü" * 300, "x-y", "nul\0"]
    lines = [line for name in names for line in (schema({"id": INTEGER}, name), record({"id": 1}, name))]
    done = sync(tmp_path, *lines)

    assert len(done.files()) == len(names)
    assert done.path("a/b c").name == f"a_b c-{TIMESTAMP}.parquet"
    assert done.path("x-y").name == f"x-y-{TIMESTAMP}.parquet"
    assert all(done.rows(name) == [{"id": 1}] for name in names)


def test_a_last_line_that_is_cut_fails_the_sync_and_keeps_what_came_before(tmp_path: Path):
    """
    The tap was killed while it wrote: never taken for a row, never silent.
    """
    whole = stream_of(schema({"id": INTEGER}), record({"id": 1}), state({"n": 1}), record({"id": 2}))
    done = sync(tmp_path, raw=whole + b'{"type": "RECORD", "stream": "t", "record": {"id": 3')

    assert (done.exit, done.error_code) == (65, "line-truncated")
    assert done.finished["truncated_line"] == '{"type": "RECORD", "stream": "t", "record": {"id": 3'
    assert done.rows() == [{"id": 1}, {"id": 2}]
    assert done.finished["state"] == {"n": 1}


def test_a_last_line_that_only_lacks_its_newline_is_taken(tmp_path: Path):
    """
    Some taps forget it.
    """
    raw = stream_of(schema({"id": INTEGER})) + record({"id": 1}).encode()

    assert sync(tmp_path, raw=raw).rows() == [{"id": 1}]


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf"])
@row("drill 31")
def test_a_byte_order_mark_is_skipped(tmp_path: Path, mark: bytes):
    """
    Taps on Windows write one.
    """
    raw = mark + stream_of(schema({"id": INTEGER}), record({"id": 1}))

    assert sync(tmp_path, raw=raw).rows() == [{"id": 1}]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (record({"id": 2}, "unknown"), "record-before-schema"),
        (state([1]), "state-not-an-object"),
        (state("x"), "state-not-an-object"),
        ('{"type": "SCHEMA", "stream": "u"}', "schema-invalid"),
        ('{"type": "SCHEMA", "stream": "u", "schema": {"properties": 5}}', "schema-invalid"),
    ],
)
@row("drill 33")
def test_a_message_that_cannot_be_used_is_a_named_error(tmp_path: Path, line: str, code: str):
    """
    Reading stops there; what came before is kept, and the report names the line.
    """
    done = sync(tmp_path, schema({"id": INTEGER}), record({"id": 1}), line, record({"id": 3}))

    assert (done.exit, done.error_code) == (65, code)
    assert done.finished["error"]["line"] == 3
    assert done.finished["error"]["instruction"]
    assert done.rows() == [{"id": 1}]


def test_a_state_of_null_says_nothing(tmp_path: Path):
    """
    The last STATE that is one stays.
    """
    done = sync(tmp_path, schema({"id": INTEGER}), state({"n": 1}), record({"id": 1}), state(None))

    assert (done.exit, done.finished["state"]) == (0, {"n": 1})


def test_a_misfit_fails_the_job_where_the_flow_says_so(tmp_path: Path):
    """
    With `fail` the first misfit in the order of lines ends the sync, and the rows before it are kept.
    """
    records = [record({"id": number, "n": "soon" if number in (700, 701) else number}) for number in range(1000)]
    done = sync(tmp_path, schema({"id": INTEGER, "n": INTEGER}), *records, on_misfit="fail")

    assert (done.exit, done.error_code) == (65, "value-misfit")
    facts = done.finished["error"]
    assert (facts["stream"], facts["field"], facts["line"], facts["excerpt"]) == ("t", "n", 702, '"soon"')
    assert [row["id"] for row in done.rows()] == list(range(700))
    assert done.metrics() == {"t": 700}


def test_a_misfit_can_be_only_counted(tmp_path: Path):
    """
    With `null` nothing is written aside.
    """
    done = sync(tmp_path, schema({"n": INTEGER}), record({"n": "x"}), on_misfit="null")

    assert (done.exit, done.rows(), done.finished["quarantined"]) == (0, [{"n": None}], {"t": 1})
    assert not (done.spec.work_dir / "quarantine").exists()


def test_misfits_keep_their_line_numbers_in_interleaved_streams(tmp_path: Path):
    """
    Whether a block was taken wholesale, line by line or after the column was re-typed.
    """
    lines = [schema({"n": INTEGER}, "a"), schema({"n": INTEGER}, "b")]
    bad = []
    for number in range(5000):
        stream = "ab"[number // 7 % 2]
        is_bad = number % 97 == 0
        lines.append(record({"n": "bad" if is_bad else number}, stream))
        if is_bad:
            bad.append((stream, number + 3))
    done = sync(tmp_path, *lines)

    kept = [(stream, item["line"]) for stream in "ab" for item in done.quarantine(stream)]
    assert sorted(kept) == sorted(bad)
    assert len(done.rows("a")) + len(done.rows("b")) == 5000


@row("6.2 csv")
def test_csv_has_a_header_and_tells_null_from_empty(tmp_path: Path):
    """
    A schema change gives one header and one file here too.
    """
    done = sync(
        tmp_path,
        schema({"id": INTEGER, "a": TEXT}),
        record({"id": 1, "a": 'q"u,o\nte'}),
        record({"id": 2, "a": ""}),
        record({"id": 3}),
        schema({"id": INTEGER, "b": TEXT, "a": TEXT}),
        record({"id": 4, "a": "x", "b": ""}),
        format="csv",
    )

    assert done.files() == [f"t-{TIMESTAMP}.csv"]
    wanted = ['"id","a","b"', '"1","q""u,o', 'te",', '"2","",', '"3",,', '"4","x",""', ""]
    assert done.path().read_text() == "\n".join(wanted)


@pytest.mark.parametrize("options", [{"delimiter": ";", "quotechar": "'"}, {"delimiter": "\t", "quotechar": '"'}])
def test_csv_takes_other_delimiters_and_quotes(tmp_path: Path, options: dict[str, str]):
    """
    Whatever the values hold, a reader with the same options gets them back.
    """
    values = ["it's", 'a "b"', "x;y\tz", "", "1"]
    rows = [record({"id": number, "a": value}) for number, value in enumerate(values)]
    done = sync(tmp_path, schema({"id": INTEGER, "a": TEXT}), *rows, format="csv", csv=CsvOptions(**options))

    parse = pa_csv.ParseOptions(delimiter=options["delimiter"], quote_char=options["quotechar"])
    convert = pa_csv.ConvertOptions(column_types={"a": pa.string()})
    assert pa_csv.read_csv(done.path(), parse_options=parse, convert_options=convert)["a"].to_pylist() == values


def test_parquet_carries_the_keys_for_gluestick(tmp_path: Path):
    """
    Its readers take `key_properties` from the schema's metadata.
    """
    done = sync(tmp_path, schema({"id": INTEGER, "k": TEXT}, keys=("id", "k")), record({"id": 1}))

    metadata = pq.read_schema(done.path()).metadata
    assert json.loads(metadata[b"key_properties"]) == ["id", "k"]


def test_duplicates_of_a_key_are_both_kept(tmp_path: Path):
    """
    Deduplication is the ETL's, by key_properties.
    """
    done = sync(
        tmp_path, schema({"id": INTEGER, "v": TEXT}), record({"id": 1, "v": "old"}), record({"id": 1, "v": "new"})
    )

    assert [row["v"] for row in done.rows()] == ["old", "new"]
