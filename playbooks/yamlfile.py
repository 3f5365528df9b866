"""YAML written by hand, read with care: plain data, and the line every value stands on.

No aliases (they can blow a small file up to gigabytes), no tags, no duplicate
keys, and limits on size and depth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from fde.errors import InputError, MissingError

MAX_BYTES = 200_000
MAX_DEPTH = 12

Key = str | int


@dataclass
class Lines:
    """The line (from 1) of every value, by its path of keys and positions."""

    by_path: dict[tuple[Key, ...], int] = field(default_factory=dict)

    def of(self, path: tuple[Key, ...]) -> int:
        """The line of the value at ``path``, or of the nearest thing around it."""
        while path and path not in self.by_path:
            path = path[:-1]
        return self.by_path.get(path, 1)


def read(path: Path) -> tuple[Any, Lines]:
    """Read a YAML file.

    Raises:
        MissingError: when it is not there.
        InputError: when it is not plain YAML; names the line.
    """
    try:
        with path.open("rb") as handle:
            content = handle.read(MAX_BYTES + 1)
    except OSError as error:
        raise MissingError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"{path} is larger than {MAX_BYTES // 1000} kB; that is no playbook.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}, line {line}: not UTF-8 text.", "Save the file as UTF-8.") from error
    return parse(text, str(path))


def parse(text: str, source: str) -> tuple[Any, Lines]:
    """Parse YAML text; ``source`` names it in errors."""
    try:
        _refuse_tricks(text, source)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = Lines()
        return (None if node is None else _plain(node, (), lines, source)), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}" if mark else ""
        if isinstance(error, ReaderError):
            at = f", line {text.count(chr(10), 0, error.position) + 1}"
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
        raise InputError(f"{source}{at}: {problem}.", "Correct that line and run again.") from error


def _refuse_tricks(text: str, source: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise InputError(f"{source}, line {line}: anchors and aliases are not read.", "Write it out.")
        tag = getattr(event, "tag", None)
        if tag:
            raise InputError(f"{source}, line {line}: tags such as {tag} are not read.", "Leave it out.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise InputError(f"{source}, line {line}: nested deeper than {MAX_DEPTH} levels.")


def _plain(node: yaml.Node, path: tuple[Key, ...], lines: Lines, source: str) -> Any:
    lines.by_path.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            if not isinstance(key, str):
                raise InputError(f"{source}, line {line}: a key must be a plain word.")
            if key in found:
                raise InputError(f"{source}, line {line}: '{key}' is said twice.", "Keep one of the two.")
            lines.by_path[(*path, key)] = line
            found[key] = _plain(value_node, (*path, key), lines, source)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*path, index), lines, source) for index, child in enumerate(node.value)]
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    except ValueError as error:
        raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from error
    finally:
        loader.dispose()
