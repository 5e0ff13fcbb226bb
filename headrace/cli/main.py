"""
The command `headrace`.

Each command's module is light; what a command needs to work is imported when it runs, so that help and completion come at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from headrace.cli import (
    automation,
    backup,
    connector,
    deliveries,
    demo,
    doctor,
    flow,
    flows,
    items,
    jobs,
    keys,
    meltano,
    pausing,
    replay,
    rerun,
    run,
    runnables,
    serving,
    state,
    workspace,
)
from headrace.cli.failures import INTERRUPTED, exit_code_of
from headrace.cli.output import say_error
from headrace.core.errors import HeadraceError

app = typer.Typer(
    name="headrace",
    help="A self-hosted job server for data integration.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help starts in half the time
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from headrace import __version__

        print(f"headrace {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    """
    A self-hosted job server for data integration.
    """


for command in (
    serving.init,
    serving.up,
    serving.serve,
    serving.worker,
    demo.demo,
    run.run,
    rerun.rerun,
    replay.replay,
    jobs.jobs,
    jobs.job,
    jobs.logs,
    items.items,
    pausing.pause,
    pausing.resume,
    jobs.cancel,
    deliveries.deliveries,
    deliveries.redeliver,
    flows.flows,
    flows.problems,
    doctor.doctor,
    backup.backup,
    backup.restore,
):
    app.command()(command)
app.add_typer(automation.app, name="automation")
app.add_typer(runnables.group(runnables.BATCH), name="batch")
app.add_typer(connector.app, name="connector")
app.add_typer(flow.app, name="flow")
app.add_typer(keys.app, name="keys")
app.add_typer(meltano.app, name="meltano")
app.add_typer(runnables.group(runnables.PIPELINE), name="pipeline")
app.add_typer(state.app, name="state")
app.add_typer(workspace.app, name="workspace")


def main(arguments: Sequence[str] | None = None) -> None:
    """
    Run the command line; ends the process with the command's exit code.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(given)
    except HeadraceError as error:
        if "--debug" in given:
            raise
        say_error(error, as_json="--json" in given)
        sys.exit(exit_code_of(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
