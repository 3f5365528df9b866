"""Acting on the replica: what each action does to the state, and what is said about it."""

from __future__ import annotations

from envgen.application import Application, Look, size
from envgen.expressions import evaluate
from envgen.rearranging import not_modelled, rearrange, set_list
from envgen.render import Place
from envgen.replies import NOT_MODELLED, refusal
from envgen.rows import Row
from envgen.state import Write, in_row, of_row
from envgen.workflow import Control, Exit, ListView, Outcome, WriteKind
from ingest.action import CHECKABLE_ROLES, SELECTABLE_ROLES, Action, Target


def act(app: Application, look: Look, action: Action) -> str:
    """Carry out an action on the state; what the agent is told about it.

    Args:
        look: The page as the state shows it now.
    """
    state, page = app.state, look.rendered.page
    state.steps += 1
    if action.verb == "done":
        state.done, state.answer = True, action.value
        return ""
    if action.verb == "goto":
        return not_modelled(app)
    if action.verb == "press":
        return _press(app, action)
    place = None if action.target is None else _find(look, action.target)
    if place is None or action.target is None or place.disabled:
        return refusal(page, action) or NOT_MODELLED
    if state.overlay:
        covered, state.overlay = state.overlay, app.overlay.dismissed(state.overlay)
        if covered == "expired":
            # What was entered and not sent is lost; what was sent stays.
            state.bound, state.submitted = {}, {}
            state.messages = frozenset()
            app.arrive(app.facts.workflow.start)
        return ""
    control = app.facts.controls.get(f"{state.page}.{place.node}")
    if control is not None:
        taken = _enter(app, control, place, action)
        for view in app.facts.pages[state.page].lists if taken else ():
            if view.search_control == control.node and not view.search_button:
                _search(app, state.page, view)
                return ""
        return rearrange(app, control.node) if taken else refusal(page, action)
    if action.verb != "click":
        return refusal(page, action) or NOT_MODELLED
    return _click(app, place, action.target.name)


def _find(look: Look, target: Target) -> Place | None:
    wanted, nth = (target.role, target.name), target.nth
    for name, place in look.rendered.named:
        if name == wanted and (target.row is None or place.row_label == target.row):
            nth -= 1
            if not nth:
                return place
    return None


# Entering


def _enter(app: Application, control: Control, place: Place, action: Action) -> bool:
    """Put a value into a control; False when the control does not take it."""
    state = app.state
    draft = in_row(control.id, place.row)
    verb, value = action.verb, action.value or ""
    if control.suggests is not None:
        picked = value if verb == "select" else action.target.name if action.target is not None else ""
        if verb not in ("select", "click") or picked not in app.options_in(control):
            return False
        state.drafts |= {control.id: picked, control.suggests.field: picked}
        state.last_control = control.suggests.field
        return True
    if verb == "fill" and control.typed:
        new = " ".join(value.split()) if "\n" in value else value
    elif verb == "select" and control.role in SELECTABLE_ROLES:
        if value not in app.options_in(control):
            return False
        new = value
    elif control.role in CHECKABLE_ROLES and verb in ("check", "uncheck", "click"):
        if control.role == "radio" and verb == "uncheck":
            return False
        on = state.drafts.get(draft, "") == "on"
        new = "off" if verb == "uncheck" or (verb == "click" and on and control.role != "radio") else "on"
    else:
        return verb == "click"
    state.drafts[draft] = new
    state.last_control = draft
    if control.role == "radio" and new == "on":
        _one_of(app, control, draft)
    if control.refreshes:
        state.messages = frozenset()
        state.message_slots = {}
    _dependents(app, control)
    return True


def _one_of(app: Application, control: Control, chosen: str) -> None:
    """Radio buttons of a group exclude each other, and so do those that a list's rows have one each of."""
    group = {control.id, *app.facts.choices.get(control.id, ())}
    for draft in app.state.drafts:
        if draft != chosen and of_row(draft)[0] in group:
            app.state.drafts[draft] = "off"


def _dependents(app: Application, control: Control) -> None:
    """Choices that are no longer offered are gone."""
    for other in app.facts.dependents.get(control.id, ()):
        chosen = app.state.drafts.get(other.id)
        if chosen and chosen not in app.options_in(other):
            app.state.drafts[other.id] = ""


# Leaving


