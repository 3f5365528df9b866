"""Which rollouts are made: where something can be learned, and where samples fail what is called for."""

from __future__ import annotations

import json

from train.curriculum import Curriculum, Standing, Stratum
from train.starts import Call, left_out


def one_call(_stratum: Stratum, count: int) -> list[list[str]]:
    return [["any"]] * count


def test_the_curriculum_goes_where_samples_differ() -> None:
    curriculum = Curriculum(3, again=0.3, disturbed=0.25, whole=0.25)
    drawn: list[tuple[int, bool, bool]] = []
    for step in range(30):
        batch = curriculum.draw(16, f"{step}", one_call)
        assert sum(stratum.disturbed for stratum, _ in batch) == 4
        assert sum(stratum.whole for stratum, _ in batch) == 4
        for stratum, task in batch:
            drawn.append((stratum.scene, stratum.whole, stratum.disturbed))
            stratum.seen(task, {"any": 0.1}, lesson=0.5 * (stratum.scene == 2), tokens=300)
    late = [scene for scene, whole, _ in drawn[-160:] if not whole]
    assert late.count(2) > 0.7 * len(late)
    twin = Curriculum(3, again=0.3, disturbed=0.25, whole=0.25)
    twin.restore(json.loads(json.dumps(curriculum.state())))
    plain = [(stratum.scene, task) for stratum, task in twin.draw(16, "x", one_call)]
    assert plain == [(stratum.scene, task) for stratum, task in curriculum.draw(16, "x", one_call)]


def test_where_one_of_many_slips_is_drawn_less_than_where_most_fail() -> None:
    curriculum = Curriculum(2, again=0.0, disturbed=0.0, whole=0.0)
    late: list[int] = []
    for step in range(20):
        for stratum, task in curriculum.draw(16, f"{step}", one_call):
            lesson = 0.1 if stratum.scene == 0 else 0.7
            stratum.seen(task, {"any": lesson}, lesson=lesson, tokens=100 if stratum.scene == 0 else 300)
            late.append(stratum.scene)
    # A slip costs the task, too: it is looked at, and not as often as what is not known yet.
    assert 0.01 < late[-240:].count(0) / 240 < 0.2


def test_the_curriculum_goes_to_the_calls_that_samples_fail() -> None:
    curriculum = Curriculum(1, again=0.0, disturbed=0.0, whole=0.0)
    stratum = curriculum.strata[1]

    def calls(_stratum: Stratum, count: int) -> list[list[str]]:
        return [["rare" if number % 10 == 0 else f"usual {number % 3}", "all"] for number in range(count)]

    drawn: list[int] = []
    for step in range(8):
        for _, task in curriculum.draw(10, f"{step}", calls):
            called = calls(stratum, task + 1)[task]
            stratum.seen(
                task, {call: 1.0 if call == "rare" else 0.0 for call in called}, lesson=0.0, tokens=9
            )
            drawn.append(task)
    assert len(set(drawn)) == len(drawn)
    # A tenth of the list, which would be 8 of these 80 by its order.
    assert sum(task % 10 == 0 for task in drawn) > 20
    assert stratum.standing("rare").lost > 2 and stratum.standing("usual 0").lost == 0
    stratum.seen(0, {"rare": 0.2}, lesson=0.5, tokens=300)
    assert stratum.standing("rare").lost == 0 and stratum.hard == [0]


def test_every_call_is_tried_before_one_is_tried_often_however_many_tasks_join_them() -> None:
    curriculum = Curriculum(1, again=0.0, disturbed=0.0, whole=0.0)
    stratum = curriculum.strata[1]

    def calls(_stratum: Stratum, count: int) -> list[list[str]]:
        # 12 accounts, with an order or without: 24 different tasks.
        return [[f"account {n % 12}", f"{'' if n // 12 % 2 else 'not '}order"] for n in range(count)]

    met: list[str] = []
    for step in range(2):
        for _, task in curriculum.draw(7, f"{step}", calls):
            called = calls(stratum, task + 1)[task]
            met.extend(called)
            stratum.seen(task, dict.fromkeys(called, 0.1), lesson=0.5, tokens=300)
    assert len({call for call in met if call.startswith("account")}) >= 11
    assert {"order", "not order"} <= set(met)


def test_what_exploring_found_is_explored_on_until_most_find_it() -> None:
    standing = Standing()
    standing.learn(1.0)
    standing.learn(1.0)
    assert standing.lost == 2
    standing.learn(0.8)
    assert standing.lost == 1
    standing.learn(0.2)
    assert standing.lost == 0


def test_what_turns_up_now_and_then_is_not_practised_more_often_than_it_turns_up() -> None:
    curriculum = Curriculum(1, again=0.0, disturbed=0.0, whole=0.0)
    stratum = curriculum.strata[1]

    def calls(_stratum: Stratum, count: int) -> list[list[str]]:
        return [[f"account {n % 6}"] for n in range(count)]

    refused = 0
    for step in range(10):
        for _, task in curriculum.draw(12, f"{step}", calls):
            refused += task // 6 % 4 == 3
            stratum.seen(task, dict.fromkeys(calls(stratum, task + 1)[task], 0.5), lesson=0.5, tokens=300)
    assert 20 <= refused <= 36, "a quarter of 120"


def test_a_call_is_made_by_its_line_and_a_field_left_alone_by_none() -> None:
    account = Call(
        'select combobox "Account": Legal', 'select combobox "Account":', 'select combobox "Account": Legal'
    )
    order = Call('fill textbox "PO":', 'fill textbox "PO":', 'fill textbox "PO": 17')
    assert account.offered and not order.offered
    lines = ['select combobox "Account": Legal', 'fill textbox "PO": 18']
    assert account.made(lines) and not order.made(lines)
    (empty,) = left_out([account], [account.field, order.field])
    assert empty.name == 'not fill textbox "PO":' and not empty.offered
    assert not empty.made(lines) and empty.made(lines[:1])
