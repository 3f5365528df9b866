"""Compiled workflows for other tools: tasks as JSON lines, packages for Gymnasium, BrowserGym and OpenEnv.

They need nothing of the engagement any more. What they hold is redacted, as the workflow is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

from envgen.choices import choices
from envgen.environment import WorkflowEnv
from envgen.generators import SPLITS
from envgen.session import Split
from envgen.tasks import tasks_of
from envgen.workflow import Workflow
from fde.artifacts import write_json, write_text
from fde.errors import InputError, WorkError

TARGETS = ("jsonl", "gymnasium", "browsergym", "openenv")
_SHARES: dict[Split, float] = {"train": 0.7, "dev": 0.1, "test": 0.2}
_DATA = "workflow.json"
_PROMPT = (
    "Do the task on the application's pages. Answer with one action per line: click, fill, select, check, "
    "uncheck or press an element named by its role and name, and done when the work is done."
)


def export(workflow: Workflow, target: str, folder: Path, *, tasks: int = 100) -> list[Path]:
    """Write a workflow for another tool.

    Args:
        target: One of :data:`TARGETS`.
        folder: Where the files go; made when it is not there.
        tasks: How many tasks, over all splits (``jsonl``).

    Returns:
        What was written.

    Raises:
        InputError: when the target is unknown, or ``tasks`` is below 1.
        WorkError: when no task of the workflow can be made.
    """
    if target not in _WRITERS:
        raise InputError(f"Nothing is known about {target!r}.", f"There are: {', '.join(TARGETS)}.")
    if tasks < 1:
        raise InputError(f"{tasks} tasks cannot be exported.")
    return _WRITERS[target](workflow, folder, tasks)


def _jsonl(workflow: Workflow, folder: Path, tasks: int) -> list[Path]:
    """One file a split, as Hugging Face's ``datasets`` reads them: ``load_dataset(folder)``."""
    env = WorkflowEnv(workflow)
    written = []
    for split in SPLITS:
        rows = []
        wanted = max(1, round(tasks * _SHARES[split]))
        for task in islice(tasks_of(workflow, split, generator=env.generator), wanted):
            view = env.reset(task)
            if not env.expected.complete:
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
                        {"role": "system", "content": _PROMPT},
                        {"role": "user", "content": f"{task.instruction}\n\n{view.text}"},
                    ],
                    "choices": [choice.text for choice in choices(view.page)],
                    "right": json.dumps(
                        [{"record": w.key, "values": dict(w.values)} for w in env.expected.writes],
                        ensure_ascii=False,
                    ),
                    "answer": env.expected.answer or "",
                    "steps": env.expected.steps,
                }
            )
        if rows:
            path = folder / f"{split}.jsonl"
            write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
            written.append(path)
    if not written:
        raise WorkError(f"No task of {workflow.name} can be made.", "Read: fde envgen show NAME")
    card = folder / "README.md"
    write_text(card, _card(workflow, written))
    return [*written, card]


def _card(workflow: Workflow, written: list[Path]) -> str:
    files = "\n".join(
        f"  - split: {path.stem if path.stem != 'dev' else 'validation'}\n    path: {path.name}"
        for path in written
    )
    return (
        f"---\npretty_name: {workflow.name}\nconfigs:\n- config_name: default\n  data_files:\n"
        f"{files}\n---\n\n# {workflow.name}\n\n"
        f"Tasks compiled from {len(workflow.recordings)} recordings, each with the page it begins on and the "
        "changes that right work makes (`right`). The splits share no parameters. All names and numbers are "
        "made up or stand-ins.\n"
    )


def _package(workflow: Workflow, folder: Path, needs: str, files: Mapping[str, str]) -> list[Path]:
    """A package that holds the workflow and ``files``, and needs this toolkit, perhaps with an extra."""
    module = "fde_" + "".join(c if c.isalnum() else "_" for c in workflow.name.lower())
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
    data = package / _DATA
    write_json(data, workflow.model_dump(mode="json"))
    return [*texts, data]


def _registering(workflow: Workflow, library: str, module: str, name: str) -> str:
    """Code that registers the workflow when it is imported."""
    return (
        f'"""Registers {name} with {library}."""\n\n'
        f"from pathlib import Path\n\nfrom {module} import register\n\n"
        f'ID = register(Path(__file__).parent / "{_DATA}")\n'
    )


def _gymnasium(workflow: Workflow, folder: Path, tasks: int) -> list[Path]:
    text = _registering(workflow, "Gymnasium", "envgen.gym", f"fde/{workflow.name}-v0")
    return _package(workflow, folder, "fde[gymnasium]", {"__init__.py": text})


def _browsergym(workflow: Workflow, folder: Path, tasks: int) -> list[Path]:
    text = _registering(workflow, "BrowserGym", "envgen.browsergym", f"browsergym/fde.{workflow.name}")
    # What BrowserGym and OpenEnv ask for does not install beside our pins: see docs/envgen.md.
    return _package(workflow, folder, "fde", {"__init__.py": text})


def _openenv(workflow: Workflow, folder: Path, tasks: int) -> list[Path]:
    server = (
        f'"""Serves {workflow.name} to OpenEnv\'s clients: uvicorn PACKAGE.server:app"""\n\n'
        "from pathlib import Path\n\nfrom envgen.openenv import application\n\n"
        f'app = application(Path(__file__).parent / "{_DATA}")\n'
    )
    init = f'"""{workflow.name} as an OpenEnv environment; see server.py."""\n'
    return _package(workflow, folder, "fde", {"__init__.py": init, "server.py": server})


_WRITERS: dict[str, Callable[[Workflow, Path, int], list[Path]]] = {
    "jsonl": _jsonl,
    "gymnasium": _gymnasium,
    "browsergym": _browsergym,
    "openenv": _openenv,
}

__all__ = ["TARGETS", "export"]
