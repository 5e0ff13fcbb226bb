"""
A tap, a script and a target in one file that notice when two of one key are at work at once, standard library only.

`exclusive.py` alone is the script, `exclusive.py tap …` and `exclusive.py target …` the others. In the folder $WITNESS:

    {FLOW}-{TENANT}.rows       how many rows the source has by now; the tap reads those after its bookmark
    {FLOW}-{TENANT}.delivered  a line `JOB_ID row` for each record that the target was given
    {FLOW}-{TENANT}.lock       held by each of them while it lives; of a streaming job each has its own
    violations                 a line for each that found its lock held

The kernel lets go of a lock however its holder ends, so a line there is two that were alive at once.
"""

import argparse
import csv
import fcntl
import json
import os
import sys
import time
from pathlib import Path

WITNESS = Path(os.environ["WITNESS"])
NAME = f"{os.environ['FLOW']}-{os.environ['TENANT']}"
SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}}}
ROWS_OF_A_STATE = 10


def tell(file, text):
    with (WITNESS / file).open("a") as lines:
        lines.write(text + "\n")


def be_alone(role):
    """
    Take the key's lock until the end of this process.
    """
    name = f"{NAME}.{role}" if os.environ.get("STREAMING_JOB") == "True" else NAME
    lock = os.open(WITNESS / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell("violations", f"{name}: {role} of {os.environ['JOB_ID']} at {time.time():.3f}")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def tap(config, state):
    last = state.get("last", 0)
    rows = int((WITNESS / f"{NAME}.rows").read_text())
    say({"type": "SCHEMA", "stream": "rows", "schema": SCHEMA, "key_properties": ["id"]})
    for row in range(last + 1, rows + 1):
        say({"type": "RECORD", "stream": "rows", "record": {"id": row}})
        time.sleep(config.get("pause_seconds", 0.0))
        if row % ROWS_OF_A_STATE == 0:
            say({"type": "STATE", "value": {"last": row}})
    say({"type": "STATE", "value": {"last": max(last, rows)}})


def script():
    """
    Hand the rows on, and add the job to the tenant's list of jobs; of some jobs this takes $LONG_SECONDS.
    """
    with Path("etl-output/data.singer").open("w") as out:
        out.write(json.dumps({"type": "SCHEMA", "stream": "rows", "schema": SCHEMA, "key_properties": ["id"]}) + "\n")
        for file in sorted(Path("sync-output").glob("*.csv")):
            with file.open(newline="") as rows:
                records = [{"id": int(row["id"])} for row in csv.DictReader(rows)]
            for record in records:
                print(json.dumps({"type": "RECORD", "stream": "rows", "record": record}), file=out)
        out.write(json.dumps({"type": "STATE", "value": {}}) + "\n")
    with (Path("snapshots") / f"{NAME}.jobs").open("a") as jobs:
        jobs.write(os.environ["JOB_ID"] + "\n")
    time.sleep(float(os.environ.get("LONG_SECONDS", "0")) if os.environ["JOB_ID"][0] in "abcdefghABCDEFGH" else 0.2)


def target(config):
    """
    Write each record down before the state that covers it is printed.
    """
    for message in map(json.loads, filter(str.strip, sys.stdin)):
        if message["type"] == "RECORD":
            tell(f"{NAME}.delivered", f"{os.environ['JOB_ID']} {message['record']['id']}")
            time.sleep(config.get("pause_seconds", 0.0))
        elif message["type"] == "STATE":
            say(message["value"])


def read(path):
    return json.loads(Path(path).read_text()) if path else {}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("role", nargs="?", default="script")
    for option in ("--config", "--state", "--catalog", "--properties"):
        parser.add_argument(option)
    arguments = parser.parse_args()
    alone = be_alone(arguments.role)
    if arguments.role == "tap":
        tap(read(arguments.config), read(arguments.state))
    elif arguments.role == "target":
        target(read(arguments.config))
    else:
        script()
