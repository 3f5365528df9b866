"""Whether recordings under one name are of one workflow: different work ends differently, elsewhere."""

from __future__ import annotations

from collections import Counter

from envgen.behaviour import Behaviour
from envgen.ground import page_title
from envgen.ways import way
from envgen.workflow import Finding
from envgen.world import World


def mixed(world: World, behaviour: Behaviour) -> Finding | None:
    """The groups, where the recordings fall into some that share no page but the first; else None.

    Branches of one workflow end differently too, but come from a page that they share: the record's.
    """
    pages: dict[str, set[str]] = {}
    ends: dict[str, str] = {}
    for recording in world.visits:
        stays = way(world, behaviour, recording)
        last = stays[-1].leaving if stays else None
        end = None if last is None else behaviour.writes.get((last.recording, last.index))
        if end is not None:
            # The first page is where every work in the application begins.
            pages[recording] = {stay.page for stay in stays[1:]}
            ends[recording] = end
    groups: list[set[str]] = []
    for recording, own in pages.items():
        joined = {recording}
        for group in [g for g in groups if any(own & pages[other] for other in g)]:
            groups.remove(group)
            joined |= group
        groups.append(joined)
    if len(groups) < 2 or any(not pages[r] for r in pages):
        return None
    named = []
    for number, group in enumerate(sorted(groups, key=lambda g: (-len(g), min(g))), 1):
        end = Counter(ends[r] for r in group).most_common(1)[0][0]
        page, _, node = end.partition(".")
        kind = world.kinds[page]
        label = kind.nodes[node].label() if node in kind.nodes else node
        named.append(f"{number}: {', '.join(sorted(group))} end with “{label}” on “{page_title(kind)}”")
    return Finding(
        kind="mixed",
        severity="question",
        text=f"These recordings look like {len(groups)} workflows under one name. Are they? Give each a name "
        "of its own, then compile again; compiled together, their rules explain less.",
        evidence=tuple(named),
    )
