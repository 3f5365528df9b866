"""Writes ``docs/cli.md`` from the commands' own help, so that the two cannot differ.

    python scripts/docs_cli.py [--check]
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from fde.cli.main import COMMANDS, LazyCommand, app

TARGET = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
HEAD = """\
# Commands

Made from the commands' help by `python scripts/docs_cli.py`.

Data goes to stdout, everything else to stderr; `--json` prints the result as JSON. Exit codes: 0 fine,
1 the work failed or a bar was missed, 2 wrong usage or bad input, 130 interrupted. Long work can be
interrupted and run again: it goes on where it was.

`fde -C DIR COMMAND` names the engagement; without `-C` it is the folder you stand in, or a parent of it.
"""


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name, in the order of the help."""
    top = typer.main.get_group(app)
    for name in COMMANDS:
        lazy = top.commands[name]
        assert isinstance(lazy, LazyCommand)
        yield from _walk(f"fde {name}", lazy.load())


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for child_name, child in getattr(command, "commands", {}).items():
        yield from _walk(f"{name} {child_name}", child)


def section(name: str, command: Any) -> str:
    """The part of the page about one command."""
    level = "##" if name.count(" ") == 1 else "###"
    parts = [f"{level} {name}", inspect.cleandoc(command.help or "")]
    if hasattr(command, "commands"):
        return "\n\n".join(parts) + "\n"
    context = typer.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    parts.insert(1, f"    {name} {usage}")
    rows = [row for row in (_parameter(each) for each in command.params) if row]
    if rows:
        parts.append("\n".join(rows))
    return "\n\n".join(part for part in parts if part) + "\n"


def _parameter(parameter: Any) -> str:
    if getattr(parameter, "hidden", False) or not getattr(parameter, "help", None):
        return ""
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        names = f"`{parameter.metavar or parameter.name.upper()}`"
    default = parameter.default
    told = "" if default in (None, False, "", (), []) or callable(default) else f" (default: {default})"
    return f"- {names}: {parameter.help}{told}"


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(name, command) for name, command in commands())])


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/cli.md from the commands' help.")
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    check = parser.parse_args().check
    text = page()
    if not check:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    print(f"{TARGET} is not up to date. Write it with: python scripts/docs_cli.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
