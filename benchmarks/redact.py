#!/usr/bin/env python3
"""Redaction: recall, precision and speed of the detector against vanilla Presidio, in one run.

Both use the same spaCy model and one core; speeds are of its processor time. The labelled texts are a part of
presidio-research (``benchmarks/data``) that the redactor was not developed on; another
file of that format can be named. Speed on recordings counts every string of every
snapshot: the redactor reads what repeats once, Presidio's analyser keeps nothing and reads a sample
of them; a second figure is of the different strings alone, as that of documents is. Planted people
and the sample company's screens are judged by what is known to be there
(``benchmarks/redact_planted.py``); screens need tesseract and a browser.

    python benchmarks/redact.py [--quick] [--json] [--labelled FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import logging
import os
import platform
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["TLDEXTRACT_PUBLIC_SUFFIX_LIST_URLS"] = ""

from ingest.recording import Recording  # noqa: E402
from redact.detect import Detector, find_model  # noqa: E402
from redact.labelled import Labelled, load  # noqa: E402
from redact.score import Result, score  # noqa: E402
from redact.spans import Span  # noqa: E402

LABELLED = ROOT / "benchmarks" / "data" / "presidio_research_held_out.json"
RECORDINGS = ROOT / "playbooks" / "quickstart" / "recordings"
DOCUMENTS = ROOT / "playbooks" / "quickstart" / "documents"
PEER = "presidio-analyzer, default"
# People, places, addresses, ways to reach them, and numbers that name them.
SCOPE = frozenset(
    {
        "PERSON", "LOCATION", "ADDRESS", "PHONE_NUMBER", "EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE",
        "US_SSN", "US_DRIVER_LICENSE", "IP_ADDRESS",
    }
)  # fmt: skip


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer texts: under five minutes on 2 cores")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--labelled", type=Path, default=LABELLED, help="labelled texts (presidio-research JSON)"
    )
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    labelled = load(options.labelled)
    results: list[dict[str, Any]] = []
    for entry in (
        row
        for part in (
            detection(labelled),
            documents(),
            recordings(6 if options.quick else 40, 3000 if options.quick else 10_000),
            planted(60 if options.quick else 150),
            screens(4 if options.quick else 20),
        )
        for row in part
    ):
        results.append(entry)
        if not options.json:
            print(line(entry), flush=True)
    if options.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=1))


def line(entry: dict[str, Any]) -> str:
    """One result as a line of the table."""
    against = "" if entry["peer_value"] is None else f"  {entry['peer']}: {entry['peer_value']:.4g}"
    ratio = "" if entry["ratio"] is None else f"  ratio {entry['ratio']:.2f}"
    interval = "" if entry["interval"] is None else "  ({:.3f} to {:.3f})".format(*entry["interval"])
    return f"{entry['name']:<50} {entry['value']:>9.4g} {entry['unit']}{interval}{against}{ratio}"


def row(
    name: str,
    value: float,
    unit: str,
    peer_value: float | None,
    interval: tuple[float, float] | None = None,
) -> dict[str, Any]:
    ratio = value / peer_value if peer_value else None
    peer = None if peer_value is None else PEER
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "peer": peer,
        "peer_value": peer_value,
        "ratio": ratio,
        "interval": interval,
    }


class Vanilla:
    """Presidio's analyser as its documentation sets it up, on the same model."""

    def __init__(self) -> None:
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import NlpEngineProvider

        models = [{"lang_code": "en", "model_name": find_model()}]
        provider = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models})
        self._engine = AnalyzerEngine(nlp_engine=provider.create_engine(), supported_languages=["en"])

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """Spans of each text."""
        results = (self._engine.analyze(text, "en") for text in texts)
        return [[Span(r.start, r.end, r.entity_type, r.score, PEER) for r in found] for found in results]


