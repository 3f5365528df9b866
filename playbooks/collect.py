"""Copies the client's files into an engagement, for its owner's eyes only."""

from __future__ import annotations

from pathlib import Path

from fde.artifacts import PRIVATE_DIR, PRIVATE_FILE, digest_file, write_bytes
from fde.engagement import Engagement
from fde.errors import InputError, MissingError


def collect(engagement: Engagement, source: Path, target: str) -> int:
    """Copy a file or all files of a folder to ``raw/<target>``; files that are there already stay.

    Returns:
        How many files were copied.

    Raises:
        MissingError: when ``source`` is not there.
        InputError: when ``target`` leads out of ``raw/``.
    """
    place = (engagement.raw / target).resolve()
    if not place.is_relative_to(engagement.raw.resolve()):
        raise InputError(f"{target} leads out of {engagement.raw}.", "Name a folder below raw/.")
    if not source.exists():
        raise MissingError(f"{source} is not there.", "Correct the path in the playbook.")
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    root = source.parent if source.is_file() else source
    copied = 0
    for file in files:
        relative = file.relative_to(root)
        if any(part.startswith((".", "__")) for part in relative.parts):
            continue
        copy = place / relative
        if copy.is_file() and digest_file(copy) == digest_file(file):
            continue
        _private_folders(engagement.raw, copy.parent)
        write_bytes(copy, file.read_bytes(), mode=PRIVATE_FILE)
        copied += 1
    return copied


def _private_folders(top: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    while folder != top and folder.is_relative_to(top):
        folder.chmod(PRIVATE_DIR)
        folder = folder.parent
