"""First pass: every distinct string of the corpus, what is found in it, and what its labels say."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from datetime import date

from redact import names
from redact.checks import compact, plausible_birth
from redact.corpus import MAX_STRING, Context, Edit
from redact.detect import Detector
from redact.encoded import pieces
from redact.labels import labelled_lines
from redact.names import fold
from redact.patterns import EMAIL, parse_date
from redact.people_index import People, words_of
from redact.policy import Policy
from redact.rewrite import compact_key
from redact.spans import Span
from redact.weigh import SURNAMES

NUMBERS = (
    "BANK_ACCOUNT", "CREDIT_CARD", "IBAN_CODE", "ID_NUMBER", "IP_ADDRESS", "MAC_ADDRESS", "NATIONAL_ID",
    "PHONE_NUMBER", "VEHICLE_ID", "CUSTOMER_NUMBER",
)  # fmt: skip
_NAMES = ("PERSON", "NAME", "GIVEN", "FAMILY")
EMPTY = re.compile(r"[\W_•●]*|(?i:none|n/?a|null|unknown|yes|no|true|false|hidden|masked|redacted|-+)")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "0.0.0.0", "::1"})


class Observer:
    """Collects the distinct strings of a corpus and where they stand. A visitor that changes nothing."""

    def __init__(self) -> None:
        self.seen: dict[str, set[Context]] = defaultdict(set)

    def text(self, text: str, context: Context) -> str:
        if 1 < len(text) <= MAX_STRING and not text.isspace() and context not in self.seen.get(text, ()):
            self.seen[text].add(context)
            for piece in pieces(text):
                self.text(piece.plain, Context("url"))
        return text

    def edits(self, text: str, context: Context) -> list[Edit]:
        self.text(text, context)
        return []

    def within(self, texts: Iterable[str]) -> AbstractContextManager[None]:
        return nullcontext()


class Collected:
    """What a corpus holds.

    Args:
        seen: Strings and their contexts, from :class:`Observer`.
        hosts: Host names and addresses of the recorded applications: they stay.

    Attributes:
        people: Evidence for names.
        values: Type -> compact key -> value as first written.
        emails: In lower case.
        firms: Compact key -> name.
        secrets: As written.
        found: Text -> spans.
        control_words: Folded words of buttons, headers, labels and fixed values.
    """

    def __init__(
        self, seen: dict[str, set[Context]], detector: Detector, policy: Policy, hosts: Iterable[str] = ()
    ) -> None:
        self.seen = seen
        self.policy = policy
        self.people = People()
        self.values: dict[str, dict[str, str]] = defaultdict(dict)
        self.emails: set[str] = set()
        self.firms: dict[str, str] = {}
        self.secrets: set[str] = set()
        self.found: dict[str, list[Span]] = {}
        self.control_words: set[str] = set()
        self._hosts = {h.lower() for h in hosts} | _LOOPBACK
        self._protect()
        self._detect(detector)
        self._label()
        self._given_by_the_client()

    # --- what stays -------------------------------------------------------------------------------

    def _protect(self) -> None:
        """Words of the application itself and of firms: no guess is believed against them."""
        people = self.people
        for text, contexts in self.seen.items():
            for context in contexts:
                self._protect_one(text, context)
            # Where everything is written small, small letters say nothing.
            if any(c.place == "prose" for c in contexts) and any(map(str.isupper, text)):
                people.lower.update(fold(w) for w in re.findall(r"(?<![\w@./-])[a-zà-ÿ]{3,}(?![\w@])", text))
        for text in self.firms.values():
            people.protected.update(words_of(text))
        people.firms = set(self.firms)
        people.allowed = {compact_key(text) for text in self.policy.allow}
        people.allowed_words = {word for text in self.policy.allow for word in words_of(text)}

    def _protect_one(self, text: str, context: Context) -> None:
        value = context.place != "control"
        if context.label == "FIRM" and value:
            if not EMAIL.search(text):
                self.firms.setdefault(compact_key(text), text)
            return
        fixed = context.label == "FIXED" and value
        control = context.place in ("control", "option", "ui") and len(text) <= 60
        if not fixed and not (control and context.label not in (*_NAMES, "USERNAME")):
            return
        name = names.parse(text)
        several = name is not None and len(name.parts) > 1
        if name is None or not several or not names.known_given(name.parts[0]):
            self.people.protected.update(words_of(text))
        if (fixed or context.place == "control") and len(text) < 40 and not several:
            self.control_words.update(words_of(text))

    # --- what the detector finds ------------------------------------------------------------------

    def _detect(self, detector: Detector) -> None:
        texts = [
            text
            for text, contexts in self.seen.items()
            if any(c.place != "control" for c in contexts)
            and not re.fullmatch(r"[\d.,:\s%€$£/+-]{1,9}", text)
        ]
        for text, spans in zip(texts, detector.find(texts), strict=True):
            self.found[text] = spans
            contexts = self.seen[text]
            prose = any(c.place == "prose" for c in contexts)
            fixed = all(c.label == "FIXED" or c.place == "control" for c in contexts)
            firm = any(c.label == "FIRM" for c in contexts)
            for span in spans:
                self._note(text[span.start : span.end], span, prose=prose, fixed=fixed, firm=firm)

    def _note(self, shown: str, span: Span, *, prose: bool, fixed: bool, firm: bool) -> None:
        if span.type == "PERSON":
            if not (fixed or firm) or span.strength > 2:
                self.people.see(shown, span.strength, prose=prose)
        elif span.type == "EMAIL_ADDRESS":
            self.add_email(shown)
        elif span.type == "SECRET":
            self.secrets.add(shown)
        elif span.type == "ORGANIZATION":
            if span.source == SURNAMES and not (fixed or firm):
                self.people.see(shown, span.strength, prose=prose)
            if names.looks_like_firm(shown):
                self.firms.setdefault(compact_key(shown), shown)
        elif span.type in ("LOCATION", "URL"):
            if self.policy.treatment(span.type) != "keep" and not fixed:
                self.values[span.type].setdefault(compact_key(shown), shown)
        elif span.type == "IP_ADDRESS":
            if shown.lower() not in self._hosts:
                self.values[span.type].setdefault(shown, shown)
        elif span.type not in ("DATE_TIME", "AGE") and (not fixed or span.score >= 0.9):
            self.values[span.type].setdefault(compact_key(shown), shown)

    def add_email(self, shown: str) -> None:
        self.emails.add(shown.lower())
        self.people.see_address(shown.partition("@")[0])

    # --- what labels say --------------------------------------------------------------------------

    def _label(self) -> None:
        for text, contexts in self.seen.items():
            labels = {c.label for c in contexts if c.label and c.place not in ("control", "option")}
            for label in sorted(labels):
                self._labelled(label, text.strip())
            if any(c.label in ("PERSON", "NAME") and c.place == "option" for c in contexts):
                self._person(text, "NAME")
            if any(c.place == "prose" for c in contexts):
                for label, start, end in labelled_lines(text):
                    self._labelled(label, text[start:end].strip())

    def _labelled(self, label: str, value: str) -> None:
        if EMPTY.fullmatch(value) or len(value) > 300:
            return
        if label in _NAMES:
            for part in re.split(r"\s*(?:;|/|\||\n|<br ?/?>| and | & )\s*", value):
                self._person(part, label)
        elif label == "USERNAME":
            self._username(value)
        elif label == "SECRET":
            self.secrets.add(value)
        elif (label in NUMBERS or label in ("DATE_OF_BIRTH", "ADDRESS")) and plausible(label, value):
            self.values[label].setdefault(compact_key(value), value)

    def _username(self, value: str) -> None:
        if re.fullmatch(r"[\w.@+-]{2,64}", value) is None:
            self._person(value, "PERSON")
        elif EMAIL.fullmatch(value):
            self.add_email(value)
        else:
            self.people.see_address(value)
            if fold(value) not in names.words():
                self.values["USERNAME"].setdefault(compact_key(value), value)

    def _person(self, value: str, label: str) -> None:
        """A value that should be a name; what is plainly something else is left alone."""
        value = re.sub(r"\s*(?:[(<\[].*|,? (?:-|–|\|) .*)$", "", value).strip(" \t*,;:")
        name = names.parse(value)
        if name is None or compact_key(value) in self.firms or names.looks_like_firm(value):
            return
        known = any(map(names.known_given, name.given)) or any(map(names.known_family, name.family))
        several = len(name.parts) > 1
        if label == "NAME":
            self.people.see(value, 2 if known and several else 0, prose=False)
        elif several:
            self.people.see(value, 3 if known else 2, prose=False)
        else:
            self.people.see(value, 2 if known or label in ("GIVEN", "FAMILY") else 1, prose=True)

    def _given_by_the_client(self) -> None:
        for shown in self.policy.people:
            self.people.see(shown, 3, prose=True)
        for kind, value in self.policy.personal:
            if kind == "PERSON":
                self.people.see(value, 3, prose=True)
            elif kind == "EMAIL_ADDRESS":
                self.add_email(value)
            elif kind == "SECRET":
                self.secrets.add(value)
            else:
                known = kind in NUMBERS or kind in ("ADDRESS", "DATE_OF_BIRTH", "LOCATION", "USERNAME")
                self.values[kind if known else "CUSTOM"].setdefault(compact_key(value), value)
        for value in self.policy.deny:
            name = names.parse(value)
            if EMAIL.fullmatch(value):
                self.add_email(value)
            elif re.search(r"\d{4}", compact(value)):
                self.values["CUSTOM_NUMBER"].setdefault(compact_key(value), value)
            elif name is not None and names.known_given(name.parts[0]):
                self.people.see(value, 3, prose=True)
            else:
                self.values["CUSTOM"].setdefault(compact_key(value), value)


_PHONE = re.compile(r"[\d ()+./\-\u00a0]{5,}(?:(?:ext|x)\.? ?\d+)?", re.IGNORECASE)


def plausible(label: str, value: str) -> bool:
    """Whether a labelled value has the shape its label promises."""
    digits = sum(c.isdigit() for c in value)
    if label == "PHONE_NUMBER":
        return digits >= 7 and _PHONE.fullmatch(value) is not None
    if label == "IBAN_CODE":
        return re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{8,30}", compact(value)) is not None
    if label == "DATE_OF_BIRTH":
        parsed = parse_date(value)
        return parsed is not None and plausible_birth(parsed[0], date.today())
    if label == "ADDRESS":
        return (bool(digits) and len(value) > 3) or len(value.split()) > 2
    if label in ("IP_ADDRESS", "MAC_ADDRESS"):
        return False  # their recognisers are sure by themselves
    if label == "BANK_ACCOUNT":
        return 6 <= digits <= 18 and len(value) <= 30  # ledger accounts are shorter
    return digits >= 3 and len(value) <= 40 and len(compact(value)) >= 4
