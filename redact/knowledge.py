"""Turns what a corpus holds into stand-ins: the rewriter for its strings, and the vault's entries."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date

from redact import names
from redact.checks import compact, iban
from redact.collect import EMPTY, NUMBERS, Collected, plausible
from redact.corpus import Context
from redact.dates import Offsets, generalise
from redact.lexicon import TOKEN, Form, Lexicon
from redact.mailboxes import Mailboxes
from redact.names import fold
from redact.numbers import Numbers, alnum
from redact.patterns import parse_date
from redact.people_index import NameForms, words_of
from redact.rewrite import Rewriter, compact_key
from redact.spans import Span
from redact.surrogates import Surrogates, national_number, overlay
from redact.vault import Entry, Vault

_MASK = "*****"
_ACCOUNTS = ("IBAN_CODE", "CREDIT_CARD", "BANK_ACCOUNT")
_NUMBERED = ("ID_NUMBER", "CUSTOMER_NUMBER", "BANK_ACCOUNT", "NATIONAL_ID")
_NETWORK = ("IP_ADDRESS", "MAC_ADDRESS")


class Knowledge:
    """Stand-ins for everything collected.

    Attributes:
        entries: For the vault, by id.
        strengths: Compact key of each full name -> how much speaks for it, see :class:`redact.spans.Span`.
        kept: Names of firms and allowed values that are left as they are.
        rewriter: Replaces all of it in any string.
    """

    def __init__(self, collected: Collected, vault: Vault) -> None:
        self._found = collected
        self._policy = collected.policy
        self._vault = vault
        taken = {word for text in collected.seen for word in words_of(text)} | set(collected.firms)
        for kind, values in collected.values.items():
            taken.update(values)
            if kind == "PHONE_NUMBER":
                taken.update(national_number(shown)[1] for shown in values.values())
        invalid = {kind for kind, treatment in self._policy.treatments.items() if treatment == "invalid"}
        self.surrogates = Surrogates(vault.key, taken, vault.surrogates(), invalid)
        self.entries: dict[str, Entry] = {}
        self._lexicon = Lexicon()
        self._endings: dict[str, str] = {}
        self._offsets = Offsets(vault.key)
        self._numbers = Numbers(self.surrogates, collected.values["PHONE_NUMBER"].values())
        self._names = self._name_forms()
        self._mailboxes = Mailboxes(
            self._names,
            self.surrogates,
            collected.emails,
            collected.firms,
            rename_domains=self.replaces("ORGANIZATION"),
        )
        self._add_people()
        self._add_numbers()
        self._add_births()
        self._add_addresses()
        self._add_usernames()
        self._add_secrets()
        self._add_words()
        self.kept = self._keep()
        for email in sorted(collected.emails):
            self._email(email)
        self.rewriter = Rewriter(
            self._lexicon,
            self._email,
            self._by_label,
            self._treat,
            self._locals(),
            self._endings,
            self._date if self._births or self.replaces("DATE_TIME") or self.replaces("AGE") else None,
            drops_scripts=self._policy.scripts == "drop",
        )

    def replaces(self, kind: str) -> bool:
        """Whether the policy replaces this type at all."""
        return self._policy.treatment(kind) != "keep"

    @property
    def seen(self) -> dict[str, set[Context]]:
        """The distinct strings of the corpus and where they stand."""
        return self._found.seen

    def spans(self, text: str) -> list[Span]:
        """What the detector found in one of these strings."""
        return self._found.found.get(text, [])

    def _treat(self, kind: str, shown: str, made: str) -> str:
        """What is written for a value: its stand-in, or what the policy says instead."""
        kind = {"NAME": "PERSON", "CUSTOM_NUMBER": "CUSTOM"}.get(kind, kind)
        treatment = self._policy.treatment(kind)
        if treatment == "generalise":
            return generalise(kind, shown)
        if treatment == "tag":
            return f"[{kind}_{self._vault.key.hmac('tag', kind, compact_key(shown)).hex()[:6]}]"
        if treatment == "mask":
            return _MASK
        return "" if treatment == "drop" else made

    def _remember(
        self,
        kind: str,
        original: str,
        made: str,
        aliases: Iterable[str] = (),
        *,
        certain: bool = True,
        capital: bool = False,
        owner: str = "",
    ) -> None:
        keys = tuple(dict.fromkeys(a for a in (compact_key(original), *aliases) if a))
        entry_id = self._vault.id_of(kind, (keys[0] if keys else original) + owner)
        surrogate = self._treat(kind, original, made)
        self.entries[entry_id] = Entry(entry_id, kind, surrogate, original, keys, certain, capital)

    # --- people -----------------------------------------------------------------------------------

    def _name_forms(self) -> NameForms:
        people = self._found.people
        full, single = people.accepted()
        usernames = {compact_key(e.partition("@")[0]) for e in self._found.emails}
        usernames |= set(self._found.values["USERNAME"])
        # A known name is one even where the word is written small, unless a button or a code has it.
        controls = self._found.control_words
        ambiguous = controls | {
            w for w in people.lower if not (names.known_given(w) or names.known_family(w))
        }
        self._confirmed = {compact_key(e.shown) for e in full}
        self.strengths = {compact_key(e.shown): e.strength for e in full}
        return NameForms(full, single, self.surrogates, ambiguous, usernames)

    def _add_people(self) -> None:
        if not self.replaces("PERSON"):
            return
        for evidence, forms in self._names.people:
            for form in forms:
                self._lexicon.add(form)
            family = "".join(words_of(" ".join(evidence.name.family)))
            made = " ".join(self._part(p, family) for p in evidence.name.parts)
            # Forms that must be written apart are no proof where they are run together.
            aliases = ["".join(w for w, _ in f.pieces) for f in forms if not f.apart]
            capital = any(f.capital and not f.apart for f in forms)
            self._remember("PERSON", " ".join(evidence.name.parts), made, aliases, capital=capital)
        for word in sorted(self._names.words):
            alone = self._names.alone.get(word)
            if alone is not None:
                self._lexicon.add(alone)
            capital = alone is not None and alone.capital
            made = self._names.made(word) or word
            self._remember("NAME", word.capitalize(), made, certain=alone is not None, capital=capital)

    def _part(self, part: str, family: str) -> str:
        return "-".join(
            self._names.made(w, family) or (w.upper() if len(w) == 1 else w) for w in words_of(part)
        )

    def _email(self, shown: str) -> str:
        lower = shown.lower()
        if not self.replaces("EMAIL_ADDRESS") or compact_key(lower) in self._found.people.allowed:
            return shown
        made = self._mailboxes.email(lower)
        self._remember("EMAIL_ADDRESS", lower, made)
        made = self._treat("EMAIL_ADDRESS", lower, made)
        return made.upper() if shown.isupper() else made

    def _add_usernames(self) -> None:
        if not self.replaces("USERNAME"):
            return
        for key, shown in sorted(self._found.values["USERNAME"].items()):
            protected = key in names.words() or key in self._found.people.protected
            if len(key) < 4 or protected or key in self._lexicon:
                continue
            made = self._mailboxes.username(shown)
            self._lexicon.add(Form("USERNAME", ((key, alnum(made)),), style="overlay"))
            self._remember("USERNAME", shown, made)

    # --- numbers ----------------------------------------------------------------------------------

    def _add_numbers(self) -> None:
        clashes: set[str] = set()
        for kind in (*NUMBERS, "CUSTOM_NUMBER"):
            if not self.replaces("CUSTOM" if kind == "CUSTOM_NUMBER" else kind):
                continue
            found = sorted(self._found.values[kind].items())
            # What is right first: a number half typed or mistyped is made like the one that was meant.
            for _, shown in sorted(found, key=lambda item: not iban(alnum(item[1]).upper())):
                self._add_number(kind, shown, clashes)
        for tail in clashes:
            del self._endings[tail]

    def _add_number(self, kind: str, shown: str, clashes: set[str]) -> None:
        made = self._numbers.made(kind, shown)
        key = compact_key(shown)
        if len(key) < 6 and kind not in _NETWORK:
            # Too short to be told from other numbers: only its label gives it away.
            self._remember(kind, shown, made, certain=False)
            return
        forms = self._numbers.phone_forms(shown) if kind == "PHONE_NUMBER" else {key: made}
        style = "literal" if kind == "IP_ADDRESS" else "overlay"
        gap = "network" if kind in _NETWORK else "number"
        for form_key, form_made in sorted(forms.items()):
            self._lexicon.add(Form(kind, ((form_key, form_made),), gap=gap, style=style, id=key))
        self._remember(kind, shown, overlay(shown, made) if style == "overlay" else made, forms)
        if kind in _ACCOUNTS:
            tail, new = alnum(shown)[-4:], compact(made)[-4:]
            if self._endings.setdefault(tail, new) != new:
                clashes.add(tail)

    # --- everything else --------------------------------------------------------------------------

    def _add_births(self) -> None:
        """Days of birth, and the forms that only the lexicon finds: run together, without separators."""
        self._births: set[date] = set()
        if not self.replaces("DATE_OF_BIRTH"):
            return
        for _, shown in sorted(self._found.values["DATE_OF_BIRTH"].items()):
            parsed = parse_date(shown)
            if parsed is None:
                continue
            self._births.add(parsed[0])
            key = compact_key(shown)
            if key.isdigit():
                made = alnum(self._offsets.shifted(shown, "") or "")
                self._lexicon.add(Form("DATE_OF_BIRTH", ((key, made),), gap="number", style="overlay"))

    def _date(self, kind: str, shown: str, owner: str) -> str | None:
        """What is written for a date or an age; None when it stays."""
        parsed = None if kind == "AGE" else parse_date(shown)
        if parsed is not None and parsed[0] in self._births:
            kind = "DATE_OF_BIRTH"
        if not self.replaces(kind):
            return None
        if kind == "AGE":
            return self._treat(kind, shown, self.surrogates.shape("AGE", shown))
        made = self._offsets.shifted(shown, owner)
        if made is not None and kind == "DATE_OF_BIRTH":
            self._remember(kind, shown, made, owner=owner)
        return None if made is None else self._treat(kind, shown, made)

    def _add_addresses(self) -> None:
        if not self.replaces("ADDRESS"):
            return
        for _, shown in sorted(self._found.values["ADDRESS"].items()):
            lines = self._address_lines(shown)
            flat = [piece for line in lines for piece in line]
            if not any(made for _, made in flat):
                continue
            keys = []
            telling = [p for p in lines if len(p) > 1 and any(made for _, made in p) and _width(p) > 5]
            for line in [flat, *telling]:
                digits = any(c.isdigit() for w, _ in line for c in w)
                if _width(line) > 4:
                    self._lexicon.add(Form("ADDRESS", tuple(line), gap="address", capital=not digits))
                    if digits and not _is_unit(line):
                        keys.append("".join(w for w, _ in line))
            made = ", ".join(" ".join(m or w for w, m in line) for line in lines)
            self._remember("ADDRESS", shown, made, keys, certain=any(c.isdigit() for c in shown))

    def _address_lines(self, shown: str) -> list[list[tuple[str, str | None]]]:
        """An address in its parts: words of the street and all numbers with stand-ins, places without.

        A place that is also called like somebody of the corpus goes like that name; a country stays.
        """
        parts = [p for p in re.split(r"[,;\n|]+", shown) if TOKEN.search(p)]
        street = next((i for i, p in enumerate(parts) if re.search(r"\d", p)), 0)
        lines: list[list[tuple[str, str | None]]] = []
        for index, part in enumerate(parts):
            line: list[tuple[str, str | None]] = []
            country = " ".join(w for w in words_of(part) if not w.isdigit()) in names.country_names()
            for word in TOKEN.findall(part):
                numeric = any(c.isdigit() for c in word)
                state = len(word) == 2 and word.isupper() and not numeric
                change = numeric or (index <= street and not state)
                made: str | None = self.surrogates.address_part(word) if change else word
                if not change and not country and fold(word) in self._names.alone:
                    made = self._names.made(fold(word))
                line.append((fold(word), None if made == word else made))
            lines.append(line)
        return lines

    def _add_secrets(self) -> None:
        if not self.replaces("SECRET"):
            return
        for shown in sorted(self._found.secrets):
            made = self.surrogates.secret(shown)
            spots = list(TOKEN.finditer(shown))
            core = shown[spots[0].start() : spots[-1].end()] if spots else ""
            if len(core) > 5:
                piece = ("".join(words_of(core)), made)
                self._lexicon.add(Form("SECRET", (piece,), gap="address", style="literal", exact=core))
            self._remember("SECRET", shown, made, certain=len(core) > 5)

    def _add_words(self) -> None:
        """Denied words, and places and firms when the policy replaces them."""
        for kind in ("CUSTOM", "LOCATION", "ORGANIZATION"):
            if not self.replaces(kind):
                continue
            found = self._found.firms if kind == "ORGANIZATION" else self._found.values[kind]
            for _, shown in sorted(found.items()):
                pieces = tuple((w, self._word(kind, w)) for w in words_of(shown))
                self._lexicon.add(Form(kind, pieces))
                self._remember(kind, shown, " ".join(made or w for w, made in pieces))

    def _word(self, kind: str, word: str) -> str | None:
        stays = word in names.ORG_WORDS or word in names.PARTICLES or word.isdigit()
        return None if stays else self.surrogates.word(kind, word)

    def _keep(self) -> list[str]:
        """Make firms and allowed values stay; returns them."""
        kept = list(self._policy.allow)
        if not self.replaces("ORGANIZATION"):
            kept += [
                text for key, text in self._found.firms.items() if key not in self._confirmed and len(key) > 2
            ]
        if not self.replaces("LOCATION"):
            # Nobody called Costa is meant by "Costa Rica".
            named = self._names.words
            kept += [
                c.title()
                for c in sorted(names.country_names())
                if len(found := words_of(c)) > 1 and named & {*found}
            ]
        for text in kept:
            found = words_of(text)
            if text in self._policy.allow or len(found) > 1 or found[0] not in self._names.words:
                capital = text not in self._policy.allow
                self._lexicon.add(Form("KEEP", tuple((w, None) for w in found), capital=capital))
        return sorted(set(kept))

    # --- what holds only where it stands ----------------------------------------------------------

    def _by_label(self, label: str, value: str) -> str | None:
        """Stand-in of a value that only its label gives away: short numbers, everyday words, secrets."""
        if EMPTY.fullmatch(value) or not self.replaces(
            "PERSON" if label in ("NAME", "GIVEN", "FAMILY") else label
        ):
            return None
        made = None
        if label == "SECRET":
            made = self.surrogates.secret(value)
        elif label in ("PERSON", "GIVEN", "FAMILY"):
            word = words_of(value)
            if len(word) == 1 and names.parse(value) is not None and (made := self._names.made(word[0])):
                made = made.upper() if value.isupper() else made
            label = "PERSON"
        elif label == "USERNAME":
            if re.fullmatch(r"[\w.@+-]{2,64}", value) and not all(
                w in names.words() for w in words_of(value)
            ):
                made = self._mailboxes.username(value)
        elif label in ("ID_NUMBER", "CUSTOMER_NUMBER"):
            if re.fullmatch(r"[A-Za-z]{0,4}[ _-]?\d{2,10}", value):
                made = overlay(value, self._numbers.made(label, value))
        elif label == "PHONE_NUMBER":
            if re.fullmatch(r"\d{2,6}", value):
                made = self._numbers.extension(value)
        elif label == "IBAN_CODE":
            if re.fullmatch(r"[A-Za-z]{2}\d[\w -]{2,40}", value):  # still being typed
                made = overlay(value, self._numbers.iban(alnum(value).upper()))
        elif label in ("BANK_ACCOUNT", "NATIONAL_ID") and plausible(label, value):
            made = overlay(value, self._numbers.made(label, value))
        return None if made is None else self._treat(label, value, made)

    def _locals(self) -> dict[str, list[tuple[Span, str]]]:
        """Short numbers and everyday words that are personal only in the strings they were found in."""
        out: dict[str, list[tuple[Span, str]]] = {}
        for text, spans in self._found.found.items():
            for span in spans:
                made = self._local(text, span) if self.replaces(span.type) else None
                if made is not None:
                    out.setdefault(text, []).append((span, made))
        return out

    def _local(self, text: str, span: Span) -> str | None:
        shown = text[span.start : span.end]
        if span.type == "PERSON":
            return self._local_name(text, shown, span.strength)
        if span.type in _NUMBERED and len(compact_key(shown)) < 6:
            return overlay(shown, self._numbers.made(span.type, shown))
        if span.type == "PHONE_NUMBER" and len(compact_key(shown)) < 6:
            return self._numbers.extension(shown)
        if span.type == "SECRET" and len(shown) < 6:
            return self.surrogates.secret(shown)
        if span.type == "URL":
            return "https://site.example/" + self._vault.key.hmac("url", shown).hex()[:8]
        return None

    def _local_name(self, text: str, shown: str, strength: int) -> str | None:
        """Stand-in of an everyday word that is the name of somebody known, where it is used as one."""
        found = list(TOKEN.finditer(shown))
        while len(found) > 1 and fold(found[0][0]) in names.TITLES:
            found.pop(0)
        if len(found) != 1:
            return self._small_name(shown, strength)
        word = fold(found[0][0])
        known = self._names.alone.get(word)
        if known is not None and not (known.capital and shown.islower()):
            return None
        made = self._names.made(word)
        prose = any(c.place == "prose" for c in self._found.seen[text])
        if made is None or not (strength > 1 or (prose and word not in self._found.people.protected)):
            return None
        return shown[: found[0].start()] + (made.upper() if shown.isupper() else made)

    def _small_name(self, shown: str, strength: int) -> str | None:
        """Stand-in of a name of everyday words in text typed without capitals: "mr. chad farmer"."""
        if not shown.islower() or strength < 2 or all(w in self._names.alone for w in words_of(shown)):
            return None
        made = TOKEN.sub(lambda m: self._names.made(fold(m[0])) or m[0], shown)
        return None if made == shown else made


def _width(line: list[tuple[str, str | None]]) -> int:
    return sum(len(word) for word, _ in line)


def _is_unit(line: list[tuple[str, str | None]]) -> bool:
    """Whether a line of an address says only which door, "Suite 203": that many addresses have."""
    return all(made is None or (word.isdigit() and len(word) < 5) for word, made in line)
