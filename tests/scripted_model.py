"""An endpoint that speaks OpenAI's chat API and says what was written down for each task."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def answering(models: Mapping[str, Mapping[str, Sequence[str]] | None]) -> Iterator[str]:
    """Serve some models; the address ends in ``/v1``.

    Args:
        models: Model -> how the first message of a conversation begins -> what is said, turn by turn.
            None in place of that: the model is out of order.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            """Nothing."""

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            written = models[asked["model"]]
            if written is None:
                self._answer(500, "application/json", b'{"error": {"message": "out of order"}}')
                return
            first = next(m["content"] for m in asked["messages"] if m["role"] == "user")
            turns = next(turns for begins, turns in written.items() if first.startswith(begins))
            said = sum(m["role"] == "assistant" for m in asked["messages"])
            assert asked["stream"]
            self._answer(200, "text/event-stream", _stream(asked["model"], turns[said]))

        def _answer(self, status: int, media_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def _stream(model: str, text: str) -> bytes:
    """The events of a reply that comes at once, with its end and its usage."""
    base = {"id": "reply", "object": "chat.completion.chunk", "created": 0, "model": model}
    choices: list[list[dict[str, Any]]] = [
        [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}],
        [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        [],
    ]
    events: list[dict[str, Any]] = [{**base, "choices": each} for each in choices]
    events[-1]["usage"] = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return "".join(f"data: {told}\n\n" for told in (*map(json.dumps, events), "[DONE]")).encode()
