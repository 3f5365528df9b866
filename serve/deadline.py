"""A time limit on work in this process, so that an environment that hangs costs one episode, not the run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deadline(seconds: float, what: str) -> Iterator[None]:
    """Ends what is done inside the block when it takes too long.

    By the process's alarm, so it works in the main thread only (elsewhere there is no limit), and not
    inside of native code that never returns to Python.

    Args:
        what: Who is waited for, for the message.

    Raises:
        TimeoutError: inside the block, after ``seconds``.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: object) -> None:
        raise TimeoutError(f"{what} did not answer within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
