"""A small server on this machine, for tests that need something that really answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Says nothing on the terminal."""

    def answer(self, status: int, body: str | bytes = b"", *, kind: str = "", to: str = "") -> None:
        """Answer a request.

        Args:
            kind: The media type; HTML where none is named.
            to: Where the answer points to, if anywhere.
        """
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        if to:
            self.send_header("Location", to)
        self.send_header("Content-Type", kind or "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def asked(self) -> bytes:
        """The body of the request."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@contextmanager
def listening(handler: type[Handler]) -> Iterator[int]:
    """The port of a server that answers with ``handler``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
