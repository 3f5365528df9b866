"""Playwright traces: the snapshots around every call, built again, and the calls as actions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from fde.errors import InputError
from ingest.effects import MASK, make_effect, text_hash
from ingest.formats.base import Archive, Read, entry_names
from ingest.formats.rebuilt import Heard, limit_s, moment, plain
from ingest.formats.trace_archive import Call, Context, Frame, read_contexts
from ingest.formats.trace_calls import file_of, key_of, named, text_of, verb_of, wanted_options
from ingest.formats.trace_dom import TARGET, Documents, content_key
from ingest.rebuild import Message, Rebuilder
from ingest.recording import Recording
from ingest.timeline import Act, HeardVerb, Look, Request

_DATA_TYPES = ("document", "xhr", "fetch", "ping")
_ASSETS = ("text/css", "javascript", "image/", "font", "audio/", "video/", "wasm")


class PlaywrightTrace:
    """Reads ``trace.zip`` of versions 3 to 10."""

    name = "playwright-trace"
    max_bytes = 500_000_000

    def recognises(self, path: Path, head: bytes) -> bool:
        return head.startswith(b"PK") and any(name.endswith(".trace") for name in entry_names(path))

    def read(self, path: Path) -> Read:
        with Archive(path) as archive:
            contexts = read_contexts(path, archive)
            acted = [each for each in contexts if any(map(verb_of, each.calls.values()))]
            made = [self._recording(path, archive, context) for context in acted]
        if not made:
            raise InputError(
                f"{path}: a trace in which nobody acts on a page.",
                "Start the trace before the work, with snapshots.",
            )
        if len(made) > 1:
            made = [each.model_copy(update={"id": f"{each.id}-{i}"}) for i, each in enumerate(made, 1)]
        return Read(made)

    def _recording(self, path: Path, archive: Archive, context: Context) -> Recording:
        with Rebuilder(limit_s(path)) as rebuilder:
            trace = _Trace(context, archive, rebuilder)
            try:
                trace.run()
            except InputError as error:
                message = error.message.removeprefix(f"{path}: ")
                raise InputError(f"{path}: {message}", error.hint) from error
            return trace.heard.recording(path, self.name, instruction=plain(context.title))


@dataclass
class Edit:
    """A field being filled, call after call.

    ``raw`` is what is in it, also where that is a password: as the calls say, until
    the page before the next call shows it.
    """

    place: str
    url: str
    before: Look
    began: float
    origin: str
    raw: str
    secret: bool
    time: float = 0.0


class _Trace:
    """One context in the making."""

    def __init__(self, context: Context, archive: Archive, rebuilder: Rebuilder) -> None:
        self.context = context
        self.archive = archive
        self.rebuilder = rebuilder
        self.heard = Heard(rebuilder)
        self.documents = Documents(context, archive)
        self._edit: Edit | None = None
        self._field: Message | None = None  # where the keyboard types
        self._page: str | None = None
        self._sent: set[str] = set()

    def run(self) -> None:
        self.heard.take(self.rebuilder.resize(*map(self.context.viewport.get, ("width", "height"))))
        for call in sorted(self.context.calls.values(), key=lambda call: call.start):
            verb = verb_of(call)
            if verb is None or self.heard.full:
                continue
            if verb == "unread":
                self.heard.warn(f"Not read: {call.method}.")
            elif call.failed and not self.documents.main(call.page, call.input_snapshot):
                self.heard.warn(f"Left out: {call.method}, which failed.")
            else:
                self._call(call, verb)
                self._page = call.page or self._page
        shot = self.documents.last(self._page)
        if shot:
            last = self._ask(shot, Call("", "", "", {}, 0.0, 0.0, "", "", ""))
            self.heard.looks.append(self.heard.look(self._time_of(shot) + 1, last["before"]))
        self._finish_edit()
        if not self.documents.context.frames:
            self.heard.warn("The trace holds no pages (it was recorded without snapshots): actions only.")
        if self.documents.cut:
            self.heard.warn("A page is too large to be built whole.")
        for resource in self.context.resources:
            self._request(resource)

    # Pages

    def _time_of(self, shot: tuple[Frame, int]) -> float:
        return self.context.wall_time(moment(shot[0].snapshots[shot[1]].get("timestamp"), 0.0))

    def _show(self, shot: tuple[Frame, int], call: str) -> None:
        frame, index = shot
        document = self.documents.document(frame, index, call)
        for name, text in self.documents.sheets.items():
            if name not in self._sent:
                self._sent.add(name)
                self.rebuilder.name_text(plain(name), text)
        self.heard.take(self.rebuilder.load(self._time_of(shot), document, self._url(shot)))

    def _ask(self, shot: tuple[Frame, int], call: Call, **given: Any) -> Message:
        self._show(shot, call.id)
        edit = self._edit if self._edit and self._edit.url == self._url(shot) else None
        question = {"key": call.id, "watch": edit.place if edit else "", **given}
        self.heard.take(self.rebuilder.do("ask", self._time_of(shot), TARGET, question))
        self.heard.take(self.rebuilder.flush())
        answer = self.heard.answers.pop(call.id)
        if edit and isinstance(answer["seen"], str):
            edit.raw = plain(answer["seen"])
        return answer

    def _url(self, shot: tuple[Frame, int]) -> str:
        return plain(shot[0].snapshots[shot[1]].get("frameUrl") or "")

    def _shot(self, call: Call) -> tuple[Frame, int] | None:
        page = call.page or self._page
        return self.documents.main(page, call.input_snapshot) or self.documents.main(
            page, call.before_snapshot
        )

    # Calls

    def _call(self, call: Call, verb: str) -> None:
        shot = self._shot(call)
        time = self._time_of(shot) if shot else self.context.wall_time(call.start)
        if verb in ("goto", "reload", "history"):
            self._goto(call, verb, shot)
            return
        given: dict[str, Any] = {"mark": verb == "click"}
        if call.method == "mouseClick" and call.point:
            given["point"] = {axis: moment(call.point.get(axis), 0.0) for axis in ("x", "y")}
        if verb == "select":
            given["options"] = wanted_options(call) or None
        answer = self._ask(shot, call, **given) if shot else None
        if answer is not None and not answer["there"] and call.method.startswith("keyboard"):
            answer = {**(self._field or answer), "before": answer["before"]}
        before = self.heard.look(time, answer["before"]) if answer else None
        if answer is None or not answer["there"]:
            self._untold(call, verb, time, before)
        elif verb in ("fill", "type"):
            self._type(call, verb, time, before, answer)
        elif verb == "press":
            self._press(call, time, before, answer)
        elif verb == "focus":
            self._field = answer
        else:
            self._act(call, verb, time, before, answer)

    def _act(self, call: Call, verb: str, time: float, before: Look | None, answer: Message) -> None:
        if verb == "click":
            self._field = answer
            if not answer["click"]:
                return
            if call.method == "dblclick":
                self.heard.warn("A double click was read as a click.")
        self._finish_edit()
        if verb == "upload":
            self._add(time, "fill", before, call, value=file_of(call))
        elif verb == "select" and answer["chosen"] is None:
            self.heard.warn("Left out: selectOption without the options' names.")
        elif verb == "select":
            self._add(time, "select", before, call, chosen=tuple(map(plain, answer["chosen"])))
        elif verb == "click":
            self._add(time, "click", before, call, soft=bool(answer["soft"]))
        else:
            self._add(time, "check" if verb == "check" else "uncheck", before, call)

    def _untold(self, call: Call, verb: str, time: float, before: Look | None) -> None:
        """A call whose element no snapshot marks: what its selector says must do."""
        target = named(call, verb)
        if verb == "press" and key_of(call) in ("Enter", "Escape"):
            self._finish_edit()
            self._add(time, "press", before, call, value=key_of(call), soft=before is not None)
        elif target is None and verb not in ("focus", "press"):
            self.heard.warn(f"Left out: {call.method} on something that the trace does not show.")
        elif verb in ("fill", "type", "upload"):
            value = file_of(call) if verb == "upload" else text_of(call)
            self._add(time, "fill", before, call, value=value)
        elif verb == "select":
            for option in wanted_options(call):
                value = str(next(iter(option.values())))
                self._add(time, "select", before, call, value=value, chosen=(value,))
        elif verb in ("click", "check", "uncheck"):
            kind: HeardVerb = "click" if verb == "click" else "check" if verb == "check" else "uncheck"
            self._add(time, kind, before, call)

    def _add(self, time: float, verb: HeardVerb, before: Look | None, call: Call, **fields: Any) -> None:
        target = named(call, verb) if verb not in ("goto", "press") else None
        self.heard.acts.append(Act(time, verb, before=before, seen=time, named=target, **fields))

    def _goto(self, call: Call, verb: str, shot: tuple[Frame, int] | None) -> None:
        self._finish_edit()
        page = call.page or self._page
        after = self.documents.main(page, call.after_snapshot) or shot
        address = call.params.get("url") if verb == "goto" else None
        here = after if verb == "history" else shot or after
        if not isinstance(address, str):
            address = str(here[0].snapshots[here[1]].get("frameUrl")) if here else ""
        if not address:
            return
        before = None
        if self.heard.acts and shot:
            answer = self._ask(shot, call)
            before = self.heard.look(self._time_of(shot), answer["before"])
        value = self.heard.secrets.mask_url(plain(urljoin(self.context.base_url, address)))
        self._add(self.context.wall_time(call.start), "goto", before, call, value=value)

    # Typing

    def _type(self, call: Call, verb: str, time: float, before: Look | None, answer: Message) -> None:
        if not answer["types"] or before is None:
            # Anything else that takes a value: a slider, a colour, a list of its own.
            self._finish_edit()
            self._add(time, "fill", before, call, value=text_of(call))
            return
        edit = self._begin_edit(time, before, answer)
        typed = text_of(call)
        edit.raw = typed if verb == "fill" else edit.raw + typed
        edit.time = self.context.wall_time(call.end)
        self._field = answer

    def _begin_edit(self, time: float, before: Look, answer: Message) -> Edit:
        if self._edit is None or self._edit.place != answer["place"]:
            self._finish_edit()
            secret = bool(answer["secret"])
            now = "" if secret else plain(answer["value"])
            origin = answer["hash"] if secret else now
            self._edit = Edit(answer["place"], before.page["url"], before, time, origin, now, secret, time)
        return self._edit

    def _press(self, call: Call, time: float, before: Look | None, answer: Message) -> None:
        key = key_of(call)
        breaks = key == "Enter" and answer["breaks"]
        if key in ("Enter", " ", "Space") and (answer["clicksByKey"] or (key != "Enter" and answer["click"])):
            self._finish_edit()
            self._add(time, "click", before, call, soft=bool(answer["soft"]))
        elif key in ("Enter", "Escape") and not breaks:
            self._finish_edit()
            self._add(time, "press", before, call, value=key, soft=True)
        elif answer["types"] and before is not None and key != "Tab":
            edit = self._begin_edit(time, before, answer)
            typed = "\n" if breaks else key if len(key) == 1 else ""
            edit.raw = edit.raw[:-1] if key == "Backspace" else edit.raw + typed
            edit.time = self.context.wall_time(call.end)

    def _finish_edit(self) -> None:
        edit, self._edit = self._edit, None
        if edit is None:
            return
        hashed = text_hash(self.heard.secrets.salt + edit.raw)
        if edit.origin == (hashed if edit.secret else edit.raw):
            return
        if edit.secret:
            self.heard.secrets.hashes.add(hashed)
        self.heard.acts.append(
            Act(
                edit.time,
                "fill",
                before=edit.before,
                seen=edit.began,
                value=MASK if edit.secret else edit.raw,
                masked=edit.secret,
            )
        )

    # Requests

    def _request(self, resource: dict[str, Any]) -> None:
        request, response = resource.get("request"), resource.get("response")
        if not isinstance(request, dict) or not isinstance(response, dict) or not _is_data(resource):
            return
        if "_apiRequestRef" in resource or resource.get("_apiRequest"):
            return
        posted = request.get("postData")
        body = kind = None
        if isinstance(posted, dict):
            key = content_key(posted)
            kind = str(posted.get("mimeType") or "")
            if key and key.startswith("text:"):
                body = key.removeprefix("text:").encode("utf-8", "replace")
            elif key in self.archive.names:
                body = self.archive.read(str(key))
        status = response.get("status")
        headers = [each for each in response.get("headers") or () if isinstance(each, dict)]
        answered = {str(each.get("name")).lower(): each.get("value") for each in headers}
        effect = make_effect(
            plain(request.get("method") or "GET"),
            plain(request.get("url") or ""),
            status=status if isinstance(status, int) and status > 0 else None,
            content_type=kind or "",
            body=body,
            location=plain(answered["location"]) if answered.get("location") else None,
            secrets=self.heard.secrets,
        )
        began = _iso(resource.get("startedDateTime"))
        if began is None:
            began = self.context.wall_time(moment(resource.get("_monotonicTime"), 0.0))
        self.heard.requests.append(Request(began, effect))


def _is_data(resource: dict[str, Any]) -> bool:
    """Whether a request asked for a page or data, not for what a page is drawn with."""
    kind = resource.get("_resourceType")
    if isinstance(kind, str):
        return kind in _DATA_TYPES
    if resource["request"].get("method") not in ("GET", "HEAD"):
        return True
    headers = resource["request"].get("headers") or ()
    wanted = {str(each.get("name")).lower(): each.get("value") for each in headers if isinstance(each, dict)}
    if wanted.get("sec-fetch-dest"):
        return wanted["sec-fetch-dest"] in ("document", "iframe", "frame", "empty")
    content = resource["response"].get("content")
    mime = str(content.get("mimeType") if isinstance(content, dict) else "")
    return not any(asset in mime for asset in _ASSETS)


def _iso(text: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp() * 1000
    except (ValueError, OverflowError):
        return None
