"""Options that many commands share, and the state they hand on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fde.engagement import Engagement

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


@dataclass(frozen=True, slots=True)
class State:
    """What the global options say; every command gets it as ``ctx.obj``."""

    folder: Path

    def engagement(self) -> Engagement:
        """The engagement named by ``-C``, or the one around the current folder."""
        from fde.engagement import Engagement

        return Engagement.find(self.folder)
