"""Screen recordings: pictures and a log of events give the actions that were done."""

from __future__ import annotations

import io
import json
import random
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ingest_scripts import samples
from ingest_session import Camera, Session, record_session, write_video
from mutations import mutated_bytes

from fde.errors import InputError, MissingError
from ingest.browser import launch
from ingest.ocr import version
from ingest.recording import Recording
from ingest.recordings import read_recording, read_recordings
from ingest.replay import replay_file
from ingest.screens.events import ScreenEvent, joined, key_name
from ingest.snapshot import parse
from playbooks.quickstart import company
from playbooks.quickstart.app import seed_database, serve
from playbooks.quickstart.plans import recorded_plans

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PLAN = recorded_plans("update-bank")[0]
needs_tesseract = pytest.mark.skipif(version() is None, reason="tesseract is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch(slow_mo_ms=50) as running:
        yield running


@pytest.fixture(scope="module")
def session(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Session:
    return record_session(tmp_path_factory.mktemp("session"), PLAN, browser)


def actions(recording: Recording) -> list[str]:
    return [step.action.text() for step in recording.steps]


def named(recording: Recording) -> list[tuple[str, str | None]]:
    """What was clicked, filled or chosen, by name, and the value."""
    return [(s.action.target.name, s.action.value) for s in recording.steps if s.action.target is not None]


def pages(recording: Recording) -> list[str]:
    """The pages before each step, without the code generator's own buttons."""
    shown = [step.before.text if step.before else "" for step in recording.steps]
    return [text.partition('\n- clickable "Stop Recording"')[0] for text in shown]


@pytest.mark.browser
def test_the_code_generator_tells_the_same_actions(session: Session) -> None:
    made, _ = read_recording(session.codegen)
    assert actions(made) == actions(session.ours)
    assert [step.masked for step in made.steps] == [step.masked for step in session.ours.steps]


@pytest.mark.browser
def test_replayed_it_shows_the_same_pages_and_effects(
    session: Session, browser: Browser, tmp_path: Path
) -> None:
    database = tmp_path / "portal.db"
    seed_database(database, PLAN.seed, wanted=PLAN.wanted, wanted_vendors=PLAN.wanted_vendors)
    portal, url = serve(database)
    try:
        (made,) = replay_file(session.codegen, url, browser=browser).recordings
    finally:
        portal.close()
    ours = session.ours
    assert actions(made)[1:] == actions(ours)[1:]
    assert pages(made) == pages(ours)
    told = [[(e.method, e.status, e.location) for e in step.effects] for step in made.steps]
    assert told == [[(e.method, e.status, e.location) for e in step.effects] for step in ours.steps]
    saved = made.steps[-1].effects[0].body
    assert saved is not None and saved["iban"] == PLAN.parameters["iban"]


@pytest.mark.browser
@needs_tesseract
def test_pictures_of_the_same_session_name_the_same_elements(session: Session) -> None:
    made, blobs = read_recording(session.frames)
    right = sum(a == b for a, b in zip(named(made), named(session.ours), strict=True))
    assert right >= 0.9 * len(named(session.ours)), list(zip(named(made), named(session.ours), strict=True))
    assert [step.masked for step in made.steps] == [step.masked for step in session.ours.steps[1:]]
    for step in made.steps:
        assert step.before is not None and step.before.screenshot in blobs
        assert parse(step.before.text).children
    assert not any(company.PASSWORD in json.dumps(step.model_dump(mode="json")) for step in made.steps)


@pytest.mark.browser
@needs_tesseract
def test_a_video_with_a_log_beside_it(session: Session, tmp_path: Path) -> None:
    pytest.importorskip("av")
    for suffix in (".mp4", ".csv"):
        shutil.copyfile(session.video.with_suffix(suffix), tmp_path / f"v{suffix}")
    log = tmp_path / "v.csv"
    first = log.read_text().splitlines()[:5]
    late = ["9000,click,5,5,", "7,click,4000,5,"]
    log.write_text("\n".join([*first, *late]) + "\n")
    made, blobs = read_recording(tmp_path / "v.mp4")
    assert made.source_format == "screen-video" and blobs
    assert named(made) == named(session.ours)[:2]
    told = " ".join(made.warnings)
    assert "an event at 9000.0 s is not in the video" in told
    assert "(4000, 5) is outside the picture, which is 1000 by 720 pixels" in told


@needs_tesseract
def test_a_foreign_recording() -> None:
    folder = samples("openadapt-flow") / "showcase"
    made, _ = read_recording(folder)
    assert actions(made) == [
        'fill textbox "Username": nurse.demo',
        'fill textbox "Password": ••••',
        'click button "Sign In"',
        'click button "Open" in row "Jane Sample Knee pain referral High Open"',
        'click button "New Encounter"',
        'click link "Triage"',
        'fill textbox "Note": Showcase triage booking three months',
        'click button "Save Encounter"',
    ]
    assert made.recorded_at == "2026-07-06T18:29:42.319869+00:00"


def small_recording(folder: Path, events: list[dict[str, object]], *, picture: bytes | None = None) -> Path:
    """A recording of small pictures: a button."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (480, 240), "white")
    pen = ImageDraw.Draw(image)
    pen.text((20, 100), "Orders of this week", fill="black", font=ImageFont.load_default(18))
    pen.rectangle((20, 30, 140, 70), fill=(20, 90, 160))
    pen.text((52, 38), "Send", fill="white", font=ImageFont.load_default(22))
    data = io.BytesIO()
    image.save(data, "PNG")
    (folder / "frames").mkdir(parents=True)
    for number in range(len(events)):
        for when in ("before", "after"):
            name = folder / "frames" / f"{number:04d}_{when}.png"
            name.write_bytes(data.getvalue() if picture is None else picture)
    lines = [json.dumps({"i": number, "t": number, **event}) for number, event in enumerate(events)]
    (folder / "events.jsonl").write_text("\n".join(lines))
    return folder


@needs_tesseract
def test_in_a_zip_and_what_has_no_action(tmp_path: Path) -> None:
    events = [
        {"kind": "click", "x": 60, "y": 50},
        {"kind": "click", "x": 400, "y": 210},
        {"kind": "drag", "x": 1, "y": 1},
        {"kind": "scroll", "dx": 0, "dy": 100},
        {"kind": "type", "text": "lost"},
        {"kind": "key", "key": "Escape"},
    ]
    folder = small_recording(tmp_path / "r", events)
    path = tmp_path / "r.zip"
    with zipfile.ZipFile(path, "w") as made:
        for file in sorted(folder.rglob("*.*")):
            made.write(file, f"recording/{file.relative_to(folder)}")
    for source in (folder, path):
        found, _ = read_recording(source)
        assert actions(found) == ['click button "Send"', "press Escape"]
        told = " ".join(found.warnings)
        assert "event 2: nothing readable is at (400, 210)" in told
        assert "event 3: drag has no action of its own" in told
        assert "event 5: it is not told which field 4 characters were typed into" in told


def test_a_picture_that_is_none(tmp_path: Path) -> None:
    events: list[dict[str, object]] = [{"kind": "click", "x": 60, "y": 50}]
    for number, picture in enumerate((b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\0" * 100)):
        folder = small_recording(tmp_path / str(number), events, picture=picture)
        with pytest.raises(InputError, match="event 1: its picture is"):
            read_recordings(folder)


def test_without_text_recognition_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.ocr.version", lambda: None)
    folder = small_recording(tmp_path / "r", [{"kind": "click", "x": 60, "y": 50}])
    with pytest.raises(MissingError, match="tesseract") as error:
        read_recordings(folder)
    assert "apt-get install tesseract-ocr" in error.value.hint


def video(folder: Path, seconds: int = 2, kind: str = "mp4") -> Path:
    """A small video of a changing screen."""
    pytest.importorskip("av")
    from PIL import Image

    pictures = []
    for second in range(seconds):
        data = io.BytesIO()
        Image.new("RGB", (64, 48), (second * 40, 90, 90)).save(data, "PNG")
        pictures.append((float(second), data.getvalue()))
    path = folder / f"clip.{kind}"
    codec = "mpeg4" if kind == "mp4" else "libvpx"
    write_video(path, Camera(None, [], pictures), codec=codec)  # type: ignore[arg-type]
    return path


def test_a_video_alone_is_refused(tmp_path: Path) -> None:
    path = video(tmp_path)
    path.with_suffix(".csv").unlink()
    with pytest.raises(InputError, match="does not tell what was clicked") as error:
        read_recordings(path)
    assert "clip.csv or clip.jsonl" in error.value.hint


def test_a_damaged_video_and_clock_times(tmp_path: Path) -> None:
    path = video(tmp_path)
    log = path.with_suffix(".csv")
    log.write_text("time,event,x,y\n2026-11-22T08:00:00Z,click,3,3\n")
    with pytest.raises(InputError, match="the video does not say when it began"):
        read_recordings(path)
    whole = path.read_bytes()
    for length in (40, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"damaged video|holds no pictures"):
            read_recordings(path)


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_mutated_videos(tmp_path: Path, kind: str) -> None:
    path = video(tmp_path, kind=kind)
    path.with_suffix(".csv").write_text("time,event,x\n1,paste,2\n")
    made, _ = read_recording(path)
    assert made.source_format == "screen-video" and not made.steps
    whole = path.read_bytes()
    rng = random.Random(kind)
    for _ in range(40):
        path.write_bytes(mutated_bytes(whole, rng))
        try:
            read_recordings(path)
        except InputError as error:
            assert str(path) in str(error)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["clip.csv", path.name]


@needs_tesseract
def test_mutated_pictures(tmp_path: Path) -> None:
    folder = small_recording(tmp_path / "r", [{"kind": "click", "x": 60, "y": 50}])
    picture = folder / "frames" / "0000_before.png"
    whole = picture.read_bytes()
    rng = random.Random(7)
    for _ in range(12):
        picture.write_bytes(mutated_bytes(whole, rng))
        try:
            read_recordings(folder)
        except InputError as error:
            assert str(folder) in str(error)


def test_keys_become_text_and_named_keys() -> None:
    def pressed(*keys: str) -> list[tuple[str, str]]:
        made = joined(ScreenEvent("key", f"{n}", text=key) for n, key in enumerate(keys))
        return [(event.kind, event.text) for event in made]

    assert pressed("Shift", "A", "b", "Backspace", "c", " ", "d", "Return") == [
        ("type", "Ac d"),
        ("key", "Enter"),
    ]
    assert [key_name(name) for name in ("Key.enter", "page_down", "ctrl_l", "F5", "x")] == [
        "Enter",
        "PageDown",
        None,
        "F5",
        "x",
    ]
