"""Screen recordings: what was clicked and typed, with a picture of the screen each time.

Whatever tool recorded it, an importer makes :class:`ScreenEvent` of it; here the screens are read
and the events become the actions a person would name.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from fde.artifacts import digest
from fde.errors import InputError
from ingest.action import CHECKABLE_ROLES, Action, Target, Verb, target_of
from ingest.effects import MASK, Secrets
from ingest.formats.base import Read, blob_name
from ingest.formats.steps import limited
from ingest.recording import RecordedStep, Recording, Snapshot
from ingest.screens.layout import FIELD_ROLES
from ingest.screens.page import Item, Screen
from ingest.screens.reader import ScreenReader
from ingest.snapshot import render

if TYPE_CHECKING:
    from PIL.Image import Image

EventKind = Literal["click", "double_click", "type", "key", "scroll", "other"]
MAX_EVENTS = 5_000
MAX_PICTURE_BYTES = 50_000_000
READ_BY_OCR = "Read off pictures: names, roles and values are as good as the text recognition."
_KEYS = {
    "enter": "Enter", "return": "Enter", "numpadenter": "Enter", "esc": "Escape", "escape": "Escape",
    "backspace": "Backspace", "delete": "Delete", "del": "Delete", "tab": "Tab", "home": "Home", "end": "End",
    "pageup": "PageUp", "pagedown": "PageDown", "up": "ArrowUp", "arrowup": "ArrowUp", "down": "ArrowDown",
    "arrowdown": "ArrowDown", "left": "ArrowLeft", "arrowleft": "ArrowLeft", "right": "ArrowRight",
    "arrowright": "ArrowRight", "space": " ", **{f"f{n}": f"F{n}" for n in range(1, 13)},
}  # fmt: skip
# What text recognition makes of the dots that stand for a password.
_DOTS = re.compile(r"[•●*.·°\-_eos ]{3,}", re.I)
_MODIFIERS = {"shift", "control", "ctrl", "alt", "meta", "cmd", "command", "win", "altgraph", "capslock"}


@dataclass(frozen=True)
class ScreenEvent:
    """Something done, and the screen just before it and, where known, after it came to rest.

    Attributes:
        where: Names it in messages.
        text: What was typed, or the key.
        label: What the recording tool says the element is called, if it says.
        before: A function that gives the picture; it is called when the screen is read.
    """

    kind: EventKind
    where: str
    time_s: float | None = None
    x: float | None = None
    y: float | None = None
    text: str = ""
    label: str = ""
    role: str = ""
    secret: bool = False
    url: str = ""
    title: str = ""
    before: Callable[[], bytes | None] | None = None
    after: Callable[[], bytes | None] | None = None


def key_name(told: str) -> str | None:
    """A key by the name the canonical form uses; None for a key that does nothing by itself."""
    plain = re.sub(r"^(key\.|key_|\{|\[)|[\]}]$", "", told.strip().lower()) if len(told) > 1 else told
    plain = re.sub(r"_(l|r|left|right)$", "", plain) if plain not in _KEYS else plain
    short = plain.replace("_", "").replace(" ", "")
    if plain in _MODIFIERS or short in _MODIFIERS or not plain:
        return None
    return _KEYS.get(short, told.strip())


def joined(events: Iterable[ScreenEvent]) -> list[ScreenEvent]:
    """Typing key by key as text; keys that do nothing by themselves are left out."""
    made: list[ScreenEvent] = []
    for event in events:
        if event.kind == "key":
            key = key_name(event.text) if event.text != " " else " "
            if key is None:
                continue
            event = replace(event, kind="type" if len(key) == 1 else "key", text=key)
        last = made[-1] if made else None
        if last is not None and last.kind == "type" and not event.label:
            if event.kind == "type":
                made[-1] = replace(last, text=last.text + event.text, after=event.after)
                continue
            if event.kind == "key" and event.text == "Backspace" and last.text:
                made[-1] = replace(last, text=last.text[:-1], after=event.after)
                continue
        made.append(event)
    return made


@dataclass(frozen=True)
class _Entered:
    """A field, and the screen when it was entered."""

    item: Item
    screen: Screen
    before: Snapshot | None


class _Worker:
    """Makes a recording of screen events; each picture is read once."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.blobs: dict[str, bytes] = {}
        self._screens: dict[str, Screen] = {}
        self._reader = ScreenReader()
        self._steps: list[RecordedStep] = []
        self._field: _Entered | None = None  # what the keys go to
        self._opened: tuple[Item, Snapshot | None, Screen | None, ScreenEvent] | None = None
        self._typed_choice = False

    def recording(
        self,
        events: Iterable[ScreenEvent],
        *,
        workflow: str,
        instruction: str,
        source_format: str,
        recorded_at: str | None,
        warnings: Iterable[str] = (),
    ) -> Recording:
        """The recording; its pictures are in :attr:`blobs`.

        Raises:
            MissingError: when there is no tesseract.
            InputError: when a picture cannot be read.
        """
        made = joined(events)
        if len(made) > MAX_EVENTS:
            raise InputError(f"{len(made)} events; at most {MAX_EVENTS} are read.")
        for event in made:
            self._take(event)
        self._close_list()
        found = Recording(
            id="",
            workflow=workflow,
            instruction=instruction,
            source_format=source_format,
            recorded_at=recorded_at,
            steps=tuple(self._steps),
            warnings=limited([READ_BY_OCR, *warnings, *self.warnings]),
        )
        return found.model_copy(update={"id": f"{workflow}-{digest(found.model_dump(mode='json'))[:8]}"})

    # One event at a time

    def _take(self, event: ScreenEvent) -> None:
        if event.kind in ("click", "double_click"):
            if event.kind == "double_click":
                self._warn(f"{event.where}: a double click is taken as a click.")
            self._click(event)
        elif event.kind == "type":
            self._type(event)
        elif event.kind == "key":
            self._key(event)
        elif event.kind == "other":
            self._warn(f"{event.where}: {event.text or 'it'} has no action of its own and was left out.")

    def _click(self, event: ScreenEvent) -> None:
        screen, before = self._look(event.before, event)
        item = None
        if screen is not None and event.x is not None and event.y is not None:
            item = screen.at(event.x, event.y)
        if self._opened is not None and item is not None and self._chose(item):
            return
        self._close_list()
        self._field, self._typed_choice = None, False
        if item is None or screen is None:
            if event.label:
                self._add(
                    "click", Target(role=event.role or "clickable", name=event.label), None, event, before
                )
            else:
                self._warn(f"{event.where}: nothing readable is at {_point(event)}; the click was left out.")
            return
        role = item.node.role
        if role in ("textbox", "searchbox"):
            self._field = _Entered(item, screen, before)
            return
        if role == "combobox":
            self._field = _Entered(item, screen, before)
            self._opened = (item, before, screen, event)
            return
        if role in CHECKABLE_ROLES:
            verb: Verb = "uncheck" if item.node.state("checked") is not None and role != "radio" else "check"
            self._add(verb, self._target(screen, item), None, event, before)
            return
        if role not in ("link", "button", "clickable"):
            screen, item = screen.made_clickable(item)
            before = None if before is None else before.model_copy(update={"text": render(screen.tree)})
        self._add("click", self._target(screen, item), None, event, before)

    def _chose(self, item: Item) -> bool:
        """Whether a click after a list was opened chose one of its options."""
        assert self._opened is not None
        field, before, screen, event = self._opened
        box = item.box
        under = (
            box.left < field.box.right and box.right > field.box.left and abs(box.top - field.box.top) < 600
        )
        if screen is None or item.node.role in FIELD_ROLES | CHECKABLE_ROLES or not under:
            return False
        if any(other.box == box and _shown(other) == _shown(item) for other in screen.items):
            return False  # it was there before the list was
        self._opened = None
        self._field = None
        self._add("select", self._target(screen, field), _shown(item), event, before)
        return True

    def _type(self, event: ScreenEvent) -> None:
        opened, self._opened = self._opened, None
        if opened is not None and opened[2] is not None:
            field, seen, screen, clicked = opened
            chosen = self._value_after(event, field) or event.text
            self._add("select", self._target(screen, field), chosen, clicked, seen, after=event.after)
            self._typed_choice = True
        elif self._field is not None:
            entered = self._field
            shown = self._value_after(event, entered.item)
            dotted = bool(_DOTS.fullmatch(shown)) and not _DOTS.fullmatch(event.text)
            event = replace(event, secret=event.secret or dotted)
            self._add("fill", self._target(entered.screen, entered.item), event.text, event, entered.before)
        elif event.label:
            _, before = self._look(event.before, event)
            self._add("fill", Target(role="textbox", name=event.label), event.text, event, before)
        else:
            count = len(event.text)
            self._warn(f"{event.where}: it is not told which field {count} characters were typed into.")

    def _key(self, event: ScreenEvent) -> None:
        if event.text == "Tab":
            self._close_list()
            screen, before = self._look(event.before, event)
            following = _next_field(screen, self._field) if screen and self._field else None
            self._field = _Entered(following, screen, before) if screen and following else None
            return
        if self._opened is not None and event.text.startswith("Arrow"):
            return
        if self._opened is not None and event.text in ("Enter", "Escape"):
            field, seen, shown, clicked = self._opened
            self._close_list()
            chosen = self._value_after(event, field) if event.text == "Enter" else ""
            if chosen and chosen != field.node.value:
                self._add("select", self._target(shown, field), chosen, clicked, seen, after=event.after)
            return
        if event.text == "Enter" and self._typed_choice:
            self._typed_choice = False  # it closes the list from which typing chose
            return
        _, before = self._look(event.before, event)
        self._add("press", None, event.text, event, before)

    def _close_list(self) -> None:
        """A list that was opened and from which nothing was chosen is no step."""
        self._opened = None

    def _value_after(self, event: ScreenEvent, field: Item) -> str:
        screen, _ = self._look(event.after, event)
        item = None if screen is None else _again(screen, field)
        return "" if item is None else item.node.value or ""

    # What becomes of it

    def _add(
        self,
        verb: Verb,
        target: Target | None,
        value: str | None,
        event: ScreenEvent,
        before: Snapshot | None,
        after: Callable[[], bytes | None] | None = None,
    ) -> None:
        secret = (
            verb == "fill"
            and bool(value)
            and (event.secret or (target is not None and Secrets().hides(target.name, value or "")))
        )
        _, seen = self._look(after or event.after, event)
        if self._steps and self._steps[-1].after is None and before is not None:
            self._steps[-1] = self._steps[-1].model_copy(update={"after": before})
        self._steps.append(
            RecordedStep(
                before=before,
                action=Action(verb=verb, target=target, value=MASK if secret else value),
                after=seen,
                time_s=event.time_s,
                masked=secret,
            )
        )

    def _target(self, screen: Screen | None, item: Item) -> Target:
        assert screen is not None
        return target_of(screen.tree, screen.path(item))

    def _look(
        self, picture: Callable[[], bytes | None] | None, event: ScreenEvent
    ) -> tuple[Screen | None, Snapshot | None]:
        data = picture() if picture else None
        if data is None:
            return None, None
        key = hashlib.sha256(data).hexdigest()
        if key not in self._screens:
            self._screens[key] = self._reader.read(open_picture(data, event.where))
        screen = self._screens[key]
        name = blob_name(data, "jpg" if data.startswith(b"\xff\xd8") else "png")
        self.blobs[name] = data
        heading = next((node.name for node in screen.tree.walk() if node.role == "heading"), "")
        return screen, Snapshot(
            url=Secrets().mask_url(event.url),
            title=event.title or heading,
            text=render(screen.tree),
            screenshot=name,
        )

    def _warn(self, text: str) -> None:
        self.warnings.append(text)


