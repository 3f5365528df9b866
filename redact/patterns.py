"""Recognisers of things with a shape: mail, numbers with check digits, phones, dates, secrets.

Every expression is linear in the length of the text: no nested repetition over
the same characters, bounded look-around.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator
from datetime import date

from redact.checks import (
    IBAN_LENGTHS,
    IDENTIFIERS,
    LOCALES,
    aba,
    card,
    compact,
    iban,
    plausible_birth,
    vin,
)
from redact.names import word_list
from redact.spans import Span

EMAIL = re.compile(
    r"(?<![\w.+'-])[^\W_](?:[\w.+%'-]{0,62}\w)?@(?:[^\W_](?:[\w-]{0,61}\w)?\.){1,5}[A-Za-z]{2,24}(?![\w-])"
)
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[ ]?\d{2}(?=[ -]?[A-Za-z0-9]{2})")
_CARD = re.compile(r"(?<![\w.,+-])\d(?:[ -]?\d){11,18}(?![\w-])")
_PHONE = re.compile(
    r"(?<![\w.@/:#$€£-])(?P<plus>\+|00(?=[1-9]))?[ ]?\(?\d[\d ().\-/\u00a0]{4,22}\d"
    r"(?:[ ,]{0,2}(?:x|ext\.?|extension)[ .]?\d{1,6})?(?![\w@%€£$])(?![.,]\d)",
    re.IGNORECASE,
)
_PHONE_CONTEXT = re.compile(
    r"(?:phone|tel|call|mobile|cell|fax|ring|reach|whatsapp|sms|dial|hotline|desk|office|direct|contact|"
    r"answering|telefon|mobil|handy|durchwahl|extension|number is)\b[^\d\n]{0,30}$",
    re.IGNORECASE,
)
_EXTENSION = re.compile(
    r"\b(?:ext(?:ension)?|durchwahl|apparat)\b\.?[ :]{0,2}(?P<v>\d{2,5})(?![\w.,-]?\d)", re.IGNORECASE
)
_PHONE_AFTER = re.compile(r"^[ \-,(]{0,3}(?:office|fax|mobile|cell|desk|home|work|direct)\b", re.IGNORECASE)
_PHONE_SHAPE = re.compile(
    r"\(0?\d{2,5}\)[ -]?\d{2,4}[ .-]?\d{2,4}(?:[ .-]?\d{2,4})?|(?:1[ .-])?\d{3}[ .-]\d{3}[ .-]\d{4}|"
    r"0\d{1,4}[ /.-]\d{2,4}(?:[ .-]?\d{2,4}){1,3}|\d{3}-\d{4}|0\d{9,10}"
)
_DATE = re.compile(
    r"(?<![\w.,/-])(?:(?P<iso>\d{4}[-/.]\d{1,2}[-/.]\d{1,2})|(?P<dmy>\d{1,2}[./ -]\d{1,2}[./ -]\d{2,4})|"
    r"(?P<dMy>\d{1,2}(?:st|nd|rd|th)?\.?[ -](?:of )?[^\W\d_]{3,9}\.?,?[ -]\d{4})|"
    r"(?P<Mdy>[^\W\d_]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}))(?![\w/-])",
    re.IGNORECASE,
)
MONTHS = {
    name: index
    for language in ("months", "months_short", "months_fr", "months_de")
    for index, name in enumerate(word_list(language), 1)
}
_BORN = re.compile(
    r"(?:born|birth|birthday|birthdate|dob|d\.o\.b\.?|geboren|geb\.|naissance|nacimiento|né|"
    r"née)\b[^.!?\n\d]{0,40}$",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    r"(?P<what>employee|staff|personnel|payroll|badge|emp|worker|student|patient|medical record|member|mrn)"
    r"(?P<kind>[ _.-]{0,2}(?:id|no|nr|number|num|code|#))?[ .:#(-]{0,4}(?:is )?"
    r"(?P<value>(?:[A-Z]{1,4}[-_/ ]?)?\d{3,10}(?:[-/]\d{1,4})?)(?![\w])",
    re.IGNORECASE,
)
_CUSTOMER = re.compile(
    r"\b(?:customer|client|subscriber|policy ?holder|insured|guest|loyalty|kunden)"
    r"[ _.-]{0,2}(?:id|no|nr|number|num|nummer|code|#)[ .:#(-]{0,4}(?:is )?"
    r"(?P<value>(?:[A-Z]{1,4}[-_/ ]?)?\d{3,12}(?:[-/]\d{1,4})?)(?![\w])",
    re.IGNORECASE,
)
_ACCOUNT = re.compile(
    r"\b(?:bank )?(?:account|acct|a/c|konto)(?:[ -]?(?:no|nr|num|number|nummer|#))?\.?"
    r"[ :#]{0,3}(?:is )?(?P<value>\d(?:[ -]?\d){6,17})(?![\w,.-]?\d)",
    re.IGNORECASE,
)
_LEDGER = re.compile(r"gl|ledger|general|cost|expense|revenue|vendor|customer|client", re.IGNORECASE)
_SORT_CODE = re.compile(r"sort ?code[ :]{0,3}(?P<value>\d{2}[- ]\d{2}[- ]\d{2})(?!\w)", re.IGNORECASE)
_ROUTING = re.compile(
    r"(?:routing|aba|rtn)(?: transit)?(?: (?:no|number))?\.?[ :#]{0,3}(?P<value>\d{9})(?!\w)", re.IGNORECASE
)
_PAPERS = re.compile(
    r"(?:passport|driver'?s?'? ?(?:licen[cs]e)|driving licen[cs]e|licen[cs]e|id card|identity card)"
    r"(?: ?(?:no|nr|number|id|#))?\.?[ :#]{0,3}(?:is "
    r")?(?P<value>(?=(?:[A-Z-]{0,6}\d){3})[A-Z0-9](?:[A-Z0-9-]{4,18})[A-Z0-9])(?!\w)",
    re.IGNORECASE,
)
_PLATE = re.compile(
    r"(?:licen[cs]e plate|number plate|plate(?: (?:no|number))?|registration (?:no|number|plate)|kennzeichen|"
    r"immatriculation|matr[ií]cula|targa)\.?[ :#]{0,3}(?:is )?"
    r"(?P<value>(?-i:[A-ZÄÖÜ0-9]{1,4}(?:[ -][A-Z0-9]{1,4}){1,2}|[A-Z0-9]{5,8}))(?![\w-])",
    re.IGNORECASE,
)
_VIN = re.compile(r"(?<![\w-])(?=[A-HJ-NPR-Z]*\d)[A-HJ-NPR-Z0-9]{17}(?![\w-])")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{2,39}(?![\w:.])")
_MAC = re.compile(r"(?<![\w:-])[0-9A-Fa-f]{2}(?:([:-])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}(?![\w:-])")
URL = re.compile(r"(?:https?|ftp)://[^\s<>\"'`|]+|(?<![\w.@])www\.[\w-]+\.[^\s<>\"'`|]+", re.IGNORECASE)
_URL_USER = re.compile(
    r"(?:https?|ftp)://(?P<login>[\w.-]+)(?::[^@\s/]*)?@|"
    r"/(?:users?|people|person|profiles?|employees?|members?|~)/?(?P<path>(?=[\w.%-]*[A-Za-z])[\w.%-]{3,})|"
    r"(?:linkedin\.com/in|github\.com|twitter\.com|x\.com|instagram\.com|facebook\.com)/(?P<site>[\w.-]{3,})|"
    r"[?&;](?:user|username|user_name|login|owner|assignee)=(?P<query>[\w.%-]{3,})",
    re.IGNORECASE,
)
_SECRETS = (
    re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]{0,20000}-----END [A-Z ]{0,30}PRIVATE KEY-----"),
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,255}\b|\bgithub_pat_\w{22,255}\b"),
    re.compile(
        r"\bsk-(?:[a-z]+-)?[A-Za-z0-9_-]{20,200}\b|\bxox[abprs]-[A-Za-z0-9-]{10,200}\b|\bAIza[\w-]{35}\b"
    ),
    re.compile(r"\beyJ[\w-]{8,2000}\.[\w-]{8,4000}\.[\w-]{4,1000}"),
    re.compile(
        r"\b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,200}\b|\bglpat-[\w-]{20}\b|\bhf_[A-Za-z0-9]{20,60}\b"
    ),
)
_CREDENTIAL = re.compile(
    r"\b(?P<what>pass(?:word|code|phrase)|pwd|passwd|secret|client[ _-]?secret|api[ _-]?key|access[ _-]?key|"
    r"auth[ _-]?token|access[ _-]?token|token|pin)\b(?P<sep>[\"']?\s{0,3}(?:[:=]|is|was|are)\s{0,3})[\"'“]?"
    r"(?P<value>[^\s\"'”,;<>|]{4,200})",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(?:bearer|basic) (?P<value>[A-Za-z0-9._~+/=-]{16,4000})", re.IGNORECASE)
_LONG = re.compile(r"(?<![\w/+.-])[A-Za-z0-9_+-]{20,400}={0,2}(?![\w/+.-])")
_AGE = re.compile(r"\b\d{1,3}(?=[ -]years?[ -]old\b)|(?<=\baged )\d{1,3}\b", re.IGNORECASE)


FOUND = (
    "SECRET", "EMAIL_ADDRESS", "IBAN_CODE", "CREDIT_CARD", "NATIONAL_ID", "MAC_ADDRESS", "IP_ADDRESS",
    "USERNAME", "DATE_OF_BIRTH", "ID_NUMBER", "VEHICLE_ID", "BANK_ACCOUNT", "PHONE_NUMBER", "URL", "AGE",
    "DATE_TIME", "CUSTOMER_NUMBER",
)  # fmt: skip


def _before(text: str, start: int, width: int = 60) -> str:
    return text[max(0, start - width) : start]


def emails(text: str) -> Iterator[Span]:
    if "@" not in text:
        return
    for match in EMAIL.finditer(text):
        yield Span(*match.span(), "EMAIL_ADDRESS", 1.0, "email")


def ibans(text: str) -> Iterator[Span]:
    """IBANs with right check digits, and what is called an IBAN and has its length."""
    for match in _IBAN_START.finditer(text):
        start = match.start()
        length = IBAN_LENGTHS.get(text[start : start + 2].upper())
        if length is None:
            continue
        end, count = start, 0
        while end < len(text) and count < length:
            char = text[end]
            if char.isascii() and char.isalnum():
                count += 1
            elif char not in " -\u00a0" or text[end - 1] in " -\u00a0":
                break
            end += 1
        if count < length or (end < len(text) and text[end].isalnum()):
            continue
        if iban(compact(text[start:end])):
            yield Span(start, end, "IBAN_CODE", 1.0, "iban")
        elif "iban" in _before(text, start, 25).lower():
            yield Span(start, end, "IBAN_CODE", 0.8, "iban-context")


def cards(text: str) -> Iterator[Span]:
    for match in _CARD.finditer(text):
        digits = compact(match[0])
        if card(digits):
            yield Span(*match.span(), "CREDIT_CARD", 1.0, "card")
        elif re.search(
            r"card|visa|amex|mastercard|credit|\bcc\b", _before(text, match.start()), re.IGNORECASE
        ):
            yield Span(*match.span(), "CREDIT_CARD", 0.7, "card-context")


def _not_phone(found: str, digits: str) -> bool:
    if _DATE.fullmatch(found) or (re.fullmatch(r"\d{4}[ -]\d{4}", found) and found[:2] in ("19", "20")):
        return True
    groups = re.findall(r"\d+", found)
    if "." in found and "-" not in found and " " not in found and re.fullmatch(r"\d{1,3}(?:\.\d{3})+", found):
        return found.count(".") != 2 or len(groups[0]) != 3  # thousands, not 312.555.019
    return len(set(digits)) < 2 or (found.count("(") != found.count(")") and not found.startswith("("))


def phones(text: str) -> Iterator[Span]:
    """Telephone numbers: international, in a national shape, or after a word that announces one."""
    for match in _PHONE.finditer(text):
        found = match[0]
        start = match.start() + len(found) - len(found.lstrip())
        found = text[start : match.end()]
        number = re.split(r"[ ,]*[xe]", found, maxsplit=1, flags=re.IGNORECASE)[0]
        digits = re.sub(r"\D", "", number)
        if not 6 <= len(digits) <= 15 or _not_phone(number, digits):
            continue
        before = text[max(0, start - 50) : start]
        context = bool(
            _PHONE_CONTEXT.search(before) or _PHONE_AFTER.search(text[match.end() : match.end() + 15])
        )
        if match["plus"] and len(digits) >= 8:
            yield Span(start, match.end(), "PHONE_NUMBER", 0.9, "phone-international")
        elif context and len(digits) >= 6:
            yield Span(start, match.end(), "PHONE_NUMBER", 0.85, "phone-context")
        elif _is_phone_shape(number, digits, before):
            yield Span(start, match.end(), "PHONE_NUMBER", 0.6, "phone-shape")


def _is_phone_shape(number: str, digits: str, before: str) -> bool:
    """Whether digits are grouped as telephone numbers are, and no code goes on before them."""
    if len(digits) < 7 or number.isdigit() or re.search(r"[\w-]-$|no\.? ?$|nr\.? ?$", before[-5:]):
        return False
    return _PHONE_SHAPE.fullmatch(number) is not None and (len(digits) >= 9 or "(" in number)


def extensions(text: str) -> Iterator[Span]:
    for match in _EXTENSION.finditer(text):
        yield Span(*match.span("v"), "PHONE_NUMBER", 0.5, "extension")


def identifiers(text: str, locales: Collection[str] = LOCALES) -> Iterator[Span]:
    """National identifiers of these countries, and numbers of identity papers."""
    for spec in IDENTIFIERS:
        if spec.country not in locales:
            continue
        for match in spec.pattern.finditer(text):
            if not spec.valid(compact(match[0])):
                continue
            near = _before(text, match.start()) + " " + text[match.end() : match.end() + 20]
            if spec.context and not re.search(spec.context, near, re.IGNORECASE):
                continue
            yield Span(*match.span(), "NATIONAL_ID", 0.95, spec.name)
    for match in _PAPERS.finditer(text):
        yield Span(*match.span("value"), "NATIONAL_ID", 0.8, "identity papers")


def numbers(text: str) -> Iterator[Span]:
    """Numbers of employees, patients and customers, bank accounts without an IBAN."""
    for match in _CUSTOMER.finditer(text):
        yield Span(*match.span("value"), "CUSTOMER_NUMBER", 0.8, "customer number")
    for match in _NUMBERED.finditer(text):
        if match["kind"] or re.match(r"[A-Za-z]", match["value"]):
            yield Span(*match.span("value"), "ID_NUMBER", 0.85, "numbered person")
    for match in _ACCOUNT.finditer(text):
        if not _LEDGER.search(_before(text, match.start(), 12)):
            yield Span(*match.span("value"), "BANK_ACCOUNT", 0.75, "account")
    for match in _SORT_CODE.finditer(text):
        yield Span(*match.span("value"), "BANK_ACCOUNT", 0.75, "sort code")
    for match in _ROUTING.finditer(text):
        if aba(match["value"]):
            yield Span(*match.span("value"), "BANK_ACCOUNT", 0.9, "routing number")


def vehicles(text: str) -> Iterator[Span]:
    """Number plates after a word that announces one, and chassis numbers with their check digit."""
    for match in _PLATE.finditer(text):
        if any(c.isdigit() for c in match["value"]):
            yield Span(*match.span("value"), "VEHICLE_ID", 0.75, "plate")
    for match in _VIN.finditer(text):
        if vin(match[0].upper()):
            yield Span(*match.span(), "VEHICLE_ID", 0.95, "chassis number")


def parse_date(text: str) -> tuple[date, bool] | None:
    """A date in one of the usual forms, and whether day and month could be the other way round."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    parts = re.findall(r"\d+", text)
    try:
        if match["iso"]:
            return date(*map(int, parts)), False
        if match["dmy"]:
            first, second, year = map(int, parts)
            year += 0 if year > 99 else (1900 if year > 25 else 2000)
            american = ("/" in text and second > 12) or second > 12
            day, month = (second, first) if american else (first, second)
            return date(year, month, day), first <= 12 and second <= 12
        word = re.search(r"[^\W\d_]{3,}", re.sub(r"\d(?:st|nd|rd|th)|\bof\b", " ", text))
        month = MONTHS.get(word[0].lower(), 0) or MONTHS.get(word[0].lower()[:3], 0) if word else 0
        return date(int(parts[1]), month, int(parts[0])), False
    except ValueError:
        return None


