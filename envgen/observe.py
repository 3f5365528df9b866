"""What an agent is told about a page: only what can be read or acted on, and only once.

A page is written one line per readable or usable thing::

    # Invoice INV-4821
    Vendor: Harbor Paper
    link "INV-4821" | Harbor Paper | 4,120.00
    textbox "Cost center": CC-100
    combobox "Terms": Net 30 (Net 30, Net 60)
    button "Submit"

While the agent stays on a page only the lines that were not on the screen just
before are told, so that a long form is read once and an error message stands
out. On another page a fresh text begins that stands alone: the page without
the frame that every page has, and before it the facts read on earlier pages
(those that the work needs later on, where that is known). An agent may
therefore forget everything before a fresh text, which keeps its context short
however long the work is.
"""

from __future__ import annotations

from dataclasses import dataclass

from ingest.action import CLICKABLE_ROLES, FILLABLE_ROLES, SELECTABLE_ROLES
from ingest.snapshot import Node

_ROW_ROLES = frozenset({"row", "listitem"})
_FIELD_ROLES = FILLABLE_ROLES | SELECTABLE_ROLES | CLICKABLE_ROLES
# Landmarks that frame every page (WAI-ARIA 1.2, section 5.3.4).
_FRAME_ROLES = frozenset({"banner", "navigation", "contentinfo"})
_TOLD_STATES = ("disabled", "checked", "expanded", "required", "invalid")
# A long list of options is told by its length, as on a screen where the list is closed.
_OPTIONS_TOLD = 5
# Fewer new lines than this are an answer on the way, not another page.
_FRESH_LINES = 3
_PAGES_REMEMBERED = 3
# Told nodes kept, so that a page told again costs little.
_KEPT = 8192


@dataclass(frozen=True, slots=True)
class Line:
    """One line told of a page. ``fact``: a label with its value; ``frame``: of the page's frame."""

    text: str
    fact: bool = False
    frame: bool = False


Known = dict[int, tuple[Node, "Line | None"]]
"""A node by its ``id()``, and the one line that tells it; the node is held, so that the id stays its own."""


class Screen:
    """A page as it is told: its lines, and what is asked of them again and again.

    Args:
        known: Lines of nodes that were told before, by ``id()``; kept by whoever keeps the nodes.
    """

    __slots__ = ("heading", "lines", "texts")

    def __init__(self, page: Node, known: Known | None = None) -> None:
        self.lines = page_lines(page, known)
        self.texts = frozenset(line.text for line in self.lines)
        self.heading = next((line.text for line in self.lines if line.text.startswith("# ")), "")


class Observer:
    """Turns the pages of one episode into what the agent is told. One per episode.

    Args:
        remembered: Labels of the facts told again on later pages; None is all of them.

    Attributes:
        fresh: Whether the last text stands alone.
    """

    def __init__(self, remembered: frozenset[str] | None = None) -> None:
        self.remembered = remembered
        self.fresh = True
        self._shown = Screen(Node("document"))
        self._frame: frozenset[str] = frozenset()
        self._seen: dict[str, str] = {}

    def clone(self) -> Observer:
        """An independent copy, for a copy of the episode."""
        other = Observer(self.remembered)
        other.fresh, other._shown = self.fresh, self._shown
        other._frame, other._seen = self._frame, dict(self._seen)
        return other

    def first(self, page: Node | Screen) -> str:
        """The whole page, for the beginning of an episode."""
        self.fresh = True
        self._shown = page if isinstance(page, Screen) else Screen(page)
        self._frame = frozenset(line.text for line in self._shown.lines if line.frame)
        return "\n".join(line.text for line in self._shown.lines)

    def next(self, page: Node | Screen, *, acted_on: tuple[str, str] | None = None, message: str = "") -> str:
        """What is new since the last call; empty when only the field acted on changed.

        Args:
            acted_on: Role and name of the field whose value the agent just set:
                its line is what the agent already knows.
            message: What the session has to say about the action, told first.
        """
        shown = self._shown
        self._shown = now = page if isinstance(page, Screen) else Screen(page)
        before = shown.texts
        new = [line.text for line in now.lines if line.text not in before]
        if acted_on is not None and new:
            head = _head(*acted_on)
            new = [text for text in new if not text.startswith(head)]
        self.fresh = acted_on is None and not message and _another_page(shown, now, len(new))
        if self.fresh:
            self._remember(shown)
            told = [line.text for line in now.lines if not (line.frame and line.text in self._frame)]
            self._frame |= {line.text for line in now.lines if line.frame}
            new = [facts for heading, facts in self._seen.items() if heading != now.heading] + told
        return "\n".join(([message] if message else []) + new)

    def _remember(self, page: Screen) -> None:
        facts = [line.text for line in page.lines if line.fact and self._worth_it(line.text)]
        if not facts:
            return
        heading = page.heading
        self._seen.pop(heading, None)
        self._seen[heading] = f"Seen on {heading.removeprefix('# ') or 'a page'}: " + "; ".join(facts)
        while len(self._seen) > _PAGES_REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def _worth_it(self, fact: str) -> bool:
        return self.remembered is None or fact.partition(": ")[0] in self.remembered


