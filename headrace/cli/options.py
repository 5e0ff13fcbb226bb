"""
Options that several commands share.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="HEADRACE_URL", help="Server to talk to; else the one that `headrace up` runs here."),
]
Key = Annotated[
    str | None,
    typer.Option("--key", envvar="HEADRACE_API_KEY", help="API key; else the one that `headrace up` made here."),
]
Home = Annotated[
    Path | None,
    typer.Option("--home", envvar="HEADRACE_HOME", help="Folder of everything the server keeps on this machine."),
]
Project = Annotated[
    Path | None,
    typer.Option(
        "--project", envvar="HEADRACE_PROJECT", help="Project folder; else this one if it has a headrace.yml."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Flow = Annotated[str | None, typer.Option("--flow", help="Only jobs of this flow.")]
Workspace = Annotated[str | None, typer.Option("--workspace", "-w", help="Workspace by name or id.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Stay until the job has ended.")]
