"""rrweb event streams: the full snapshot and its changes, built again, and what the person did there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

from fde.errors import InputError
from ingest.effects import make_effect
from ingest.formats.base import Read
from ingest.formats.rebuilt import Heard, limit_s, moment, plain
from ingest.formats.rrweb_events import Event, looks_like_events, read_events
from ingest.rebuild import Rebuilder
from ingest.timeline import Act, Request

META, FULL, CHANGE, CUSTOM, PLUGIN = 4, 2, 3, 5, 6
MUTATION, MOUSE, RESIZE, INPUT, RULES, CANVAS, STYLE, ADOPTED = 0, 2, 4, 5, 8, 9, 13, 15
# Mouse interactions, as the operations that they are.
_MOUSE = {0: "release", 1: "press", 2: "click", 5: "focus", 6: "blur", 7: "press", 9: "release"}
# What asks for or sends data, as the network plugin calls it.
_DATA = ("fetch", "xmlhttprequest", "navigation", "beacon")
# A page that is left within this time of an action is left because of it.
CAUSED_MS = 5_000


@dataclass
class Load:
    """A page that was opened."""

    time: float
    url: str


class Rrweb:
    """Reads rrweb event streams, plain or packed, in the wrappers in use."""

    name = "rrweb"
    max_bytes = 4_000_000_000

    def recognises(self, path: Path, head: bytes) -> bool:
        return looks_like_events(head)

    def read(self, path: Path) -> Read:
        with Rebuilder(limit_s(path)) as rebuilder:
            stream = _Stream(rebuilder)
            try:
                for event in read_events(path):
                    stream.take(event)
                    if stream.heard.full:
                        break
                stream.end()
            except InputError as error:
                raise InputError(_named(path, error.message), error.hint) from error
            if not stream.loads:
                raise InputError(
                    f"{path}: an rrweb stream without a full snapshot: it does not tell what changed.",
                    "Record from the page's beginning, or with checkoutEveryNms.",
                )
            return Read([stream.heard.recording(path, self.name)])


def _named(path: Path, message: str) -> str:
    return message if message.startswith(f"{path}: ") else f"{path}: {message}"


class _Stream:
    """One stream in the making."""

    def __init__(self, rebuilder: Rebuilder) -> None:
        self.rebuilder = rebuilder
        self.heard = Heard(rebuilder)
        self.loads: list[Load] = []
        self._time = 0.0
        self._url = ""
        self._meta: dict[str, Any] | None = None
        self._early = 0
        self._requests: list[tuple[float, dict[str, Any]]] = []
        self._kinds: dict[int, Callable[[dict[str, Any]], None]] = {
            META: self._page,
            FULL: self._full,
            CHANGE: self._change,
            CUSTOM: self._custom,
            PLUGIN: self._plugin,
        }

    def take(self, event: Event) -> None:
        handle = self._kinds.get(event["type"])
        data = event["data"]
        # Streams put together from several recorders are not always in order.
        self._time = max(self._time, moment(event.get("timestamp"), self._time + 1))
        if handle is not None and isinstance(data, dict):
            handle(data)

    def _do(self, name: str, *given: Any) -> None:
        self.heard.take(self.rebuilder.do(name, self._time, *given))

    def _page(self, data: dict[str, Any]) -> None:
        self._meta = data
        self.heard.take(self.rebuilder.resize(data.get("width"), data.get("height")))

    def _full(self, data: dict[str, Any]) -> None:
        node = data.get("node")
        if not isinstance(node, dict) or not isinstance(node.get("childNodes"), list):
            self.heard.warn("A full snapshot without a document was left out.")
            return
        meta, self._meta = self._meta, None
        url = plain(meta["href"]) if meta and isinstance(meta.get("href"), str) else self._url
        first = not self.loads
        # A check-out tells the same page again under new ids; a page that opens begins with 1.
        fresh = first or (meta is not None and (url != self._url or node.get("id") == 1))
        self.heard.take(self.rebuilder.load(self._time, node, url, fresh=fresh))
        if fresh:
            self.loads.append(Load(self._time, url))
        self._url = url

    def _change(self, data: dict[str, Any]) -> None:
        if not self.loads:
            self._early += 1
            return
        source = data.get("source")
        if source == MUTATION:
            keys = ("removes", "adds", "texts", "attributes")
            self._do("mut", {key: data[key] for key in keys if isinstance(data.get(key), list)})
        elif source == MOUSE:
            kind = data.get("type")
            operation = _MOUSE.get(kind) if isinstance(kind, int) else None
            if operation and isinstance(data.get("id"), int):
                # A click that a key made has no place.
                keyed = "pointerType" not in data and data.get("x") == data.get("y") == 0
                self._do(operation, data["id"], *([keyed] if operation == "click" else []))
        elif source == INPUT and isinstance(data.get("id"), int):
            user = data.get("userTriggered")
            self._do("input", data["id"], str(data.get("text", "")), bool(data.get("isChecked")), user)
        elif source in (RULES, STYLE):
            self._do("rules", data)
        elif source == ADOPTED:
            self._do("adopt", data)
        elif source == RESIZE:
            self.heard.take(self.rebuilder.resize(data.get("width"), data.get("height")))
        elif source == CANVAS:
            self.heard.warn("What is drawn on a canvas is not read.")

    def _custom(self, data: dict[str, Any]) -> None:
        """Recorders tell the address of a page that changes it by itself in an event of their own."""
        payload = data.get("payload")
        if self.loads and isinstance(payload, dict) and isinstance(payload.get("href"), str):
            self._url = plain(payload["href"])
            self._do("url", self._url)

    def _plugin(self, data: dict[str, Any]) -> None:
        payload = data.get("payload")
        requests = payload.get("requests") if isinstance(payload, dict) else None
        if not str(data.get("plugin", "")).startswith("rrweb/network") or not isinstance(requests, list):
            return
        self._requests.extend((self._time, request) for request in requests if isinstance(request, dict))

    def _request(self, time: float, request: dict[str, Any]) -> None:
        url, body, status = request.get("name"), request.get("requestBody"), request.get("status")
        headers = request.get("requestHeaders")
        if not isinstance(url, str) or request.get("initiatorType") not in _DATA:
            return
        kinds = headers.items() if isinstance(headers, dict) else ()
        kind = next((str(value) for key, value in kinds if str(key).lower() == "content-type"), "")
        effect = make_effect(
            plain(request.get("method") or "GET"),
            plain(url),
            status=status if isinstance(status, int) else None,
            content_type=kind or "application/json",
            body=body.encode("utf-8", "replace") if isinstance(body, str) else None,
            location=None,
            secrets=self.heard.secrets,
        )
        self.heard.requests.append(Request(moment(request.get("startTime"), time), effect))

    def end(self) -> None:
        """Have what is unfinished told, and the page as it is at last; put the pages opened between."""
        if not self.loads:
            return
        self._do("flush")
        self._time += 1
        self._do("look")
        self.heard.take(self.rebuilder.flush())
        if self._early:
            self.heard.warn(f"{self._early} changes before the first full snapshot were left out.")
        for time, request in self._requests:  # now all passwords are known
            self._request(time, request)
        # The empty page of a window that has just opened, on which nobody did anything.
        blank = len(self.loads) > 1 and self.loads[0].url.startswith("about:")
        if blank and not any(act.time <= self.loads[1].time for act in self.heard.acts):
            del self.loads[0]
        until = 0.0
        for load in self.loads:
            self._opened(load, until)
            until = load.time

    def _opened(self, load: Load, since: float) -> None:
        heard = self.heard
        url = heard.secrets.mask_url(load.url)
        if load is self.loads[0]:
            heard.acts.append(Act(load.time, "goto", value=url))
            return
        between = [act for act in heard.acts if since < act.time <= load.time and act.verb != "goto"]
        maybe = heard.maybe.get(load.time)
        for act in between:
            link = heard.links.get(id(act))
            base = act.before.page["url"] if link and act.before else ""
            if link and urldefrag(urljoin(base, link))[0] == urldefrag(load.url)[0]:
                return
        last = max((act for act in between if act.verb != "fill"), key=lambda act: act.time, default=None)
        if last is not None and load.time - last.time <= CAUSED_MS:
            return
        if maybe is not None:
            heard.acts.append(maybe)
            heard.warn("An Enter key was not recorded; that the page was left after typing tells of it.")
        elif not (between and load.time - between[-1].time <= CAUSED_MS):
            heard.acts.append(Act(load.time, "goto", value=url, before=heard.left.get(load.time)))
