"""Values broken over neighbouring nodes of a page: "Mar" in bold, then "guerite Okonjo"."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from ingest.snapshot import Node
from redact.corpus import Context, Edit, Visitor

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
            # What lies within one node is found there as well.
            across = [e for e in _apart(pieces, visitor) if len(_touched(pieces, e)) > 1]
            for offset, piece in enumerate(_applied(pieces, across)):
                if piece != pieces[offset]:
                    out[first + offset] = _with_text(out[first + offset], piece)
        first += 1
    return tuple(out)


def rewritten(pieces: Sequence[str], context: Context, visitor: Visitor) -> list[str]:
    """Texts of nodes that run on without a break, rewritten: as they read together, then each alone.

    A stand-in of what is broken over several of them stands in the first.
    """
    filled = [i for i, piece in enumerate(pieces) if piece.strip()]
    if len(filled) == 1:
        new, body = list(pieces), pieces[filled[0]].strip()
        new[filled[0]] = new[filled[0]].replace(body, visitor.text(body, context), 1)
        return new
    edits = _shifted(visitor, "".join(pieces), context, 0)
    starts = [0, *accumulate(map(len, pieces))]
    if any(_tight(pieces, a, b) for a, b in pairwise(filled)):
        # Run together, "INV-4821" and "Maria" are one word: they are looked at apart as well.
        for i in filled:
            _further(edits, _shifted(visitor, pieces[i], context, starts[i]))
        for first in range(len(filled) - 1):
            part = filled[first : first + _NODES]
            shown = [pieces[i] for i in range(part[0], part[-1] + 1)]
            if sum(map(len, shown)) <= _LENGTH:
                found = _apart(shown, visitor)
                _further(edits, [(a + starts[part[0]], b + starts[part[0]], new) for a, b, new in found])
    return _applied(pieces, sorted(edits))


def _tight(pieces: Sequence[str], one: int, other: int) -> bool:
    """Whether no blank stands between the end of a piece and the beginning of a later one."""
    between = pieces[one][-1] + "".join(pieces[one + 1 : other]) + pieces[other][0]
    return not any(map(str.isspace, between))


def _shifted(visitor: Visitor, text: str, context: Context, offset: int) -> list[Edit]:
    """Edits of a text, shown to the visitor without the blanks around it."""
    lead = offset + len(text) - len(text.lstrip())
    return [(a + lead, b + lead, new) for a, b, new in visitor.edits(text.strip(), context)]


def _apart(pieces: Sequence[str], visitor: Visitor) -> list[Edit]:
    """Edits of pieces joined by blanks, as offsets in the pieces joined by nothing."""
    starts = [0, *accumulate(len(piece) + 1 for piece in pieces)]

    def at(offset: int) -> int:
        index = min(bisect_right(starts, offset), len(pieces)) - 1
        return min(offset, starts[index] + len(pieces[index])) - index

    return [(at(a), at(b - 1) + 1, new) for a, b, new in visitor.edits(" ".join(pieces), _JOINED)]


def _further(edits: list[Edit], new: Sequence[Edit]) -> None:
    """Add edits that overlap none made before."""
    for start, end, made in new:
        if all(end <= a or start >= b for a, b, _ in edits):
            edits.append((start, end, made))


def _touched(pieces: Sequence[str], edit: Edit) -> list[int]:
    """The pieces of which an edit takes something."""
    starts = [0, *accumulate(map(len, pieces))]
    return [i for i, piece in enumerate(pieces) if edit[0] < starts[i] + len(piece) and starts[i] < edit[1]]


def _applied(pieces: Sequence[str], edits: Sequence[Edit]) -> list[str]:
    """The pieces with edits made, in order and apart; offsets count in the pieces joined by nothing."""
    starts = [0, *accumulate(map(len, pieces))]
    new = list(pieces)
    # From the end, so that the offsets before stay right.
    for start, end, made in reversed(edits):
        touched = _touched(pieces, (start, end, made))
        for i in reversed(touched):
            begin, stop = max(start - starts[i], 0), min(end - starts[i], len(pieces[i]))
            new[i] = new[i][:begin] + (made if i == touched[0] else "") + new[i][stop:]
    return new


def _text(node: Node) -> str:
    if node.role not in _INLINE or node.children or (node.name and node.value):
        return ""
    return node.value or node.name


def _with_text(node: Node, text: str) -> Node:
    return replace(node, value=text) if node.value else replace(node, name=text)
