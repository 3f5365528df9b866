"""``fde init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fde.cli.options import JsonOption
from fde.console import emit, out, say

app = typer.Typer()


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    name: Annotated[str | None, typer.Option(help="The client's name (default: the folder's).")] = None,
    locale: Annotated[str, typer.Option(help="Language and country of the client's data.")] = "en-US",
    currency: Annotated[str, typer.Option(help="Currency of the report (ISO 4217).")] = "USD",
    base: Annotated[str, typer.Option(help="The base model.")] = "smollm2-135m",
    json: JsonOption = False,
) -> None:
    """Make a new engagement folder with a commented fde.toml.

    Example: fde init acme --name "Acme GmbH" --locale de-DE --currency EUR
    """
    from fde.config import create

    made = create(folder, name=name or folder.resolve().name, locale=locale, currency=currency, base=base)
    if json:
        emit({"engagement": made.root, "config": made.config_path})
        return
    out(str(made.root))
    say(f"Edit {made.config_path}, then: fde -C {folder} ingest docs PATH…", style="cyan")
