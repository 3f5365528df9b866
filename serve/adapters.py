"""The adapters an engagement may serve, and which version of each is the active one.

Layout::

    models/adapters/<task>/<digest>/adapter_config.json, adapter_model.safetensors, card.json
    models/adapters/<task>/active.json      the active digest and how it came to be

A version is named ``<task>@<first 12 hex digits of the SHA-256 of its weights>``,
so that an answer says exactly which weights made it. Versions are copied from
finished training runs and are never changed; promoting and rolling back only
move the pointer.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from fde.artifacts import digest_file, read_json, write_json
from fde.engagement import Engagement, Run
from fde.errors import InputError, MissingError
from fde.models import BASE_KEY, check_safetensors, safetensors_metadata

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
CARD = "card.json"
ACTIVE = "active.json"
DIGEST_LENGTH = 12
TRAINING_STAGES = ("rl-", "sft-")
MAX_RANK = 512

Model = TypeVar("Model", bound=BaseModel)

_TASK = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_FULL = re.compile(r"(?P<task>[a-z0-9][a-z0-9._-]{0,99})@(?P<digest>[0-9a-f]{12,64})")


class Adapter(BaseModel):
    """One version of an adapter: what it is and where it came from.

    Attributes:
        digest: SHA-256 (hex) of the weights file.
        rank: LoRA rank; None for weights that were tuned themselves.
        quantized: How the base model was quantised that it belongs to (``nf4``); None as it is.
        base: The base model as the training run named it.
        base_digest: Digest of the base model's weights, None when the run did not say.
        stage, run: The training run it was copied from.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: int = 1
    task: str
    digest: str
    rank: int | None
    quantized: str | None = None
    base: str
    base_digest: str | None = None
    stage: str
    run: str
    registered: str

    @property
    def name(self) -> str:
        """The name under which this version is served."""
        return f"{self.task}@{self.digest[:DIGEST_LENGTH]}"


class Move(BaseModel):
    """One change of the active version."""

    model_config = ConfigDict(frozen=True)

    action: Literal["promote", "rollback"]
    digest: str
    at: str


class Pointer(BaseModel):
    """Which version of a task is active.

    Attributes:
        before: Digests that were active earlier, the latest last; a rollback takes the last.
        moves: Every change there was, in order.
    """

    model_config = ConfigDict(frozen=True)

    active: str
    before: tuple[str, ...] = ()
    moves: tuple[Move, ...] = ()


