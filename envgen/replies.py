"""What an agent is told after an action, the same words in the environment and in the live application.

A session that acts on a page asks :func:`refusal` first; when there is one, the
action is not done. Afterwards it tells the agent with::

    observer.next(page, acted_on=field_of(action), message=message)
"""

from __future__ import annotations

from ingest.action import CHECKABLE_ROLES, FILLABLE_ROLES, SELECTABLE_ROLES, Action, resolve
from ingest.snapshot import Node

NOT_MODELLED = "Not modelled: no recording shows what this does."

# Anything can be clicked; a combobox with a text field of its own can be filled.
_ROLES_OF_VERB = {
    "click": None,
    "fill": FILLABLE_ROLES | SELECTABLE_ROLES,
    "select": SELECTABLE_ROLES,
    "check": CHECKABLE_ROLES,
    "uncheck": CHECKABLE_ROLES,
}


def field_of(action: Action) -> tuple[str, str] | None:
    """Role and name of the field whose value the action sets; None when it sets none.

    The agent knows that field's new value, because it said it.
    """
    if action.verb in ("fill", "select", "check", "uncheck") and action.target is not None:
        return action.target.role, action.target.name
    return None


def refusal(page: Node, action: Action) -> str:
    """Why the action cannot be done on this page, in one line; empty when it can.

    An action that names nothing on the page changes nothing, wherever it is done.
    """
    if action.verb not in _ROLES_OF_VERB:
        return ""
    wanted, target = _ROLES_OF_VERB[action.verb], action.target
    if target is None:
        return f"{action.verb} needs an element."
    path = resolve(page, target)
    if path is None:
        return f"There is no {target.text()} here."
    node = path[-1]
    if wanted is not None and node.role not in wanted:
        return f"{target.text()} cannot be used with {action.verb}."
    if node.state("disabled") is not None:
        return f"{target.text()} is disabled."
    if action.verb == "select":
        options = [option for option in node.walk() if option.role == "option"]
        chosen = next((option for option in options if option.name == action.value), None)
        # A list that opens only when it is used shows no options before.
        if options and (chosen is None or chosen.state("disabled") is not None):
            return f"{target.text()} has no option {action.value!r}."
    return ""
