"""``fde status``."""

from __future__ import annotations

import typer

from fde.cli.options import JsonOption
from fde.console import emit, out, say

app = typer.Typer()


@app.command()
def status(ctx: typer.Context, json: JsonOption = False) -> None:
    """Show the engagement's stages and runs, and the next command."""
    from fde.status import status as read

    found = read(ctx.obj.engagement())
    if json:
        emit(found)
        return
    out(f"{found.name}  {found.engagement}")
    width = max((len(run.stage) for run in found.runs), default=0)
    for run in found.runs:
        seconds = "" if run.seconds is None else f"{run.seconds:8.1f} s"
        marks = "  latest" if run.latest else ""
        marks += "  stale: an earlier stage has a newer run" if run.stale else ""
        out(f"{run.stage:{width}}  {run.run}  {run.state:11}{seconds:10}{marks}".rstrip())
    if found.report:
        out(f"report: {found.report}")
    say(f"Next: {found.next_command}" if found.next_command else "Every stage is done.", style="cyan")
