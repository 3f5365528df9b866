"""Recognisers of people by the way they are written: titles, initials, "Last, First", greetings.

They work beside the statistical model: what two of them agree on is strong,
what one of them says alone in a table or on a button is not (see ``strength``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from redact.labels import labelled_lines
from redact.names import (
    ORG_WORDS,
    PARTICLES,
    ROLE_WORDS,
    SUFFIXES,
    TITLES,
    fold,
    is_initial,
    known_family,
    known_given,
    looks_like_firm,
    ordinary,
    parse,
    places,
    word_list,
    words,
)
from redact.spans import Span

_UPPER = "".join(chr(c) for c in range(0x41, 0x530) if chr(c).isupper())
# A capitalised word of a name, an initial, and particles between them.
_W = (
    rf"(?:(?<![^\W\d_])(?:[dDlLO]['’]|Mc|Mac|al-|Al-|El-)?[{_UPPER}][^\W\d_]{{1,40}}"
    rf"(?:['’](?!s\b)[^\W\d_]{{1,40}})?(?:-[^\W\d_]{{1,40}}){{0,6}})"
)
NAME_WORD = _W
_I = rf"[{_UPPER}]\."
_P = (
    r"(?:(?:van|von|der|den|de|del|della|di|da|dos|das|do|du|la|le|ter|ten|bin|ibn|zu|zur|af|av|st\.|St\.)"
    r"[ ]){0,3}"
)
_ANY = rf"(?:{_I}[ ]?){{0,2}}{_P}{_W}(?:[ ](?:{_I}[ ]?){{0,2}}{_P}{_W}){{0,3}}"
_TITLED = re.compile(
    rf"\b(?P<t>(?i:mr|mrs|ms|miss|mx|dr|prof|professor|sir|dame|herr|frau|fru|monsieur|madame|mme|mlle|"
    rf"señora?|sra?|"
    rf"signora?|dott|rev|reverend|judge|sergeant|captain|colonel))\b\.?[ ]{{1,2}}(?P<v>{_ANY})"
)
_TITLED_SMALL = re.compile(
    r"\b(?:mr|mrs|ms|miss|dr|prof)\b\.?[ ]"
    r"(?P<v>[^\W\d_]{2,}(?:[ ](?!(?:is|was|has|will|said|and|apt|suite)\b)[^\W\d_]{2,})?)"
    r"(?=[ ]*(?:[.,?!;:\n]|$| (?:is|was|has|will|said|and|apt|suite)\b|['’]s\b))"
)
_WORDS = re.compile(rf"(?<![\w@.#/-])(?:{_W}|{_I})(?:[ ](?:{_I}(?![^\s\w])|{_P}{_W})){{1,15}}(?![\w@])")
_LAST_FIRST = re.compile(
    rf"(?<![\w@.])(?P<l>{_P}{_W}(?:[ ]{_W})?),[ ](?P<f>{_W}(?:[ ](?:{_I}|{_W}))?|{_I})(?![\w@])"
)
_INITIAL = re.compile(rf"(?<![\w@./-])(?:{_I}[ ]?){{1,3}}{_P}(?P<l>{_W})(?:-{_W})?(?![\w@])")
_SAID = re.compile(
    rf"(?P<v>{_ANY})(?:['’]s|\b)(?=[ ](?:said|says|asked|asks|told|wrote|writes|replied|called|approved|"
    rf"signed|confirmed|"
    r"lives|lived|works|worked|moved|is (?:from|very|so)|was|were|has|had|shouted|listed|"
    r"spent|will|began|became|agreed|joined|left|died|went|came|grew|thinks|thought|knows|knew|wants|wanted|"
    r"plays|played|sings|sang|writes|met|paid|sent|received|requested|submitted|resigned|retired)\b)"
)
_CALLED = re.compile(
    rf"(?:\b(?i:my name is|name is|name's|named(?: him| her)?|i am|i'm|this is|called|calls? me|call me|"
    rf"known as|"
    rf"(?:first|last|maiden|family|full) name(?:\?| is|:)|signed(?: by)?:?|regards,?|cheers,?|"
    rf"sincerely,?|best,?|thanks,?|"
    rf"dear|hi|hello|hey|attn:?|attention:?|c/o|contact:?|ask(?: for)?|told|asked|speak (?:to|with)|talk "
    rf"to|reports to|"
    rf"approved by|prepared by|written by|reviewed by|submitted by|requested by|assigned to|owner:|said|says|"
    rf"(?:husband|wife|son|daughter|brother|sister|mother|father|partner|friend|colleague|kid|child|boss|"
    rf"manager)"
    rf"(?:'s name)?(?: is)?,?)[ \n]+)(?P<v>{_ANY})"
)
# After these words stands a name, whatever else it may mean.
_SURELY = re.compile(
    rf"\b(?i:my name is|name's|(?:named|calls?|called) (?:him|her|me|them)|known as|"
    rf"(?:first|last|maiden|family|full) name(?:\?| is|:)|"
    rf"(?:directed|written|produced|sung|performed|composed|painted|played|signed|led|founded) by|"
    rf"starring|featuring|on behalf of|in memory of|married to|engaged to|"
    rf"(?:daughter|son|wife|husband) of)[ ]"
    rf"(?P<v>{_ANY})"
)
_OBJECT = re.compile(r"\b(?:for|at|of|to|from|with|by|in|on|as|into|over|under)[ ]$")
# Something of somebody's that only people have.
_OWNER = re.compile(
    rf"(?P<v>{_ANY})['’]s?[ ]"
    rf"(?=(?:new |old |home |work |postal |email |e-mail |phone |mobile |bank |billing )?"
    rf"(?:address|phone|number|e-?mail|account|card|password|birthday|husband|wife|son|daughter|mother|"
    rf"father|parents?|brother|sister|office|desk|manager|boss|signature|approval|request|salary|passport|"
    rf"doctor|house|apartment|car|job|name)\b)"
)
_CALLED_SMALL = re.compile(
    r"\b(?:my name is|name is|your name\?|maiden name is|last name is|last name\?|calls? me|call me|"
    r"named him|"
    r"named her|it's under|user:|name:|starring|directed by)[ ]"
    r"(?P<v>[^\W\d_]{2,}(?:[ ][^\W\d_]{2,}){0,2})(?=[ ]*(?:[.,?!;:]|$| but | and ))"
)
_PAIR = re.compile(rf"(?<![\w@] )(?<![\w@])(?P<a>{_W}) (?:and|&) (?P<b>{_W})(?= [a-z]|[.,;!?]|$)")
_TWO = re.compile(r" (?:are|were|have)\b")
_LIST = re.compile(rf"(?<![\w@])(?:{_W}, ){{1,12}}{_W},? (?:and|&|or) (?:{_W})(?!\w)")
_NAMED_ADDRESS = re.compile(rf"[\"']?(?P<v>{_ANY}|{_W},[ ]{_W})[\"']?[ ]{{0,2}}[<\[(](?=[\w.+-]{{1,64}}@)")
_HOUSE = frozenset({"apt", "apartment", "suite", "ste", "unit", "flat", "floor", "room", "po", "box", "attn"})
# Said to somebody at the beginning of a sentence; some are names too, but hardly before a name.
TOLD = frozenset({"ask", "tell", "call", "see", "meet", "thank", "thanks", "contact", "inform", "notify"})
_STOP = words() | SUFFIXES | TITLES | _HOUSE


def plain(word: str) -> str:
    """A word folded, without the possessive."""
    return re.sub(r"['’]s$", "", fold(word)).rstrip(".")


def foreign(text: str) -> bool:
    """Whether a word of a role, a firm or a form is in it."""
    found = [plain(w) for w in re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*\.?", text)]
    return any(word in ROLE_WORDS or word in ORG_WORDS for word in found)


def strength(text: str) -> int:
    """How much a multi-word text speaks for itself as a name.

    Returns:
        2 for a known given name with a family name, 1 for one known part or
        only unknown words, 0 when an everyday word decides it.
    """
    found = [w for w in re.split(r"[ ,\n]+", text) if w and plain(w) not in PARTICLES | TITLES]
    real = [w for w in found if not is_initial(w)]
    if not real:
        return 0
    given = [w for w in real if known_given(w)]
    odd = [w for w in real if plain(w) in words()]
    if len(found) == 1:
        return 1 if (given or known_family(real[0])) and not odd else 0
    if len(odd) == len(real):
        return 0
    if len(real) == 1:  # an initial and a family name
        return 0 if odd else 1
    if given and (not odd or plain(given[0]) not in words()):
        return 2
    return 1 if not odd or given else 0


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """Cut everyday words and titles from both ends of a run of capitalised words."""
    found = list(re.finditer(r"\S+", text[start:end]))
    while len(found) > 1 and (
        plain(found[0][0].strip(",")) in TOLD
        or (plain(found[0][0].strip(",")) in _STOP and not known_given(found[0][0]))
    ):
        found.pop(0)
    while len(found) > 1 and plain(found[-1][0].strip(",")) in _STOP and not known_family(found[-1][0]):
        found.pop()
    if not found:
        return start, start
    begin, last = start + found[0].start(), start + found[-1].end()
    for tail in ("'s", "’s", ",", "."):
        if text[begin:last].endswith(tail) and not (tail == "." and is_initial(found[-1][0])):
            last -= len(tail)
    return begin, last


def _split(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """A run of capitalised words cut where another name begins: "O. Dahl I. Castellanos", columns run "
    "together."""
    found = list(re.finditer(r"\S+", text[start:end]))
    runs: list[list[re.Match[str]]] = [[]]
    for match in found:
        opens = is_initial(match[0]) or (known_given(match[0]) and plain(match[0]) not in words())
        last = runs[-1][-1][0] if runs[-1] else ""
        complete = len(runs[-1]) > 1 and not is_initial(last) and plain(last) not in PARTICLES
        if (
            opens
            and complete
            and (is_initial(runs[-1][0][0]) or not is_initial(match[0]))
            and not (known_given(last) and not known_family(last))
        ):
            runs.append([])
        runs[-1].append(match)
    return [(start + run[0].start(), start + run[-1].end()) for run in runs if 1 < len(run) < 7]


