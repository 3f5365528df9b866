"""Token trees for training: shared prefixes once, only what teaches, many trees in one forward.

A group of samples already is a tree (:class:`serve.episodes.Group`); sequences
from elsewhere are merged into one by :func:`merge`. For an update the tree is
pruned to what lies before a decision with a weight, and several trees (one or more scenes each) are laid
out one after the other in a flat forward (:class:`Packed`), each segment
attending to its own ancestors only. Gradients equal those of the separate
sequences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from envgen.session import Task
from serve.engine.attention import TreePlan
from serve.episodes import Decision, Episode, Group, Segment


@dataclass(frozen=True, slots=True)
class Target:
    """A decision to learn from.

    Attributes:
        segment: Index of its segment in the group; ``decision`` is the decision itself.
        advantage: How much better than usual it turned out; 1 for demonstrations.
        weight: How many samples took it; 0 for what is only to stay as likely as it is.
        sample: Whose it is, where every sample counts for itself; -1 for all that took it together.
        before: Its log-probability by the trainer before an iteration's updates, where that may
            differ from the one it was sampled with (see :func:`train.update.note_before`).
        teacher: Log-probabilities of what was possible, by a teacher: of the allowed tokens in their
            order, or of the vocabulary for free text.
    """

    segment: int
    decision: Decision
    advantage: float = 1.0
    weight: float = 1.0
    sample: int = -1
    before: float | None = None
    teacher: Tensor | None = None


@dataclass(slots=True)
class Tree:
    """A pruned token tree: ``segments[i]`` comes after its parent.

    Attributes:
        parents: Index of each segment's parent; -1 for a root.
        starts: Position of each segment's first token.
        tokens: Each segment's tokens, cut after the last one that is needed.
        lower: Each segment's hidden states between the halves, or None.
        targets: ``(segment, target)`` with indices into this tree.
    """

    parents: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    tokens: list[list[int]] = field(default_factory=list)
    lower: list[Tensor | None] = field(default_factory=list)
    targets: list[tuple[int, Target]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(len(tokens) for tokens in self.tokens)


def prune(group: Group, targets: Sequence[Target]) -> list[Tree]:
    """The parts of a group that the targets need, one tree per scene.

    Nothing after the last target of each branch is kept; the token of the target itself is not
    needed, only what came before it.
    """
    needed = [0] * len(group.segments)
    for target in targets:
        index = target.segment
        needed[index] = max(needed[index], target.decision.offset)
        while (index := _context(group, index)) >= 0:
            needed[index] = len(group.segments[index].tokens)
    trees: list[Tree] = []
    places: dict[int, tuple[Tree, int]] = {}
    for index in _depth_first(group):
        count = needed[index]
        segment = group.segments[index]
        if not count:
            continue
        tree, parent = places.get(_context(group, index), (None, -1))
        if tree is None:
            tree = Tree()
            trees.append(tree)
        places[index] = (tree, len(tree.tokens))
        tree.parents.append(parent)
        tree.starts.append(segment.start)
        tree.tokens.append(segment.tokens[:count])
        tree.lower.append(_joined_lower(segment, count))
    for target in targets:
        # A target that opens its segment is predicted by its parent's last token.
        tree, place = places[target.segment if target.decision.offset else _context(group, target.segment)]
        tree.targets.append((place, target))
    return trees


def anchors(group: Group, targets: Sequence[Target], sample: int) -> list[Target]:
    """What a sample chose otherwise in the scenes of the targets: to stay as likely as it is.

    Without weight: nothing is to be learned from them (see :func:`train.loss.policy_loss`).
    """
    taught = {id(target.decision) for target in targets}
    scenes = {scene_of(group, target.segment) for target in targets}
    return [
        Target(index, decision, 0.0, 0.0)
        for index in group.episodes[sample].path
        if scene_of(group, index) in scenes
        for decision in group.segments[index].decisions
        if decision.allowed and id(decision) not in taught
    ]


def scene_of(group: Group, index: int) -> int:
    """The segment that opens this one's scene."""
    while (parent := _context(group, index)) >= 0:
        index = parent
    return index


def _context(group: Group, index: int) -> int:
    """The segment whose tokens come right before this one's in its scene; -1 when it opens the scene."""
    segment = group.segments[index]
    return -1 if segment.fresh else segment.parent


def _joined_lower(segment: Segment, count: int) -> Tensor | None:
    if segment.lower is None:
        return None
    if isinstance(segment.lower, list):
        segment.lower = torch.cat(segment.lower) if segment.lower else None
    lower: Tensor | None = segment.lower
    return None if lower is None or lower.shape[0] < count else lower[:count]


def _depth_first(group: Group) -> Iterator[int]:
    children = group.children()
    stack = [index for index, segment in enumerate(group.segments) if segment.parent < 0][::-1]
    while stack:
        index = stack.pop()
        yield index
        stack.extend(reversed(children[index]))


