"""``fde ingest``: docs, recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fde.cli.options import JsonOption, State
from fde.console import emit, out, progress, say
from fde.errors import MissingError

if TYPE_CHECKING:
    from fde.engagement import Engagement
    from ingest.document import Document
    from ingest.recording import Recording

app = typer.Typer(no_args_is_help=True, help="Read documents and recordings of any format.")

PathsArgument = Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files and folders.")]


@app.command()
def docs(ctx: typer.Context, paths: PathsArgument, as_json: JsonOption = False) -> None:
    """Read documents: Word, Excel, CSV, PDF, HTML, Markdown, text, mails with attachments, zip archives.

    In an engagement the files are kept under raw/ and what was read becomes the
    latest run of the stage; elsewhere they are read and shown. A run holds
    exactly the files named. Files that cannot be read are left out: exit code 1.

    Example: fde ingest docs policies/ vendors.xlsx
    """
    from ingest.stage import documents_of, find_files, ingest_documents, read_loose_documents, report

    engagement = _engagement(ctx.obj)
    with progress("Reading documents", len(find_files(paths))) as advance:
        if engagement is None:
            loose = read_loose_documents(paths, lambda name: advance(1, name))
            found, failed, where = list(loose.documents), dict(loose.failed), None
        else:
            run = ingest_documents(engagement, paths, lambda name: advance(1, name))
            found, where = documents_of(run), run.id
            failed = _failed(report(run))
    rows = [_document(document) for document in found]
    _show(rows, "documents", failed, where, as_json, _document_line)


@app.command()
def recordings(ctx: typer.Context, paths: PathsArgument, as_json: JsonOption = False) -> None:
    """Read recordings of experts at work (.fderec).

    In an engagement the files are kept under raw/ and what was read becomes the
    latest run of the stage; elsewhere they are read and shown. A run holds
    exactly the files named. Files that cannot be read are left out: exit code 1.

    Example: fde ingest recordings recordings/
    """
    from ingest.stage import find_files, ingest_recordings, read_loose_recordings, recordings_of, report

    engagement = _engagement(ctx.obj)
    with progress("Reading recordings", len(find_files(paths))) as advance:
        if engagement is None:
            loose = read_loose_recordings(paths, lambda name: advance(1, name))
            found, failed, where = list(loose.recordings), dict(loose.failed), None
        else:
            run = ingest_recordings(engagement, paths, lambda name: advance(1, name))
            found, where = recordings_of(run), run.id
            failed = _failed(report(run))
    rows = [_recording(recording) for recording in found]
    _show(rows, "recordings", failed, where, as_json, _recording_line)


def _engagement(state: State) -> Engagement | None:
    """The engagement; None when none was named and there is none around."""
    try:
        return state.engagement()
    except MissingError:
        if state.named:
            raise
        say("Not in an engagement: the files are read, nothing is kept. Make one with: fde init DIR")
        return None


def _failed(found: dict[str, Any]) -> dict[str, str]:
    return {row["source"]: row["error"] for row in found["files"] if row["error"]}


def _document(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "source": document.source,
        "media_type": document.media_type,
        "title": document.title,
        "dated": document.dated,
        "characters": len(document.text),
        "tables": len(document.tables),
        "chunks": len(document.chunks),
        "warnings": list(document.warnings),
    }


def _document_line(row: dict[str, Any]) -> str:
    return (
        f"{row['source']}  {row['characters']} characters, {row['tables']} tables, {row['chunks']} passages"
    )


def _recording(recording: Recording) -> dict[str, Any]:
    snapshots = {
        (snapshot.url, snapshot.text)
        for step in recording.steps
        for snapshot in (step.before, step.after)
        if snapshot is not None
    }
    return {
        "id": recording.id,
        "workflow": recording.workflow,
        "instruction": recording.instruction,
        "source": recording.source,
        "source_format": recording.source_format,
        "steps": len(recording.steps),
        "actions": [step.action.text() for step in recording.steps],
        "snapshots": len(snapshots),
        "effects": sum(len(step.effects) for step in recording.steps),
        "warnings": list(recording.warnings),
    }


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
