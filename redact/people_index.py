"""Who the people of a corpus are: evidence from all strings together, and the forms their names take.

A name seen once with certainty (a column headed "Contact", ``Name <address>``,
a user name that repeats it) is known everywhere, with its aliases; a guess that
nothing else supports, or that is a word of the application, is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from redact import names
from redact.lexicon import TOKEN, Form
from redact.names import Name, fold
from redact.people import known_place
from redact.surrogates import Surrogates


def words_of(text: str) -> list[str]:
    """Folded words of a text as the lexicon sees them."""
    return [fold(word) for word in TOKEN.findall(text)]


@dataclass(slots=True)
class Evidence:
    """What speaks for one name: the best strength, and the name as first written."""

    name: Name
    shown: str
    strength: int = 0
    prose: bool = False


@dataclass(slots=True)
class People:
    """Collects evidence, then says who is a person.

    Attributes:
        protected: Folded words of the application and of firms: a guess that
            contains one is not believed.
        firms: Compact forms of firms' names.
        allowed: Compact forms that must stay.
        allowed_words: Their words: alone they are believed only as part of somebody else's name.
    """

    protected: set[str] = field(default_factory=set)
    firms: set[str] = field(default_factory=set)
    allowed: set[str] = field(default_factory=set)
    allowed_words: set[str] = field(default_factory=set)
    lower: set[str] = field(default_factory=set)
    _full: dict[tuple[str, ...], Evidence] = field(default_factory=dict)
    _single: dict[str, Evidence] = field(default_factory=dict)
    _locals: set[tuple[str, ...]] = field(default_factory=set)

    def see(self, shown: str, value: int, *, prose: bool) -> None:
        """A name was seen, with this strength of evidence (see :class:`redact.spans.Span`)."""
        name = names.parse(shown) or names.parse(shown.title())
        if name is None or not name.parts:
            return
        if len(name.parts) == 1:
            store: dict[str, Evidence] = self._single
            known = store.setdefault(fold(name.parts[0]), Evidence(name, shown))
        else:
            known = self._full.setdefault(
                tuple(fold(p).rstrip(".") for p in name.parts), Evidence(name, shown)
            )
        known.strength = max(known.strength, value)
        known.prose = known.prose or prose

    def see_address(self, local: str) -> None:
        """The local part of an e-mail address, or a user name."""
        parts = tuple(p for p in re.split(r"[._\-+]+", re.sub(r"\d+", "", fold(local))) if p)
        self._locals.add(parts)

    def accepted(self) -> tuple[list[Evidence], list[Evidence]]:
        """Full names, and words that are a name by themselves, both in a stable order."""
        self._from_addresses()
        full = _without_short([e for _, e in sorted(self._full.items()) if self._believed(e)])
        parts = {w for e in full for p in e.name.parts for w in words_of(p)}
        single = [
            e for folded, e in sorted(self._single.items())
            if folded in parts or self._believed_single(folded, e)
        ]  # fmt: skip
        return full, single

    def _from_addresses(self) -> None:
        for evidence in self._full.values():
            forms = {tuple(words_of(p)) for p in _address_forms(evidence.name)}
            if forms & self._locals:
                evidence.strength = 3
        known = {
            form for e in self._full.values() for form in (tuple(words_of(p)) for p in _address_forms(e.name))
        }
        for parts in sorted(self._locals - known):
            if len(parts) != 2 or any(p in names.words() or p in names.ORG_WORDS for p in parts):
                continue
            first, last = parts
            if len(first) > 1 and len(last) > 1 and (names.known_given(first) or names.known_family(last)):
                self.see(
                    f"{first.capitalize()} {last.capitalize()}",
                    3 if names.known_given(first) else 2,
                    prose=False,
                )

    def _believed(self, evidence: Evidence) -> bool:
        words = [w for p in evidence.name.parts for w in words_of(p)]
        key = "".join(words)
        if evidence.strength >= 3:
            return key not in self.allowed
        if " ".join(words) in names.country_names():
            return False
        if key in self.firms or key in self.allowed or names.looks_like_firm(evidence.shown):
            return False
        if any(len(w) > 1 and w in self.protected and not _is_name_word(w) for w in words):
            return False
        if evidence.strength == 2:
            return True
        if any(w in self.protected for w in words if len(w) > 1):
            return False
        return evidence.strength == 1 and evidence.prose

    def _believed_single(self, folded: str, evidence: Evidence) -> bool:
        if folded in self.allowed | self.allowed_words or folded in self.firms or len(folded) < 2:
            return False
        if evidence.strength >= 3:
            return True
        if folded in names.country_names() and not _is_name_word(folded):
            return False
        if folded in self.protected or known_place(folded):
            return False
        if folded in self.lower or folded in names.words():
            return evidence.strength == 2
        if evidence.strength == 2 or _is_name_word(folded):
            return evidence.prose or evidence.strength == 2
        return evidence.prose


def _without_short(full: list[Evidence]) -> list[Evidence]:
    """Without names of which only the initial is known, where somebody has that initial and family name."""
    long = {
        (w[0], tuple(words_of(" ".join(e.name.family))))
        for e in full
        for w in words_of(" ".join(e.name.given[:1]))[:1]
        if len(w) > 1
    }
    return [
        e for e in full
        if not (e.name.given and all(names.is_initial(p) for p in e.name.given))
        or (words_of(e.name.given[0])[0], tuple(words_of(" ".join(e.name.family)))) not in long
    ]  # fmt: skip


def _is_name_word(folded: str) -> bool:
    return (names.known_given(folded) or names.known_family(folded)) and folded not in names.words()


def _address_forms(name: Name) -> Iterable[str]:
    """How a name stands before the @."""
    if not name.given or not name.family:
        return
    first = "".join(words_of(name.given[0]))
    last = "".join(words_of(" ".join(name.family)))
    if not first or not last:
        return
    yield from (
        f"{first} {last}",
        f"{last} {first}",
        first + last,
        f"{first[0]} {last}",
        first[0] + last,
        last + first[0],
    )


def _long_forms(full: list[Evidence], single: list[Evidence]) -> dict[tuple[str, str], str]:
    """(short form of a first name, family name) -> the long form that somebody of that name has.

    The family is empty where the short form can mean only one person of the corpus.
    """
    longs = names.nicknames()
    families: dict[str, set[str]] = {}
    bearers: dict[str, set[str]] = {}
    for evidence in full:
        if evidence.name.given and evidence.name.family:
            given = words_of(evidence.name.given[0])[0]
            family = "".join(words_of(" ".join(evidence.name.family)))
            families.setdefault(family, set()).add(given)
            bearers.setdefault(given, set()).add(family)
    found: dict[tuple[str, str], str] = {}
    for family, givens in families.items():
        for given in givens:
            candidates = [g for g in givens if g in longs.get(given, ())]
            if len(candidates) == 1:
                found[given, family] = candidates[0]
    alone = {word for e in single for word in words_of(e.name.parts[0])}
    for word in alone | {short for short, _ in found}:
        own = bearers.get(word, set())
        if any((word, family) not in found for family in own):
            continue  # somebody's real name as well
        long = {found[word, family] for family in own} or {g for g in bearers if g in longs.get(word, ())}
        if len(long) == 1 and (own or len(bearers[next(iter(long))]) == 1):
            found[word, ""] = long.pop()
    return found


class NameForms:
    """The forms of accepted names in text.

    Args:
        full: Accepted names of several words.
        single: Accepted words that are a name by themselves.
        ambiguous: Folded words that also mean something else in this corpus.
        usernames: Compact forms seen as user names or before an @.
    """

    def __init__(
        self,
        full: list[Evidence],
        single: list[Evidence],
        surrogates: Surrogates,
        ambiguous: set[str],
        usernames: set[str],
    ) -> None:
        self._surrogates = surrogates
        self._ambiguous = ambiguous
        self._usernames = usernames
        self._given: dict[str, bool] = {}
        self._learn(full, single)
        self._long = _long_forms(full, single)
        for word, given in sorted(self._given.items()):
            surrogates.name(word, given=given)
        self.people = [(evidence, tuple(self._forms(evidence.name))) for evidence in full]
        self.alone = {word: self._alone(word) for word in sorted(self._given) if self.clear(word)}

    def _learn(self, full: list[Evidence], single: list[Evidence]) -> None:
        """Every word of a name, and whether it is a given name."""
        family = [w for e in full for p in e.name.family for w in words_of(p)]
        given = [w for e in full for p in e.name.given for w in words_of(p)]
        for word in family:
            self._given.setdefault(word, False)
        for word in given:
            if word not in self._given or names.known_given(word):
                self._given[word] = True
        for evidence in single:
            for word in words_of(evidence.name.parts[0]):
                known = names.known_given(word) or not names.known_family(word)
                self._given.setdefault(word, bool(evidence.name.given) and known)
        self._given = {w: g for w, g in self._given.items() if len(w) > 1 and w not in names.PARTICLES}

    @property
    def words(self) -> frozenset[str]:
        """All folded words that are parts of names."""
        return frozenset(self._given)

    def clear(self, word: str) -> bool:
        """Whether the word alone can only be a name."""
        country = word in names.country_names()
        return not (country or word in self._ambiguous or names.ambiguous(word) or known_place(word))

    def made(self, word: str, family: str = "") -> str | None:
        """Stand-in of one folded word; None for initials and particles.

        A short form of a first name has the stand-in of the long one, where the
        corpus has somebody of this folded ``family`` name (or only one at all) with it.
        """
        word = self._long.get((word, family)) or self._long.get((word, "")) or word
        return self._surrogates.name(word, given=self._given[word]) if word in self._given else None

    def _alone(self, word: str) -> Form:
        return Form(
            "PERSON", ((word, self.made(word)),), capital=len(word) < 4 or not _is_name_word(word), id=word
        )

    def _forms(self, name: Name) -> Iterable[Form]:
        last = "".join(words_of(" ".join(name.family)))
        given = [
            [
                (w, self._surrogates.initial(w, last) if len(w) == 1 else self.made(w, last))
                for w in words_of(part)
            ]
            for part in name.given
        ]
        family = [(w, self.made(w)) for part in name.family for w in words_of(part)]
        flat = [piece for part in given for piece in part]
        key = "".join(w for w, _ in (given[0] if given else []) + family)
        unclear = any(not self.clear(w) for w, made in flat + family if made and len(w) > 1)
        if not family or not given:
            yield Form("PERSON", tuple(flat + family), capital=True, id=key)
            return
        first = given[0]
        initials = [(w[0], made[0] if made else None) for part in given for w, made in part[:1]]
        whole = {tuple(flat + family), tuple(family + flat), tuple(first + family), tuple(family + first)}
        if len(given) > 1:
            whole.add(tuple(first + initials[1:] + family))
            whole.add(tuple(family + first + initials[1:]))
        for pieces in sorted(whole, key=str):
            yield Form("PERSON", pieces, capital=unclear, id=key)
        tail = [(family[-1][0][0], self._initial(family[-1][0]))]
        short = {
            tuple(initials[:1] + family),
            tuple(initials + family),
            tuple(family + initials[:1]),
            tuple(first + tail),
        }
        for pieces in sorted(short, key=str):
            joined = "".join(w for w, _ in pieces)
            apart = joined not in self._usernames and (len(joined) < 7 or pieces == tuple(first + tail))
            yield Form("PERSON", pieces, capital=apart or unclear, apart=apart, dotted=True, id=key)

    def _initial(self, word: str) -> str | None:
        made = self.made(word)
        return made[0] if made else None
