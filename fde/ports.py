"""TCP ports: whether one is free, and finding one that is."""

from __future__ import annotations

import errno
import socket

from fde.errors import InputError


def check_port(host: str, port: int, *, hint: str = "") -> None:
    """Make sure that a server can listen on ``host:port``; 0 stands for any free port.

    Raises:
        InputError: when the port is out of range, in use, or not ours to open.
    """
    if not 0 <= port <= 65535:
        raise InputError(
            f"Port {port} does not exist.", "Choose one from 1024 to 65535, or 0 for any free one."
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                what, then = (
                    f"Port {port} on {host} is in use.",
                    "Choose another with --port (0 for any free one).",
                )
            elif error.errno == errno.EACCES:
                what, then = f"Port {port} on {host} is reserved.", "Choose one above 1023 with --port."
            else:
                what, then = f"Cannot listen on {host}:{port}: {error.strerror}.", "Check the host name."
            raise InputError(what, hint or then) from error


def free_port(host: str = "127.0.0.1") -> int:
    """A port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port
