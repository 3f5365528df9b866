"""Texts put together: what was known, converted or not, with words of the expert's between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from envgen.expressions import Constant, Convert, Expression, Joined, Keep
from envgen.values import CONVERSIONS, convert

_SHORTEST = 2
_MOST_COVERS = 400
# So many different texts are not put together alike by accident.
_GROUP = 3
# Nor are fewer in which so many characters are what was known.
_TELLING = 12
_Source = tuple[Expression, Sequence[str | None]]
_Pieces = Mapping[Expression, Sequence[str | None]]
_Span = tuple[int, int, Expression]


def joined(outputs: Sequence[str], sources: Sequence[_Source]) -> Iterator[tuple[Joined, list[str | None]]]:
    """Texts put together that are right for all outputs, or for some of them; each output by one at most.

    Args:
        sources: What was known, with what it is in every example.
    """
    left = [index for index, text in enumerate(outputs) if len(text) > _SHORTEST]
    pieces = dict(_pieces(outputs, left, sources)) if len(left) >= _GROUP else {}
    while pieces and left:
        best: tuple[tuple[int, int], Joined, list[str | None]] | None = None
        for whole, covered in _ways(outputs[left[0]], left[0], pieces):
            texts = [_put_together(whole, pieces, index) for index in range(len(outputs))]
            right = [index for index in left if texts[index] == outputs[index]]
            rank = (len(right), covered)
            different = len({outputs[index] for index in right})
            believed = different >= _GROUP or different * covered >= _TELLING
            if believed and (best is None or rank > best[0]):
                best = rank, whole, texts
        if best is None:
            del left[0]
            continue
        _, whole, texts = best
        yield whole, texts
        left = [index for index in left if texts[index] != outputs[index]]


def _pieces(outputs: Sequence[str], among: Sequence[int], sources: Sequence[_Source]) -> Iterator[_Source]:
    """Sources, as they are or converted, that stand in several outputs; each text once."""
    seen: set[tuple[str | None, ...]] = set()
    plain = [source for source in sources if not isinstance(source[0], Constant | Keep)]
    for how in (None, *CONVERSIONS):
        for atom, values in plain:
            texts = [value if not value or how is None else convert(how, value) for value in values]
            if tuple(texts) in seen or len(set(texts)) < 2:
                continue
            seen.add(tuple(texts))
            if sum(bool(places(texts[index] or "", outputs[index])) for index in among) >= _GROUP:
                yield (atom if how is None else Convert(how=how, of=atom)), texts


def _ways(text: str, index: int, pieces: _Pieces) -> Iterator[tuple[Joined, int]]:
    """Ways to put a text together from pieces and words, with how much of it the pieces are."""
    spans = [
        (start, start + len(own), piece)
        for piece, texts in pieces.items()
        if (own := texts[index])
        for start in places(own, text)
    ]
    spans.sort(key=lambda span: (span[0], -span[1]))
    for cover in _covers(spans):
        parts: list[Expression] = []
        end = 0
        for start, stop, piece in cover:
            parts += [Constant(text=text[end:start])] if start > end else []
            parts.append(piece)
            end = stop
        parts += [Constant(text=text[end:])] if end < len(text) else []
        if len(parts) > 1:
            yield Joined(parts=tuple(parts)), sum(stop - start for start, stop, _ in cover)


def _put_together(whole: Joined, pieces: _Pieces, index: int) -> str | None:
    texts = [part.text if isinstance(part, Constant) else pieces[part][index] for part in whole.parts]
    return None if None in texts else "".join(text or "" for text in texts)


def places(text: str, within: str) -> list[int]:
    """Where a text stands in another as words or numbers of their own."""
    short = len(text) < _SHORTEST
    if short and not text.isdigit():
        return []
    found = []
    start = within.find(text)
    while start >= 0:
        end = start + len(text)
        # A single digit is a number only where no letter stands beside it.
        beside = within[max(start - 1, 0) : start] + within[end : end + 1]
        if _apart(within, start) and _apart(within, end) and not (short and any(map(str.isalnum, beside))):
            found.append(start)
        start = within.find(text, start + 1)
    return found


def _apart(text: str, at: int) -> bool:
    """Whether a word or a number begins or ends at a place."""
    if at in (0, len(text)):
        return True
    before, after = text[at - 1], text[at]
    return not (before.isalpha() and after.isalpha()) and not (before.isdigit() and after.isdigit())


def _covers(spans: Sequence[_Span]) -> list[tuple[_Span, ...]]:
    """Ways to lay spans beside each other, at most :data:`_MOST_COVERS`."""
    found: list[tuple[_Span, ...]] = []

    def lay(cover: tuple[_Span, ...], at: int) -> None:
        if cover:
            found.append(cover)
        for index in range(at, len(spans)):
            if len(found) >= _MOST_COVERS:
                return
            if not cover or spans[index][0] >= cover[-1][1]:
                lay((*cover, spans[index]), index + 1)

    lay((), 0)
    return found
