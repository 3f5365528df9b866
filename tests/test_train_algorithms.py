"""Every algorithm's loss and gradient against its formula, written out sample by sample."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from statistics import fmean, pstdev

import pytest
import torch
from torch import Tensor
from train_tiny import engine
from train_toy import make_tasks

from envgen.session import Score
from serve.episodes import Decision, Group, Segment, Stop
from train.algorithms import ALGORITHMS, Credit
from train.loss import Bound, Clip, correction, policy_loss
from train.rl import bounds, settled
from train.settings import RlConfig, make_config
from train.tree import Line, Target, merge, pack, prune
from train.update import check_as_sampled, note_before

SUCCESS = Credit(trust=1.0, partial=0.0)


def make_group(seed: int, rewards: list[float | None]) -> Group:
    """Samples that part here and there, in two scenes, with the given rewards."""
    chance = random.Random(seed)
    lines = []
    for _ in rewards:
        tokens, decisions = [1, 2], []
        for offset in range(2, 2 + chance.randint(2, 5)):
            token = chance.choice((4, 9))
            # The same choices in the same state were sampled with the same probability.
            logprob = random.Random(f"{tokens}{token}").uniform(-2.0, -0.2)
            decisions.append(Decision(offset, (4, 9), token, logprob, 0.5))
            tokens.append(token)
        lines.append(Line(tokens, decisions))
    group = merge(make_tasks(1)[0], lines)
    for sample, reward in enumerate(rewards):
        # A second scene of its own for every sample.
        last = group.episodes[sample].path[-1]
        decision = Decision(1, (4, 9), 4, chance.uniform(-2.0, -0.2), 0.5)
        group.segments.append(Segment(last, 0, (sample,), True, [7, 4], [decision]))
        group.episodes[sample].path.append(len(group.segments) - 1)
        group.episodes[sample].score = None if reward is None else Score(value=reward)
        group.episodes[sample].error = "gone" if reward is None else None
        group.episodes[sample].stop = Stop.DONE
    return group


class Case:
    """Groups, and a differentiable new log-probability for every decision in them."""

    def __init__(self, rewards: list[list[float | None]]) -> None:
        self.groups = [make_group(seed, each) for seed, each in enumerate(rewards)]
        chance = torch.Generator().manual_seed(1)
        self.logs: dict[int, Tensor] = {}
        for group in self.groups:
            for segment in group.segments:
                for decision in segment.decisions:
                    moved = decision.logprob + 0.3 * float(torch.randn((), generator=chance))
                    self.logs[id(decision)] = torch.tensor(min(moved, -0.01), requires_grad=True)

    def ours(self, name: str) -> tuple[Tensor, list[Tensor]]:
        algorithm = ALGORITHMS[name]
        trees = [
            tree
            for group, targets in zip(self.groups, algorithm.judge(self.groups, SUCCESS), strict=True)
            for tree in prune(group, targets)
        ]
        packed = pack(trees)
        logs = torch.stack([self.logs[id(target.decision)] for target in packed.targets])
        total = sum(target.weight for target in packed.targets)
        losses = policy_loss(logs, packed.targets, total, algorithm.clip, packed.sequences)
        return self._with_gradients(losses.value)

    def _with_gradients(self, value: Tensor) -> tuple[Tensor, list[Tensor]]:
        found = torch.autograd.grad(value, list(self.logs.values()), allow_unused=True)
        return value.detach(), [torch.zeros(()) if each is None else each for each in found]

    def samples(self) -> list[list[tuple[float, list[list[tuple[Tensor, float]]]]]]:
        """By group and judged sample: reward, and by scene its tokens' new and old log-probabilities."""
        found = []
        for group in self.groups:
            rows = []
            for episode in group.episodes:
                if episode.score is None or episode.score.value is None:
                    continue
                scenes: list[list[tuple[Tensor, float]]] = []
                for index in episode.path:
                    if group.segments[index].fresh:
                        scenes.append([])
                    scenes[-1] += [(self.logs[id(d)], d.logprob) for d in group.segments[index].decisions]
                rows.append((episode.score.value, scenes))
            found.append(rows)
        return found

    def reference(self, formula: Callable[..., Tensor]) -> tuple[Tensor, list[Tensor]]:
        return self._with_gradients(formula(self.samples()))


def ppo(new: Tensor, old: float, advantage: float, low: float, high: float) -> Tensor:
    ratio = (new - old).exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage)


