"""A hostile little application for live sessions: pages that hang, open windows, ask, and go away."""

from __future__ import annotations

from contextlib import AbstractContextManager

from local_server import Handler, listening

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


class _Pages(Handler):
    def do_GET(self) -> None:
        body = PAGES.get(self.path.split("?")[0], "")
        self.answer(200 if body else 404, body)


def desk() -> AbstractContextManager[int]:
    """The port of the running application."""
    return listening(_Pages)


class Desk:
    """The application at a port. ``judge`` counts what it was asked."""

    def __init__(self, port: int, path: str = "/", sign_in: tuple[str, ...] = ()) -> None:
        self.start = Start(
            f"http://127.0.0.1:{port}{path}",
            tuple(Action.parse(line) for line in sign_in),
        )
        self.closed = False

    def begin(self, task: Task) -> Start:
        return self.start

    def judge(self, task: Task) -> Score:
        return Score(value=1.0)

    def close(self) -> None:
        self.closed = True
