"""The portal's HTTP side: routing, log-in sessions, form tokens, static files, errors."""

from __future__ import annotations

import hmac
import logging
import re
import secrets
import sqlite3
import threading
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from fde.errors import InputError
from playbooks.quickstart.app import pages, store
from playbooks.quickstart.app.pages import Clerk, Request, Response

HOST = "127.0.0.1"
MAX_BODY_BYTES = 64 * 1024
COOKIE = "payables"
_STATIC = Path(__file__).parent / "static"
_STATIC_TYPES = {"style.css": "text/css; charset=utf-8", "app.js": "text/javascript; charset=utf-8"}
_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

log = logging.getLogger(__name__)


class Portal(ThreadingHTTPServer):
    """The running portal; :meth:`close` stops it and frees the port."""

    daemon_threads = True
    # A second server on the same port must fail, not silently share or steal it.
    allow_reuse_address = False
    allow_reuse_port = False

    def __init__(self, db_path: Path, port: int) -> None:
        self.db_path = db_path
        super().__init__((HOST, port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="payables", daemon=True)

    @property
    def url(self) -> str:
        """The start page, with a slash at the end."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait until another thread or a signal ends the server."""
        self._thread.join()

    def close(self) -> None:
        """Stop serving and free the port."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
        self.server_close()


def serve(db_path: Path, port: int = 0) -> tuple[Portal, str]:
    """Serve the portal over the database at ``db_path`` in a background thread.

    Args:
        port: TCP port on the loopback address; 0 picks a free one.

    Returns:
        The server, which the caller closes, and the address of its start page.

    Raises:
        MissingError: when there is no database.
        InputError: when the database is another's, or the port is taken or not allowed.
    """
    with store.connect(db_path) as db:
        for table in store.TABLES:
            db.execute(f"select count(*) from {table}").fetchone()
    if not 0 <= port <= 65535:
        raise InputError(f"Port {port} is outside 0 to 65535.")
    try:
        portal = Portal(db_path, port)
    except OSError as error:
        raise InputError(
            f"Cannot listen on {HOST}:{port}: {error.strerror}.",
            "Choose another port, or --port 0 for a free one.",
        ) from error
    portal.start()
    return portal, portal.url


class _Refused(Exception):
    """A request that ends with an error page."""

    def __init__(self, status: int, title: str, text: str) -> None:
        super().__init__(text)
        self.response = pages.problem(status, title, text)


class _Handler(BaseHTTPRequestHandler):
    server: Portal
    protocol_version = "HTTP/1.1"
    server_version = "Payables"
    sys_version = ""
    # A client that stops sending must not hold a thread for ever.
    timeout = 30

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, format: str, *args: object) -> None:
        log.debug("%s %s", self.address_string(), format % args)

    def _answer(self, method: str) -> None:
        try:
            response = self._respond(method)
        except _Refused as refused:
            response = refused.response
            # What is left of the body is not read, so the connection cannot be used again.
            self.close_connection = True
        except Exception:
            log.exception("%s %s failed", method, self.path)
            response = pages.problem(500, "Error", "Something went wrong. Nothing was saved.")
        self._send(response)

    def _respond(self, method: str) -> Response:
        address = urlsplit(self.path)
        path = unquote(address.path)
        form = self._form() if method == "POST" else {}
        if method == "GET" and path.startswith("/static/"):
            return _static(path.removeprefix("/static/"))
        query = _fields(address.query)
        with store.connect(self.server.db_path) as db:
            if path == "/login":
                return self._login(db, method, form)
            clerk = self._clerk(db)
            if clerk is None:
                return pages.redirect("/login")
            if method == "POST" and not hmac.compare_digest(
                form.get("csrf", "").encode(), clerk.csrf.encode()
            ):
                return pages.problem(403, "Form expired", "Open the page again.", clerk)
            return _route(db, Request(method, path, query, form, clerk))

    def _form(self) -> dict[str, str]:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,9}", length):
            raise _Refused(411, "Bad request", "The length of the form is missing.")
        if int(length) > MAX_BODY_BYTES:
            raise _Refused(413, "Too large", "The form is too large.")
        body = self.rfile.read(int(length))
        try:
            return _fields(body.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise _Refused(400, "Bad request", "The form is not in UTF-8.") from error

    def _login(self, db: sqlite3.Connection, method: str, form: dict[str, str]) -> Response:
        if method == "GET":
            return pages.render("login.html", username="")
        username = form.get("username", "").strip()
        user = pages.sign_in(db, username, form.get("password", ""))
        if user is None:
            return pages.render(
                "login.html", status=401, username=username, errors=["User and password do not match."]
            )
        token = secrets.token_urlsafe(24)
        db.execute(
            "insert into sessions values (?, ?, ?)", (token, user["username"], secrets.token_urlsafe(24))
        )
        cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax"
        return pages.redirect("/", **{"Set-Cookie": cookie})

    def _clerk(self, db: sqlite3.Connection) -> Clerk | None:
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        except CookieError:
            return None
        if cookie is None:
            return None
        row = db.execute(
            "select u.username, u.name, s.csrf from sessions s join users u using (username) "
            "where s.token = ?",
            (cookie.value,),
        ).fetchone()
        return None if row is None else Clerk(row["username"], row["name"], row["csrf"])

    def _send(self, response: Response) -> None:
        body = response.body.encode("utf-8")
        self.send_response(response.status)
        for name, value in {**_SECURITY_HEADERS, **response.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            # The browser went on to another page before this one was sent.
            self.close_connection = True


def _fields(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=50))
    except ValueError as error:
        raise _Refused(400, "Bad request", "There are too many fields.") from error


def _static(name: str) -> Response:
    if name not in _STATIC_TYPES:
        return pages.problem(404, "Not found", "There is no such file.")
    return Response((_STATIC / name).read_text(encoding="utf-8"), content_type=_STATIC_TYPES[name])


def _route(db: sqlite3.Connection, request: Request) -> Response:
    for pattern, page, methods in pages.ROUTES:
        match = pattern.fullmatch(request.path)
        if match is None:
            continue
        if request.method not in methods:
            return pages.problem(405, "Not allowed", "This page takes no form.", request.clerk)
        return page(db, request, match[1])
    return pages.problem(404, "Not found", "There is no such page.", request.clerk)
