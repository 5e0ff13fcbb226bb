"""
Rows like the flights out of New York in 2013: 20 fields, 412 bytes a line, a STATE each 10,000 records. Made up, always the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

_START = datetime(2013, 1, 1, 5, tzinfo=UTC)
_CARRIERS = ("UA", "AA", "B6", "DL", "EV", "MQ", "US", "WN", "VX", "FL")
_ORIGINS = ("EWR", "LGA", "JFK")
_DESTINATIONS = (
    "IAH",
    "MIA",
    "BQN",
    "ATL",
    "ORD",
    "FLL",
    "IAD",
    "MCO",
    "PBI",
    "TPA",
    "LAX",
    "SFO",
    "DFW",
    "BOS",
    "LAS",
)
_INTEGERS = ("id", "year", "month", "day", "sched_dep_time", "sched_arr_time", "flight", "distance", "hour", "minute")
_NUMBERS = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
_TEXTS = ("carrier", "tailnum", "origin", "dest")


def schema(stream: str = "flights") -> dict[str, Any]:
    """
    The SCHEMA message.
    """
    properties: dict[str, Any] = {name: {"type": ["null", "integer"]} for name in _INTEGERS}
    properties |= {name: {"type": ["null", "number"]} for name in _NUMBERS}
    properties |= {name: {"type": ["null", "string"]} for name in _TEXTS}
    properties["time_hour"] = {"type": ["null", "string"], "format": "date-time"}
    return {
        "type": "SCHEMA",
        "stream": stream,
        "schema": {"type": "object", "properties": properties},
        "key_properties": ["id"],
        "bookmark_properties": ["id"],
    }


def row(number: int) -> dict[str, Any]:
    """
    The flight with this number; one in forty was cancelled and has nulls.
    """
    moment = _START + timedelta(minutes=number // 2)
    salt = number * 2654435761 % 4294967296
    flew = salt % 40 != 0
    delay = float(salt // 40 % 120 - 15)
    minutes = float(40 + salt // 7 % 300)
    return {
        "id": number,
        "year": moment.year,
        "month": moment.month,
        "day": moment.day,
        "dep_time": float(moment.hour * 100 + moment.minute) if flew else None,
        "sched_dep_time": moment.hour * 100 + moment.minute,
        "dep_delay": delay if flew else None,
        "arr_time": float(salt // 3 % 2400) if flew else None,
        "sched_arr_time": salt // 5 % 2400,
        "arr_delay": delay - 4 if flew else None,
        "carrier": _CARRIERS[salt // 11 % len(_CARRIERS)],
        "flight": salt // 13 % 6000,
        "tailnum": f"N{salt // 17 % 90000 + 10000}" if flew else None,
        "origin": _ORIGINS[salt // 19 % len(_ORIGINS)],
        "dest": _DESTINATIONS[salt // 23 % len(_DESTINATIONS)],
        "air_time": minutes if flew else None,
        "distance": int(minutes * 7),
        "hour": moment.hour,
        "minute": moment.minute,
        "time_hour": moment.strftime("%Y-%m-%dT%H:00:00Z"),
    }


def lines(records: int, stream: str = "flights") -> Iterator[str]:
    """
    A whole Singer stream in singer-python style, without newlines.
    """
    yield json.dumps(schema(stream))
    for number in range(1, records + 1):
        yield json.dumps({"type": "RECORD", "stream": stream, "record": row(number)})
        if number % 10_000 == 0 or number == records:
            bookmark = {"replication_key": "id", "replication_key_value": number}
            yield json.dumps({"type": "STATE", "value": {"bookmarks": {stream: bookmark}}})


def write(path: Path, records: int) -> Path:
    """
    The stream as a file.
    """
    with path.open("w") as file:
        file.writelines(f"{line}\n" for line in lines(records))
    return path
