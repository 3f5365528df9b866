"""What the base model answers without reading: questions it knows teach nobody to look things up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from envgen.reading.build import ClosedBook
from fde.errors import MissingError

if TYPE_CHECKING:
    from serve.engine.local import LocalEngine

_SYSTEM = "Answer with nothing but the value that is asked for."
_ANSWER_TOKENS = 16
_AT_ONCE = 64


def closed_book(model: str) -> ClosedBook | None:
    """A model of this machine that is asked without documents; None when it is not installed."""
    from fde.models import model_digest

    try:
        name = f"{model} {model_digest(model)}"
    except MissingError:
        return None

    def ask(questions: Sequence[str]) -> list[str]:
        from serve.engine.local import LocalEngine

        engine = LocalEngine.load(model)
        return [
            answer
            for start in range(0, len(questions), _AT_ONCE)
            for answer in answers(engine, questions[start : start + _AT_ONCE])
        ]

    return ClosedBook(name, ask)


def answers(engine: LocalEngine, questions: Sequence[str]) -> list[str]:
    """The likeliest answers to questions, each one line, all at once."""
    from serve.prompt import Prompt

    prompt = Prompt(engine.tokenizer, system=_SYSTEM)
    shared = engine.row()
    engine.feed([(shared, prompt.shared_tokens())])
    rows = [engine.fork(shared) for _ in questions]
    said: list[list[int]] = [[] for _ in questions]
    texts = [""] * len(questions)
    special = set(engine.tokenizer.all_special_ids)
    try:
        waiting = list(range(len(questions)))
        feeding = [prompt.first_tokens(question) for question in questions]
        while waiting:
            hidden = engine.feed([(rows[i], feeding[i]) for i in waiting]).hidden
            chosen = engine.body.logits(hidden).argmax(-1).tolist()
            going = []
            for i, token in zip(waiting, chosen, strict=True):
                if token in special:
                    continue
                said[i].append(token)
                texts[i] = engine.tokenizer.decode(said[i], skip_special_tokens=True)
                if "\n" not in texts[i].lstrip() and len(said[i]) < _ANSWER_TOKENS:
                    feeding[i] = [token]
                    going.append(i)
            waiting = going
    finally:
        for row in (shared, *rows):
            engine.free(row)
    return [text.strip().partition("\n")[0].strip() for text in texts]
