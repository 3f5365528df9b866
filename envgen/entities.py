"""Entities of a workflow: fields with their types, references, and the recorded records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from envgen.documents import Knowledge
from envgen.examples import PAGE_ROOT
from envgen.expressions import Above, Arithmetic, Expression, FieldOf, Lookup, Mapped, Test, parts
from envgen.instructions import Instructions
from envgen.values import kind_of
from envgen.workflow import Entity, FieldModel, ParameterModel
from envgen.world import World

# A field with at most this many different texts per record seen is a category.
_CATEGORY_SHARE = 0.67
SESSION = ""
"""The entity to which belongs what stays the same throughout a recording."""


def references(world: World) -> dict[tuple[str, str], str]:
    """Fields that hold the key of another record: links to it, or texts that are all keys.

    What a page says throughout a recording may name a record too: its field is one of :data:`SESSION`.
    """
    found: dict[tuple[str, str], str] = {}
    for visit in world.all_visits():
        kind = world.kinds[visit.page]
        after = world.kinds[visit.next_page]
        if visit.verb != "click" or not visit.target or visit.row is not None or not after.entity:
            continue
        for slot in kind.nodes[visit.target].slots():
            name = kind.fields.get(slot)
            if name and kind.entity and visit.reading.slots.get(slot) == visit.after_key != visit.before_key:
                found[kind.entity, name] = after.entity
    keys: dict[str, set[str]] = defaultdict(set)
    texts: dict[tuple[str, str], set[str]] = defaultdict(set)
    key_fields = {(k.entity, k.fields.get(k.key_slot, "")) for k in world.kinds.values()}
    for records in world.records.values():
        for entity, by_key in records.items():
            for key, record in by_key.items():
                keys[entity].add(key)
                for name, text in record.items():
                    if (entity, name) not in key_fields and text != key:
                        texts[entity, name].add(text)
    for (entity, name), said in texts.items():
        for other, known in keys.items():
            named = len(said) >= 3 and len(said & known) * 2 > len(said)
            # Few texts may name rows of a set table, where all of them do.
            named = named or (other in world.fixed and len(said) > 1 and said <= known)
            if other != entity and named:
                found.setdefault((entity, name), other)
    for name in dict.fromkeys(name for fields in world.session.values() for name in fields):
        asked = {recording: fields.get(name, "") for recording, fields in world.session.items()}
        for entity in keys:
            named = all(text in world.records[r].get(entity, {}) for r, text in asked.items())
            if named and len(set(asked.values())) > 1:
                found[SESSION, name] = entity
    return found


def entity_models(
    world: World,
    refs: dict[tuple[str, str], str],
    instructions: Instructions,
    expressions: Iterable[Expression | Test],
    knowledge: Knowledge,
    worked: Mapping[str, Collection[str]],
) -> list[Entity]:
    """The entities with all recorded records as samples.

    Args:
        worked: Keys of the records in whose rows something was done, by entity.
    """
    asked = list(expressions)
    found = []
    for name in dict.fromkeys(e for records in world.records.values() for e in records):
        samples, counts = _samples(world, name)
        key_field = _key_field(world, name)
        names = dict.fromkeys(f for sample in samples for f in sample)
        fields = tuple(
            _field(name, f, key_field, samples, refs, instructions, asked, knowledge) for f in names
        )
        if name in worked:
            # Lists of what is opened one by one say nearly as much as pages: what a page lacks counts.
            fields = tuple(f.model_copy(update={"optional": _lacking(world, name, f.name)}) for f in fields)
        found.append(
            Entity(
                name=name,
                key_field=key_field,
                fields=fields,
                samples=tuple(samples),
                targets=tuple(
                    values[root]
                    for root, entity in instructions.roots().items()
                    if entity == name
                    for values in instructions.values.values()
                    if root in values
                )
                + tuple(sorted(worked.get(name, ()))),
                count=(min(counts), max(counts)),
                fixed=name in world.fixed,
                at_once=_at_once(world, name, instructions),
            )
        )
    return found


def _at_once(world: World, entity: str, instructions: Instructions) -> float | None:
    """How often the first list of such records that a recording opened had the task's among its rows."""
    roots = [root for root, of in instructions.roots().items() if of == entity]
    found: dict[str, bool] = {}
    for visit in world.all_visits():
        if visit.recording in found:
            continue
        wanted = {instructions.values[visit.recording].get(root) for root in roots}
        for rows_id, rows in world.kinds[visit.page].lists.items():
            if rows.entity == entity and roots:
                shown = {row.slots.get(rows.key_slot) for row in visit.reading.rows.get(rows_id, ())}
                found[visit.recording] = bool(wanted & shown)
    return sum(found.values()) / len(found) if found else None


