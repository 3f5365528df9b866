"""``fde train``: an open-weights model learns a workflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fde.cli.options import JsonOption, command_line
from fde.console import emit, out

if TYPE_CHECKING:
    from fde.engagement import Run

app = typer.Typer(help="Train an open-weights model in the environments.", no_args_is_help=True)

Workflow = Annotated[
    str, typer.Argument(metavar="WORKFLOW", help="A compiled workflow; see: fde envgen show")
]
Name = Annotated[str | None, typer.Option(help="Names the adapter and its stage (default: the workflow).")]
Seconds = Annotated[
    float | None, typer.Option(help="Wall-clock budget of training, evaluation on dev tasks aside.", min=1)
]
Start = Annotated[
    str | None,
    typer.Option(metavar="STAGE", help="The training stage to go on from, such as sft-code-invoice."),
]
Seed = Annotated[int, typer.Option(help="What every draw depends on.")]
Devices = Annotated[
    int | None,
    typer.Option(
        help="Devices of this machine that train together, with the weights divided among them.", min=1
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any other setting; docs/train.md lists them."),
]


@app.command("sft")
def sft_command(
    ctx: typer.Context,
    workflow: Workflow,
    name: Name = None,
    demonstrations: Annotated[
        str, typer.Option(help="recordings (the experts'), program (the compiled program's), or both.")
    ] = "both",
    count: Annotated[int, typer.Option(help="Demonstrations by the program.", min=0)] = 48,
    start: Start = None,
    seconds: Seconds = None,
    updates: Annotated[int | None, typer.Option(help="Updates at most.", min=1)] = None,
    devices: Devices = None,
    seed: Seed = 0,
    settings: Set = None,
    json: JsonOption = False,
) -> None:
    """Fine-tune on demonstrations, and keep the checkpoint that does best on dev tasks.

    Example: fde train sft code-invoice --demonstrations recordings
    """
    from fde.cli.board import unwatched, watching
    from train.sft import train_sft
    from train.world import is_first

    more = _settings(settings, ctx.params)
    if devices is not None:
        _on_devices(ctx, devices)
    with watching(f"sft-{name or workflow}") if is_first() else unwatched() as tell:
        run = train_sft(
            ctx.obj.engagement(),
            name=name or workflow,
            workflow=workflow,
            demonstrations=_one_of("--demonstrations", demonstrations, ("recordings", "program", "both")),
            count=count,
            start=start,
            seconds=seconds,
            updates=updates,
            on_point=tell,
            seed=seed,
            **more,
        )
    if is_first():
        _show(run, json)


@app.command("rl")
def rl_command(
    ctx: typer.Context,
    workflow: Workflow,
    name: Name = None,
    start: Start = None,
    seconds: Seconds = None,
    iterations: Annotated[
        int | None,
        typer.Option(help="Iterations at most; 12 where neither they nor --seconds are given.", min=1),
    ] = None,
    staleness: Annotated[
        int,
        typer.Option(
            help="Iterations by which rollouts may be behind: 0 by turns with updates, 1 meanwhile.", min=0
        ),
    ] = 0,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that make rollouts (default: as many as staleness needs).", min=1),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="What makes rollouts: local, vllm, vllm-server (FDE_VLLM_SERVER), or on a cluster "
            "(RAY_ADDRESS) ray, ray-vllm."
        ),
    ] = "local",
    devices: Devices = None,
    seed: Seed = 0,
    settings: Set = None,
    json: JsonOption = False,
) -> None:
    """Improve by reinforcement in the compiled environment.

    Example: fde train rl code-invoice --start sft-code-invoice --seconds 330
    """
    from fde.cli.board import unwatched, watching
    from train.rl import train_rl
    from train.world import is_first

    more = _settings(settings, ctx.params)
    if devices is not None:
        _on_devices(ctx, devices)
    with watching(f"rl-{name or workflow}") if is_first() else unwatched() as tell:
        run = train_rl(
            ctx.obj.engagement(),
            name=name or workflow,
            workflow=workflow,
            start=start,
            seconds=seconds,
            on_point=tell,
            iterations=iterations,
            staleness=staleness,
            workers=workers,
            engine=_one_of("--engine", engine, ("local", "vllm", "vllm-server", "ray", "ray-vllm")),
            seed=seed,
            **more,
        )
    if is_first():
        _show(run, json)


def _on_devices(ctx: typer.Context, devices: int) -> None:
    """Have the command done by a process on each device, where there are several; and end with them."""
    from train.launch import check_devices, launch

    check_devices(devices)
    if devices > 1:
        raise typer.Exit(launch(devices, ["-m", "fde", *command_line(ctx, without="devices")]))


@app.command("plan")
def plan_command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A base model's name, or a folder.")],
    device: Annotated[
        str | None, typer.Option(help="A kind of GPU, such as h100 (default: this machine's CPU).")
    ] = None,
    devices: Annotated[
        list[int] | None, typer.Option(help="How many of them (repeatable; default: 1, and for GPUs 8, 64).")
    ] = None,
    prompt_tokens: Annotated[
        int, typer.Option(help="Distinct tokens of a group that are read.", min=1)
    ] = 400,
    said_tokens: Annotated[int, typer.Option(help="Tokens that an episode says.", min=1)] = 90,
    choices: Annotated[int, typer.Option(help="Of those, chosen and not forced.", min=1)] = 25,
    actions: Annotated[int, typer.Option(help="Actions of an episode.", min=1)] = 8,
    wait: Annotated[float, typer.Option(help="Seconds the environment takes for an action.", min=0)] = 0.0,
    settings: Set = None,
    json: JsonOption = False,
) -> None:
    """Say what reinforcement takes on given hardware: memory, how to divide it, how fast it goes.

    Figures that follow from assumed speeds are marked; docs/scaling.md says what was measured.
    Example: fde train plan smollm2-135m --device h100 --devices 8 --wait 0.2
    """
    from fde.models import model_path
    from train.memory import shapes
    from train.plan import Workload, device_named, plans
    from train.settings import RlConfig, make_config

    given = {"devices": devices, "staleness": None, "workers": None, "engine": None}
    config = make_config(RlConfig, **_settings(settings, given))
    where = device_named(device)
    counts = devices or ([1] if device is None else [1, 8, 64])
    work = Workload(
        prompt_tokens=prompt_tokens, said_tokens=said_tokens, choices=choices, actions=actions, wait_s=wait
    )
    found = plans(shapes(model_path(model)), config, work, where, counts)
    if json:
        emit({"model": model, "device": where, "workload": work, "plans": found})
        return
    for each in found:
        out(f"{each.devices} x {where.name}: {each.text(where)}")
    if not where.measured:
        out("Times follow from peaks and assumed shares of them: they are not measured.")


@app.command("export")
def export_command(
    ctx: typer.Context,
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="For instance rl-code-invoice.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
    dtype: Annotated[
        str, typer.Option(help="Of the weights: auto (as the base model's files), float32 or bfloat16.")
    ] = "auto",
    json: JsonOption = False,
) -> None:
    """Write a training stage's latest result as a whole model in Hugging Face layout, safetensors only.

    Any server can load it, and fde model add DIR makes a base model of it.
    Example: fde train export rl-code-invoice models/code-invoice
    """
    from train.export import export

    told = export(ctx.obj.engagement().latest(stage), folder, dtype=dtype)
    if json:
        emit(told)
        return
    out(f"{told['path']}: {told['base']} with {str(told['adapter'])[:60]}, {int(told['bytes']) / 1e9:.2f} GB")


@app.command("show")
def show_command(
    ctx: typer.Context,
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="For instance rl-code-invoice.")],
    samples: Annotated[
        bool, typer.Option("--samples", help="Print episodes of its first and its last step instead.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show a training stage's latest result and learning curve, or some of its episodes.

    Example: fde train show rl-code-invoice --samples
    """
    from fde.artifacts import read_json

    run = ctx.obj.engagement().latest(stage)
    if samples:
        _show_samples(run, json)
        return
    curve = read_json(run.path / "curve.json")
    if json:
        emit({**read_json(run.path / "result.json"), "run": f"{run.stage}/{run.id}", "curve": curve})
        return
    _show(run, False)
    for point in curve:
        told = {
            key: value
            for key, value in point.items()
            if value is not None and key not in ("step", "seconds", "share", "alarms")
        }
        figures = "  ".join(f"{key} {value:.3g}" for key, value in told.items())
        out(f"{point['step']:>5}  {point['seconds']:7.1f} s  {figures}")
        for text in point.get("alarms", ()):
            out(f"       alarm: {text}")


