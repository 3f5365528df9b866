"""Instructions of the recordings as templates: which words are parameters, and what they name."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from envgen.values import number, parse_date, written_otherwise
from envgen.world import World

# A parameter must be named in this share of the recordings to be one.
_SHARE = 0.6
# Not parts of codes.
_AMOUNT = re.compile(r"(?<![\w.,/+-])\d[\d.,'/-]*\d(?![\w%-])|(?<![\w.,/+-])\d(?![\w%.,/-]\d|[\w%])")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a parameter is: the key of an entity's record, one of its fields, or an entered value."""

    kind: str
    entity: str = ""
    name: str = ""


@dataclass(slots=True)
class Instructions:
    """Templates with ``{name}`` holes, the parameters' meaning, and their values per recording."""

    templates: list[str] = field(default_factory=list)
    origins: dict[str, Origin] = field(default_factory=dict)
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    unexplained: list[str] = field(default_factory=list)

    def roots(self) -> dict[str, str]:
        """Parameter -> entity, for the parameters that name a record."""
        return {name: origin.entity for name, origin in self.origins.items() if origin.kind == "key"}


def understand(world: World, *, amounts: bool = False) -> Instructions:
    """Find the parameters of the recordings' instructions.

    Args:
        amounts: Whether numbers and dates are parameters as well that were neither seen nor entered: rows
            are compared with them.
    """
    matches: dict[str, dict[Origin, tuple[int, int, str]]] = {}
    for trace in world.traces:
        matches[trace.recording] = _matches(world, trace.recording, trace.instruction)
        if amounts:
            matches[trace.recording] |= _amounts(trace.instruction)
    counts: Counter[Origin] = Counter(origin for found in matches.values() for origin in found)
    total = len(matches)
    values: dict[Origin, set[str]] = defaultdict(set)
    for found in matches.values():
        for origin, (_, _, text) in found.items():
            values[origin].add(text)
    usable = [
        origin
        for origin, count in counts.items()
        if count >= _SHARE * total and (len(values[origin]) > 1 or total == 1)
    ]
    rank = {"key": 0, "entered": 1, "field": 2}
    # A number is only a number where nothing else says what it is.
    usable.sort(key=lambda o: (rank[o.kind] if o.entity else 3, -counts[o], o.name))
    result = Instructions()
    names: dict[Origin, str] = {}
    templates: Counter[str] = Counter()
    for trace in world.traces:
        taken: list[tuple[int, int, str, str]] = []
        for origin in usable:
            hit = matches[trace.recording].get(origin)
            if hit is None or any(hit[0] < end and start < hit[1] for start, end, _, _ in taken):
                continue
            name = names.setdefault(origin, _name(origin, names))
            taken.append((hit[0], hit[1], name, hit[2]))
        text = trace.instruction
        for start, end, name, _ in sorted(taken, reverse=True):
            text = text[:start] + "{" + name + "}" + text[end:]
        templates[text] += 1
        result.values[trace.recording] = {name: value for _, _, name, value in taken}
    result.origins = {name: origin for origin, name in names.items()}
    wanted = set(result.origins)
    for text, _ in sorted(templates.items(), key=lambda item: -item[1]):
        if set(re.findall(r"{(\w+)}", text)) == wanted:
            result.templates.append(text)
    for trace in world.traces if amounts else ():
        if set(result.values[trace.recording]) != wanted:
            # What no row of this case says is told by how the others are worded.
            result.values[trace.recording] |= match_template(result.templates, trace.instruction) or {}
    for trace in world.traces:
        if set(result.values[trace.recording]) != wanted:
            result.unexplained.append(trace.recording)
    return result


