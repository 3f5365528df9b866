"""``fde redact``: run, review, audit, score, reveal."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from fde.cli.options import JsonOption
from fde.console import console, emit, out, say

app = typer.Typer(no_args_is_help=True, help="Replace personal data by surrogates, and audit the result.")


@app.command()
def run(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Redact the latest documents and recordings, then audit the output.

    Personal data found leaking stops the release: exit code 1.

    Example: fde redact run
    """
    from redact.stage import redact

    done = redact(ctx.obj.engagement(), progress=say)
    manifest = done.manifest()
    if as_json:
        emit({"run": done.id, "path": str(done.path), "counts": manifest.counts, "inputs": manifest.inputs})
        return
    counts = manifest.counts
    out(
        f"redact {done.id}: {counts.get('documents', 0)} documents, {counts.get('recordings', 0)} "
        f"recordings, "
        f"{counts.get('entities', 0)} personal values replaced, audit passed over "
        f"{counts.get('audit_checked_strings', 0)} strings"
    )
    for what, key in (("screenshots", "screenshots"), ("HTML of pages", "doms")):
        redacted, dropped = counts.get(f"{key}_redacted", 0), counts.get(f"{key}_dropped", 0)
        if redacted or dropped:
            out(f"{what}: {redacted} redacted, {dropped} dropped")


@app.command()
def review(
    ctx: typer.Context,
    apply: Annotated[
        Path | None, typer.Option(help="A file saved by the page: keep its decisions for the next run.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a page that shows what is found, in context, the least certain first.

    Open it in a browser, accept, reject or add values, save the decisions, and
    name the saved file with --apply. The page holds originals: it stays in the
    vault's folder.

    Example: fde redact review --apply ~/Downloads/decisions.json
    """
    engagement = ctx.obj.engagement()
    if apply is not None:
        from redact import decisions

        kept = decisions.keep(engagement, decisions.read(apply))
        told = {
            verdict: sum(d.verdict == verdict for d in kept.decisions)
            for verdict in ("accept", "reject", "add")
        }
        if as_json:
            emit({"decisions": told})
        else:
            out(", ".join(f"{count} {verdict}" for verdict, count in told.items()))
            say("Now run: fde redact run")
        return
    from redact.stage import review as write

    path, found = write(engagement, progress=say)
    left = sum(not item.replaced for item in found)
    if as_json:
        emit({"page": str(path), "values": len(found), "left": left})
        return
    out(str(path))
    say(
        f"{len(found)} values, {left} of them found but not replaced. "
        "The page holds originals: delete it afterwards."
    )


@app.command()
def audit(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Look for personal data in everything a later stage can read.

    A finding names its place and type, never the value. Any finding: exit code 1.

    Example: fde redact audit --json
    """
    from redact.audit import audit as check

    report = check(ctx.obj.engagement())
    if as_json:
        emit(report.plain())
    else:
        for finding in report.findings:
            out(f"{finding.type}  {finding.place}  ({finding.how})")
        unread = report.pictures_not_read + report.files_not_read
        note = f", {report.pictures_read} pictures" if report.pictures_read else ""
        note += f"; {unread} files could not be read" if unread else ""
        say(f"{report.leaks} leaks in {report.checked_strings} strings of {report.files} files{note}")
    if not report.passed:
        raise typer.Exit(1)


@app.command()
def score(
    file: Annotated[
        Path,
        typer.Argument(help="Labelled texts: presidio-research JSON, JSON lines, a brat folder, CoNLL."),
    ],
    as_json: JsonOption = False,
    model: Annotated[str | None, typer.Option(help="An installed spaCy model.")] = None,
) -> None:
    """Measure the detector on labelled texts: recall, precision, their 95% intervals, speed.

    Example: fde redact score labelled.json --json
    """
    from redact.detect import Detector
    from redact.labelled import load
    from redact.score import score as judge

    labelled = load(file)
    detector = Detector(model)
    detector.find(["Warm up."])
    result = judge(labelled, detector.find)
    if as_json:
        emit(asdict(result))
        return
    from rich.table import Table

    table = Table(title=f"{result.texts} texts, {result.spans} labelled spans, {result.found} found")
    table.add_column("type")
    table.add_column("spans", justify="right")
    table.add_column("recall", justify="right")
    table.add_column("95% interval", justify="right")
    for name, row in result.per_type.items():
        table.add_row(name, str(row["spans"]), f"{row['recall']:.3f}", _interval(row["ci"]))
    console.print(table)
    for name in ("span_recall", "span_precision", "span_f2", "char_recall"):
        value = getattr(result, name)
        told = "-" if value is None else f"{value:.3f} {_interval(getattr(result, name + '_ci'))}"
        out(f"{name} {told}".rstrip())
    out(f"characters_per_second {result.characters_per_second:,.0f}")


def _interval(bounds: Any) -> str:
    return "" if bounds is None else f"{bounds[0]:.3f}–{bounds[1]:.3f}"


@app.command()
def reveal(
    ctx: typer.Context,
    name: Annotated[
        str,
        typer.Argument(metavar="ID", help="An id of the vault, or a surrogate as it stands in the output."),
    ],
    reason: Annotated[str, typer.Option(help="Why you need the original: it is logged.")],
    as_json: JsonOption = False,
) -> None:
    """Show the original behind a surrogate. Needs the key; every look-up is logged in the vault.

    Example: fde redact reveal "Robin Ashwell" --reason "the bank asks who approved"
    """
    from redact.vault import Vault

    vault = Vault(ctx.obj.engagement())
    try:
        found = vault.reveal(name, reason)
    finally:
        vault.close()
    rows = [{"id": e.id, "type": e.type, "surrogate": e.surrogate, "original": e.original} for e in found]
    if as_json:
        emit({"entries": rows})
        return
    for row in rows:
        out(f"{row['id']}  {row['type']}  {row['surrogate']}  ->  {row['original']}")