def _show_samples(run: Run, json: bool) -> None:
    """Episodes of a run's first and last step."""
    from fde.errors import MissingError
    from train.report import read_samples

    found = read_samples(run.path)
    if not found:
        raise MissingError(
            f"{run.stage} {run.id} kept no episodes.", "Train with --set dev_times=1 to keep some."
        )
    if json:
        emit(
            {
                "run": f"{run.stage}/{run.id}",
                "samples": [{"step": step, "kind": kind, "episodes": each} for step, kind, each in found],
            }
        )
        return
    for step, kind, episodes in found[:1] + found[1:][-1:]:
        for told in episodes:
            judged = {True: "solved", False: "not solved", None: "not judged"}[told["success"]]
            out(f"step {step}, {kind}, {told['task']}: {judged}, ended: {told['stop']}")
            for scene in told["scenes"]:
                for turn in scene:
                    for line in turn["text"].splitlines():
                        out(f"  {'> ' if turn['said'] else '  '}{line}")
                out("")


def _one_of(option: str, value: str, known: tuple[str, ...]) -> Any:
    from fde.errors import InputError

    if value not in known:
        raise InputError(f"{option} {value}: not known.", f"Known are: {', '.join(known)}.")
    return value


def _settings(pairs: list[str] | None, options: dict[str, Any]) -> dict[str, Any]:
    """``--set key=value`` as settings; numbers are numbers. ``options`` are those of the command itself."""
    from fde.errors import InputError

    found: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise InputError(f"--set {pair}: not of the form KEY=VALUE.", "For instance: --set rate=0.001")
        key = key.strip()
        if key in options:
            raise InputError(f"--set {pair}: this has an option of its own.", f"Use: --{key} {text.strip()}")
        found[key] = _value(text.strip())
    return found


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _left_of(earlier: dict[str, Any]) -> str:
    """A workflow that the start had learned, in a line."""
    after = "not measured"
    if earlier["after"] is not None:
        before = "unknown" if earlier["before"] is None else f"{earlier['before']:.0%}"
        after = f"{earlier['after']:.0%} of {earlier['dev_n']} dev tasks, {before} at the start"
    how = "" if earlier["rehearsed"] else ", not gone over"
    return f"learned before: {earlier['workflow']}, {after}{how}"


def _show(run: Run, json: bool) -> None:
    from fde.artifacts import read_json

    result = read_json(run.path / "result.json")
    if json:
        emit({**result, "run": f"{run.stage}/{run.id}", "path": run.path})
        return
    dev = result["dev_success"]
    told = "not measured" if dev is None else f"{dev:.0%} of {result['dev_n']} dev tasks"
    out(f"{run.stage} {run.id}: {told}, {result['tokens']} tokens, {result['seconds']:.0f} s")
    if result.get("note"):
        out(result["note"])
    for each in result.get("earlier", ()):
        out(_left_of(each))
    out(f"adapter {result['adapter'][:60]}  {run.path / 'adapter'}")
    if (run.path / "page.html").is_file():
        out(f"curves and episodes: {run.path / 'page.html'}")
