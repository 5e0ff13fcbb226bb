"""
A Singer tap that misbehaves on request: `tap.py [--config FILE] [--state FILE] [--catalog FILE] [--discover] [MODE]`, standard library only.

The mode is the positional argument, else `mode` in the config, else `good`. Other config keys, all optional: `records` (3), `streams`
(["people"]), `pause_seconds` (between records, 0.05 in mode slow), `secret` (print-secret), `bytes` (huge-line, stderr-flood), `exit_code`.

    good             SCHEMA, records, STATE for each stream; begins after the bookmark of --state
    slow             the same, with a pause after each record, flushed
    silent           writes nothing and stays (hang), until TERM
    hang             one record, then stays and talks on stderr only
    huge-line        one record of `bytes` bytes without a newline in it
    exit-3           says why on stderr and ends with exit code 3
    raise            ends with a traceback
    ignore-term      stays and ignores SIGTERM; prints its process id on stderr
    daemon           leaves a double-forked daemon in a session of its own, and ends well; prints the daemon's process id on stderr
    garbage          lines that are no Singer, half a line at the end
    nothing          exits 0 with no output at all
    no-schema        a RECORD without SCHEMA
    noise            prints of a library between good messages
    print-secret     prints the secret on stderr: whole, in two writes, URL-encoded, in base64
    stderr-flood     `bytes` bytes of lines on stderr, and then a last word
    state-then-crash good records and STATE, then one more record, then exit code 1
    rotate-token     rewrites its config file with another refresh_token, then is good
    memory           holds `bytes` bytes and stays
    memory-once      the same at its first start in a folder; later it holds them for a moment and is good
    stuck-once       two records and their STATE, then stays; good at a later start in the same folder
    forks            `records` children that stay, and stays
"""

import argparse
import base64
import json
import os
import signal
import sys
import time
from pathlib import Path
from urllib.parse import quote

SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "name": {"type": ["null", "string"]},
        "updated_at": {"type": "string", "format": "date-time"},
    },
}


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def tell(text):
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def stay():
    while True:
        signal.pause()


def schema(stream):
    say(
        {
            "type": "SCHEMA",
            "stream": stream,
            "schema": SCHEMA,
            "key_properties": ["id"],
            "bookmark_properties": ["updated_at"],
        }
    )


def record(stream, number):
    say(
        {
            "type": "RECORD",
            "stream": stream,
            "record": {"id": number, "name": f"name {number}", "updated_at": f"2026-01-01T00:00:{number % 60:02}Z"},
        }
    )


def state(stream, number):
    say({"type": "STATE", "value": {"bookmarks": {stream: {"last_id": number}}}})


def discover():
    streams = [
        {"tap_stream_id": stream, "stream": stream, "schema": SCHEMA, "key_properties": ["id"], "metadata": []}
        for stream in CONFIG.get("streams", ["people"])
    ]
    print(json.dumps({"streams": streams}, indent=2))


def good(pause_seconds=0.0):
    bookmarks = STATE.get("bookmarks", {})
    pause_seconds = CONFIG.get("pause_seconds", pause_seconds)
    for stream in CONFIG.get("streams", ["people"]):
        schema(stream)
        first = bookmarks.get(stream, {}).get("last_id", 0) + 1
        last = max(first - 1, CONFIG.get("records", 3))
        for number in range(first, last + 1):
            record(stream, number)
            if pause_seconds:
                time.sleep(pause_seconds)
        state(stream, last)


def slow():
    good(pause_seconds=0.05)


def silent():
    tell(f"pid {os.getpid()}")
    stay()


def hang():
    schema("people")
    record("people", 1)
    while True:
        tell("INFO still waiting for the source")
        time.sleep(0.05)


def huge_line():
    schema("people")
    sys.stdout.write('{"type": "RECORD", "stream": "people", "record": {"id": 1, "name": "')
    left = CONFIG.get("bytes", 20 << 20)
    while left > 0:
        left -= sys.stdout.write("x" * min(left, 1 << 20))
    sys.stdout.write('"}}\n')
    sys.stdout.flush()


def exit_3():
    tell("2026-01-01 10:00:00,000 | INFO     | tap-fake | starting")
    tell("2026-01-01 10:00:01,000 | CRITICAL | tap-fake | the source answered 500 three times")
    sys.exit(CONFIG.get("exit_code", 3))


def raises():
    schema("people")
    raise ValueError("the field 'total' is missing in order 17")