@dataclass(slots=True)
class Packed:
    """Trees laid out for one flat forward.

    Attributes:
        ids: ``[T]``; ``positions`` ``[T]``.
        lower: ``[T, width]`` when every segment has it, else None.
        predictors: Flat index of the token that predicts each target, ``[n]``.
        targets: The targets, ``n`` of them.
        sequences: Which of them are of the same sample in the same scene, ``[n]``: numbers from 0.
            A target of several samples together is alone.
    """

    ids: Tensor
    positions: Tensor
    plan: TreePlan
    lower: Tensor | None
    predictors: Tensor
    targets: list[Target]
    sequences: Tensor

    @property
    def size(self) -> int:
        return int(self.ids.shape[0])


def pack(trees: Sequence[Tree], device: torch.device | str = "cpu") -> Packed:
    """Lay trees out one after the other, block by block."""
    ids: list[int] = []
    positions: list[int] = []
    paths: list[list[tuple[int, int]]] = []
    lowers: list[Tensor | None] = []
    predictors: list[int] = []
    targets: list[Target] = []
    sequences: list[int] = []
    numbers: dict[tuple[int, int], int] = {}
    for which, tree in enumerate(trees):
        first = len(paths)
        for parent, start, tokens, lower in zip(
            tree.parents, tree.starts, tree.tokens, tree.lower, strict=True
        ):
            span = (len(ids), len(ids) + len(tokens))
            paths.append([*(paths[first + parent] if parent >= 0 else ()), span])
            ids.extend(tokens)
            positions.extend(range(start, start + len(tokens)))
            lowers.append(lower)
        for place, target in tree.targets:
            start, stop = paths[first + place][-1]
            offset = target.decision.offset
            predictors.append(start + offset - 1 if offset else stop - 1)
            key = (which, target.sample) if target.sample >= 0 else (-1, len(targets))
            sequences.append(numbers.setdefault(key, len(numbers)))
            targets.append(target)
    known = [lower for lower in lowers if lower is not None]
    return Packed(
        ids=torch.tensor(ids, device=device),
        positions=torch.tensor(positions, device=device),
        plan=TreePlan(paths),
        lower=torch.cat([lower.to(device) for lower in known]) if len(known) == len(lowers) else None,
        predictors=torch.tensor(predictors, device=device),
        targets=targets,
        sequences=torch.tensor(sequences, device=device),
    )


def packs(trees: Sequence[Tree], budget: int) -> Iterator[list[Tree]]:
    """Trees in order, as many at a time as have ``budget`` tokens together (at least one)."""
    batch: list[Tree] = []
    size = 0
    for tree in trees:
        if batch and size + tree.size > budget:
            yield batch
            batch, size = [], 0
        batch.append(tree)
        size += tree.size
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class Line:
    """One sequence for :func:`merge`: its tokens, and its decisions with offsets from the beginning."""

    tokens: Sequence[int]
    decisions: Sequence[Decision]


def merge(task: Task, lines: Sequence[Line]) -> Group:
    """Sequences as a tree: every distinct prefix once.

    Where two sequences part, each branch begins a segment. Decisions on shared tokens are
    taken from the first sequence that has them.
    """
    group = Group(task, episodes=[Episode(task, sample) for sample in range(len(lines))])
    _grow(group, lines, list(range(len(lines))), 0, -1)
    for index, segment in enumerate(group.segments):
        for sample in segment.samples:
            group.episodes[sample].path.append(index)
    return group


def _grow(group: Group, lines: Sequence[Line], samples: list[int], start: int, parent: int) -> None:
    stack = [(samples, start, parent)]
    while stack:
        samples, start, parent = stack.pop()
        stop = start
        while len({_at(lines[sample].tokens, stop) for sample in samples}) == 1:
            if _at(lines[samples[0]].tokens, stop) is None:
                break
            stop += 1
        if stop > start or parent < 0:
            index = len(group.segments)
            first = lines[samples[0]]
            group.segments.append(
                Segment(
                    parent,
                    start,
                    tuple(samples),
                    fresh=parent < 0,
                    tokens=list(first.tokens[start:stop]),
                    decisions=[_moved(d, start) for d in first.decisions if start <= d.offset < stop],
                )
            )
        else:
            index = parent
        parts: dict[int, list[int]] = {}
        for sample in samples:
            token = _at(lines[sample].tokens, stop)
            if token is not None:
                parts.setdefault(token, []).append(sample)
        stack.extend((part, stop, index) for part in reversed(parts.values()))


def _at(tokens: Sequence[int], index: int) -> int | None:
    return tokens[index] if index < len(tokens) else None


def _moved(decision: Decision, start: int) -> Decision:
    return Decision(
        decision.offset - start, decision.allowed, decision.chosen, decision.logprob, decision.entropy
    )
