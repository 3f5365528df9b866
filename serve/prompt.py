"""The agent's conversation as tokens, by the model's own chat template.

The template is asked once, with markers in place of what people and pages say,
so that every later piece is added at the end: the context only grows, and what
the model has said is never tokenised again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fde.errors import InputError

SYSTEM = "Use the application to do the task."
Message = Mapping[str, str]
_USER, _SAID, _NEXT = "\u0001user\u0001", "\u0001said\u0001", "\u0001next\u0001"


def opening(instruction: str, page_text: str) -> str:
    """The first user message of an episode."""
    return f"Task: {instruction}\n{page_text}"


@dataclass(frozen=True, slots=True)
class _Pieces:
    """What the template puts around a user's turn and between turns."""

    after_said: str
    after_user: str


class Prompt:
    """Turns messages into tokens for one tokenizer.

    Args:
        system: The system message.
        prefix: Messages before the task (worked examples, retrieved passages), alternately
            ``user`` and ``assistant``; equal prefixes are computed once by the engine.
    """

    def __init__(self, tokenizer: Any, *, system: str = SYSTEM, prefix: Sequence[Message] = ()) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise InputError(
                "This model's tokenizer has no chat template, so it cannot hold a conversation.",
                "Use the instruction-tuned version of the model.",
            )
        self.tokenizer = tokenizer
        self.system = system
        self.prefix = tuple(prefix)
        tokens = {str(token) for token in tokenizer.added_tokens_decoder.values()} | set(
            tokenizer.all_special_tokens
        )
        longest_first = sorted((token for token in tokens if token.strip()), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        head = self._render([*self._opening(()), {"role": "user", "content": _USER}], True)
        talk = [
            {"role": "user", "content": _USER},
            {"role": "assistant", "content": _SAID},
            {"role": "user", "content": _NEXT},
        ]
        between = self._render([*self._opening(()), *talk], True)
        try:
            self._pieces = _Pieces(
                after_said=between[between.index(_SAID) + len(_SAID) : between.index(_NEXT)],
                after_user=head[head.index(_USER) + len(_USER) :],
            )
        except ValueError as error:
            raise InputError("This model's chat template drops messages; it cannot be used.") from error

    def _opening(self, prefix: Sequence[Message]) -> list[dict[str, str]]:
        return [{"role": "system", "content": self.system}, *({**message} for message in prefix)]

    def _render(self, messages: list[dict[str, str]], generate: bool) -> str:
        try:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=generate
            )
        except Exception:
            # Some families know no system role: its text goes before the first user message.
            first = {"role": "user", "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
            try:
                text = self.tokenizer.apply_chat_template(
                    [first, *messages[2:]], tokenize=False, add_generation_prompt=generate
                )
            except Exception as error:
                raise InputError(f"This model's chat template cannot be rendered: {error}") from error
        return str(text)

    def clean(self, text: str) -> str:
        """Text from a page or a person, with the model's control tokens broken up."""
        if self._special is None:
            return text
        return self._special.sub(lambda match: f"{match[0][:1]} {match[0][1:]}", text)

    def shared_tokens(self) -> list[int]:
        """Everything before the task's own text: the same for all episodes of this prompt."""
        return self._encode(self._shared_text())

    def first_tokens(self, text: str) -> list[int]:
        """The first user message and the cue for the assistant, to follow :meth:`shared_tokens`."""
        return self._encode(self.clean(text)) + self._encode(self._pieces.after_user)

    def next_tokens(self, text: str) -> list[int]:
        """The end of the assistant's turn, the next user message, and the cue for the assistant."""
        return (
            self._encode(self._pieces.after_said)
            + self._encode(self.clean(text))
            + self._encode(self._pieces.after_user)
        )

    def added_to_first(self, first: Sequence[int], text: str) -> list[int]:
        """What :meth:`first_tokens` gave, with a text added at the end of the message."""
        cue = self._encode(self._pieces.after_user)
        return [*first[: len(first) - len(cue)], *self._encode(self.clean(text)), *cue]

    def turns(self, tokens: Sequence[int]) -> list[tuple[bool, str]]:
        """A conversation read back, for people: whether the model said it, and the text.

        Args:
            tokens: As they were fed and sampled, :meth:`shared_tokens` first.
        """
        text = str(
            self.tokenizer.decode(list(tokens)[len(self.shared_tokens()) :], skip_special_tokens=False)
        )
        found: list[tuple[bool, str]] = []
        while text:
            told, _, text = text.partition(self._pieces.after_user)
            said, _, text = text.partition(self._pieces.after_said)
            found += [(False, told.strip("\n"))] + ([(True, said.rstrip("\n"))] if said else [])
        return found

    def _shared_text(self) -> str:
        prefix = [{**message, "content": self.clean(message["content"])} for message in self.prefix]
        whole = self._render([*self._opening(prefix), {"role": "user", "content": _USER}], True)
        return whole[: whole.index(_USER)]

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False)) if text else []
