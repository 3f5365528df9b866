"""Second pass: every string with its personal values replaced, the same everywhere."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from redact.corpus import Context, Edit, apply
from redact.labels import labelled_lines
from redact.lexicon import Lexicon, longest, render
from redact.names import fold
from redact.patterns import EMAIL
from redact.spans import Span

_ENCODED = re.compile(r"[^\s\"'<>|]*%[0-9A-Fa-f]{2}[^\s\"'<>|]*")
_BASE64 = re.compile(
    r"(?<![A-Za-z0-9+/=_-])(?:[A-Za-z0-9+/]{4}){4,2000}(?:[A-Za-z0-9+/]{2}==|"
    r"[A-Za-z0-9+/]{3}=)?(?![A-Za-z0-9+/=])"
)
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
        treat: What to write for a type: a stand-in is passed through, or tagged, masked, dropped.
    """

    lexicon: Lexicon
    email: Callable[[str], str]
    by_label: Contextual
    treat: Callable[[str, str, str], str]
    local: dict[str, list[tuple[Span, str]]] = field(default_factory=dict)
    endings: dict[str, str] = field(default_factory=dict)
    _cache: dict[tuple[str, Context], str] = field(default_factory=dict)

    def text(self, text: str, context: Context) -> str:
        if not text:
            return text
        key = (text, context)
        if key not in self._cache:
            self._cache[key] = apply(text, self.edits(text, context))[0]
        return self._cache[key]

    @property
    def changed(self) -> int:
        """How many distinct strings came out different."""
        return sum(1 for (text, _), new in self._cache.items() if text != new)

    def edits(self, text: str, context: Context) -> list[Edit]:
        if len(text) < 2 or text.isspace():
            return []
        if context.label is not None and context.place != "control":
            whole = self._whole(text, context)
            if whole is not None:
                return [whole]
        edits = self._emails(text)
        self._further(text, edits, self._local(text))
        if context.place == "prose":
            self._further(text, edits, self._labelled(text, edits))
        self._further(text, edits, self._known(text, [(a, b) for a, b, _ in edits]))
        self._further(text, edits, self._endings(text))
        self._further(text, edits, self._encoded(text, context))
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
        known = self._emails(body) or self._known(body, [])
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

    def _labelled(self, text: str, edits: list[Edit]) -> list[Edit]:
        out: list[Edit] = []
        for label, start, end in labelled_lines(text):
            if any(a < end and start < b for a, b, _ in edits):
                continue
            value = self._whole(text[start:end], Context("field", label))
            if value is not None:
                out.append((start + value[0], start + value[1], value[2]))
        return out

    def _known(self, text: str, free: list[tuple[int, int]]) -> list[Edit]:
        out: list[Edit] = []
        for hit in longest(self.lexicon.scan(text), free):
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

    def _encoded(self, text: str, context: Context) -> list[Edit]:
        """Percent-encoded and base64 pieces, rewritten inside and encoded again."""
        out: list[Edit] = []
        if "%" in text:
            for match in _ENCODED.finditer(text):
                plain = unquote(match[0])
                new = self.text(plain, Context("url")) if plain != match[0] else plain
                if new != plain:
                    out.append((*match.span(), quote(new, safe="/:?&=@#+,;!$'()*~")))
        for match in _BASE64.finditer(text):
            decoded = decode_base64(match[0])
            if decoded is not None:
                new = self.text(decoded, Context("url"))
                if new != decoded:
                    out.append((*match.span(), base64.b64encode(new.encode()).decode()))
        return out


def decode_base64(text: str) -> str | None:
    """The readable text behind base64, or None."""
    try:
        decoded = base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    return decoded if decoded.isprintable() and len(decoded) > 5 else None


def compact_key(text: str) -> str:
    """The folded compact form under which the lexicon knows a text."""
    return "".join(fold(t) for t in re.findall(r"[^\W_]+", text))
