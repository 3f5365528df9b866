"""``fde doctor``."""

from __future__ import annotations

import typer

from fde.cli.options import JsonOption
from fde.console import emit, out

app = typer.Typer()
_MARKS = {"ok": "ok     ", "note": "note   ", "missing": "MISSING"}


@app.command()
def doctor(ctx: typer.Context, json: JsonOption = False) -> None:
    """Check this machine: what works, what is missing, how to get it.

    The exit code is 1 when something is missing that a command needs.
    """
    from fde.doctor import examine
    from ingest.browser import executable

    checks = examine(ctx.obj.folder, executable)
    passed = all(check.verdict != "missing" for check in checks)
    if json:
        emit({"checks": checks, "passed": passed})
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            out(f"{_MARKS[check.verdict]} {check.name:{width}}  {check.found}")
            if check.hint:
                out(f"{'':{width + 8}}  {check.hint}")
    if not passed:
        raise typer.Exit(1)
