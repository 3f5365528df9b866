"""What a label says about the value beside it: column headers, field names, form keys, ``From:`` lines."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

from redact.names import fold

# What a labelled value can be, in order of precedence. Beside the types of spans:
# NAME: a person or a firm, told by the value; GIVEN and FAMILY: one word of a name;
# FIRM: a firm, kept by default; FIXED: what the work itself is about (amounts, codes,
# states), never altered.
_RULES = tuple(
    (kind, re.compile("|".join(patterns)))
    for kind, patterns in json.loads(
        (Path(__file__).parent / "data" / "labels.json").read_text("utf-8")
    ).items()
    if kind != "about"
)


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
    return next((kind for kind, pattern in _RULES if pattern.fullmatch(words)), None)


_LINE = re.compile(
    r"(?:^|(?<=\n))[ \t>*#|-]{0,8}\*{0,2}(?P<label>[^\W\d_][^\n:|*]{1,38}?)\*{0,2}:\*{0,2}"
    r"[ \t]+(?P<value>[^\n|]{2,200}?)[ \t*|]*(?=\n|$)"
)


def labelled_lines(text: str) -> list[tuple[str, int, int]]:
    """``Label: value`` lines of a text, as (kind, start, end) of the value."""
    found = []
    for match in _LINE.finditer(text):
        kind = kind_of(match["label"])
        if kind is not None:
            found.append((kind, *match.span("value")))
    return found
