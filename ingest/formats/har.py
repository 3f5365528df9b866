"""HTTP archives (HAR 1.2, http://www.softwareishard.com/blog/har-12-spec): what was asked of a server.

An archive beside a recording (the same name, ending in ``.har``) completes it: the requests become
the effects of its steps, by time. Alone it is a recording of opened addresses and their effects.
"""

from __future__ import annotations

import base64
import binascii
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from fde.artifacts import digest
from fde.errors import InputError
from ingest.action import Action
from ingest.effects import Secrets, make_effect
from ingest.formats.base import Read
from ingest.formats.steps import limited, slug
from ingest.formats.texts import clean, objects, parse_json, read_text, word
from ingest.recording import Effect, RecordedStep, Recording

MAX_BYTES = 150_000_000
MAX_IDENTIFIERS = 20
# The answer to an action is asked for at once; the clocks of two programs differ by less.
SLACK_S = 0.3
_DATA = ("document", "xhr", "fetch", "ping", "websocket")
_TELLING = re.compile(r"(text/html|application/xhtml|json|xml|text/plain|x-www-form|multipart/form)", re.I)
_SCENERY = re.compile(r"(image/|font/|text/css|javascript|svg|video/|audio/|wasm)", re.I)
_ID_KEY = re.compile(r"(^|_)(id|uuid|guid|number|key|reference)$|Id$|ID$")
_ID_PART = re.compile(r"(?=.*\d)[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
ALONE = "Requests alone: which actions led to them, and what the pages showed, is not told."


@dataclass(frozen=True)
class Entry:
    """A request of an archive. ``time_s`` counts from 1970; ``opens`` says that it opened a page."""

    time_s: float | None
    effect: Effect
    opens: bool
    title: str = ""


class HttpArchive:
    """Reads HAR."""

    name = "har"

    def recognises(self, path: Path, head: bytes) -> bool:
        return re.match(rb'(\xef\xbb\xbf)?\s*\{\s*"log"\s*:\s*\{', head) is not None

    def read(self, path: Path) -> Read:
        return Read([recording_of(read_entries(path), path)])


def read_entries(path: Path) -> list[Entry]:
    """The requests of an archive that can change state or tell about it, in the order of their times.

    Raises:
        InputError: naming the file, what is wrong with it and where.
    """
    found = parse_json(read_text(path, MAX_BYTES), path)
    log = _object(_object(found).get("log"))
    pages = log.get("pages")
    titles = {
        word(page.get("id")): word(page.get("title"))
        for page in (pages if isinstance(pages, list) else [])
        if isinstance(page, dict)
    }
    made = []
    redirected = ""
    for raw in objects(log.get("entries"), path, "log.entries"):
        entry, follows = _entry(raw, titles, redirected)
        redirected = follows
        if entry is not None:
            made.append(entry)
    return sorted(made, key=lambda entry: entry.time_s if entry.time_s is not None else float("inf"))


def _entry(raw: dict[str, Any], titles: dict[str, str], redirected: str) -> tuple[Entry | None, str]:
    request, response = _object(raw.get("request")), _object(raw.get("response"))
    method, url = word(request.get("method")).upper(), word(request.get("url"))
    if not re.fullmatch("[A-Z]{1,20}", method) or not url.startswith(("http:", "https:", "/")):
        return None, ""
    content = _object(response.get("content"))
    shown = word(content.get("mimeType"))
    kind = word(raw.get("_resourceType")) or word(request.get("_resourceType"))
    effect = _effect(method, url, request, response, content)
    headers = _headers(request)
    told = kind in _DATA if kind else bool(_TELLING.search(shown) or not _SCENERY.search(shown))
    if not (told or effect.writes):
        return None, ""
    page = kind == "document" if kind else "html" in shown
    inner = headers.get("sec-fetch-dest", "document") not in ("document", "empty")
    opens = page and method == "GET" and not inner and url != redirected
    location = word(response.get("redirectURL")) or _headers(response).get("location", "")
    follows = _absolute(url, location) if location and 300 <= (effect.status or 0) < 400 else ""
    return Entry(_time(raw), effect, opens, titles.get(word(raw.get("pageref")), "")), follows


def _effect(
    method: str, url: str, request: dict[str, Any], response: dict[str, Any], content: dict[str, Any]
) -> Effect:
    sent = _object(request.get("postData"))
    kind, text = word(sent.get("mimeType")) or _headers(request).get("content-type", ""), sent.get("text")
    body = text.encode("utf-8", "replace") if isinstance(text, str) and text else None
    if body is None and isinstance(sent.get("params"), list):
        pairs = [
            (word(pair.get("name")), word(pair.get("value")))
            for pair in sent["params"]
            if isinstance(pair, dict)
        ]
        kind, body = "application/x-www-form-urlencoded", urlencode(pairs).encode()
    status = response.get("status")
    location = word(response.get("redirectURL")) or _headers(response).get("location", "")
    try:
        effect = make_effect(
            method,
            url,
            status=status if isinstance(status, int) and 0 < status < 1000 else None,
            content_type=kind,
            body=body,
            location=location or None,
            secrets=Secrets(),
        )
    except ValueError:  # an address that is none, as of an IPv6 host that never ends
        effect = Effect(method=method, url=url.partition("?")[0])
    known = _identifiers(effect, content) if effect.writes else ()
    return effect.model_copy(update={"identifiers": known, "body": clean(effect.body)})


def _identifiers(effect: Effect, content: dict[str, Any]) -> tuple[str, ...]:
    """The ids of what a request changed: in its address, in its answer, and where that points."""
    found: dict[str, None] = {}
    for address in (effect.url, effect.location or ""):
        with suppress(ValueError):
            for part in urlsplit(address).path.split("/"):
                if _ID_PART.fullmatch(part):
                    found[part] = None
    text = content.get("text")
    if isinstance(text, str) and "json" in word(content.get("mimeType")) and len(text) < 1_000_000:
        try:
            if content.get("encoding") == "base64":
                text = base64.b64decode(text, validate=True).decode("utf-8")
            answer = parse_json(text, Path("answer"))
        except (InputError, ValueError, binascii.Error):
            answer = None
        for key, value in answer.items() if isinstance(answer, dict) else ():
            if _ID_KEY.search(key) and word(value):
                found[word(value)[:100]] = None
    return tuple(found)[:MAX_IDENTIFIERS]


def recording_of(entries: list[Entry], path: Path) -> Recording:
    """The archive by itself: an opened address is a step, what is asked after it are its effects."""
    start = next((entry.time_s for entry in entries if entry.time_s is not None), None)
    steps: list[tuple[Action, float | None, list[Effect]]] = []
    for entry in entries:
        if entry.opens or not steps:
            address = entry.effect.url if entry.opens else _origin(entry.effect.url)
            since = None if entry.time_s is None or start is None else round(entry.time_s - start, 3)
            steps.append((Action(verb="goto", value=address), since, []))
        steps[-1][2].append(entry.effect)
    title = next((entry.title for entry in entries if entry.title), "")
    workflow = slug(path.stem) or "workflow"
    made = Recording(
        id="",
        workflow=workflow,
        instruction=title if not title.startswith("http") else "",
        source_format="har",
        recorded_at=None if start is None else _iso(start),
        steps=tuple(
            RecordedStep(before=None, action=action, after=None, effects=tuple(effects), time_s=since)
            for action, since, effects in steps
        ),
        warnings=(ALONE,) if steps else (ALONE, "It holds no request for a page or data."),
    )
    return made.model_copy(update={"id": f"{workflow}-{digest(made.model_dump(mode='json'))[:8]}"})


def join(recording: Recording, entries: list[Entry]) -> Recording:
    """A recording whose steps have the effects that an archive tells.

    Steps that have effects already keep them. The archive is laid over the recording by the first
    page that both opened, else by the clock.
    """
    if not entries or not recording.steps:
        return recording
    if any(step.effects for step in recording.steps):
        lost = "The HTTP archive beside it was left aside: the recording holds the requests itself."
        return recording.model_copy(update={"warnings": limited([*recording.warnings, lost])})
    begun = _begun(recording, entries)
    given: list[list[Effect]] = [[] for _ in recording.steps]
    warning = ""
    if begun is None:
        warning = "The HTTP archive was laid over the steps that open its pages: there are no times to go by."
        _by_pages(recording, entries, given)
    else:
        times = _times(recording)
        for entry in entries:
            since = (entry.time_s if entry.time_s is not None else begun) - begun + SLACK_S
            cause = max((i for i, time in enumerate(times) if time <= since), default=0)
            given[cause].append(entry.effect)
    steps = tuple(
        step.model_copy(update={"effects": tuple(effects)})
        for step, effects in zip(recording.steps, given, strict=True)
    )
    return recording.model_copy(
        update={"steps": steps, "warnings": limited([*recording.warnings, *([warning] if warning else [])])}
    )


def _times(recording: Recording) -> list[float]:
    """The time of every step; one that is not told is that of the step before."""
    times: list[float] = []
    for step in recording.steps:
        times.append(step.time_s if step.time_s is not None else times[-1] if times else 0.0)
    return times


def _begun(recording: Recording, entries: list[Entry]) -> float | None:
    """When the recording's time 0 was, in seconds since 1970; None when it has no times."""
    if all(step.time_s is None for step in recording.steps):
        return None
    for step, since in zip(recording.steps, _times(recording), strict=True):
        if step.action.verb == "goto":
            for entry in entries:
                if entry.time_s is not None and _same(entry.effect.url, step.action.value or ""):
                    return entry.time_s - since
    if recording.recorded_at is None:
        return next((entry.time_s for entry in entries if entry.time_s is not None), None)
    try:
        moment = datetime.fromisoformat(recording.recorded_at)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _by_pages(recording: Recording, entries: list[Entry], given: list[list[Effect]]) -> None:
    at = 0
    for entry in entries:
        for i in range(at + 1, len(given)):
            action = recording.steps[i].action
            if entry.opens and action.verb == "goto" and _same(entry.effect.url, action.value or ""):
                at = i
                break
        given[at].append(entry.effect)


def _same(a: str, b: str) -> bool:
    return a.partition("#")[0].rstrip("/") == b.partition("#")[0].rstrip("/")


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.netloc}/"


def _absolute(url: str, location: str) -> str:
    return location if "//" in location[:10] else _origin(url).rstrip("/") + location


def _time(raw: dict[str, Any]) -> float | None:
    try:
        moment = datetime.fromisoformat(word(raw.get("startedDateTime")))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _headers(message: dict[str, Any]) -> dict[str, str]:
    given = message.get("headers")
    return {
        word(header.get("name")).lower(): word(header.get("value"))
        for header in (given if isinstance(given, list) else [])
        if isinstance(header, dict)
    }
