"""The gate: an environment is published only when its verifier passes right work and fails wrong work.

Right work: the program's path on fresh tasks, its entries in other orders, and recordings
held out from compilation, replayed in instances made of their own values. Wrong work:
families of mutants of right work. Cheap passes: ways of doing nothing useful, and a search for reward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from pydantic import BaseModel, ConfigDict

from envgen.answers import Answer
from envgen.cheap_passes import cheap_passes
from envgen.environment import WorkflowEnv
from envgen.proposals import Proposer
from envgen.replay import Replay
from envgen.right_work import as_programmed, held_out, in_another_case, program_paths, reordered
from envgen.statistics import Share
from envgen.tasks import tasks_of
from envgen.traces import Parser
from envgen.workflow import Workflow
from envgen.wrong_rows import ROW_FAMILIES
from envgen.wrong_work import FAMILIES, caught, to_do
from ingest.document import Document
from ingest.recording import Recording

MIN_KILL_RATE = 0.99
MIN_FAMILY_KILL_RATE = 0.95
MAX_FALSE_REJECT = 0.02
MAX_CHEAP = 0.01
TASKS = 50
CHEAP_TASKS = 100
_MUTATED_TASKS = 16


class GateReport(BaseModel):
    """What the gate found.

    Attributes:
        page_parity: Share of the held-out recordings' pages that the environment shows line by line.
        families: Of each family of wrong work, how much was caught.
        right: Of each kind of right work, how much was rejected.
        cheap: Of each cheap way, how often it passed.
        reasons: Why it is not published, or what risk was accepted.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    published: bool
    reasons: tuple[str, ...]
    accepted_risk: str = ""
    held_out_pass: int
    held_out_total: int
    held_out: tuple[str, ...] = ()
    page_parity: float | None
    kill_rate: float | None
    kill_ci: tuple[float, float] | None
    false_reject_rate: float | None
    false_reject_ci: tuple[float, float] | None
    mutants: int
    families: dict[str, Share]
    right: dict[str, Share]
    cheap: dict[str, Share] = {}


def gate(
    workflow: Workflow,
    recordings: Sequence[Recording],
    documents: Sequence[Document],
    *,
    accept_risk: str = "",
    parser: Parser | None = None,
    answers: Mapping[str, Answer] | None = None,
    proposer: Proposer | None = None,
    seed: int = 0,
    cheap_tasks: int = CHEAP_TASKS,
) -> GateReport:
    """Prove a compiled workflow's verifier. Never raises for a bad workflow: says why it is bad.

    Args:
        answers: The expert's answers the workflow was compiled with; ``proposer`` the language model.
        cheap_tasks: Tasks on which each cheap way is tried.
    """
    held = held_out(recordings, documents, parser or Parser(), answers, proposer)
    reasons: list[str] = []
    env = WorkflowEnv(workflow)
    made = tasks_of(workflow, "dev", seed=seed, generator=env.generator)
    tasks = list(islice(made, max(TASKS, cheap_tasks)))
    if len(tasks) < TASKS:
        reasons.append(
            f"Only {len(tasks)} of {TASKS} different dev tasks can be made: too few parameters vary."
        )
    proving = tasks[:TASKS]
    paths = program_paths(env, proving)
    in_case = in_another_case(env, proving, paths)
    rejected = [f"{r.recording}: {'; '.join(r.score.reasons)}" for r in held if not r.score.passed]
    right = {
        "program": as_programmed(env, proving, paths),
        "reordered": reordered(env, proving, paths, seed),
        "held out": Share.of(len(rejected), len(held), rejected),
        **({"another case": in_case} if in_case.total else {}),
    }
    known = [task for task in proving if task.id in paths]
    # Where nothing is to be done, doing nothing is right.
    usable = [task for task in known if to_do(env, task)][:_MUTATED_TASKS]
    families = {name: caught(env, usable, paths, family, seed) for name, family in FAMILIES.items()}
    if any(plan.loop is not None for plan in workflow.plans):
        rows = known[:_MUTATED_TASKS]
        families |= {name: caught(env, rows, paths, family, seed) for name, family in ROW_FAMILIES.items()}
    cheap = cheap_passes(env, [task for task in tasks[:cheap_tasks] if to_do(env, task)])
    reasons += [*missed_by_wrong_work(families, cheap), *rejected_too_often(right)]
    if rejected:
        reasons.append(f"Held-out recordings are rejected: {'; '.join(right['held out'].examples)}")
    if not held:
        reasons.append("Too few recordings to hold one out: nothing independent confirms the environment.")
    return reported(
        workflow.name, reasons, accept_risk, families=families, right=right, cheap=cheap, held=held
    )


def reported(
    name: str,
    reasons: Sequence[str],
    accept_risk: str,
    *,
    families: dict[str, Share],
    right: dict[str, Share],
    cheap: dict[str, Share],
    held: Sequence[Replay] = (),
) -> GateReport:
    """The report on an environment.

    Args:
        reasons: Against publishing it; with ``accept_risk`` it is published all the same.
        held: Recordings held out, replayed.
    """
    killed, refused = total_of(families), total_of(right)
    steps = sum(r.steps for r in held)
    return GateReport(
        name=name,
        published=not reasons or bool(accept_risk),
        reasons=tuple(reasons),
        accepted_risk=accept_risk if reasons else "",
        held_out_pass=sum(r.score.passed for r in held),
        held_out_total=len(held),
        held_out=tuple(r.recording for r in held),
        page_parity=1 - sum(len(r.different) for r in held) / steps if steps else None,
        kill_rate=killed.rate,
        kill_ci=killed.ci,
        false_reject_rate=refused.rate,
        false_reject_ci=refused.ci,
        mutants=killed.total,
        families=families,
        right=right,
        cheap=cheap,
    )


def total_of(shares: Mapping[str, Share]) -> Share:
    """All shares together."""
    return Share.of(sum(s.hits for s in shares.values()), sum(s.total for s in shares.values()))


def missed_by_wrong_work(families: Mapping[str, Share], cheap: Mapping[str, Share]) -> list[str]:
    """The bars on wrong work and cheap ways that are missed, in words."""
    killed = total_of(families).rate
    found = []
    if killed is None or killed < MIN_KILL_RATE:
        found.append(f"Kill rate {_percent(killed)} is below {MIN_KILL_RATE:.0%}.")
    found += [
        f"Wrong work of the family “{name}” is caught in {_percent(f.rate)} of the cases."
        for name, f in families.items()
        if f.rate is not None and f.rate < MIN_FAMILY_KILL_RATE
    ]
    found += [
        f"The cheap way “{name}” passes in {_percent(share.rate)} of the tasks."
        for name, share in cheap.items()
        # A few passes among a hundred tries say little: what counts is what they leave no doubt about.
        if share.ci is not None and share.ci[0] > MAX_CHEAP
    ]
    return found


def rejected_too_often(right: Mapping[str, Share]) -> list[str]:
    """The bar on right work, in words, when it is missed."""
    rate = total_of(right).rate
    if rate is None or rate > MAX_FALSE_REJECT:
        return [f"Right work is rejected in {_percent(rate)} of the cases."]
    return []


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{share:.1%}"
