"""What people see: data on stdout, everything else on stderr.

Only the command line uses this module; libraries return values and raise.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.text import Text

from fde.errors import FdeError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

# Plain progress lines (no terminal) come at most this often.
PLAIN_EVERY_S = 10.0

console = Console(stderr=True, highlight=False)


class Advance(Protocol):
    """Reports progress: ``count`` more pieces are done; ``note`` is shown beside the bar."""

    def __call__(self, count: float = 1, note: str = "") -> None: ...


def printable(text: str) -> str:
    """``text`` without characters that would command a terminal (client files are hostile)."""
    return "".join(c if c in "\n\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def say(text: str, style: str = "") -> None:
    """A line for the person at the screen, on stderr."""
    console.print(Text(printable(text), style=style), soft_wrap=True)


def out(text: str) -> None:
    """A line of data on stdout."""
    _write(printable(text) if sys.stdout.isatty() else text)


def emit(value: Any) -> None:
    """Data as JSON on stdout, for ``--json``.

    Raises:
        ValueError: on NaN or infinity, which JSON cannot say (what is unknown is None).
    """
    text = json.dumps(value, indent=1, ensure_ascii=False, default=_plain, allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # lone surrogates, from file names that are not UTF-8
        text = json.dumps(value, indent=1, default=_plain, allow_nan=False)
    _write(text)


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"Cannot write {type(value).__name__} as JSON.")


def fail(error: FdeError) -> None:
    """Show an error: what happened, then what to do next."""
    console.print(Text.assemble(("error: ", "bold red"), printable(error.message)), soft_wrap=True)
    if error.hint:
        say(error.hint, style="cyan")


@contextmanager
def progress(description: str, total: float | None = None) -> Iterator[Advance]:
    """Progress of long work: a bar on a terminal, now and then a plain line elsewhere.

    Args:
        description: What is being done, for instance ``"Reading documents"``.
        total: How many pieces there are; None when that is not known.
    """
    with several() as begin:
        advance = begin(description, total)
        yield advance
        advance.end()


@contextmanager
def several() -> Iterator[Callable[[str, float | None], Piece]]:
    """Progress of several pieces of long work, one after the other or at the same time.

    Gives a function that begins a piece by its description and its total. A piece whose total is
    reached has ended.
    """
    if not console.is_terminal:
        yield _PlainPiece
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
    )
    with bars:
        yield lambda description, total: _Bar(bars, description, total)


class Piece(Advance, Protocol):
    """A piece of long work that is under way."""

    def end(self) -> None:
        """It is done, whatever its count."""
        ...


class _Bar:
    def __init__(self, bars: RichProgress, description: str, total: float | None) -> None:
        self._bars = bars
        self._task = bars.add_task(description, total=total, note="")

    def __call__(self, count: float = 1, note: str = "") -> None:
        self._bars.update(self._task, advance=count)
        if note:
            self._bars.update(self._task, note=printable(note))

    def end(self) -> None:
        self._bars.stop_task(self._task)


class _PlainPiece:
    def __init__(self, description: str, total: float | None) -> None:
        self._description, self._total = description, total
        self._began = self._told = time.monotonic()
        self._done = 0.0
        self._ended = False

    def __call__(self, count: float = 1, note: str = "") -> None:
        self._done += count
        now = time.monotonic()
        if self._total is not None and self._done >= self._total:
            self.end()
        elif now - self._told >= PLAIN_EVERY_S:
            self._told = now
            self._say(f"{now - self._began:.0f} s{f', {note}' if note else ''}")

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._say(f"{time.monotonic() - self._began:.1f} s")

    def _say(self, text: str) -> None:
        of = "" if self._total is None else f"/{self._total:g}"
        say(f"{self._description}: {self._done:g}{of}, {text}")
