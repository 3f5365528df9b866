"""Stand-ins for e-mail addresses and user names, derived from the stand-ins of the names in them."""

from __future__ import annotations

import re
from collections.abc import Collection

from redact import names
from redact.lexicon import Form, Lexicon, render
from redact.names import fold
from redact.people_index import NameForms
from redact.rewrite import compact_key
from redact.surrogates import Surrogates


class Mailboxes:
    """Makes stand-ins of addresses and user names.

    Args:
        emails: All addresses of the corpus in lower case: never used as stand-ins.
        firms: Compact keys of firms: their domains stay.
        rename_domains: Whether domains are replaced too (when firms are).
    """

    def __init__(
        self,
        people: NameForms,
        surrogates: Surrogates,
        emails: Collection[str],
        firms: Collection[str],
        *,
        rename_domains: bool,
    ) -> None:
        self._people = people
        self._surrogates = surrogates
        self._firms = firms
        self._rename_domains = rename_domains
        self._taken = set(emails)
        self._made: dict[str, str] = {}
        # Nothing depends on capitals in user names.
        self._names = Lexicon()
        for _, forms in people.people:
            for form in forms:
                self._names.add(Form("PERSON", form.pieces))

    def email(self, lower: str) -> str:
        """Stand-in of an address given in lower case."""
        if lower not in self._made:
            local, _, domain = lower.partition("@")
            base, host = self._local(local), self._domain(domain)
            made, number = f"{base}@{host}", 2
            while made in self._taken:
                made, number = f"{base}{number}@{host}", number + 1
            self._taken.add(made)
            self._made[lower] = made
        return self._made[lower]

    def username(self, shown: str) -> str:
        """Stand-in of a user name: its name words mapped, other letters and digits at random."""
        known = self._known(shown)
        return known if known is not None else self._by_parts(shown)

    def _by_parts(self, shown: str) -> str:
        parts = re.split(r"([._+-]+)", shown)
        return "".join(p if re.fullmatch(r"[._+-]*", p) else self._part(p, shown) for p in parts)

    def _local(self, local: str) -> str:
        known = self._known(local)
        if known is not None:
            return known
        words = [fold(w) for w in re.split(r"[._+-]+", local) if w]
        function = all(w in names.words() or w in names.ORG_WORDS or w == "noreply" for w in words)
        if function and not any(self._people.made(w) for w in words):
            return self._surrogates.mailbox(local)
        return self._by_parts(local)

    def _known(self, local: str) -> str | None:
        """Stand-in of a user name that is somebody's name in one of its forms, perhaps with a number."""
        stem = local.rstrip("0123456789")
        hit = next((h for h in self._names.scan(local) if h.start == 0 and h.end == len(stem)), None)
        if hit is None:
            return None
        made = render(hit, local)
        return (made.lower() if local.islower() else made) + self._few(local[hit.end :], local)

    def _part(self, part: str, whole: str) -> str:
        word = fold(part)
        made = self._people.made(word)
        if made is not None:
            return made.lower() if part.islower() else made
        if word in names.words() or word in names.ORG_WORDS:
            return part
        return self._surrogates.shape("USERNAME", part) if len(part) > 2 else self._few(part, whole)

    def _few(self, part: str, whole: str) -> str:
        """Stand-in of an initial or a year: too short to be different for everybody."""
        stream = self._surrogates.key.hmac("initial", whole, part)
        pairs = zip(stream, part, strict=False)
        return "".join(str(b % 10) if c.isdigit() else chr(97 + b % 26) for b, c in pairs)

    def _domain(self, domain: str) -> str:
        """Firms' domains stay like the firms; a person's own domain does not."""
        labels = domain.split(".")
        key = compact_key(labels[0])
        if self._rename_domains:
            return f"{self._surrogates.word('DOMAIN', key).lower()}.example"
        if any(key and key in firm for firm in self._firms):
            return domain
        form = next(iter(self._names.forms(key)), None) or self._people.alone.get(key)
        if form is not None:
            labels[0] = "".join(made or word for word, made in form.pieces).lower()
        return ".".join(labels)
