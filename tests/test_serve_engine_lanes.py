"""Work done side by side gives what the same work gives in one piece."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from train_mini import MiniSource
from train_tiny import engine

from serve.demonstrate import demonstrate
from serve.engine.lanes import Lanes
from serve.engine.local import LocalEngine
from serve.prompt import Prompt
from train.algorithms import sft as imitation
from train.lora import Lora
from train.tree import Tree, prune
from train.update import Updater, add_lower


@pytest.fixture(autouse=True)
def two_cores() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def alone() -> LocalEngine:
    """An engine with one lane."""
    made = engine(split=1)
    made.lanes.count = 1
    return made


def test_items_are_shared_out_evenly_and_stay_in_order() -> None:
    lanes = Lanes(torch.device("cpu"))
    assert lanes.count == 2
    shares = lanes.share([100, 10, 60, 30, 50])
    assert sorted(index for share in shares for index in share) == [0, 1, 2, 3, 4]
    assert all(share == sorted(share) for share in shares)
    loads = [sum([100, 10, 60, 30, 50][index] for index in share) for share in shares]
    assert max(loads) - min(loads) <= 30
    assert lanes.share([5, 6]) == [[0, 1]], "few tokens are not worth reading the weights twice"
    assert lanes.share([400]) == [[0]]
    assert lanes.share([]) == []
    assert Lanes(torch.device("meta")).share([100, 100]) == [[0, 1]]


def test_parts_run_at_the_same_time_in_the_callers_gradient_mode() -> None:
    lanes = Lanes(torch.device("cpu"))
    together = threading.Barrier(2, timeout=30)

    def work(part: int) -> tuple[int, bool, bool, int]:
        together.wait()
        inference, grad = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
        return part, inference, grad, torch.get_num_threads()

    assert lanes.run(work, [7, 8]) == [(7, False, True, 1), (8, False, True, 1)]
    with torch.no_grad():
        assert [grad for _, _, grad, _ in lanes.run(work, [7, 8])] == [False, False]
    with torch.inference_mode():
        assert [inference for _, inference, _, _ in lanes.run(work, [7, 8])] == [True, True]
    assert torch.get_num_threads() == 2
    assert lanes.run(lambda part: torch.get_num_threads(), [1]) == [2], "one part has all cores"


def test_an_error_in_a_part_is_raised_when_all_have_ended() -> None:
    ended = []

    def work(part: int) -> None:
        if part == 0:
            raise ValueError("broken")
        ended.append(part)

    with pytest.raises(ValueError, match="broken"):
        Lanes(torch.device("cpu")).run(work, [0, 1, 2])
    assert ended == [1, 2]


def test_rows_fed_in_lanes_are_the_rows_fed_together() -> None:
    items = [
        [(7 * place + row) % 440 for place in range(length)] for row, length in enumerate((90, 3, 60, 150))
    ]
    found = []
    for made in (engine(split=1), alone()):
        made.share_lower(1)
        rows = [made.row() for _ in items]
        first = made.feed(list(zip(rows, items, strict=True)), keep_lower=True)
        then = made.feed([(row, [5, 6, 7] * 10) for row in rows])
        assert first.lower is not None
        # Again: the lower half is known now.
        again = made.feed([(made.row(), tokens) for tokens in items])
        assert made.shared is not None and made.shared.found >= len(items)
        found.append((first.hidden, then.hidden, again.hidden, *first.lower))
    for ours, plain in zip(*found, strict=True):
        assert torch.allclose(ours, plain, atol=1e-4)


def trees_of(made: LocalEngine, count: int) -> list[Tree]:
    source, prompt = MiniSource(), Prompt(made.tokenizer)
    groups = [
        demonstrate(made.grammar, prompt, source.session(task), task)
        for task in source.tasks("train", count, 0)
    ]
    return [tree for group in groups for tree in prune(group, imitation.targets(group))]


def test_an_update_in_lanes_is_the_update_in_one_piece_and_the_same_every_time() -> None:
    def updated(made: LocalEngine) -> tuple[list[torch.Tensor], list[float], float]:
        trees = trees_of(made, 5)
        add_lower(made, trees)
        lora = Lora(made, rank=4, first_layer=1, seed=3)
        updater = Updater(made, lora, max_norm=1e9)
        done = [updater.step(trees, lr=1e-3) for _ in range(3)][-1]
        assert len(done.losses) == len(trees)
        assert done.decisions == sum(len(tree.targets) for tree in trees)
        return [tensor.detach().clone() for tensor in lora.parameters()], done.losses, done.norm

    lanes, again, one = updated(engine(split=1)), updated(engine(split=1)), updated(alone())
    assert all(torch.equal(a, b) for a, b in zip(lanes[0], again[0], strict=True))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(lanes[0], one[0], strict=True))
    assert lanes[1] == pytest.approx(one[1], abs=1e-4)
    assert lanes[2] == pytest.approx(one[2], rel=1e-3)
