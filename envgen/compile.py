"""Recordings and documents to a :class:`~envgen.workflow.Workflow`: the steps in order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from envgen.answers import FILE, Answer, Answers
from envgen.behaviour import Behaviour, observe
from envgen.documents import Knowledge
from envgen.entities import SESSION, entity_models, parameter_models, references
from envgen.examples import Historian
from envgen.exits import without_mistakes
from envgen.expressions import Expression, Lookup, Test, parts
from envgen.ground import Models, page_title
from envgen.instructions import Instructions, understand
from envgen.loops import find_loops
from envgen.mixed import mixed
from envgen.modelling import Modeller
from envgen.options import complete_options
from envgen.program import Program, Programmer
from envgen.proposals import Proposals
from envgen.proposed_checks import second_opinion
from envgen.proposed_distractors import with_distractors
from envgen.proposed_wordings import propose_wordings
from envgen.spelling import caseless
from envgen.traces import Parser, Trace, trace
from envgen.workflow import Finding, TableData, Workflow, WriteKind
from envgen.world import World
from envgen.write_kinds import find_write_kinds
from fde.errors import InputError
from ingest.document import Document
from ingest.recording import Recording


def compile_workflow(
    recordings: Sequence[Recording],
    documents: Sequence[Document] = (),
    *,
    parser: Parser | None = None,
    answers: Mapping[str, Answer] | None = None,
    proposals: Proposals | None = None,
) -> Workflow:
    """Compile recordings of one workflow.

    Args:
        recordings: All of one workflow; its name is taken from them.
        documents: What rules may be found in.
        answers: An expert's answers to questions of an earlier compilation, by the question's name.
        parser: Shared between compilations of the same recordings, to parse pages once.
        proposals: Asks a language model what the recordings leave open, where there is one.

    Raises:
        InputError: when no recording has pages to compile.
    """
    parser = parser or Parser()
    traces, findings = _usable(recordings, parser)
    if not traces:
        names = ", ".join(sorted({r.workflow for r in recordings})) or "the workflow"
        raise InputError(
            f"None of the {len(recordings)} recordings of {names} can be compiled: they hold actions "
            "without pages.",
            "Record with: fde record URL --workflow NAME",
        )
    world = World(traces)
    knowledge = Knowledge(documents, world.day_first)
    behaviour = observe(world)
    loops = find_loops(world, behaviour)
    instructions = understand(world, amounts=bool(loops))
    refers = references(world)
    historian = Historian(world, instructions, knowledge, refers, behaviour.messages, behaviour.writes)
    contexts = {t.recording: historian.contexts(t.recording) for t in traces}
    models = Modeller(world, behaviour, historian, contexts, knowledge, loops).run()
    given = Answers(dict(answers or {}))
    proposals = proposals or Proposals()
    program = Programmer(
        world, behaviour, instructions, contexts, knowledge, given, proposals, refers, loops
    ).run()
    without_mistakes(models, program.plans, contexts)
    writes = find_write_kinds(world, behaviour, contexts, knowledge, loops)
    worked_on = {r for loop in loops for r in loop.worked}
    findings += _about_recordings(recordings, traces, instructions, behaviour, world, worked_on)
    either_case = caseless(world, behaviour, program.plans, given, program.findings)
    expressions = list(_expressions(models, program, writes))
    wordings = propose_wordings(proposals, instructions, expressions)
    told = [*expressions, *(check.test for check in program.checks)]
    used = {p.table for e in told for p in parts(e) if isinstance(p, Lookup)}
    pages = [complete_options(page, program.plans, knowledge) for page in models.pages]
    first = next(t.start for t in traces if t.start is not None)
    session: dict[str, list[str]] = {}
    for fields in world.session.values():
        for name, text in fields.items():
            session.setdefault(name, []).append(text)
    entities = with_distractors(
        proposals,
        entity_models(world, refers, instructions, expressions, knowledge, program.worked),
        expressions,
    )
    workflow = Workflow(
        name=recordings[0].workflow,
        recordings=tuple(t.recording for t in traces),
        start=world.page_id(first),
        instructions=(*instructions.templates, *wordings)
        or tuple(dict.fromkeys(t.instruction for t in traces)),
        parameters=tuple(parameter_models(instructions)),
        pages=tuple(pages),
        entities=tuple(entities),
        session=tuple((name, tuple(dict.fromkeys(texts))) for name, texts in session.items()),
        session_entities=tuple((name, to) for (of, name), to in refers.items() if of == SESSION),
        writes=tuple(writes),
        hidden=tuple(models.hidden),
        plans=tuple(program.plans),
        terminal=program.terminal,
        free_fields=tuple(program.free_fields),
        caseless=either_case,
        day_first=world.day_first,
        tables=tuple(
            TableData(id=t.id, header=t.header, rows=t.rows)
            for t in (*knowledge.tables, *knowledge.pairs)
            if t.id in used
        ),
        longest=program.longest,
    )
    doubts = second_opinion(workflow, program.checks, given)
    findings += _unasked(given)
    told_all = (*findings, *models.findings, *program.findings, *doubts, *proposals.findings())
    return workflow.model_copy(update={"findings": told_all})


def _unasked(answers: Answers) -> list[Finding]:
    return [
        Finding(
            kind="unasked",
            severity="warning",
            text=f"{FILE} answers {name}, which nobody asked: it is settled, or another question now.",
        )
        for name in answers.unused
    ]


def _usable(recordings: Sequence[Recording], parser: Parser) -> tuple[list[Trace], list[Finding]]:
    traces: list[Trace] = []
    findings: list[Finding] = []
    for recording in recordings:
        found = trace(recording, parser)
        if found.moments:
            traces.append(found)
        else:
            findings.append(
                Finding(
                    kind="action-only",
                    severity="warning",
                    text=f"Recording {recording.id} holds no pages to its actions and was left out.",
                )
            )
        if found.skipped and found.moments:
            findings.append(
                Finding(
                    kind="skipped",
                    severity="warning",
                    text=f"Recording {recording.id}: {len(found.skipped)} actions could not be used.",
                    evidence=tuple(found.skipped[:5]),
                )
            )
    return traces, findings


def _about_recordings(
    recordings: Sequence[Recording],
    traces: Sequence[Trace],
    instructions: Instructions,
    behaviour: Behaviour,
    world: World,
    worked_on: Collection[str],
) -> list[Finding]:
    findings = [found] if (found := mixed(world, behaviour)) is not None else []
    if len(traces) == 1:
        findings.append(
            Finding(
                kind="single",
                severity="warning",
                text="Only one recording: it was compiled as it is, nothing says which of its values vary. "
                "Record at least two more.",
            )
        )
    if instructions.unexplained and instructions.origins:
        findings.append(
            Finding(
                kind="instruction",
                severity="warning",
                text="Instructions that do not name "
                + " and ".join(instructions.origins)
                + ": they are not used as wording for tasks.",
                evidence=tuple(instructions.unexplained),
            )
        )
    if behaviour.writes:
        unfinished = [
            f"{t.recording}: ends on “{page_title(world.kinds[world.visits[t.recording][-1].next_page])}”"
            for t in traces
            if not any(r == t.recording for r, _ in behaviour.writes) and t.recording not in worked_on
        ]
        if unfinished:
            findings.append(
                Finding(
                    kind="unfinished",
                    severity="warning",
                    text="Recordings that end without having changed anything (an error page, or given up).",
                    evidence=tuple(unfinished),
                )
            )
    else:
        findings.append(
            Finding(
                kind="no-effect",
                severity="warning",
                text="No recording shows that anything was changed: there is nothing a verifier could judge.",
            )
        )
    return findings


def _expressions(
    models: Models, program: Program, writes: Sequence[WriteKind]
) -> Iterator[Expression | Test]:
    for page in models.pages:
        for _, expression in (
            *page.sources,
            *page.conditions,
            *(c for v in page.lists for c in v.conditions),
        ):
            yield expression
        for found in page.exits:
            if found.decision is not None:
                yield found.decision
    for plan in program.plans:
        yield from plan.rules()
    for write in writes:
        yield from (expression for _, expression in write.updates)
