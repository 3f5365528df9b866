"""``fde``: finds the command group, runs it, and turns errors into messages and exit codes.

The groups' modules are imported only when one of their commands runs, so that
``fde --help`` answers at once.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from fde import __version__, offline
from fde.cli.options import State
from fde.console import fail, out
from fde.errors import INTERRUPTED, FdeError, InputError, explain_os_error

# In the order of the work. Name -> (module with a typer `app`, one line of help).
# A module named in SINGLE holds one command of the same name instead of a group.
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("fde.cli.init", "Make a new engagement folder."),
    "doctor": ("fde.cli.doctor", "Check this machine: what works, what is missing, how to get it."),
    "status": ("fde.cli.status", "Show the engagement's stages and the next command."),
    "model": ("fde.cli.model", "Add and list base models."),
    "record": ("fde.cli.record", "Record an expert's work in a browser."),
    "ingest": ("fde.cli.ingest", "Read documents and recordings of any format."),
    "redact": ("fde.cli.redact", "Replace personal data by surrogates, and audit the result."),
    "envgen": ("fde.cli.envgen", "Compile recordings into environments with proven verifiers."),
    "train": ("fde.cli.train", "Train an open-weights model in the environments."),
    "evaluate": ("fde.cli.evaluate", "Compare the ways of doing the task."),
    "report": ("fde.cli.report", "Write the report: did it pay off?"),
    "serve": ("fde.cli.serve", "Serve the trained model behind an OpenAI-style API."),
    "playbook": ("fde.cli.playbook", "List, show and run whole missions."),
}
SINGLE = frozenset({"init", "doctor", "status", "record", "report"})
OWN_PACKAGES = frozenset({"fde", "ingest", "redact", "envgen", "train", "evaluate", "serve", "playbooks"})


class LazyCommand(TyperCommand):
    """Stands for a command whose module is imported when it is invoked."""

    def __init__(self, name: str, module: str, help_line: str) -> None:
        super().__init__(name=name, help=help_line, callback=None)
        self.module = module

    def load(self) -> TyperCommand | TyperGroup:
        """Import the module and build the real command."""
        app = importlib.import_module(self.module).app
        # A lone command would otherwise offer to install shell completion for itself.
        app._add_completion = False
        build = typer.main.get_command if self.name in SINGLE else typer.main.get_group
        command = build(app)
        command.name = self.name
        assert isinstance(command, TyperCommand | TyperGroup)
        return command

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        return self.load().make_context(info_name, args, *rest, **extra)


class LazyGroup(TyperGroup):
    """The top group: knows its commands by name and help line alone."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (module, help_line) in COMMANDS.items():
            self.commands[name] = LazyCommand(name, module, help_line)


app = typer.Typer(
    cls=LazyGroup,
    name="fde",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        out(f"fde {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    ctx: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Option("-C", metavar="DIR", help="The engagement (default: this folder or a parent of it)."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """From an enterprise's documents and its experts' recordings to a trained model and an ROI report."""
    ctx.obj = State(folder or Path.cwd(), named=folder is not None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line and exit: 0 fine, 1 the work failed, 2 bad input, 130 interrupted."""
    offline.prepare()
    try:
        typer.main.get_group(app).main(args=arguments, prog_name="fde")
    except FdeError as error:
        fail(error)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            hint = "What is finished is kept: run the same command to go on."
            fail(FdeError("Interrupted.", hint))
        raise
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in OWN_PACKAGES:
            raise
        fail(InputError(f"The Python package '{error.name}' is not installed.", "Install with: make setup"))
        sys.exit(InputError.exit_code)
    except OSError as error:
        known = explain_os_error(error)
        if known is None:
            raise
        fail(known)
        sys.exit(known.exit_code)


if __name__ == "__main__":
    main()
