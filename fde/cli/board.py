"""Training as it goes: a live board on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from envgen.statistics import wilson
from fde.console import console, printable, progress, say

if TYPE_CHECKING:
    from train.record import Point

_BLOCKS = "▁▂▃▄▅▆▇█"
_SHOWN_POINTS = 40
_SHOWN_ALARMS = 3
# Field, name on the board, and whether it is a share.
_ROWS = (
    ("reward", "reward", False), ("success", "success", True), ("dev_success", "dev success", True),
    ("retained", "earlier workflows", True),
    ("loss", "loss", False), ("entropy", "entropy", False), ("kl", "KL", False),
    ("teaching", "groups that teach", True), ("clipped", "at the bounds", True),
    ("gap", "mismatch", False), ("staleness", "staleness", False), ("norm", "gradient", False),
)  # fmt: skip
_COUNTED = {"success": "judged", "dev_success": "dev_judged", "retained": "retained_judged"}


@contextmanager
def watching(stage: str) -> Iterator[Callable[[Point], None]]:
    """Shows a training run; gives what is to be told every point of its curve."""
    if not console.is_terminal:
        with progress(stage) as advance:

            def tell(point: Point) -> None:
                advance(note=note(point))
                for text in point.alarms:
                    say(f"{stage}, step {point.step}: {text}", style="yellow")

            yield tell
        return
    from rich.live import Live

    board = Board(stage)
    with Live(board, console=console, refresh_per_second=2):
        yield board.add


@contextmanager
def unwatched() -> Iterator[Callable[[Point], None]]:
    """Shows nothing: of several processes of a run the first does."""
    yield lambda _: None


def note(point: Point) -> str:
    """A point in a few words."""
    parts = [f"{point.tokens / 1000:.0f}k tokens"]
    for label, value in (("loss", point.loss), ("reward", point.reward), ("dev", point.dev_success)):
        if value is not None:
            parts.append(f"{label} {value:.3f}")
    return ", ".join(parts)


class Board:
    """A run's latest figures, with how they came about.

    Args:
        clock: Seconds that only go up.
    """

    def __init__(self, stage: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.stage = stage
        self.points: list[Point] = []
        self._clock = clock
        self._began = clock()

    def add(self, point: Point) -> None:
        """Show one more point."""
        self.points.append(point)

    def __rich__(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, show_header=False)
        for field, name, share in _ROWS:
            known = [(p, value) for p in self.points if (value := getattr(p, field)) is not None]
            if known:
                latest, value = known[-1]
                line = sparkline([each for _, each in known[-_SHOWN_POINTS:]])
                table.add_row(
                    name, f"{value:.0%}" if share else f"{value:.3g}", _interval(latest, field), line
                )
        alarms = [(p.step, text) for p in self.points for text in p.alarms][-_SHOWN_ALARMS:]
        told = [Text(printable(f"! step {step}: {text}"), style="bold yellow") for step, text in alarms]
        return Group(self._head(), table, *told)

    def _head(self) -> RenderableType:
        share = (self.points[-1].share if self.points else None) or 0.0
        grid = Table.grid(padding=(0, 2))
        words: list[RenderableType] = [
            Text(self.stage, style="bold"),
            ProgressBar(total=1.0, completed=share, width=24),
        ]
        if not self.points:
            words.append(Text(f"{duration(self._clock() - self._began)}, loading and first rollouts"))
        else:
            last = self.points[-1]
            words.append(Text(f"step {last.step}, {duration(last.seconds)}, {_left(last)}"))
            words.append(Text(f"{last.tokens / 1000:.0f}k tokens, {_speed(self.points):.0f} a second"))
        grid.add_row(*words)
        return grid


def sparkline(values: list[float]) -> str:
    """Values as a row of blocks, the lowest and the highest at the ends."""
    low, high = min(values), max(values)
    if high <= low:
        return _BLOCKS[0] * len(values)
    scale = (len(_BLOCKS) - 1) / (high - low)
    return "".join(_BLOCKS[round((value - low) * scale)] for value in values)


def duration(seconds: float) -> str:
    """``75`` as ``1:15``, from an hour on with hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _left(point: Point) -> str:
    if not point.share:
        return "time left unknown"
    return f"{duration(point.seconds * (1 - point.share) / point.share)} left"


def _speed(points: list[Point]) -> float:
    """Tokens a second over the latest points."""
    first, last = (points[-5], points[-1]) if len(points) > 5 else (None, points[-1])
    tokens = last.tokens - (first.tokens if first else 0)
    seconds = last.seconds - (first.seconds if first else 0.0)
    return tokens / seconds if seconds > 0 else 0.0


def _interval(point: Point, field: str) -> str:
    count = getattr(point, _COUNTED[field]) if field in _COUNTED else None
    interval = wilson(round(getattr(point, field) * count), count) if count else None
    return "" if interval is None else f"{interval[0]:.0%} to {interval[1]:.0%}"
