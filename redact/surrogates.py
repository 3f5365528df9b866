"""Stand-ins of the same type and shape, chosen by a keyed digest of the original.

The same original gets the same stand-in under the same key, in whatever
document or page it stands. Names are mapped word by word, so that "Maria
Lindqvist", "Lindqvist, M." and "mlindqvist@…" agree without anybody having to
decide who is meant; two different words never share a stand-in, so two people
never become one. A stand-in is never a word or value of the client's own.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator

import phonenumbers

from redact.checks import IBAN_LENGTHS, IDENTIFIERS, compact, iban, luhn, mod97
from redact.names import fold, word_list
from redact.vault import Key

# Given names in use for any gender.
_GIVEN = word_list("neutral_names")
_HEADS = word_list("heads")
_TAILS = word_list("tails")
_SYLLABLES = word_list("syllables")
_BOXES = word_list("mailboxes")
# Words of an address that say nothing about whose it is.
_ADDRESS_WORDS = frozenset(word_list("address_words"))
_COMPOUND = re.compile(
    r"(?:strasse|str|weg|gasse|allee|platz|damm|ufer|ring|laan|straat|plein|gracht|kade|dijk|gatan|vagen|"
    r"gata|vej|gade|veien|gaten|tie|katu)$"
)


class Surrogates:
    """Makes stand-ins.

    Args:
        key: The engagement's key.
        taken: Folded words and compact values of the corpus: never used as stand-ins.
        known: Stand-ins of earlier runs, ``(kind, folded original) -> stand-in``.
        invalid: Types whose stand-ins have wrong check digits, so that they can be nobody's.
    """

    def __init__(
        self,
        key: Key,
        taken: Collection[str],
        known: dict[tuple[str, str], str] | None = None,
        invalid: Collection[str] = (),
    ) -> None:
        self.key = key
        self._invalid = frozenset(invalid)
        self._taken = frozenset(taken)
        self._made: dict[tuple[str, str], str] = {}
        self._used: dict[str, set[str]] = {}
        for (kind, original), surrogate in sorted((known or {}).items()):
            if fold(surrogate) not in self._taken:
                self._made[kind, original] = surrogate
                self._used.setdefault(_space(kind), set()).add(fold(surrogate))

    def made(self) -> dict[tuple[str, str], str]:
        """All stand-ins so far."""
        return dict(self._made)

    def _pick(self, kind: str, original: str, candidates: Callable[[int], str]) -> str:
        """The first candidate that nobody else uses; ``candidates(n)`` is the n-th try."""
        known = self._made.get((kind, original))
        if known is not None:
            return known
        used = self._used.setdefault(_space(kind), set())
        for attempt in range(2_000):
            candidate = candidates(attempt)
            folded = fold(candidate)
            if folded not in used and folded not in self._taken and folded != original:
                break
        else:  # every shape of so few characters is taken by a real value
            candidate = f"{candidate}{self.key.hmac(kind, original).hex()[:6]}"
        used.add(fold(candidate))
        self._made[kind, original] = candidate
        return candidate

    def name(self, folded: str, *, given: bool) -> str:
        """Stand-in for one word of a name."""
        for kind in ("GIVEN", "FAMILY"):
            if (kind, folded) in self._made:
                return self._made[kind, folded]
        kind = "GIVEN" if given else "FAMILY"
        start = self.key.number("name", folded)
        pool = _GIVEN if given else None

        def candidate(attempt: int) -> str:
            if pool and attempt < len(pool):
                return pool[(start + attempt) % len(pool)]
            if attempt < 400:
                index = start + attempt * 7919
                return _HEADS[index % len(_HEADS)] + _TAILS[index // len(_HEADS) % len(_TAILS)]
            index = self.key.number("name", folded, str(attempt))
            return (
                "".join(_SYLLABLES[(index >> shift) % len(_SYLLABLES)] for shift in (0, 8, 16)).capitalize()
                + "n"
            )

        return self._pick(kind, folded, candidate)

    def initial(self, letter: str, family: str) -> str:
        """Stand-in for an initial of which the name is not known."""
        return "ABCDEFGHJKLMNOPRSTVW"[self.key.number("initial", letter, family) % 20]

    def shape(
        self, kind: str, original: str, *, keep: int = 0, valid: Callable[[str], bool] | None = None
    ) -> str:
        """Random characters of the same kinds: digits for digits, letters for letters.

        Args:
            original: Compact form, as case-sensitive as it should be.
            keep: How many characters at the beginning stay.
            valid: Tried until it holds (check digits); dropped when it cannot.
        """

        def candidate(attempt: int) -> str:
            made = ""
            for further in range(1 if valid is None or attempt > 20 else 3_000):
                made = self._random(kind, original, keep, f"{attempt}.{further}")
                if valid is not None and valid(made):
                    break
            return made

        return self._pick(kind, fold(original), candidate)

    def _random(self, kind: str, original: str, keep: int, salt: str) -> str:
        stream = _stream(self.key, kind, fold(original), salt)
        out = list(original[:keep])
        for char in original[keep:]:
            value = next(stream)
            if kind in ("ID_NUMBER", "CUSTOMER_NUMBER") and (
                char.isalpha() or (char == "0" and not any(c in "123456789" for c in out))
            ):
                out.append(char)  # the prefix says whose numbering it is, not who
            elif char.isdigit():
                first = len(out) == keep and char != "0"
                out.append(str(value % 9 + 1) if first else str(value % 10))
            elif char.isalpha():
                letter = chr(value % 26 + (65 if char.isupper() else 97))
                out.append(letter)
            else:
                out.append(char)
        return "".join(out)

    def _checked(self, kind: str) -> str:
        """The type under which stand-ins are remembered: right and wrong ones are not mixed up."""
        return f"INVALID_{kind}" if kind in self._invalid else kind

    def iban(self, original: str) -> str:
        """Same country, same letters, right check digits (ISO 13616) unless they are to be wrong."""
        country = original[:2]
        right = iban(original) and "IBAN_CODE" not in self._invalid

        def candidate(attempt: int) -> str:
            stream = _stream(self.key, "iban", original, str(attempt))
            body = "".join(str(next(stream) % 10) if c.isdigit() else c for c in original[4:])
            check = 98 - mod97(f"{body}{country}00")
            if not right:  # a mistyped account stays one that does not pass
                check = (check + 7) % 97 + 2
            return f"{country}{check:02d}{body}"

        if country not in IBAN_LENGTHS:
            return self.shape("IBAN_CODE", original, keep=2)
        return self._pick(self._checked("IBAN_CODE"), fold(original), candidate)

    def card(self, original: str) -> str:
        """Same issuer's first digits and length, right Luhn digit when the original has one."""
        keep = 2 if len(original) > 12 else 1
        kind = self._checked("CREDIT_CARD")
        valid: Callable[[str], bool] | None = luhn if luhn(original) else None
        if kind != "CREDIT_CARD":
            valid = _failing(luhn)
        return self.shape(kind, original, keep=keep, valid=valid)

    def national_id(self, original: str) -> str:
        """Same shape; check digits right when the original's are."""
        spec = next(
            (s for s in IDENTIFIERS if s.pattern.fullmatch(original) and s.valid(compact(original))), None
        )
        kind = self._checked("NATIONAL_ID")
        valid = _guarded(spec.valid) if spec else None
        if valid is not None and kind != "NATIONAL_ID":
            valid = _failing(valid)
        return self.shape(kind, compact(original), valid=valid)

    def phone(self, national: str) -> str:
        """Stand-in for a national number given as digits."""
        return self.shape("PHONE_NUMBER", national)

    def mailbox(self, original: str) -> str:
        """Stand-in for the local part of a function's mailbox (``accounts@``)."""
        start = self.key.number("mailbox", original)

        def candidate(attempt: int) -> str:
            word = _BOXES[(start + attempt) % len(_BOXES)]
            return word if attempt < len(_BOXES) else f"{word}{(start + attempt) % 900 + 100}"

        return self._pick("MAILBOX", original, candidate)

    def secret(self, original: str) -> str:
        """A fixed length tells nothing about the original."""
        return self._pick(
            "SECRET", original, lambda n: f"secret-{self.key.hmac('secret', original, str(n)).hex()[:10]}"
        )

    def ip(self, original: str) -> str:
        """An address of the ranges for tests (RFC 2544, RFC 3849); private ones stay private."""
        address = ipaddress.ip_address(original)

        def candidate(attempt: int) -> str:
            value = self.key.number("ip", original, str(attempt))
            if address.version == 6:
                return str(ipaddress.IPv6Address((0x20010DB8 << 96) | value))
            for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"):
                network = ipaddress.ip_network(block)
                if address in network:
                    return str(network[value % (network.num_addresses - 2) + 1])
            return str(ipaddress.ip_network("198.18.0.0/15")[value % 131_000 + 1])

        return self._pick("IP_ADDRESS", original, candidate)

    def mac(self, original: str) -> str:
        digits = compact(original).lower()
        made = self._pick(
            "MAC_ADDRESS", digits, lambda n: "02" + self.key.hmac("mac", digits, str(n)).hex()[:10]
        )
        return overlay(original, made)

    def address_part(self, token: str) -> str:
        """Stand-in for one word or number of an address; what names no place stays."""
        folded = fold(token)
        if any(c.isdigit() for c in token):
            made = (self._random("ADDRESS_NUMBER", token, 0, str(n)) for n in range(50))
            return next((m for m in made if m != token), token)
        if folded in _ADDRESS_WORDS or len(folded) < 2:
            return token
        tail = _COMPOUND.search(folded)
        if tail and tail.start() > 1:
            head = self._street(folded[: tail.start()])
            cut = next(k for k in range(len(token) + 1) if len(fold(token[:k])) >= tail.start())
            return head + token[cut:].lower()
        return self._street(folded)

    def _street(self, folded: str) -> str:
        start = self.key.number("street", folded)

        def candidate(attempt: int) -> str:
            index = start + attempt * 7919
            return _HEADS[index % len(_HEADS)] + _TAILS[index // len(_HEADS) % len(_TAILS)]

        return self._pick("STREET", folded, candidate)

    def word(self, kind: str, folded: str) -> str:
        """A made-up proper name (places, firms, denied words)."""
        start = self.key.number("word", kind, folded)

        def candidate(attempt: int) -> str:
            index = start + attempt * 104_729
            return _HEADS[index % len(_HEADS)] + _TAILS[index // len(_HEADS) % len(_TAILS)]

        return self._pick(kind, folded, candidate)


def _space(kind: str) -> str:
    """Kinds whose stand-ins must differ from one another share a space."""
    return "words" if kind in ("GIVEN", "FAMILY", "STREET", "LOCATION", "ORGANIZATION", "CUSTOM") else kind


def _stream(key: Key, *parts: str) -> Iterator[int]:
    block = 0
    while True:
        yield from key.hmac(*parts, str(block))
        block += 1


def _guarded(valid: Callable[[str], bool]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return valid(text)
        except (ValueError, IndexError):
            return False

    return check


def _failing(valid: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda text: not valid(text)


def overlay(shown: str, made: str) -> str:
    """Put the letters and digits of ``made`` in the places of those of ``shown``."""
    stream = iter(made)
    out = []
    for char in shown:
        if char.isalnum():
            new = next(stream, "")
            out.append(new.lower() if char.islower() else new)
        else:
            out.append(char)
    return "".join(out) + "".join(stream)


def national_number(text: str) -> tuple[str, str]:
    """A telephone number as (country code or "", national digits without trunk zero)."""
    written = re.split(r"(?i)[ ,]*(?:x|ext)", text, maxsplit=1)[0]
    digits = re.sub(r"\D", "", written)
    international = "+" in written[:3] or digits.startswith("00")
    if international:
        try:
            parsed = phonenumbers.parse("+" + digits.removeprefix("00"), None)
        except phonenumbers.NumberParseException:
            return "", digits.lstrip("0") or digits
        return str(parsed.country_code), str(parsed.national_number)
    return "", digits.lstrip("0") or digits
