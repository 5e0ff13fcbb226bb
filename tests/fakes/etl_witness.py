"""
An ETL script that writes down what its job was given, standard library only: `snapshots/seen.json` has the files and variables.

Values of variables are noted for those that begin with `SEEN_` and for `TENANT`. With the variable WAIT_FOR it ends when that file is there.
"""

import json
import os
import time
from pathlib import Path

root = Path(os.environ["ROOT"])


def read(name):
    file = root / name
    return json.loads(file.read_text()) if file.exists() else None


names = ("config.json", "target-config.json", "state.json", "catalog-selected.json", "selectedTables.json")
seen = {name: read(name) for name in names}
seen["variables"] = {name: value for name, value in os.environ.items() if name.startswith("SEEN_") or name == "TENANT"}
seen["files"] = sorted(path.name for path in root.iterdir())
(root / "snapshots" / "seen.json").write_text(json.dumps(seen))

(root / "etl-output" / "data.singer").write_text(
    json.dumps(
        {"type": "SCHEMA", "stream": "seen", "schema": {"type": "object", "properties": {}}, "key_properties": []}
    )
    + "\n"
)
while os.environ.get("WAIT_FOR") and not Path(os.environ["WAIT_FOR"]).exists():
    time.sleep(0.02)
