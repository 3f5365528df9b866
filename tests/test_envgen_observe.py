"""What an agent is told about pages."""

from __future__ import annotations

from envgen.observe import Observer
from ingest.snapshot import Node


def fact(label: str, value: str) -> tuple[Node, Node]:
    return Node("term", label), Node("definition", children=(Node("text", value=value),))


def page(title: str, *nodes: Node) -> Node:
    return Node("document", children=(Node("heading", title), *nodes))


DETAIL = page("Invoice 7", *fact("Category", "Freight"), *fact("Contact", "A. Person"), Node("link", "Code"))
FORM = page("Code 7", Node("textbox", "Cost centre"), Node("textbox", "PO"), Node("button", "Submit"))


def test_facts_of_earlier_pages_are_told_again() -> None:
    observer = Observer()
    observer.first(DETAIL)
    told = observer.next(FORM)
    assert observer.fresh
    assert told.splitlines()[0] == "Seen on Invoice 7: Category: Freight; Contact: A. Person"


def test_only_facts_worth_remembering_are_told_again() -> None:
    observer = Observer(frozenset({"Category"}))
    assert "Contact: A. Person" in observer.first(DETAIL)
    assert observer.clone().next(FORM).splitlines()[0] == "Seen on Invoice 7: Category: Freight"
    nothing = Observer(frozenset())
    nothing.first(DETAIL)
    assert "Seen" not in nothing.next(FORM)
