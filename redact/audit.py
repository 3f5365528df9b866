"""The second pass: reads everything a later stage can read and looks for what must not be there.

Independent of the first: it knows the originals from the vault and looks for
them in other ways (run together, encoded, split over neighbouring nodes), and
for values with check digits and secrets that nobody replaced. A finding names
the place and the type, never the value.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fde.engagement import Engagement
from fde.errors import MissingError
from redact.audit_names import untouched
from redact.audit_shapes import shaped
from redact.audit_strings import (
    PICTURE,
    Reading,
    Strings,
    collect,
    compact,
    decoded,
    readable_files,
)
from redact.names import fold, words
from redact.policy import load as load_policy
from redact.vault import Entry, Vault


@dataclass(frozen=True, slots=True)
class Finding:
    """Personal data at a place. ``count`` is how often the same string occurs."""

    place: str
    type: str
    how: str
    count: int = 1


@dataclass(slots=True)
class Report:
    """What the audit looked at and found."""

    checked_strings: int
    files: int
    pictures_read: int
    pictures_not_read: int
    files_not_read: int
    originals: int
    findings: list[Finding] = field(default_factory=list)

    @property
    def leaks(self) -> int:
        return len(self.findings)

    @property
    def leaked_types(self) -> dict[str, int]:
        return dict(sorted(Counter(f.type for f in self.findings).items()))

    @property
    def passed(self) -> bool:
        return not self.findings

    def plain(self) -> dict[str, Any]:
        return {
            "leaks": self.leaks,
            "checked_strings": self.checked_strings,
            "leaked_types": self.leaked_types,
            "passed": self.passed,
            "files": self.files,
            "pictures_read": self.pictures_read,
            "pictures_not_read": self.pictures_not_read,
            "files_not_read": self.files_not_read,
            "originals": self.originals,
            "findings": [asdict(f) for f in self.findings],
        }


def audit(engagement: Engagement, vault: Vault | None = None, *, only: Path | None = None) -> Report:
    """Check everything a later stage can read, or only the files under ``only``.

    Raises:
        MissingError: no vault or no key: without the originals nothing can be vouched for.
    """
    own = vault is None
    vault = vault or Vault(engagement)
    try:
        entries = vault.entries("audit of the output")
        kept = vault.kept()
    finally:
        if own:
            vault.close()
    files = (
        readable_files(engagement)
        if only is None
        else sorted(p for p in only.rglob("*") if p.is_file() and not p.name.startswith("."))
    )
    if only is None and not files:
        raise MissingError(
            "There is nothing to audit: no stage after ingestion has run.", "Run: fde redact run"
        )
    files = [f for f in files if f.name != "audit.json"]
    strings = collect(engagement, files)
    policy = load_policy(engagement)
    dropped = {kind for kind, treatment in policy.treatments.items() if treatment == "keep"}
    allowed = {compact(value) for value in policy.allow}
    # What is allowed now may have been replaced once: its parts are in the vault as well.
    allowed |= {compact(word) for value in policy.allow for word in value.split()}
    known = [e for e in entries if e.type not in dropped and compact(e.original) not in allowed]
    kept = [*kept, *policy.allow]
    findings = list(_check(strings, known, kept, dropped, _private(engagement)))
    return Report(
        len(strings.found),
        strings.files,
        strings.pictures_read,
        strings.pictures_unread,
        strings.unread,
        len(known),
        findings,
    )


def _private(engagement: Engagement) -> str:
    """The ingested originals as one text: what stands there is the client's own, not made by a later "
    "stage."""
    parts = [
        f.read_text(encoding="utf-8", errors="ignore")
        for stage in ("ingest-docs", "ingest-recordings")
        for f in sorted((engagement.stages / stage).glob("*/*/*.json"))
    ]
    return re.sub(r"[\s.()/-]", "", " ".join(parts)).lower()


def _check(
    strings: Strings, entries: list[Entry], kept: list[str], dropped: set[str], private: str
) -> Iterator[Finding]:
    texts = list(_readings(strings))
    seen: set[tuple[str, str]] = set()
    spared = {compact(s) for e in entries for s in (e.surrogate, *e.surrogate.split())}
    for index, kind, how in (
        *_known(texts, entries, kept),
        *_misread(texts, entries),
        *shaped(texts, spared, dropped, private),
        *(() if "PERSON" in dropped else _second_reading(texts, entries, kept)),
    ):
        found, encoding = texts[index][1], texts[index][2]
        if (found.place, kind) not in seen:
            seen.add((found.place, kind))
            yield Finding(found.place, kind, f"{how}, {encoding}" if encoding else how, found.count)


def _readings(strings: Strings) -> Iterator[Reading]:
    for text, found in strings.found.items():
        yield text, found, ""
        for plain, how in decoded(text):
            yield plain, found, how


# --- originals from the vault ---------------------------------------------------------------------

# Ratio of matching letters (Ratcliff/Obershelp) from which a word counts as a misread original.
_CLOSE = 0.82


