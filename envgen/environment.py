"""The compiled workflow as an environment: resettable, seeded, in process.

::

    env = WorkflowEnv(workflow)
    view = env.reset(task)
    while not view.finished:
        view = env.step(env.next_action())
    env.score()

What the recordings do not show is answered honestly ("not modelled"), changes nothing and
is counted in :attr:`WorkflowEnv.unmodelled`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from envgen.disturbances import Overlay, check_disturbances, overlay_page
from envgen.expressions import evaluate
from envgen.generators import Generator, Instance, Record
from envgen.observe import Observer
from envgen.render import PageRenderer, Place, Rendered
from envgen.replies import field_of, refusal
from envgen.session import Score, Task, View
from envgen.state import Facts, State, StateContext, Write
from envgen.teacher import Teacher
from envgen.verifier import Expectation, judge, milestones
from envgen.workflow import Control, Exit, ListView, Outcome, Workflow, remembered
from fde.errors import InputError
from ingest.action import CHECKABLE_ROLES, FILLABLE_ROLES, SELECTABLE_ROLES, Action, Target

NOT_MODELLED = "Not modelled: no recording shows what this does."
_MAX_STEPS_FACTOR = 3


class WorkflowEnv:
    """One workflow's environment; implements :class:`envgen.session.Teacher`.

    Args:
        workflow: The compiled workflow.
        max_steps: Actions until the episode is ended; by default three times the longest recording.
    """

    def __init__(self, workflow: Workflow, *, max_steps: int | None = None) -> None:
        self.workflow = workflow
        self.max_steps = max_steps or max(20, _MAX_STEPS_FACTOR * workflow.longest)
        self._facts = Facts(workflow)
        self._generator = Generator(workflow)
        self._renderers = {page.id: PageRenderer(page) for page in workflow.pages}
        self._teacher = Teacher(self._facts)
        self._remembered = remembered(workflow)
        self._instances: dict[tuple[int, str], Instance] = {}
        self._expectations: dict[int, Expectation] = {}
        self._task: Task | None = None

    # The session

    def reset(self, task: Task) -> View:
        """Begin a task in its fresh state. The same task gives the same state."""
        if task.workflow != self.workflow.name:
            raise InputError(f"Task {task.id} is of the workflow {task.workflow}, not {self.workflow.name}.")
        check_disturbances(task.disturbances)
        key = (task.seed, task.split)
        instance = self._instances.get(key)
        if instance is None:
            if len(self._instances) > 512:
                self._instances.clear()
                self._expectations.clear()
            instance = self._generator.instance(task.seed, task.split)
            self._instances[key] = instance
        return self.begin(task, instance)

    def begin(self, task: Task, instance: Instance) -> View:
        """Begin a task in a given instance (a recording's own values, for instance)."""
        self._task = task
        self._instance = instance
        self._disturbed = frozenset(task.disturbances)
        self._start()
        self._expected = self._expectation(task, instance)
        self._observer = Observer(self._remembered)
        text = self._observer.first(self._page.page)
        return self._view(text, fresh=True)

    def _start(self) -> None:
        self.state = State(self.workflow.start, self._ordered(self._instance))
        self._context = StateContext(self._facts, self._instance, self.state, self.rows_of)
        self._overlay = Overlay.of(self._disturbed, self._instance.seed)
        self._arrive(self.workflow.start)
        self._look()

    def _ordered(self, instance: Instance) -> Mapping[str, Mapping[str, Record]]:
        if "rows" not in self._disturbed:
            return instance.records
        rng = random.Random(f"rows {instance.seed}")
        found = {}
        for entity, records in instance.records.items():
            items = list(records.items())
            rng.shuffle(items)
            found[entity] = dict(items)
        return found

    def _expectation(self, task: Task, instance: Instance) -> Expectation:
        """What the program writes in a fresh copy without disturbances; made once per instance."""
        known = self._expectations.get(id(instance))
        if known is not None and known.instance is instance:
            return known
        copy = self._shell()
        copy._instance, copy._disturbed = instance, frozenset()
        copy._start()
        for _ in range(self.max_steps):
            action = copy.next_action()
            if action is None:
                break
            copy._apply(action)
            if copy.state.done:
                break
        found = Expectation(
            instance,
            copy.state.writes,
            copy.state.answer,
            copy.state.done,
            copy.state.visited,
            copy.state.steps,
        )
        self._expectations[id(instance)] = found
        return found

    def _shell(self) -> WorkflowEnv:
        """An environment of the same workflow that shares everything that never changes."""
        other = WorkflowEnv.__new__(WorkflowEnv)
        for name in ("workflow", "max_steps", "_facts", "_generator", "_renderers", "_teacher", "_instances",
                     "_expectations", "_task", "_remembered"):  # fmt: skip
            setattr(other, name, getattr(self, name))
        return other

    def step(self, action: Action) -> View:
        """Act. What names nothing on the page changes nothing and is answered."""
        if self._task is None:
            raise InputError("No task has begun.", "Call reset(task) first.")
        if self.state.done or self.state.steps >= self.max_steps:
            return self._view("", fresh=False)
        message = self._apply(action)
        text = self._observer.next(self._page.page, acted_on=field_of(action), message=message)
        return self._view(text, fresh=self._observer.fresh)

    def score(self) -> Score:
        """Judge the changes made so far, see :func:`envgen.verifier.judge`."""
        return judge(self.workflow, self._expected, self.state)

    def close(self) -> None:
        """Nothing is held."""

    # The teacher

    def next_action(self) -> Action | None:
        """The compiled program's action in the present state, None when it is stuck."""
        if self.state.overlay:
            return Action(verb="click", target=Target(role="button", name=self._overlay.button))
        return self._teacher.next_action(self)

    def clone(self) -> WorkflowEnv:
        """An independent copy of the episode as it is now."""
        other = self._shell()
        for name in ("_instance", "_disturbed", "_expected", "_overlay"):
            setattr(other, name, getattr(self, name))
        other.state = self.state.copy()
        other._context = StateContext(self._facts, self._instance, other.state, other.rows_of)
        other._observer = self._observer.clone()
        other._page = self._page
        return other

    def retarget(self, instance: Instance) -> None:
        """Make the program work for another instance from here on; what is judged stays."""
        self._instance = instance
        self._context = StateContext(self._facts, instance, self.state, self.rows_of)

    @property
    def unmodelled(self) -> int:
        """Actions of this episode that no recording shows the result of."""
        return self.state.unmodelled

    @property
    def instance(self) -> Instance:
        return self._instance

    @property
    def expected(self) -> Expectation:
        """What right work changes in this task."""
        return self._expected

    @property
    def context(self) -> StateContext:
        return self._context

    @property
    def rendered(self) -> Rendered:
        """The page as it is now, with where everything on it comes from."""
        return self._page

    # Looking

    def _view(self, text: str, *, fresh: bool) -> View:
        finished = self.state.done or self.state.steps >= self.max_steps
        return View(
            page=self._page.page,
            text=text,
            fresh=fresh,
            finished=finished,
            potential=milestones(self._facts, self._expected, self.state),
        )

    def _look(self) -> None:
        rendered = self._renderers[self.state.page].render(self)
        if "fields" in self._disturbed:
            from envgen.disturbances import reorder_fields

            rendered = Rendered(reorder_fields(rendered.page, self._instance.seed), rendered.index)
        if self.state.overlay:
            rendered = overlay_page(rendered, self._overlay)
        self._page = rendered

    def slot(self, page: str, slot: str) -> str:
        """The text of a slot outside rows."""
        told = self.state.message_slots.get(slot)
        if told is not None:
            return told
        name = self._facts.fields[page].get(slot)
        model = self._facts.pages[page]
        if name is not None or slot == model.key_slot:
            key = self.state.bound.get(model.entity)
            if key is None:
                return ""
            if slot == model.key_slot:
                return key
            return self.state.records[model.entity].get(key, {}).get(name or "", "")
        source = self._facts.sources[page].get(slot)
        return "" if source is None else evaluate(source, self._context) or ""

    def present(self, page: str, part: str) -> bool:
        """Whether an optional node, or a state of a node, is there."""
        if part in self.state.messages:
            return True
        if part in self._facts.pages[page].messages:
            return False
        for view in self._facts.lists[page].values():
            if part == view.next:
                return self._position(page, view)[1] + self._size(view) < len(self.matching(page, view))
            if part == view.previous:
                return self._position(page, view)[1] > 0
        condition = self._facts.conditions[page].get(part)
        return condition is None or evaluate(condition, self._context) == "yes"

    def entered_in(self, control: Control) -> str:
        return self.state.drafts.get(control.id, "")

    def options_in(self, control: Control) -> tuple[str, ...]:
        if not control.options_by:
            return control.options
        by = self.state.drafts.get(control.options_by, "")
        return next((options for value, options in control.options_for if value == by), control.options)

    def rows_of(self, page: str, rows: str) -> list[tuple[str, dict[str, str]]]:
        view = self._facts.lists[page].get(rows)
        if view is None:
            return []
        offset = self._position(page, view)[1]
        keys = self.matching(page, view)[offset : offset + self._size(view)]
        records = self.state.records[view.entity]
        return [(key, {slot: records[key].get(name, "") for slot, name in view.fields}) for key in keys]

    def _position(self, page: str, view: ListView) -> tuple[str, int]:
        return self.state.lists.get(f"{page}.{view.rows}", ("", 0))

    @staticmethod
    def _size(view: ListView) -> int:
        return view.page_size or 10_000

    def matching(self, page: str, view: ListView) -> list[str]:
        """Keys of the records a list shows for the present query, over all its pages."""
        query = self._position(page, view)[0].strip().lower()
        records = self.state.records.get(view.entity, {})
        if not query:
            return list(records)
        return [
            key for key, record in records.items()
            if any(query in record.get(name, "").lower() for name in view.search_fields)
        ]  # fmt: skip

    # Acting

    def _apply(self, action: Action) -> str:
        """Carry out an action on the state and look again; what the agent is told about it."""
        state = self.state
        state.steps += 1
        if action.verb == "done":
            state.done, state.answer = True, action.value
            return ""
        if action.verb == "goto":
            state.unmodelled += 1
            return NOT_MODELLED
        if action.verb == "press":
            return self._press(action)
        place = None if action.target is None else self._find(action.target)
        if place is None or action.target is None or place.disabled:
            return refusal(self._page.page, action) or NOT_MODELLED
        if state.overlay:
            state.overlay = ""
            self._look()
            return ""
        control = self._facts.controls.get(f"{state.page}.{place.node}")
        if control is not None:
            if not self._enter(control, action):
                return refusal(self._page.page, action)
            self._look()
            return ""
        if action.verb != "click":
            return refusal(self._page.page, action) or NOT_MODELLED
        message = self._click(place, action.target.name)
        self._look()
        return message

    def _find(self, target: Target) -> Place | None:
        places = self._page.index.get((target.role, target.name), ())
        if target.row is not None:
            places = [place for place in places if place.row_label == target.row]
        return places[target.nth - 1] if len(places) >= target.nth else None

    def _enter(self, control: Control, action: Action) -> bool:
        """Put a value into a control; False when the control does not take it."""
        state = self.state
        verb, value = action.verb, action.value or ""
        if verb == "fill" and control.role in FILLABLE_ROLES:
            new = " ".join(value.split()) if "\n" in value else value
        elif verb == "select" and control.role in SELECTABLE_ROLES:
            if value not in self.options_in(control):
                return False
            new = value
        elif control.role in CHECKABLE_ROLES and verb in ("check", "uncheck", "click"):
            on = state.drafts.get(control.id, "") == "on"
            new = "off" if verb == "uncheck" or (verb == "click" and on and control.role != "radio") else "on"
        else:
            return verb == "click"
        state.drafts[control.id] = new
        state.last_control = control.id
        if control.role == "radio" and new == "on":
            self._one_of(control)
        if control.refreshes:
            state.messages = frozenset()
            state.message_slots = {}
        self._dependents(control)
        return True

    def _one_of(self, control: Control) -> None:
        """Radio buttons of a page side by side exclude each other."""
        for other in self._facts.pages[self.state.page].controls:
            if other.role == "radio" and other.id != control.id:
                self.state.drafts[other.id] = "off"

    def _dependents(self, control: Control) -> None:
        """Choices that are no longer offered are gone."""
        for other in self._facts.pages[self.state.page].controls:
            chosen = self.state.drafts.get(other.id) if other.options_by == control.id else None
            if chosen and chosen not in self.options_in(other):
                self.state.drafts[other.id] = ""

    def _press(self, action: Action) -> str:
        page = self._facts.pages[self.state.page]
        if action.value == "Enter":
            for view in page.lists:
                if view.search_control and self.state.last_control == f"{page.id}.{view.search_control}":
                    self._search(page.id, view)
                    self._look()
                    return ""
            for found in page.exits:
                if found.verb == "press" or any(o.write for o in found.outcomes):
                    message = self._leave(found, Place(found.node), found.label)
                    self._look()
                    return message
        self.state.unmodelled += 1
        return NOT_MODELLED

    def _click(self, place: Place, name: str) -> str:
        page = self._facts.pages[self.state.page]
        for view in page.lists:
            query, offset = self._position(page.id, view)
            size = self._size(view)
            if place.node and place.node == view.search_button:
                self._search(page.id, view)
                return ""
            if place.node and place.node in (view.next, view.previous):
                step = size if place.node == view.next else -size
                self.state.lists[f"{page.id}.{view.rows}"] = (query, max(0, offset + step))
                self._see_rows()
                return ""
        found = self._facts.exits[page.id].get((place.node, "click"))
        if found is None:
            self.state.unmodelled += 1
            return NOT_MODELLED
        return self._leave(found, place, name)

    def _search(self, page: str, view: ListView) -> None:
        query = self.state.drafts.get(f"{page}.{view.search_control}", "")
        self.state.lists[f"{page}.{view.rows}"] = (query, 0)
        self.state.messages, self.state.message_slots = frozenset(), {}
        self._see_rows()

    def _leave(self, found: Exit, place: Place, name: str) -> str:
        outcome = self._outcome(found)
        state = self.state
        if outcome.write or (outcome.page == state.page and outcome.shows):
            blocked = self._blocked(outcome)
            if blocked is not None:
                return blocked
        if outcome.write and self._overlay.refuses(state):
            return self._injected(outcome)
        target = self._facts.pages[outcome.page]
        key = state.bound.get(target.entity, "")
        if outcome.record == "row":
            key = place.row
        elif outcome.record == "link":
            key = name
        if target.entity and key not in state.records.get(target.entity, {}):
            state.unmodelled += 1
            return NOT_MODELLED
        if outcome.write:
            self._write(outcome.write)
        if outcome.page == state.page and outcome.shows and not outcome.write:
            state.messages = frozenset(outcome.shows)
            self._say(outcome)
            return ""
        state.submitted = state.drafts if state.drafts else state.submitted
        if target.entity:
            state.bound[target.entity] = key
        self._arrive(outcome.page)
        state.messages = frozenset(outcome.shows)
        self._say(outcome)
        return ""

    def _outcome(self, found: Exit) -> Outcome:
        for outcome in found.outcomes:
            if outcome.hidden and outcome.hidden in self._instance.hidden and self._strikes(outcome.hidden):
                # What the form itself lacks is said before what nobody can know.
                index = None if found.decision is None else evaluate(found.decision, self._context)
                plain = found.outcomes[int(index)] if index is not None else None
                if plain is None or plain.write or not plain.shows:
                    return outcome
                return plain
        if found.decision is not None:
            index = evaluate(found.decision, self._context)
            if index is not None:
                return found.outcomes[int(index)]
        return next((o for o in found.outcomes if not o.hidden), found.outcomes[0])

    def _strikes(self, name: str) -> bool:
        hidden = self._facts.hidden[name]
        if not hidden.control:
            if name in self.state.tripped:
                return False
            self.state.tripped |= {name}
            return True
        entered = self.state.drafts.get(hidden.control, "")
        accepted = evaluate(hidden.accepted, self._context)
        return accepted is None or entered != accepted

    def _blocked(self, outcome: Outcome) -> str | None:
        """What is said when a form cannot be sent because a field is empty; None when it can."""
        page = self._facts.pages[self.state.page]
        for control in page.controls:
            if not (control.optional_node and not self.present(page.id, control.node)):
                empty = self.state.drafts.get(control.id, "") in ("", "off")
                if empty and control.required:
                    # The browser itself keeps the form back; the page says nothing.
                    return ""
                if empty and not control.sometimes_empty and outcome.write:
                    self.state.unmodelled += 1
                    return f"{NOT_MODELLED} Nobody sent this form with “{control.label}” empty."
        return None

    def _injected(self, outcome: Outcome) -> str:
        """A disturbance: the submission is refused once and a field has to be entered again."""
        lost = self._overlay.refuse(self.state, self._facts.pages[self.state.page])
        return (
            f"! The form was not saved. “{lost}” was not received: enter it again."
            if lost
            else "! Try again."
        )

    def _write(self, kind: str) -> None:
        state = self.state
        model = self._facts.writes[kind]
        key = state.bound.get(model.entity, "")
        labels = self._facts.controls
        values = tuple(
            (labels[c].label, _sent(state.drafts.get(c, "")))
            for c in model.controls
            if self.present(model.page, labels[c].node) or not labels[c].optional_node
        )
        state.writes = (*state.writes, Write(kind, model.entity, key, values))
        changes = {name: evaluate(expression, self._context) for name, expression in model.updates}
        if changes and model.entity and key in state.records[model.entity]:
            record = {
                **state.records[model.entity][key],
                **{n: t for n, t in changes.items() if t is not None},
            }
            state.records = {**state.records, model.entity: {**state.records[model.entity], key: record}}

    def _arrive(self, page: str) -> None:
        """Open a page anew: initial values in its form, lists from their beginning."""
        state = self.state
        model = self._facts.pages[page]
        state.page = page
        state.drafts = {}
        state.message_slots = {}
        for control in model.controls:
            value = "" if control.initial is None else evaluate(control.initial, self._context) or ""
            state.drafts[control.id] = value or ("off" if control.role in CHECKABLE_ROLES else "")
        for view in model.lists:
            state.lists[f"{page}.{view.rows}"] = ("", 0)
        key = state.bound.get(model.entity, "") if model.entity else ""
        state.visited |= {(page, key)}
        self._see_rows()
        state.arrivals += 1
        if self._overlay.due(state):
            state.overlay = "open"

    def _see_rows(self) -> None:
        """Remember which records' rows were on the screen: what they say is known from now on."""
        page = self.state.page
        seen = {
            (f"{page}.{view.rows}", key)
            for view in self._facts.pages[page].lists
            for key, _ in self.rows_of(page, view.rows)
        }
        if seen:
            self.state.visited |= seen

    def _say(self, outcome: Outcome) -> None:
        """Fill in the messages that appear, and remember that they were seen."""
        state = self.state
        page = self._facts.pages[outcome.page]
        wanted = set(outcome.shows)
        for node in page.template.walk():
            if node.id not in wanted:
                continue
            state.told[page.id, node.id] = "shown"
            for slot in node.slots():
                text = self.slot(page.id, slot)
                state.message_slots[slot] = text
                state.told[page.id, slot] = text


def _sent(value: str) -> str:
    return "" if value == "off" else value
