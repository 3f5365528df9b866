"""The HTML of a recorded page: what can be read stays and is visited, everything else is left out.

A page comes from somebody else's application and may be hostile. It is parsed, never searched:
texts and the attributes named here go through the visitor, and the page is written anew from them.
Scripts, styles, comments, frames, what a browser would fetch, payloads and every other attribute
are no text that could be vouched for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cached_property

from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring

from ingest.effects import MASK
from redact.broken import rewritten
from redact.corpus import CONTROL, MAX_STRING, NAME, PROSE, UI, Context, Visitor
from redact.labels import kind_of
from redact.pages import map_json, map_url


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Left out with all that is in them: no text of the page, or text that a browser reads by other rules.
_DROPPED = _words(
    "applet audio base basefont embed frame frameset iframe link listing meta noembed noframes noscript "
    "object param plaintext portal script source style track video xmp"
)
# Marks in running text: what stands in them reads on.
_INLINE = _words(
    "abbr b bdi bdo big br cite code data del dfn em font i ins kbd mark nobr q rp rt ruby s samp small "
    "span strike strong sub sup time tt u var wbr"
)
_ELEMENTS = _INLINE | _words(
    "a address area article aside blockquote body button canvas caption center col colgroup datalist dd "
    "details dialog dir div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 head header "
    "hgroup hr html img input label legend li main map menu meter nav ol optgroup option output p picture "
    "pre progress search section select slot summary svg table tbody td template textarea tfoot th thead "
    "title tr ul"
)
_CONTROLS = _words("button dt label legend optgroup summary th")
_TITLES = _words("a caption h1 h2 h3 h4 h5 h6 title")
_ROLES = {
    **dict.fromkeys(("button", "columnheader", "menuitem", "rowheader", "switch", "tab"), CONTROL),
    **dict.fromkeys(("heading", "link"), UI),
    **dict.fromkeys(("cell", "gridcell"), Context("cell")),
}
# Attributes that stay. Whatever their values, they go through the visitor.
_TEXTS = _words("abbr alt label placeholder summary title")
_ADDRESSES = _words("action cite formaction href")
_REFERENCES = _words(
    "aria-activedescendant aria-controls aria-describedby aria-details aria-errormessage aria-flowto "
    "aria-labelledby aria-owns for form headers id list name"
)
_STATES = _words(
    "autocomplete checked colspan contenteditable datetime dir disabled enctype hidden high inputmode lang "
    "low max maxlength method min minlength multiple open optimum readonly required reversed role rowspan "
    "scope selected shadowrootmode size span start step tabindex target type"
)
_SAFE_ADDRESS = re.compile(r"(?:https?|mailto|tel|sms|ftp):|[^:]*(?:[/?#]|$)", re.IGNORECASE)
_PAYLOAD = re.compile(
    r"data:(?:[\w.+-]+/[\w.+-]+)?(?:;[\w.+=-]+)*,|;base64,|[A-Za-z0-9+/_-]{200}", re.IGNORECASE
)
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_BLANKS = re.compile(r"[ \t\n\r\f]+")
_IDENTIFIER = Context("identifier")
# Elements within each other; what is deeper is no page that a browser shows.
_MAX_DEPTH = 200


def map_markup(data: bytes, visitor: Visitor) -> bytes | None:
    """A page with every text visited, as UTF-8; None where it cannot be read as a whole.

    Args:
        data: The page as UTF-8; what is no UTF-8 is read as unknown characters.
    """
    text = _CONTROL_CHARACTERS.sub("", data.decode("utf-8", "replace"))
    if len(text) > MAX_STRING or not text.strip():
        return None
    parser = HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True)
    try:
        root = document_fromstring(text.encode(), parser=parser)
    except (etree.LxmlError, ValueError):
        return None
    if root.tag != "html" or any(entry.level == etree.ErrorLevels.FATAL for entry in parser.error_log):
        return None
    _prune(root)
    if _depth(root) > _MAX_DEPTH:
        return None
    _Page(root, visitor).visit()
    head = root.find("head")
    if head is None:
        head = root.makeelement("head")
        root.insert(0, head)
    head.insert(0, root.makeelement("meta", {"charset": "utf-8"}))
    page: bytes = etree.tostring(root, method="html", encoding="unicode", doctype="<!doctype html>").encode()
    return page


def _prune(root: HtmlElement) -> None:
    """Take out what is not read; what follows it stays."""
    for element in root.iter("template"):
        if "shadowrootmode" not in element.attrib:
            element.tag = "script"
    etree.strip_elements(root, *_DROPPED, etree.Comment, etree.PI, with_tail=False)
    for element in root.iter():
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,40}", element.tag):
            element.tag = "span"


def _depth(root: HtmlElement) -> int:
    depth = deepest = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        deepest = max(deepest, depth)
    return deepest


class _Page:
    """One walk over a page, in the order of its text."""

    def __init__(self, root: HtmlElement, visitor: Visitor) -> None:
        self.root = root
        self.visitor = visitor
        self.contexts: list[Context] = [PROSE]
        self.headers: list[list[str | None]] = []  # of the tables around
        self.cells: dict[HtmlElement, Context] = {}
        self.rows: list[AbstractContextManager[None]] = []
        # Texts that read on: the element before or around each, whether it is the text after it.
        self.run: list[tuple[HtmlElement | None, bool, str]] = []
        self.run_context = PROSE

    def visit(self) -> None:
        with self.visitor.within(_texts(self.root)):
            for event, element in etree.iterwalk(self.root, events=("start", "end")):
                if event == "start":
                    self._start(element)
                else:
                    self._end(element)
            self._flush()

    # --- texts ------------------------------------------------------------------------------------

    def _start(self, element: HtmlElement) -> None:
        if element.tag not in _INLINE:
            self._flush()
        context = self._context(element)
        self.contexts.append(context)
        if element.tag == "table":
            self.headers.append([])
        if element.tag == "tr":
            self._row(element)
            row = self.visitor.within(_texts(element))
            row.__enter__()
            self.rows.append(row)
        self._attributes(element, context)
        if element.tag == "br":
            self._add(None, False, "\n", context)
        if element.text:
            self._add(element, False, element.text, context)
        if element.tag not in _ELEMENTS and self.visitor.text(element.tag, _IDENTIFIER) != element.tag:
            element.tag = "span"

    def _end(self, element: HtmlElement) -> None:
        if element.tag not in _INLINE:
            self._flush()
        self.contexts.pop()
        if element.tag == "tr":
            self.rows.pop().__exit__(None, None, None)
        if element.tag == "table":
            self.headers.pop()
        if element.tail:
            self._add(element, True, element.tail, self.contexts[-1])

    def _add(self, element: HtmlElement | None, after: bool, text: str, context: Context) -> None:
        if not self.run:
            self.run_context = context
        text = _CONTROL_CHARACTERS.sub("", text)
        spaced = element is None or (element.tag in ("pre", "textarea") and not after)
        self.run.append((element, after, text if spaced else _BLANKS.sub(" ", text)))

    def _flush(self) -> None:
        """Rewrite the texts that read on up to here."""
        run, self.run = self.run, []
        pieces = [text for _, _, text in run]
        if any(not piece.isspace() for piece in pieces):
            pieces = rewritten(pieces, self.run_context, self.visitor)
        for (element, after, _), text in zip(run, pieces, strict=True):
            if element is not None and after:
                element.tail = text
            elif element is not None:
                element.text = text

    def _context(self, element: HtmlElement) -> Context:
        tag, around = element.tag, self.contexts[-1]
        if element in self.cells:
            return self.cells[element]
        if tag in _CONTROLS:
            return CONTROL
        if tag in _TITLES:
            return Context(around.place, around.label) if around.place == "cell" else UI
        if tag == "option":
            return Context("option", around.label)
        if tag in ("select", "textarea"):
            return Context("field", self._label(element))
        if tag == "dd":
            term = next((e for e in element.itersiblings("dt", preceding=True)), None)
            return Context("cell", None if term is None else kind_of(_shown(term)))
        return _ROLES.get(element.get("role", ""), around)

    def _row(self, row: HtmlElement) -> None:
        """What the cells of a row are, by the header above them or beside them."""
        cells = [cell for cell in row if cell.tag in ("td", "th")]
        headers = self.headers[-1] if self.headers else []
        if cells and (all(cell.tag == "th" for cell in cells) or row.getparent().tag == "thead"):
            headers[:] = [kind_of(_shown(cell)) for cell in cells for _ in range(_columns(cell))]
            self.cells.update(dict.fromkeys(cells, CONTROL))
            return
        at, side = 0, None
        for cell in cells:
            if cell.tag == "th":
                side = kind_of(_shown(cell))
            elif headers:
                self.cells[cell] = Context("cell", headers[at] if at < len(headers) else None)
            else:
                self.cells[cell] = Context("cell", side)
            at += _columns(cell)

    # --- attributes -------------------------------------------------------------------------------

    def _attributes(self, element: HtmlElement, context: Context) -> None:
        kept: dict[str, str] = {}
        for name, value in element.attrib.items():
            plain = _BLANKS.sub(" ", _CONTROL_CHARACTERS.sub("", value)).strip()
            new = self._attribute(element, name, plain, context)
            if new is not None:
                kept[name] = new
        # Anew: of what hostile pages call an attribute, not everything can be taken out one by one.
        element.attrib.clear()
        element.attrib.update(kept)

    def _attribute(self, element: HtmlElement, name: str, value: str, context: Context) -> str | None:
        """What is written for an attribute; None when it goes."""
        if name.startswith("data-"):
            return self._data(name.removeprefix("data-"), value)
        if name in _REFERENCES:
            # Each alone: a list of them has to name the same elements afterwards.
            return " ".join(self.visitor.text(part, _IDENTIFIER) for part in value.split(" "))
        if _PAYLOAD.search(value):
            return None
        if name in _ADDRESSES:
            return map_url(value, self.visitor) if _SAFE_ADDRESS.match(value) else None
        if name == "value":
            return self._value(element, value, context)
        if name in _STATES:
            return self.visitor.text(value, NAME)
        if name in _TEXTS or name.startswith("aria-"):
            control = element.tag in ("input", "select", "textarea") or context.place == "control"
            return self.visitor.text(value, CONTROL if control else UI)
        return None

    def _data(self, key: str, value: str) -> str | None:
        """A value that the application keeps for itself, often JSON; None where nobody can read it."""
        if not re.fullmatch(r"[a-z0-9_.-]{1,60}", key) or _PAYLOAD.search(value):
            return None
        if self.visitor.text(key, _IDENTIFIER) != key:
            return None
        if value[:1] in ("{", "["):
            try:
                return json.dumps(map_json(json.loads(value), self.visitor, key), ensure_ascii=False)
            except (ValueError, RecursionError):
                pass
        return str(map_json(value, self.visitor, key))

    def _value(self, element: HtmlElement, value: str, context: Context) -> str | None:
        if element.tag == "input":
            kind = element.get("type", "text").lower()
            if kind in ("password", "file"):
                return MASK if value and kind == "password" else None
            label = self._label(element)
            if kind in ("submit", "button", "reset", "image"):
                return self.visitor.text(value, CONTROL)
            return self.visitor.text(
                value, Context("option" if kind in ("checkbox", "radio") else "field", label)
            )
        if element.tag in ("option", "button"):
            return self.visitor.text(value, context)
        return self.visitor.text(value, Context("field"))

    def _label(self, field: HtmlElement) -> str | None:
        """What a field holds, by the first of its names that says it."""
        around = next(field.iterancestors("label"), None)
        names = (
            field.get("aria-label"),
            self._labels.get(field.get("id", "")),
            None if around is None else around.text,
            field.get("name"),
            field.get("autocomplete"),
            field.get("id"),
            field.get("placeholder"),
        )
        return next((kind for name in names if name and (kind := kind_of(name))), None)

    @cached_property
    def _labels(self) -> dict[str, str]:
        """Ids of fields -> their labels, as the page had them."""
        return {label.get("for", ""): _shown(label) for label in self.root.iter("label") if label.get("for")}


def _columns(cell: HtmlElement) -> int:
    span = cell.get("colspan", "1")
    return min(100, int(span)) if re.fullmatch(r"[1-9]\d{0,3}", span) else 1


def _shown(element: HtmlElement) -> str:
    return _BLANKS.sub(" ", "".join(_texts(element))).strip()


def _texts(element: HtmlElement) -> Iterator[str]:
    texts: Iterator[str] = element.itertext()
    return texts