def find(text: str) -> Iterator[Span]:
    """People in running text or in one field."""
    if not any(c.isupper() for c in text):
        yield from _find_small(text)
        return
    for match in _TITLED.finditer(text):
        start, end = _trim(text, *match.span("v"))
        if start < end and not (
            foreign(text[start:end]) or (plain(text[start:end]) in words() and match["t"][0].islower())
        ):
            yield Span(match.start(), end, "PERSON", 0.9, "title", 3)
    for match in _NAMED_ADDRESS.finditer(text):
        if not foreign(match["v"]):
            yield Span(*match.span("v"), "PERSON", 0.95, "mail header", 3)
    for match in _LAST_FIRST.finditer(text):
        if _last_first(text, match):
            yield Span(*match.span(), "PERSON", 0.8, "last, first", 2)
    for start, end in (
        _trim(text, *r) for match in _WORDS.finditer(text) for r in _split(text, *match.span())
    ):
        found = text[start:end]
        if " " in found and not foreign(found) and (value := strength(found)) and _opens_with_name(found):
            yield Span(start, end, "PERSON", 0.8 if value > 1 else 0.55, "name list", value)
    for match in _INITIAL.finditer(text):
        if (
            not foreign(match["l"])
            and plain(match["l"]) not in words()
            and not re.search(
                r"(?:section|part|annex|appendix) $",
                text[max(0, match.start() - 10) : match.start()],
                re.IGNORECASE,
            )
        ):
            yield Span(*match.span(), "PERSON", 0.7, "initial", 2 if known_family(match["l"]) else 1)
    for match in _SURELY.finditer(text):
        start, end = _trim(text, *match.span("v"))
        found = text[start:end]
        # In a heading every word has a capital: there an English word is one.
        if start < end and not foreign(found) and (known_given(found.split(" ")[0]) or not ordinary(found)):
            yield Span(start, end, "PERSON", 0.75, "announced", 2)
    for pattern, source in ((_CALLED, "announced"), (_SAID, "speaks"), (_OWNER, "owner")):
        for match in pattern.finditer(text):
            start, end = _trim(text, *match.span("v"))
            found = text[start:end]
            if pattern is _SAID and _OBJECT.search(text[max(0, start - 8) : start]):
                continue  # "recorded for Nielsen became": it is not Nielsen that became something
            if pattern is _SAID and (" " in found or known_place(found) or ordinary(found)):
                if not strength(found):
                    continue
            elif pattern is _SAID and not strength(found):
                # No English word, no known name: who does something is somebody, or a firm.
                if fold(found) not in places() and len(found) > 2 and not found.isupper():
                    yield Span(start, end, "PERSON", 0.4, "unknown word", 0)
                continue
            if start < end and not foreign(found) and plain(found.split(" ")[0]) not in _STOP - _GIVEN_WORDS:
                known = strength(found)
                if known or (" " not in found and plain(found) not in _STOP and not ordinary(found)):
                    yield Span(start, end, "PERSON", 0.7, source, max(1, known))
    for match in _PAIR.finditer(text):
        first, second = match["a"], match["b"]
        named = [known_given(w) or known_family(w) for w in (first, second)]
        plainly = [named[i] and not ordinary(w) for i, w in enumerate((first, second))]
        other = [named[i] or not (ordinary(w) or fold(w) in places()) for i, w in enumerate((first, second))]
        # An unknown word beside a surname may as well be a firm's, unless what they do is done by two.
        given = any(plainly[i] and known_given(w) for i, w in enumerate((first, second)))
        unknown = not all(named) and not given and not _TWO.match(text, match.end())
        if any(plainly) and all(other) and not unknown and not foreign(second) and not foreign(first):
            yield Span(*match.span("a"), "PERSON", 0.55, "pair", 1)
            yield Span(*match.span("b"), "PERSON", 0.55, "pair", 1)
    for kind, begin, stop in labelled_lines(text):
        shown = text[begin:stop]
        name = parse(shown) if kind in ("PERSON", "NAME", "GIVEN", "FAMILY") else None
        known = name is not None and any(known_given(p) or known_family(p) for p in name.parts)
        if name is not None and known and not looks_like_firm(shown):
            several = len(name.parts) > 1
            yield Span(begin, stop, "PERSON", 0.85, "label", 3 if kind == "PERSON" and several else 2)
    for match in _LIST.finditer(text):
        members = list(re.finditer(_W, match[0]))
        sure = sum((known_given(m[0]) or known_family(m[0])) and not ordinary(m[0]) for m in members)
        if 2 * sure >= len(members):
            for member in members:
                yield Span(
                    match.start() + member.start(), match.start() + member.end(), "PERSON", 0.6, "list", 1
                )
    yield from _single(text)