def detection(labelled: list[Labelled]) -> Iterator[dict[str, Any]]:
    """Recall, precision and speed on labelled texts: people and what leads to them, then every label."""
    narrow = [Labelled(i.text, tuple(s for s in i.spans if s[2] in SCOPE), i.group) for i in labelled]
    ours, vanilla = Detector(), Vanilla()
    for finder in (ours, vanilla):
        finder.find(["Warm up: Ann Lee."])
    first, peer = score(narrow, ours.find), score(narrow, vanilla.find)
    yield from quality("people, places, addresses, contacts, ids", first, peer)
    yield row("texts, characters per second", first.characters_per_second, "1/s", peer.characters_per_second)
    yield from released(labelled)
    # The detector remembers what it read: the second score tells nothing about its speed.
    yield from quality("every label", score(labelled, ours.find), score(labelled, vanilla.find))
    for name, values in first.per_type.items():
        recall: Any = values["recall"]
        other: Any = peer.per_type[name]["recall"]
        yield row(f"recall of {name}", recall, f"of {values['spans']}", other)


# Part of many labels for people, and nobody's.
_TITLE = re.compile(r"^(?:mr|mrs|ms|miss|dr|prof)\.? ?", re.IGNORECASE)


def released(labelled: list[Labelled]) -> Iterator[dict[str, Any]]:
    """What the whole stage lets out of these texts, each a document of one corpus.

    Places stay by default and are not asked for; nor is what is shorter than four characters,
    which stands in other words as well.
    """
    from benchmarks.redact_planted import left
    from redact.vault import KEY_FILE_VARIABLE

    gone = SCOPE - {"LOCATION"}
    values = [
        [v for a, b, kind in i.spans if kind in gone and len(v := _TITLE.sub("", i.text[a:b])) > 3]
        for i in labelled
    ]
    with tempfile.TemporaryDirectory(prefix="fde-bench-") as scratch:
        os.environ[KEY_FILE_VARIABLE] = str(Path(scratch) / "the.key")
        found = left([i.text for i in labelled], values)
    share = 1 - found["left"] / found["values"]
    yield row(f"{found['values']:.0f} of these values gone after the whole stage", share, "", None)


def quality(what: str, ours: Result, peer: Result) -> Iterator[dict[str, Any]]:
    for field in ("span_recall", "span_precision", "span_f2", "char_recall"):
        value, other = getattr(ours, field), getattr(peer, field)
        if value is not None:
            yield row(f"{field.replace('_', ' ')}: {what}", value, "", other, getattr(ours, f"{field}_ci"))


def documents() -> Iterator[dict[str, Any]]:
    """The sample company's documents: characters per second, paragraph by paragraph and cell by cell."""
    from ingest.documents import read_document
    from redact.corpus import regions

    files = sorted(DOCUMENTS.iterdir())
    texts = list(
        {
            piece: None
            for file in files
            for document in read_document(file).documents
            for start, end, _, _ in regions(document.text)
            if (piece := document.text[start:end]).strip()
        }
    )
    yield row("documents, characters per second", speed(Detector(), texts), "1/s", speed(Vanilla(), texts))


def speed(finder: Detector | Vanilla, texts: Sequence[str]) -> float:
    """Characters per second of processor time, once the models are loaded."""
    finder.find(["Warm up: Ann Lee."])
    began = time.process_time()
    finder.find(texts)
    return sum(map(len, texts)) / (time.process_time() - began)


def planted(count: int) -> Iterator[dict[str, Any]]:
    """Whether a planted person has one stand-in under every alias and in every source."""
    from benchmarks.redact_planted import consistency
    from redact.vault import KEY_FILE_VARIABLE

    with tempfile.TemporaryDirectory(prefix="fde-bench-") as scratch:
        os.environ[KEY_FILE_VARIABLE] = str(Path(scratch) / "the.key")
        found = consistency(count)
    agreeing = found["agreeing"] / found["mentions"]
    yield row(f"mentions of {count} planted people with their stand-in", agreeing, "", None)
    yield row("people with different names merged", found["merged"], "people", None)


