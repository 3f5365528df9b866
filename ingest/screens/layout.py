"""A picture of a screen as a page: words and rectangles become fields, buttons, links and rows.

What a person sees decides: an empty or left-aligned rectangle beside a label is a field, one with
text in its middle a button, coloured text a link, large text a heading, texts in columns rows.
The result has the form of every snapshot, and every node the place where it was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from ingest.ocr import Word
from ingest.screens.boxes import Box, Patch, controls, is_small, luminance
from ingest.screens.page import Item, Screen, arranged
from ingest.snapshot import Node

if TYPE_CHECKING:
    pass

FIELD_ROLES = frozenset({"textbox", "searchbox", "combobox"})
HEADING = 1.3
LABEL_ABOVE = 34
LABEL_LEFT = 260
ARROW_ZONE = 40
_SEARCHING = ("search", "find", "go", "filter", "suche", "suchen", "buscar", "rechercher")


@dataclass(frozen=True)
class _Text:
    """Words that stand together on one line."""

    text: str
    box: Box
    colour: tuple[int, int, int]
    size: float

    @property
    def linked(self) -> bool:
        red, green, blue = self.colour
        return max(green, blue) - red > 50  # blue or green: red is for errors


@dataclass
class _Run:
    """Words on their way to a text; ``home`` is the control they stand in, -1 for none."""

    words: list[str]
    box: Box
    home: int


def lay_out(words: list[Word], patches: list[Patch], pixels: Any) -> Screen:
    """The page that words and rectangles of a picture (height, width, 3) make."""
    boxes = _outermost(controls(patches, pixels.shape[1]))
    texts = _texts(words, boxes, pixels)
    usual = median([text.size for text in texts]) if texts else 12
    items: list[Item] = []
    used: set[int] = set()
    labels = [text for text in texts if text.size < HEADING * usual]
    for patch in boxes:
        inside = [text for text in texts if text.box.shared(patch.box) > 0.6 * text.box.area]
        item = _control(patch, inside, labels, pixels)
        if item is None:
            continue
        items.append(item)
        used.update(id(text) for text in inside)
        used.update(
            id(text)
            for text in texts
            if item.node.role in FIELD_ROLES | {"checkbox", "radio"}
            and text.text == item.node.name
            and text not in inside
        )
    items = _named_by_neighbours(items)
    for text in texts:
        if id(text) not in used:
            items.append(_plain(text, usual))
    return arranged(items)


def _outermost(patches: list[Patch]) -> list[Patch]:
    """Without what is drawn inside another control (the inner edge of a field, a tick)."""
    kept: list[Patch] = []
    for patch in sorted(patches, key=lambda patch: -patch.box.area):
        if not any(other.box.shared(patch.box) > 0.8 * patch.box.area for other in kept):
            kept.append(patch)
    return sorted(kept, key=lambda patch: (patch.box.top, patch.box.left))


def _texts(words: list[Word], boxes: list[Patch], pixels: Any) -> list[_Text]:
    """Words joined where they stand close on one line, and in the same control."""
    made: list[_Run] = []
    for word in sorted(words, key=lambda word: (word.left, word.top)):
        box = Box(int(word.left), int(word.top), int(word.right) + 1, int(word.bottom) + 1)
        home = _home(box, boxes)
        for run in made:
            close = box.left - run.box.right <= 0.75 * max(run.box.height, box.height, 10)
            level = run.box.rows_shared(box) >= 0.5 * min(run.box.height, box.height)
            if close and level and run.home == home:
                run.words.append(word.text)
                run.box = run.box.around(box)
                break
        else:
            made.append(_Run([word.text], box, home))
    found = []
    for run in made:
        text, box = " ".join(run.words).strip(), run.box
        if any(char.isalnum() for char in text) or len(text) > 2:
            found.append(_Text(text, box, _ink(pixels, box), _letters(text, box.height)))
    return sorted(found, key=lambda text: (text.box.top, text.box.left))


def _home(box: Box, boxes: list[Patch]) -> int:
    return next((i for i, patch in enumerate(boxes) if patch.box.shared(box) > 0.6 * box.area), -1)


def _letters(text: str, height: int) -> float:
    """The size of letters, which words without tall or deep ones show only in part."""
    tall = any(char.isupper() or char.isdigit() or char in "bdfhijklt" for char in text)
    deep = any(char in "gjpqy" for char in text)
    return height / ((0.72 if tall else 0.52) + (0.2 if deep else 0.0))


def _ink(pixels: Any, box: Box) -> tuple[int, int, int]:
    """The colour of the letters: what differs most from what there is most of."""
    import numpy as np

    area = pixels[max(0, box.top) : box.bottom, max(0, box.left) : box.right].reshape(-1, 3)
    if not len(area):
        return (0, 0, 0)
    ground = np.median(area, axis=0)
    distance = np.abs(area - ground).sum(axis=1)
    ink = np.median(area[distance >= np.quantile(distance, 0.92)], axis=0)
    return (int(ink[0]), int(ink[1]), int(ink[2]))


def _control(patch: Patch, inside: list[_Text], labels: list[_Text], pixels: Any) -> Item | None:
    """What a rectangle is; None when it is only decoration."""
    box = patch.box
    if is_small(patch):
        return _tick(patch, labels)
    shown = " ".join(text.text for text in inside)
    if _apart(inside):
        return None  # several things in one frame
    if inside and (patch.dark or patch.coloured):
        return Item(Node("button", shown), box)
    if inside and _centred(inside, box) and box.height <= 66:
        return Item(Node("button", shown), box) if box.height >= 26 else None
    if luminance(patch.colour) < 190 or box.width < 40:
        return None
    label = _label(box, labels, inside)
    arrow = box.height <= 66 and _has_arrow(pixels, box, inside)
    if label is None and inside and not arrow and not _whitest(patch):
        return None
    faint = bool(inside) and all(luminance(text.colour) > 110 for text in inside)
    if label is None and faint:
        label, shown = shown, ""
    value = shown if shown and not faint else None
    return Item(Node("combobox" if arrow else "textbox", label or "", value), box)


def _apart(inside: list[_Text]) -> bool:
    """Whether texts on one line stand too far from each other to be one."""
    line = sorted(inside, key=lambda text: text.box.left)
    return any(
        after.box.rows_shared(text.box) and after.box.left - text.box.right > 2.5 * text.box.height
        for text, after in pairwise(line)
    )


def _whitest(patch: Patch) -> bool:
    return min(patch.colour) >= 250


def _centred(inside: list[_Text], box: Box) -> bool:
    whole = inside[0].box
    for text in inside[1:]:
        whole = whole.around(text.box)
    before, after = whole.left - box.left, box.right - whole.right
    return abs(before - after) <= max(6, 0.08 * box.width)


def _tick(patch: Patch, texts: list[_Text]) -> Item | None:
    """A check box or radio button: small and square, with its text to the right."""
    box = patch.box
    beside = [
        text
        for text in texts
        if 0 <= text.box.left - box.right <= 24
        and text.box.rows_shared(box) >= 0.5 * min(text.box.height, box.height)
    ]
    if not beside:
        return None
    text = min(beside, key=lambda text: text.box.left)
    checked = patch.dark or patch.coloured or patch.marked > 0.12
    role = "radio" if patch.full < 0.86 else "checkbox"
    states = (("checked", ""),) if checked else ()
    return Item(Node(role, text.text, states=states), box.around(text.box))


def _has_arrow(pixels: Any, box: Box, inside: list[_Text]) -> bool:
    """Whether something small is drawn at the right end, clear of the text."""
    import numpy as np

    text_end = max((text.box.right for text in inside), default=box.left)
    start = max(box.right - ARROW_ZONE, text_end + 4)
    zone = pixels[box.top + 4 : box.bottom - 4, start : box.right - 4]
    if zone.shape[1] < 8 or zone.shape[0] < 8:
        return False
    marks = np.abs(zone - np.median(zone.reshape(-1, 3), axis=0)).max(axis=2) > 60
    columns, lines = np.flatnonzero(marks.any(axis=0)), np.flatnonzero(marks.any(axis=1))
    if not len(columns):
        return False
    wide, high = int(np.ptp(columns)) + 1, int(np.ptp(lines)) + 1
    return 5 <= wide <= 22 and 3 <= high <= 16


def _label(box: Box, texts: list[_Text], inside: list[_Text]) -> str | None:
    """The text above a field or to its left, whichever is nearer."""
    best: tuple[float, str] | None = None
    for text in texts:
        if text in inside:
            continue
        over, left = box.top - text.box.bottom, box.left - text.box.right
        if -3 <= over <= LABEL_ABOVE and -12 <= text.box.left - box.left <= 24:
            distance = float(over)
        elif -3 <= left <= LABEL_LEFT and text.box.rows_shared(box) >= 0.6 * text.box.height:
            distance = 20 + left / 4
        else:
            continue
        if best is None or distance < best[0]:
            best = (distance, text.text)
    return None if best is None else best[1].rstrip(" :*").strip() or None


def _named_by_neighbours(items: list[Item]) -> list[Item]:
    """A field without a label beside a button is what the button does: a search."""
    made = []
    for item in items:
        if item.node.role == "textbox" and not item.node.name:
            beside = [
                other
                for other in items
                if other.node.role == "button"
                and 0 <= other.box.left - item.box.right <= 40
                and other.box.rows_shared(item.box) >= 0.6 * item.box.height
            ]
            if beside:
                name = beside[0].node.name
                role = "searchbox" if name.lower() in _SEARCHING else "textbox"
                item = replace(item, node=replace(item.node, role=role, name=name))
        made.append(item)
    return made


def _plain(text: _Text, usual: float) -> Item:
    if text.size >= HEADING * usual:
        return Item(Node("heading", text.text), text.box)
    if text.linked:
        return Item(Node("link", text.text), text.box)
    return Item(Node("text", value=text.text), text.box)
