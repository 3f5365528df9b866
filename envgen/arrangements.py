"""What puts a list's rows in another order or shows some of them only, learned from recordings."""

from __future__ import annotations

from dataclasses import dataclass, field

from envgen.filtering import filter_chosen, filters_clicked
from envgen.list_readings import ListReadings
from envgen.sorting import Moments, follow, sorts_chosen, sorts_clicked
from envgen.workflow import Filter, Sort


@dataclass(slots=True)
class Arrangements:
    """What was learned about one list.

    Attributes:
        begins_anew: Whether what is searched or filtered is in its first order.
        orders: In which order the rows were, at every moment on their page.
    """

    sorts: list[Sort] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    begins_anew: bool = False
    orders: Moments = field(default_factory=dict)

    def nodes(self) -> set[str]:
        """Everything that is clicked or chosen for it."""
        used: list[Sort | Filter] = [*self.sorts, *self.filters]
        return {each.node for each in used} | {each.button for each in used if each.button}

    def follow(self, readings: ListReadings, searching: str) -> None:
        """Note in which orders the rows were, knowing what is clicked to search them."""
        applying = {each.button or each.node for each in self.filters} | {searching}
        self.begins_anew, self.orders = follow(readings, self.sorts, applying)


def arrangements(readings: ListReadings) -> Arrangements:
    """Learn what the recordings show of one list, but for the orders that it was in."""
    found = Arrangements(sorts_clicked(readings))
    ordering = [sort.node for sort in found.sorts]
    controls = readings.controls()
    for control, button in controls.items():
        made = filter_chosen(readings, control, controls, ordering)
        if made is not None:
            found.filters.append(made)
        else:
            found.sorts += sorts_chosen(readings, control, button)
    found.filters += filters_clicked(readings, found.nodes())
    return found
