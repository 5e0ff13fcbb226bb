"""
Flight delays by route and by month, out of the flights and airlines that the tap has read.

A script runs in the root folder of its job, which is also named by the variable ROOT_DIR:

    sync-output/   what the tap read: one file per stream, `<stream>-<time>.parquet`
    snapshots/     what this tenant keeps from job to job
    etl-output/    what goes on to the target: `data.singer`, one message a line
"""

import json
import os
from pathlib import Path

import duckdb

ROOT = Path(os.environ.get("ROOT_DIR", "."))

ROUTE_DELAYS = """
WITH by_month AS (
    SELECT origin, dest, carrier, month, avg(arr_delay) AS delay
    FROM flights
    GROUP BY ALL
),
months AS (
    SELECT origin, dest, carrier, arg_max(month, delay) AS worst_month, arg_min(month, delay) AS best_month
    FROM by_month
    GROUP BY ALL
)
SELECT
    origin,
    dest,
    carrier,
    airlines.name AS airline,
    count(*) AS flights,
    round(avg(arr_delay), 1) AS arr_delay_avg_minutes,
    round(quantile_cont(arr_delay, 0.9), 1) AS arr_delay_p90_minutes,
    round(avg((dep_time IS NULL)::INT), 4) AS cancelled_share,  -- what never left has no departure time
    any_value(worst_month) AS worst_month,
    any_value(best_month) AS best_month
FROM flights
JOIN airlines USING (carrier)
LEFT JOIN months USING (origin, dest, carrier)
GROUP BY origin, dest, carrier, airline
ORDER BY flights DESC
"""

AIRLINE_MONTHS = """
SELECT
    carrier,
    month,
    airlines.name AS airline,
    count(*) AS flights,
    round(avg(arr_delay), 1) AS arr_delay_avg_minutes,
    round(avg((dep_time IS NULL)::INT), 4) AS cancelled_share
FROM flights
JOIN airlines USING (carrier)
GROUP BY carrier, month, airline
ORDER BY carrier, month
"""

JSON_TYPES = {"BIGINT": "integer", "DOUBLE": "number", "VARCHAR": "string"}


def keep(database, stream):
    """
    Make a view of all rows of a stream that were ever read, and keep them for the next job.

    A job reads only files that are new or changed, so its rows replace those kept of the same files.
    """
    kept = ROOT / "snapshots" / f"{stream}.snapshot.parquet"
    kept.parent.mkdir(exist_ok=True)
    for file in ROOT.glob(f"sync-output/{stream}-*.parquet"):
        query = f"SELECT * FROM '{file}'"
        if kept.exists():
            query += f" UNION ALL BY NAME SELECT * FROM '{kept}' WHERE _sdc_filename NOT IN (SELECT _sdc_filename FROM '{file}')"
        merged = kept.with_suffix(".merged")
        database.execute(f"COPY ({query}) TO '{merged}' (FORMAT parquet)")
        merged.replace(kept)
    database.execute(f"CREATE VIEW {stream} AS SELECT * FROM '{kept}'")


def export(database, query, stream, keys, output):
    """
    Write the rows of a query as one stream of Singer messages.
    """
    found = database.sql(query)
    columns = dict(zip(found.columns, map(str, found.types)))
    properties = {name: {"type": ["null", JSON_TYPES[kind]]} for name, kind in columns.items()}
    schema = {"type": "object", "properties": properties}
    write(output, {"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": keys})
    rows = found.fetchall()
    for row in rows:
        write(output, {"type": "RECORD", "stream": stream, "record": dict(zip(columns, row))})
    print(f"{stream}: {len(rows)} rows")


def write(output, message):
    output.write(json.dumps(message) + "\n")


def main():
    database = duckdb.connect()
    keep(database, "flights")
    keep(database, "airlines")
    print("flights:", database.sql("SELECT count(*) FROM flights").fetchall()[0][0])

    folder = ROOT / "etl-output"
    folder.mkdir(exist_ok=True)
    with open(folder / "data.singer", "w") as output:
        export(database, ROUTE_DELAYS, "route_delays", ["origin", "dest", "carrier"], output)
        export(database, AIRLINE_MONTHS, "airline_months", ["carrier", "month"], output)
        write(output, {"type": "STATE", "value": {}})


main()
