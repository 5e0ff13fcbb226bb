"""
A small Meltano project: its tap and its target come from the index, its data are two lines.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_SCRIPTS = {
    "sleepy": """
import sys, time
print("asleep", file=sys.stderr, flush=True)
time.sleep(300)
""",
    "broken": """
import sys
print("ERROR the source is not there", file=sys.stderr, flush=True)
sys.exit(3)
""",
    # Goes on from its state, one record a run; what it does besides is said by its setting `mode`.
    "moody": """
import json, os, pathlib, sys, time
mode, once = os.environ.get("TAP_MOODY_MODE", ""), pathlib.Path(os.environ["ROOT"], "once")
state = json.loads(pathlib.Path(sys.argv[sys.argv.index("--state") + 1]).read_text()) if "--state" in sys.argv else {}
first_time = not once.exists()
once.touch()
if mode == "sleep" or (mode == "sleep-once" and first_time):
    print(f"asleep as {os.getpid()}", file=sys.stderr, flush=True)
    time.sleep(300)
number = state.get("last", 0) + 1
schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
print(json.dumps({"type": "SCHEMA", "stream": "flights", "schema": schema, "key_properties": ["id"]}))
print(json.dumps({"type": "RECORD", "stream": "flights", "record": {"id": number}}))
print(json.dumps({"type": "STATE", "value": {"last": number}}), flush=True)
if mode == "fail-once" and first_time:
    print("CRITICAL the source went away", file=sys.stderr, flush=True)
    sys.exit(3)
""",
    # Knows files by their whole path and their time, as taps for files do, and reads those that are new to it.
    "watchful": """
import json, pathlib, sys
state = json.loads(pathlib.Path(sys.argv[sys.argv.index("--state") + 1]).read_text()) if "--state" in sys.argv else {}
seen = state.get("seen", {})
schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
print(json.dumps({"type": "SCHEMA", "stream": "flights", "schema": schema, "key_properties": ["id"]}))
for file in sorted(pathlib.Path.cwd().glob("data/*.json")):
    written = file.stat().st_mtime
    if written > seen.get(str(file), 0):
        for record in json.loads(file.read_text()):
            print(json.dumps({"type": "RECORD", "stream": "flights", "record": record}))
        seen[str(file)] = written
print(json.dumps({"type": "STATE", "value": {"seen": seen}}), flush=True)
""",
}


def write_project(
    folder: Path, *, path: str = "data.jsonl", package: str = "tap-jsonl==0.3.1", script: str = ""
) -> None:
    """
    Write meltano.yml and the data; with *script*, also a tap of that name without a package that misbehaves.
    """
    (folder / "out").mkdir(exist_ok=True)
    (folder / "out" / "keep").touch()  # git knows no empty folders, and neither does a copy
    (folder / "data.jsonl").write_text('{"id": 1, "name": "a"}\n{"id": 2, "name": "b"}\n')
    extractors: list[dict[str, Any]] = [
        {
            "name": "tap-jsonl",
            "namespace": "tap_jsonl",
            "pip_url": package,
            "executable": "tap-jsonl",
            "capabilities": ["catalog", "discover", "state"],
            "settings": [
                {"name": "path"},
                {"name": "stream_name"},
                {"name": "primary_keys", "kind": "array"},
                {"name": "api_token", "kind": "password"},
            ],
            "config": {"path": path, "stream_name": "flights", "primary_keys": ["id"]},
        }
    ]
    if script:
        program = folder / f"{script}.py"
        program.write_text(f"#!{sys.executable}\n{_SCRIPTS[script]}")
        program.chmod(0o755)
        extractors.append(
            {
                "name": f"tap-{script}",
                "namespace": f"tap_{script}",
                "executable": f"./{script}.py",
                "capabilities": ["state"],
                "settings": [{"name": "mode"}],
                "config": {},
            }
        )
    loaders = [
        {
            "name": "target-jsonl",
            "namespace": "target_jsonl",
            "pip_url": "target-jsonl==0.1.4",
            "executable": "target-jsonl",
            "settings": [{"name": "destination_path"}, {"name": "do_timestamp_file", "kind": "boolean"}],
            "config": {"destination_path": "out", "do_timestamp_file": False},
        }
    ]
    project = {
        "default_environment": "dev",
        "environments": [{"name": "dev"}],
        "plugins": {"extractors": extractors, "loaders": loaders},
    }
    (folder / "meltano.yml").write_text(json.dumps(project, indent=1))