def _samples(world: World, entity: str) -> tuple[list[dict[str, str]], list[int]]:
    samples: list[dict[str, str]] = []
    counts: list[int] = []
    seen: set[tuple[tuple[str, str], ...]] = set()
    key_field = _key_field(world, entity)
    for records in world.records.values():
        by_key = records.get(entity, {})
        if by_key:
            counts.append(len(by_key))
        for key, record in by_key.items():
            sample = {key_field: key, **record}
            frozen = tuple(sorted(sample.items()))
            if frozen not in seen:
                seen.add(frozen)
                samples.append(sample)
    return samples, counts or [0]


def _key_field(world: World, entity: str) -> str:
    for kind in world.kinds.values():
        if kind.entity == entity and kind.key_slot in kind.fields:
            return kind.fields[kind.key_slot]
        for rows in kind.lists.values():
            if rows.entity == entity and rows.key_slot in rows.fields:
                return rows.fields[rows.key_slot]
    return entity


def _field(
    entity: str,
    name: str,
    key_field: str,
    samples: list[dict[str, str]],
    refs: dict[tuple[str, str], str],
    instructions: Instructions,
    asked: list[Expression | Test],
    knowledge: Knowledge,
) -> FieldModel:
    texts = [s[name] for s in samples if name in s]
    reference = refs.get((entity, name), "")
    kind = "key" if name == key_field else "reference" if reference else _kind(texts)
    roots = {root for root, e in instructions.roots().items() if e == entity} | {PAGE_ROOT + entity}
    limits: list[str] = []
    known: list[str] = []

    def about(expression: Expression | Test) -> bool:
        return any(
            isinstance(p, FieldOf) and p.root in roots and p.path == (name,) for p in parts(expression)
        )

    mapped_only: list[str] = []
    for expression in asked:
        for part in parts(expression):
            if isinstance(part, Above) and _plain(part.of) and about(part.of) and part.limit not in limits:
                limits.append(part.limit)
            elif isinstance(part, Lookup) and isinstance(part.of, FieldOf) and about(part.of):
                table = knowledge.table(part.table)
                at = table.column(part.key_column)
                known += [row[at] for row in table.rows if row[at] and row[at] not in known]
            elif isinstance(part, Mapped) and isinstance(part.of, FieldOf) and about(part.of):
                mapped_only += [key for key, _ in part.pairs]
    if kind == "category" or known:
        kind = "category" if kind in ("text", "id", "category") else kind
    if mapped_only and not known:
        known = []
    return FieldModel(
        name=name,
        kind=kind,
        optional=_optional(name, samples),
        reference=reference,
        limits=tuple(limits),
        known=tuple(known),
    )


def _plain(of: Expression) -> bool:
    """Whether a limit on something is one on the field in it, not on how far two are apart."""
    return not any(isinstance(part, Arithmetic) for part in parts(of))


def _optional(name: str, samples: list[dict[str, str]]) -> bool:
    """Whether records lack the field though their page was seen."""
    shown = [s for s in samples if len(s) * 2 > max(len(x) for x in samples)]
    return any(name not in s for s in shown) and any(name in s for s in shown)


def _lacking(world: World, entity: str, name: str) -> bool:
    """Whether a page or a row that can say the field was seen not to."""
    for kind, reading in world.all_readings():
        own = [slot for slot, field in kind.fields.items() if kind.entity == entity and field == name]
        if own and kind.key_slot in reading.slots and not any(slot in reading.slots for slot in own):
            return True
        for rows_id, rows in kind.lists.items():
            own = [slot for slot, field in rows.fields.items() if rows.entity == entity and field == name]
            if own and any(not row.slots.keys() & set(own) for row in reading.rows.get(rows_id, ())):
                return True
    return False


def _kind(texts: list[str]) -> str:
    kinds = {kind_of(text) for text in texts if text}
    distinct = len(set(texts))
    if kinds == {"number"}:
        return "number"
    if kinds == {"date"}:
        return "date"
    if distinct <= max(2, _CATEGORY_SHARE * len(texts)):
        return "category"
    if kinds == {"id"}:
        return "id"
    return "text"


def parameter_models(instructions: Instructions) -> list[ParameterModel]:
    """The instruction's parameters with the values the recordings name."""
    found = []
    for name, origin in instructions.origins.items():
        samples = dict.fromkeys(v[name] for v in instructions.values.values() if name in v)
        found.append(
            ParameterModel.model_validate(
                {
                    "name": name,
                    "kind": origin.kind,
                    "entity": origin.entity if origin.kind != "entered" else "",
                    "field": origin.name,
                    "samples": tuple(samples),
                }
            )
        )
    return found


__all__ = ["entity_models", "parameter_models", "references"]