def read_events(events: Iterable[ScreenEvent], **about: object) -> Read:
    """A recording of screen events with its pictures; arguments as of ``recording`` below."""
    reader = _Worker()
    made = reader.recording(events, **about)  # type: ignore[arg-type]
    return Read([made], reader.blobs)


def open_picture(data: bytes, where: str) -> Image:
    """A picture of unknown origin: only its kind that screens are kept in, and not larger than one.

    Raises:
        InputError: saying what is wrong with it.
    """
    import warnings as python_warnings

    from PIL import Image, UnidentifiedImageError

    if len(data) > MAX_PICTURE_BYTES:
        raise InputError(f"{where}: a picture of {len(data)} bytes is larger than any screen.")
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
            image.load()
            return image
    except UnidentifiedImageError as error:
        raise InputError(f"{where}: its picture is neither PNG nor JPEG.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{where}: its picture is larger than any screen.") from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as error:
        raise InputError(f"{where}: its picture is damaged: {error}.") from error


def _shown(item: Item) -> str:
    return item.node.name or item.node.value or ""


def _again(screen: Screen, item: Item) -> Item | None:
    """The same field on a later screen."""
    near = [
        other
        for other in screen.items
        if other.node.role in FIELD_ROLES and other.box.shared(item.box) > 0.5 * item.box.area
    ]
    return next((other for other in near if other.node.name == item.node.name), near[0] if near else None)


def _next_field(screen: Screen, entered: _Entered) -> Item | None:
    fields = [other for other in screen.items if other.node.role in FIELD_ROLES]
    now = _again(screen, entered.item)
    later = fields[fields.index(now) + 1 :] if now in fields else []
    return later[0] if later else None


def _point(event: ScreenEvent) -> str:
    return "no point at all" if event.x is None or event.y is None else f"({event.x:.0f}, {event.y:.0f})"
