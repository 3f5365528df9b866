"""``fde envgen``: build, gate, show, play, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fde.cli.options import JsonOption
from fde.console import console, emit, out, say
from fde.errors import InputError

if TYPE_CHECKING:
    from envgen.gate import GateReport
    from fde.engagement import Run

NameArgument = Annotated[str, typer.Argument(help="The workflow's name.")]
app = typer.Typer(no_args_is_help=True, help="Compile recordings into environments with proven verifiers.")

AcceptRiskOption = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-risk",
        metavar="NAME=REASON",
        help="Publish a workflow although its gate is below the bar; the reason goes on record.",
    ),
]


@app.command()
def build(ctx: typer.Context, accept_risk: AcceptRiskOption = None, as_json: JsonOption = False) -> None:
    """Compile every workflow of the redacted recordings, and prove each verifier.

    A workflow whose verifier misses the bar is not published: exit code 1.

    Example: fde envgen build
    """
    from envgen import stage

    run = stage.build(ctx.obj.engagement(), accept_risk=_risks(accept_risk or []), progress=say)
    _report(run, as_json)


@app.command()
def gate(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Show how the verifiers of the latest build stood up to wrong work, with 95% intervals.

    Exit code 1 when an environment is not published.

    Example: fde envgen gate --json
    """
    _report(ctx.obj.engagement().latest("envgen"), as_json)


@app.command()
def show(
    ctx: typer.Context,
    name: NameArgument,
    page: Annotated[
        Path | None,
        typer.Option("--page", metavar="FILE", help="Where the page goes (default: reports/NAME.html)."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a compiled workflow: the way, the rules with their evidence, open questions, the gate.

    Prints it in words, and writes a page for the domain expert to read and correct, with a picture of
    the pages and sample tasks.

    Example: fde envgen show code-invoice
    """
    from envgen import stage
    from envgen.sheet import sheet
    from envgen.show import describe
    from fde.artifacts import write_text

    engagement = ctx.obj.engagement()
    run = engagement.latest("envgen")
    workflow = stage.load_workflow(run, name)
    report = stage.load_gate(run, name)
    target = page or engagement.reports / f"{name}.html"
    write_text(target, sheet(workflow, report))
    if as_json:
        emit({"workflow": workflow, "gate": report, "page": str(target)})
        return
    out(describe(workflow, report))
    say(f"As a page, to read and to correct: {target}", style="cyan")


@app.command()
def play(
    ctx: typer.Context,
    name: NameArgument,
    port: Annotated[int, typer.Option(help="Port on this machine; 0 for any free one.")] = 0,
    seed: Annotated[int, typer.Option(help="Which tasks come.")] = 0,
) -> None:
    """Do a compiled workflow's tasks in a browser, in its twin, and see the verdict with its reasons.

    Serves this machine alone until interrupted.

    Example: fde envgen play code-invoice
    """
    import threading

    from envgen import stage
    from envgen.twin_server import serve

    workflow = stage.load_workflow(ctx.obj.engagement().latest("envgen"), name)
    with serve(workflow, port=port, seed=seed) as twin:
        out(twin.url)
        say("Open it in a browser; stop with Ctrl-C.", style="cyan")
        threading.Event().wait()


@app.command()
def export(
    ctx: typer.Context,
    name: NameArgument,
    to: Annotated[str, typer.Option("--to", help="What for: jsonl, gymnasium, browsergym or openenv.")],
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")],
    tasks: Annotated[int, typer.Option(help="How many tasks, over all splits (jsonl).")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Write a compiled workflow for another tool: tasks as JSON lines, or a package for another library.

    Example: fde envgen export code-invoice --to gymnasium --out code-invoice-env
    """
    from envgen import stage
    from envgen.exports import export as write

    workflow = stage.load_workflow(ctx.obj.engagement().latest("envgen"), name)
    written = write(workflow, to, folder, tasks=tasks)
    if as_json:
        emit({"files": [str(path) for path in written]})
        return
    for path in written:
        out(str(path))


def _risks(texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, reason = text.partition("=")
        if not equals or not name.strip() or not reason.strip():
            raise InputError(
                f"--accept-risk {text!r} has no reason.",
                'Write: --accept-risk "NAME=why this may be used anyway"',
            )
        found[name.strip()] = reason.strip()
    return found


def _report(run: Run, as_json: bool) -> None:
    from envgen import stage

    reports = [stage.load_gate(run, name) for name in stage.workflow_names(run)]
    failed = stage.not_compiled(run)
    if as_json:
        emit({"run": run.id, "environments": reports, "not_compiled": failed})
    else:
        _table(reports)
        for report in reports:
            for reason in report.reasons:
                say(f"{report.name}: {reason}")
            out(f"{report.name} {'published' if report.published else 'not published'}")
        for name, reason in failed.items():
            out(f"{name} not compiled: {reason}")
        say("Read one with: fde envgen show NAME", style="cyan")
    if failed or not all(report.published for report in reports):
        raise typer.Exit(1)


def _table(reports: list[GateReport]) -> None:
    from rich.table import Table

    table = Table()
    for title in ("workflow", "held out", "caught", "95%", "rejected", "95%", "mutants"):
        table.add_column(title, justify="left" if title == "workflow" else "right")
    for report in reports:
        table.add_row(
            report.name,
            f"{report.held_out_pass}/{report.held_out_total}",
            _percent(report.kill_rate),
            _interval(report.kill_ci),
            _percent(report.false_reject_rate),
            _interval(report.false_reject_ci),
            str(report.mutants),
        )
    console.print(table)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _interval(ci: tuple[float, float] | None) -> str:
    return "-" if ci is None else f"{ci[0]:.1%} to {ci[1]:.1%}"
