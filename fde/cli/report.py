"""``fde report``."""

from __future__ import annotations

from typing import Annotated

import typer

from fde.cli.options import JsonOption
from fde.console import emit, out, say

app = typer.Typer()


@app.command()
def report(
    ctx: typer.Context,
    workflow: Annotated[
        str | None, typer.Option(metavar="NAME", help="The workflow (default: the one evaluated last).")
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    json: JsonOption = False,
) -> None:
    """Write the ROI report from the latest evaluation: reports/index.html and report.json.

    Example: fde report --open
    """
    from evaluate.report import write_report

    written = write_report(ctx.obj.engagement(), workflow=workflow)
    comparison = written.data["comparison"]
    if json:
        emit(
            {
                "report": written.page,
                "data": written.data_path,
                "run": f"report/{written.run.id}",
                "verdict": comparison["verdict"],
                "headline": comparison["decision"]["headline"],
                "bars": written.data["bars"],
            }
        )
    else:
        out(str(written.page))
        say(comparison["decision"]["headline"], style="bold")
    if open_page:
        import webbrowser

        webbrowser.open(written.page.as_uri())
