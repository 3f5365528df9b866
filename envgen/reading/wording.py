"""How questions are worded: several ways for each kind, so that no one wording is learned by heart."""

from __future__ import annotations

import random

LOOK_UP = (
    "What is the {column} of {named} {key}?",
    "Which {column} does {named} {key} have?",
    "{named} {key}: which {column}?",
    "Look up {named} {key}. What is the {column}?",
)
TWO_STEPS = (
    "What is the {column} of the {through} of {named} {key}?",
    "{named} {key} has a certain {through}. What is the {column} of that {through}?",
    "Find the {through} of {named} {key}, and then its {column}.",
)
SELECTION = (
    "Which of these ({named}) have the {column} “{value}”: {items}?",
    "Of these ({named}), name those whose {column} is “{value}”: {items}.",
)
CASE = (
    "{given}for which of these does {outcome} “{value}” apply: {items}?",
    "{given}which of these get {outcome} “{value}”: {items}?",
)
GAP = (
    "What belongs in the gap: “{sentence}”",
    "Complete, from the documents: “{sentence}”",
)
AMENDED = (
    "What belongs in the gap today, after all amendments: “{sentence}”",
    "As the rule stands now, complete: “{sentence}”",
)
MEANING = (
    "What does “{term}” mean, in the words of the documents?",
    "How do the documents define “{term}”?",
)
TERM = ("Which term do the documents define as “{value}”?",)
LABELLED = (
    "What stands after “{term}” in “{title}”?",
    "“{title}”: what does it name as “{term}”?",
)


def worded(ways: tuple[str, ...], rng: random.Random, **parts: str) -> str:
    """A question in one of its wordings."""
    said = rng.choice(ways).format(**parts)
    return said[0].upper() + said[1:]
