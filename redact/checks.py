"""Check digits: what makes a number an account, a card or a national identifier.

Each validator takes the compact form (letters and digits only, upper case) and
says whether its check digits are right. Sources are named at the function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

# Length of the IBAN by country (SWIFT IBAN registry).
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24,
    "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21,
    "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31,
    "MU": 30, "NL": 18, "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22,
    "SA": 24, "SC": 31, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "TL": 23, "TN": 24, "TR": 26,
    "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip

# Countries whose accounts have no letters after the first two (SWIFT IBAN registry: structure of the BBAN).
_DIGITS_ONLY = {
    "AE", "AT", "BA", "BE", "CR", "CZ", "DE", "DK", "EE", "EG", "ES", "FI", "FO", "GL", "HR", "HU", "IL",
    "IS", "LT", "ME", "MR", "NO", "PL", "PT", "RS", "SE", "SI", "SK", "ST", "TL", "TN", "VA", "XK",
}  # fmt: skip


def compact(text: str) -> str:
    """Letters and digits only, upper case."""
    return "".join(c for c in text if c.isalnum()).upper()


def mod97(text: str) -> int:
    """Remainder of ISO 7064 mod 97-10, letters counted as 10 to 35."""
    remainder = 0
    for char in text:
        remainder = (remainder * (100 if char.isalpha() else 10) + int(char, 36)) % 97
    return remainder


def iban(text: str) -> bool:
    """ISO 13616: length by country, digits alone where it has no letters, and mod 97-10."""
    if not text.isascii() or len(text) != IBAN_LENGTHS.get(text[:2], 0) or not text[2:4].isdigit():
        return False
    if text[:2] in _DIGITS_ONLY and not text[4:].isdigit():
        return False
    return mod97(text[4:] + text[:4]) == 1


def luhn(text: str) -> bool:
    """ISO/IEC 7812-1 annex B."""
    if not text.isascii() or not text.isdigit():
        return False
    total = 0
    for position, char in enumerate(reversed(text)):
        digit = int(char) * (2 if position % 2 else 1)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


def card(text: str) -> bool:
    """A payment card number: issuer range, length and Luhn."""
    if not luhn(text) or len(set(text)) < 2:
        return False
    return bool(
        re.fullmatch(r"4\d{12}|3[0689]\d{12}|(?:3[47]|18|21)\d{13}|(?:35|4|5|6|2[2-7])\d{14,18}", text)
    ) and (len(text) >= 15 or text[0] in "34")


def aba(text: str) -> bool:
    """US routing number (ABA): weights 3, 7, 1."""
    return len(text) == 9 and text.isdigit() and text != "0" * 9 and _weighted(text, (3, 7, 1) * 3) % 10 == 0


_VIN_VALUES = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", "12345678123457923456789", strict=True))


def vin(text: str) -> bool:
    """Vehicle identification number, North American check digit (49 CFR 565.15)."""
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    if len(text) != 17 or not text.isascii():
        return False
    digits = [_VIN_VALUES.get(char, char) for char in text]
    if not all(digit.isdigit() for digit in digits):
        return False
    rest = sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % 11
    return text[8] == ("X" if rest == 10 else str(rest))


def _weighted(digits: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def _us_ssn(text: str) -> bool:
    """Areas 000, 666 and 9xx, group 00 and serial 0000 are never issued (SSA)."""
    return text[:3] not in ("000", "666") and text[0] != "9" and text[3:5] != "00" and text[5:] != "0000"


def _us_itin(text: str) -> bool:
    return text[0] == "9" and (50 <= int(text[3:5]) <= 65 or 70 <= int(text[3:5]) <= 99)


def _uk_nhs(text: str) -> bool:
    check = 11 - _weighted(text[:9], range(10, 1, -1)) % 11
    return check % 11 == int(text[9]) if check != 10 else False


def _de_steuer_id(text: str) -> bool:
    """ISO 7064 mod 11,10; one digit of the first ten occurs two or three times."""
    counts = sorted((text[:10].count(d) for d in set(text[:10])), reverse=True)
    product = 10
    for char in text[:10]:
        total = (int(char) + product) % 10 or 10
        product = total * 2 % 11
    return text[0] != "0" and counts[0] in (2, 3) and (11 - product) % 10 == int(text[10])


def _fr_nir(text: str) -> bool:
    number = text[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(text[13:])


_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"


def _es_dni(text: str) -> bool:
    digits = {"X": "0", "Y": "1", "Z": "2"}.get(text[0], text[0]) + text[1:-1]
    return digits.isdigit() and _DNI[int(digits) % 23] == text[-1]


def _it_cf(text: str) -> bool:
    """Codice fiscale: odd places by table, even places by value, mod 26."""
    odd = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23]
    total = 0
    for position, char in enumerate(text[:15]):
        value = int(char) if char.isdigit() else ord(char) - 65
        total += odd[value] if position % 2 == 0 else value
    return chr(total % 26 + 65) == text[15]


def _nl_bsn(text: str) -> bool:
    return text != "0" * 9 and (_weighted(text[:8], range(9, 1, -1)) - int(text[8])) % 11 == 0


def _pl_pesel(text: str) -> bool:
    return (10 - _weighted(text[:10], (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10) % 10 == int(text[10])


def _se_pnr(text: str) -> bool:
    return luhn(text[-10:]) and 1 <= int(text[-8:-6]) <= 12 and 1 <= int(text[-6:-4]) <= 31


def _fi_hetu(text: str) -> bool:
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(text[:6] + text[-4:-1]) % 31] == text[-1]


def _ch_ahv(text: str) -> bool:
    return (10 - _weighted(text[:12], (1, 3) * 6) % 10) % 10 == int(text[12])


def _be_nrn(text: str) -> bool:
    number, check = int(text[:9]), int(text[9:])
    return check in (97 - number % 97, 97 - (2_000_000_000 + number) % 97)


def _ca_sin(text: str) -> bool:
    return text[0] not in "08" and luhn(text)


def _au_tfn(text: str) -> bool:
    return _weighted(text, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def _br_cpf(text: str) -> bool:
    def check(digits: str) -> int:
        return (_weighted(digits, range(len(digits) + 1, 1, -1)) * 10 % 11) % 10

    return len(set(text)) > 1 and check(text[:9]) == int(text[9]) and check(text[:10]) == int(text[10])


_VERHOEFF_D = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 0, 6, 7, 8, 9, 5], [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7], [4, 0, 1, 2, 3, 9, 5, 6, 7, 8], [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2], [7, 6, 5, 9, 8, 2, 1, 0, 4, 3], [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
]  # fmt: skip
_VERHOEFF_P = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 7, 6, 2, 8, 3, 0, 9, 4], [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
    [8, 9, 1, 6, 0, 4, 3, 5, 2, 7], [9, 4, 5, 3, 1, 2, 6, 8, 7, 0], [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
    [2, 7, 9, 3, 8, 0, 6, 4, 1, 5], [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
]  # fmt: skip


def _in_aadhaar(text: str) -> bool:
    """Verhoeff's dihedral check."""
    check = 0
    for position, char in enumerate(reversed(text)):
        check = _VERHOEFF_D[check][_VERHOEFF_P[position % 8][int(char)]]
    return text[0] not in "01" and check == 0


