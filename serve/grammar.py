"""Constrained decoding: at every token, only what continues an action the page offers.

The action lines of a page become a trie of tokens. Where it has one branch the
token is forced and costs no sampling; where it has several, the model chooses
among exactly those. After ``fill …:`` free text runs to the end of the line.
Lines are tokenised once and cached; what was sampled is never tokenised again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from envgen.choices import Choice, choices
from fde.errors import InputError
from ingest.snapshot import Node

if TYPE_CHECKING:
    from torch import Tensor

MAX_TEXT_TOKENS = 48
_KEPT_LINES = 50_000
_KEPT_PAGES = 2_000


@dataclass(slots=True)
class TrieNode:
    """A point in an action line.

    Attributes:
        children: Token that may come next -> the point after it.
        text: Whether free text begins here (then ``children`` is empty).
        end: Whether the line ends here (its newline was the last token).
    """

    children: dict[int, TrieNode] = field(default_factory=dict)
    text: bool = False
    end: bool = False


class Grammar:
    """The action lines of pages as tries of one tokenizer's tokens."""

    def __init__(self, tokenizer: Any, vocabulary: int | None = None) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = vocabulary or len(tokenizer)
        self._lines: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._pages: OrderedDict[tuple[Choice, ...], TrieNode] = OrderedDict()
        self._free: Tensor | None = None
        newline = self._encode("a\n")[-1:]
        if not newline or tokenizer.decode(newline) != "\n":
            raise InputError(
                "This model's tokenizer has no token for the end of a line, which ends every action.",
                "Choose another base model.",
            )
        self.newline: int = newline[0]

    def trie(self, page: Node) -> TrieNode:
        """The point at the beginning of an action line on this page."""
        return self.trie_of(choices(page))

    def trie_of(self, offered: Sequence[Choice]) -> TrieNode:
        """The same for given action lines."""
        key = tuple(offered)
        root = self._pages.get(key)
        if root is None:
            root = TrieNode()
            for choice in key:
                self._add(root, choice)
            self._pages[key] = root
            if len(self._pages) > _KEPT_PAGES:
                self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(key)
        return root

    def _add(self, root: TrieNode, choice: Choice) -> None:
        node = root
        for token in self.line_tokens(choice.text):
            node = node.children.setdefault(token, TrieNode())
        if choice.open:
            node.text = True
        else:
            node.children.setdefault(self.newline, TrieNode(end=True))

    def line_tokens(self, text: str) -> tuple[int, ...]:
        """The canonical tokens of an action line, or of a part of one, without its newline."""
        tokens = self._lines.get(text)
        if tokens is None:
            tokens = tuple(self._encode(text))
            self._lines[text] = tokens
            if len(self._lines) > _KEPT_LINES:
                self._lines.popitem(last=False)
        return tokens

    def _encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def split_line(self, page: Node, line: str) -> tuple[int, ...] | None:
        """The canonical tokens (newline included) of a whole line, if the page offers it.

        For an open choice the value is tokenised on its own, as it is when it is sampled.
        """
        for choice in choices(page):
            if not choice.open and choice.text == line:
                return (*self.line_tokens(line), self.newline)
            if choice.open and line.startswith(choice.text):
                value = line[len(choice.text) :]
                return (*self.line_tokens(choice.text), *self.line_tokens(value), self.newline)
        return None

    def with_line(self, page: Node, line: str) -> tuple[TrieNode, tuple[int, ...]]:
        """A trie that also offers ``line``, and the line's tokens: for demonstrations.

        What an expert did is possible, even where the page as recorded does not show how.
        """
        tokens = self.split_line(page, line)
        if tokens is not None:
            return self.trie(page), tokens
        root = self.trie_of((*choices(page), Choice(line)))
        return root, (*self.line_tokens(line), self.newline)

    def free_tokens(self) -> Tensor:
        """Tokens of free text as booleans ``[vocabulary]``: no special ones, one newline only."""
        import torch

        if self._free is None:
            mask = torch.zeros(self.vocabulary, dtype=torch.bool)
            size = min(len(self.tokenizer), self.vocabulary)
            texts = self.tokenizer.batch_decode([[token] for token in range(size)])
            special = set(self.tokenizer.all_special_ids) | set(self.tokenizer.added_tokens_decoder)
            for token, text in enumerate(texts):
                mask[token] = bool(text) and token not in special and not ({"\n", "\r"} & set(text))
            mask[self.newline] = True
            self._free = mask
        return self._free


class Cursor:
    """Where a line being decoded stands. Cheap to copy: branches of a group share the trie."""

    __slots__ = ("grammar", "node", "text_tokens", "tokens")

    def __init__(self, grammar: Grammar, root: TrieNode) -> None:
        self.grammar = grammar
        self.node = root
        self.text_tokens = 0
        self.tokens: list[int] = []

    def copy(self) -> Cursor:
        twin = Cursor(self.grammar, self.node)
        twin.text_tokens = self.text_tokens
        twin.tokens = list(self.tokens)
        return twin

    @property
    def finished(self) -> bool:
        """The line is complete, newline included."""
        return self.node.end

    @property
    def free(self) -> bool:
        """The next token is free text: any of :meth:`Grammar.free_tokens`."""
        return self.node.text and self.text_tokens < MAX_TEXT_TOKENS

    def allowed(self) -> tuple[int, ...]:
        """The tokens that may come next, in trie order; empty for free text."""
        if self.node.text:
            return () if self.free else (self.grammar.newline,)
        return tuple(self.node.children)

    def forced(self) -> list[int]:
        """Take every token that is not a choice, and return them."""
        taken = []
        while not self.finished and not self.free and len(allowed := self.allowed()) == 1:
            self.take(allowed[0])
            taken.append(allowed[0])
        return taken

    def take(self, token: int) -> None:
        """Go on by one token, which must be allowed."""
        if self.node.text:
            self.text_tokens += 1
            if token == self.grammar.newline:
                self.node = TrieNode(end=True)
        else:
            self.node = self.node.children[token]
        self.tokens.append(token)

    def line(self) -> str:
        """The finished line as text, without its newline."""
        text: str = self.grammar.tokenizer.decode(self.tokens, skip_special_tokens=False)
        return text.removesuffix("\n")
