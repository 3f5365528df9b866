"""Built environments for other tools: tasks as JSON lines, and packages for other libraries.

They need nothing of the engagement any more. What they hold is redacted, as the environment is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

from envgen.choices import choices
from envgen.compiled import Compiled, compiled_of
from envgen.generators import SPLITS
from envgen.reading.model import Reading
from envgen.session import Split
from envgen.workflow import Workflow
from fde.artifacts import write_json, write_text
from fde.errors import InputError, WorkError

TARGETS = ("jsonl", "gymnasium", "browsergym", "openenv", "verifiers")
_SHARES: dict[Split, float] = {"train": 0.7, "dev": 0.1, "test": 0.2}
PROMPT = (
    "Do the task on the application's pages. Answer with one action per line: click, fill, select, check, "
    "uncheck or press an element named by its role and name, and done when the work is done."
)


def export(
    built: Compiled | Workflow | Reading, target: str, folder: Path, *, tasks: int = 100
) -> list[Path]:
    """Write an environment for another tool.

    Args:
        target: One of :data:`TARGETS`.
        folder: Where the files go; made when it is not there.
        tasks: How many tasks, over all splits (``jsonl``).

    Returns:
        What was written.

    Raises:
        InputError: when the target is unknown, or ``tasks`` is below 1.
        WorkError: when no task of it can be made.
    """
    if target not in _WRITERS:
        raise InputError(f"Nothing is known about {target!r}.", f"There are: {', '.join(TARGETS)}.")
    if tasks < 1:
        raise InputError(f"{tasks} tasks cannot be exported.")
    return _WRITERS[target](compiled_of(built), folder, tasks)


def _jsonl(compiled: Compiled, folder: Path, tasks: int) -> list[Path]:
    """One file a split, as Hugging Face's ``datasets`` reads them: ``load_dataset(folder)``."""
    env = compiled.environment()
    written = []
    for split in SPLITS:
        rows = []
        wanted = max(1, round(tasks * _SHARES[split]))
        for task in islice(compiled.tasks_of(split), wanted):
            view = env.reset(task)
            right = compiled.right(env, task)
            if right is None:
                continue
            rows.append(
                {
                    "id": task.id,
                    "workflow": task.workflow,
                    "split": split,
                    "seed": task.seed,
                    "instruction": task.instruction,
                    "parameters": json.dumps(task.parameters, ensure_ascii=False),
                    "messages": [
                        {"role": "system", "content": PROMPT},
                        {"role": "user", "content": f"{task.instruction}\n\n{view.text}"},
                    ],
                    "choices": [choice.text for choice in choices(view.page)],
                    **right,
                }
            )
        if rows:
            path = folder / f"{split}.jsonl"
            write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
            written.append(path)
    if not written:
        raise WorkError(f"No task of {compiled.name} can be made.", "Read: fde envgen show NAME")
    card = folder / "README.md"
    write_text(card, _card(compiled, written))
    return [*written, card]


def _card(compiled: Compiled, written: list[Path]) -> str:
    files = "\n".join(
        f"  - split: {path.stem if path.stem != 'dev' else 'validation'}\n    path: {path.name}"
        for path in written
    )
    return (
        f"---\npretty_name: {compiled.name}\nconfigs:\n- config_name: default\n  data_files:\n"
        f"{files}\n---\n\n# {compiled.name}\n\n"
        f"Tasks made of {compiled.made_of}, each with the page it begins on and what is right in it: the "
        "changes that right work makes, or the lines that have to be cited (`right`), and the answer. The "
        "splits share no parameters. All names and numbers are made up or stand-ins.\n"
    )


def _package(compiled: Compiled, folder: Path, needs: str, files: Mapping[str, str]) -> list[Path]:
    """A package that holds the environment and ``files``, and needs this toolkit, perhaps with an extra."""
    module = "fde_" + "".join(c if c.isalnum() else "_" for c in compiled.name.lower())
    package = folder / module
    texts = {
        **{package / name: text for name, text in files.items()},
        folder / "pyproject.toml": (
            '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n\n'
            f'[project]\nname = "{module.replace("_", "-")}"\nversion = "0.1.0"\n'
            f'dependencies = ["{needs}"]\n\n'
            f'[tool.setuptools]\npackages = ["{module}"]\n\n'
            '[tool.setuptools.package-data]\n"*" = ["*.json"]\n'
        ),
    }
    for path, text in texts.items():
        write_text(path, text)
    data = package / compiled.file
    write_json(data, compiled.data.model_dump(mode="json"))
    return [*texts, data]


def _registering(compiled: Compiled, library: str, module: str, name: str) -> str:
    """Code that registers the environment when it is imported."""
    return (
        f'"""Registers {name} with {library}."""\n\n'
        f"from pathlib import Path\n\nfrom {module} import register\n\n"
        f'ID = register(Path(__file__).parent / "{compiled.file}")\n'
    )


def _gymnasium(compiled: Compiled, folder: Path, tasks: int) -> list[Path]:
    text = _registering(compiled, "Gymnasium", "envgen.gym", f"fde/{compiled.name}-v0")
    return _package(compiled, folder, "fde[gymnasium]", {"__init__.py": text})


def _browsergym(compiled: Compiled, folder: Path, tasks: int) -> list[Path]:
    text = _registering(compiled, "BrowserGym", "envgen.browsergym", f"browsergym/fde.{compiled.name}")
    # What BrowserGym and OpenEnv ask for does not install beside our pins: see docs/envgen.md.
    return _package(compiled, folder, "fde", {"__init__.py": text})


def _openenv(compiled: Compiled, folder: Path, tasks: int) -> list[Path]:
    server = (
        f'"""Serves {compiled.name} to OpenEnv\'s clients: uvicorn PACKAGE.server:app"""\n\n'
        "from pathlib import Path\n\nfrom envgen.openenv import application\n\n"
        f'app = application(Path(__file__).parent / "{compiled.file}")\n'
    )
    init = f'"""{compiled.name} as an OpenEnv environment; see server.py."""\n'
    return _package(compiled, folder, "fde", {"__init__.py": init, "server.py": server})


def _verifiers(compiled: Compiled, folder: Path, tasks: int) -> list[Path]:
    text = (
        f'"""{compiled.name} as a taskset of verifiers (v1), with the env that plays it."""\n\n'
        "from pathlib import Path\n\nfrom envgen.verifiers_env import LineEnv, LineTaskset\n\n\n"
        "class Tasks(LineTaskset):\n"
        f'    BUILT = str(Path(__file__).parent / "{compiled.file}")\n\n\n'
        '__all__ = ["LineEnv", "Tasks"]\n'
    )
    return _package(compiled, folder, "fde", {"__init__.py": text})


_WRITERS: dict[str, Callable[[Compiled, Path, int], list[Path]]] = {
    "jsonl": _jsonl,
    "gymnasium": _gymnasium,
    "browsergym": _browsergym,
    "openenv": _openenv,
    "verifiers": _verifiers,
}

__all__ = ["PROMPT", "TARGETS", "export"]
