"""``fde serve``: the trained model behind an OpenAI-style API, and which version of it is active."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from fde.cli.options import JsonOption
from fde.console import emit, out, say

app = typer.Typer(help="Serve the trained model behind an OpenAI-style API.", no_args_is_help=True)


class EngineChoice(StrEnum):
    """Values of ``--engine``."""

    auto = "auto"
    vllm = "vllm"
    local = "local"


@app.command("start")
def start_command(
    ctx: typer.Context,
    adapter: Annotated[
        list[str] | None,
        typer.Option(help="TASK, TASK@DIGEST or a training stage; may be repeated. Default: what is active."),
    ] = None,
    engine: Annotated[
        EngineChoice, typer.Option(help="vllm, local (transformers), or auto: vllm where it is installed.")
    ] = EngineChoice.auto,
    host: Annotated[str | None, typer.Option(help="Address to listen on (default: [serve] host).")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port, 0 for any free one (default: [serve] port).")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Answer OpenAI-style chat requests with the trained adapters, until Ctrl-C or SIGTERM.

    Example: fde serve start --adapter code-invoice --port 8000
    """
    from serve.service import plan, serve

    planned = plan(ctx.obj.engagement(), adapter or [], engine=engine.value, host=host, port=port)

    def ready(facts: dict[str, Any]) -> None:
        if json:
            emit(facts)
        else:
            out(facts["url"])
        say(f"Serving {', '.join(facts['models'])} with {facts['engine']} at {facts['url']}. Ctrl-C ends.")

    serve(planned, tell=say, ready=ready)
    say("Stopped.")


@app.command("adapters")
def adapters_command(ctx: typer.Context, json: JsonOption = False) -> None:
    """List the adapters that can be served, and which version of each is active.

    Example: fde serve adapters
    """
    from serve.adapters import AdapterRegistry

    registry = AdapterRegistry(ctx.obj.engagement())
    active = {task: found.name for task in registry.tasks() if (found := registry.active(task)) is not None}
    rows = [
        {"name": found.name, "active": active.get(found.task) == found.name, **found.model_dump(mode="json")}
        for found in registry.versions()
    ]
    if json:
        emit({"adapters": rows, "trained": registry.trained()})
        return
    for row in rows:
        made = row["registered"][:19]
        mark = "active" if row["active"] else "      "
        what = "all weights" if row["rank"] is None else f"rank {row['rank']}"
        if row["quantized"]:
            what += f" on the base in {row['quantized']}"
        out(f"{mark}  {row['name']}  {what}  from {row['stage']} {row['run']}  {made}")
    if not rows:
        trained = ", ".join(registry.trained()) or "none"
        say(f"No adapter was promoted yet (trained: {trained}). Promote one with: fde serve promote STAGE")


@app.command("promote")
def promote_command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="STAGE|TASK@DIGEST", help="A training stage, or a version.")],
    json: JsonOption = False,
) -> None:
    """Make an adapter the active version of its task. A running server keeps what it has.

    Example: fde serve promote rl-code-invoice
    """
    from serve.adapters import AdapterRegistry

    _tell_active(AdapterRegistry(ctx.obj.engagement()).promote(name), json)


@app.command("rollback")
def rollback_command(
    ctx: typer.Context,
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="The task whose version before becomes active.")
    ],
    json: JsonOption = False,
) -> None:
    """Make the version active again that was active before.

    Example: fde serve rollback code-invoice
    """
    from serve.adapters import AdapterRegistry

    _tell_active(AdapterRegistry(ctx.obj.engagement()).rollback(task), json)


def _tell_active(adapter: Any, json: bool) -> None:
    if json:
        emit({"name": adapter.name, "active": True, **adapter.model_dump(mode="json")})
    else:
        out(f"{adapter.name} is active")
