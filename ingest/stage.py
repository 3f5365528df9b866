"""The ingest stages: a client's files copied into the engagement, read, and written in one form.

Files are read side by side in processes of their own, each on its own: one that
cannot be read, hangs or needs too much memory is a row with its error in
``report.json``, and the rest goes on. What an earlier run read from the same file
with the same readers is taken over. Work that was killed goes on with the files
that have no row yet.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fde.artifacts import PRIVATE_FILE, read_json, write_json
from fde.config import section
from fde.engagement import Engagement, Run
from fde.errors import InputError
from ingest import ocr
from ingest.document import Document
from ingest.duplicates import Signed, find_duplicates
from ingest.earlier import Row, link, row_path, rows_so_far, tell_apart
from ingest.formats.eventlog import LogSettings
from ingest.listener import origin_of
from ingest.recording import Recording
from ingest.recordings import parts_of, whole
from ingest.sources import Digests, Parts, Source, Whole, copy_raw, find_sources
from ingest.workers import Answer, Limits, answers

# Changes whenever the same file would be read differently.
VERSION = 2
_PACKAGES = (
    "beautifulsoup4",
    "charset-normalizer",
    "markitdown",
    "olefile",
    "openpyxl",
    "pdfplumber",
    "py3langid",
    "pypdfium2",
    "python-pptx",
    "xlrd",
)
DOCUMENT_LIMITS = Limits(seconds=300.0, memory_bytes=3_000_000_000)
# Importers may start a browser, which reserves far more address space than it uses.
RECORDING_LIMITS = Limits(seconds=900.0, memory_bytes=4_000_000_000, contained=False)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class _Kind:
    """One of the two stages."""

    stage: str
    raw: str
    job: str  # what workers call; its module and the readers are imported there
    counts: tuple[str, ...]
    finish: Callable[[Run, list[Row]], None]
    outputs: Callable[[Row], dict[str, str]]
    whole: Whole = list
    parts_of: Parts | None = None
    options: dict[str, Any] = field(default_factory=dict)


def ingest_documents(
    engagement: Engagement,
    paths: Sequence[Path],
    progress: Progress | None = None,
    *,
    limits: Limits = DOCUMENT_LIMITS,
    processes: int | None = None,
) -> Run:
    """Read documents into ``stages/ingest-docs``: ``documents/<id>.json`` and ``report.json``.

    Args:
        engagement: Where to keep them. The files themselves are copied to ``raw/docs``.
        paths: Files and folders. A run holds exactly these; name them all again to add some.
        progress: Called with each file's name when it is done.
        limits: What reading one file may take.
        processes: How many files are read at a time; default: one per core.

    Raises:
        InputError: when nothing could be read (a single bad file is only a row in the report).
    """
    config = {
        "reader": VERSION,
        "packages": {name: _version(name) for name in _PACKAGES},
        "ocr": [ocr.version(), *ocr.languages()],
    }
    return _ingest(_DOCUMENTS, engagement, paths, config, progress, limits, processes)


def ingest_recordings(
    engagement: Engagement,
    paths: Sequence[Path],
    progress: Progress | None = None,
    *,
    limits: Limits = RECORDING_LIMITS,
    processes: int | None = None,
    replay: str | None = None,
) -> Run:
    """Read recordings into ``stages/ingest-recordings``: ``recordings/<id>.json``, blobs, ``report.json``.

    Arguments and errors as for :func:`ingest_documents`; the files are copied to ``raw/recordings``.
    Columns of event logs are read as ``[ingest.ui_log]`` in ``fde.toml`` says.

    Args:
        replay: The address of a staging copy, on which scripts are carried out one after another.
    """
    columns = section(engagement, "ingest", LogSettings).ui_log.model_dump(exclude_defaults=True)
    kind = _recordings(replay, columns)
    config = {"reader": VERSION, "ocr": [ocr.version(), *ocr.languages()], **kind.options}
    return _ingest(kind, engagement, paths, config, progress, limits, 1 if replay else processes)


def report(run: Run) -> dict[str, Any]:
    """The report of a finished ingest run.

    ``files``: one row for each file, and one (with ``part_of``) for each attachment or archived file that
    was left out; ``error`` says why. A file's row holds ``made``: a row for each document or recording.
    """
    found = read_json(run.path / "report.json")
    assert isinstance(found, dict)
    return found


def documents_of(run: Run) -> list[Document]:
    """The documents of a finished run, in the order of their ids."""
    return [
        Document.model_validate(read_json(path)) for path in sorted((run.path / "documents").glob("*.json"))
    ]


def recordings_of(run: Run) -> list[Recording]:
    """The recordings of a finished run, in the order of their ids."""
    folder = run.path / "recordings"
    return [Recording.model_validate(read_json(path)) for path in sorted(folder.glob("*.json"))]


@dataclass(frozen=True)
class Loose:
    """What was read without an engagement: rows alone, nothing is kept."""

    made: tuple[Row, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()


def read_loose_documents(
    paths: Sequence[Path],
    progress: Progress | None = None,
    *,
    limits: Limits = DOCUMENT_LIMITS,
    processes: int | None = None,
) -> Loose:
    """Read documents and keep nothing. Errors as for :func:`ingest_documents`."""
    return _loose(_DOCUMENTS, paths, progress, limits, processes)


def read_loose_recordings(
    paths: Sequence[Path],
    progress: Progress | None = None,
    *,
    limits: Limits = RECORDING_LIMITS,
    processes: int | None = None,
    replay: str | None = None,
) -> Loose:
    """Read recordings and keep nothing. Arguments and errors as for :func:`ingest_recordings`."""
    return _loose(_recordings(replay, {}), paths, progress, limits, 1 if replay else processes)


def _recordings(replay: str | None, columns: dict[str, Any]) -> _Kind:
    """How recordings are read: replayed, and with which columns of event logs."""
    if replay is not None:
        origin_of(replay)
    return replace(_RECORDINGS, options={"replay": replay, "columns": columns})


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _ingest(
    kind: _Kind,
    engagement: Engagement,
    paths: Sequence[Path],
    config: dict[str, Any],
    progress: Progress | None,
    limits: Limits,
    processes: int | None,
) -> Run:
    digests = Digests(engagement.stages / kind.stage / ".digests.json")
    sources = find_sources(paths, digests, kind.whole, kind.parts_of)
    run = engagement.run(
        kind.stage,
        inputs={source.name: source.digest for source in sources},
        config={**config, "limits": asdict(limits)},
    )
    digests.keep()
    if run.finished:
        engagement.publish(run)
        return run
    with engagement.working(run):
        rows = rows_so_far(run, sources, kind.outputs)
        if progress:
            for name in rows:
                progress(name)
        waiting = [source for source in sources if source.name not in rows]
        read = _read(kind, waiting, run.path, limits, processes)
        with contextlib.closing(read):
            for source, row in read:
                copy_raw(engagement, kind.raw, source)
                write_json(row_path(run, source), row, mode=PRIVATE_FILE)
                rows[source.name] = row
                if progress:
                    progress(source.name)
        _finish(kind, run, [rows[source.name] for source in sources])
    return run


def _read(
    kind: _Kind, sources: Sequence[Source], folder: Path | None, limits: Limits, processes: int | None
) -> Generator[tuple[Source, Row], None, None]:
    """Each source with its row, as they are done."""
    tasks = [
        {
            "path": os.fspath(source.path),
            "source": source.name,
            "folder": None if folder is None else os.fspath(folder),
            "seconds": limits.seconds,
            **kind.options,
        }
        for source in sources
    ]
    with contextlib.closing(answers(kind.job, tasks, limits, processes)) as given:
        for number, answer in given:
            yield sources[number], _row(sources[number], answer)


def _row(source: Source, answer: Answer) -> Row:
    error = answer.error and answer.error.removeprefix(f"{source.path}: ")
    return {
        "source": source.name,
        "digest": source.digest,
        "error": error,
        "lasting": answer.lasting,
        **(answer.value or {}),
    }


# Finishing.


def _finish(kind: _Kind, run: Run, rows: list[Row]) -> None:
    failed = [row for row in rows if row["error"]]
    parts = [
        {**part, "part_of": row["source"], "lasting": True}
        for row in rows
        for part in row.get("left_out", ())
    ]
    if len(failed) < len(rows):
        kind.finish(run, rows)
    run.write_json("report.json", {"files": [*rows, *parts]})
    if len(failed) == len(rows):
        raise _nothing([(row["source"], row["error"]) for row in rows])
    counts = {name: sum(row.get(name, 0) for row in rows) for name in kind.counts}
    for left in run.path.rglob(".*.tmp"):  # by a process that was killed while it wrote
        left.unlink()
    run.finish(files=len(rows), failed=len(failed) + len(parts), **counts)
    for done in (*run.path.glob(".row-*.json"), *run.path.glob("recordings/.*.json")):
        done.unlink()


def _nothing(failed: Sequence[tuple[str, str]]) -> InputError:
    reasons = "\n".join(f"  {name}: {reason}" for name, reason in failed[:10])
    return InputError(f"Nothing could be read:\n{reasons}", "Correct or leave out these files and run again.")


def _finish_documents(run: Run, rows: list[Row]) -> None:
    """Mark what nearly repeats an earlier document; remove what a reader that was ended left half done."""
    folder = run.path / "documents"
    made = [document for row in rows for document in row.get("made", ())]
    signatures = {name: value for row in rows for name, value in row.get("signatures", {}).items()}
    marks = find_duplicates(
        [
            Signed(document["id"], signatures[document["id"]])
            for document in made
            if document["id"] in signatures
        ],
        lambda name: str(read_json(folder / f"{name}.json")["text"]),
    )
    for document in made:
        mark = marks.get(document["id"])
        if document["duplicate_of"] != mark:
            path = folder / f"{document['id']}.json"
            write_json(path, {**read_json(path), "duplicate_of": mark}, mode=PRIVATE_FILE)
            document["duplicate_of"] = mark
    wanted = {f"{document['id']}.json" for document in made}
    for path in folder.iterdir():
        if path.name not in wanted:
            path.unlink()


def _document_outputs(row: Row) -> dict[str, str]:
    names = [f"documents/{document['id']}.json" for document in row.get("made", ())]
    return {name: name for name in names}


def _finish_recordings(run: Run, rows: list[Row]) -> None:
    """Give recordings ids that are nobody else's."""
    folder = run.path / "recordings"
    made = [
        (row["digest"], plain, part, one)
        for row in rows
        for plain, part, one in zip(*(row.get(key, ()) for key in ("ids", "parts", "made")), strict=True)
    ]
    names = tell_apart([plain for _, plain, _, _ in made], [digest for digest, _, _, _ in made])
    for (_, _, part, one), name in zip(made, names, strict=True):
        target = folder / f"{name}.json"
        if name == one["id"]:
            target.unlink(missing_ok=True)
            link(folder / part, target)
        else:
            write_json(target, {**read_json(folder / part), "id": name}, mode=PRIVATE_FILE)
            one["id"] = name
    wanted = {f"{name}.json" for name in names}
    for path in folder.glob("*.json"):
        if path.name not in wanted and not path.name.startswith("."):
            path.unlink()