def _always(_text: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Identifier:
    """A national identifier.

    Attributes:
        country: ISO 3166-1 code.
        name: What it is called, with the country.
        pattern: Its shape in running text.
        valid: Check of the compact form.
        context: Words one of which must stand near, as a regular expression; empty
            when shape and check are proof enough.
    """

    country: str
    name: str
    pattern: re.Pattern[str]
    valid: Callable[[str], bool]
    context: str = ""


def _id(country: str, name: str, pattern: str, valid: Callable[[str], bool], context: str = "") -> Identifier:
    return Identifier(country, name, re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])"), valid, context)


IDENTIFIERS: tuple[Identifier, ...] = (
    _id("US", "US social security number", r"\d{3}-\d{2}-\d{4}", _us_ssn),
    _id("US", "US social security number", r"\d{3}[ .]?\d{2}[ .]?\d{4}", _us_ssn, r"ssn|social\W+sec"),
    _id("US", "US taxpayer number", r"9\d{2}-\d{2}-\d{4}", _us_itin),
    _id(
        "GB",
        "UK national insurance number",
        r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]",
        _always,
    ),
    _id("GB", "UK NHS number", r"\d{3}[ -]?\d{3}[ -]?\d{4}", _uk_nhs, r"nhs"),
    _id("DE", "German tax number", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", _de_steuer_id, r"steuer|\bidnr|tax\W+(?:id|"
        "no|number)|tin\b"),
    _id("FR", "French NIR", r"[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", _fr_nir),
    _id("ES", "Spanish DNI", r"(?:\d{8}|[XYZ]\d{7})-?[A-Z]", _es_dni),
    _id("IT", "Italian codice fiscale", r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", _it_cf),
    _id("NL", "Dutch BSN", r"\d{9}|\d{4}\.\d{2}\.\d{3}", _nl_bsn, r"bsn|burgerservice|sofi"),
    _id("PL", "Polish PESEL", r"\d{11}", _pl_pesel, r"pesel"),
    _id("SE", "Swedish personnummer", r"(?:\d{2})?\d{6}[-+]\d{4}", _se_pnr),
    _id("FI", "Finnish personal code", r"\d{6}[-+A-F]\d{3}[0-9A-FHJ-NPR-Y]", _fi_hetu),
    _id("CH", "Swiss AHV number", r"756\.?\d{4}\.?\d{4}\.?\d{2}", _ch_ahv),
    _id("BE", "Belgian national number", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", _be_nrn),
    _id("CA", "Canadian SIN", r"\d{3}[ -]\d{3}[ -]\d{3}|\d{9}", _ca_sin, r"\bsin\b|social\W+ins"),
    _id("AU", "Australian TFN", r"\d{3} ?\d{3} ?\d{3}", _au_tfn, r"tfn|tax\W+file"),
    _id("BR", "Brazilian CPF", r"\d{3}\.\d{3}\.\d{3}-\d{2}", _br_cpf),
    _id("IN", "Indian Aadhaar", r"\d{4}[ -]\d{4}[ -]\d{4}|\d{12}", _in_aadhaar, r"aadhaar|aadhar|uidai"),
    _id("IN", "Indian PAN", r"[A-Z]{3}[PCHFATBLJG][A-Z]\d{4}[A-Z]", _always, r"\bpan\b|income\W+tax"),
)  # fmt: skip

# Countries whose identifiers are known, ISO 3166-1.
LOCALES = tuple(sorted({spec.country for spec in IDENTIFIERS}))


def plausible_birth(day: date, today: date) -> bool:
    """Whether someone alive now can have been born on that day, and is not a small child."""
    return 10 <= today.year - day.year <= 115
