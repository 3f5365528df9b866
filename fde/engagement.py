"""One client's folder, and the runs of the stages inside it.

Layout::

    fde.toml    what the FDE configures
    raw/        the client's files as they came          (0700)
    vault/      the encrypted map from surrogate to original (0700)
    stages/<stage>/<run id>/manifest.json                (ingest-*: 0700)
    models/  reports/  mlflow.db

A run's id is the digest of everything that determines its result, so asking
for the same work twice finds the first result, and work that was killed is
continued in the same folder. ``manifest.json`` is written last: a folder
without one is unfinished and is never read by a later stage.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fde import __version__
from fde.artifacts import (
    PRIVATE_DIR,
    PRIVATE_FILE,
    digest,
    digest_file,
    read_json,
    write_json,
    write_text,
)
from fde.errors import InputError, MissingError

CONFIG_NAME = "fde.toml"
SCHEMA_VERSION = 1
# Before redaction everything is the client's own data: nobody else may read it.
PRIVATE_STAGES = frozenset({"ingest-docs", "ingest-recordings"})
NEXT_COMMAND = {
    "ingest-docs": "fde ingest docs PATH…",
    "ingest-recordings": "fde ingest recordings PATH…",
    "redact": "fde redact run",
    "envgen": "fde envgen build",
    "sft": "fde train sft",
    "rl": "fde train rl",
    "evaluate": "fde evaluate run",
    "report": "fde report",
}


class Manifest(BaseModel):
    """What a finished run was made from and what it made. Written last, atomically."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA_VERSION
    stage: str
    run: str
    status: Literal["done"] = "done"
    inputs: dict[str, str] = Field(description="name of each input -> its digest or run id")
    config: dict[str, Any]
    seed: int
    revision: str = Field(description="git revision of the toolkit, or 'unknown'")
    versions: dict[str, str]
    counts: dict[str, int | float | str | None]
    outputs: dict[str, str] = Field(description="path inside the run -> SHA-256")
    started: str
    seconds: float


class Run:
    """One execution of a stage: a folder, and a manifest once it is finished."""

    def __init__(
        self,
        stage: str,
        run_id: str,
        path: Path,
        inputs: Mapping[str, str],
        config: Mapping[str, Any],
        seed: int,
    ) -> None:
        self.stage = stage
        self.id = run_id
        self.path = path
        self.inputs = dict(inputs)
        self.config = dict(config)
        self.seed = seed
        self.counts: dict[str, int | float | str | None] = {}
        self._started = time.monotonic()
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")

    @property
    def private(self) -> bool:
        """Whether this run holds data from before redaction."""
        return self.stage in PRIVATE_STAGES

    @property
    def manifest_path(self) -> Path:
        return self.path / "manifest.json"

    @property
    def finished(self) -> bool:
        """Whether an earlier execution already completed this very run."""
        return self.manifest_path.exists()

    def manifest(self) -> Manifest:
        """Read the manifest of a finished run."""
        return Manifest.model_validate(read_json(self.manifest_path))

    def write_json(self, name: str, value: Any) -> Path:
        """Write one output file of the run atomically, with the stage's file mode."""
        path = self.path / name
        write_json(path, value, mode=PRIVATE_FILE if self.private else 0o644)
        return path

    def finish(self, **counts: int | float | str | None) -> Manifest:
        """Write the manifest; from now on later stages may read this run."""
        self.counts.update(counts)
        outputs = {
            str(file.relative_to(self.path)): digest_file(file)
            for file in sorted(self.path.rglob("*"))
            if file.is_file() and file != self.manifest_path and not file.name.startswith(".")
        }
        elapsed = float(self._seconds_before()) + time.monotonic() - self._started
        manifest = Manifest(
            stage=self.stage,
            run=self.id,
            inputs=self.inputs,
            config=self.config,
            seed=self.seed,
            revision=revision(),
            versions=versions(),
            counts=self.counts,
            outputs=outputs,
            started=self._started_at,
            seconds=round(elapsed, 3),
        )
        write_json(self.manifest_path, manifest.model_dump(mode="json"))
        return manifest

    def _seconds_before(self) -> float:
        marker = self.path / ".seconds"
        try:
            return float(marker.read_text())
        except (OSError, ValueError):
            return 0.0

    def note_interruption(self) -> None:
        """Remember the time spent so far, so that a resumed run reports all of it."""
        elapsed = self._seconds_before() + time.monotonic() - self._started
        write_text(self.path / ".seconds", f"{elapsed:.3f}\n")


