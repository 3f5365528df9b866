"""Experts of MiniWoB++ tasks: what a person would do on the page, as action lines.

Each expert reads the instruction and the page's tree, as a person reads the page, and yields the lines
of canonical actions (see :mod:`ingest.action`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from ingest.snapshot import Node

Look = Callable[[], Node]
Expert = Callable[[str, Look], Iterator[str]]


def _first(page: Node, role: str, nth: int = 1) -> str:
    """A target for the n-th element of a role."""
    found = [node for node in page.walk() if node.role == role]
    node = found[nth - 1]
    same = [other for other in found[: nth - 1] if other.name == node.name]
    return f"{role} {json.dumps(node.name)}" + (f" #{len(same) + 1}" if same else "")


def _quoted(instruction: str) -> list[str]:
    return re.findall(r'"([^"]*)"', instruction)


def _fill_and_submit(page: Node, *texts: str) -> Iterator[str]:
    for nth, text in enumerate(texts, 1):
        yield f"fill {_first(page, 'textbox', nth)}: {text}"
    yield 'click button "Submit"'


def enter_text(instruction: str, look: Look) -> Iterator[str]:
    yield from _fill_and_submit(look(), _quoted(instruction)[0])


def enter_text_in_case(instruction: str, look: Look) -> Iterator[str]:
    text = _quoted(instruction)[0]
    yield from _fill_and_submit(look(), text.upper() if "upper" in instruction else text.lower())


def enter_date(instruction: str, look: Look) -> Iterator[str]:
    month, day, year = re.findall(r"\d+", instruction)[:3]
    yield from _fill_and_submit(look(), f"{year}-{month}-{day}")


def choose_list(instruction: str, look: Look) -> Iterator[str]:
    wanted = instruction.removeprefix("Select ").partition(" from the list")[0]
    yield f"select {_first(look(), 'combobox')}: {wanted}"
    yield 'click button "Submit"'


def _table(page: Node) -> dict[str, str]:
    texts = [row.children for row in page.walk() if row.role == "row" and len(row.children) == 2]
    return {cells[0].text(): cells[1].text() for cells in texts}


def read_table(instruction: str, look: Look) -> Iterator[str]:
    wanted = instruction.removeprefix("Enter the value of ").partition(" into ")[0].strip()
    yield from _fill_and_submit(look(), _table(look())[wanted])


def read_two(instruction: str, look: Look) -> Iterator[str]:
    page = look()
    table = _table(page)
    for name in [node.name for node in page.walk() if node.role == "textbox"]:
        yield f"fill textbox {json.dumps(name)}: {table[name]}"
    yield 'click button "Submit"'


def enter_time(instruction: str, look: Look) -> Iterator[str]:
    found = re.search(r"(\d+):(\d+) ([AP])M", instruction)
    assert found is not None
    hour = int(found[1]) % 12 + (12 if found[3] == "P" else 0)
    yield from _fill_and_submit(look(), f"{hour:02d}:{found[2]}")


def phone_book(instruction: str, look: Look) -> Iterator[str]:
    found = re.search(r"Find (.+) in the contact book and click on their (.+)\.", instruction)
    assert found is not None
    label = {"phone number": "Phone:", "email": "Email:", "address": "Address:"}[found[2]]
    while True:
        page = look()
        nodes = list(page.walk())
        if any(n.role == "heading" and n.name == found[1] for n in nodes):
            break
        yield 'click link ">"'
    at = next(i for i, n in enumerate(nodes) if n.role == "text" and n.value == label)
    yield f"click clickable {json.dumps(nodes[at + 1].name)}"


def multi_orderings(instruction: str, look: Look) -> Iterator[str]:
    found = re.search(r"Search for (.+) movies directed by (.+) from year (.+)\.", instruction)
    assert found is not None
    page = look()
    labels = ("genre", "director", "year|date")
    named = {n.name.lower(): n.name for n in page.walk() if n.role == "textbox"}
    for label, text in zip(labels, found.groups(), strict=True):
        name = next(full for low, full in named.items() if re.search(label, low))
        yield f"fill textbox {json.dumps(name)}: {text}"
    last = next(
        n for n in page.walk() if n.role in ("button", "clickable") and n.name in ("Submit", "Search", "Go!")
    )
    yield f'click {last.role} "{last.name}"'


def copy_text(instruction: str, look: Look) -> Iterator[str]:
    wanted = re.search(r"from the (\d)\w\w text area", instruction)
    areas = [n for n in look().walk() if n.role == "textbox" and n.value]
    text = areas[int(wanted[1]) - 1 if wanted else 0].value
    yield f"fill textbox {json.dumps('answer input')}: {json.dumps(text)}"
    yield 'click button "Submit"'


def last_word(instruction: str, look: Look) -> Iterator[str]:
    area = next(n for n in look().walk() if n.role == "textbox" and n.value)
    yield f'fill textbox "answer input": {(area.value or "").split()[-1].rstrip(".,")}'
    yield 'click button "Submit"'


def read_letters(instruction: str, look: Look) -> Iterator[str]:
    page = look()
    label = next(n.name for n in page.walk() if n.role == "textbox")
    yield from _fill_and_submit(page, label.replace(" ", ""))


def choose_and_press(instruction: str, look: Look) -> Iterator[str]:
    wanted = instruction.removeprefix("Choose ").partition(" from the dropdown")[0]
    yield f"select {_first(look(), 'combobox')}: {wanted}"
    yield f"click button {json.dumps(_quoted(instruction)[0])}"


def choose_option(instruction: str, look: Look) -> Iterator[str]:
    wanted = instruction.removeprefix("Select ").removesuffix(" and click Submit.")
    yield f"check radio {json.dumps(wanted)}"
    yield 'click button "Submit"'


EXPERTS: dict[str, Expert] = {
    "enter-text": enter_text,
    "enter-text-2": enter_text_in_case,
    "enter-text-dynamic": enter_text,
    "enter-date": enter_date,
    "enter-time": enter_time,
    "choose-list": choose_list,
    "form-sequence-3": choose_and_press,
    "multi-orderings": multi_orderings,
    "read-table": read_table,
    "read-table-2": read_two,
    "copy-paste": copy_text,
    "copy-paste-2": copy_text,
    "scroll-text": last_word,
    "text-transform": read_letters,
    "phone-book": phone_book,
    "multi-layouts": multi_orderings,
    "click-option": choose_option,
}
