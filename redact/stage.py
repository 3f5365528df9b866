"""The stage: documents and recordings in, the same without personal data out, audited before release."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from fde.artifacts import digest_tree
from fde.engagement import Engagement, Run
from fde.errors import InputError, LeakError, MissingError, first_fault
from ingest import ocr
from ingest.document import Document
from ingest.recording import Recording
from redact import audit, decisions, scripts
from redact.collect import Collected, Observer
from redact.corpus import Visitor, map_document
from redact.detect import Detector
from redact.doms import observe_doms, redact_doms
from redact.knowledge import Knowledge
from redact.pages import map_recording
from redact.policy import Policy
from redact.policy import load as load_policy
from redact.review import Item, items, write_page
from redact.screens import Blobs, reader, redact_screens, snapshots, with_blobs
from redact.vault import Vault

# Raise when the same input would be redacted differently: earlier runs are then not taken for this one.
VERSION = 5
SOURCES = {"documents": "ingest-docs", "recordings": "ingest-recordings"}
T = TypeVar("T", Document, Recording)
Progress = Callable[[str], None]


def redact(engagement: Engagement, *, progress: Progress = lambda _message: None) -> Run:
    """Redact the latest documents and recordings of an engagement.

    Documents or recordings may be missing, not both. A run with the same
    input, policy and key that is finished is returned as it is.

    Args:
        progress: Called with a line when a part of the work begins.

    Raises:
        MissingError: nothing has been ingested, no spaCy model, or no key.
        LeakError: the audit found personal data in the output; nothing is published.
    """
    policy = load_policy(engagement)
    inputs = _inputs(engagement)
    detector = _detector(policy)
    vault = Vault(engagement, create=True)
    try:
        run = engagement.run(
            "redact",
            inputs={name: source.id for name, source in inputs.items()},
            config=_config(policy, detector, vault),
        )
        if run.finished:
            engagement.publish(run)
            return run
        with engagement.working(run):
            _work(engagement, run, inputs, policy, detector, vault, progress)
        return run
    finally:
        vault.close()


def review(engagement: Engagement, *, progress: Progress = lambda _message: None) -> tuple[Path, list[Item]]:
    """Write the review page of what would be redacted now; returns its path and what is on it.

    Raises:
        MissingError, InputError: as :func:`redact`.
    """
    policy = load_policy(engagement)
    inputs = _inputs(engagement)
    detector = _detector(policy)
    vault = Vault(engagement, create=True)
    try:
        vault.log("every value", "review page")
        gathered = _gather(inputs, policy, detector, vault, progress)
        found = items(gathered.knowledge, decisions.load(engagement))
        return write_page(engagement, found), found
    finally:
        vault.close()


def _detector(policy: Policy) -> Detector:
    return Detector(policy.model, locales=policy.locales, transformer=policy.transformer)


def _config(policy: Policy, detector: Detector, vault: Vault) -> dict[str, Any]:
    """What decides the result beside the input."""
    # The lists in fde.toml hold personal data: only a keyed digest of them may leave.
    lists = json.dumps([policy.allow, policy.deny, policy.people, policy.personal])
    return {
        "version": VERSION,
        "model": detector.model,
        "treatments": policy.treatments,
        "locales": policy.locales,
        "transformer": None if policy.transformer is None else digest_tree(policy.transformer),
        "screenshots": reader(policy.screenshots),
        "scripts": policy.scripts,
        "lists": vault.key.hmac("config", lists).hex()[:16],
        "key": vault.key.fingerprint,
    }


def _inputs(engagement: Engagement) -> dict[str, Run]:
    found: dict[str, Run] = {}
    for stage in SOURCES.values():
        try:
            found[stage] = engagement.latest(stage)
        except MissingError:
            continue
    if not found:
        raise MissingError(
            "There is nothing to redact: neither documents nor recordings have been ingested.",
            "Run: fde ingest docs PATH… or fde ingest recordings PATH…",
        )
    return found


@dataclass(frozen=True)
class _Gathered:
    """What was ingested, and what is known about it after the first pass."""

    documents: list[Document]
    recordings: list[Recording]
    strings: int
    knowledge: Knowledge


def _gather(
    inputs: dict[str, Run], policy: Policy, detector: Detector, vault: Vault, progress: Progress
) -> _Gathered:
    documents = [_read(p, Document) for p in _files(inputs.get("ingest-docs"), "documents")]
    recordings = [_read(p, Recording) for p in _files(inputs.get("ingest-recordings"), "recordings")]
    progress(f"Reading {len(documents)} documents and {len(recordings)} recordings")
    observer = Observer()
    _map(documents, recordings, observer)
    if recordings:
        observe_doms(recordings, _blobs(inputs), observer)
    policy = policy.model_copy(update={"scripts": _for_scripts(observer, policy, progress)})
    progress(f"Looking for personal data in {len(observer.seen)} distinct strings")
    knowledge = Knowledge(Collected(observer.seen, detector, policy, _hosts(recordings)), vault)
    return _Gathered(documents, recordings, len(observer.seen), knowledge)


def _for_scripts(observer: Observer, policy: Policy, progress: Progress) -> scripts.Scripts:
    """Whether lines in scripts that nobody reads are dropped or left.

    Raises:
        InputError: where names would pass unseen, or much would be lost, and nobody has said so.
    """
    found = scripts.unread(observer.seen)
    if not found:
        return policy.scripts
    named = ", ".join(sorted(found))
    told = f"{found.total()} texts are in scripts that the language model does not read: {named}"
    few = found.total() <= scripts.FEW * len(observer.seen)
    if policy.scripts == "stop" or (policy.scripts == "auto" and not few):
        raise InputError(
            f"{told}. Names in them would pass unseen.",
            "Set scripts under [redact] in fde.toml: 'drop' leaves these lines out, 'leave' keeps them, "
            "without what labels, shapes, the roster, 'deny' and a 'transformer' for that language find.",
        )
    leave = policy.scripts == "leave"
    progress(f"{told}; these lines are {'kept, as fde.toml says' if leave else 'left out'}")
    return "leave" if leave else "drop"


def _work(
    engagement: Engagement,
    run: Run,
    inputs: dict[str, Run],
    policy: Policy,
    detector: Detector,
    vault: Vault,
    progress: Progress,
) -> None:
    gathered = _gather(inputs, policy, detector, vault, progress)
    knowledge, documents, recordings = gathered.knowledge, gathered.documents, gathered.recordings
    rewriter = knowledge.rewriter
    clean_documents, clean_recordings = _map(documents, recordings, rewriter)
    for stale in (run.path / "blobs").glob("*"):
        stale.unlink()
    shown = doms = Blobs({}, 0, 0)
    if recordings:
        doms = redact_doms(recordings, _blobs(inputs), run.path / "blobs", rewriter)
        shown = Blobs.counted({}, [s.screenshot for r in recordings for s in snapshots(r) if s.screenshot])
    if shown.dropped and reader(policy.screenshots) is not None:
        shown = redact_screens(
            recordings,
            clean_recordings,
            clean_documents,
            _blobs(inputs),
            run.path / "blobs",
            rewriter,
            progress,
        )
    elif shown.dropped:
        progress(f"Dropping {shown.dropped} screenshots" + _why(policy))
    pairs = zip(recordings, clean_recordings, strict=True)
    clean_recordings = [with_blobs(old, new, shown.names, doms.names) for old, new in pairs]
    vault.store(knowledge.entries.values(), knowledge.surrogates.made(), knowledge.kept)
    progress(f"Writing; {len(knowledge.entries)} personal values have stand-ins")
    wanted = {f"documents/{_safe(d.id)}.json": d for d in clean_documents} | {
        f"recordings/{_safe(r.id)}.json": r for r in clean_recordings
    }
    if len(wanted) != len(clean_documents) + len(clean_recordings):
        raise InputError(
            "Two documents or recordings have the same id.", "Ingest them again under different names."
        )
    for stale in [p for p in run.path.rglob("*.json") if str(p.relative_to(run.path)) not in wanted]:
        stale.unlink()
    for name, item in wanted.items():
        run.write_json(name, item.model_dump(mode="json"))
    progress("Auditing the output")
    report = audit.audit(engagement, vault, only=run.path)
    run.write_json("audit.json", report.plain())
    if not report.passed:
        raise LeakError(
            f"The audit found {report.leaks} leaks in the redacted output: "
            + ", ".join(f"{n} {kind}" for kind, n in sorted(report.leaked_types.items()))
            + ". Nothing was published.",
            f"Places are in {run.path / 'audit.json'}. Add the values to 'deny' (or, if they are no "
            f"personal data, to "
            "'allow') under [redact] in fde.toml, then run: fde redact run",
        )
    run.counts.update(
        documents=len(clean_documents),
        recordings=len(clean_recordings),
        distinct_strings=gathered.strings,
        replaced_strings=rewriter.changed,
        strings_removed=rewriter.removed,
        entities=len(knowledge.entries),
        screenshots_redacted=shown.redacted,
        screenshots_dropped=shown.dropped,
        doms_redacted=doms.redacted,
        doms_dropped=doms.dropped,
        audit_checked_strings=report.checked_strings,
        audit_pictures_read=report.pictures_read,
        audit_leaks=report.leaks,
    )


def _why(policy: Policy) -> str:
    if policy.screenshots == "drop":
        return ", as fde.toml says"
    return f": tesseract, which reads them, is not installed. {ocr.INSTALL}"


def _map(
    documents: list[Document], recordings: list[Recording], visitor: Visitor
) -> tuple[list[Document], list[Recording]]:
    pages: dict[str, tuple[str, dict[str, str]]] = {}
    return (
        [map_document(d, visitor) for d in documents],
        [map_recording(r, visitor, pages) for r in recordings],
    )


def _blobs(inputs: dict[str, Run]) -> Path:
    """Where the pictures and the HTML of recorded pages lie."""
    return inputs["ingest-recordings"].path / "blobs"


def _files(run: Run | None, kind: str) -> list[Path]:
    return sorted((run.path / kind).glob("*.json")) if run is not None else []


def _read(path: Path, model: type[T]) -> T:
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path} is damaged: {first_fault(error)}.", "Ingest it again.") from error


def _safe(name: str) -> str:
    """An id as a file name."""
    plain = re.sub(r"[^\w.@+-]", "_", name).lstrip(".")[:120]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _hosts(recordings: list[Recording]) -> set[str]:
    """Hosts the recorded applications run on: part of the task, not of a person."""
    pages = {
        s.url for r in recordings for step in r.steps for s in (step.before, step.after) if s is not None
    }
    return {host for url in pages if (host := _host(url))}


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
