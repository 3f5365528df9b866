"""Stand-ins for numbers as they are written: telephones in their forms, accounts half typed, identifiers."""

from __future__ import annotations

from collections.abc import Iterable

from redact import checks
from redact.checks import compact
from redact.rewrite import compact_key
from redact.surrogates import Surrogates, national_number


class Numbers:
    """Makes stand-ins of numbers.

    Args:
        phones: All telephone numbers of the corpus as written: extensions belong to them.
    """

    def __init__(self, surrogates: Surrogates, phones: Iterable[str]) -> None:
        self._surrogates = surrogates
        self._phones = tuple(phones)
        self._ibans: dict[str, str] = {}

    def phone_forms(self, shown: str) -> dict[str, str]:
        """The ways a telephone number is dialled, compact, with their stand-ins."""
        country, national = national_number(shown)
        made = self._surrogates.phone(national)
        prefixes = {"", "0"} | ({country, f"00{country}", f"{country}0"} if country else set())
        forms = {f"{p}{national}": f"{p}{made}" for p in prefixes}
        whole = compact_key(shown)
        if whole not in forms and national in whole:
            head, _, tail = whole.partition(national)
            forms[whole] = (
                head + made + (self._surrogates.shape("EXTENSION", tail) if tail.isdigit() else tail)
            )
        elif whole not in forms:
            forms[whole] = self._surrogates.shape("PHONE_NUMBER", whole)
        return {key: value for key, value in forms.items() if len(key) >= 7 or key == whole}

    def made(self, kind: str, shown: str) -> str:
        """Stand-in for a number as written, compact except where its marks are part of it."""
        plain = alnum(shown)
        if kind == "PHONE_NUMBER":
            return self.phone_forms(shown).get(compact_key(shown), plain)
        if kind == "IBAN_CODE":
            return self.iban(plain.upper())
        if kind == "CREDIT_CARD":
            return self._surrogates.card(plain)
        if kind == "NATIONAL_ID":
            return self._surrogates.national_id(shown)
        if kind == "IP_ADDRESS":
            return self._surrogates.ip(shown)
        if kind == "MAC_ADDRESS":
            return alnum(self._surrogates.mac(shown))
        return self._surrogates.shape(kind, plain)

    def iban(self, plain: str) -> str:
        """An account; one half typed or mistyped differs from the stand-in as it differs from what was "
        "meant."""
        if checks.iban(plain):
            self._ibans.setdefault(plain, self._surrogates.iban(plain))
            return self._ibans[plain]
        for original, made in self._ibans.items():
            wrong = [i for i, (a, b) in enumerate(zip(plain, original, strict=False)) if a != b]
            allowed = 0 if len(plain) < 12 else 2
            if len(plain) > 4 and len(wrong) <= allowed and len(plain) <= len(original):
                new = list(made[: len(plain)])
                for i in wrong:
                    new[i] = _step(made[i], original[i], plain[i])
                return "".join(new)
        return (
            self._surrogates.iban(plain)
            if len(plain) > 14
            else self._surrogates.shape("IBAN_CODE", plain, keep=2)
        )

    def extension(self, value: str) -> str:
        """An extension agrees with the one telephone number that ends with it."""
        phones = self._phones
        longer = [shown for shown in phones if len(compact(shown)) > 6 and compact(shown).endswith(value)]
        tails = {compact(self.made("PHONE_NUMBER", shown))[-len(value) :] for shown in longer}
        if len(tails) == 1:
            return tails.pop()
        return self._surrogates.shape("EXTENSION", value)


def _step(made: str, original: str, typed: str) -> str:
    """The character as far from the stand-in's as the one typed is from the original's."""
    if made.isdigit() and original.isdigit() and typed.isdigit():
        return str((int(made) + int(typed) - int(original)) % 10)
    return typed


def alnum(text: str) -> str:
    """Letters and digits only, as they are."""
    return "".join(c for c in text if c.isalnum())