def ignore_term():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    schema("people")
    tell(f"pid {os.getpid()}")
    stay()


def daemon():
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(writing, str(os.getpid()).encode())
            stay()
        os._exit(0)
    os.wait()
    tell(f"pid {os.read(reading, 20).decode()}")
    good()


def garbage():
    schema("people")
    record("people", 1)
    print("this is not JSON")
    print('{"type": "RECORD", "stream"')
    print("[1, 2]")
    sys.stdout.flush()
    sys.stdout.buffer.write(b'\xff\xfe\x00 not UTF-8\n{"type": "RECORD", "stream": "people", "rec')
    sys.stdout.flush()


def nothing():
    pass


def no_schema():
    record("people", 1)
    state("people", 1)


def noise():
    print("Loading plugin cache ...")
    schema("people")
    for number in (1, 2, 3):
        print(f"fetched page {number}")
        record("people", number)
    print("done!")
    state("people", 3)


def print_secret():
    secret = CONFIG.get("secret", "s3cr3t-t0ken/with+signs")
    tell(f"INFO connecting with {secret} now")
    half = len(secret) // 2
    for piece in (f"INFO token={secret[:half]}", f"{secret[half:]}\n"):
        os.write(2, piece.encode())
        time.sleep(0.1)  # two reads at the other end
    tell(f"ERROR GET https://api.example.com/?key={quote(secret, safe='')} 403")
    tell("DEBUG Authorization: Basic " + base64.b64encode(f"user:{secret}".encode()).decode())
    tell(json.dumps({"config": {"token": secret}}))
    good()


def stderr_flood():
    line = b"INFO " + b"y" * 94 + b"\n"
    left = CONFIG.get("bytes", 10_000_000)
    while left > 0:
        left -= os.write(2, line * 600)
    tell("CRITICAL the last word")
    sys.exit(CONFIG.get("exit_code", 1))


def state_then_crash():
    good()
    record(CONFIG.get("streams", ["people"])[-1], CONFIG.get("records", 3) + 1)
    tell("CRITICAL connection reset by the source")
    sys.exit(1)


def rotate():
    new = {"refresh_token": f"rotated-{CONFIG.get('refresh_token', '')}", "access_token": "fresh-access"}
    Path(ARGUMENTS.config).write_text(json.dumps({**CONFIG, **new}))


def rotate_token():
    rotate()
    good()


def memory():
    held = b"\x01" * CONFIG.get("bytes", 200 << 20)
    tell(f"holding {len(held)}")
    stay()


def first_start():
    marker = Path("started-before")
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def memory_once():
    first = first_start()
    held = b"\x01" * CONFIG.get("bytes", 200 << 20)
    tell(f"holding {len(held)}")
    if first:
        stay()
    time.sleep(1.5)  # long enough for whoever watches the memory
    good()


def stuck_once():
    if not first_start():
        good()
        return
    schema("people")
    record("people", 1)
    record("people", 2)
    state("people", 2)
    stay()


def forks():
    for _ in range(CONFIG.get("records", 50)):
        if os.fork() == 0:
            stay()
    tell("forked")
    stay()


MODES = {
    "good": good,
    "slow": slow,
    "silent": silent,
    "hang": hang,
    "huge-line": huge_line,
    "exit-3": exit_3,
    "raise": raises,
    "ignore-term": ignore_term,
    "daemon": daemon,
    "garbage": garbage,
    "nothing": nothing,
    "no-schema": no_schema,
    "noise": noise,
    "print-secret": print_secret,
    "stderr-flood": stderr_flood,
    "state-then-crash": state_then_crash,
    "rotate-token": rotate_token,
    "memory": memory,
    "memory-once": memory_once,
    "stuck-once": stuck_once,
    "forks": forks,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option in ("--config", "--state", "--catalog", "--properties"):
        parser.add_argument(option)
    parser.add_argument("--discover", action="store_true")
    parser.add_argument("mode", nargs="?", choices=MODES)
    ARGUMENTS = parser.parse_args()
    CONFIG = json.loads(Path(ARGUMENTS.config).read_text()) if ARGUMENTS.config else {}
    STATE = json.loads(Path(ARGUMENTS.state).read_text()) if ARGUMENTS.state else {}
    MODE = ARGUMENTS.mode or CONFIG.get("mode", "good")
    if ARGUMENTS.discover and MODE in ("good", "slow", "rotate-token"):
        if MODE == "rotate-token":
            rotate()
        discover()
    else:
        MODES[MODE]()