def _press(app: Application, action: Action) -> str:
    page = app.facts.pages[app.state.page]
    if action.value == "Enter":
        for view in page.lists:
            if view.search_control and app.state.last_control == f"{page.id}.{view.search_control}":
                _search(app, page.id, view)
                return ""
        for found in page.exits:
            if found.verb == "press" or any(o.write for o in found.outcomes):
                return _leave(app, found, Place(found.node), found.label)
    return not_modelled(app)


def _click(app: Application, place: Place, name: str) -> str:
    page = app.facts.pages[app.state.page]
    for view in page.lists:
        if place.node and place.node == view.search_button:
            _search(app, page.id, view)
            return ""
        if place.node and place.node in (view.next, view.previous):
            step = size(view) if place.node == view.next else -size(view)
            arranged = app.arranged(page.id, view)
            set_list(app, view, arranged._replace(offset=max(0, arranged.offset + step)))
            return ""
    if place.node in app.facts.arranging[page.id]:
        return rearrange(app, place.node)
    found = app.facts.exits[page.id].get((place.node, "click"))
    return not_modelled(app) if found is None else _leave(app, found, place, name)


def _search(app: Application, page: str, view: ListView) -> None:
    query = app.state.drafts.get(f"{page}.{view.search_control}", "")
    arranged = app.arranged(page, view)._replace(query=query, offset=0)
    set_list(app, view, arranged._replace(sort=-1, clicks=0) if view.begins_anew else arranged)
    app.state.messages, app.state.message_slots = frozenset(), {}
    rearrange(app, view.search_button)