_GIVEN_WORDS = frozenset(word for word in words() if known_given(word))


def _opens_with_name(found: str) -> bool:
    first = found.split(" ")[0]
    if known_given(first):
        return True
    if ordinary(found):
        # English words are nobody where a surname is all that speaks for them: "Hide Sheets".
        return False
    return is_initial(first) or (known_family(found.split(" ")[-1]) and plain(first) not in words())


def _last_first(text: str, match: re.Match[str]) -> bool:
    last, first = match["l"], match["f"]
    if foreign(last) or foreign(first) or plain(last) in PARTICLES:
        return False
    given = first.split(" ")[0]
    if is_initial(given):
        return known_family(last) and plain(last) not in words()
    if not known_given(given) or (plain(given) in words() and not known_family(last)):
        return False
    # "In Berlin, Anna said": a comma between two clauses. "Anna, Maria and Tom": a list.
    if known_given(last) and not known_family(last):
        return False
    whole = not text[: match.start()].strip(" \t|*-(") or text[: match.start()].rstrip(" ")[-1:] in "\n|(:;"
    return whole or (known_family(last) and plain(last) not in words())


def acronym(word: str) -> bool:
    """Whether a word is written as one, in a text that has small letters."""
    return word.isupper() and len(word) <= (3 if known_given(word) else 5)


