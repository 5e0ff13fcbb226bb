"""
A Singer target that misbehaves on request: `target.py [--config FILE] [--state FILE] [--input FILE] [MODE]`, standard library only.

The mode is the positional argument, else `mode` in the config, else `good`. Other config keys, all optional: `output` (a folder, "." by default),
`pause_seconds` (slow), `after` (records before an early end, 1), `exit_code`.

    good           appends each record to OUTPUT/STREAM.jsonl and prints each STATE's value after the records before it are written
    slow           the same, with a pause after each record
    sdk            like hotglue's target SDK: a cumulative state with summary and bookmarks, one line for each record, the last one counts
    sdk-failures   the same, but each second record is refused with an error
    exits-early    ends with exit code 0 after `after` records, while the tap is writing
    leaves-last    the same, but it ends only when the tap, whose reader is gone, has ended
    exit-4         says why on stderr after `after` records and ends with exit code 4
    no-state       writes the records and prints nothing
    hang           reads nothing and stays
"""

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path


def messages():
    with Path(ARGUMENTS.input).open() if ARGUMENTS.input else sys.stdin as source:
        for line in source:
            yield json.loads(line)


def write(message):
    with (OUTPUT / f"{message['stream']}.jsonl").open("a") as file:
        file.write(json.dumps(message["record"]) + "\n")


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def good(pause_seconds=0.0, quiet=False):
    for message in messages():
        if message["type"] == "RECORD":
            write(message)
            time.sleep(pause_seconds)
        elif message["type"] == "STATE" and not quiet:
            say(message["value"])


def slow():
    good(CONFIG.get("pause_seconds", 0.05))


def no_state():
    good(quiet=True)


def sdk(refuse_each_second=False):
    state = {"bookmarks": {}, "summary": {}}
    for message in messages():
        if message["type"] != "RECORD":
            continue
        write(message)
        stream = message["stream"]
        summary = state["summary"].setdefault(stream, {"success": 0, "fail": 0, "existing": 0, "updated": 0})
        entries = state["bookmarks"].setdefault(stream, [])
        content = json.dumps(message["record"], sort_keys=True)
        entry = {"hash": hashlib.sha256(content.encode()).hexdigest(), "externalId": str(message["record"].get("id"))}
        if refuse_each_second and len(entries) % 2:
            entry |= {"success": False, "error": "the name is taken", "hg_error_class": "InvalidPayloadError"}
            summary["fail"] += 1
        else:
            entry |= {"success": True, "id": f"remote-{len(entries) + 1}"}
            summary["success"] += 1
        entries.append(entry)
        say(state)


def sdk_failures():
    sdk(refuse_each_second=True)


def read_some():
    left = CONFIG.get("after", 1)
    for message in messages():
        if message["type"] == "RECORD":
            write(message)
            left -= 1
            if left <= 0:
                return


def exits_early():
    read_some()


def leaves_last():
    read_some()
    taps = {child for child in siblings() if b"tap" in Path(f"/proc/{child}/cmdline").read_bytes()}
    os.close(0)
    deadline = time.monotonic() + 30
    while taps & siblings() and time.monotonic() < deadline:
        time.sleep(0.01)  # they are another's children: there is nothing to wait on


def siblings():
    parent = os.getppid()
    return set(Path(f"/proc/{parent}/task/{parent}/children").read_text().split())


def exit_4():
    read_some()
    sys.stderr.write("ERROR:target-fake:the destination refused record 1: column 'id' is read-only\n")
    sys.exit(CONFIG.get("exit_code", 4))


def hang():
    while True:
        signal.pause()


MODES = {
    "good": good,
    "slow": slow,
    "no-state": no_state,
    "sdk": sdk,
    "sdk-failures": sdk_failures,
    "exits-early": exits_early,
    "leaves-last": leaves_last,
    "exit-4": exit_4,
    "hang": hang,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option in ("--config", "--state", "--input"):
        parser.add_argument(option)
    parser.add_argument("mode", nargs="?", choices=MODES)
    ARGUMENTS = parser.parse_args()
    CONFIG = json.loads(Path(ARGUMENTS.config).read_text()) if ARGUMENTS.config else {}
    OUTPUT = Path(CONFIG.get("output", "."))
    OUTPUT.mkdir(parents=True, exist_ok=True)
    MODES[ARGUMENTS.mode or CONFIG.get("mode", "good")]()
