"""One stage in a process of its own: its memory is given back, and its peak can be measured.

Processes are forked from one that has imported what stages need, as importing
takes longer than many a stage (:mod:`playbooks.warm`).
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import resource
import signal
import sys
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from fde import offline
from fde.engagement import Engagement
from fde.errors import INTERRUPTED, FdeError, explain_os_error
from playbooks import stages

_PR_SET_PDEATHSIG = 1


def start(name: str, request: Mapping[str, Any], *, heavy: bool) -> tuple[ForkServerProcess, Connection]:
    """Begin a stage; its answer is JSON on the connection, which ends without one when it is killed.

    Args:
        heavy: Whether this or a later stage needs the libraries that take long to import.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["playbooks.tethered", *(["playbooks.warm"] if heavy else [])])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_main, args=(sender, dict(request), dict(os.environ)), name=name)
    process.start()
    sender.close()
    return process, receiver


def end_with_parent() -> None:
    """Have the kernel end this process when its parent dies, so that a killed run leaves nothing working."""
    parent = os.getppid()
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):  # not Linux
        return
    if os.getppid() != parent:
        os._exit(1)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def work(request: Mapping[str, Any]) -> dict[str, Any]:
    """Do the stage; errors meant for a person come back as data."""
    engagement = Engagement(Path(request["engagement"]))
    kind = stages.KINDS[request["uses"]]
    settings = kind.settings.model_validate(request["settings"])
    context = stages.Context(
        engagement=engagement,
        name=request["name"],
        base=Path(request["base"]),
        earlier={name: stages.Done(**done) for name, done in request["earlier"].items()},
    )
    before = set(engagement.stages.glob("*/*/manifest.json"))
    try:
        run = kind.work(context, settings)
    except FdeError as error:
        return {"error": {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}}
    except OSError as error:
        known = explain_os_error(error)
        if known is None:
            raise
        return {"error": {"message": known.message, "hint": known.hint, "exit_code": known.exit_code}}
    manifest = run.manifest()
    return {
        "run": f"{run.stage}/{run.id}",
        "skipped": run.manifest_path in before,
        "seconds": manifest.seconds,
    }


def _main(answer: Connection, request: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    """Work, answer."""
    # Ctrl-C comes to the runner alone, which hands it on, so that there is one message.
    os.setpgid(0, 0)
    end_with_parent()
    signal.signal(signal.SIGTERM, _interrupt)
    os.environ.clear()
    os.environ.update(environ)
    offline.prepare()
    # stdout is for data; what libraries chatter is not.
    os.dup2(2, 1)
    try:
        result = work(request)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
        result = {
            "error": {"message": message, "hint": "This is a defect: see the traceback.", "exit_code": 1}
        }
    # The kernel knows the largest memory this process took, however shortly.
    result["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    answer.send_bytes(json.dumps(result).encode())
