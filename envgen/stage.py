"""The stage: redacted recordings and documents in, one gated environment per workflow out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from envgen.answers import FILE, read_answers
from envgen.compile import compile_workflow
from envgen.gate import GateReport, gate
from envgen.traces import Parser
from envgen.workflow import SCHEMA, Finding, Workflow, read_workflow
from fde.artifacts import read_json
from fde.engagement import Engagement, Run
from fde.errors import InputError, MissingError
from ingest.document import Document
from ingest.recording import Recording

# Raise when the same input would be compiled differently: earlier runs are then not taken for this one.
VERSION = 2
Progress = Callable[[str], None]


def build(
    engagement: Engagement,
    *,
    accept_risk: Mapping[str, str] | None = None,
    progress: Progress = lambda _message: None,
) -> Run:
    """Compile every workflow of the latest redacted recordings, and prove each verifier.

    Args:
        accept_risk: Workflow -> reason for publishing it although its gate is below the bar.
        progress: Called with a line when a part of the work begins.

    Raises:
        MissingError: when nothing has been redacted.
        InputError: when there are no recordings, or a file cannot be read, or ``answers.yaml`` holds
            something that is no answer.
    """
    source = engagement.latest("redact")
    accepted = dict(accept_risk or {})
    answers = read_answers(engagement.root / FILE)
    run = engagement.run(
        "envgen",
        inputs={"redact": source.id},
        config={"version": VERSION, "schema": SCHEMA, "accept_risk": accepted, "answers": answers},
    )
    if run.finished:
        engagement.publish(run)
        return run
    with engagement.working(run):
        documents = read_documents(source)
        groups = read_recordings(source)
        if not groups:
            raise InputError(
                f"The redact run {source.id} holds no recordings.", "Add some: fde ingest recordings PATH…"
            )
        for name in answers.keys() - groups.keys():
            raise InputError(
                f"{engagement.root / FILE} answers questions of {name!r}, which nobody recorded.",
                f"There are: {', '.join(groups)}.",
            )
        published = 0
        for name, recordings in groups.items():
            progress(f"{name}: compiling {len(recordings)} recordings")
            parser = Parser()
            try:
                given = answers.get(name, {})
                workflow = compile_workflow(recordings, documents, parser=parser, answers=given)
            except InputError as error:
                # One workflow that cannot be compiled is a finding; the others are still worth having.
                finding = Finding(kind="not-compiled", severity="warning", text=error.message)
                run.write_json(f"{name}/findings.json", [finding.model_dump(mode="json")])
                continue
            progress(f"{name}: proving the verifier")
            report = gate(
                workflow,
                recordings,
                documents,
                accept_risk=accepted.get(name, ""),
                parser=parser,
                answers=given,
            )
            run.write_json(f"{name}/workflow.json", workflow.model_dump(mode="json"))
            run.write_json(f"{name}/findings.json", [f.model_dump(mode="json") for f in workflow.findings])
            run.write_json(f"{name}/gate.json", report.model_dump(mode="json"))
            published += report.published
        run.finish(workflows=len(groups), published=published)
    return run


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
    return sorted(path.parent.name for path in run.path.glob("*/workflow.json"))


def not_compiled(run: Run) -> dict[str, str]:
    """Workflows of an envgen run that could not be compiled, with the reason."""
    found = {}
    for path in sorted(run.path.glob("*/findings.json")):
        if not (path.parent / "workflow.json").exists():
            findings = [Finding.model_validate(row) for row in read_json(path)]
            found[path.parent.name] = "; ".join(finding.text for finding in findings)
    return found


def workflow_path(run: Run, name: str) -> Path:
    """Where an envgen run keeps a compiled workflow."""
    return run.path / name / "workflow.json"


def load_workflow(run: Run, name: str) -> Workflow:
    """A compiled workflow of a finished run.

    Raises:
        MissingError: when the run has no workflow of that name.
        InputError: when it was compiled by another version of the toolkit.
    """
    path = workflow_path(run, name)
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