def _matches(world: World, recording: str, instruction: str) -> dict[Origin, tuple[int, int, str]]:
    """Where the instruction says something that was seen or entered, by what that is."""
    candidates: dict[Origin, list[str]] = defaultdict(list)
    touched = {(v.page, v.target) for v in world.all_visits() if v.verb in ("fill", "select")}
    opened: Mapping[str, list[str]] = defaultdict(list)
    for visit in world.visits[recording]:
        if visit.verb in ("click", "press"):
            # What stands there already need not be entered, and counts as if it was.
            for control, value in visit.reading.controls.items():
                if (visit.page, control) in touched and value:
                    label = _label_of(world, visit.page, control)
                    candidates[Origin("entered", visit.page, label)] += [value, *written_otherwise(value)]
        for page, key in ((visit.page, visit.before_key), (visit.next_page, visit.after_key)):
            if key:
                candidates[Origin("key", world.kinds[page].entity)].append(key)
                opened[world.kinds[page].entity].append(key)
        for rows_id, rows in world.kinds[visit.page].lists.items():
            # A row may be named that is never opened: what it says is all that is asked for.
            keys = [row.slots.get(rows.key_slot, "") for row in visit.reading.rows.get(rows_id, ())]
            candidates[Origin("key", rows.entity)] += [key for key in keys if key]
            for row in visit.reading.rows.get(rows_id, ()):
                for slot, name in rows.fields.items():
                    if slot != rows.key_slot and row.slots.get(slot):
                        candidates[Origin("field", rows.entity, name)].append(row.slots[slot])
        if visit.verb in ("fill", "select") and visit.value and visit.target:
            label = _label_of(world, visit.page, visit.target)
            candidates[Origin("entered", visit.page, label)] += [visit.value, *written_otherwise(visit.value)]
    for entity, keys in opened.items():
        for key in keys:
            for name, text in world.records[recording].get(entity, {}).get(key, {}).items():
                if text != key:
                    candidates[Origin("field", entity, name)].append(text)
    found: dict[Origin, tuple[int, int, str]] = {}
    for origin, texts in candidates.items():
        best: tuple[int, int, str] | None = None
        for text in texts:
            # One letter or digit stands anywhere by accident, but for a number that was entered.
            short = len(text) < 2 and not (origin.kind == "entered" and text.isdigit())
            if short or (origin.kind == "field" and not _telling(text)):
                continue
            match = re.search(rf"(?<!\w){re.escape(text)}(?!\w)", instruction)
            if match and (best is None or len(text) > best[1] - best[0]):
                best = (match.start(), match.end(), text)
        if best is not None:
            found[origin] = best
    return found


def _amounts(instruction: str) -> dict[Origin, tuple[int, int, str]]:
    """Numbers and dates that an instruction names, by their kind and order."""
    found: dict[Origin, tuple[int, int, str]] = {}
    for match in _AMOUNT.finditer(instruction):
        kind = (
            "date" if parse_date(match[0]) is not None else "number" if number(match[0]) is not None else ""
        )
        if kind:
            count = sum(origin.name.split()[0] == kind for origin in found) + 1
            name = kind if count == 1 else f"{kind} {count}"
            found[Origin("entered", "", name)] = (match.start(), match.end(), match[0])
    return found


def _label_of(world: World, page: str, control: str) -> str:
    """What a field is called; where that is data, by its place."""
    return world.kinds[page].label_of(control)


def _telling(text: str) -> bool:
    return any(c.isdigit() for c in text) or (text[:1].isupper() and len(text) >= 4)


def _name(origin: Origin, taken: Mapping[Origin, str]) -> str:
    base = origin.name or origin.entity
    name = re.sub(r"\W+", "_", base.lower()).strip("_") or "value"
    count, unique = 1, name
    while unique in taken.values():
        count += 1
        unique = f"{name}_{count}"
    return unique


def match_template(templates: Iterable[str], instruction: str) -> dict[str, str] | None:
    """The parameters of an instruction that fits one of the templates, else None."""
    for template in templates:
        pieces = re.split(r"{(\w+)}", template)
        pattern = "".join(
            re.escape(piece) if index % 2 == 0 else f"(?P<{piece}>.+?)" for index, piece in enumerate(pieces)
        )
        match = re.fullmatch(pattern, instruction)
        if match:
            return match.groupdict()
    return None
