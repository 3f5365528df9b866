"""``fde record``: an expert at work in a browser, as a recording."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from fde.cli.options import JsonOption
from fde.console import emit, out, say
from fde.errors import InputError

app = typer.Typer()


@app.command()
def record(
    url: Annotated[str, typer.Argument(help="Where the work begins.")],
    workflow: Annotated[str, typer.Option("--workflow", help="The workflow's name.")],
    instruction: Annotated[
        str, typer.Option("--instruction", help="The task, as it was given to the expert.")
    ] = "",
    file: Annotated[
        Path | None, typer.Option("--out", help="The file to write (default: WORKFLOW-TIME.fderec).")
    ] = None,
    script: Annotated[
        Path | None,
        typer.Option("--script", help="Carry out the action lines of this file, without a person."),
    ] = None,
    origin: Annotated[
        list[str] | None, typer.Option("--origin", help="A further origin that belongs to the application.")
    ] = None,
    headless: Annotated[bool, typer.Option("--headless", help="Without a window; needs --script.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Record an expert's pass through a workflow, in a browser.

    A window opens; press Stop in its corner (or close it) when the work is done.
    Passwords never leave the page. With --script the lines of a file are carried
    out instead: click link "INV-4821", fill textbox "Cost center": CC-100, done.

    Example: fde record http://127.0.0.1:8000/ --workflow code-invoice --instruction "Code INV-4821"
    """
    from ingest.recorder import record as run
    from ingest.recordings import read_recording
    from ingest.script import read_script

    if not workflow.strip():
        raise InputError("--workflow is empty.", "Name the workflow, for instance: --workflow code-invoice")
    target = file or Path(f"{workflow}-{datetime.now():%Y%m%d-%H%M%S}.fderec")
    if target.exists():
        raise InputError(f"{target} exists already.", "Name another file with --out, or delete it first.")
    steps = read_script(script) if script else None
    if steps is None:
        say("Recording: work in the window, then press Stop in its corner.")
    run(
        url,
        target,
        workflow=workflow,
        instruction=instruction,
        script=steps,
        headless=headless,
        origins=origin or (),
    )
    made, _ = read_recording(target)
    if as_json:
        emit(
            {
                "id": made.id,
                "path": str(target),
                "steps": len(made.steps),
                "actions": [step.action.text() for step in made.steps],
                "warnings": list(made.warnings),
            }
        )
        return
    for warning in made.warnings:
        say(warning, style="yellow")
    say(f"{len(made.steps)} steps. Next: fde ingest recordings {target}")
    out(str(target))
