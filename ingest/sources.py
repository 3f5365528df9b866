"""The files that are to be read: found, named, recognised when they have not changed, kept in ``raw/``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fde.artifacts import PRIVATE_DIR, PRIVATE_FILE, copy_file, digest, digest_file, read_json, write_json
from fde.engagement import Engagement
from fde.errors import InputError, MissingError

# A file changed this shortly before it was looked at may change again within the same tick of its clock.
UNSETTLED_S = 2.0


@dataclass(frozen=True)
class Source:
    """A file to be read, and what it is called.

    Attributes:
        parts: All files it is made of, where it is a folder or others lie beside it.
    """

    name: str
    path: Path
    digest: str
    parts: tuple[Path, ...] = ()


# Of files with their names, those that stand for themselves; and all files that one of these is made of.
Whole = Callable[[Sequence[tuple[Path, str]]], list[tuple[Path, str]]]
Parts = Callable[[Path], list[Path]]


class Digests:
    """Digests of files by path, taken from the last time where size, times and inode are the same."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, list[int | str]] = {}
        self._used: dict[str, list[int | str]] = {}
        if path is not None:
            try:
                found = read_json(path)
                self._known = found if isinstance(found, dict) else {}
            except (OSError, ValueError):
                self._known = {}

    def of(self, path: Path) -> str:
        """The SHA-256 (hex) of a file."""
        about = path.stat()
        stamp = [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]
        key = os.fspath(path)
        known = self._known.get(key)
        if known is not None and known[:-1] == stamp:
            self._used[key] = known
            return str(known[-1])
        found = digest_file(path)
        if time.time() - max(about.st_mtime, about.st_ctime) > UNSETTLED_S:
            self._used[key] = [*stamp, found]
        return found

    def keep(self) -> None:
        """Write down what was used, where anything is new."""
        if self._path is not None and self._used != self._known:
            write_json(self._path, self._used, mode=PRIVATE_FILE)
            self._known = dict(self._used)


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The files named, and those in the folders named; hidden ones and links out of them are left out.

    Raises:
        MissingError: when a path is not there.
        InputError: when there is no file at all.
    """
    return [path for path, _ in _named_files(paths)]


def find_sources(
    paths: Sequence[Path], digests: Digests, whole: Whole = list, parts_of: Parts | None = None
) -> list[Source]:
    """The files by names that differ; the same content under the same name is read once.

    Args:
        whole: Where several files make one source, leaves the one that stands for them, or their folder.
        parts_of: The files such a source is made of; by default each is one file.

    Raises:
        As :func:`find_files`.
    """
    found: dict[str, Source] = {}
    for path, name in whole(_named_files(paths)):
        parts = tuple(parts_of(path)) if parts_of else (path,)
        if parts == (path,):
            source = Source(name, path, digests.of(path))
        else:
            source = Source(name, path, digest([[part.name, digests.of(part)] for part in parts]), parts)
        if name in found and found[name].digest != source.digest:
            source = replace(source, name=f"{path.parent.name}/{name}")
        if source.name in found and found[source.name].digest != source.digest:
            source = replace(source, name=f"{source.digest[:8]}/{name}")
        found.setdefault(source.name, source)
    return sorted(found.values(), key=lambda source: source.name)


def _named_files(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    found: dict[Path, str] = {}
    for path in paths:
        if path.is_dir():
            for file, name in _walk(path):
                found.setdefault(file, name)
        elif path.is_file():
            found.setdefault(path.resolve(), _printable(path.name))
        else:
            raise MissingError(f"{path}: no such file or folder.", "Name files or folders that are there.")
    if not found:
        raise InputError("No files: " + (", ".join(map(str, paths)) or "no path was named") + ".")
    return list(found.items())


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files of a folder and their names in it, by name."""
    root = folder.resolve()
    for parent, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(parent)
        for name in sorted(names):
            file = inside / name
            if name.startswith(".") or not file.is_file():
                continue
            target = file.resolve() if file.is_symlink() else file
            # A link out of the folder is not part of what the client handed over.
            if target.is_relative_to(root):
                yield target, _printable(file.relative_to(root).as_posix())


def _printable(name: str) -> str:
    """A name that text can hold: bytes that are no UTF-8 are question marks."""
    return name.encode("utf-8", "replace").decode()


def copy_raw(engagement: Engagement, folder: str, source: Source) -> None:
    """Keep a client's file in ``raw/``, readable by its owner only; an earlier one of that name stays."""
    for part in source.parts:
        inside = source.path if source.path.is_dir() else source.path.parent
        above = Path(source.name) if source.path.is_dir() else Path(source.name).parent
        name = (above / part.relative_to(inside)).as_posix()
        copy_raw(engagement, folder, Source(name, part, digest_file(part)))
    if source.parts:
        return
    if source.path.is_relative_to(engagement.raw):
        return
    target = engagement.raw / folder / source.name
    if target.is_file() and digest_file(target) != source.digest:
        target = target.with_name(f"{target.stem}-{source.digest[:8]}{target.suffix}")
    parent = target.parent
    parent.mkdir(parents=True, exist_ok=True)
    while parent != engagement.raw:
        parent.chmod(PRIVATE_DIR)
        parent = parent.parent
    if not target.is_file():
        copy_file(source.path, target, mode=PRIVATE_FILE)
