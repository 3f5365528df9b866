"""``fde evaluate``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fde.cli.options import JsonOption
from fde.console import emit, out, say, several

app = typer.Typer(no_args_is_help=True, help="Compare the ways of doing the task.")

WorkflowOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The workflow (default: [evaluate] workflow, else the largest)."),
]


@app.command()
def run(
    ctx: typer.Context,
    workflow: WorkflowOption = None,
    tasks: Annotated[int | None, typer.Option(min=1, help="Held-out tasks.")] = None,
    disturbed: Annotated[int | None, typer.Option(min=0, help="Tasks with an injected fault.")] = None,
    live: Annotated[int | None, typer.Option(min=0, help="Tasks on the real application.")] = None,
    arm: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this arm (repeatable).")] = None,
    json: JsonOption = False,
) -> None:
    """Do the same held-out tasks in every way there is, and compare.

    Goes on where it was interrupted. Example: fde evaluate run --workflow code-invoice --tasks 100
    """
    from evaluate.results import compare as compared
    from evaluate.stage import evaluate

    engagement = ctx.obj.engagement()
    with several() as begin:
        done = evaluate(
            engagement,
            workflow=workflow,
            n=tasks,
            disturbed=disturbed,
            live=live,
            arms=arm,
            progress=begin,
        )
    _show(compared(engagement, done), json)


@app.command()
def compare(ctx: typer.Context, workflow: WorkflowOption = None, json: JsonOption = False) -> None:
    """Show the latest evaluation with the prices that stand in fde.toml now.

    Example: fde evaluate compare --json
    """
    from evaluate.results import compare as compared
    from evaluate.results import find_run

    engagement = ctx.obj.engagement()
    _show(compared(engagement, find_run(engagement, workflow)), json)


def _show(comparison: dict[str, Any], json: bool) -> None:
    if json:
        emit(comparison)
        return
    from evaluate.text import table

    out(table(comparison))
    say(comparison["decision"]["headline"], style="bold")