def standardised(rewards: list[float]) -> list[float]:
    return [(reward - fmean(rewards)) / pstdev(rewards) for reward in rewards]


def grpo(groups: list) -> Tensor:
    samples = []
    for rows in groups:
        for (_, scenes), advantage in zip(rows, standardised([r for r, _ in rows]), strict=True):
            tokens = [token for scene in scenes for token in scene]
            samples.append(torch.stack([ppo(new, old, advantage, 0.2, 0.2) for new, old in tokens]).mean())
    return -torch.stack(samples).mean()


def over_tokens(groups: list, advantages: Callable[[list[float]], list[float]], term: Callable) -> Tensor:
    terms = []
    for rows in groups:
        for (_, scenes), advantage in zip(rows, advantages([r for r, _ in rows]), strict=True):
            terms += [term(new, old, advantage) for scene in scenes for new, old in scene]
    return -torch.stack(terms).mean()


def dr_grpo(groups: list) -> Tensor:
    def distance(rewards: list[float]) -> list[float]:
        return [reward - fmean(rewards) for reward in rewards]

    return over_tokens(groups, distance, lambda new, old, a: ppo(new, old, a, 0.2, 0.2))


def dapo(groups: list) -> Tensor:
    return over_tokens(groups, standardised, lambda new, old, a: ppo(new, old, a, 0.2, 0.28))


def cispo(groups: list) -> Tensor:
    def term(new: Tensor, old: float, advantage: float) -> Tensor:
        return (new - old).exp().detach().clamp(max=1.28) * advantage * new

    return over_tokens(groups, standardised, term)


def gspo(groups: list) -> Tensor:
    sequences = []
    for rows in groups:
        for (_, scenes), advantage in zip(rows, standardised([r for r, _ in rows]), strict=True):
            for scene in scenes:
                mean = torch.stack([new - old for new, old in scene]).mean()
                sequences.append(ppo(mean, 0.0, advantage, 3e-4, 4e-4))
    return -torch.stack(sequences).mean()


def rloo(groups: list) -> Tensor:
    def left_out(rewards: list[float]) -> list[float]:
        return [
            reward - fmean(rewards[:index] + rewards[index + 1 :]) for index, reward in enumerate(rewards)
        ]

    return over_tokens(groups, left_out, lambda new, old, a: a * new)


def maxrl(groups: list) -> Tensor:
    def relative(rewards: list[float]) -> list[float]:
        return [(reward - fmean(rewards)) / fmean(rewards) for reward in rewards]

    return over_tokens(groups, relative, lambda new, old, a: a * new)


def reinforce_pp(groups: list, baseline: bool = False) -> Tensor:
    rewards = [[r - fmean([q for q, _ in rows]) * baseline for r, _ in rows] for rows in groups]
    everything = [reward for each in rewards for reward in each]
    samples = []
    for rows, each in zip(groups, rewards, strict=True):
        for (_, scenes), reward in zip(rows, each, strict=True):
            advantage = (reward - fmean(everything)) / pstdev(everything)
            tokens = [token for scene in scenes for token in scene]
            samples.append(torch.stack([ppo(new, old, advantage, 0.2, 0.2) for new, old in tokens]).mean())
    return -torch.stack(samples).mean()


FORMULAS = {
    "grpo": grpo, "dr-grpo": dr_grpo, "dapo": dapo, "cispo": cispo, "gspo": gspo, "rloo": rloo,
    "maxrl": maxrl, "reinforce++": reinforce_pp,
    "reinforce++-baseline": lambda groups: reinforce_pp(groups, baseline=True),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_loss_and_gradient_are_those_of_the_formula(name: str) -> None:
    case = Case([[1.0, 0.0, 0.0, 1.0, 0.5], [0.0, 1.0, None, 0.0], [0.2, 0.9, 0.4]])
    value, gradients = case.ours(name)
    expected, wanted = case.reference(FORMULAS[name])
    assert float(value) == pytest.approx(float(expected), rel=1e-5, abs=1e-6)
    ours, reference = torch.stack(gradients), torch.stack(wanted)
    assert float((ours - reference).norm() / reference.norm()) < 1e-5
    assert float(reference.norm()) > 0


def test_every_algorithm_has_a_formula_here_or_tests_of_its_own() -> None:
    assert set(ALGORITHMS) - set(FORMULAS) == {"tree"}


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"reinforce++"}))
def test_a_group_that_fared_the_same_teaches_nothing(name: str) -> None:
    groups = [make_group(0, [1.0, 1.0, 1.0]), make_group(1, [0.0, 1.0, 0.0])]
    alike, different = ALGORITHMS[name].judge(groups, SUCCESS)
    assert alike == [] and different
    assert ALGORITHMS[name].judge(groups[:1], SUCCESS) == [[]]
    assert ALGORITHMS[name].judge([make_group(2, [None, None])], SUCCESS) == [[]]