class AdapterRegistry:
    """The adapters of one engagement."""

    def __init__(self, engagement: Engagement) -> None:
        self.engagement = engagement
        self.root = engagement.models / "adapters"

    def path(self, adapter: Adapter) -> Path:
        """The folder of a version, in peft's layout."""
        return self.root / adapter.task / adapter.digest[:DIGEST_LENGTH]

    def versions(self) -> list[Adapter]:
        """Every registered version, by task and then oldest first."""
        if not self.root.is_dir():
            return []
        found = [
            _read(card, Adapter)
            for card in sorted(self.root.glob(f"*/*/{CARD}"))
            if not card.parent.name.startswith(".")
        ]
        return sorted(found, key=lambda adapter: (adapter.task, adapter.registered, adapter.digest))

    def active(self, task: str) -> Adapter | None:
        """The active version of a task, None when none was promoted yet."""
        pointer = self._pointer(task)
        if pointer is None:
            return None
        card = self.root / task / pointer.active[:DIGEST_LENGTH] / CARD
        if not card.is_file():
            raise MissingError(
                f"The active adapter {task}@{pointer.active[:DIGEST_LENGTH]} is not in {self.root}.",
                f"Promote another version: fde serve promote STAGE (versions: {self._known(task)})",
            )
        return _read(card, Adapter)

    def tasks(self) -> list[str]:
        """Tasks that have an active version."""
        return sorted(path.parent.name for path in self.root.glob(f"*/{ACTIVE}"))

    def find(self, name: str) -> Adapter:
        """The version that a name means, with its files checked.

        Args:
            name: ``task@digest`` (12 or more hex digits), a task (its active
                version), or a training stage such as ``rl-code-invoice`` (its
                latest run, registered when it is not yet).

        Raises:
            MissingError: naming the adapters there are.
            InputError: when the files are not what was registered.
        """
        full = _FULL.fullmatch(name)
        if full:
            for adapter in self.versions():
                if adapter.task == full["task"] and adapter.digest.startswith(full["digest"]):
                    return self.check(adapter)
        elif name.startswith(TRAINING_STAGES) and (self.engagement.stages / name).is_dir():
            return self.register(name)
        elif _TASK.fullmatch(name):
            active = self.active(name)
            if active is not None:
                return self.check(active)
        known = ", ".join(adapter.name for adapter in self.versions()) or "none yet"
        trained = ", ".join(self.trained()) or "none yet"
        raise MissingError(
            f"There is no adapter '{name}' (registered: {known}; trained: {trained}).",
            "Register and activate one with: fde serve promote STAGE",
        )

    def trained(self) -> list[str]:
        """Training stages of the engagement that have a finished run."""
        pointers = self.engagement.stages.glob("*/latest")
        return sorted(path.parent.name for path in pointers if path.parent.name.startswith(TRAINING_STAGES))

    def register(self, stage: str) -> Adapter:
        """Copy the adapter of a training stage's latest run into the registry; once is enough.

        Raises:
            MissingError: no finished run, or one without an adapter.
            InputError: weights that are pickled, cut off or not an adapter of this kind.
        """
        run = self.engagement.latest(stage)
        source = run.path / "adapter"
        task = _task(stage)
        config = check_adapter(source)
        recorded = run.manifest().outputs.get(f"adapter/{WEIGHTS}")
        digest = digest_file(source / WEIGHTS)
        if recorded not in (None, digest):
            raise InputError(
                f"The adapter of {stage} {run.id} is not what was trained: its digest changed.",
                f"Train it again: remove {run.path} and run the training.",
            )
        adapter = Adapter(
            task=task,
            digest=digest,
            rank=config.get("r"),
            quantized=safetensors_metadata(source / WEIGHTS).get(BASE_KEY),
            base=str(_said(run, "base", "model") or config.get("base_model_name_or_path") or "unknown"),
            base_digest=_said_digest(run),
            stage=stage,
            run=run.id,
            registered=datetime.now(UTC).isoformat(timespec="microseconds"),
        )
        target = self.path(adapter)
        if (target / CARD).is_file():
            return self.check(_read(target / CARD, Adapter))
        with self._locked(task):
            temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
            temporary.mkdir(parents=True)
            try:
                for name in (CONFIG, WEIGHTS):
                    shutil.copyfile(source / name, temporary / name)
                write_json(temporary / CARD, adapter.model_dump(mode="json"))
                if target.exists():
                    shutil.rmtree(target)
                temporary.rename(target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        return adapter

    def check(self, adapter: Adapter) -> Adapter:
        """Make sure that a version's weights are the ones its name says.

        Raises:
            InputError: when they are not.
        """
        folder = self.path(adapter)
        check_adapter(folder)
        found = digest_file(folder / WEIGHTS)
        if found != adapter.digest:
            raise InputError(
                f"Adapter {adapter.name} is damaged: its weights have the digest {found[:DIGEST_LENGTH]}.",
                f"Remove {folder} and register it again: fde serve promote {adapter.stage}",
            )
        return adapter

    def promote(self, name: str) -> Adapter:
        """Make a version the active one of its task; the one before can be rolled back to.

        Args:
            name: As for :meth:`find`.
        """
        adapter = self.find(name)
        with self._locked(adapter.task):
            pointer = self._pointer(adapter.task)
            if pointer is not None and pointer.active == adapter.digest:
                return adapter
            before = () if pointer is None else (*pointer.before, pointer.active)
            self._point(adapter, before, "promote", pointer)
        return adapter

    def rollback(self, task: str) -> Adapter:
        """Make the version active that was active before.

        Raises:
            MissingError: when the task has no active version, or none before it.
        """
        if not _TASK.fullmatch(task):
            raise InputError(f"{task!r} is not the name of a task.", "See: fde serve adapters")
        with self._locked(task):
            pointer = self._pointer(task)
            if pointer is None:
                known = ", ".join(self.tasks()) or "none"
                raise MissingError(
                    f"The task '{task}' has no active adapter (tasks: {known}).", "See: fde serve adapters"
                )
            if not pointer.before:
                raise MissingError(
                    f"{task}@{pointer.active[:DIGEST_LENGTH]} is the first adapter of '{task}': "
                    "there is none to go back to.",
                    "See: fde serve adapters",
                )
            card = self.root / task / pointer.before[-1][:DIGEST_LENGTH] / CARD
            if not card.is_file():
                raise MissingError(
                    f"The adapter before, {task}@{pointer.before[-1][:DIGEST_LENGTH]}, was removed.",
                    f"Promote one that is there: {self._known(task)}",
                )
            adapter = self.check(_read(card, Adapter))
            self._point(adapter, pointer.before[:-1], "rollback", pointer)
        return adapter

    def _point(
        self,
        adapter: Adapter,
        before: tuple[str, ...],
        action: Literal["promote", "rollback"],
        old: Pointer | None,
    ) -> None:
        move = Move(action=action, digest=adapter.digest, at=datetime.now(UTC).isoformat(timespec="seconds"))
        moves = (*(old.moves if old else ()), move)
        pointer = Pointer(active=adapter.digest, before=before, moves=moves)
        write_json(self.root / adapter.task / ACTIVE, pointer.model_dump(mode="json"))

    def _pointer(self, task: str) -> Pointer | None:
        path = self.root / task / ACTIVE
        return _read(path, Pointer) if path.is_file() else None

    def _known(self, task: str) -> str:
        return ", ".join(adapter.name for adapter in self.versions() if adapter.task == task) or "none"

    @contextmanager
    def _locked(self, task: str) -> Iterator[None]:
        """One process at a time changes a task; what a killed one left is removed."""
        import fcntl

        folder = self.root / task
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for leftover in folder.glob(".*.tmp"):
                if leftover.is_dir():
                    shutil.rmtree(leftover, ignore_errors=True)
            yield


def check_adapter(folder: Path) -> dict[str, Any]:
    """Make sure that a folder holds an adapter as safetensors, and read its configuration.

    Raises:
        MissingError: when it holds no adapter.
        InputError: pickled or damaged weights, or neither a LoRA nor tuned weights.
    """
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        pickled = sorted(file.name for file in folder.glob("adapter_model.bin")) if folder.is_dir() else []
        if pickled:
            raise InputError(
                f"{folder} holds pickled weights ({pickled[0]}): refused.", "Save it as safetensors."
            )
        raise MissingError(
            f"{folder} holds no adapter ({CONFIG}, {WEIGHTS}).", "Train one with: fde train sft"
        )
    try:
        config = read_json(folder / CONFIG)
    except ValueError as error:
        raise InputError(f"{folder / CONFIG} is not JSON: {error}") from error
    if isinstance(config, dict) and config.get("tuned") == "full":
        check_safetensors(folder / WEIGHTS)
        return config
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise InputError(f"{folder / CONFIG} does not describe a LoRA adapter.")
    rank = config.get("r")
    if not isinstance(rank, int) or not 1 <= rank <= MAX_RANK:
        raise InputError(f"{folder / CONFIG}: the rank r is {rank!r}, not 1 to {MAX_RANK}.")
    check_safetensors(folder / WEIGHTS)
    return config


def _task(stage: str) -> str:
    for prefix in TRAINING_STAGES:
        if stage.startswith(prefix) and _TASK.fullmatch(stage.removeprefix(prefix)):
            return stage.removeprefix(prefix)
    raise InputError(
        f"'{stage}' is not a training stage.", "Name one such as rl-code-invoice; see: fde status"
    )


def _said(run: Run, *keys: str) -> Any:
    """What the run's configuration says under the first of the keys it has."""
    return next((run.config[key] for key in keys if run.config.get(key)), None)


def _said_digest(run: Run) -> str | None:
    return next((run.inputs[key] for key in ("base", "model") if run.inputs.get(key)), None)


def _read(path: Path, model: type[Model]) -> Model:
    try:
        return model.model_validate(read_json(path))
    except (OSError, ValueError, ValidationError) as error:
        raise InputError(
            f"{path} cannot be read: {error}", "Remove it and promote the adapter again."
        ) from error