class Engagement:
    """A client's folder with a readable ``fde.toml``."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.config_path = self.root / CONFIG_NAME
        self.raw = self.root / "raw"
        self.vault = self.root / "vault"
        self.stages = self.root / "stages"
        self.models = self.root / "models"
        self.reports = self.root / "reports"
        self.mlflow_db = self.root / "mlflow.db"

    @classmethod
    def create(cls, root: Path, config_text: str) -> Engagement:
        """Make a new engagement folder; refuses one that already exists."""
        engagement = cls(root)
        if engagement.config_path.exists():
            raise InputError(
                f"{root} is already an engagement ({CONFIG_NAME} exists).",
                f"Look at it with: fde -C {root} status",
            )
        if root.exists() and not root.is_dir():
            raise InputError(f"{root} is a file, not a folder.", "Name a new folder.")
        try:
            tomllib.loads(config_text)
        except tomllib.TOMLDecodeError as error:
            raise InputError(
                f"The {CONFIG_NAME} for {root}: {error}", "Correct that line and run again."
            ) from error
        for private in (engagement.raw, engagement.vault):
            private.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIR)
            private.chmod(PRIVATE_DIR)
        for folder in (engagement.stages, engagement.models, engagement.reports):
            folder.mkdir(parents=True, exist_ok=True)
        write_text(engagement.config_path, config_text)
        return engagement

    @classmethod
    def find(cls, start: Path) -> Engagement:
        """The engagement at ``start`` or in the nearest parent of it."""
        start = start.resolve()
        for folder in (start, *start.parents):
            if (folder / CONFIG_NAME).is_file():
                return cls(folder)
        raise MissingError(
            f"No engagement at {start}: neither it nor a parent holds {CONFIG_NAME}.",
            "Make one with: fde init DIR, or name one with: fde -C DIR …",
        )

    def config(self) -> dict[str, Any]:
        """``fde.toml`` as plain data; a syntax error names its line."""
        try:
            return tomllib.loads(self.config_path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{self.config_path}: {error}", "Correct that line and run again.") from error
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise InputError(
                f"{self.config_path}, line {line}: not UTF-8 text.", "Save the file as UTF-8 and run again."
            ) from error

    def run(
        self,
        stage: str,
        *,
        inputs: Mapping[str, str],
        config: Mapping[str, Any],
        seed: int = 0,
    ) -> Run:
        """The run that this work is: finished already, begun earlier, or new.

        Args:
            stage: The stage's name, for instance ``"redact"``.
            inputs: Name of each input and its digest (or the id of the run it came from).
            config: Everything else the result depends on, as plain JSON data.
            seed: The seed the result depends on.
        """
        key = digest([SCHEMA_VERSION, stage, dict(inputs), dict(config), seed])[:12]
        path = self.stages / stage / key
        mode = PRIVATE_DIR if stage in PRIVATE_STAGES else 0o755
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(mode)
        path.mkdir(exist_ok=True)
        path.chmod(mode)
        return Run(stage, key, path, inputs, config, seed)

    @contextmanager
    def working(self, run: Run) -> Iterator[Run]:
        """Do the work of an unfinished run; one process at a time.

        On success the run becomes the stage's latest. The lock is released by
        the operating system if the process is killed.
        """
        import fcntl

        lock_path = run.path / ".lock"
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(
                    f"Another process is already working on {run.stage} {run.id}.",
                    "Wait for it, or stop it and run this again.",
                ) from error
            try:
                yield run
            except BaseException:
                run.note_interruption()
                raise
            if not run.finished:
                run.finish()
            self.publish(run)
        finally:
            os.close(descriptor)

    def publish(self, run: Run) -> None:
        """Make a finished run the one that later stages read."""
        write_text(self.stages / run.stage / "latest", run.id + "\n")

    def finished_run(self, stage: str, run_id: str) -> Run | None:
        """A stage's run of that id; None when there is none, or it is not finished."""
        path = self.stages / stage / run_id
        manifest_path = path / "manifest.json"
        if not run_id or not manifest_path.is_file():
            return None
        manifest = Manifest.model_validate(read_json(manifest_path))
        return Run(stage, run_id, path, manifest.inputs, manifest.config, manifest.seed)

    def latest(self, stage: str) -> Run:
        """The stage's latest finished run."""
        pointer = self.stages / stage / "latest"
        if pointer.is_file():
            run = self.finished_run(stage, pointer.read_text(encoding="utf-8").strip())
            if run is not None:
                return run
        command = NEXT_COMMAND.get(stage) or NEXT_COMMAND.get(stage.split("-")[0], "fde status")
        raise MissingError(f"The stage '{stage}' has no finished run in {self.root}.", f"Run: {command}")


@cache
def revision() -> str:
    """Git revision of the toolkit's checkout, ``-dirty`` when files differ; else 'unknown'."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return "unknown"
    try:
        done = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


@cache
def versions() -> dict[str, str]:
    """Versions of what decides results: Python and the packages that are installed."""
    found = {"fde": __version__, "python": platform.python_version()}
    for name in ("torch", "transformers", "peft", "presidio-analyzer", "spacy", "playwright", "markitdown"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
