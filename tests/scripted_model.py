"""An endpoint that speaks OpenAI's chat API and says what was written down for each task."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from local_server import Handler, listening


@contextmanager
def answering(models: Mapping[str, Mapping[str, Sequence[str]] | None]) -> Iterator[str]:
    """Serve some models; the address ends in ``/v1``.

    Args:
        models: Model -> how the first message of a conversation begins -> what is said, turn by turn.
            None in place of that: the model is out of order.
    """

    class Model(Handler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.asked())
            written = models[asked["model"]]
            if written is None:
                self.answer(500, '{"error": {"message": "out of order"}}', kind="application/json")
                return
            first = next(m["content"] for m in asked["messages"] if m["role"] == "user")
            turns = next(turns for begins, turns in written.items() if first.startswith(begins))
            said = sum(m["role"] == "assistant" for m in asked["messages"])
            assert asked["stream"]
            self.answer(200, _stream(asked["model"], turns[said]), kind="text/event-stream")

    with listening(Model) as port:
        yield f"http://127.0.0.1:{port}/v1"


def _stream(model: str, text: str) -> str:
    """The events of a reply that comes at once, with its end and its usage."""
    base = {"id": "reply", "object": "chat.completion.chunk", "created": 0, "model": model}
    choices: list[list[dict[str, Any]]] = [
        [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}],
        [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        [],
    ]
    events: list[dict[str, Any]] = [{**base, "choices": each} for each in choices]
    events[-1]["usage"] = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return "".join(f"data: {told}\n\n" for told in (*map(json.dumps, events), "[DONE]"))
