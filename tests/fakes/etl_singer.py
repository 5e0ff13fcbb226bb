"""
An ETL script that turns the CSV files of its sync into Singer messages for a target, standard library only.

Each record gets a `greeting`: the variable GREETING, if there is one.
"""

import csv
import json
import os
from pathlib import Path

output = Path("etl-output")
output.mkdir(exist_ok=True)
with (output / "data.singer").open("w") as file:
    for path in sorted(Path("sync-output").glob("*.csv")):
        stream = path.stem.rsplit("-", 1)[0]
        rows = list(csv.DictReader(path.open()))
        schema = {
            "type": "object",
            "properties": {name: {"type": ["null", "string"]} for name in [*rows[0], "greeting"]},
        }
        file.write(json.dumps({"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": ["id"]}) + "\n")
        for row in rows:
            record = {**row, "greeting": os.environ.get("GREETING")}
            file.write(json.dumps({"type": "RECORD", "stream": stream, "record": record}) + "\n")
    file.write(json.dumps({"type": "STATE", "value": {}}) + "\n")
