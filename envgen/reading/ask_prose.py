"""Questions that sentences answer: limits, dates, amounts, what terms mean, what was amended."""

from __future__ import annotations

from envgen.reading import wording
from envgen.reading.corpus import Corpus, Ref
from envgen.reading.drafts import Drafts
from envgen.reading.model import Other
from envgen.reading.prose import GAP, Prose, numbers_of
from envgen.reading.same import same, value
from envgen.values import number

_LONGEST_TERM = 60


def sentences(drafts: Drafts, prose: Prose) -> None:
    """Limits, dates and amounts in sentences; those that another document amends as they are now."""
    amended = {amendment.amended for amendment in prose.amendments}
    newest = {a.amended: a for a in prose.amendments if a.old and a.new}
    gaps = list(prose.gaps())
    for gap in gaps:
        rng = drafts.rng("gap", gap.sentence)
        if any(a.ref == gap.ref and a.old and same(a.old, gap.value) for a in prose.amendments):
            # What it was before: nobody needs to know that by heart.
            continue
        change, around = newest.get(gap.ref), gap.sentence.replace(GAP, "")
        if gap.ref in amended and (change is None or not same(change.old, gap.value)):
            # Who amends a section may mean all of it: what cannot be said for certain is not asked.
            drafts.dropped["stands in a section that was amended"] += 1
            continue
        if change is not None:
            drafts.add(
                "amended",
                wording.worded(wording.AMENDED, rng, sentence=gap.sentence),
                change.new,
                [_saying(drafts.corpus, change.ref, change.new)],
                about=gap.sentence,
                group="amended",
                queries=[(drafts.corpus.text(change.ref), around)],
                context=gap.sentence,
                allowed=(gap.ref, *(a.ref for a in prose.amendments if a.amended == gap.ref)),
                stale=Other(value=gap.value, ref=gap.ref),
            )
            continue
        alike = [other.ref for other in gaps if other.sentence == gap.sentence and other.value == gap.value]
        if any(other.sentence == gap.sentence and not same(other.value, gap.value) for other in gaps):
            drafts.dropped["documents say different things"] += 1
            continue
        drafts.add(
            "threshold",
            wording.worded(wording.GAP, rng, sentence=gap.sentence),
            gap.value,
            [alike],
            about=gap.sentence,
            group=f"sentence/{gap.kind}",
            queries=[(around, f"{drafts.corpus.sections[gap.ref[0]].heading} {around}")],
            context=gap.sentence,
            rows=[Other(value=o.value, ref=o.ref) for o in gaps if o.kind == gap.kind and o.ref != gap.ref],
        )


def _saying(corpus: Corpus, by: Ref, new: str) -> list[Ref]:
    """The amending line, and what else its document says with the new number."""
    document = corpus.sections[by[0]].document
    read = number(new)
    return [by, *(
        ref for ref in corpus.refs
        if ref != by and corpus.sections[ref[0]].document == document
        and read is not None and read in numbers_of(corpus.text(ref))
    )]  # fmt: skip


def meanings(drafts: Drafts, prose: Prose) -> None:
    """What terms mean, which term means something, and what stands after labels."""
    amended = {amendment.amended for amendment in prose.amendments}
    found = [meaning for meaning in prose.meanings() if meaning.ref not in amended]
    for meaning in found:
        section = drafts.corpus.sections[meaning.ref[0]]
        rng = drafts.rng("meaning", meaning.term, meaning.value)
        alike = [m for m in found if value(m.term) == value(meaning.term)]
        if meaning.labelled:
            here = [m for m in alike if drafts.corpus.sections[m.ref[0]].document == section.document]
            if any(not same(m.value, meaning.value) for m in here) or not section.title:
                continue
            text = wording.worded(wording.LABELLED, rng, term=meaning.term, title=section.title)
            refs, answer = [m.ref for m in here], meaning.value
            rows = [m for m in found if m.labelled]
        else:
            if any(not same(m.value, meaning.value) for m in alike):
                drafts.dropped["documents say different things"] += 1
                continue
            refs = [m.ref for m in alike]
            rows = [m for m in found if not m.labelled]
            if len(meaning.value) <= _LONGEST_TERM:
                text, answer = wording.worded(wording.MEANING, rng, term=meaning.term), meaning.value
            else:
                # A long definition is said in many ways; its term is not.
                text, answer = wording.worded(wording.TERM, rng, value=meaning.value), meaning.term
        drafts.add(
            "definition",
            text,
            answer,
            [refs],
            about=f"{section.document}/{meaning.term}",
            group="label" if meaning.labelled else "meaning",
            queries=[(f"{meaning.term} {section.title}", drafts.corpus.text(meaning.ref))],
            rows=[
                Other(value=m.term if answer == meaning.term else m.value, ref=m.ref)
                for m in rows
                if m.ref != meaning.ref or m.term != meaning.term
            ],
        )
