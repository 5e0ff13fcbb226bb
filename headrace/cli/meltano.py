"""
`headrace meltano`: existing Meltano projects under Headrace.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.options import Json, Project
from headrace.core.errors import DefinitionError, InvalidError

if TYPE_CHECKING:
    from headrace.services.project_definitions import Definitions

app = typer.Typer(help="Put existing Meltano projects under Headrace.", no_args_is_help=True)

PROJECT_FILE = "headrace.yml"


@app.callback()
def group() -> None:
    """
    Put existing Meltano projects under Headrace.
    """


@app.command()
def add(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder of the Meltano project: where meltano.yml is.")],
    project: Project = None,
    workspace: Annotated[str, typer.Option("--workspace", "-w", help="Workspace by name.")] = "default",
    as_json: Json = False,
) -> None:
    """
    Make a Meltano project the one of a workspace: its jobs and schedules become pipelines.

    Writes the workspace's setting `meltano` into headrace.yml; the Meltano project itself is not changed.
    """
    from headrace.cli.output import say_json

    folder = path.absolute()
    definitions = _definitions_of(folder)
    target = (project or Path()).absolute()
    written = _write_setting(target / PROJECT_FILE, workspace, folder)
    found = {
        "project": str(target),
        "workspace": workspace,
        "meltano": written,
        "pipelines": [each.name for each in definitions.pipelines],
        "components": [each.name for each in definitions.components],
    }
    if as_json:
        say_json(found)
        return
    pipelines = ", ".join(found["pipelines"]) or "none yet: give meltano.yml jobs or schedules, or add pipelines/*.yml"
    print(f"Workspace {workspace} has the Meltano project in {written}.")
    print(f"Pipelines: {pipelines}.")
    print(f"Serve it with: headrace up --project {target}")


def _definitions_of(folder: Path) -> Definitions:
    """
    Read what a Meltano project defines.

    Raises:
        InvalidError: there is no project.
        DefinitionError: one of its files is wrong.
    """
    from uuid import UUID

    from headrace.services.meltano_projects import Snapshot
    from headrace.services.project_definitions import definitions_of
    from headrace.store.meltano_folder import files_of, read_folder

    if not (folder / "meltano.yml").is_file():
        raise InvalidError(f"There is no meltano.yml in {folder}.", "Name the folder of a Meltano project.")
    files_of(folder)  # says whether it is too large to be copied to each job
    definitions = definitions_of(Snapshot(folder=read_folder(folder)), UUID(int=0))
    if definitions.problems:
        raise definitions.problems[0]
    return definitions


def _write_setting(file: Path, workspace: str, meltano: Path) -> str:
    """
    Write where a workspace's Meltano project is, keeping whatever else the file says; gives what was written.

    Raises:
        DefinitionError: headrace.yml is not as it should be; nothing was written.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML()
    yaml.preserve_quotes = True
    try:
        document: Any = yaml.load(file.read_text("utf-8")) if file.is_file() else {}
    except (YAMLError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{file.name} is not YAML.", "`headrace problems` says where.", file=file.name) from error
    document = document if document is not None else {}
    written = os.path.relpath(meltano, file.parent) if meltano.is_relative_to(file.parent) else str(meltano)
    settings = _within(_within(_within(document, "workspaces", file), workspace, file), "settings", file)
    settings["meltano"] = written
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.partial")
    with partial.open("w", encoding="utf-8") as stream:
        yaml.dump(document, stream)
    partial.replace(file)
    return written


def _within(mapping: Any, name: str, file: Path) -> Any:
    if not isinstance(mapping, dict):
        raise DefinitionError(
            f"{file.name}: what should hold `{name}` is not a mapping.", "Correct the file first.", file=file.name
        )
    if mapping.get(name) is None:
        mapping[name] = {}
    return mapping[name]
