"""The page of a training run: its curves and what the model did before and after, in one HTML file.

The page loads nothing: style and pictures are inside, and its content security policy
forbids everything else. Text from the client's pages is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from envgen.statistics import wilson
from fde.artifacts import read_json
from train.record import Point

# A picture's size in its own units, and the room around the curve.
WIDTH, HEIGHT = 300.0, 96.0
_LEFT, _TOP = 6.0, 8.0
_SHOWN = 2


@dataclass(frozen=True, slots=True)
class Curve:
    """One picture: a series over the steps of a run.

    Attributes:
        path: SVG path of the line; ``dots`` its points ``(x, y)``; ``bars`` intervals ``(x, low, high)``.
        last, low, high: Figures as text: the latest, and the ends of the vertical axis.
    """

    title: str
    about: str
    path: str
    dots: tuple[tuple[float, float], ...]
    bars: tuple[tuple[float, float, float], ...]
    last: str
    low: str
    high: str
    first_step: int
    last_step: int


@dataclass(frozen=True, slots=True)
class _Series:
    field: str
    title: str
    about: str
    share: bool = False


_SERIES = (
    _Series("reward", "Reward", "mean over the iteration's rollouts", share=True),
    _Series("success", "Success in training", "whole tasks of the rollouts, 95% interval", share=True),
    _Series("dev_success", "Success on dev tasks", "greedy, 95% interval", share=True),
    _Series("retained", "Success on earlier workflows", "their dev tasks, greedy, 95% interval", share=True),
    _Series("loss", "Loss", "mean over the decisions of an update"),
    _Series("entropy", "Entropy", "nats a decision, at sampling time"),
    _Series("kl", "Divergence", "nats a decision from the policy that made the rollouts"),
    _Series("teaching", "Groups that teach", "share whose samples fared differently", share=True),
    _Series("clipped", "At the bounds", "share of decisions whose ratio was clipped", share=True),
    _Series("gap", "Mismatch", "nats between trainer and rollouts before the first update"),
    _Series("staleness", "Staleness", "iterations by which the rollouts' adapter was behind"),
    _Series("norm", "Gradient", "norm before clipping"),
    _Series("tokens_per_s", "Speed", "tokens a second, rollouts and updates"),
)
_COUNTED = {"success": "judged", "dev_success": "dev_judged", "retained": "retained_judged"}


def curves(points: Sequence[Point]) -> list[Curve]:
    """The pictures of a run; a series that was never measured has none."""
    found = []
    for series in _SERIES:
        values = [_value(points, index, series.field) for index in range(len(points))]
        known = [(index, value) for index, value in enumerate(values) if value is not None]
        if known:
            found.append(_curve(points, known, series))
    return found


def _value(points: Sequence[Point], index: int, field: str) -> float | None:
    if field != "tokens_per_s":
        value: float | None = getattr(points[index], field)
        return value
    seconds, tokens = points[index].seconds, points[index].tokens
    if index:
        seconds, tokens = seconds - points[index - 1].seconds, tokens - points[index - 1].tokens
    return tokens / seconds if seconds > 0 else None


def _curve(points: Sequence[Point], known: Sequence[tuple[int, float]], series: _Series) -> Curve:
    values = [value for _, value in known]
    low, high = (0.0, 1.0) if series.share else (min(0.0, *values), max(values))
    if high <= low:
        high = low + 1.0
    steps = [point.step for point in points]
    width = max(1, steps[-1] - steps[0])

    def x(index: int) -> float:
        return round(_LEFT + (steps[index] - steps[0]) / width * (WIDTH - 2 * _LEFT), 2)

    def y(value: float) -> float:
        return round(HEIGHT - _TOP - (value - low) / (high - low) * (HEIGHT - 2 * _TOP), 2)

    dots = [(x(index), y(value)) for index, value in known]
    bars = []
    for index, value in known:
        count = getattr(points[index], _COUNTED[series.field]) if series.field in _COUNTED else None
        interval = wilson(round(value * count), count) if count else None
        if interval is not None:
            bars.append((x(index), y(interval[0]), y(interval[1])))
    return Curve(
        title=series.title,
        about=series.about,
        path="M" + " L".join(f"{across} {up}" for across, up in dots),
        dots=tuple(dots) if len(dots) <= 60 else (),
        bars=tuple(bars),
        last=_text(values[-1], series),
        low=_text(low, series),
        high=_text(high, series),
        first_step=steps[0],
        last_step=steps[-1],
    )


def _text(value: float, series: _Series) -> str:
    return f"{value:.0%}" if series.share else f"{value:.3g}"


def read_samples(folder: Path) -> list[tuple[int, str, list[dict[str, Any]]]]:
    """The episodes kept in a run's folder: step, kind (``rollouts`` or ``dev``) and episodes, in order."""
    found = []
    for path in sorted((folder / "samples").glob("*.json")):
        step, _, kind = path.stem.partition("-")
        if step.isdigit():
            found.append((int(step), kind, read_json(path)))
    return found


def render(
    stage: str,
    result: Mapping[str, Any],
    points: Sequence[Point],
    samples: Sequence[tuple[int, str, Sequence[Mapping[str, Any]]]],
) -> str:
    """The page as HTML."""
    from jinja2 import Environment

    page = files("train") / "page"
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        (page / "run.html.j2").read_text(encoding="utf-8")
    )
    return template.render(
        stage=stage,
        result=result,
        curves=curves(points),
        alarms=[(point.step, text) for point in points for text in point.alarms],
        before=_some(samples[:1]),
        after=_some(_last_of_kind(samples)),
        style=(page / "run.css").read_text(encoding="utf-8"),
        width=WIDTH,
        height=HEIGHT,
    )


def _last_of_kind(
    samples: Sequence[tuple[int, str, Sequence[Mapping[str, Any]]]],
) -> Sequence[tuple[int, str, Sequence[Mapping[str, Any]]]]:
    """The last that is comparable with the first; none where there is but one."""
    return [each for each in samples[1:] if each[1] == samples[0][1]][-1:]


def _some(
    samples: Sequence[tuple[int, str, Sequence[Mapping[str, Any]]]],
) -> list[tuple[int, str, Mapping[str, Any]]]:
    return [(step, kind, episode) for step, kind, episodes in samples for episode in episodes[:_SHOWN]]
