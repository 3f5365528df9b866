"""A process that reads files for :mod:`ingest.workers`: a task on each line in, an answer on each line out.

It is a process of its own because a client's file may crash a reader, hang it or
make it ask for all memory there is. It dies with the process that started it,
leaves no memory dump behind, and, where its limits say so, cannot connect anywhere.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fde.errors import FdeError, explain_os_error

_PR_SET_PDEATHSIG = 1
# A worker that has grown to this is replaced after its task: memory stays flat over thousands of files.
WORN_BYTES = 600_000_000
WORN_TASKS = 1_000


def main(settings: dict[str, Any]) -> None:
    """Answer tasks until there are no more.

    Args:
        settings: ``job`` (``module:function``, called with a task, answers with plain data), ``parent``
            (process id), ``memory_bytes`` (of address space beyond the present; None: no limit) and
            ``offline`` (refuse connections).
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != settings["parent"]:
        return
    # What libraries print must not mix with the answers, nor may what they start read the tasks.
    tasks, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    module, _, name = settings["job"].partition(":")
    job: Callable[[dict[str, Any]], dict[str, Any]] = getattr(importlib.import_module(module), name)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if settings["offline"]:
        sys.addaudithook(_refuse_connections)
    _say(answers, {"ready": True})
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    for done, line in enumerate(tasks, 1):
        if settings["memory_bytes"]:
            _limit_memory(settings["memory_bytes"])
        answer = _answer(job, json.loads(line))
        worn = done >= WORN_TASKS or _memory_bytes("VmRSS") > WORN_BYTES
        _say(answers, {**answer, "worn": worn})
        if worn:
            return


def _say(answers: Any, value: dict[str, Any]) -> None:
    answers.write(json.dumps(value).encode() + b"\n")
    answers.flush()


def _answer(job: Callable[[dict[str, Any]], dict[str, Any]], task: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"value": job(task)}
    except FdeError as error:
        return {"error": error.message, "hint": error.hint}
    except MemoryError:
        return {"error": "it needs more memory than a file may take", "transient": True}
    except OSError as error:
        told = explain_os_error(error)
        return {"error": told.message if told else str(error), "transient": True}
    except Exception as error:  # a defect of a reader costs one row, with what is needed to find it
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        return {"error": f"it cannot be read: {type(error).__name__}: {error} ({where})", "defect": True}


def _limit_memory(memory_bytes: int) -> None:
    limit = _memory_bytes("VmSize") + memory_bytes
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY or limit <= most:
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))


def _memory_bytes(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return 0


def _refuse_connections(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        raise PermissionError(f"Readers do not use the network ({event}).")