def test_against_the_whole_batch_a_group_that_fared_the_same_teaches() -> None:
    groups = [make_group(0, [1.0, 1.0]), make_group(1, [0.0, 0.0])]
    good, bad = ALGORITHMS["reinforce++"].judge(groups, SUCCESS)
    assert {target.advantage for target in good} == {1.0} and {target.advantage for target in bad} == {-1.0}


def test_the_settings_go_before_the_algorithms_own_bounds() -> None:
    config = settled(make_config(RlConfig, algorithm="gspo"))
    assert (config.clip_low, config.clip_high, config.hold, config.epochs) == (3e-4, 4e-4, 0.0, 4)
    config = settled(make_config(RlConfig, algorithm="rloo", clip_high=0.5, epochs=2))
    assert (config.epochs, config.clip_high) == (2, 0.5)
    assert bounds(make_config(RlConfig, algorithm="cispo")).bound is Bound.WEIGHT
    config = settled(RlConfig())
    # What the default was before there was a choice.
    assert (config.clip_low, config.clip_high, config.reach, config.hold, config.epochs) == (
        0.2, 0.28, 0.35, 1.0, 4,
    )  # fmt: skip


# Rollouts that the trainer does not find as they were sampled


def test_the_correction_truncates_tokens_and_masks_sequences() -> None:
    sampled = torch.zeros(6)
    trained = torch.tensor([1.5, 0.5, 3.0, 1.7, 1.8, 0.4]).log()
    sequences = torch.tensor([0, 0, 1, 2, 2, 3])
    found = correction(trained, sampled, sequences)
    # 3.0 alone is at its bound and truncated; 1.7 * 1.8 = 3.06 is beyond it.
    assert found.tolist() == pytest.approx([1.5, 0.5, 2.0, 0.0, 0.0, 0.4])


def test_a_corrected_loss_weighs_by_the_mismatch_and_starts_at_ratio_one() -> None:
    decision = Decision(1, (1, 2), 1, math.log(0.4), 0.5)
    for before, weight in ((0.6, 1.5), (0.2, 0.5), (0.9, 2.0)):
        logs = torch.tensor([math.log(before)], requires_grad=True)
        targets = [Target(0, decision, 1.0, before=math.log(before))]
        losses = policy_loss(logs, targets, 1.0, Clip(0.2, 0.2))
        losses.value.backward()
        assert float(losses.value.detach()) == pytest.approx(-weight, rel=1e-5) and losses.clipped == 0
        assert float(logs.grad) == pytest.approx(-weight, rel=1e-5)
        assert losses.gap == pytest.approx(abs(math.log(before / 0.4)), rel=1e-5)
    far = Decision(1, (1, 2), 1, math.log(0.1), 0.5)
    masked = policy_loss(logs, [Target(0, far, 1.0, before=math.log(0.9))], 1.0, Clip())
    assert masked.masked == 1 and float(masked.value.detach()) == 0.0


def test_the_trainers_own_log_probabilities_are_noted() -> None:
    made = engine()
    group = make_group(3, [1.0, 0.0, 1.0])
    trees = prune(group, ALGORITHMS["grpo"].judge([group], SUCCESS)[0])
    assert note_before(made, trees, budget=4) == sum(tree.size for tree in trees)
    noted = [target.before for tree in trees for _, target in tree.targets]
    assert None not in noted and all(value < 0 for value in noted)
    together = pack(trees)
    shared = {}
    for target in together.targets:
        assert shared.setdefault(id(target.decision), target.before) == target.before
    assert len(shared) < len(together.targets)


def test_tokens_that_are_not_those_sampled_are_noticed() -> None:
    from fde.errors import WorkError

    group = make_group(0, [1.0, 0.0])
    check_as_sampled([group])
    group.segments[0].tokens.insert(0, 5)
    with pytest.raises(WorkError, match="tokenised again"):
        check_as_sampled([group])
