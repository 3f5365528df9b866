"""First pass: what the whole corpus says about its personal data, turned into one rewriter."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import date

from redact import names
from redact.checks import compact
from redact.corpus import Context, Edit
from redact.detect import Detector
from redact.labels import labelled_lines
from redact.lexicon import TOKEN, Form, Lexicon
from redact.names import fold
from redact.patterns import EMAIL, parse_date, plausible_birth
from redact.people_index import NameForms, People, words_of
from redact.policy import Policy
from redact.rewrite import Rewriter, compact_key
from redact.spans import Span
from redact.surrogates import Surrogates, national_number, shift_date
from redact.vault import Entry, Key, Vault

_NUMBERS = frozenset({"PHONE_NUMBER", "IBAN_CODE", "CREDIT_CARD", "BANK_ACCOUNT", "NATIONAL_ID", "ID_NUMBER", "IP_ADDRESS", "MAC_ADDRESS"})
_MASK = "*****"
_EMPTY = re.compile(r"[\W_•●]*|(?i:none|n/?a|null|unknown|yes|no|true|false|hidden|masked|redacted|-+)")


class Observer:
    """Collects the distinct strings of a corpus and where they stand. A visitor that changes nothing."""

    def __init__(self) -> None:
        self.seen: dict[str, set[Context]] = defaultdict(set)

    def text(self, text: str, context: Context) -> str:
        if len(text) > 1 and not text.isspace():
            self.seen[text].add(context)
        return text

    def edits(self, text: str, context: Context) -> list[Edit]:
        self.text(text, context)
        return []


class Knowledge:
    """Everything found in a corpus, and the stand-ins for it.

    Args:
        seen: Strings and their contexts, from :class:`Observer`.
        hosts: Host names and addresses of the recorded applications: they stay.
    """

    def __init__(
        self,
        seen: dict[str, set[Context]],
        detector: Detector,
        policy: Policy,
        vault: Vault,
        hosts: Iterable[str] = (),
    ) -> None:
        self.policy = policy
        self.vault = vault
        self._seen = seen
        self._hosts = {h.lower() for h in hosts} | {"localhost", "127.0.0.1", "0.0.0.0", "::1"}
        self._people = People()
        self._values: dict[str, dict[str, str]] = defaultdict(dict)
        self._emails: set[str] = set()
        self._firms: dict[str, str] = {}
        self._secrets: set[str] = set()
        self._found: dict[str, list[Span]] = {}
        self._protect()
        self._detect(detector)
        self._label()
        self._given_by_the_client()
        taken = {word for text in seen for word in words_of(text)}
        self.surrogates = Surrogates(vault.key, taken, vault.surrogates())
        self.entries: dict[str, Entry] = {}
        self.kept: list[str] = []

    # --- collecting -------------------------------------------------------------------------------

    def _protect(self) -> None:
        """Words of the application itself and of firms: no guess is believed against them."""
        people = self._people
        for text, contexts in self._seen.items():
            for context in contexts:
                fixed = context.label == "FIXED" and context.place != "control"
                control = context.place in ("control", "option", "ui") and len(text) <= 60
                if context.label == "FIRM" and context.place != "control" and not EMAIL.search(text):
                    self._firms.setdefault(compact_key(text), text)
                elif fixed or (control and context.label not in ("PERSON", "NAME", "GIVEN", "FAMILY", "USERNAME")):
                    name = names.parse(text)
                    if name is None or len(name.parts) < 2 or not names.known_given(name.parts[0]):
                        people.protected.update(words_of(text))
            if any(c.place == "prose" for c in contexts):
                people.lower.update(fold(w) for w in re.findall(r"(?<![\w@./-])[a-zà-ÿ]{3,}(?![\w@])", text))
        for text in self._firms.values():
            people.protected.update(words_of(text))
        people.firms = set(self._firms)
        people.allowed = {compact_key(text) for text in self.policy.allow}

    def _detect(self, detector: Detector) -> None:
        texts = [
            text
            for text, contexts in self._seen.items()
            if any(c.place != "control" for c in contexts) and not re.fullmatch(r"[\d.,:\s%€$£/+-]{1,9}", text)
        ]
        for text, spans in zip(texts, detector.find(texts), strict=True):
            self._found[text] = spans
            contexts = self._seen[text]
            prose = any(c.place == "prose" for c in contexts)
            fixed = all(c.label == "FIXED" or c.place == "control" for c in contexts)
            firm = any(c.label == "FIRM" for c in contexts)
            for span in spans:
                self._note(text[span.start : span.end], span, prose=prose, fixed=fixed, firm=firm)

    def _note(self, shown: str, span: Span, *, prose: bool, fixed: bool, firm: bool) -> None:
        if span.type == "PERSON":
            if not (fixed or firm) or span.strength > 2:
                self._people.see(shown, span.strength, prose=prose)
        elif span.type == "EMAIL_ADDRESS":
            self._add_email(shown)
        elif span.type == "SECRET":
            self._secrets.add(shown)
        elif span.type == "ORGANIZATION":
            if names.looks_like_firm(shown):
                self._firms.setdefault(compact_key(shown), shown)
        elif span.type in ("LOCATION", "DATE_TIME", "AGE", "URL"):
            if self.policy.treatment(span.type) != "keep" and not fixed:
                self._values[span.type].setdefault(compact_key(shown), shown)
        elif span.type == "IP_ADDRESS":
            if shown.lower() not in self._hosts:
                self._values[span.type].setdefault(shown, shown)
        elif not (fixed and span.score < 0.9):
            self._values[span.type].setdefault(compact_key(shown), shown)

    def _add_email(self, shown: str) -> None:
        self._emails.add(shown.lower())
        self._people.see_address(shown.partition("@")[0])

    def _label(self) -> None:
        """Values that their labels give away."""
        for text, contexts in self._seen.items():
            for label in sorted({c.label for c in contexts if c.label and c.place not in ("control", "option")}):
                self._labelled(label, text.strip())
            if any(c.label in ("PERSON", "NAME") and c.place == "option" for c in contexts):
                self._person(text, "NAME")
            if any(c.place == "prose" for c in contexts):
                for label, start, end in labelled_lines(text):
                    self._labelled(label, text[start:end].strip())

    def _labelled(self, label: str, value: str) -> None:
        if _EMPTY.fullmatch(value) or len(value) > 300:
            return
        if label in ("PERSON", "NAME", "GIVEN", "FAMILY"):
            for part in re.split(r"\s*(?:;|/|\||\n|<br ?/?>| and | & )\s*", value):
                self._person(part, label)
        elif label == "USERNAME":
            if re.fullmatch(r"[\w.@+-]{2,64}", value):
                if "@" in value and EMAIL.fullmatch(value):
                    self._add_email(value)
                else:
                    self._people.see_address(value)
                    if fold(value) not in names.words():
                        self._values["USERNAME"].setdefault(compact_key(value), value)
            else:
                self._person(value, "PERSON")
        elif label == "SECRET":
            self._secrets.add(value)
        elif label in _NUMBERS or label in ("DATE_OF_BIRTH", "ADDRESS"):
            if self._plausible(label, value):
                self._values[label].setdefault(value if label == "IP_ADDRESS" else compact_key(value), value)

    def _person(self, value: str, label: str) -> None:
        value = re.sub(r"\s*(?:[(<\[].*|,? (?:-|–|\|) .*)$", "", value).strip(" \t*,;:")
        name = names.parse(value)
        if name is None or compact_key(value) in self._firms or names.looks_like_firm(value):
            return
        known = any(names.known_given(p) for p in name.given) or any(names.known_family(p) for p in name.family)
        if label == "NAME":
            self._people.see(value, 2 if known and len(name.parts) > 1 else 0, prose=False)
        elif len(name.parts) > 1:
            self._people.see(value, 3 if known else 2, prose=False)
        else:
            self._people.see(value, 2 if known or label in ("GIVEN", "FAMILY") else 1, prose=True)

    @staticmethod
    def _plausible(label: str, value: str) -> bool:
        digits = sum(c.isdigit() for c in value)
        if label == "PHONE_NUMBER":
            return digits >= 7 and re.fullmatch(r"[\d ()+./\-\u00a0x]|[\d ()+./\-\u00a0]{5,}(?:(?:ext|x)\.? ?\d+)?", value) is not None
        if label == "IBAN_CODE":
            return re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{8,30}", compact(value)) is not None
        if label == "DATE_OF_BIRTH":
            parsed = parse_date(value)
            return parsed is not None and plausible_birth(parsed[0], date.today())
        if label == "ADDRESS":
            return bool(digits) and len(value) > 3 or len(value.split()) > 2
        if label in ("IP_ADDRESS", "MAC_ADDRESS"):
            return False  # their recognisers are sure by themselves
        return digits >= 3 and len(value) <= 40 and len(compact(value)) >= 4

    def _given_by_the_client(self) -> None:
        for name in self.policy.people:
            self._people.see(name, 3, prose=True)
        for value in self.policy.deny:
            if EMAIL.fullmatch(value):
                self._add_email(value)
            elif re.search(r"\d{4}", compact(value)):
                self._values["CUSTOM_NUMBER"].setdefault(compact_key(value), value)
            elif (name := names.parse(value)) is not None and names.known_given(name.parts[0]):
                self._people.see(value, 3, prose=True)
            else:
                self._values["CUSTOM"].setdefault(compact_key(value), value)

    # --- stand-ins --------------------------------------------------------------------------------

    def rewriter(self) -> Rewriter:
        """The rewriter for this corpus; fills :attr:`entries` for the vault."""
        full, single = self._people.accepted()
        usernames = {compact_key(e.partition("@")[0]) for e in self._emails} | set(self._values["USERNAME"])
        confirmed = {compact_key(e.shown) for e in full}
        firms = {key: text for key, text in self._firms.items() if key not in confirmed and len(key) > 2}
        self.kept = sorted({*firms.values(), *self.policy.allow})
        known = self._people.protected | self._people.lower
        ambiguous = {w for w in known if not (names.known_given(w) or names.known_family(w))} | {
            w for w in self._people.protected if w in self._app_words()
        }
        self._names = NameForms(full, single, self.surrogates, ambiguous, usernames)
        lexicon = Lexicon()
        endings: dict[str, str] = {}
        self._add_people(lexicon)
        self._add_numbers(lexicon, endings)
        self._add_others(lexicon)
        for key, text in firms.items():
            if self.policy.treatment("ORGANIZATION") == "keep":
                if len(words_of(text)) > 1 or key not in self._names.words:
                    lexicon.add(Form("KEEP", tuple((w, None) for w in words_of(text)), capital=True))
            else:
                self._add_words(lexicon, "ORGANIZATION", text)
        for text in self.policy.allow:
            lexicon.add(Form("KEEP", tuple((w, None) for w in words_of(text))))
        rewriter = Rewriter(lexicon, self._email, self._by_label, self._treat, self._locals(), endings)
        for email in sorted(self._emails):
            self._email(email)
        return rewriter

    def _app_words(self) -> set[str]:
        """Words of buttons, headers, labels and fixed values, where a name may be one too ("Grant")."""
        words: set[str] = set()
        for text, contexts in self._seen.items():
            if any(c.place == "control" or (c.label == "FIXED" and c.place != "control") for c in contexts) and len(text) < 40:
                name = names.parse(text)
                if name is None or len(name.parts) < 2:
                    words.update(words_of(text))
        return words

    def _remember(
        self,
        kind: str,
        original: str,
        surrogate: str,
        aliases: Iterable[str],
        *,
        certain: bool = True,
        capital: bool = False,
    ) -> str:
        keys = tuple(dict.fromkeys(a for a in (compact_key(original), *aliases) if a))
        entry_id = self.vault.id_of(kind, keys[0] if keys else original)
        self.entries[entry_id] = Entry(entry_id, kind, self._treat(kind, original, surrogate), original, keys, certain, capital)
        return entry_id

    def _add_people(self, lexicon: Lexicon) -> None:
        if self.policy.treatment("PERSON") == "keep":
            return
        for evidence, forms in self._names.people:
            for form in forms:
                lexicon.add(form)
            made = " ".join(self._stand_in(p) for p in evidence.name.parts)
            # Forms written as several words only are no proof when found run together.
            aliases = ["".join(w for w, _ in f.pieces) for f in forms if not f.apart]
            capital = any(f.capital and not f.apart for f in forms)
            self._remember("PERSON", " ".join(evidence.name.parts), made, aliases, capital=capital)
        for word in sorted(self._names.words):
            form = self._names.alone.get(word)
            if form is not None:
                lexicon.add(form)
            self._remember("NAME", word.capitalize(), self._names.made(word) or word, (), certain=form is not None, capital=form is not None and form.capital)

    def _stand_in(self, part: str) -> str:
        return "-".join((self._names.made(w) or (w.upper() if len(w) == 1 else w)) for w in words_of(part))

    def _add_numbers(self, lexicon: Lexicon, endings: dict[str, str]) -> None:
        clash: set[str] = set()
        for kind in sorted(_NUMBERS | {"CUSTOM_NUMBER"}):
            if self.policy.treatment(kind) == "keep":
                continue
            for key, shown in sorted(self._values[kind].items()):
                made = self.number(kind, shown)
                plain = "".join(c for c in shown if c.isalnum())
                keys = {compact_key(shown): made}
                if kind == "PHONE_NUMBER":
                    keys = self._phone_forms(shown)
                if kind not in ("IP_ADDRESS", "MAC_ADDRESS") and len(compact_key(shown)) < 6:
                    self._remember(kind, shown, made, (), certain=False)
                    continue
                for form_key, form_made in sorted(keys.items()):
                    style = "literal" if kind in ("IP_ADDRESS",) else "overlay"
                    lexicon.add(Form(kind, ((form_key, form_made),), gap="number", style=style, id=key))
                self._remember(kind, shown, made, keys)
                if kind in ("IBAN_CODE", "CREDIT_CARD", "BANK_ACCOUNT"):
                    tail, new = plain[-4:], compact(made)[-4:]
                    if endings.setdefault(tail, new) != new:
                        clash.add(tail)
        for tail in clash:
            del endings[tail]

    def _phone_forms(self, shown: str) -> dict[str, str]:
        country, national = national_number(shown)
        made = self.surrogates.phone(national)
        forms = {f"{prefix}{national}": f"{prefix}{made}" for prefix in {"", "0", country, f"00{country}" if country else "", f"{country}0" if country else ""}}
        whole = compact_key(shown)
        if whole not in forms:
            extension = whole.partition(national)[2] if national in whole else ""
            tail = self.surrogates.shape("EXTENSION", extension) if extension.isdigit() else extension
            forms[whole] = (whole.partition(national)[0] + made + tail) if national in whole else self.surrogates.shape("PHONE_NUMBER", whole)
        return {k: v for k, v in forms.items() if len(k) >= 7 or k == whole}

    def number(self, kind: str, shown: str) -> str:
        """Stand-in for a number as written."""
        plain = "".join(c for c in shown if c.isalnum())
        surrogates = self.surrogates
        if kind == "PHONE_NUMBER":
            return self._phone_forms(shown).get(compact_key(shown), plain)
        if kind == "IBAN_CODE":
            return surrogates.iban(plain.upper())
        if kind == "CREDIT_CARD":
            return surrogates.card(plain)
        if kind == "NATIONAL_ID":
            return surrogates.national_id(shown)
        if kind == "IP_ADDRESS":
            return surrogates.ip(shown)
        if kind == "MAC_ADDRESS":
            return surrogates.mac(shown)
        return surrogates.shape(kind, plain)

    def _add_others(self, lexicon: Lexicon) -> None:
        for _, shown in sorted(self._values["DATE_OF_BIRTH"].items()):
            if self.policy.treatment("DATE_OF_BIRTH") != "keep":
                made = self.surrogates.birth(shown)
                digits = not re.search(r"[^\W\d_]", shown)
                pieces = tuple((w, None) for w in words_of(shown)[1:])
                first = words_of(shown)[0]
                value = "".join(c for c in made if c.isalnum()) if digits else made
                lexicon.add(Form("DATE_OF_BIRTH", ((first + "".join(w for w, _ in pieces), value),), gap="address" if not digits else "number", style="overlay" if digits else "literal"))
                self._remember("DATE_OF_BIRTH", shown, made, ())
        if self.policy.treatment("ADDRESS") != "keep":
            for _, shown in sorted(self._values["ADDRESS"].items()):
                self._add_address(lexicon, shown)
        for key, shown in sorted(self._values["USERNAME"].items()):
            if self.policy.treatment("USERNAME") != "keep" and key not in lexicon and len(key) > 3 and not self._app_word(key):
                made = self.username(shown)
                lexicon.add(Form("USERNAME", ((key, "".join(c for c in made if c.isalnum())),), style="literal" if len(words_of(shown)) == 1 else "overlay"))
                self._remember("USERNAME", shown, made, ())
        for shown in sorted(self._secrets):
            if self.policy.treatment("SECRET") != "keep":
                made = self.surrogates.secret(shown)
                found = words_of(shown)
                core = shown[(m := list(TOKEN.finditer(shown)))[0].start() : m[-1].end()] if found else ""
                long = len(core) > 5
                if long:
                    lexicon.add(Form("SECRET", (("".join(found), made),), gap="address", style="literal", exact=core))
                self._remember("SECRET", shown, made, (), certain=long)
        for kind in ("CUSTOM", "LOCATION"):
            for shown in self._values[kind].values():
                self._add_words(lexicon, kind, shown)

    def _app_word(self, key: str) -> bool:
        return key in names.words() or key in self._people.protected

    def _add_words(self, lexicon: Lexicon, kind: str, shown: str) -> None:
        if self.policy.treatment(kind) == "keep":
            return
        pieces = tuple(
            (w, w if w in names.ORG_WORDS or w in names.PARTICLES or w.isdigit() else self.surrogates.word(kind, w)) for w in words_of(shown)
        )
        if pieces:
            lexicon.add(Form(kind, tuple((w, None if m == w else m) for w, m in pieces)))
            self._remember(kind, shown, " ".join(m if m != w else w for w, m in pieces), ())

    def _add_address(self, lexicon: Lexicon, shown: str) -> None:
        pieces = self.address_pieces(shown)
        flat = [piece for part in pieces for piece in part]
        if not any(made for _, made in flat):
            return
        parts = [flat, *(p for p in pieces if len(p) > 1 and any(made for _, made in p) and _telling(p))]
        keys = []
        for part in parts:
            digits = any(c.isdigit() for w, _ in part for c in w)
            if len("".join(w for w, _ in part)) > 4:
                lexicon.add(Form("ADDRESS", tuple(part), gap="address", capital=not digits))
                if digits:
                    keys.append("".join(w for w, _ in part))
        made = ", ".join(" ".join(m or w for w, m in part) for part in pieces)
        self._remember("ADDRESS", shown, made, keys, certain=any(c.isdigit() for c in shown))

    def address_pieces(self, shown: str) -> list[list[tuple[str, str | None]]]:
        """An address in its lines; words of streets and all numbers with stand-ins, places without."""
        parts = [p for p in re.split(r"[,;\n|]+", shown) if TOKEN.search(p)]
        street = next((i for i, p in enumerate(parts) if re.search(r"\d", p)), 0)
        out: list[list[tuple[str, str | None]]] = []
        for index, part in enumerate(parts):
            found: list[tuple[str, str | None]] = []
            for match in TOKEN.finditer(part):
                word = match[0]
                numeric = any(c.isdigit() for c in word)
                state = len(word) == 2 and word.isupper() and not numeric
                change = numeric or (index <= street and not state)
                made = self.surrogates.address_part(word) if change else word
                found.append((fold(word), None if made == word else made))
            out.append(found)
        return out

    def username(self, shown: str) -> str:
        """Stand-in of a user name: its name words mapped, other letters and digits at random."""
        local = re.split(r"([._+-]+)", shown)
        return "".join(p if re.fullmatch(r"[._+-]*", p) else self._local_part(p, shown) for p in local)

    def _local_part(self, part: str, whole: str) -> str:
        word = fold(part)
        made = self._names.made(word)
        if made is not None:
            return made.lower() if part.islower() else made
        if word in names.words() or word in names.ORG_WORDS:
            return part
        return self.surrogates.shape("USERNAME", part) if len(part) > 2 else self._short(part, whole)

    def _short(self, part: str, whole: str) -> str:
        stream = self.vault.key.hmac("initial", whole, part)
        return "".join(str(b % 10) if c.isdigit() else chr(97 + b % 26) for b, c in zip(stream, part, strict=False))

    def _email(self, shown: str) -> str:
        if self.policy.treatment("EMAIL_ADDRESS") == "keep" or compact_key(shown) in self._people.allowed:
            return shown
        lower = shown.lower()
        known = self.entries.get(self.vault.id_of("EMAIL_ADDRESS", compact_key(lower)))
        made = known.surrogate if known else self._new_email(lower)
        if known is None:
            self._remember("EMAIL_ADDRESS", lower, made, ())
            made = self._treat("EMAIL_ADDRESS", lower, made)
        return made.upper() if shown.isupper() else made

    def _new_email(self, lower: str) -> str:
        local, _, domain = lower.partition("@")
        host = self._domain(domain)
        base = made = self._new_local(local)
        taken = {e.surrogate for e in self.entries.values() if e.type == "EMAIL_ADDRESS"} | self._emails
        number = 2
        while f"{made}@{host}" in taken:
            made, number = f"{base}{number}", number + 1
        return f"{made}@{host}"

    def _new_local(self, local: str) -> str:
        lexicon = self._user_lexicon()
        hits = [h for h in lexicon.scan(local) if h.start == 0 and h.end == len(local.rstrip("0123456789"))]
        if hits:
            from redact.lexicon import render

            tail = local[hits[0].end :]
            return render(hits[0], local) .lower() + (self._short(tail, local) if tail else "")
        words = [w for w in re.split(r"[._+-]+", local) if w]
        if all(w in names.words() or w in names.ORG_WORDS or w in ("noreply", "hello") for w in map(fold, words)) and not any(
            self._names.made(fold(w)) for w in words
        ):
            return self.surrogates.mailbox(local)
        return self.username(local)

    def _user_lexicon(self) -> Lexicon:
        """Names as they stand in user names: nothing depends on capitals there."""
        if not hasattr(self, "_users"):
            self._users = Lexicon()
            for _, forms in self._names.people:
                for form in forms:
                    self._users.add(Form("PERSON", form.pieces))
        return self._users

    def _domain(self, domain: str) -> str:
        """Firms' domains stay like the firms; a person's own domain does not."""
        labels = domain.split(".")
        key = compact_key(labels[0])
        firm = key in self._firms or any(key and key in f for f in self._firms)
        if self.policy.treatment("ORGANIZATION") != "keep" and len(labels) > 1:
            return f"{self.surrogates.word('DOMAIN', key).lower()}.example"
        if not firm and key in self._user_lexicon() or key in self._names.alone:
            words = self._user_lexicon().forms(key) or [self._names.alone[key]]
            labels[0] = "".join(m or w for w, m in words[0].pieces).lower()
        return ".".join(labels)

    def _by_label(self, label: str, value: str) -> str | None:
        """Stand-in of a value that only its label gives away: short numbers, ambiguous names, secrets."""
        if _EMPTY.fullmatch(value) or self.policy.treatment(label) == "keep":
            return None
        if label == "SECRET":
            return self._treat(label, value, self.surrogates.secret(value))
        if label in ("PERSON", "NAME", "GIVEN", "FAMILY"):
            words = words_of(value)
            if len(words) == 1 and names.parse(value) is not None and label != "NAME" and (made := self._names.made(words[0])):
                return self._treat("PERSON", value, made.upper() if value.isupper() else made)
            return None
        if label == "USERNAME":
            if re.fullmatch(r"[\w.@+-]{2,64}", value) and not all(w in names.words() for w in words_of(value)):
                return self._treat(label, value, self.username(value))
            return None
        if label == "ID_NUMBER" and re.fullmatch(r"[A-Za-z]{0,4}[ _-]?\d{2,10}", value):
            return self._treat(label, value, _overlaid(value, self.number(label, value)))
        if label == "PHONE_NUMBER" and re.fullmatch(r"\d{2,6}", value):
            return self._treat(label, value, self._extension(value))
        if label in ("BANK_ACCOUNT", "NATIONAL_ID") and self._plausible(label, value):
            return self._treat(label, value, _overlaid(value, self.number(label, value)))
        return None

    def _extension(self, value: str) -> str:
        """An extension agrees with the one telephone number that ends with it."""
        known = [shown for shown in self._values["PHONE_NUMBER"].values() if compact(shown).endswith(value)]
        if len(known) == 1:
            return compact(self.number("PHONE_NUMBER", known[0]))[-len(value) :]
        return self.surrogates.shape("EXTENSION", value)

    def _treat(self, kind: str, shown: str, made: str) -> str:
        treatment = self.policy.treatment("PERSON" if kind == "NAME" else "CUSTOM" if kind == "CUSTOM_NUMBER" else kind)
        if treatment == "tag":
            return f"[{kind}_{self.vault.key.hmac('tag', kind, compact_key(shown)).hex()[:6]}]"
        if treatment == "mask":
            return _MASK
        return "" if treatment == "drop" else made

    def _locals(self) -> dict[str, list[tuple[Span, Form | str]]]:
        """What holds only where it was found: short numbers, everyday words that are names here."""
        out: dict[str, list[tuple[Span, Form | str]]] = {}
        for text, spans in self._found.items():
            for span in spans:
                shown = text[span.start : span.end]
                made: Form | str | None = None
                if span.type == "PERSON":
                    words = words_of(shown)
                    if len(words) == 1 and words[0] not in self._names.alone and (value := self._names.made(words[0])):
                        contexts = self._seen[text]
                        if span.strength > 1 or (any(c.place == "prose" for c in contexts) and words[0] not in self._people.protected):
                            made = value.upper() if shown.isupper() else value
                elif span.type in ("ID_NUMBER", "BANK_ACCOUNT", "NATIONAL_ID") and len(compact_key(shown)) < 6:
                    made = _overlaid(shown, self.number(span.type, shown))
                elif span.type == "SECRET" and len(shown) < 6:
                    made = self.surrogates.secret(shown)
                elif span.type in ("DATE_TIME", "AGE", "URL") and self.policy.treatment(span.type) != "keep":
                    made = self._soft(span.type, shown)
                if made is not None and self.policy.treatment(span.type) != "keep":
                    out.setdefault(text, []).append((span, made))
        return out

    def _soft(self, kind: str, shown: str) -> str:
        if kind == "DATE_TIME" and (parsed := parse_date(shown)) is not None:
            days = self.vault.key.number("dates") % 300 + 30
            return shift_date(shown, parsed[0], -days)
        if kind == "URL":
            return "https://site.example/" + self.vault.key.hmac("url", shown).hex()[:8]
        return self.surrogates.shape(kind, shown)


def _overlaid(shown: str, made: str) -> str:
    from redact.surrogates import overlay

    return overlay(shown, "".join(c for c in made if c.isalnum()))


def _telling(part: list[tuple[str, str | None]]) -> bool:
    """Whether a line of an address says enough to be replaced where it stands alone."""
    return sum(len(w) for w, _ in part) > 5


def build(
    seen: dict[str, set[Context]], detector: Detector, policy: Policy, vault: Vault, hosts: Iterable[str] = ()
) -> tuple[Rewriter, Knowledge]:
    """Learn the corpus; returns its rewriter and what the vault must remember."""
    knowledge = Knowledge(seen, detector, policy, vault, hosts)
    return knowledge.rewriter(), knowledge


__all__ = ["Key", "Knowledge", "Observer", "build"]