def _single(text: str) -> Iterator[Span]:
    """Given names that stand alone and are nothing else."""
    # In capitals among others that are not, a short one is an acronym: "the UNO command".
    mixed = any(map(str.islower, text))
    for match in re.finditer(rf"(?<![\w@./-]){_W}(?=['’]s\b|[^\w@-]|$)", text):
        word = match[0]
        if plain(word) in words() or known_place(word):
            continue
        if known_given(word):
            if not (mixed and acronym(word)):
                yield Span(*match.span(), "PERSON", 0.5, "given name", 1)
            continue
        family = known_family(word) and not ordinary(word) and not word.isupper()
        if family and fold(word) not in places() and not _inside_a_name(text, *match.span()):
            yield Span(*match.span(), "PERSON", 0.4, "family name", 0)


_NAMED_BEFORE = re.compile(rf"(?<![\w@./-])(?P<v>{_W}|[{_UPPER}]) $")
_NAMED_AFTER = re.compile(rf" (?P<v>{_W})")


def _inside_a_name(text: str, start: int, end: int) -> bool:
    """Whether a word stands in a row of names that together are nobody's: "T Rowe Price"."""
    before = _NAMED_BEFORE.search(text[max(0, start - 40) : start])
    after = _NAMED_AFTER.match(text, end)
    return any(found is not None and not ordinary(found["v"]) for found in (before, after))


