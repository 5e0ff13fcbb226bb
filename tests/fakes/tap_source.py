"""
A Singer tap over rows in a file, with a rotating refresh token, standard library only: `tap_source.py --config FILE [--state FILE] [--catalog FILE] [--discover]
[--access-token]`.

Config: `rows` is a JSON file with `[{"id", "name"}, ...]`, read from the bookmark on; `tokens` a file with the one refresh token that is good now:
every start, of a discover too, spends it and writes the next one there and into its own config file. `--access-token` does only that, with an
access token and its end, and prints the token or an error, as hotglue's SDK does. `then` says how it ends:

    (nothing)   well
    fail        after its records, with exit code 1 and a hotglue exception file
    stay        after its first record, never
    files       well, after it has written its records to `hg_sync_output` and counted them there itself; nothing on stdout
"""

import argparse
import csv
import json
import signal
import sys
import time
from pathlib import Path

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": ["null", "string"]}}}


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def spend_token(config, path):
    tokens = Path(config["tokens"])
    if config.get("refresh_token") != tokens.read_text():
        say_why = {
            "exception_name": "InvalidCredentialsError",
            "exception_message": "the refresh token was used before",
        }
        Path("hg-tap-exception-1.json").write_text(json.dumps(say_why))
        sys.exit(1)
    number = int(config["refresh_token"].removeprefix("token-")) + 1
    tokens.write_text(f"token-{number}")
    path.write_text(json.dumps({**config, "refresh_token": f"token-{number}"}))


def print_access_token(config, path):
    if config.get("_refresh_token_via_hg_api", True):
        sys.exit("this would ask the server for what the server asks for")
    if config.get("refresh_token") != Path(config["tokens"]).read_text():
        print(json.dumps({"error": "InvalidCredentialsError: the refresh token was used before"}))
        return
    spend_token(config, path)
    fresh = json.loads(path.read_text())
    token = fresh["refresh_token"].replace("token", "access")
    path.write_text(json.dumps({**fresh, "access_token": token, "expires_in": int(time.time()) + 3600}))
    print(json.dumps({"access_token": token}))


def write_files(config, rows):
    folder = Path(config["hg_sync_output"])
    (folder / "attachments").mkdir(exist_ok=True)
    (folder / "attachments" / "1.pdf").write_bytes(b"%PDF")
    with (folder / "people-20260101T000000.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "name"])
        writer.writeheader()
        writer.writerows(rows)
    (folder / "job_metrics.json").write_text(json.dumps({"recordCount": {"people": len(rows)}}))
    (folder / "estimated_job_metrics.json").write_text(json.dumps({"recordCount": {"people": 10 * len(rows)}}))


def main():
    parser = argparse.ArgumentParser()
    for option in ("--config", "--state", "--catalog"):
        parser.add_argument(option)
    parser.add_argument("--discover", action="store_true")
    parser.add_argument("--access-token", action="store_true")
    arguments = parser.parse_args()
    config = json.loads(Path(arguments.config).read_text())
    if arguments.access_token:
        print_access_token(config, Path(arguments.config))
        return
    if "tokens" in config:
        spend_token(config, Path(arguments.config))
    if arguments.discover:
        if config.get("stay_at_discover"):
            signal.pause()
        say({"streams": [{"tap_stream_id": "people", "stream": "people", "schema": SCHEMA, "metadata": []}]})
        return
    state = json.loads(Path(arguments.state).read_text()) if arguments.state else {}
    last = state.get("last_id", 0)
    rows = [row for row in json.loads(Path(config["rows"]).read_text()) if row["id"] > last]
    if config.get("then") == "files":
        write_files(config, rows)
        return
    say({"type": "SCHEMA", "stream": "people", "schema": SCHEMA, "key_properties": ["id"]})
    for row in rows:
        say({"type": "RECORD", "stream": "people", "record": row})
        while config.get("then") == "stay":
            signal.pause()
    say({"type": "STATE", "value": {"last_id": max([last, *(row["id"] for row in rows)])}})
    if config.get("then") == "fail":
        failure = {"exception_name": "InvalidCredentialsError", "exception_message": "the account was closed"}
        Path("hg-tap-exception-1.json").write_text(json.dumps(failure))
        sys.exit(1)


if __name__ == "__main__":
    main()
