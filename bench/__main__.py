"""
Run benchmarks and print each figure with its ratio: `python -m bench [NAME ...] [--json]`.

A benchmark is a module of this folder with `run() -> list[dict]`; each figure has name, value, unit, and where it makes sense
ratio and yardstick, measured in the same run. Absolute figures say more about the machine than about Headrace.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from typing import Any

import bench


def main(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    wanted = [name for name in arguments if not name.startswith("-")]
    names = [module.name for module in pkgutil.iter_modules(bench.__path__) if not module.name.startswith("_")]
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        print(f"No benchmark is named {', '.join(unknown)}. There are: {', '.join(names)}.", file=sys.stderr)
        return 2
    for name in wanted or names:
        run = getattr(importlib.import_module(f"bench.{name}"), "run", None)
        if run is not None:
            for figure in run():
                print(json.dumps({"benchmark": name, **figure}) if as_json else line(name, figure), flush=True)
    return 0


def line(benchmark: str, figure: dict[str, Any]) -> str:
    """
    Show a figure on one line.
    """
    value = figure["value"]
    text = f"{benchmark:<14} {figure['name']:<52} {value:>12,.2f} {figure['unit']:<8}"
    if figure.get("ratio") is not None:
        text += f" {figure['ratio']:>8.2f} x {figure.get('yardstick', '')}"
    return text + (f"  ({figure['note']})" if figure.get("note") else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
