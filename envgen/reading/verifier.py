"""The judge: the right value, every source it takes and none that does not say so, declared done."""

from __future__ import annotations

from collections.abc import Collection

from envgen.reading.corpus import Corpus, Ref
from envgen.reading.model import Question
from envgen.session import Score


def judge(
    corpus: Corpus, question: Question, *, answer: str, refused: bool, cited: Collection[Ref], done: bool
) -> Score:
    """1.0 iff the answer is right, and so are its sources, and the work was declared done; with reasons.

    Args:
        answer: What was answered; ``refused``: that the documents do not say.
        cited: The lines that were cited.
    """
    reasons = []
    if question.answerable:
        if refused:
            reasons.append(f"The documents do say: {question.answer}.")
        elif not answer.strip():
            reasons.append("Nothing was answered.")
        elif question.stale is not None and _same_as_stale(question, answer):
            reasons.append(
                f"“{answer}” stood there before {_where(corpus, question)} changed it to “{question.answer}”."
            )
        elif not question.right(answer):
            reasons.append(f"The answer is “{answer}”, should be “{question.answer}”.")
    elif answer.strip():
        reasons.append(f"The documents do not say, but the answer is “{answer}”.")
    elif not refused:
        reasons.append("Nothing was answered; the documents do not say.")
    for group in question.needed:
        if not any(ref in cited for ref in group):
            reasons.append(f"Not cited: {corpus.cited(group[0])}.")
    fine = {ref for group in question.needed for ref in group} | set(question.allowed)
    reasons += [f"{corpus.cited(ref)} is cited and does not say so." for ref in sorted(set(cited) - fine)]
    if not done:
        reasons.append("The work was not declared done.")
    return Score(value=0.0 if reasons else 1.0, reasons=tuple(reasons))


def _same_as_stale(question: Question, answer: str) -> bool:
    assert question.stale is not None
    return not question.right(answer) and question.model_copy(update={"answer": question.stale.value}).right(
        answer
    )


def _where(corpus: Corpus, question: Question) -> str:
    return corpus.cited(question.needed[0][0])


def milestones(
    question: Question,
    *,
    answer: str,
    refused: bool,
    cited: Collection[Ref],
    opened: Collection[int],
    done: bool,
) -> float:
    """The share of the work that is right so far: sources opened and cited, the answer, done.

    As a potential over states it shapes rewards without changing which policy is best
    (Ng, Harada and Russell 1999).
    """
    reached = 0.0
    for group in question.needed:
        if any(ref in cited for ref in group):
            reached += 1.0
        elif any(section in opened for section, _ in group):
            reached += 0.5
    fine = {ref for group in question.needed for ref in group} | set(question.allowed)
    said = question.right(answer) if question.answerable else not answer.strip()
    right = said and refused != question.answerable
    reached += right
    sourced = all(any(ref in cited for ref in group) for group in question.needed) and set(cited) <= fine
    reached += done and right and sourced
    return reached / (len(question.needed) + 2)
