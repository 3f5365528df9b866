"""Which rollouts are made: where something can be learned, and where samples stay behind."""

from __future__ import annotations

import json
from collections.abc import Iterable

from train.curriculum import Curriculum, Kind, Standing


def alike(names: Iterable[str]) -> list[Kind]:
    """Kinds that are families of their own."""
    return [(name, name) for name in names]


def one_kind(_disturbed: bool, count: int) -> list[Kind]:
    return [("any", "any")] * count


def test_the_curriculum_goes_where_samples_differ() -> None:
    curriculum = Curriculum(3, again=0.3, disturbed=0.25, whole=0.25)
    drawn: list[tuple[int, bool, bool]] = []
    for step in range(30):
        batch = curriculum.draw(16, f"{step}", one_kind)
        assert sum(stratum.disturbed for stratum, _ in batch) == 4
        assert sum(stratum.whole for stratum, _ in batch) == 4
        for stratum, task in batch:
            drawn.append((stratum.scene, stratum.whole, stratum.disturbed))
            taught = stratum.scene == 2
            stratum.seen(task, "any", taught=taught, tokens=300, behind=0.1, lost=False)
    late = [scene for scene, whole, _ in drawn[-160:] if not whole]
    assert late.count(2) > 0.7 * len(late)
    twin = Curriculum(3, again=0.3, disturbed=0.25, whole=0.25)
    twin.restore(json.loads(json.dumps(curriculum.state())))
    plain = [(stratum.scene, task) for stratum, task in twin.draw(16, "x", one_kind)]
    assert plain == [(stratum.scene, task) for stratum, task in curriculum.draw(16, "x", one_kind)]


def test_the_curriculum_goes_to_the_kinds_on_which_samples_stay_behind() -> None:
    curriculum = Curriculum(1, again=0.0, disturbed=0.0, whole=0.0)
    stratum = curriculum.strata[1]

    def kinds(_disturbed: bool, count: int) -> list[Kind]:
        return alike("rare" if number % 10 == 0 else f"usual {number % 3}" for number in range(count))

    drawn: list[int] = []
    for step in range(8):
        for _, task in curriculum.draw(10, f"{step}", kinds):
            _, kind = kinds(False, task + 1)[task]
            behind = 0.6 if kind == "rare" else 0.0
            stratum.seen(task, kind, taught=False, tokens=300, behind=behind, lost=kind == "rare")
            drawn.append(task)
    assert len(set(drawn)) == len(drawn)
    # A tenth of the list, which would be 8 of these 80 by its order.
    assert sum(task % 10 == 0 for task in drawn) > 20
    assert stratum.standing("rare").lost > 2 and stratum.standing("usual 0").lost == 0
    stratum.seen(0, "rare", taught=True, tokens=300, behind=0.2, lost=False)
    assert stratum.standing("rare").lost == 0 and stratum.hard == [0]


def test_the_curriculum_tries_every_kind_before_it_returns_to_one() -> None:
    curriculum = Curriculum(1, again=0.0, disturbed=0.0, whole=0.0)
    stratum = curriculum.strata[1]

    def kinds(_disturbed: bool, count: int) -> list[Kind]:
        return alike(f"kind {number % 12}" for number in range(count))

    met: list[str] = []
    for step in range(3):
        for _, task in curriculum.draw(6, f"{step}", kinds):
            met.append(kinds(False, task + 1)[task][1])
            stratum.seen(task, met[-1], taught=True, tokens=300, behind=0.1, lost=False)
    assert len(set(met[:12])) >= 10
    assert len(set(met)) == 12


def test_what_exploring_found_is_explored_on_until_most_find_it() -> None:
    standing = Standing()
    standing.learn(0.7, lost=True)
    standing.learn(0.7, lost=True)
    assert standing.lost == 2
    standing.learn(0.6, lost=False)
    assert standing.lost == 1
    standing.learn(0.2, lost=False)
    assert standing.lost == 0


def test_what_turns_up_now_and_then_is_not_practised_more_often_than_it_turns_up() -> None:
    curriculum = Curriculum(1, again=0.0, disturbed=0.0, whole=0.0)
    stratum = curriculum.strata[1]

    def kinds(_disturbed: bool, count: int) -> list[Kind]:
        return [(f"{n % 6}", f"{n % 6}{' refused' if n // 6 % 4 == 3 else ''}") for n in range(count)]

    refused = 0
    for step in range(10):
        for _, task in curriculum.draw(12, f"{step}", kinds):
            _, kind = kinds(False, task + 1)[task]
            refused += kind.endswith("refused")
            stratum.seen(task, kind, taught=True, tokens=300, behind=0.5, lost=False)
    assert 20 <= refused <= 36, "a quarter of 120"
