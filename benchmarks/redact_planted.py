"""Corpora with planted people, for ``benchmarks/redact.py``: aliases over sources, and screenshots.

What is planted is known, so what became of every mention can be judged: whether it was
replaced, and whether one person has one stand-in everywhere.
"""

from __future__ import annotations

import io
import random
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from fde.artifacts import write_bytes
from fde.engagement import Engagement, Run
from ingest.action import Action
from ingest.document import Document
from ingest.recording import RecordedStep, Recording, Snapshot
from redact.names import family_names, given_names, nicknames, words
from redact.people import known_place
from redact.pictures import blob_name
from redact.stage import redact
from redact.vault import Vault


@dataclass(frozen=True)
class Person:
    """A planted person."""

    given: str
    family: str
    short: str

    def forms(self) -> dict[str, str]:
        """How the person is written in the corpus: kind of alias -> text."""
        first, last = self.given, self.family
        return {
            "full": f"{first} {last}",
            "last, first": f"{last}, {first}",
            "initial": f"{first[0]}. {last}",
            "title": f"Dr. {first} {last}",
            "mail": f"{first}.{last}@northgate.example".lower(),
            "user": f"{first}{last}".lower(),
            "path": f"/users/{first}.{last}".lower(),
            "short": f"{self.short} {last}",
        }


