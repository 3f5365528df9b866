"""Values with a shape or check digits that nobody replaced, and secrets, in what the audit reads."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from redact.audit_strings import Found, Reading, compact, readable_base64
from redact.checks import IBAN_LENGTHS, card, iban

_MAIL = re.compile(r"[\w.+'-]{1,64}@(?:[\w-]{1,63}\.)+[a-z]{2,24}", re.IGNORECASE)
_IBAN = re.compile(r"(?<![a-z0-9])[a-z]{2}\d{2}(?:[ -]?[a-z0-9]){11,30}", re.IGNORECASE)
_CARD = re.compile(r"(?<![\w.,+-])\d(?:[ -]?\d){12,18}(?![\w-]|[.,]\d)")
_SSN = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
_PHONE = re.compile(
    r"(?<![\w+])\+[1-9]\d{0,2}[ .\-/]?(?:\(0?\d{1,5}\)[ .\-/]?)?\d(?:[ .\-/]?\d){5,12}(?!\d)"
    r"(?:[ ,]{0,2}(?:x|ext\.?|extension)[ .]?\d{1,6})?",
    re.IGNORECASE,
)
_KEYS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,}|"
    r"\bxox[abprs]-[\w-]{10,}|"
    r"\bsk-[\w-]{20,}|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{5,}|\b[sr]k_live_\w{16,}|\bAIza[\w-]{35}\b"
)
_RANDOM = re.compile(r"(?<![\w/+.-])[A-Za-z0-9_+-]{20,200}={0,2}(?![\w/+.-])")
_LOGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]{1,60}:(?P<p>[^\s/@]{3,80})@", re.IGNORECASE)


def shaped(
    texts: list[Reading], spared: set[str], dropped: set[str], private: str
) -> Iterator[tuple[int, str, str]]:
    domains = {
        m[0].rpartition("@")[2].lower()
        for text, found, _ in texts
        if found.published and "@" in text
        for m in _MAIL.finditer(text)
    }

    def foreign(value: str, found: Found) -> bool:
        """Whether a value is the client's own rather than one a later stage made up."""
        return found.published or re.sub(r"[\s.()/-]", "", value).lower() in private

    for index, (text, found, _) in enumerate(texts):
        if found.key == "split":
            continue
        if "@" in text and "EMAIL_ADDRESS" not in dropped:
            for match in _MAIL.finditer(text):
                new = match[0].rpartition("@")[2].lower() not in domains
                if compact(match[0]) not in spared and (new or foreign(match[0], found)):
                    yield index, "EMAIL_ADDRESS", "shape"
        if any(c.isdigit() for c in text):
            for kind, how, value in _numbers(text, dropped):
                made_up = kind in ("IBAN_CODE", "PHONE_NUMBER") and not foreign(value, found)
                if compact(value) not in spared and not made_up:
                    yield index, kind, how
        if "SECRET" not in dropped:
            if _KEYS.search(text) or any(compact(m["p"]) not in spared for m in _LOGIN.finditer(text)):
                yield index, "SECRET", "shape of a key"
            # Readable text in base64 is judged as that text.
            elif any(_random(m[0]) and readable_base64(m[0]) is None for m in _RANDOM.finditer(text)):
                yield index, "SECRET", "entropy"


def _numbers(text: str, dropped: set[str]) -> Iterator[tuple[str, str, str]]:
    if "IBAN_CODE" not in dropped:
        for match in _IBAN.finditer(text):
            length = IBAN_LENGTHS.get(match[0][:2].upper(), 0)
            # Accounts end where a word ends: in the middle of a digest (every blob's name is one) chance
            # alone makes check digits right, once in a few thousand.
            ends = re.compile(rf"(?:[A-Za-z0-9][ -]?){{{length}}}(?<![ -])(?![A-Za-z0-9])")
            whole = ends.match(text, match.start())
            if length and whole and iban(plain := compact(whole[0]).upper()):
                yield "IBAN_CODE", "check digits", plain
    if "CREDIT_CARD" not in dropped:
        for match in _CARD.finditer(text):
            account = re.search(
                r"[A-Z]{2}\d{2}(?:[ -][A-Z0-9]{4})*[ -]?$", text[max(0, match.start() - 40) : match.start()]
            )
            if card(compact(match[0])) and not account:
                yield "CREDIT_CARD", "check digits", match[0]
    if "NATIONAL_ID" not in dropped:
        for match in _SSN.finditer(text):
            yield "NATIONAL_ID", "shape", match[0]
    if "PHONE_NUMBER" not in dropped:
        for match in _PHONE.finditer(text):
            yield "PHONE_NUMBER", "shape", match[0]


def _random(word: str) -> bool:
    """Whether a word looks drawn at random: all kinds of characters, and many different ones."""
    kinds = (sum(c.isdigit() for c in word), sum(c.isupper() for c in word), sum(c.islower() for c in word))
    if min(kinds) < 3 or re.fullmatch(r"[A-Z_]+_[0-9a-f]{6}", word):  # the latter are tags of the policy
        return False
    counts = Counter(word)
    entropy = -sum(n / len(word) * math.log2(n / len(word)) for n in counts.values())
    return entropy >= 3.7
