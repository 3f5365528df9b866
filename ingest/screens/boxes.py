"""What is drawn on a screen besides text: evenly filled rectangles, as fields and buttons are.

A region is a connected set of pixels that hardly differ from their neighbours. Text on it makes
holes in it; a control is a region that is a rectangle once its holes are filled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.int16]

# Neighbours that differ by less are one surface; a white card on a light grey page differs by 6.
STEP = 5
MIN_SIDE = 9
MAX_REGIONS = 4000
SMALL = (9, 28)
CONTROL_HEIGHT = (18, 66)
# Regions that nearly touch are cells or stripes of a table.
TOUCH = 4


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels, right and bottom excluded."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def area(self) -> int:
        return self.width * self.height

    def holds(self, x: float, y: float, margin: float = 0) -> bool:
        """Whether a point is inside, or within ``margin`` pixels of it."""
        return self.left - margin <= x < self.right + margin and self.top - margin <= y < self.bottom + margin

    def around(self, other: Box) -> Box:
        """The smallest box around both."""
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def shared(self, other: Box) -> int:
        """The area that both cover."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0, wide) * max(0, high)

    def rows_shared(self, other: Box) -> int:
        """How many rows of pixels both have."""
        return max(0, min(self.bottom, other.bottom) - max(self.top, other.top))


@dataclass(frozen=True)
class Patch:
    """An evenly filled rectangle.

    Attributes:
        colour: Its fill, as red, green, blue.
        full: Share of its box that it covers with its holes filled; a circle covers 0.79.
        marked: Share of its box that is not fill: text, a tick, an arrow.
    """

    box: Box
    colour: tuple[int, int, int]
    full: float
    marked: float

    @property
    def dark(self) -> bool:
        """Whether light text stands on it."""
        return luminance(self.colour) < 140

    @property
    def coloured(self) -> bool:
        return max(self.colour) - min(self.colour) > 40


def luminance(colour: tuple[int, int, int]) -> float:
    """Perceived brightness, 0 to 255 (ITU-R BT.601)."""
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue


def find_patches(pixels: Pixels) -> list[Patch]:
    """All evenly filled rectangles of a picture (height, width, 3), in page order."""
    import numpy as np
    from scipy import ndimage

    flat = np.zeros(pixels.shape[:2], dtype=bool)
    right = np.abs(np.diff(pixels, axis=1)).max(axis=2) <= STEP
    below = np.abs(np.diff(pixels, axis=0)).max(axis=2) <= STEP
    flat[:-1, :-1] = right[:-1, :] & below[:, :-1]
    labels, count = ndimage.label(flat)
    if not count:
        return []
    sizes = np.bincount(labels.ravel())
    found = []
    order = sorted(range(1, count + 1), key=lambda label: -int(sizes[label]))[:MAX_REGIONS]
    slices = ndimage.find_objects(labels)
    for label in order:
        at: tuple[slice, slice] = slices[label - 1]
        high, wide = at[0].stop - at[0].start, at[1].stop - at[1].start
        if min(high, wide) < MIN_SIDE or sizes[label] < 0.2 * high * wide:
            continue
        found.append(_patch(pixels, labels[at] == label, at))
    return sorted(found, key=lambda patch: (patch.box.top, patch.box.left))


def _patch(pixels: Pixels, mask: Any, at: tuple[slice, slice]) -> Patch:
    import numpy as np
    from scipy import ndimage

    filled = ndimage.binary_fill_holes(mask)
    colour = np.median(pixels[at][mask], axis=0)
    high, wide = mask.shape
    # The pixel before an edge is never flat, so a region is one pixel less wide and high than it looks.
    box = Box(at[1].start, at[0].start, at[1].stop + 1, at[0].stop + 1)
    return Patch(
        box,
        (int(colour[0]), int(colour[1]), int(colour[2])),
        float(filled.sum()) / (high * wide),
        float(filled.sum() - mask.sum()) / max(1.0, float(filled.sum())),
    )


def controls(patches: list[Patch], width: int) -> list[Patch]:
    """The rectangles that can be fields, buttons or check boxes: not bars, cards, cells or stripes."""
    sized = [patch for patch in patches if _sized(patch, width)]
    bars = [patch for patch in patches if patch.full > 0.75]
    return [patch for patch in sized if not _cell(patch, bars)]


def _sized(patch: Patch, width: int) -> bool:
    box = patch.box
    if patch.full < 0.72 or (box.left <= 1 and box.right >= width - 1):
        return False
    if _small(box):
        return True
    if patch.full < 0.85 or box.width < 24:
        return False
    return CONTROL_HEIGHT[0] <= box.height <= CONTROL_HEIGHT[1] or (
        box.height <= 320 and box.width >= 120 and not patch.dark and patch.marked < 0.25
    )


def _small(box: Box) -> bool:
    sides = (box.width, box.height)
    return all(SMALL[0] <= side <= SMALL[1] for side in sides) and abs(box.width - box.height) <= 4


def is_small(patch: Patch) -> bool:
    """Whether it is as small and square as a check box."""
    return _small(patch.box)


def _cell(patch: Patch, others: list[Patch]) -> bool:
    """Whether equal rectangles touch it above or below: a cell or a stripe of a table."""
    box = patch.box
    if is_small(patch):
        return False
    for other in others:
        if (
            other is patch
            or abs(other.box.left - box.left) > TOUCH
            or abs(other.box.right - box.right) > TOUCH
        ):
            continue
        if min(abs(other.box.top - box.bottom), abs(box.top - other.box.bottom)) <= TOUCH:
            return True
    return False