def screens(pages: int) -> Iterator[dict[str, Any]]:
    """Planted values covered in pictures of the sample company's portal, and what else is to be seen."""
    from benchmarks.redact_planted import pictures
    from fde.errors import MissingError
    from ingest import ocr
    from redact.vault import KEY_FILE_VARIABLE

    if ocr.version() is None:
        print(f"Screens are left out: tesseract is not installed. {ocr.INSTALL}", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory(prefix="fde-bench-") as scratch:
        os.environ[KEY_FILE_VARIABLE] = str(Path(scratch) / "the.key")
        try:
            found = pictures(pages)
        except MissingError as error:
            print(f"Screens are left out: {error}", file=sys.stderr)
            return
    share = found["covered"] / found["planted"]
    yield row(f"covered of {found['planted']:.0f} values on {pages} screens", share, "", None)
    yield row("other ink of the screens still to be seen", found["kept"], "", None)


def recordings(count: int, sample: int) -> Iterator[dict[str, Any]]:
    """The whole stage over recordings, and characters per second counting repeated strings."""
    from ingest.recordings import read_recordings
    from redact.collect import Observer
    from redact.corpus import Context
    from redact.pages import map_recording

    files = sorted(RECORDINGS.rglob("*.fderec"))[:count]
    if not files:
        return
    found = [read_recordings(file) for file in files]
    read = [recording for each in found for recording in each.recordings]
    pages = {n: data for each in found for n, data in each.blobs.items() if n.endswith(".html")}
    occurring: list[str] = []

    class Counter(Observer):
        """Every string each time it occurs."""

        def text(self, text: str, context: Context) -> str:
            occurring.append(text)
            return super().text(text, context)

    for recording in read:
        for step in recording.steps:
            one = recording.model_copy(update={"steps": (step,)})
            map_recording(one, Counter(), {})
    vanilla = Vanilla()
    part = occurring[:: max(1, len(occurring) // sample)]
    distinct = list(dict.fromkeys(occurring))
    yield row("recordings, characters per second", speed(Detector(), occurring), "1/s", speed(vanilla, part))
    yield row("the same, no string twice", speed(Detector(), distinct), "1/s", speed(vanilla, distinct))
    yield from company(read, pages, float(len(occurring)))


def company(read: Sequence[Recording], pages: dict[str, bytes], occurring: float) -> Iterator[dict[str, Any]]:
    """The whole stage over the sample company's documents and these recordings; what is left of them.

    ``pages`` are the recordings' HTML by name.
    """
    from benchmarks.redact_planted import ingest, values
    from fde.engagement import Engagement
    from ingest.documents import read_document
    from redact.stage import redact
    from redact.vault import KEY_FILE_VARIABLE

    documents = [d for file in sorted(DOCUMENTS.iterdir()) for d in read_document(file).documents]
    with tempfile.TemporaryDirectory(prefix="fde-bench-") as scratch:
        os.environ[KEY_FILE_VARIABLE] = str(Path(scratch) / "the.key")
        client = Engagement.create(Path(scratch) / "client", '[redact]\nscreenshots = "drop"\n')
        ingest(client, documents, list(read), pages)
        began = time.perf_counter()
        done = redact(client)
        seconds = time.perf_counter() - began
        before = [item.model_dump_json() for item in (*documents, *read)]
        before += [page.decode() for page in pages.values()]
        after = [f.read_text(encoding="utf-8") for f in done.path.glob("*/*.*")]
        counts = done.manifest().counts
    known = values()
    planted = sum(text.count(value) for text in before for value in known)
    left = sum(text.count(value) for text in after for value in known)
    steps = sum(len(r.steps) for r in read)
    yield row(f"replaced of {planted} planted values", 1 - left / planted, "", None)
    yield row(f"whole stage, {len(read)} recordings, {steps} steps", seconds, "s", None)
    yield row("distinct strings read", float(counts["distinct_strings"] or 0), "strings", occurring)
    yield row("leaks found by the audit", float(counts["audit_leaks"] or 0), "leaks", None)


def machine() -> dict[str, Any]:
    """What it was measured on."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    versions = {"model": find_model()}
    for name in ("presidio-analyzer", "spacy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "cores_used": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": versions,
    }


if __name__ == "__main__":
    main()
