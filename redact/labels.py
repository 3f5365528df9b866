"""What a label says about the value beside it: column headers, field names, form keys, ``From:`` lines."""

from __future__ import annotations

import re
from functools import lru_cache

from redact.names import fold

# What a labelled value is. Beside the types of spans:
# NAME: a person or a firm, told by the value; FIRM: a firm, kept by default;
# FIXED: what the work itself is about (amounts, codes, states), never altered.
_RULES: tuple[tuple[str, str], ...] = (
    ("SECRET", r"pass(?:word|code|phrase|wort)|pwd|api key|secret|access token|auth token|pin(?: code)?|"
               r"(?:.* )?token|csrf.*|xsrf.*|authenticity.*|nonce|session(?: ?id)?|sid|authorization|cookie"),
    ("FIXED", r"(?:gl|ledger|general ledger|cost|expense|budget|profit|revenue|control|clearing)\b.*|"
              r"(?:account|cost cent(?:re|er)|category|status|terms?|currency|country|amount|total|net|gross|tax|vat|"
              r"quantity|price|due|date|issued|received|invoice|reference|your reference|po|purchase order|order|"
              r"contract|hold|reason|type|class|priority|department|team|division|unit|function|role|job|job title|"
              r"position|page|sort|filter|rows?|action|actions|budget|function|rule|section|step|stage|approval|"
              r"level|limit|version|state|region|language|month|year|period|week|day|time|size|weight|unit|format|file|sheet)(?: (?:no|nr|number|id|code|date|type|name|amount|status))?"),
    ("DATE_OF_BIRTH", r"(?:date of )?birth(?:day|date)?|birth date|dob|born(?: on)?|geburtsdatum|date de naissance"),
    ("EMAIL_ADDRESS", r"(?:.* )?e ?mails?(?: address(?:es)?)?|mail|(?:.* )?mail address"),
    ("PHONE_NUMBER", r"(?:.* )?(?:tele)?phones?(?: (?:no|number|ext|extension))?|tel|mobile(?: .*)?|cell(?: .*)?|fax(?: .*)?|"
                     r"telefon|handy|direct(?: dial| line)?|ext|extension|call ?back(?: .*)?"),
    ("IBAN_CODE", r"(?:.* )?iban(?: .*)?"),
    ("CREDIT_CARD", r"(?:credit|debit|payment)? ?card (?:no|nr|number)|card"),
    ("BANK_ACCOUNT", r"bank account(?: (?:no|nr|number))?|account (?:no|nr|number)|acct (?:no|nr|number)|sort code|"
                     r"routing (?:no|number)|konto(?:nummer)?"),
    ("NATIONAL_ID", r"ssn|social security(?: (?:no|number))?|national id(?:entity)?(?: (?:no|number))?|nin|nino|"
                    r"passport(?: (?:no|number))?|driv(?:er s|ers|ing) licen[cs]e(?: (?:no|number))?|(?:id|identity) card(?: (?:no|number))?|"
                    r"personal (?:id|code|number)|personnummer|bsn|pesel|steuer ?id|nhs (?:no|number)|sin|tfn|aadhaar"),
    ("ID_NUMBER", r"(?:employee|staff|personnel|payroll|badge|patient|student|member|emp|worker)(?: (?:no|nr|id|number|code))"),
    ("USERNAME", r"user ?name|user id|login(?: name)?|log in|sign in name|user|account name|handle"),
    ("IP_ADDRESS", r"ip(?: address)?|client ip|host address"),
    ("ADDRESS", r"(?:.* )?address(?: line(?: ?\d)?)?|street(?: .*)?|postal address|anschrift|adresse|zip(?: code)?|"
                r"post ?code|postal code|residence"),
    ("FIRM", r"(?:.* )?(?:vendor|supplier|company|firm|organi[sz]ation|payee|customer|client|merchant|bank|employer|"
             r"carrier|manufacturer|business|debtor|creditor|subsidiary|legal entity)(?: name)?(?: in full)?"),
    ("GIVEN", r"(?:first|given|fore) ?names?|vorname|prénom|nickname"),
    ("FAMILY", r"(?:last|family|sur|maiden) ?names?|nachname|nom"),
    ("PERSON", r"(?:.* )?(?:contact|person|employee|clerk|buyer|approver|requester|requestor|assignee|owner|manager|"
               r"supervisor|reviewer|author|attendee|attendees|recipient|sender|signatory|signer|beneficiary|patient|"
               r"doctor|physician|student|teacher|member|driver|passenger|guest|applicant|candidate|delegate|deputy|"
               r"substitute|holder|cardholder|agent|representative|processor|operator|inspector|auditor|colleague|"
               r"spouse|parent|guardian|witness|tenant|landlord|insured|people|staff|user)s?(?: (?:person|name|persons?))?|"
               r"full name|name of (?:the )?.*(?:person|holder|contact|employee)|from|to|cc|bcc|reply to|attn|attention|"
               r"signed(?: in as| by)?|logged in as|.* by|assigned to|reports to|care of|c o|who|regards|dear"),
    ("NAME", r"names?|.* name|customer|client"),
)  # fmt: skip
_COMPILED = tuple((kind, re.compile(pattern)) for kind, pattern in _RULES)


@lru_cache(maxsize=20_000)
def words_of(label: str) -> str:
    """A label as plain words: "contactEmail", "contact_email" and "Contact e-mail:" alike."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", label[:120])
    text = fold(re.sub(r"\(.*?\)", " ", text)).replace("e-mail", "email")
    return " ".join(re.findall(r"[^\W_]+", text))


@lru_cache(maxsize=20_000)
def kind_of(label: str) -> str | None:
    """What a value under this label is, or None when the label does not say."""
    words = words_of(label)
    if not words or len(words) > 60:
        return None
    return next((kind for kind, pattern in _COMPILED if pattern.fullmatch(words)), None)


_LINE = re.compile(
    r"(?:^|(?<=\n))[ \t>*#|-]{0,8}\*{0,2}(?P<label>[^\W\d_][^\n:|*]{1,38}?)\*{0,2}:\*{0,2}[ \t]+(?P<value>[^\n|]{2,200}?)[ \t*|]*(?=\n|$)"
)


def labelled_lines(text: str) -> list[tuple[str, int, int]]:
    """``Label: value`` lines of a text, as (kind, start, end) of the value."""
    found = []
    for match in _LINE.finditer(text):
        kind = kind_of(match["label"])
        if kind is not None:
            found.append((kind, *match.span("value")))
    return found
