"""The compiled program as a teacher: the next right action from wherever an episode is.

On a page of the way, with the right record open: first whatever a rule needs and the agent
has not seen yet is looked at, then the fields are entered, then the page is left. Anywhere
else the teacher finds the way back over links it knows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from envgen.arranged import CLICKED
from envgen.expressions import Constant, Expression, FieldOf, Keep, chosen, evaluate, uncharted
from envgen.render import Place
from envgen.rows import Row
from envgen.state import Facts, in_row
from envgen.workflow import Control, Exit, ListView, PageModel, PagePlan, RowLoop
from ingest.action import CHECKABLE_ROLES, SELECTABLE_ROLES, Action, Target

if TYPE_CHECKING:
    from envgen.environment import WorkflowEnv

_MAX_LINKS = 6
_LOOK_AHEAD = 4
Where = tuple[str, str]
"""A page and the key of the record it shows ("" for none)."""


class Teacher:
    """Knows the way of one workflow. Holds no state of an episode."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def next_action(self, env: WorkflowEnv) -> Action | None:
        """The next right action, None when the program does not know how to go on."""
        state = env.state
        workflow = self._facts.workflow
        if any(write.kind in workflow.terminal for write in state.writes) or self._rows_done(env):
            answer = None if workflow.answer is None else evaluate(workflow.answer, env.context)
            return Action(verb="done", value=answer)
        plan = self._facts.plans.get(state.page)
        here = self._here(env)
        if plan is None or not self._right_record(env, plan):
            return self._back(env, here)
        need = self._need(env, plan, here)
        if need is not None:
            return self._turn_over(env, need) or self._towards(env, here, need)
        if any(rule.expression and uncharted(rule.expression, env.context) for rule in plan.entries):
            return None
        entry = self._entry(env, plan)
        if entry is not None:
            return entry
        if plan.loop is not None:
            step = self._in_rows(env, plan, plan.loop)
            if step is not None:
                return step
            unsaid = plan.loop.empty == "unknown" and plan.loop.entity not in env.instance.chosen
            if unsaid and not env.context.to_do(plan.page):
                return None
        return self._exit(env, plan)

    # Rows that are worked on

    def _rows_done(self, env: WorkflowEnv) -> bool:
        """Whether the work was about rows, all of them were seen, and none is left."""
        for page, loop in self._facts.loops.items():
            over = loop.last or (loop.empty == "over" and not env.context.to_do(page))
            if over and env.context.next_row(page) is None and self._all_seen(env, page, loop):
                return True
        return False

    def _all_seen(self, env: WorkflowEnv, page: str, loop: RowLoop) -> bool:
        place, visited = f"{page}.{loop.rows}", env.state.visited
        keys = env.state.records.get(loop.entity, {})
        return any(where == page for where, _ in visited) and all((place, key) in visited for key in keys)

    def _in_rows(self, env: WorkflowEnv, plan: PagePlan, loop: RowLoop) -> Action | None:
        """The next action in the list's rows; None when nothing is left to be done in them."""
        page = self._facts.pages[plan.page]
        view = self._facts.lists[page.id][loop.rows]
        if not loop.write:
            meant = env.context.to_do(page.id)
            wrong = (self._in_row(env, loop, k, k in meant) for k in env.shown_keys(page.id, view))
            return next((action for action in wrong if action is not None), None)
        key = env.context.next_row(page.id)
        if key is None:
            return None if self._all_seen(env, page.id, loop) else self._turn_over(env, [(page.id, "")])
        return self._in_row(env, loop, key, True) or self._click_row(env, page, view, loop.node, key)

    def _in_row(self, env: WorkflowEnv, loop: RowLoop, key: str, meant: bool) -> Action | None:
        """What is still to be entered in a row, or taken out of it."""
        record = env.instance.records[loop.entity][key]
        for rule in loop.entries:
            control = self._facts.controls[rule.control]
            place = self._place(env, control, key)
            if rule.expression is None or place is None:
                continue
            stood = record.get(self._facts.given_in_rows.get(control.id, ""), "")
            wanted = evaluate(rule.expression, Row(env.context, loop.entity, record)) if meant else stood
            current = env.state.drafts.get(in_row(control.id, key), "")
            if control.role == "radio" and wanted != "on":
                # It goes off when another one of its group goes on.
                continue
            if wanted is not None and (current or "off") != (wanted or "off"):
                return _enter(control, wanted, place)
        return None

    def _here(self, env: WorkflowEnv) -> Where:
        entity = self._facts.pages[env.state.page].entity
        return env.state.page, env.state.bound.get(entity, "") if entity else ""

    def _right_record(self, env: WorkflowEnv, plan: PagePlan) -> bool:
        if plan.key is None:
            return True
        entity = self._facts.pages[plan.page].entity
        return env.state.bound.get(entity) == evaluate(plan.key, env.context)

    # What has to be seen first

    def _need(self, env: WorkflowEnv, plan: PagePlan, here: Where) -> list[Where] | None:
        """Places that show something a rule asks for and that was not seen yet.

        Rules of the pages that follow are asked as well: from there it may be a long way back.
        """
        asked = env.context.asking()
        following: PagePlan | None = plan
        for _ in range(_LOOK_AHEAD):
            if following is None:
                break
            for expression in (following.key, *(rule.expression for rule in following.entries)):
                if expression is not None:
                    evaluate(expression, env.context)
            following = self._following(env, following)
        # Records that only something unseen leads to: nobody can go to them yet.
        unheard: set[str] = set()
        for entity, key, name in dict.fromkeys(asked):
            if not key:
                goals = self._unseen(env, entity)
                if here in goals or not any(self._on_the_way(env, plan, place) for place in goals):
                    return goals or None
                continue
            if self._seen(env, entity, key, name):
                continue
            # What the way itself is going to show need not be gone to before.
            goals = [] if key in unheard else self._pages_with(entity, key, name)
            if goals and not any(self._on_the_way(env, plan, place) for place in goals):
                return goals
            unheard.add(env.state.records[entity][key].get(name, ""))
        return None

    def _seen(self, env: WorkflowEnv, entity: str, key: str, name: str) -> bool:
        """Whether a field of a record was on the screen, where it is ever shown."""
        places = list(self._shown_on(entity, key, name))
        return not places or any(place in env.state.visited for place in places)

    def _pages_with(self, entity: str, key: str, name: str) -> list[Where]:
        """The pages to go to for a record's field: rows are seen in passing."""
        return [place for place in self._shown_on(entity, key, name) if "." not in place[0]]

    def _unseen(self, env: WorkflowEnv, entity: str) -> list[Where]:
        """The pages that list all of an entity's records, when not all of them were on the screen yet."""
        lists = [
            (page.id, view.rows)
            for page in self._facts.pages.values()
            for view in page.lists
            if view.entity == entity and not page.entity
        ]
        keys = env.state.records.get(entity, {})
        for page_id, rows in lists:
            if all((f"{page_id}.{rows}", key) in env.state.visited for key in keys):
                return []
        return [(page_id, "") for page_id, _ in lists]

    def _turn_over(self, env: WorkflowEnv, goals: list[Where]) -> Action | None:
        """The next rows of a list that has to be read to its end."""
        if (env.state.page, "") not in goals:
            return None
        page = self._facts.pages[env.state.page]
        turns = (self._click(env, view.next) for view in page.lists if view.next)
        turn = next((action for action in turns if action is not None), None)
        if turn is not None:
            return turn
        # What was read to its end may not have been all there is.
        for view in page.lists:
            keys = env.state.records.get(view.entity, {}).keys() - set(env.matching(page.id, view))
            if view.filters and keys:
                return self._widen(env, page, view, min(keys))
        return None

    def _following(self, env: WorkflowEnv, plan: PagePlan) -> PagePlan | None:
        """The page of the way that the exit leads to when all goes well."""
        node = None if plan.exit is None else evaluate(plan.exit, env.context)
        found = self._facts.exits[plan.page].get((node, "click")) if node is not None else None
        if found is None or any(outcome.write for outcome in found.outcomes):
            return None
        return self._facts.plans.get(found.outcomes[0].page)

    def _on_the_way(self, env: WorkflowEnv, plan: PagePlan, place: Where) -> bool:
        following = self._following(env, plan)
        for _ in range(_LOOK_AHEAD):
            if following is None:
                return False
            key = None if following.key is None else evaluate(following.key, env.context)
            if (following.page, key or "") == place:
                return True
            following = self._following(env, following)
        return False

    def _shown_on(self, entity: str, key: str, name: str) -> Iterator[Where]:
        for page in self._facts.pages.values():
            if page.entity == entity and page.key_slot and name in self._facts.fields[page.id].values():
                yield page.id, key
            for view in page.lists:
                if view.entity == entity and any(field == name for _, field in view.fields):
                    yield f"{page.id}.{view.rows}", key

    # Entering and leaving

    def _entry(self, env: WorkflowEnv, plan: PagePlan) -> Action | None:
        for rule in plan.entries:
            control = self._facts.controls[rule.control]
            if rule.expression is None:
                continue
            place = self._place(env, control)
            if place is None:
                continue
            wanted = self._wanted(env, control, rule.expression)
            if wanted is None:
                continue
            current = env.state.drafts.get(control.id, "")
            if (current or "off") == (wanted or "off"):
                pick = self._pick(env, control, wanted)
                if pick is None:
                    continue
                return pick
            if control.role == "radio" and wanted != "on":
                # It goes off when another one of its group goes on.
                continue
            return _enter(control, wanted, place)
        return None

    def _pick(self, env: WorkflowEnv, control: Control, wanted: str) -> Action | None:
        """What was typed picked from the list that offers it, where it was not yet."""
        given = self._facts.suggests.get(control.id)
        place = None if given is None else self._place(env, given)
        return None if given is None or place is None else _enter(given, wanted, place)

    def _wanted(self, env: WorkflowEnv, control: Control, expression: Expression) -> str | None:
        branch = chosen(expression, env.context)
        if isinstance(branch, Keep):
            return "" if control.initial is None else evaluate(control.initial, env.context) or ""
        return None if branch is None else evaluate(branch, env.context)

    def _place(self, env: WorkflowEnv, control: Control, row: str = "") -> Target | None:
        for (role, name), places in env.rendered.index.items():
            if role != control.role:
                continue
            for nth, place in enumerate(places, 1):
                if place.node == control.node and not place.disabled and (not row or place.row == row):
                    if row:
                        return self._target(role, name, nth, places, place)
                    return Target(role=role, name=name, nth=nth)
        return None

    def _exit(self, env: WorkflowEnv, plan: PagePlan) -> Action | None:
        if plan.exit is None:
            return None
        node = evaluate(plan.exit, env.context)
        if node is not None:
            node = self._facts.reached(plan.page, node, env.state.messages)
        page = self._facts.pages[plan.page]
        links = dict(plan.links)
        view = next((v for v in page.lists if node in self._row_nodes(page, v)), None)
        if view is not None:
            key = self._row_key(env, page, view, node or "", links)
            return None if key is None else self._click_row(env, page, view, node or "", key)
        if node in links:
            name = evaluate(links[node], env.context)
            return self._click(env, node, name)
        return None if node is None else self._click(env, node)

    def _row_nodes(self, page: PageModel, view: ListView) -> set[str]:
        rows = next(n for n in page.template.walk() if n.id == view.rows)
        return {n.id for n in rows.walk()}

    def _row_key(
        self, env: WorkflowEnv, page: PageModel, view: ListView, node: str, links: dict[str, Expression]
    ) -> str | None:
        """The record whose row is clicked: named by the rule, or needed on the page that follows."""
        if node in links:
            name = evaluate(links[node], env.context)
            records = env.state.records[view.entity]
            if name in records:
                return name
            key = next((k for k, r in records.items() if name in r.values()), None)
            if key is not None:
                return key
        found = self._facts.exits[page.id].get((node, "click"))
        following = self._facts.plans.get(found.outcomes[0].page) if found is not None else None
        if following is not None and following.key is not None:
            return evaluate(following.key, env.context)
        return None

    def _click(self, env: WorkflowEnv, node: str, name: str | None = None, row: str = "") -> Action | None:
        for (role, text), places in env.rendered.index.items():
            if name is not None and text != name:
                continue
            for nth, place in enumerate(places, 1):
                if place.node == node and (not row or place.row == row) and not place.disabled:
                    return Action(verb="click", target=self._target(role, text, nth, places, place))
        return None

    @staticmethod
    def _target(role: str, text: str, nth: int, places: list[Place], place: Place) -> Target:
        if len(places) == 1:
            return Target(role=role, name=text)
        if place.row_label and sum(p.row_label == place.row_label for p in places) == 1:
            return Target(role=role, name=text, row=place.row_label)
        return Target(role=role, name=text, nth=nth)

    def _click_row(
        self, env: WorkflowEnv, page: PageModel, view: ListView, node: str, key: str
    ) -> Action | None:
        """Click in a record's row; search or page until the row is there."""
        visible = self._click(env, node, row=key)
        if visible is not None:
            return visible
        matching = env.matching(page.id, view)
        if view.search_control:
            control = self._facts.controls[f"{page.id}.{view.search_control}"]
            text = self._query(env, view, key)
            if text and env.arranged(page.id, view).query != text:
                if env.state.drafts.get(control.id, "") != text:
                    target = self._place(env, control)
                    return None if target is None else _enter(control, text, target)
                return self._click(env, view.search_button)
        if key not in matching:
            return self._widen(env, page, view, key)
        offset = env.arranged(page.id, view).offset
        return self._click(env, view.next if matching.index(key) >= offset else view.previous)

    def _widen(self, env: WorkflowEnv, page: PageModel, view: ListView, key: str) -> Action | None:
        """Take back the first filter that hides a record; None where none does, or nobody saw how."""
        hiding = dict(env.arranged(page.id, view).filters)
        for found in view.filters:
            if found.clicked:
                if hiding.get(CLICKED) in (None, found.node) or not env.shows(page.id, view, found, "", key):
                    continue
                return self._click(env, found.node)
            chosen = hiding.get(found.node)
            if chosen is None or env.shows(page.id, view, found, chosen, key):
                continue
            control = self._facts.controls[f"{page.id}.{found.node}"]
            offered = ("off", "on") if control.role in CHECKABLE_ROLES else control.options
            values = [v for v in (*found.every, *offered) if env.shows(page.id, view, found, v, key)]
            current, target = env.state.drafts.get(control.id, ""), self._place(env, control)
            if not values or target is None:
                return None
            return self._click(env, found.button) if current in values else _enter(control, values[0], target)
        return None

    def _query(self, env: WorkflowEnv, view: ListView, key: str) -> str:
        """What to search for: a text of the record the search looks at, the key if it does."""
        record = env.state.records[view.entity].get(key, {})
        key_field = self._facts.key_fields[view.entity]
        if key_field in view.search_fields:
            return record.get(key_field, key)
        return next((record[name] for name in view.search_fields if record.get(name)), "")

    # Finding the way

    def _back(self, env: WorkflowEnv, here: Where) -> Action | None:
        page, plan = self._facts.pages[here[0]], self._facts.plans.get(here[0])
        if page.next and plan is not None and plan.key is not None:
            order, wanted = list(env.state.records[page.entity]), evaluate(plan.key, env.context)
            if wanted in order and here[1] in order:
                onward = order.index(wanted) > order.index(here[1])
                return self._click(env, page.next if onward else page.previous)
        goals: list[Where] = []
        for plan in self._facts.plans.values():
            asked = env.context.asking()
            key = "" if plan.key is None else evaluate(plan.key, env.context)
            # A record that nobody named yet is found by what names it.
            unseen = next((each for each in asked if each[1] and not self._seen(env, *each)), None)
            named = [] if unseen is None else self._pages_with(*unseen)
            if named or key is not None:
                goals += named or [(plan.page, key or "")]
        return self._towards(env, here, goals)

    def _towards(self, env: WorkflowEnv, here: Where, goals: list[Where]) -> Action | None:
        """The first action on the shortest way to one of the places."""
        wanted = set(goals)
        keys = {key for _, key in goals if key}
        queue: deque[tuple[Where, tuple[Exit, str] | None, int]] = deque([(here, None, 0)])
        seen = {here}
        while queue:
            where, first, length = queue.popleft()
            if where in wanted and first is not None:
                return self._go(env, first[0], first[1])
            if length == _MAX_LINKS:
                continue
            for found, target in self._links(env, where, keys):
                if target not in seen:
                    seen.add(target)
                    queue.append((target, first or (found, target[1]), length + 1))
        return None

    def _links(self, env: WorkflowEnv, where: Where, keys: set[str]) -> Iterator[tuple[Exit, Where]]:
        """Exits without effect and where they lead, for the record a page shows."""
        page = self._facts.pages[where[0]]
        for found in page.exits:
            outcome = found.outcomes[0]
            if found.verb != "click" or outcome.write or outcome.shows or len(found.outcomes) > 1:
                continue
            target = self._facts.pages[outcome.page]
            if outcome.record == "row":
                for key in keys:
                    if key in env.state.records.get(target.entity, {}):
                        yield found, (target.id, key)
                continue
            if not self._there(env, where, found.node):
                continue
            if outcome.record == "link":
                name = self._link_name(env, page, found.node, where[1])
                if name:
                    yield found, (target.id, name)
            elif target.entity:
                key = where[1] if target.entity == page.entity else env.state.bound.get(target.entity, "")
                yield found, (target.id, key)
            else:
                yield found, (target.id, "")

    def _there(self, env: WorkflowEnv, where: Where, node: str) -> bool:
        """Whether an exit is on a page when it shows a given record."""
        page = self._facts.pages[where[0]]
        condition = self._facts.conditions[page.id].get(node)
        if condition is None:
            return node not in page.messages
        if not page.entity or env.state.bound.get(page.entity) == where[1]:
            return evaluate(condition, env.context) == "yes"
        before = env.state.bound.get(page.entity)
        env.state.bound[page.entity] = where[1]
        holds = evaluate(condition, env.context) == "yes"
        if before is None:
            del env.state.bound[page.entity]
        else:
            env.state.bound[page.entity] = before
        return holds

    def _link_name(self, env: WorkflowEnv, page: PageModel, node_id: str, key: str) -> str:
        node = next(n for n in page.template.walk() if n.id == node_id)
        fields = self._facts.fields[page.id]
        for slot in node.slots():
            name = fields.get(slot)
            if name:
                return env.state.records.get(page.entity, {}).get(key, {}).get(name, "")
        return ""

    def _go(self, env: WorkflowEnv, found: Exit, key: str) -> Action | None:
        page = self._facts.pages[env.state.page]
        if found.outcomes[0].record == "row":
            view = next(v for v in page.lists if found.node in self._row_nodes(page, v))
            return self._click_row(env, page, view, found.node, key)
        return self._click(env, found.node)


def _enter(control: Control, wanted: str, target: Target) -> Action | None:
    if control.typed:
        return Action(verb="fill", target=target, value=wanted)
    if control.role in SELECTABLE_ROLES:
        return Action(verb="select", target=target, value=wanted) if wanted else None
    if control.role in CHECKABLE_ROLES:
        return Action(verb="check" if wanted == "on" else "uncheck", target=target)
    return None


__all__ = ["Constant", "FieldOf", "Teacher"]
