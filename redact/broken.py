"""Values broken over neighbouring nodes of a page: "Mar" in bold, then "guerite Okonjo"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ingest.snapshot import Node
from redact.corpus import Context, Visitor

# Marks in running text. A link, a button or a cell is a thing of its own and keeps its name.
_INLINE = frozenset(
    [
        "text",
        "strong",
        "emphasis",
        "mark",
        "code",
        "insertion",
        "deletion",
        "subscript",
        "superscript",
        "generic",
    ]
)
_JOINED = Context("joined")
_NODES = 4
_LENGTH = 200


def mended(children: Sequence[Node], visitor: Visitor) -> tuple[Node, ...]:
    """The children; what stands across the borders of some of them is replaced, in the first of them.

    The visitor is shown the pieces joined by a blank: what it looks for, it finds
    whatever stands between the letters.
    """
    out = list(children)
    first = 0
    while first < len(out):
        last = first
        while last < len(out) and last - first < _NODES and _text(out[last]):
            last += 1
        pieces = [_text(node) for node in out[first:last]]
        if len(pieces) > 1 and sum(map(len, pieces)) <= _LENGTH:
            new = _across(pieces, visitor)
            for offset, piece in enumerate(new):
                if piece != pieces[offset]:
                    out[first + offset] = _with_text(out[first + offset], piece)
        first += 1
    return tuple(out)


def _across(pieces: list[str], visitor: Visitor) -> list[str]:
    joined = " ".join(pieces)
    borders = [0]
    for piece in pieces:
        borders.append(borders[-1] + len(piece) + 1)
    new = list(pieces)
    # From the end, so that the offsets before stay right.
    for start, end, made in reversed(visitor.edits(joined, _JOINED)):
        touched = [i for i, left in enumerate(borders[:-1]) if start < left + len(pieces[i]) and left < end]
        if len(touched) < 2:
            continue  # within one node: found there as well
        for i in reversed(touched):
            left = borders[i]
            begin, stop = max(start - left, 0), min(end - left, len(pieces[i]))
            new[i] = new[i][:begin] + (made if i == touched[0] else "") + new[i][stop:]
    return new


def _text(node: Node) -> str:
    if node.role not in _INLINE or node.children or (node.name and node.value):
        return ""
    return node.value or node.name


def _with_text(node: Node, text: str) -> Node:
    return replace(node, value=text) if node.value else replace(node, name=text)
