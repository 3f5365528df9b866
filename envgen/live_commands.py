"""A staging copy of the application driven by commands: its start, its resets, and the probe of its effects.

Every hook gets JSON on its standard input and the variables ``FDE_URL`` and
``FDE_PORT`` in its environment, runs in the engagement's folder, and fails by a
non-zero exit code.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin
from urllib.request import ProxyHandler, build_opener

from pydantic import ValidationError

from envgen.live import Start
from envgen.session import Score, Task
from fde.errors import InputError, WorkError
from fde.ports import free_port
from ingest.action import Action

_TAIL_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands of ``[live]``; see :class:`envgen.live_config.LiveSettings`."""

    url: str
    probe: tuple[str, ...]
    start: tuple[str, ...] = ()
    reset: tuple[str, ...] = ()
    sign_in: tuple[Action, ...] = ()
    then: str = ""
    restart: bool = False
    start_timeout_s: float = 60.0
    hook_timeout_s: float = 60.0


class CommandApplication:
    """A staging copy driven by commands. Implements :class:`envgen.live.Application`."""

    def __init__(self, commands: Commands, folder: Path) -> None:
        self.commands = commands
        self.folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._port = 0
        self._before: Any = None

    def begin(self, task: Task) -> Start:
        """Reset, start the application if it does not run, and let the probe see the state."""
        if self.commands.restart or (self._server is not None and self._server.poll() is not None):
            self._stop()
        fresh = self.commands.start and self._server is None
        if fresh:
            self._port = free_port()
        if self.commands.reset:
            self._hook("reset", self.commands.reset, task.model_dump(mode="json"))
        if fresh:
            self._start()
        before = {"phase": "before", "task": task.model_dump(mode="json")}
        self._before = self._hook("probe", self.commands.probe, before)
        return Start(self._url(), self.commands.sign_in, self.commands.then)

    def judge(self, task: Task) -> Score:
        """What the probe says of the state now, given what it saw before."""
        asked = {"phase": "after", "task": task.model_dump(mode="json"), "before": self._before}
        told = self._hook("probe", self.commands.probe, asked)
        try:
            score = Score.model_validate(told)
        except ValidationError as error:
            raise WorkError(f"[live] probe answered {str(told)[:200]}, not with a score.") from error
        if score.value is not None and not 0 <= score.value <= 1:
            raise WorkError(
                f"[live] probe answered with the value {score.value}; a score is 0 to 1, or null."
            )
        return score

    def close(self) -> None:
        self._stop()
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def _url(self) -> str:
        return self.commands.url.replace("{port}", str(self._port))

    def _environment(self) -> dict[str, str]:
        return {"FDE_URL": self._url(), "FDE_PORT": str(self._port)}

    def _hook(self, name: str, command: Sequence[str], value: Any) -> Any:
        return run_hook(
            name,
            command,
            value,
            folder=self.folder,
            timeout_s=self.commands.hook_timeout_s,
            environment=self._environment(),
        )

    def _start(self) -> None:
        command = [part.replace("{port}", str(self._port)) for part in self.commands.start]
        if self._log is None:
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close())
        self._server = spawn(command, self.folder, self._environment(), self._log)
        deadline = time.monotonic() + self.commands.start_timeout_s
        while not _answers(self._url()):
            code = self._server.poll()
            if code is not None or time.monotonic() > deadline:
                why = f"ended with code {code}" if code is not None else "does not answer in time"
                told = _tail(self._log)
                self._stop()
                raise WorkError(
                    f"[live] start: the application {why} at {self._url()}: {told or 'it said nothing'}"
                )
            time.sleep(0.1)

    def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            end_group(server)


def _tail(log: IO[bytes]) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _TAIL_CHARACTERS))
    return log.read().decode("utf-8", "replace").strip()


def spawn(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own.

    Raises:
        InputError: when it cannot be started.
    """
    try:
        return subprocess.Popen(
            _found(command, folder),
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise InputError(
            f"{command[0]} cannot be started: {error.strerror}", "Correct [live] in fde.toml."
        ) from error


def end_group(process: subprocess.Popen[bytes], grace_s: float = 10.0) -> None:
    """End a process started by :func:`spawn` and everything it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
            if number == signal.SIGKILL:
                return
    # The leader is gone by now; the second round of the loop ended what outlived it.


def run_hook(
    name: str,
    command: Sequence[str],
    value: Any,
    *,
    folder: Path,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> Any:
    """Run a hook with ``value`` as JSON on its input; its output as JSON, None when it says nothing.

    Raises:
        InputError: when the command cannot be started.
        WorkError: when it fails, takes too long, or its output is not JSON.
    """
    with tempfile.TemporaryFile() as sent, tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as talk:
        sent.write(json.dumps(value).encode())
        sent.seek(0)
        try:
            process = subprocess.Popen(
                _found(command, folder),
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=sent,
                stdout=said,
                stderr=talk,
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(
                f"[live] {name}: {command[0]} cannot be started: {error.strerror}", "Correct it in fde.toml."
            ) from error
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise WorkError(f"[live] {name}: {command[0]} took longer than {timeout_s:g} s.") from error
        finally:
            if process.poll() is None:
                end_group(process, grace_s=1.0)
        talk.seek(0)
        if code:
            told = talk.read().decode("utf-8", "replace").strip()[-_TAIL_CHARACTERS:]
            raise WorkError(
                f"[live] {name}: {command[0]} failed with code {code}: {told or 'it said nothing'}"
            )
        said.seek(0)
        output = said.read().strip()
    try:
        return json.loads(output) if output else None
    except (ValueError, RecursionError) as error:
        raise WorkError(f"[live] {name}: {command[0]} did not answer in JSON: {output[:200]!r}") from error


def _found(command: Sequence[str], folder: Path) -> list[str]:
    """The command with its program looked up in the engagement's folder first, if it names a path."""
    program = command[0]
    if "/" in program:
        return [str(folder / program), *command[1:]]
    if program in ("python", "python3"):
        # The toolkit's own Python: hooks may use its packages.
        return [sys.executable, *command[1:]]
    return [shutil.which(program) or program, *command[1:]]


def _answers(url: str) -> bool:
    """Whether anything speaks HTTP there, whatever it says."""
    try:
        # Not through a proxy: the copy runs here or in the client's network.
        with build_opener(ProxyHandler({})).open(urljoin(url, "/"), timeout=2.0):
            return True
    except HTTPError as error:
        error.close()
        return True
    except (URLError, OSError, ValueError):
        return False
