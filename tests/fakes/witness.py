"""
A tap, a target and a script in one file that write down what they were given: `witness.py` alone is the script, `witness.py tap …` and `witness.py target …` the others.

Each writes `{role}.json` into the folder `$NOTES/$JOB_ID`: its arguments, its working folder, its variables, every file below the root with what is in it, and,
of a target, the lines it read. Standard library only. Config keys, all optional: `first_id` and `then`:

    (nothing)   well
    fail        says why and ends with exit code 1: the target after its records, the script with its snapshots written
"""

import argparse
import csv
import json
import os
import sys
from pathlib import Path

STREAMS = {
    "people": {
        "id": {"type": "integer"},
        "name": {"type": ["null", "string"]},
        "born": {"type": ["null", "string"], "format": "date-time"},
        "tags": {"type": ["null", "array"]},
    },
    "orders/open": {"id": {"type": "integer"}},
    "nobody": {"id": {"type": "integer"}},
}
ROWS = {
    "people": [
        {"id": 1, "name": "Ada", "born": "1815-12-10T00:00:00Z", "tags": ["a", "b"]},
        {"id": 2, "name": None, "born": None, "tags": None},
        {"id": 3, "name": "Grace", "born": "1906-12-09T00:00:00Z", "tags": []},
    ],
    "orders/open": [{"id": 7}],
}


def content(file):
    text = file.read_bytes().decode("utf-8", errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text[:20_000]


def note(role, **more):
    root, home = Path(os.environ["ROOT"]), Path("/home/hotglue") / os.environ["JOB_ID"]
    found = {str(path.relative_to(root)): path for path in sorted(root.rglob("*"))}
    seen = {
        "arguments": sys.argv[1:],
        "cwd": str(Path.cwd()),
        "prefix": sys.prefix,
        "variables": dict(os.environ),
        "folders": [name for name, path in found.items() if path.is_dir()],
        "files": {name: content(path) for name, path in found.items() if path.is_file() and name[0] != "."},
        "home": str(home.resolve()) if home.exists() else None,
        **more,
    }
    folder = Path(os.environ["NOTES"]) / os.environ["JOB_ID"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{role}.json").write_text(json.dumps(seen))


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")


def discover(role):
    note(f"{role}-discover")
    streams = [
        {
            "tap_stream_id": name,
            "stream": name,
            "schema": {"type": "object", "properties": properties},
            "metadata": [
                {"breadcrumb": [], "metadata": {"table-key-properties": ["id"]}},
                {"breadcrumb": ["properties", "id"], "metadata": {"inclusion": "automatic"}},
            ],
        }
        for name, properties in (STREAMS if role == "tap" else {"Contacts": STREAMS["people"]}).items()
    ]
    say({"streams": streams})


def tap(config, state):
    note("tap")
    print("the witness reads", file=sys.stderr)
    first = max(config.get("first_id", 1), state.get("bookmarks", {}).get("people", 0) + 1)
    for name, properties in STREAMS.items():
        schema = {"type": "object", "properties": properties}
        say({"type": "SCHEMA", "stream": name, "schema": schema, "key_properties": ["id"]})
        for row in ROWS.get(name, []):
            if row["id"] >= first:
                say({"type": "RECORD", "stream": name, "record": row})
        say({"type": "STATE", "value": {"bookmarks": {"people": 0}}})
    say({"type": "STATE", "value": {"bookmarks": {"people": 3}}})


def target(config):
    """
    Report each record as hotglue's target SDK does: a line for each, cumulative, under names of its own.
    """
    lines = [json.loads(line) for line in sys.stdin if line.strip()]
    role = "target" if Path.cwd() == Path(os.environ["ROOT"]) else f"target-{Path.cwd().name}"
    note(role, lines=lines)
    state = {"bookmarks": {"People": []}, "summary": {"People": {"success": 0, "fail": 0, "existing": 0, "updated": 0}}}
    say(state)
    for record in (line["record"] for line in lines if line["type"] == "RECORD"):
        number = str(record["id"])
        entry = {"success": True, "id": f"remote-{number}", "externalId": number, "hash": "0" * 64}
        if number == "2":
            refused = {"success": False, "error": "no name", "hg_error_class": "InvalidPayloadError"}
            entry = {**refused, "externalId": number, "hash": "0" * 64, "hgBatchId": "b-1", "customData": {"a": 1}}
        state["bookmarks"]["People"].append(entry)
        state["summary"]["People"]["success" if entry["success"] else "fail"] += 1
        bookmark = {"bookmarks": {"people": 3}}
        say({"tap": bookmark, "target": state} if os.environ.get("STREAMING_JOB") == "True" else state)
    if config.get("then") == "fail":
        sys.exit("ERROR:witness:the destination is closed")


def script():
    note("script")
    root, mark = Path.cwd(), {"target_state_fields": ["name"]}
    with (root / "etl-output" / "data.singer").open("a") as out:
        schema = {"type": "object", "properties": STREAMS["people"], "x-hotglue": mark}
        out.write(json.dumps({"type": "SCHEMA", "stream": "people", "schema": schema, "key_properties": ["id"]}) + "\n")
        for file in sorted((root / "sync-output").glob("people-*.csv")):
            with file.open(newline="") as rows:
                for row in csv.DictReader(rows):
                    out.write(json.dumps({"type": "RECORD", "stream": "people", "record": row}) + "\n")
        out.write(json.dumps({"type": "STATE", "value": {}}) + "\n")
    kept = root / "snapshots"
    seen = kept / "seen.snapshot.csv"
    seen.write_text((seen.read_text() if seen.exists() else "JobId\n") + os.environ["JOB_ID"] + "\n")
    (kept / "half.snapshot.parquet.hg.partial_written.lock").write_text("half")
    config = kept / "tenant-config.json"
    known = json.loads(config.read_text()) if config.exists() else {}
    config.write_text(json.dumps({**known, "edited_by": os.environ["JOB_ID"]}))
    if os.environ.get("THEN") == "fail":
        (root / "errors.txt").write_text("ERROR: the witness gave up.")
        sys.exit(1)


def read(path):
    return json.loads(Path(path).read_text()) if path else {}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("role", nargs="?", default="script")
    for option in ("--config", "--state", "--catalog", "--properties"):
        parser.add_argument(option)
    parser.add_argument("--discover", action="store_true")
    arguments = parser.parse_args()
    if arguments.role == "script":
        script()
    elif arguments.discover:
        discover(arguments.role)
    elif arguments.role == "tap":
        tap(read(arguments.config), read(arguments.state))
    else:
        target(read(arguments.config))
