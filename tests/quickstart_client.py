"""A browser-less client of the sample portal, for tests."""

from __future__ import annotations

import html
import http.client
import re
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from playbooks.quickstart import company


@dataclass(frozen=True)
class Page:
    """An answer of the portal."""

    status: int
    path: str
    body: str
    headers: dict[str, str]

    @property
    def alert(self) -> str:
        return self._role("alert")

    @property
    def confirmation(self) -> str:
        return self._role("status")

    def _role(self, role: str) -> str:
        found = re.search(rf'<p role="{role}">(.*?)</p>', self.body, re.S)
        return html.unescape(found[1]) if found else ""

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([^"]*)"', self.body)
        return found[1] if found else ""

    @property
    def links(self) -> dict[str, str]:
        pairs = re.findall(r'<a[^>]* href="([^"]*)">([^<]*)</a>|<a href="([^"]*)">([^<]*)</a>', self.body)
        return {html.unescape(b or d): html.unescape(a or c) for a, b, c, d in pairs}

    def options(self, field: str) -> list[str]:
        """The choices of a select, without the empty one."""
        found = re.search(rf'<select id="{field}".*?</select>', self.body, re.S)
        return re.findall(r"<option(?: selected)?>([^<]+)</option>", found[0]) if found else []

    def chosen(self, field: str) -> str:
        found = re.search(rf'<select id="{field}".*?</select>', self.body, re.S)
        selected = re.search(r"<option selected>([^<]+)</option>", found[0]) if found else None
        return selected[1] if selected else ""


class Client:
    """Keeps the cookie and follows redirects, as a browser does."""

    def __init__(self, url: str) -> None:
        self.host = urlsplit(url).netloc
        self.cookie = ""

    def request(
        self,
        method: str,
        path: str,
        form: dict[str, str] | None = None,
        *,
        follow: bool = True,
        raw: bytes | None = None,
    ) -> Page:
        connection = http.client.HTTPConnection(self.host, timeout=10)
        body = raw if raw is not None else urlencode(form).encode() if form is not None else None
        headers = {"Cookie": self.cookie} if self.cookie else {}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.getheader("Set-Cookie"):
            self.cookie = str(answer.getheader("Set-Cookie")).partition(";")[0]
        if follow and answer.status == 303:
            return self.request("GET", str(answer.getheader("Location")))
        return Page(answer.status, path, text, dict(answer.getheaders()))

    def get(self, path: str) -> Page:
        return self.request("GET", path)

    def sign_in(self) -> Page:
        return self.request(
            "POST", "/login", {"username": company.CLERKS[0].user, "password": company.PASSWORD}
        )

    def submit(self, path: str, **form: str) -> Page:
        """Open the form at ``path``, fill it in and send it."""
        page = self.get(path)
        return self.request("POST", path, {"csrf": page.csrf, **form})
