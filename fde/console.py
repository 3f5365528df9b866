"""What people see: data on stdout, everything else on stderr.

Only the command line uses this module; libraries return values and raise.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.text import Text

from fde.errors import FdeError

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
    if not console.is_terminal:
        yield from _plain_progress(description, total)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
    )
    with bar:
        task = bar.add_task(description, total=total, note="")

        def advance(count: float = 1, note: str = "") -> None:
            bar.update(task, advance=count)
            if note:
                bar.update(task, note=printable(note))

        yield advance


def _plain_progress(description: str, total: float | None) -> Iterator[Advance]:
    began = told = time.monotonic()
    done = 0.0
    of = "" if total is None else f"/{total:g}"

    def advance(count: float = 1, note: str = "") -> None:
        nonlocal done, told
        done += count
        now = time.monotonic()
        if now - told >= PLAIN_EVERY_S:
            told = now
            say(f"{description}: {done:g}{of}, {now - began:.0f} s{f', {note}' if note else ''}")

    yield advance
    say(f"{description}: {done:g}{of}, {time.monotonic() - began:.1f} s")
