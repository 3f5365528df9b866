"""Options that many commands share, and the state they hand on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fde.errors import MissingError

if TYPE_CHECKING:
    from fde.engagement import Engagement


def command_line(ctx: typer.Context, *, without: str) -> list[str]:
    """This command as it was given, without one of its options, for another process to run."""
    found = ["-C", str(ctx.obj.folder.resolve()), *ctx.command_path.split()[1:]]
    for parameter in ctx.command.params:
        value = ctx.params.get(parameter.name or "")
        if parameter.name == without or value in (None, False, [], ()):
            continue
        option = [] if parameter.param_type_name == "argument" else [max(parameter.opts, key=len)]
        if value is True:
            found += option
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            found += [*option, str(each)]
    return found


JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


@dataclass(frozen=True, slots=True)
class State:
    """What the global options say; every command gets it as ``ctx.obj``.

    Attributes:
        folder: The folder of ``-C``, else the current one.
        named: Whether ``-C`` was given.
    """

    folder: Path
    named: bool = False

    def engagement(self) -> Engagement:
        """The engagement named by ``-C``, or the one around the current folder."""
        from fde.engagement import Engagement

        if not self.folder.is_dir():
            raise MissingError(
                f"-C {self.folder}: there is no such folder.",
                f"Make an engagement with: fde init {self.folder}",
            )
        return Engagement.find(self.folder)
