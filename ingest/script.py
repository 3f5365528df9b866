"""Action lines in a file, carried out on a page as if by a person."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fde.errors import InputError, MissingError, WorkError
from ingest.action import Action
from ingest.page import perform

if TYPE_CHECKING:
    from playwright.sync_api import Page

MAX_BYTES = 1_000_000


def read_script(path: Path) -> Callable[[Page], None]:
    """A script for :func:`ingest.recorder.record` from a file of canonical action lines.

    Empty lines and lines beginning with ``#`` are left out; ``done`` ends it.

    Raises:
        MissingError: when there is no such file.
        InputError: naming the line that is no action.
    """
    if not path.is_file():
        raise MissingError(f"{path}: no such file.")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES // 10**6} MB.")
    steps: list[tuple[int, Action]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip() or line.strip().startswith("#"):
            continue
        try:
            steps.append((number, Action.parse(line)))
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error.message}", error.hint) from error

    def run(page: Page) -> None:
        for number, action in steps:
            if action.verb == "done":
                return
            # What an action opens (a new tab) is where the next one happens.
            if not perform(page.context.pages[-1], action):
                raise WorkError(f"{path}, line {number}: nothing on the page is named so: {action.text()}")

    return run
