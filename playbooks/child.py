"""One stage in a process of its own: its memory is given back, and its peak can be measured.

``python -m playbooks.child FD`` reads the request from stdin and writes the
answer to the file descriptor; what the stage says goes to stderr.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from fde import offline
from fde.engagement import Engagement
from fde.errors import FdeError, explain_os_error
from playbooks import stages

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """Have the kernel end this process when the runner dies, so that a killed run leaves nothing working."""
    try:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):  # not Linux
        return
    if os.getppid() != parent:
        os._exit(1)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def work(request: dict[str, Any]) -> dict[str, Any]:
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


def main() -> None:
    """Read the request, work, answer."""
    offline.prepare()
    signal.signal(signal.SIGTERM, _interrupt)
    answer = int(sys.argv[1])
    request = json.load(sys.stdin)
    end_with_parent(request["parent"])
    try:
        result = work(request)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
        result = {
            "error": {"message": message, "hint": "This is a defect: see the traceback.", "exit_code": 1}
        }
    with os.fdopen(answer, "w", encoding="utf-8") as handle:
        json.dump(result, handle)


if __name__ == "__main__":
    main()
