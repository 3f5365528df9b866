"""The screenshots of recordings: which pages they show, and the redacted pictures in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fde.artifacts import write_bytes
from fde.errors import MissingError
from ingest import ocr
from ingest.document import Document
from ingest.recording import Recording, Snapshot
from redact.pictures import Known, Pictures, blob_name, words_of
from redact.policy import Screenshots
from redact.rewrite import Rewriter

# So many at a time: pictures are held in memory while they are read.
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Blobs:
    """What became of the pictures, or of the HTML, of recorded pages.

    Attributes:
        names: Name before redaction -> name of what is redacted.
        redacted, dropped: How often a page of a recording has, or lost, its picture or HTML.
    """

    names: dict[str, str]
    redacted: int
    dropped: int

    @classmethod
    def counted(cls, names: dict[str, str], shown: Sequence[str]) -> Blobs:
        """``shown``: the names before redaction, as often as a page has them."""
        redacted = sum(name in names for name in shown)
        return cls(names, redacted, len(shown) - redacted)


def reader(setting: Screenshots) -> str | None:
    """Version of the text recognition that screenshots are redacted with; None when they are dropped.

    Raises:
        MissingError: when the client asked for it and nothing here can read pictures.
    """
    if setting == "redact" and ocr.version() is None:
        raise MissingError(
            "Screenshots cannot be redacted: tesseract, which reads them, is not installed.",
            f'{ocr.INSTALL}, or drop them: screenshots = "drop" under [redact] in fde.toml',
        )
    return None if setting == "drop" else ocr.version()


def redact_screens(
    before: list[Recording],
    after: list[Recording],
    documents: list[Document],
    folder: Path,
    out: Path,
    rewriter: Rewriter,
    progress: Callable[[str], None],
) -> Blobs:
    """Write the redacted pictures of all recordings.

    Args:
        before, after: The recordings as ingested and as redacted, in the same order.
        documents: Redacted documents: their words are known to be harmless.
        folder: Where the ingested pictures lie.
        out: Where the redacted ones go.
    """
    known: dict[str, Known] = {}
    kept: set[str] = {word for d in documents for word in words_of(d.text)}
    for old, new in zip(before, after, strict=True):
        for one, other in zip(snapshots(old), snapshots(new), strict=True):
            kept.update(word for text in _texts(other) for word in words_of(text))
            if one.screenshot:
                known.setdefault(one.screenshot, Known()).learn(_texts(one), _texts(other))
    pictures = Pictures(rewriter.edits, kept)
    files = [name for name in sorted(known) if inside(folder, name)]
    names: dict[str, str] = {}
    for start in range(0, len(files), _BATCH):
        part = files[start : start + _BATCH]
        progress(f"Reading pictures {start + 1} to {start + len(part)} of {len(files)}")
        made = pictures.covered([((folder / name).read_bytes(), known[name]) for name in part])
        for name, data in zip(part, made, strict=True):
            if data is not None:
                names[name] = blob_name(data)
                write_bytes(out / names[name], data)
    return Blobs.counted(names, [s.screenshot for r in before for s in snapshots(r) if s.screenshot])


def with_blobs(
    before: Recording, after: Recording, screens: Mapping[str, str], doms: Mapping[str, str]
) -> Recording:
    """The redacted recording with its redacted pictures and HTML."""

    def shown(old: Snapshot | None, new: Snapshot | None) -> Snapshot | None:
        if old is None or new is None:
            return new
        names = {"screenshot": screens.get(old.screenshot or ""), "dom": doms.get(old.dom or "")}
        return new.model_copy(update=names)

    steps = tuple(
        new.model_copy(update={"before": shown(old.before, new.before), "after": shown(old.after, new.after)})
        for old, new in zip(before.steps, after.steps, strict=True)
    )
    return after.model_copy(update={"steps": steps})


def inside(folder: Path, name: str) -> bool:
    """Whether it is the name of a file of the folder, and nothing else."""
    return Path(name).name == name and (folder / name).is_file() and not (folder / name).is_symlink()


def snapshots(recording: Recording) -> Iterator[Snapshot]:
    """Every page of a recording, as often as it stands before or after a step."""
    return (s for step in recording.steps for s in (step.before, step.after) if s is not None)


def _texts(snapshot: Snapshot) -> list[str]:
    return [snapshot.title, *snapshot.text.split("\n")]