def _another_page(before: Screen, now: Screen, new: int) -> bool:
    if new < _FRESH_LINES:
        return False
    if before.heading and now.heading:
        return before.heading != now.heading
    return 2 * new > len(now.lines)


def lines(page: Node) -> list[str]:
    """A page as the lines an agent reads, in page order."""
    return [line.text for line in page_lines(page)]


def page_lines(page: Node, known: Known | None = None) -> list[Line]:
    """A page as lines with what they are, in page order."""
    found: list[Line] = []
    _collect(page, found, False, known)
    return found


def _collect(node: Node, out: list[Line], frame: bool, known: Known | None) -> None:
    role = node.role
    if (role in _ROW_ROLES and node.children) or role == "heading" or role in _FIELD_ROLES:
        line = _single(node, frame, known)
        if line is not None:
            out.append(line)
        return
    frame = frame or role in _FRAME_ROLES
    if role in ("term", "rowheader") and not node.children:
        out.append(Line((node.name or node.value or "") + ":", frame=frame))
        return
    if role == "definition" and out and out[-1].text.endswith(":") and not _has_field(node):
        out[-1] = Line(f"{out[-1].text} {node.text()}", fact=True, frame=frame)
        return
    if role in ("alert", "status", "dialog", "alertdialog") and not _has_field(node):
        out.append(Line(f"! {node.text()}", frame=frame))
        return
    if not node.children:
        text = node.value if role == "text" else " ".join(filter(None, (node.name, node.value)))
        if text:
            out.append(Line(text, frame=frame))
        return
    for child in node.children:
        _collect(child, out, frame, known)


def _single(node: Node, frame: bool, known: Known | None) -> Line | None:
    """The line of a node that is told by one, None when it says nothing."""
    kept = None if known is None else known.get(id(node))
    if kept is not None and (kept[1] is None or kept[1].frame == frame):
        return kept[1]
    line: Line | None
    if node.role == "heading":
        line = Line(f"# {node.name or node.text()}", frame=frame)
    elif node.role in _FIELD_ROLES:
        line = Line(field(node), frame=frame)
    else:
        cells = [cell for cell in (_row_part(child) for child in node.children) if cell]
        line = Line(" | ".join(cells), frame=frame) if cells else None
    if known is not None:
        if len(known) > _KEPT:
            known.clear()
        known[id(node)] = (node, line)
    return line


def _row_part(node: Node) -> str:
    if _has_field(node):
        parts = [field(child) for child in node.walk() if child.role in _FIELD_ROLES]
        return " ".join(parts)
    return node.text()


def _has_field(node: Node) -> bool:
    return any(child.role in _FIELD_ROLES for child in node.walk())


def _head(role: str, name: str) -> str:
    return f'{role} "{name}"'


def field(node: Node) -> str:
    """One usable element: role, name, states, value, and the options of a select."""
    text = _head(node.role, node.name)
    for state in _TOLD_STATES:
        if node.state(state) is not None:
            text += f" [{state}]"
    if node.role in SELECTABLE_ROLES:
        options = [option for option in node.walk() if option.role == "option"]
        chosen = node.value or next((o.name for o in options if o.state("selected") is not None), "")
        names = [option.name for option in options]
        told = ", ".join(names) if len(names) <= _OPTIONS_TOLD else f"{len(names)} options"
        return f"{text}: {chosen} ({told})"
    if node.value:
        return f"{text}: {node.value}"
    return text