def _leave(app: Application, found: Exit, place: Place, name: str) -> str:
    state = app.state
    outcome = _outcome(app, found)
    if outcome.write or (outcome.page == state.page and outcome.shows):
        blocked = _blocked(app, outcome)
        if blocked is not None:
            return blocked
    if outcome.write and (why := app.overlay.refuses(state)):
        return _changed_meanwhile(app) if why == "stale" else _injected(app)
    target = app.facts.pages[outcome.page]
    key = state.bound.get(target.entity, "")
    if outcome.record == "row":
        key = place.row
    elif outcome.record == "link":
        key = name
    elif outcome.record in ("next", "previous"):
        key = app.turned(target, outcome.record == "next") or ""
    if target.entity and key not in state.records.get(target.entity, {}):
        return not_modelled(app)
    if outcome.write:
        _write(app, outcome.write, place.row)
    if outcome.page == state.page and (outcome.shows or outcome.keeps) and not outcome.write:
        state.messages = frozenset(outcome.shows)
        _say(app, outcome)
        return ""
    another = target.entity and key != state.bound.get(target.entity)
    state.submitted = state.drafts if another else state.submitted | state.drafts
    if target.entity:
        state.bound[target.entity] = key
    view = app.facts.lists[outcome.page].get(place.rows)
    turned = None if view is None or not view.stays else app.arranged(outcome.page, view)
    app.arrive(outcome.page)
    if view is not None and turned is not None:
        # A page of which the last row has gone is not shown any more.
        left = len(app.matching(outcome.page, view))
        offset = max(0, min(turned.offset, (left - 1) // size(view) * size(view)))
        set_list(app, view, app.arranged(outcome.page, view)._replace(query=turned.query, offset=offset))
    state.messages = frozenset(outcome.shows)
    _say(app, outcome)
    return ""


def _outcome(app: Application, found: Exit) -> Outcome:
    for outcome in found.outcomes:
        if outcome.hidden and outcome.hidden in app.instance.hidden and _strikes(app, outcome.hidden):
            # What the form itself lacks is said before what nobody can know.
            index = None if found.decision is None else evaluate(found.decision, app.context)
            plain = found.outcomes[int(index)] if index is not None else None
            if plain is None or plain.write or not plain.shows:
                app.state.struck = True
                return outcome
            return plain
    if found.decision is not None:
        index = evaluate(found.decision, app.context)
        if index is not None:
            return found.outcomes[int(index)]
    return next((o for o in found.outcomes if not o.hidden), found.outcomes[0])


def _strikes(app: Application, name: str) -> bool:
    """Whether a hidden refusal strikes now: the record that the task names, no other one.

    What would happen to another record nobody showed. That its change goes through is what a verifier
    has to see.
    """
    hidden = app.facts.hidden[name]
    entity = app.facts.pages[app.state.page].entity
    named = [app.instance.parameters.get(root) for root, of in app.instance.roots.items() if of == entity]
    if named and app.state.bound.get(entity) not in named:
        return False
    if not hidden.control:
        if name in app.state.tripped:
            return False
        app.state.tripped |= {name}
        return True
    entered = app.state.drafts.get(hidden.control, "")
    accepted = evaluate(hidden.accepted, app.context)
    return accepted is None or not app.facts.same(hidden.control, entered, accepted)


def _blocked(app: Application, outcome: Outcome) -> str | None:
    """What is said when a form cannot be sent because a field is empty; None when it can."""
    page = app.facts.pages[app.state.page]
    for control in page.controls:
        if control.id in app.facts.row_controls:
            continue
        if not (control.optional_node and not app.present(page.id, control.node)):
            empty = app.state.drafts.get(control.id, "") in ("", "off")
            if empty and control.required:
                # The browser itself keeps the form back; the page says nothing.
                return ""
            if outcome.write and not empty and _to_be_picked(app, control):
                return f"{not_modelled(app)} Nobody sent this form without picking “{control.label}”."
            if empty and not control.sometimes_empty and outcome.write:
                return f"{not_modelled(app)} Nobody sent this form with “{control.label}” empty."
    return None


def _to_be_picked(app: Application, control: Control) -> bool:
    """Whether what was typed into a field has to be picked from a list, and was not."""
    given = app.facts.suggests.get(control.id)
    only = given is not None and given.suggests is not None and given.suggests.only
    return only and app.typed_only(control.id)


def _injected(app: Application) -> str:
    """A disturbance: the submission is refused once and a field has to be entered again."""
    lost = app.overlay.refuse(app.state, app.facts.pages[app.state.page])
    return f"! The form was not saved. “{lost}” was not received: enter it again." if lost else "! Try again."


def _changed_meanwhile(app: Application) -> str:
    """A disturbance: somebody else changed the record, so nothing is saved and the form begins anew."""
    app.state.tripped |= {"stale"}
    app.state.messages = frozenset()
    app.arrive(app.state.page)
    return "! Somebody else changed this record in the meantime. Nothing was saved; the form was loaded anew."


def _write(app: Application, kind: str, row: str) -> None:
    """Make a change; ``row``: the key of the record whose row was clicked in."""
    state = app.state
    model = app.facts.writes[kind]
    key = row if model.rows else state.bound.get(model.entity, "")
    values = app.facts.sent(kind, key, state.drafts, lambda node: app.present(model.page, node))
    earlier = [w for w in state.writes if not (model.again and (w.kind, w.key) == (kind, key))]
    state.writes = (*earlier, Write(kind, model.entity, key, values))
    for entity, changed in _changed(app, model, key):
        if changed not in state.records.get(entity, {}):
            continue
        state.gone |= {(kind, changed)}
        entered = {
            c: state.drafts.get(in_row(c, changed), "") for c in model.controls if c in app.facts.row_controls
        }
        record = state.records[entity][changed]
        context = Row(app.context, entity, record, entered)
        changes = {
            name: text
            for name, expression in model.updates
            if (text := evaluate(expression, context)) is not None
        }
        if changes:
            records = {**state.records[entity], changed: {**record, **changes}}
            state.records = {**state.records, entity: records}
            state.changes = (*state.changes, (entity, changed, tuple(changes.items())))
    if model.rows:
        # What was done in a row may be told above the list.
        state.bound[model.entity] = key


def _changed(app: Application, model: WriteKind, key: str) -> list[tuple[str, str]]:
    """Entity and key of the records that a change is about."""
    if model.entity:
        return [(model.entity, key)]
    filled = app.facts.filled(app.state.drafts, app.state.records)
    return sorted({(view.entity, of) for view, of, control in filled if control in model.controls})


def _say(app: Application, outcome: Outcome) -> None:
    """Fill in the messages that appear, and remember that they were seen."""
    if not outcome.shows:
        return
    state = app.state
    page = app.facts.pages[outcome.page]
    wanted = set(outcome.shows)
    for node in page.template.walk():
        if node.id not in wanted:
            continue
        state.told[page.id, node.id] = "shown"
        for slot in node.slots():
            text = app.slot(page.id, slot)
            state.message_slots[slot] = text
            state.told[page.id, slot] = text
