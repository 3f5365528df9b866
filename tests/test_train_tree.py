"""Tree training equals plain per-sequence training, and learns only where something can be learned."""

from __future__ import annotations

import math
import random

import pytest
import torch
from train_tiny import engine
from train_toy import Portal, make_tasks

from envgen.session import Score
from serve.agent import run_episodes
from serve.engine.local import LocalEngine
from serve.episodes import Decision, Episode, Group, Segment, Stop
from train.algorithms import ALGORITHMS, Credit, sft
from train.algorithms.returns import outcome, returns
from train.lora import Lora
from train.loss import Clip, forward, policy_loss
from train.tree import Line, Target, Tree, anchors, merge, pack, packs, prune
from train.update import add_lower


def gradients(
    made: LocalEngine, lora: Lora, trees: list[Tree], budget: int, clip: Clip | None = None
) -> torch.Tensor:
    for tensor in lora.parameters():
        tensor.grad = None
    total = sum(target.weight for tree in trees for _, target in tree.targets)
    for batch in packs(trees, budget):
        packed = pack(batch)
        policy_loss(forward(made, packed), packed.targets, total, clip).value.backward()
    return torch.cat([tensor.grad.flatten() for tensor in lora.parameters()])


def random_lora(made: LocalEngine) -> Lora:
    lora = Lora(made, rank=4, alpha=8.0)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for _, b in lora.tensors.values():
            b.normal_(0.0, 0.05, generator=generator)
    lora.merge()
    return lora


def random_lines(chance: random.Random, count: int) -> list[Line]:
    """Sequences that share prefixes, with a decision at every third token."""
    lines: list[Line] = []
    for _ in range(count):
        stem = list(lines[chance.randrange(len(lines))].tokens) if lines and chance.random() < 0.8 else []
        stem = stem[: chance.randint(0, len(stem))] if stem else []
        tokens = stem + [chance.randrange(2, 400) for _ in range(chance.randint(3, 25))]
        decisions = []
        for offset in range(3, len(tokens), 3):
            others = random.Random(f"{tokens[: offset + 1]}").sample(range(2, 400), 3)
            allowed = () if offset % 2 else tuple(dict.fromkeys([tokens[offset], *others]))
            decisions.append(Decision(offset, allowed, tokens[offset], -1.0, 0.0))
        lines.append(Line(tokens, decisions))
    return lines