def dates(text: str) -> Iterator[Span]:
    """Dates; those of birth by the words before them."""
    for match in _DATE.finditer(text):
        parsed = parse_date(match[0])
        if parsed is None:
            continue
        born = _BORN.search(_before(text, match.start())) and plausible_birth(parsed[0], date.today())
        yield Span(*match.span(), "DATE_OF_BIRTH" if born else "DATE_TIME", 0.9 if born else 0.6, "date")
    for match in _AGE.finditer(text):
        yield Span(*match.span(), "AGE", 0.7, "age")


def addresses_on_networks(text: str) -> Iterator[Span]:
    for match in _IPV4.finditer(text):
        if _is_ip(match[0]) and not re.search(
            r"version|\bv$", _before(text, match.start(), 12), re.IGNORECASE
        ):
            yield Span(*match.span(), "IP_ADDRESS", 0.9, "ipv4")
    if text.count(":") > 1:
        for match in _IPV6.finditer(text):
            if match[0].count(":") > 1 and len(match[0]) > 4 and _is_ip(match[0]):
                yield Span(*match.span(), "IP_ADDRESS", 0.9, "ipv6")
        for match in _MAC.finditer(text):
            yield Span(*match.span(), "MAC_ADDRESS", 0.9, "mac")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def urls(text: str) -> Iterator[Span]:
    """Addresses on the web, and the user names inside them."""
    if "/" not in text and "www." not in text:
        return
    for match in URL.finditer(text):
        end = match.end() - len(match[0]) + len(match[0].rstrip(".,;:!?)]}"))
        yield Span(match.start(), end, "URL", 0.6, "url")
    for match in _URL_USER.finditer(text):
        group = str(match.lastgroup)
        yield Span(*match.span(group), "USERNAME", 0.75, "url user")