class _Run:
    """All texts run together without anything but letters and digits, and where words begin and end."""

    def __init__(self, texts: list[Reading]) -> None:
        pieces: list[str] = []
        self.starts: list[int] = []
        self.edges: set[int] = set()
        self.capitals: set[int] = set()
        self.tight: set[int] = set()
        length = 0
        for text, _, _ in texts:
            self.starts.append(length)
            for match in re.finditer(r"[^\W_]+", _invisible(text)):
                word = compact(match[0])
                pieces.append(word)
                self.edges.add(length)
                if match[0][0].isupper():
                    self.capitals.add(length)
                length += len(word)
                self.edges.add(length)
            pieces.append("\n")
            length += 1
        self.text = "".join(pieces)

    def index(self, position: int) -> int:
        return bisect_right(self.starts, position) - 1

    def find(self, key: str) -> Iterator[int]:
        at = self.text.find(key)
        while at >= 0:
            yield at
            at = self.text.find(key, at + 1)


def _invisible(text: str) -> str:
    return "".join(c for c in text if unicodedata.category(c) != "Cf") if not text.isascii() else text


def _known(texts: list[Reading], entries: list[Entry], kept: list[str]) -> Iterator[tuple[int, str, str]]:
    run = _Run(texts)
    spared: list[tuple[int, int]] = []
    for text in {compact(k) for k in kept}:
        if len(text) > 2:
            spared.extend((at, at + len(text)) for at in run.find(text))
    spared.sort()
    begins = [a for a, _ in spared]

    def in_kept(start: int, end: int) -> bool:
        i = bisect_right(begins, start)
        return any(a <= start and end <= b and (a, b) != (start, end) for a, b in spared[max(0, i - 4) : i])

    moved = {compact(e.surrogate) for e in entries if e.type == "DATE_OF_BIRTH"}
    for entry in entries:
        if not entry.certain:
            continue
        if entry.type == "SECRET":
            yield from (
                (i, entry.type, "original, exact")
                for i, (text, _, _) in enumerate(texts)
                if entry.original in text
            )
            continue
        keys = {compact(a) for a in (entry.original, *entry.aliases)}
        if entry.type == "DATE_OF_BIRTH":
            keys -= moved  # somebody else's moved date
        for key in sorted(k for k in keys if len(k) > 2):
            # Long names count inside words as well; everything else only between word edges.
            inside = entry.type in ("PERSON", "EMAIL_ADDRESS", "USERNAME") and len(key) > 9 and key.isalpha()
            for at in run.find(key):
                end = at + len(key)
                if not inside and (at not in run.edges or end not in run.edges):
                    continue
                if entry.capital and at not in run.capitals:
                    continue
                if entry.type in ("NAME", "PERSON", "CUSTOM") and in_kept(at, end):
                    continue
                i = run.index(at)
                if key.isdigit() and _is_amount(texts[i][0], key):
                    continue
                yield i, entry.type, "original"


def _misread(texts: list[Reading], entries: list[Entry]) -> Iterator[tuple[int, str, str]]:
    """Originals in pictures with a letter or two read wrongly."""
    written: set[str] = set()
    pictured: list[tuple[int, str]] = []
    if not any(found.key == PICTURE for _, found, _ in texts):
        return
    for index, (text, found, _) in enumerate(texts):
        for word in re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text):
            if found.key == PICTURE:
                pictured.append((index, compact(word)))
            else:
                written.add(compact(word))
    # Words that stand as text in the output were judged there.
    doubtful = sorted({w for _, w in pictured if len(w) > 5 and w not in written and w not in words()})
    if not doubtful:
        return
    names = {compact(e.original): e.type for e in entries if e.certain and e.type in ("NAME", "USERNAME")}
    wrong: dict[str, str] = {}
    for word in doubtful:
        for name in get_close_matches(word, [n for n in names if abs(len(n) - len(word)) < 3], 1, _CLOSE):
            wrong[word] = names[name]
    for index, word in pictured:
        if word in wrong:
            yield index, wrong[word], "original, misread"


def _second_reading(
    texts: list[Reading], entries: list[Entry], kept: list[str]
) -> Iterator[tuple[int, str, str]]:
    """Names in the redacted output that the first pass never took for any."""
    left = [*kept, *(e.surrogate for e in entries)]
    spared = {fold(word) for text in left for word in re.findall(r"[^\W\d_]+", text)}
    published = [i for i, (_, found, _) in enumerate(texts) if found.published and found.key != "split"]
    for at in untouched([texts[i][0] for i in published], spared):
        yield published[at], "PERSON", "second reading"


def _is_amount(text: str, key: str) -> bool:
    """Whether the digits stand only as an amount with separators (1,234,567.00)."""
    plain = [m[0] for m in re.finditer(r"\d[\d.,]*\d", text)]
    amounts = [
        p
        for p in plain
        if re.sub(r"\D", "", p) == key
        and re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+(?:[.,]\d{2})?|\d+[.,]\d{2}", p)
    ]
    return bool(amounts) and not re.search(rf"(?<!\d){key}(?!\d)", text)
