"""``fde model``: base models on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from fde.cli.options import JsonOption
from fde.console import emit, out, say

app = typer.Typer(help="Add and list base models.", no_args_is_help=True)


@app.command("add")
def add_command(
    what: Annotated[str, typer.Argument(metavar="NAME|PATH", help="A known model, its wheel, or a folder.")],
    name: Annotated[str | None, typer.Option(help="What to call a model from a folder.")] = None,
    licence: Annotated[str, typer.Option(help="The licence of a model from a folder.")] = "unknown",
    json: JsonOption = False,
) -> None:
    """Add a model to this machine: fetch a known one, or copy a folder with safetensors weights.

    Example: fde model add smollm2-135m
    """
    from serve.convert import add

    manifest = add(what, name=name, licence=licence, tell=say)
    if json:
        emit(manifest)
    else:
        out(f"{manifest.name}: {manifest.title}, {manifest.licence}")


@app.command("list")
def list_command(json: JsonOption = False) -> None:
    """List the models on this machine and those that can be added by name."""
    from fde import models

    there = models.installed()
    missing = [model for model in models.KNOWN.values() if model.name not in {found.name for found in there}]
    if json:
        emit(
            {
                "folder": models.models_dir(),
                "models": [{**found.model_dump(mode="json"), "installed": True} for found in there]
                + [
                    {"name": model.name, "title": model.title, "licence": model.licence, "installed": False}
                    for model in missing
                ],
            }
        )
        return
    for found in there:
        size = sum(file.bytes for file in found.weights.values()) / 1e6
        out(f"{found.name}  {size:.0f} MB  {found.licence}  {found.title}")
    for model in missing:
        out(f"{model.name}  not here; add it with: fde model add {model.name}")


@app.command("remove")
def remove_command(name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Delete a model from this machine."""
    from fde import models

    models.remove(name)
    say(f"{name} is removed.")
