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

NameArgument = Annotated[str, typer.Argument(help="The environment's name.")]
app = typer.Typer(
    no_args_is_help=True, help="Build environments with proven verifiers from recordings and documents."
)

AcceptRiskOption = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-risk",
        metavar="NAME=REASON",
        help="Publish an environment although its gate is below the bar; the reason goes on record.",
    ),
]


@app.command()
def build(ctx: typer.Context, accept_risk: AcceptRiskOption = None, as_json: JsonOption = False) -> None:
    """Compile the redacted recordings, make questions from the documents, and prove each verifier.

    An environment whose verifier misses the bar is not published: exit code 1. The environment of
    questions is called documents; [envgen] in fde.toml leaves it out. A language model that [envgen.proposer]
    names may propose rules, instructions, distractors and checks; each is tested, or dropped.

    Example: fde envgen build
    """
    from envgen import stage
    from fde.config import ModelSettings, section
    from serve.closed_book import closed_book
    from serve.proposer import EndpointProposer

    engagement = ctx.obj.engagement()
    model = section(engagement, "model", ModelSettings).base
    run = stage.build(
        engagement,
        accept_risk=_risks(accept_risk or []),
        closed_book=lambda: closed_book(model),
        proposer=lambda endpoint: EndpointProposer(endpoint, engagement),
        progress=say,
    )
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
    """Show an environment: the way and its rules, or the questions; their evidence, what is open, the gate.

    Prints it in words, and writes a page for the domain expert to read and correct, with sample tasks and,
    for a workflow, a picture of the pages.

    Example: fde envgen show code-invoice
    """
    from envgen import sheet, show, stage
    from envgen.reading import show as reading_show
    from envgen.reading.model import Reading
    from fde.artifacts import write_text

    engagement = ctx.obj.engagement()
    run = engagement.latest("envgen")
    found = stage.load_environment(run, name).data
    report = stage.load_gate(run, name)
    target = page or engagement.reports / f"{name}.html"
    if isinstance(found, Reading):
        kind, words = "questions", reading_show.describe(found, report)
        html = reading_show.sheet(found, report)
    else:
        kind, words, html = "workflow", show.describe(found, report), sheet.sheet(found, report)
    write_text(target, html)
    if as_json:
        emit({kind: found, "gate": report, "page": str(target)})
        return
    out(words)
    say(f"As a page, to read and to correct: {target}", style="cyan")


@app.command()
def play(
    ctx: typer.Context,
    name: NameArgument,
    port: Annotated[int, typer.Option(help="Port on this machine; 0 for any free one.")] = 0,
    seed: Annotated[int, typer.Option(help="Which tasks come.")] = 0,
) -> None:
    """Do an environment's tasks in a browser, in its twin, and see the verdict with its reasons.

    Serves this machine alone until interrupted.

    Example: fde envgen play code-invoice
    """
    import threading

    from envgen import stage
    from envgen.twin_server import serve

    found = stage.load_environment(ctx.obj.engagement().latest("envgen"), name)
    with serve(found, port=port, seed=seed) as twin:
        out(twin.url)
        say("Open it in a browser; stop with Ctrl-C.", style="cyan")
        threading.Event().wait()


@app.command()
def export(
    ctx: typer.Context,
    name: NameArgument,
    to: Annotated[
        str, typer.Option("--to", help="What for: jsonl, gymnasium, browsergym, openenv or verifiers.")
    ],
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")],
    tasks: Annotated[int, typer.Option(help="How many tasks, over all splits (jsonl).")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Write an environment for another tool: tasks as JSON lines, or a package for another library.

    Example: fde envgen export code-invoice --to gymnasium --out code-invoice-env
    """
    from envgen import stage
    from envgen.exports import export as write

    found = stage.load_environment(ctx.obj.engagement().latest("envgen"), name)
    written = write(found, to, folder, tasks=tasks)
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

    reports = [stage.load_gate(run, name) for name in stage.environment_names(run)]
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
    for title in ("environment", "held out", "caught", "95%", "rejected", "95%", "mutants"):
        table.add_column(title, justify="left" if title == "environment" else "right")
    for report in reports:
        table.add_row(
            report.name,
            f"{report.held_out_pass}/{report.held_out_total}" if report.held_out_total else "-",
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
