"""``fde playbook``: whole missions."""

from __future__ import annotations

from typing import Annotated

import typer

from fde.cli.options import JsonOption
from fde.console import emit, out, say

app = typer.Typer(help="List, show and run whole missions.", no_args_is_help=True)

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A playbook of the library, or a YAML file.")
]


@app.command("list")
def list_command(json: JsonOption = False) -> None:
    """List the playbooks of the library."""
    from playbooks.schema import load, names

    found = [load(name)[0] for name in names()]
    if json:
        emit(
            {
                "playbooks": [
                    {"name": book.name, "title": book.title, "stages": len(book.stages)} for book in found
                ]
            }
        )
        return
    for book in found:
        out(f"{book.name}  {book.title} ({len(book.stages)} stages)")


@app.command("show")
def show_command(name: NameArgument, json: JsonOption = False) -> None:
    """Show a playbook's stages and their settings."""
    from playbooks.schema import load
    from playbooks.stages import KINDS

    book, _ = load(name)
    if json:
        emit(book.model_dump(mode="json", by_alias=True))
        return
    out(f"{book.name}: {book.title}")
    if book.about:
        out(book.about.strip())
    width = max(len(stage.name) for stage in book.stages)
    for number, stage in enumerate(book.stages, 1):
        out(f"{number:2}  {stage.name:{width}}  {stage.uses}: {KINDS[stage.uses].about}")
        for key, value in stage.settings.items():
            out(f"    {'':{width}}  {key}: {value}")


@app.command("run")
def run_command(ctx: typer.Context, name: NameArgument, json: JsonOption = False) -> None:
    """Run a playbook; what is done already is skipped, and what was interrupted goes on.

    Example: fde playbook run quickstart
    """
    from playbooks.runner import StageResult, engagement_for, run, table
    from playbooks.schema import StageEntry, load

    book, base = load(name)
    engagement = engagement_for(book, base, ctx.obj.folder, named=ctx.obj.named)
    count = len(book.stages)
    numbers = {stage.name: number for number, stage in enumerate(book.stages, 1)}

    def begun(stage: StageEntry) -> None:
        say(f"[{numbers[stage.name]}/{count}] {stage.name} …", style="bold")

    def ended(stage: StageResult) -> None:
        say(f"[{numbers[stage.name]}/{count}] {stage.name}: {stage.status}, {stage.seconds:.1f} s")

    mission = run(book, base, engagement, begun=begun, ended=ended)
    say(table(mission))
    if json:
        emit(
            {
                "playbook": mission.playbook,
                "engagement": mission.engagement,
                "stages": mission.stages,
                "report": mission.report,
                "seconds": round(mission.seconds, 2),
                "peak_memory_bytes": mission.peak_memory_bytes,
                "error": None if mission.error is None else str(mission.error),
            }
        )
    elif mission.report:
        out(mission.report)
    if mission.error:
        raise mission.error
