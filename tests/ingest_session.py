"""One session on the sample application, told by several tools at once.

Our recorder listens, Playwright's code generator listens, and a camera takes pictures of the
screen with a log of clicks and keys, as a screen recorder does.
"""

from __future__ import annotations

import io
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.recorder import record
from ingest.recording import Recording
from ingest.recordings import read_recording
from playbooks.quickstart import company
from playbooks.quickstart.app import seed_database, serve
from playbooks.quickstart.plans import Plan

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page


@dataclass
class Camera:
    """Works with the mouse and the keyboard alone, and keeps what a screen recorder keeps."""

    page: Page
    events: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[tuple[float, bytes]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def _now(self) -> float:
        return round(time.monotonic() - self.began, 3)

    def look(self) -> None:
        self.pictures.append((self._now(), self.page.screenshot()))

    def _did(self, **event: Any) -> None:
        time.sleep(0.03)
        self.events.append({"t": self._now(), **event})

    def click(self, what: Locator) -> None:
        what.wait_for()
        box = what.bounding_box()
        assert box is not None
        x, y = box["x"] + min(box["width"] / 2, 60), box["y"] + box["height"] / 2
        self.look()
        self._did(kind="click", x=round(x), y=round(y))
        self.page.mouse.click(x, y)
        self._rest()

    def type(self, text: str) -> None:
        self.look()
        self._did(kind="type", text=text)
        self.page.keyboard.type(text)
        self._rest()

    def key(self, name: str) -> None:
        self.look()
        self._did(kind="key", key=name)
        self.page.keyboard.press(name)
        self._rest()

    def _rest(self) -> None:
        self.page.wait_for_load_state()
        self.page.wait_for_timeout(150)


class CodeGenerator:
    """What Playwright's code generator writes meanwhile, in its target jsonl."""

    def __init__(self, page: Page) -> None:
        self.lines: list[str] = []
        context: Any = page.context
        # The Python API shows only the command line's recorder; the protocol has this one as well.
        context._sync(context._impl_obj._start_recording({"language": "jsonl"}, self))

    def action_added(self, page: Any, data: Any, code: str) -> None:
        self.lines.append(code)

    def action_updated(self, page: Any, data: Any, code: str) -> None:
        self.lines[-1] = code


@dataclass(frozen=True)
class Session:
    """What was made of one session. ``url`` is that of the application, which is closed."""

    ours: Recording
    codegen: Path
    frames: Path
    video: Path
    database: Path
    url: str


def do_work(hands: Camera, plan: Plan) -> None:
    """Sign in and change a vendor's bank account, as the plan says."""
    page = hands.page

    def at(role: Any, name: str) -> Locator:
        return page.get_by_role(role, name=name, exact=True)

    clerk = company.CLERKS[0]
    hands.click(at("textbox", "User"))
    hands.type(clerk.user)
    hands.click(at("textbox", "Password"))
    hands.type(company.PASSWORD)
    hands.click(at("button", "Sign in"))
    hands.click(at("link", "Vendors"))
    hands.click(at("searchbox", "Search"))
    hands.type(plan.parameters["vendor"])
    hands.click(at("button", "Search"))
    hands.click(at("link", plan.parameters["vendor"]))
    hands.click(at("link", "Change bank"))
    hands.click(at("textbox", "IBAN"))
    hands.type(plan.parameters["iban"])
    hands.click(at("combobox", "Hold"))
    hands.type("30 days")
    hands.key("Enter")
    hands.click(at("checkbox", "Called back"))
    hands.click(at("button", "Save"))
    page.get_by_role("status").wait_for()


def record_session(folder: Path, plan: Plan, browser: Browser) -> Session:
    """Do the plan's work while everything listens; files are written to ``folder``."""
    database, ours = folder / "portal.db", folder / "ours.fderec"
    seed_database(database, plan.seed, wanted=plan.wanted, wanted_vendors=plan.wanted_vendors)
    portal, url = serve(database)
    cameras: list[Camera] = []
    generators: list[CodeGenerator] = []

    def work(page: Page) -> None:
        generators.append(CodeGenerator(page))
        cameras.append(Camera(page))
        do_work(cameras[0], plan)
        cameras[0].look()

    try:
        record(
            url,
            ours,
            workflow=plan.workflow,
            instruction=plan.instruction,
            script=work,
            headless=True,
            browser=browser,
        )
    finally:
        portal.close()
    first = json.dumps({"name": "navigate", "url": url, "signals": [], "pageGuid": ""})
    codegen = folder / "codegen.jsonl"
    codegen.write_text("\n".join([first, *generators[0].lines]) + "\n", encoding="utf-8")
    frames = folder / "frames-recording"
    write_frames(frames, cameras[0], url)
    video = folder / "session.mp4"
    write_video(video, cameras[0])
    return Session(read_recording(ours)[0], codegen, frames, video, database, url)


def write_frames(folder: Path, camera: Camera, url: str) -> None:
    """As OpenAdapt keeps a recording."""
    (folder / "frames").mkdir(parents=True)
    lines = []
    for i, event in enumerate(camera.events):
        lines.append(json.dumps({"i": i, **event}))
        (folder / "frames" / f"{i:04d}_before.png").write_bytes(camera.pictures[i][1])
        (folder / "frames" / f"{i:04d}_after.png").write_bytes(camera.pictures[i + 1][1])
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    meta = {"id": "x", "created_at": "2026-11-22T08:00:00+00:00", "viewport": [1000, 720], "app_url": url}
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def write_video(path: Path, camera: Camera, codec: str = "libx264") -> None:
    """The pictures as a video, each shown from its time on, and the events as CSV beside it."""
    try:
        import av
        from PIL import Image
    except ImportError:
        return
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=30)
        for number, (moment, data) in enumerate(camera.pictures):
            picture = Image.open(io.BytesIO(data)).convert("RGB")
            if not number:
                stream.width, stream.height, stream.pix_fmt = *picture.size, "yuv420p"
            until = camera.pictures[number + 1][0] if number + 1 < len(camera.pictures) else moment + 0.5
            frame = av.VideoFrame.from_image(picture)
            for tick in range(int(moment * 30), max(int(moment * 30) + 1, int(until * 30))):
                frame.pts = tick
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    rows = ["time,event,x,y,text"]
    for event in camera.events:
        told = event.get("text") or event.get("key", "")
        rows.append(f"{event['t']},{event['kind']},{event.get('x', '')},{event.get('y', '')},{told}")
    path.with_suffix(".csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
