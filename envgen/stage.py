"""The stage: redacted recordings and documents in, gated environments out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from envgen.answers import FILE, Answer, read_answers
from envgen.compile import compile_workflow
from envgen.compiled import Compiled, compiled_of
from envgen.gate import GateReport, gate
from envgen.proposals import FILE as PROPOSALS
from envgen.proposals import TRANSCRIPT, Proposals, Proposer, Transcript
from envgen.reading import build as reading_build
from envgen.reading import model as reading_model
from envgen.reading.build import ClosedBook, build_reading, enough, too_few
from envgen.reading.gate import gate as reading_gate
from envgen.settings import Endpoint, EnvgenSettings
from envgen.traces import Parser
from envgen.workflow import FILE as WORKFLOW_FILE
from envgen.workflow import SCHEMA, Finding, Workflow, read_workflow
from fde.artifacts import read_json
from fde.config import section
from fde.engagement import Engagement, Run
from fde.errors import InputError, MissingError
from ingest.document import Document
from ingest.recording import Recording

# Raise when the same input would be compiled differently: earlier runs are then not taken for this one.
VERSION = 3
Progress = Callable[[str], None]


def build(
    engagement: Engagement,
    *,
    accept_risk: Mapping[str, str] | None = None,
    closed_book: Callable[[], ClosedBook | None] = lambda: None,
    proposer: Callable[[Endpoint], Proposer] | None = None,
    progress: Progress = lambda _message: None,
) -> Run:
    """Compile every workflow of the latest redacted recordings, and prove each verifier.

    The documents become an environment of questions, where they give enough and ``[envgen]`` in
    ``fde.toml`` does not say otherwise.

    Args:
        accept_risk: Environment -> reason for publishing it although its gate is below the bar.
        closed_book: Gives the model that is asked the questions without documents, where there is one.
        proposer: Gives the model behind the endpoint that ``[envgen.proposer]`` names, where it names one.
        progress: Called with a line when a part of the work begins.

    Raises:
        MissingError: when nothing has been redacted.
        InputError: when there is nothing to build from, or a file cannot be read, or ``answers.yaml`` holds
            something that is no answer.
    """
    source = engagement.latest("redact")
    accepted = dict(accept_risk or {})
    settings = section(engagement, "envgen", EnvgenSettings)
    asked = closed_book() if settings.documents and settings.closed_book else None
    told = settings.proposer
    proposes = proposer(told) if told is not None and proposer is not None else None
    answers = read_answers(engagement.root / FILE)
    run = engagement.run(
        "envgen",
        inputs={"redact": source.id},
        config={
            "version": VERSION,
            "schema": SCHEMA,
            "accept_risk": accepted,
            "answers": answers,
            "documents": reading_build.VERSION if settings.documents else 0,
            "closed_book": asked.model if asked else "",
            "proposer": [proposes.model, told.wordings] if proposes is not None and told is not None else [],
        },
    )
    if run.finished:
        engagement.publish(run)
        return run
    with engagement.working(run):
        documents = read_documents(source)
        groups = read_recordings(source)
        if not groups and not (settings.documents and documents):
            raise InputError(
                f"The redact run {source.id} holds no recordings.", "Add some: fde ingest recordings PATH…"
            )
        asked_of = {*groups, *([_questions_name(groups)] if settings.documents else [])}
        for name in sorted(answers.keys() - asked_of):
            raise InputError(
                f"{engagement.root / FILE} answers questions of {name!r}, which nobody recorded.",
                f"There are: {', '.join(sorted(asked_of))}.",
            )
        published = 0
        heard = None if proposes is None else Transcript(proposes, run.path / TRANSCRIPT)
        for name, recordings in groups.items():
            work = _Work(name, recordings, documents, answers.get(name, {}), accepted.get(name, ""))
            published += _workflow(run, work, heard, told.wordings if told else 0, progress)
        questions = 0
        if settings.documents:
            name = _questions_name(groups)
            questions, passed = _questions(
                run,
                documents,
                name,
                accept_risk=accepted.get(name, ""),
                closed_book=asked,
                answers=answers.get(name, {}),
                progress=progress,
            )
            published += passed
        if not groups and not questions:
            raise InputError(
                f"The redact run {source.id} holds no recordings, and its documents give too few questions.",
                "Add recordings, or documents with tables, then redact again: fde ingest --help",
            )
        run.finish(workflows=len(groups), questions=questions, published=published)
    return run


@dataclass(frozen=True, slots=True)
class _Work:
    """What one workflow is compiled from, and the risk that is accepted with it."""

    name: str
    recordings: Sequence[Recording]
    documents: Sequence[Document]
    answers: Mapping[str, Answer]
    accept_risk: str
    parser: Parser = field(default_factory=Parser)

    def compiled(self, proposals: Proposals) -> Workflow:
        return compile_workflow(
            self.recordings, self.documents, parser=self.parser, answers=self.answers, proposals=proposals
        )

    def proven(self, workflow: Workflow, proposer: Proposer | None) -> GateReport:
        return gate(
            workflow,
            self.recordings,
            self.documents,
            accept_risk=self.accept_risk,
            parser=self.parser,
            answers=self.answers,
            proposer=proposer,
        )


def _workflow(run: Run, work: _Work, proposer: Proposer | None, wordings: int, progress: Progress) -> bool:
    """Compile and prove one workflow: whether it is published."""
    name = work.name
    progress(f"{name}: compiling {len(work.recordings)} recordings")
    proposals = Proposals(proposer, wordings, more=True)
    try:
        workflow = work.compiled(proposals)
    except InputError as error:
        # One workflow that cannot be compiled is a finding; the others are still worth having.
        finding = Finding(kind="not-compiled", severity="warning", text=error.message)
        run.write_json(f"{name}/findings.json", [finding.model_dump(mode="json")])
        return False
    progress(f"{name}: proving the verifier")
    report = work.proven(workflow, proposer)
    if report.reasons and proposals.standing:
        # What was proposed must not cost what is had without it.
        progress(f"{name}: compiling without proposals")
        plain = work.compiled(Proposals())
        without = work.proven(plain, None)
        if not without.reasons:
            proposals.withdraw(f"the gate refuses the workflow with it: {report.reasons[0]}")
            findings = (*plain.findings, *proposals.findings())
            workflow, report = plain.model_copy(update={"findings": findings}), without
    run.write_json(f"{name}/workflow.json", workflow.model_dump(mode="json"))
    run.write_json(f"{name}/findings.json", [f.model_dump(mode="json") for f in workflow.findings])
    run.write_json(f"{name}/gate.json", report.model_dump(mode="json"))
    if proposer is not None:
        run.write_json(f"{name}/{PROPOSALS}", [p.model_dump(mode="json") for p in proposals.record])
    return report.published


def _questions_name(workflows: Collection[str]) -> str:
    """What the environment of questions is called: never as a workflow is."""
    name = reading_build.NAME
    while name in workflows:
        name += "-questions"
    return name


def _questions(
    run: Run,
    documents: Sequence[Document],
    name: str,
    *,
    accept_risk: str,
    closed_book: ClosedBook | None,
    answers: Mapping[str, Answer],
    progress: Progress,
) -> tuple[int, bool]:
    """Make the environment of questions: how many there are, and whether it is published."""
    progress(f"{name}: making questions of {len(documents)} documents")
    found = build_reading(documents, name=name, closed_book=closed_book, answers=answers)
    findings = [*found.findings] if enough(found) else [*found.findings, too_few(found)]
    run.write_json(f"{name}/findings.json", [f.model_dump(mode="json") for f in findings])
    if not enough(found):
        return 0, False
    progress(f"{name}: proving the verifier on {len(found.questions)} questions")
    report = reading_gate(found, accept_risk=accept_risk)
    run.write_json(f"{name}/{reading_model.FILE}", found.model_dump(mode="json"))
    run.write_json(f"{name}/gate.json", report.model_dump(mode="json"))
    return len(found.questions), report.published


def read_documents(run: Run) -> list[Document]:
    """The documents of a redact run, by name."""
    return [_read(path, Document) for path in sorted((run.path / "documents").glob("*.json"))]


def read_recordings(run: Run) -> dict[str, list[Recording]]:
    """The recordings of a redact run by workflow, both in order of name."""
    found: dict[str, list[Recording]] = defaultdict(list)
    for path in sorted((run.path / "recordings").glob("*.json")):
        recording = _read(path, Recording)
        found[recording.workflow].append(recording)
    return dict(sorted(found.items()))


_Model = TypeVar("_Model", Document, Recording)


def _read(path: Path, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(read_json(path))
    except (ValueError, ValidationError) as error:
        raise InputError(
            f"{path} cannot be read: {str(error)[:200]}", "Redact again: fde redact run"
        ) from error


def workflow_names(run: Run) -> list[str]:
    """The compiled workflows of an envgen run."""
    return sorted(path.parent.name for path in run.path.glob(f"*/{WORKFLOW_FILE}"))


def environment_names(run: Run) -> list[str]:
    """The built environments of an envgen run: compiled workflows, then questions from documents."""
    questions = sorted(path.parent.name for path in run.path.glob(f"*/{reading_model.FILE}"))
    return [*workflow_names(run), *questions]


def not_compiled(run: Run) -> dict[str, str]:
    """Workflows of an envgen run that could not be compiled, with the reason."""
    found = {}
    for path in sorted(run.path.glob("*/findings.json")):
        findings = [Finding.model_validate(row) for row in read_json(path)]
        reasons = [finding.text for finding in findings if finding.kind == "not-compiled"]
        if reasons:
            found[path.parent.name] = "; ".join(reasons)
    return found


def load_environment(run: Run, name: str) -> Compiled:
    """A built environment of a finished run, whatever it was made of.

    Raises:
        MissingError: when the run has none of that name.
        InputError: when it was built by another version of the toolkit.
    """
    for file in (WORKFLOW_FILE, reading_model.FILE):
        path = run.path / name / file
        if path.is_file():
            return compiled_of(path)
    known = ", ".join(environment_names(run)) or "none"
    raise MissingError(
        f"There is no environment {name!r} in {run.path}; there are: {known}.", "Build with: fde envgen build"
    )


def load_workflow(run: Run, name: str) -> Workflow:
    """A compiled workflow of a finished run.

    Raises:
        MissingError: when the run has no workflow of that name.
        InputError: when it was compiled by another version of the toolkit.
    """
    path = run.path / name / WORKFLOW_FILE
    if not path.is_file():
        known = ", ".join(workflow_names(run)) or "none"
        raise MissingError(f"There is no compiled workflow {name!r} in {run.path}; there are: {known}.",
                           "Compile with: fde envgen build")  # fmt: skip
    return read_workflow(path)


def load_gate(run: Run, name: str) -> GateReport:
    """The gate's report on a compiled workflow.

    Raises:
        MissingError: when there is none.
    """
    path = run.path / name / "gate.json"
    if not path.is_file():
        raise MissingError(f"There is no gate report for {name!r} in {run.path}.", "Run: fde envgen build")
    return GateReport.model_validate(read_json(path))