def known_place(word: str) -> bool:
    """Given names that are more often places."""
    return plain(word) in _PLACES


_PLACES = frozenset(word_list("places"))


def _find_small(text: str) -> Iterator[Span]:
    """Text typed without capitals: titles, announcements and pairs of known names."""
    for pattern, source in ((_TITLED_SMALL, "title"), (_CALLED_SMALL, "announced")):
        for match in pattern.finditer(text):
            word = match["v"].split(" ")[0]
            if not foreign(match["v"]) and (source == "title" or known_given(word) or not ordinary(word)):
                start = match.start() if source == "title" else match.start("v")
                yield Span(start, match.end("v"), "PERSON", 0.7, source, 2)
    found = list(re.finditer(r"(?<![\w@.-])[^\W\d_]{2,}(?:[’'-][^\W\d_]{2,})*(?![\w@-])", text))
    index = 0
    while index < len(found):
        first = found[index]
        last = found[index + 1] if index + 1 < len(found) else None
        word = re.sub(r"['’]s$", "", first[0])
        index += 1
        if known_place(word) or len(word) < 3:
            continue
        apart = last is None or text[first.end() : last.start()] != " "
        family = "" if last is None or apart else re.sub(r"['’]s$", "", last[0])
        usual = plain(family) in words() or ordinary(family)
        if known_given(word) and family and known_family(family) and not (usual and ordinary(word)):
            assert last is not None
            yield Span(first.start(), last.start() + len(family), "PERSON", 0.6, "name list", 1)
            index += 1
        elif known_given(word) and not ordinary(word):
            if family and not usual and not known_given(family):
                assert last is not None
                yield Span(first.start(), last.start() + len(family), "PERSON", 0.5, "name list", 1)
                index += 1
            else:
                yield Span(first.start(), first.start() + len(word), "PERSON", 0.5, "given name", 1)
        elif known_family(word) and not ordinary(word) and fold(word) not in places():
            yield Span(first.start(), first.start() + len(word), "PERSON", 0.4, "family name", 0)