def test_choices_after_something_unforeseen_are_told_from_those_before() -> None:
    segments = [
        Segment(-1, 0, (0, 1, 2), fresh=True, tokens=[1] * 8),
        Segment(0, 8, (0, 1), tokens=[2] * 6, unforeseen=4),
        Segment(1, 14, (0,), tokens=[3] * 3),
        Segment(0, 8, (2,), tokens=[4] * 6),
    ]
    group = Group(make_tasks(1)[0], segments)
    assert not group.told_by(0, 7) and not group.told_by(1, 3) and not group.told_by(3, 5)
    assert group.told_by(1, 4) and group.told_by(2, 0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("split", [0, 1])
def test_gradients_of_a_tree_equal_those_of_its_sequences(seed: int, split: int) -> None:
    made = engine(split=split)
    lora = random_lora(made)
    chance = random.Random(seed)
    made.free_tokens()[:] = True  # random tokens are no free text
    task = make_tasks(1)[0]
    together: list[Tree] = []
    alone: list[Tree] = []
    for _ in range(3):
        lines = random_lines(chance, 6)
        group = merge(task, lines)
        values = {}
        for index, segment in enumerate(group.segments):
            for place, _ in enumerate(segment.decisions):
                values[index, place] = chance.uniform(-1.0, 1.0)
        targets = [
            Target(index, decision, values[index, place], float(len(segment.samples)))
            for index, segment in enumerate(group.segments)
            for place, decision in enumerate(segment.decisions)
        ]
        together += prune(group, targets)
        for sample, line in enumerate(lines):
            single = merge(task, [line])
            found = [
                values[i, p]
                for i in group.episodes[sample].path
                for p in range(len(group.segments[i].decisions))
            ]
            assert len(found) == len(line.decisions)
            alone += prune(
                single, [Target(0, d, v) for d, v in zip(single.segments[0].decisions, found, strict=True)]
            )
    assert sum(tree.size for tree in together) < sum(tree.size for tree in alone)
    plain = gradients(made, lora, alone, budget=1)
    if split:
        add_lower(made, together)
    for budget in (10_000, 60):
        packed = gradients(made, lora, together, budget)
        assert float((packed - plain).norm() / plain.norm()) <= 1e-4
    assert float(plain.norm()) > 0


def test_gradients_equal_those_of_plain_torch() -> None:
    """The merged-weight trick against autograd through ``W + scale * B A`` itself."""
    made = engine()
    lora = random_lora(made)
    line = random_lines(random.Random(1), 1)[0]
    made.free_tokens()[:] = True
    group = merge(make_tasks(1)[0], [line])
    ours = gradients(made, lora, prune(group, sft.targets(group)), 10_000)
    for tensor in lora.parameters():
        tensor.grad = None
    names = {}
    for path, module in lora.modules.items():
        a, b = lora.tensors[path]
        names[path] = module.base + lora.scale * b @ a
        module.clear()
        del module.weight  # a parameter gives way to nothing but another
        module.weight = names[path]
    packed = pack(prune(group, sft.targets(group)))
    policy_loss(forward(made, packed), packed.targets, len(packed.targets), None).value.backward()
    plain = torch.cat([tensor.grad.flatten() for tensor in lora.parameters()])
    assert float((ours - plain).norm() / plain.norm()) <= 1e-4


def test_rollouts_trained_on_as_a_tree_have_ratio_one() -> None:
    made = engine(split=1)
    Lora(made, rank=4)
    groups = run_episodes(
        made,
        make_tasks(3),
        lambda _: Portal(),
        temperature=1.0,
        samples_per_task=5,
        max_actions=5,
        keep_lower=True,
    )
    trees = [tree for group in groups for tree in prune(group, sft.targets(group))]
    assert all(lower is not None for tree in trees for lower in tree.lower)
    packed = pack(trees)
    assert packed.lower is not None
    with torch.no_grad():
        new = forward(made, packed)
    old = torch.tensor([target.decision.logprob for target in packed.targets])
    assert float((new - old).abs().max()) < 1e-3


def test_pruning_keeps_only_what_a_target_needs() -> None:
    task = make_tasks(1)[0]
    lines = [
        Line([1, 2, 3, 4, 5, 6, 7], [Decision(3, (4, 9), 4, -1.0, 0.5), Decision(5, (6, 8), 6, -1.0, 0.5)]),
        Line([1, 2, 3, 9, 5], [Decision(3, (4, 9), 9, -1.0, 0.5)]),
    ]
    group = merge(task, lines)
    assert [segment.tokens for segment in group.segments] == [[1, 2, 3], [4, 5, 6, 7], [9, 5]]
    only = prune(group, [Target(2, group.segments[2].decisions[0])])
    assert [tree.tokens for tree in only] == [[[1, 2, 3]]]
    deep = prune(group, [Target(1, group.segments[1].decisions[1])])
    assert [tree.tokens for tree in deep] == [[[1, 2, 3], [4, 5]]]
    packed = pack(deep)
    assert packed.predictors.tolist() == [4] and packed.positions.tolist() == [0, 1, 2, 3, 4]


def small_group(outcomes: list[float | None], potentials: list[float]) -> Group:
    """One page; samples 0 and 1 take one way, 2 and 3 the other; then each ends."""
    task = make_tasks(1)[0]
    choice = [Decision(0, (4, 9), token, -0.7, 0.7) for token in (4, 9)]
    group = Group(
        task,
        [
            Segment(-1, 0, (0, 1, 2, 3), fresh=True, tokens=[1, 2, 3], potentials=[(3, 0.2)]),
            Segment(0, 3, (0, 1), tokens=[4, 5], decisions=[choice[0]], potentials=[(1, potentials[0])]),
            Segment(0, 3, (2, 3), tokens=[9, 5], decisions=[choice[1]], potentials=[(1, potentials[1])]),
        ],
    )
    for sample, value in enumerate(outcomes):
        score = None if value is None else Score(value=value)
        path = [0, 1 if sample < 2 else 2]
        group.episodes.append(
            Episode(task, sample, path=path, score=score, potential=potentials[sample // 2], stop=Stop.DONE,
                    error=None if value is not None else "gone")
        )  # fmt: skip
    return group


def judge(name: str, group: Group, credit: Credit) -> list[Target]:
    return ALGORITHMS[name].judge([group], credit)[0]


def test_a_choice_is_worth_what_became_of_it() -> None:
    found = judge("tree", small_group([1.0, 0.0, 0.0, 0.0], [0.5, 0.5]), Credit(trust=1.0, partial=0.0))
    assert [(target.segment, target.advantage, target.weight) for target in found] == [
        (1, 0.25, 2.0),
        (2, -0.25, 2.0),
    ]
    soon = judge("tree", small_group([0.0, 0.0, 0.0, 0.0], [0.8, 0.2]), Credit(trust=0.0, partial=0.0))
    assert [round(target.advantage, 6) for target in soon] == [0.3, -0.3]
    assert judge("tree", small_group([1.0, 1.0, 1.0, 1.0], [0.5, 0.5]), Credit(1.0, 0.0)) == []


def test_dr_grpo_credits_every_decision_with_the_episode() -> None:
    found = judge("dr-grpo", small_group([1.0, 0.0, 0.0, 0.0], [0.0, 0.0]), Credit(1.0, 0.0))
    assert [(target.segment, target.sample, target.advantage, target.weight) for target in found] == [
        (1, 0, 0.75, 1.0), (1, 1, -0.25, 1.0), (2, 2, -0.25, 1.0), (2, 3, -0.25, 1.0),
    ]  # fmt: skip


def test_a_sample_that_was_not_judged_counts_for_nothing() -> None:
    group = small_group([1.0, None, 0.0, 0.0], [0.0, 0.0])
    assert returns(group, Credit(1.0, 0.0))[1] is None
    found = judge("tree", group, Credit(1.0, 0.0))
    assert [(target.segment, round(target.advantage, 6), target.weight) for target in found] == [
        (1, 0.666667, 1.0),
        (2, -0.333333, 2.0),
    ]


def test_a_reward_that_is_not_a_number_is_an_error() -> None:
    from fde.errors import WorkError

    group = small_group([1.0, 0.0, 0.0, 0.0], [0.0, 0.0])
    group.episodes[2].score = Score(value=float("nan"))
    with pytest.raises(WorkError, match="the reward is nan"):
        outcome(group.episodes[2], Credit())


def test_a_rare_choice_may_gain_probability_that_its_ratio_would_forbid() -> None:
    rare = Decision(1, (1, 2), 1, math.log(0.02), 0.1)
    for now, moves in ((0.03, True), (0.20, True), (0.30, False)):
        logs = torch.tensor([math.log(now)], requires_grad=True)
        losses = policy_loss(logs, [Target(0, rare, 1.0)], 1.0, Clip(0.2, 0.28, reach=0.25))
        losses.value.backward()
        assert (float(logs.grad) != 0.0) == moves
        assert losses.clipped == (not moves)
        expected = 0.02 * math.log(0.02 / now) + 0.98 * math.log(0.98 / (1 - now))
        assert losses.kl == pytest.approx(expected, rel=1e-4)


def test_what_need_not_change_is_held_where_it_is() -> None:
    sure = Decision(1, (1, 2), 1, math.log(0.9), 0.3)
    for now, moves in ((0.9, False), (0.6, True)):
        logs = torch.tensor([math.log(now)], requires_grad=True)
        losses = policy_loss(logs, [Target(0, sure, 0.0, 0.0)], 1.0, Clip(hold=1.0))
        losses.value.backward()
        # Held back: more probability lessens the loss.
        assert (float(logs.grad) < -1e-3) == moves
        assert losses.kl == 0.0 and losses.clipped == 0


def test_the_best_sample_holds_its_other_choices_in_the_scenes_that_teach() -> None:
    made = engine()
    task = make_tasks(1)[0]
    group = run_episodes(made, [task], lambda _: Portal(), temperature=1.0, samples_per_task=4, seed=3)[0]
    parted = [c for children in group.children() for c in children if not group.segments[c].fresh]
    first = group.segments[parted[0]].decisions[0]
    targets = [Target(parted[0], first, 0.5)]
    held = anchors(group, targets, 0)
    chosen = [id(decision) for decision in group.decisions(group.episodes[0])]
    assert held and all(id(target.decision) in chosen and target.weight == 0 for target in held)
    assert id(first) not in {id(target.decision) for target in held}
    kept = prune(group, [*targets, *held])
    assert sum(len(tree.targets) for tree in kept) == 1 + len(held)


def test_clipping_stops_what_has_moved_far_enough() -> None:
    decision = Decision(1, (1, 2), 1, -1.0, 0.5)
    for advantage, new, moves in (
        (1.0, -0.5, False),
        (1.0, -1.5, True),
        (-1.0, -1.5, False),
        (-1.0, -0.5, True),
    ):
        logs = torch.tensor([new], requires_grad=True)
        losses = policy_loss(logs, [Target(0, decision, advantage)], 1.0, Clip(0.2, 0.2))
        losses.value.backward()
        assert (float(logs.grad) != 0.0) == moves
        assert losses.clipped == (not moves)


def test_gradients_of_rows_taken_often_are_the_same_bits_every_time() -> None:
    from train.loss import _rows

    chance = torch.Generator().manual_seed(0)
    values = torch.randn(300, 576, generator=chance, requires_grad=True)
    where = torch.randint(0, 40, (400,), generator=chance)
    weights = torch.randn(400, 576, generator=chance)
    found = [torch.autograd.grad((_rows(values, where) * weights).sum(), values)[0] for _ in range(20)]
    assert all(torch.equal(found[0], each) for each in found)