def secrets(text: str) -> Iterator[Span]:
    for pattern in _SECRETS:
        for match in pattern.finditer(text):
            yield Span(*match.span(), "SECRET", 1.0, "key shape")
    for match in _LONG.finditer(text):
        word = match[0]
        kinds = [
            sum(c.isdigit() for c in word),
            sum(c.isupper() for c in word),
            sum(c.islower() for c in word),
        ]
        if min(kinds) >= 3 and len(set(word)) >= 13:
            yield Span(*match.span(), "SECRET", 0.7, "random characters")
    for match in _BEARER.finditer(text):
        if re.search(r"\d", match["value"]):
            yield Span(*match.span("value"), "SECRET", 0.9, "bearer")
    for match in _CREDENTIAL.finditer(text):
        value = match["value"].rstrip(".,)")
        pin = match["what"].lower() == "pin"
        written = match["sep"].strip("\"' ") in (":", "=")
        odd = bool(re.search(r"\d", value)) or bool(re.search(r"[^\w.\-/]", value))
        if (
            (re.fullmatch(r"\d{4,8}", value) is not None)
            if pin
            else (odd and len(value) >= 4 and (written or len(value) >= 6))
        ):
            yield Span(match.start("value"), match.start("value") + len(value), "SECRET", 0.8, "credential")


def find(text: str, locales: Collection[str] = LOCALES) -> list[Span]:
    """Everything with a shape, overlaps included; national identifiers of these countries."""
    found: list[Span] = []
    found.extend(secrets(text))
    found.extend(emails(text))
    found.extend(urls(text))
    if any(char.isdigit() for char in text):
        for finder in (ibans, cards, phones, extensions, numbers, vehicles, dates, addresses_on_networks):
            found.extend(finder(text))
        found.extend(identifiers(text, locales))
    return found
