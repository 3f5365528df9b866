"""``fde ingest``: docs, recordings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fde.cli.options import JsonOption, State
from fde.console import Advance, emit, out, progress, say
from fde.errors import MissingError

if TYPE_CHECKING:
    from fde.engagement import Engagement
    from ingest.workers import Limits

app = typer.Typer(no_args_is_help=True, help="Read documents and recordings of any format.")

PathsArgument = Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files and folders.")]


TimeLimitOption = Annotated[
    float | None,
    typer.Option(
        "--time-limit", metavar="SECONDS", min=1.0, help="How long one file may take.", show_default=False
    ),
]
ProcessesOption = Annotated[
    int | None,
    typer.Option(
        "--processes",
        metavar="N",
        min=1,
        help="How many files are read at a time (default: one per core).",
        show_default=False,
    ),
]


@app.command()
def docs(
    ctx: typer.Context,
    paths: PathsArgument,
    time_limit: TimeLimitOption = None,
    processes: ProcessesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read documents: Word, PowerPoint, Excel, CSV, PDF, pictures, HTML, Markdown, text, mails, zip archives.

    In an engagement the files are kept under raw/ and what was read becomes the
    latest run of the stage; elsewhere they are read and shown. A run holds
    exactly the files named; what has not changed is not read again. Files that
    cannot be read, take longer than their limit (300 s) or need too much memory
    are left out: exit code 1.

    Example: fde ingest docs policies/ vendors.xlsx
    """
    from ingest import stage
    from ingest.sources import find_files

    limits = _limits(stage.DOCUMENT_LIMITS, time_limit)
    engagement = _engagement(ctx.obj)
    with progress("Reading documents", len(find_files(paths))) as advance:
        if engagement is None:
            loose = stage.read_loose_documents(paths, _told(advance), limits=limits, processes=processes)
            rows, failed, where = list(loose.made), dict(loose.failed), None
        else:
            run = stage.ingest_documents(
                engagement, paths, _told(advance), limits=limits, processes=processes
            )
            rows, failed, where = *_rows(stage.report(run)), run.id
    _show(rows, "documents", failed, where, as_json, _document_line)


@app.command()
def recordings(
    ctx: typer.Context,
    paths: PathsArgument,
    replay: Annotated[
        str | None,
        typer.Option(
            "--replay", metavar="URL", help="Carry scripts out on the staging copy at this address."
        ),
    ] = None,
    time_limit: TimeLimitOption = None,
    processes: ProcessesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read recordings of experts at work, of any tool that docs/ingest.md names.

    Scripts of test tools tell actions without pages. With --replay they are
    carried out in a browser on a staging copy, never on the original, and what
    the recorder sees is the recording; one that could not be carried out to its
    end is kept as far as it went: exit code 1.

    In an engagement the files are kept under raw/ and what was read becomes the
    latest run of the stage; elsewhere they are read and shown. A run holds
    exactly the files named; what has not changed is not read again. Files that
    cannot be read, take longer than their limit (900 s) or need too much memory
    are left out: exit code 1.

    Example: fde ingest recordings recordings/ login.side --replay http://staging.example
    """
    from ingest import stage
    from ingest.formats.steps import ENDED_EARLY
    from ingest.sources import find_files

    limits = _limits(stage.RECORDING_LIMITS, time_limit)
    engagement = _engagement(ctx.obj)
    with progress("Reading recordings", len(find_files(paths))) as advance:
        if engagement is None:
            loose = stage.read_loose_recordings(
                paths, _told(advance), limits=limits, processes=processes, replay=replay
            )
            rows, failed, where = list(loose.made), dict(loose.failed), None
        else:
            run = stage.ingest_recordings(
                engagement, paths, _told(advance), limits=limits, processes=processes, replay=replay
            )
            rows, failed, where = *_rows(stage.report(run)), run.id
    _show(rows, "recordings", failed, where, as_json, _recording_line)
    if any(warning.startswith(ENDED_EARLY) for row in rows for warning in row["warnings"]):
        raise typer.Exit(1)


def _told(advance: Advance) -> Callable[[str], None]:
    return lambda name: advance(1, name)


def _limits(usual: Limits, seconds: float | None) -> Limits:
    return usual if seconds is None else replace(usual, seconds=seconds)


def _engagement(state: State) -> Engagement | None:
    """The engagement; None when none was named and there is none around."""
    try:
        return state.engagement()
    except MissingError:
        if state.named:
            raise
        say("Not in an engagement: the files are read, nothing is kept. Make one with: fde init DIR")
        return None


def _rows(found: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """What was made, and what was left out and why, of a report."""
    files = found["files"]
    made = [row for file in files for row in file.get("made", ())]
    return made, {file["source"]: file["error"] for file in files if file["error"]}


def _document_line(row: dict[str, Any]) -> str:
    return (
        f"{row['source']}  {row['characters']} characters, {row['tables']} tables, {row['chunks']} passages"
        + (f", nearly the same as {row['duplicate_of']}" if row["duplicate_of"] else "")
    )


def _recording_line(row: dict[str, Any]) -> str:
    return f"{row['source']}  {row['workflow']}: {row['steps']} steps, {row['snapshots']} pages"


def _show(
    rows: list[dict[str, Any]], kind: str, failed: dict[str, str], run: str | None, as_json: bool, line: Any
) -> None:
    if as_json:
        left_out = [{"source": source, "error": error} for source, error in failed.items()]
        emit({kind: rows, "failed": left_out, "run": run})
    else:
        for row in rows:
            out(line(row))
            for warning in row["warnings"]:
                say(f"  {row['source']}: {warning}", style="yellow")
    for source, error in failed.items():
        say(f"left out: {source}: {error}", style="red")
    if failed:
        raise typer.Exit(1)