def people(count: int, seed: int = 0) -> list[Person]:
    """People with different full names and initials; some share a given or a family name."""
    rng = random.Random(seed)
    plain = re.compile(r"[a-z]{4,11}")
    usable = [
        w for w in sorted(given_names()) if plain.fullmatch(w) and w not in words() and not known_place(w)
    ]
    given = rng.sample([w for w in usable if w not in family_names()], count * 2 // 3)
    family = rng.sample(
        [w for w in sorted(family_names()) if plain.fullmatch(w) and w not in words() | given_names()],
        count * 2 // 3,
    )
    short = nicknames()
    found: dict[tuple[str, str], Person] = {}
    while len(found) < count:
        first, last = rng.choice(given), rng.choice(family)
        called = sorted(s for s, longs in short.items() if first in longs and s not in words() and len(s) > 2)
        nick = called[0] if called else first
        found.setdefault((first[0], last), Person(first.capitalize(), last.capitalize(), nick.capitalize()))
    return list(found.values())


def consistency(count: int) -> dict[str, float]:
    """One engagement with every person in seven sources; how many mentions agree with the stand-in.

    Returns:
        ``mentions``, ``agreeing``, and ``merged``: pairs of people with one stand-in.
    """
    planted = people(count)
    with tempfile.TemporaryDirectory(prefix="fde-planted-") as scratch:
        client = _client(Path(scratch))
        ingest(client, [_prose(planted), _table(planted)], [_recording(planted)])
        run = redact(client)
        text = "\n".join(
            Document.model_validate_json(f.read_bytes()).text for f in (run.path / "documents").glob("*.json")
        )
        for file in (run.path / "recordings").glob("*.json"):
            steps = Recording.model_validate_json(file.read_bytes()).steps
            text += "\n".join(f"{s.after.text}\n{s.after.url}" for s in steps if s.after)
        vault = Vault(client)
        try:
            made = {e.original: e.surrogate for e in vault.entries("benchmark") if e.type == "PERSON"}
        finally:
            vault.close()
    agreeing = mentions = 0
    for number, person in enumerate(planted):
        stand_in = made.get(f"{person.given} {person.family}", "")
        first, _, last = stand_in.rpartition(" ")
        expected = Person(first, last, first).forms() if first else {}
        for kind, shown in re.findall(rf"\[\[{number} ([a-z, ]+): (.*?)\]\]", text):
            mentions += 1
            agreeing += shown == expected.get(kind)
    full = [made[f"{p.given} {p.family}"] for p in planted if f"{p.given} {p.family}" in made]
    return {"mentions": mentions, "agreeing": agreeing, "merged": len(full) - len(set(full))}


def left(texts: list[str], labelled: list[list[str]]) -> dict[str, float]:
    """The whole stage over texts, a document each: which labelled values still stand in theirs.

    Args:
        labelled: Values of each text that have to go.

    Returns:
        ``values`` and ``left``.
    """
    documents = [
        Document(id=f"text-{n}", source=f"text-{n}.txt", media_type="text/plain", text=text)
        for n, text in enumerate(texts)
    ]
    with tempfile.TemporaryDirectory(prefix="fde-bench-") as scratch:
        client = _client(Path(scratch))
        ingest(client, documents, [])
        run = redact(client)
        clean = {
            document.id: document.text
            for file in (run.path / "documents").glob("*.json")
            for document in [Document.model_validate_json(file.read_bytes())]
        }
    stays = sum(value in clean[f"text-{n}"] for n, values in enumerate(labelled) for value in values)
    return {"values": sum(map(len, labelled)), "left": stays}


def _mark(number: int, kind: str, person: Person) -> str:
    return f"[[{number} {kind}: {person.forms()[kind]}]]"


def _prose(planted: list[Person]) -> Document:
    lines = [
        f"The request of {_mark(n, 'full', p)} was checked by finance. {_mark(n, 'title', p)} signed it. "
        f"Later {_mark(n, 'initial', p)} called, and {_mark(n, 'short', p)} wrote from {_mark(n, 'mail', p)}."
        for n, p in enumerate(planted)
    ]
    return Document(id="letters", source="letters.docx", media_type="text/markdown", text="\n\n".join(lines))


def _table(planted: list[Person]) -> Document:
    rows = [f"| {_mark(n, 'last, first', p)} | {_mark(n, 'user', p)} | {n} |" for n, p in enumerate(planted)]
    text = "\n".join(["| Contact | User name | Number |", "| --- | --- | --- |", *rows])
    return Document(id="staff", source="staff.xlsx", media_type="text/markdown", text=text)


def _recording(planted: list[Person]) -> Recording:
    steps = []
    for n, p in enumerate(planted):
        page = Snapshot(
            url=f"http://127.0.0.1:8000/x?by={n}",
            title="Requests",
            text=f'- text: Signed in as {_mark(n, "initial", p)}\n- cell "{_mark(n, "full", p)}"\n'
            f'- link "{_mark(n, "path", p)}"',
        )
        steps.append(RecordedStep(before=None, action=Action(verb="goto", value=page.url), after=page))
    return Recording(
        id="r1",
        workflow="requests",
        instruction="Check the requests.",
        source_format="fde",
        steps=tuple(steps),
    )


def _client(scratch: Path) -> Engagement:
    return Engagement.create(scratch / "client", "[redact]\n")


def ingest(
    client: Engagement,
    documents: list[Document],
    recordings: list[Recording],
    blobs: dict[str, bytes] | None = None,
) -> None:
    """Put documents and recordings where their stages would have left them."""
    if documents:
        run = client.run("ingest-docs", inputs={}, config={})
        with client.working(run):
            for document in documents:
                run.write_json(f"documents/{document.id}.json", document.model_dump(mode="json"))
    run = client.run("ingest-recordings", inputs={}, config={})
    with client.working(run):
        for recording in recordings:
            run.write_json(f"recordings/{recording.id}.json", recording.model_dump(mode="json"))
        for name, data in (blobs or {}).items():
            write_bytes(run.path / "blobs" / name, data)


# --- screenshots of the sample company ------------------------------------------------------------

_PATHS = ("/", "/vendors", "/vendors?page=2", "/vendors?page=3")
# The boxes of every occurrence of the values in visible text and in fields.
_FIND = """values => {
  const found = [];
  const add = (value, rects) => {
    for (const r of rects)
      if (r.width > 1 && r.height > 1 && r.top >= 0 && r.bottom <= innerHeight && r.left >= 0 &&
          r.right <= innerWidth) found.push([value, r.left, r.top, r.right, r.bottom]);
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode.data;
    for (const value of values)
     for (let at = text.indexOf(value); at >= 0; at = text.indexOf(value, at + 1)) {
      const range = document.createRange();
      range.setStart(walk.currentNode, at);
      range.setEnd(walk.currentNode, at + value.length);
      add(value, range.getClientRects());
    }
  }
  for (const field of document.querySelectorAll("input"))
    if (values.includes(field.value)) {
      const r = field.getBoundingClientRect();  // without the frame around it
      add(field.value, [new DOMRect(r.x + 4, r.y + 4, r.width - 8, r.height - 8)]);
    }
  return found;
}"""


@dataclass(frozen=True)
class Shot:
    """A page of the portal: its picture, its text, and where personal values stand on it."""

    picture: bytes
    snapshot: Snapshot
    boxes: list[tuple[str, float, float, float, float]]


def values() -> list[str]:
    """Everything personal that the sample company's pages show."""
    from playbooks.quickstart import company

    found: set[str] = set()
    for employee in company.EMPLOYEES:
        found |= {
            employee.name,
            employee.short,
            employee.listed,
            employee.mail,
            employee.user,
            employee.phone,
        }
    for vendor in company.VENDORS:
        found |= {vendor.contact, vendor.mail, vendor.phone, vendor.iban}
        found.add(" ".join(vendor.iban[i : i + 4] for i in range(0, len(vendor.iban), 4)))
    return sorted(found)


def shots(pages: int) -> Iterator[Shot]:
    """Pictures of up to so many pages of the running portal."""
    from ingest.browser import launch, new_page
    from ingest.page import take_snapshot
    from playbooks.quickstart import company
    from playbooks.quickstart.app import seed_database, serve
    from playbooks.quickstart.experts import sign_in

    with tempfile.TemporaryDirectory(prefix="fde-portal-") as folder, launch() as browser:
        database = Path(folder) / "portal.db"
        seed_database(database, 7)
        portal, url = serve(database)
        try:
            page = new_page(browser)
            sign_in(page, url, company.CLERKS[0])
            links = [f"/vendors/{vendor.number}" for vendor in company.VENDORS]
            for path in (*_PATHS, *links)[:pages]:
                page.goto(url.rstrip("/") + path)
                boxes = [tuple(box) for box in page.evaluate(_FIND, values())]
                yield Shot(page.screenshot(type="png"), take_snapshot(page), boxes)
        finally:
            portal.close()


def pictures(pages: int) -> dict[str, float]:
    """Redact pictures of the portal; how many planted values are covered.

    A value counts as covered when at least 95% of its ink is: the pixels in its box that
    differ from the box's ground.

    Returns:
        ``planted``, ``covered``, ``kept``: the share of the other ink that is still to be seen.
    """
    taken = list(shots(pages))
    planted = covered = 0
    kept: list[float] = []
    with tempfile.TemporaryDirectory(prefix="fde-pictures-") as scratch:
        client = _client(Path(scratch))
        blobs = {f"{blob_name(s.picture).removesuffix('.webp')}.png": s.picture for s in taken}
        steps = tuple(
            RecordedStep(
                before=None,
                action=Action(verb="goto", value=s.snapshot.url),
                after=s.snapshot.model_copy(update={"screenshot": name}),
            )
            for name, s in zip(blobs, taken, strict=True)
        )
        recording = Recording(
            id="r1", workflow="pages", instruction="Look at the pages.", source_format="fde", steps=steps
        )
        ingest(client, [], [recording], blobs)
        run = redact(client)
        after = _redacted(run)
        for shot, step in zip(taken, after.steps, strict=True):
            assert step.after is not None and step.after.screenshot is not None
            old = _pixels(shot.picture)
            new = _pixels((run.path / "blobs" / step.after.screenshot).read_bytes())
            personal = numpy.zeros(old.shape[:2], dtype=bool)
            for _, left, top, right, bottom in shot.boxes:
                spot = numpy.s_[int(top) : int(bottom) + 1, int(left) : int(right) + 1]
                personal[spot] = True
                ink = _ink(old[spot])
                planted += 1
                covered += not ink.any() or bool((old[spot] != new[spot]).any(axis=2)[ink].mean() >= 0.95)
            rest = _ink(old) & ~personal
            kept.append(float((old == new).all(axis=2)[rest].mean()))
    return {"planted": planted, "covered": covered, "kept": sum(kept) / len(kept)}


def _redacted(run: Run) -> Recording:
    (file,) = (run.path / "recordings").glob("*.json")
    return Recording.model_validate_json(file.read_bytes())


def _pixels(data: bytes) -> Any:
    from PIL import Image

    return numpy.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def _ink(pixels: Any) -> Any:
    """Pixels that are clearly darker or lighter than the ground, the commonest colour."""
    colours, counts = numpy.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    return numpy.abs(pixels - colours[counts.argmax()]).sum(axis=2) > 120
