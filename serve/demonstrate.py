"""Work done by someone else (an expert's recording, a compiled program) as the agent's own conversation.

The conversation is laid out exactly as the agent would have had it, with every
choice marked, so that demonstrations train the same decisions that are sampled
later, and worked examples in a prompt look like the task that follows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from envgen.session import Session, Task, View
from fde.errors import WorkError
from ingest.action import Action
from serve.agent import MAX_ACTIONS
from serve.episodes import Decision, Episode, Group, Segment, Stop
from serve.grammar import Cursor, Grammar
from serve.prompt import Prompt, opening


def demonstrate(
    grammar: Grammar, prompt: Prompt, session: Session, task: Task, actions: Iterable[Action] | None = None
) -> Group:
    """Do a task by given actions and lay the conversation out as tokens.

    Args:
        actions: What to do; None asks the session (a :class:`envgen.session.Teacher`) each time.

    Returns:
        A group of one episode; its decisions have log-probability 0 (nobody sampled them).

    Raises:
        WorkError: when the session's teacher is stuck, or never done.
    """
    view = session.reset(task)
    group = Group(task, [], [Episode(task, 0)])
    _open_scene(group, prompt, view)
    for action, before, view in _steps(session, view, task, actions):  # noqa: B020 - the latest view counts
        _say(grammar, group, before, action.text())
        if view.finished or action.verb == "done":
            break
        if view.fresh:
            _open_scene(group, prompt, view)
            continue
        if view.text:
            _told(group, prompt.next_tokens(view.text))
        group.segments[-1].potentials.append((len(group.segments[-1].tokens), view.potential))
    episode = group.episodes[0]
    episode.score, episode.potential, episode.stop = session.score(), view.potential, Stop.DONE
    return group


def _open_scene(group: Group, prompt: Prompt, view: View) -> None:
    index = len(group.segments)
    group.segments.append(Segment(index - 1, 0, (0,), fresh=True))
    group.episodes[0].path.append(index)
    text = opening(group.task.instruction, view.text)
    _told(group, prompt.shared_tokens() + prompt.first_tokens(text))
    group.segments[-1].potentials.append((len(group.segments[-1].tokens), view.potential))


def _told(group: Group, tokens: list[int]) -> None:
    group.segments[-1].tokens.extend(tokens)
    group.episodes[0].prompt_tokens += len(tokens)


def messages(
    session: Session, task: Task, actions: Iterable[Action] | None = None
) -> list[list[dict[str, str]]]:
    """The same as chat messages, scene by scene (user and assistant in turn), for worked examples."""
    view = session.reset(task)
    scenes = [[{"role": "user", "content": opening(task.instruction, view.text)}]]
    for action, _, view in _steps(session, view, task, actions):  # noqa: B020 - the latest view counts
        talk = scenes[-1]
        if talk[-1]["role"] == "assistant":
            talk[-1]["content"] += action.text() + "\n"
        else:
            talk.append({"role": "assistant", "content": action.text() + "\n"})
        if view.finished or action.verb == "done":
            break
        if view.fresh:
            scenes.append([{"role": "user", "content": opening(task.instruction, view.text)}])
        elif view.text:
            talk.append({"role": "user", "content": view.text})
    return scenes


def _steps(
    session: Session, view: View, task: Task, actions: Iterable[Action] | None
) -> Iterator[tuple[Action, View, View]]:
    for action in _taught(session, task) if actions is None else actions:
        before, view = view, session.step(action)
        yield action, before, view


def _taught(session: Session, task: Task) -> Iterator[Action]:
    for _ in range(MAX_ACTIONS):
        action = session.next_action()  # type: ignore[attr-defined]  # a Teacher, by the caller's word
        if action is None:
            raise WorkError(
                f"The compiled program is stuck in task {task.id}.",
                "Look at the workflow with: fde envgen show",
            )
        yield action
    raise WorkError(f"The compiled program did not finish task {task.id} in {MAX_ACTIONS} actions.")


def _say(grammar: Grammar, group: Group, view: View, line: str) -> None:
    segment, episode = group.segments[-1], group.episodes[0]
    root, tokens = grammar.with_line(view.page, line)
    cursor = Cursor(grammar, root)
    for token in tokens:
        allowed = cursor.allowed()
        if len(allowed) != 1:
            segment.decisions.append(Decision(len(segment.tokens), allowed, token, 0.0, 0.0))
        cursor.take(token)
        segment.tokens.append(token)
    episode.said_tokens += len(tokens)
    episode.actions.append(line)