def _recording_outputs(row: Row) -> dict[str, str]:
    files = zip(row.get("made", ()), row.get("parts", ()), strict=True)
    blobs = [f"blobs/{name}" for name in row.get("blobs", ())]
    return {f"recordings/{one['id']}.json": f"recordings/{part}" for one, part in files} | {
        name: name for name in blobs
    }


def _loose(
    kind: _Kind, paths: Sequence[Path], progress: Progress | None, limits: Limits, processes: int | None
) -> Loose:
    sources = find_sources(paths, Digests(None), kind.whole, kind.parts_of)
    rows: dict[str, Row] = {}
    with contextlib.closing(_read(kind, sources, None, limits, processes)) as read:
        for source, row in read:
            rows[source.name] = row
            if progress:
                progress(source.name)
    ordered = [rows[source.name] for source in sources]
    failed = [(row["source"], row["error"]) for row in ordered if row["error"]]
    if len(failed) == len(sources):
        raise _nothing(failed)
    parts = [(part["source"], part["error"]) for row in ordered for part in row.get("left_out", ())]
    made = [{**one} for row in ordered for one in row.get("made", ())]
    ids = tell_apart(
        [one["id"] for one in made], [row["digest"] for row in ordered for _ in row.get("made", ())]
    )
    for one, name in zip(made, ids, strict=True):
        one["id"] = name
    return Loose(tuple(made), (*failed, *parts))


_DOCUMENTS = _Kind(
    "ingest-docs",
    "docs",
    "ingest.jobs:documents",
    ("documents", "characters", "tables", "chunks", "warnings"),
    _finish_documents,
    _document_outputs,
)
_RECORDINGS = _Kind(
    "ingest-recordings",
    "recordings",
    "ingest.jobs:recordings",
    ("recordings", "steps", "warnings"),
    _finish_recordings,
    _recording_outputs,
    whole,
    parts_of,
)
