"""Single values drawn like samples: of the same shape, near a limit, or nearly the same."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal

from envgen.values import (
    date_in,
    date_layout,
    iban_valid,
    make_iban,
    number,
    parse_date,
    parse_time,
    write_time,
)

_BESIDE = (Decimal(0), Decimal(1), Decimal(-1), Decimal(100), Decimal(-100))


def like(rng: random.Random, samples: Iterable[str], day_first: bool = False) -> str:
    """A value of the kind of the samples: same shape for identifiers, dates near theirs, names recombined.

    Args:
        day_first: How dates are to be read, see :func:`envgen.values.parse_date`.
    """
    pool = [s for s in samples if s]
    if not pool:
        return ""
    base = rng.choice(pool)
    if iban_valid(base):
        return make_iban(rng, base[:2], base)
    dated = parse_date(base, day_first)
    if dated is not None:
        layout = date_layout(pool, day_first) or dated[1]
        day = date_in(base, layout) or dated[0]
        return (day + timedelta(days=rng.randint(-45, 45))).strftime(layout)
    timed = parse_time(base)
    if timed is not None and write_time(*timed) == base:
        return write_time(rng.randrange(24), rng.randrange(60), timed[2])
    if number(base) is not None:
        return draw_number(rng, pool, ())
    if any(c.isdigit() for c in base):
        return redigit(rng, base)
    words = base.split()
    other = rng.choice(pool).split()
    if len(words) >= 2 and len(other) == len(words):
        cut = rng.randint(1, len(words) - 1)
        return " ".join(words[:cut] + other[cut:])
    return base


def redigit(rng: random.Random, text: str) -> str:
    """The same text with other digits; a leading zero stays one."""

    def digits(match: re.Match[str]) -> str:
        run = match[0]
        if run[0] == "0":
            return "0" + "".join(str(rng.randint(0, 9)) for _ in run[1:])
        return str(rng.randint(1, 9)) + "".join(str(rng.randint(0, 9)) for _ in run[1:])

    return re.sub(r"\d+", digits, text)


def with_prefix(rng: random.Random, value: str, prefix: str) -> str:
    """The value beginning with another prefix; check digits are kept right where they are known."""
    if iban_valid(value):
        return make_iban(rng, prefix[:2], value)
    return prefix + value[len(prefix) :]


def draw_number(rng: random.Random, samples: Iterable[str], limits: Iterable[str]) -> str:
    """A number written as the samples are: near a limit, or anywhere between two of them."""
    texts = [s for s in samples if number(s) is not None]
    seen = sorted(n for n in (number(s) for s in texts) if n is not None)
    shape = rng.choice(texts)
    unit = Decimal(1).scaleb(-_places(shape))
    low, high = seen[0], seen[-1]
    bounds = sorted({Decimal(limit) for limit in limits})
    if bounds and rng.random() < 0.4:
        limit = rng.choice(bounds)
        step = rng.choice([Decimal(0), unit, -unit, unit * 100, -unit * 100, limit / 50, -limit / 50])
        return write_number(max(limit + step, unit), shape)
    edges = [min(low, *bounds), *bounds, max(high, *bounds)] if bounds else [low, high]
    if bounds:
        edges[0] = min(edges[0], bounds[0] / 10)
        edges[-1] = max(edges[-1], bounds[-1] * 4)
    at = rng.randrange(len(edges) - 1)
    a, b = float(edges[at]), float(edges[at + 1])
    value = rng.uniform(a, b)
    if a > 0 and b > 20 * a:
        value = a * (b / a) ** rng.random()
    return write_number(Decimal(str(value)), shape)


def near(rng: random.Random, text: str) -> str:
    """A value that differs a little: what a hurried reader takes for the same."""
    value = number(text)
    if value is not None:
        unit = Decimal(1).scaleb(-_places(text))
        step = rng.choice([1, -1]) * rng.choice([1, 10, 100]) * unit
        other = abs(value + step) or unit
        # Numbers stay positive: 5 less 10 would be 5 again.
        return write_number(other if other != abs(value) else abs(value) + abs(step), text)
    digits = [i for i, c in enumerate(text) if c.isdigit()]
    if not digits:
        return text + "x"
    at = rng.choice(digits)
    return text[:at] + rng.choice([d for d in "0123456789" if d != text[at]]) + text[at + 1 :]


def beside(rng: random.Random, limit: str, shape: str, layout: str = "") -> str | None:
    """A number or a date at a limit, or a little beside it, written as others are.

    Args:
        layout: How the date is written, where the shape leaves that open.
    """
    dated, written = parse_date(limit), parse_date(shape)
    if dated is not None and written is not None:
        return (dated[0] + timedelta(days=rng.randint(-2, 2))).strftime(layout or written[1])
    value = number(limit)
    if value is None or number(shape) is None:
        return None
    unit = Decimal("0.01") if "." in shape[-3:] or "," in shape[-3:] else Decimal(1)
    return write_number(max(value + rng.choice(_BESIDE) * unit, unit), shape)


def _places(shape: str) -> int:
    match = re.search(r"[.,](\d{1,2})\D*$", shape)
    return len(match[1]) if match else 0


def write_number(value: Decimal, shape: str) -> str:
    """A number in the format of another: decimals, thousands, what stands before and after."""
    match = re.search(r"\d[\d.,' ]*\d|\d", shape)
    assert match is not None
    body = match[0]
    places = _places(shape)
    point = re.search(r"([.,])\d{1,2}$", body)
    decimal_mark = point[1] if point else "."
    whole = body[: point.start()] if point else body
    group = re.search(r"\d([.,' ])\d{3}", whole)
    text = f"{value:,.{places}f}"
    mark = group[1] if group else ("," if decimal_mark == "." and value < 1000 else "")
    if not group and value >= 1000 and number(shape) is not None and number(shape) < 1000:  # type: ignore[operator]
        mark = "," if decimal_mark == "." else "."
        if not places:
            mark = ""
    text = text.replace(",", "\0").replace(".", decimal_mark).replace("\0", mark)
    return shape[: match.start()] + text + shape[match.end() :]
