"""A hostile little application for live sessions: pages that hang, open windows, ask, and go away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from envgen.live import Start
from envgen.session import Score, Task
from ingest.action import Action

PAGES = {
    "/": """<h1>Desk</h1>
<button onclick="for(;;){}">Hang</button>
<button onclick="if (confirm('Sure?')) document.body.append('Confirmed')">Ask</button>
<a href="/other" target="_blank">Other</a> <a href="/other">Leave</a>
<button disabled>Closed</button>
<label>Note <input></label>
<label>Size <select><option>Small<option>Large</select></label>""",
    "/other": "<h1>Other window</h1><button onclick='window.close()'>Back</button>",
    "/login": """<h1>Sign in</h1><form action="/"><label>User <input name="u"></label>
<label>Password <input type="password" name="p"></label>
<button type="button" onclick="const said = this.form.p.value;
  if (said === 'right') location = '/';
  else if (said === 'slow') setTimeout(() => location = '/', 1000);
  else this.form.reset()">Go</button>
</form>""",
    "/wiped": """<h1>Sign in</h1><label>User <input id="u"
 oninput="if (!window.wiped) this.value = ''; window.wiped = true"></label>
<button onclick="if (u.value === 'ann') location = '/'">Go</button>""",
    "/once": """<h1>Sign in</h1><label>User <input id="u"></label>
<button onclick="location = sessionStorage.again ? '/' : '/once'; sessionStorage.again = 1">Go</button>""",
}


def task(number: int = 0) -> Task:
    return Task(
        id=f"desk/test/{number}",
        workflow="desk",
        split="test",
        seed=number,
        instruction="Work.",
        parameters={},
    )


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PAGES.get(self.path.split("?")[0], "").encode()
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def desk() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Desk:
    """The application over a running server. ``judge`` counts what it was asked."""

    def __init__(self, server: ThreadingHTTPServer, path: str = "/", sign_in: tuple[str, ...] = ()) -> None:
        self.server = server
        self.start = Start(
            f"http://127.0.0.1:{server.server_address[1]}{path}",
            tuple(Action.parse(line) for line in sign_in),
        )
        self.closed = False

    def begin(self, task: Task) -> Start:
        return self.start

    def judge(self, task: Task) -> Score:
        return Score(value=1.0)

    def close(self) -> None:
        self.closed = True
