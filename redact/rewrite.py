"""Second pass: every string with its personal values replaced, the same everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from redact.corpus import MAX_STRING, Context, Edit, apply
from redact.encoded import pieces
from redact.labels import labelled_lines
from redact.lexicon import Lexicon, longest, render
from redact.names import fold
from redact.patterns import EMAIL, dates
from redact.scripts import passages
from redact.spans import Span

_MASKED = re.compile(
    r"(?:(?:[*•·●xX]{2,}|\.{3}|…)[ -]?)+(?P<a>\d{3,4})(?!\d)|\b(?:ending|ends)(?: in| with)? "
    r"(?P<b>\d{3,4})(?!\d)"
)
Contextual = Callable[[str, str], str | None]


@dataclass
class Rewriter:
    """Replaces what is known. Implements :class:`redact.corpus.Visitor`.

    Attributes:
        lexicon: Values known everywhere.
        email: Stand-in of an e-mail address.
        by_label: Stand-in of a whole value whose label says what it is, or None.
        local: Stand-ins that hold in one string only: text -> [(span, stand-in)].
        endings: Last digits of accounts shown masked -> stand-in's last digits.
        removed: How many strings were too long to be read and were left out.
        date: What to write for a date of a type and a person; None when dates stay.
        treat: What to write for a type: a stand-in is passed through, or tagged, masked, dropped.
        drops_scripts: Whether lines in scripts that nobody read are left out.
    """

    lexicon: Lexicon
    email: Callable[[str], str]
    by_label: Contextual
    treat: Callable[[str, str, str], str]
    local: dict[str, list[tuple[Span, str]]] = field(default_factory=dict)
    endings: dict[str, str] = field(default_factory=dict)
    date: Callable[[str, str, str], str | None] | None = None
    drops_scripts: bool = False
    removed: int = 0
    _owner: str = ""
    _cache: dict[tuple[str, Context, str], str] = field(default_factory=dict)
    _named: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    @contextmanager
    def within(self, texts: Iterable[str]) -> Iterator[None]:
        """Dates visited meanwhile belong to the one person that ``texts`` name, if they name one."""
        before = self._owner
        if self.date is not None:
            found = {owner for text in texts for _, owner in self._owners(text)}
            self._owner = found.pop() if len(found) == 1 else before
        try:
            yield
        finally:
            self._owner = before

    def _owners(self, text: str) -> list[tuple[int, str]]:
        """Where full names stand in a text, and whose they are."""
        if text not in self._named:
            hits = longest(self.lexicon.scan(text))
            people = (hit for hit in hits if hit.form.kind == "PERSON" and len(hit.words) > 1)
            self._named[text] = [(hit.start, hit.form.id) for hit in people]
        return self._named[text]

    def text(self, text: str, context: Context) -> str:
        if not text:
            return text
        key = (text, context, self._owner)
        if key not in self._cache:
            self._cache[key] = apply(text, self.edits(text, context))[0]
        return self._cache[key]

    @property
    def changed(self) -> int:
        """How many distinct strings came out different."""
        return len({text for (text, _, _), new in self._cache.items() if text != new})

    def edits(self, text: str, context: Context) -> list[Edit]:
        if len(text) < 2 or text.isspace():
            return []
        if len(text) > MAX_STRING:
            self.removed += 1
            return [(0, len(text), f"[removed: {len(text):,} characters]")]
        if context.label is not None and context.place != "control":
            whole = self._whole(text, context)
            if whole is not None:
                return [whole]
        edits = [
            (start, end, f"[removed: {script}]")
            for start, end, script in (passages(text, context) if self.drops_scripts else ())
        ]
        self._further(text, edits, self._encoded(text))
        self._further(text, edits, self._emails(text))
        self._further(text, edits, self._local(text))
        if context.place == "prose":
            self._further(text, edits, self._labelled(text, edits))
        self._further(text, edits, self._dates(text, context))
        self._further(text, edits, self._known(text, [(a, b) for a, b, _ in edits], context))
        self._further(text, edits, self._endings(text))
        return sorted(edits)

    @staticmethod
    def _further(_text: str, edits: list[Edit], new: list[Edit]) -> None:
        """Add edits that overlap none made before."""
        for start, end, made in new:
            if all(end <= a or start >= b for a, b, _ in edits):
                edits.append((start, end, made))

    def _whole(self, text: str, context: Context) -> Edit | None:
        """The edit of a value that its label alone gives away."""
        body = text.strip()
        if not body or context.label is None:
            return None
        known = self._emails(body) or self._known(body, [], context)
        if known and context.label != "SECRET":
            return None
        made = self.by_label(context.label, body)
        if made is None or made == body:
            return None
        start = text.index(body)
        return start, start + len(body), made

    def _emails(self, text: str) -> list[Edit]:
        if "@" not in text:
            return []
        return [(*m.span(), made) for m in EMAIL.finditer(text) if (made := self.email(m[0])) != m[0]]

    def _local(self, text: str) -> list[Edit]:
        out: list[Edit] = []
        for span, made in self.local.get(text, ()):
            shown = text[span.start : span.end]
            out.append((span.start, span.end, self.treat(span.type, shown, made)))
        return out

    def _dates(self, text: str, context: Context) -> list[Edit]:
        """Dates, moved by the offset of whoever they belong to: the last full name before them."""
        if self.date is None or not any(c.isdigit() for c in text):
            return []
        people: list[tuple[int, str]] | None = None
        out: list[Edit] = []
        for span in dates(text):
            shown = text[span.start : span.end]
            kind = "DATE_OF_BIRTH" if context.label == "DATE_OF_BIRTH" else span.type
            if people is None:
                people = self._owners(text)
            owner = next((who for at, who in reversed(people) if at < span.start), None)
            made = self.date(kind, shown, owner or self._owner or (people[0][1] if people else ""))
            if made is not None:
                out.append((span.start, span.end, made))
        return out

    def _labelled(self, text: str, edits: list[Edit]) -> list[Edit]:
        out: list[Edit] = []
        for label, start, end in labelled_lines(text):
            if any(a < end and start < b for a, b, _ in edits):
                continue
            value = self._whole(text[start:end], Context("field", label))
            if value is not None:
                out.append((start + value[0], start + value[1], value[2]))
        return out

    def _known(self, text: str, free: list[tuple[int, int]], context: Context) -> list[Edit]:
        out: list[Edit] = []
        scanned = text
        if context.place == "identifier" and len(text.title()) == len(text):
            scanned = text.title()  # nobody writes names there with capitals
        for hit in longest(self.lexicon.scan(scanned), free):
            if hit.form.kind != "KEEP":
                shown = text[hit.start : hit.end]
                out.append((hit.start, hit.end, self.treat(hit.form.kind, shown, render(hit, text))))
        return out

    def _endings(self, text: str) -> list[Edit]:
        out: list[Edit] = []
        for match in _MASKED.finditer(text) if self.endings else ():
            group = str(match.lastgroup)
            made = self.endings.get(match[group])
            if made is not None:
                out.append((*match.span(group), made))
        return out

    def _encoded(self, text: str) -> list[Edit]:
        """Percent-encoded and base64 pieces, rewritten inside and encoded again."""
        out: list[Edit] = []
        for piece in pieces(text):
            new = self.text(piece.plain, Context("url"))
            if new != piece.plain:
                out.append((piece.start, piece.end, piece.again(new)))
        return out


def compact_key(text: str) -> str:
    """The folded compact form under which the lexicon knows a text."""
    return "".join(fold(t) for t in re.findall(r"[^\W_]+", text))
