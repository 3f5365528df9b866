"""The process of a rollout worker: it answers its trainer, says that it gets on, and ends with it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import traceback
from pathlib import Path
from typing import Any

from fde import offline
from fde.errors import FdeError

_BEAT_S = 1.0
# The trainer reads all the time; when it takes in nothing for so long it has been stopped, not ended.
_SEND_S = 24 * 3600.0


def main(settings: dict[str, Any]) -> None:
    """Answer messages until the trainer is gone.

    Args:
        settings: ``make`` and ``settings`` of a :class:`train.workers.maker.Recipe`, ``threads`` and
            ``connection`` (a socket's descriptor).
    """
    offline.prepare()
    import torch

    from train.workers.maker import Maker
    from train.workers.recipe import Recipe
    from train.workers.wire import Pipe

    torch.set_num_threads(settings["threads"])
    pipe = Pipe(socket.socket(fileno=settings["connection"]))
    makers: list[Maker] = []

    def beat() -> None:
        silence = threading.Event()
        while not silence.wait(_BEAT_S):
            progress = makers[0].progress if makers else 0
            try:
                pipe.send({"progress": progress}, within_s=_SEND_S)
            except OSError:
                os._exit(1)  # the trainer is gone, whatever is being computed

    threading.Thread(target=beat, name="heart", daemon=True).start()
    with contextlib.suppress(EOFError, ConnectionError):
        try:
            maker = Maker(Recipe(settings["make"], settings["settings"]))
        except Exception as error:
            pipe.send(_complaint(error), within_s=_SEND_S)
            return
        makers.append(maker)
        pipe.send({"ready": True}, within_s=_SEND_S)
        while True:
            message = pipe.receive()
            assert message is not None
            try:
                said, tensors = maker.answer(*message)
            except Exception as error:
                said, tensors = _complaint(error), {}
            pipe.send(said, tensors, within_s=_SEND_S)


def _complaint(error: Exception) -> dict[str, str]:
    """What went wrong, for a person."""
    if isinstance(error, FdeError):
        return {"error": error.message, "hint": error.hint}
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    return {
        "error": f"{type(error).__name__}: {error} ({where})",
        "hint": "The run goes on at its last checkpoint when the same command is given again.",
    }
