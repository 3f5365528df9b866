"""NF4: weights in four bits, by the quantiles of a normal distribution (QLoRA, arXiv 2305.14314, section 3).

A weight is stored as the nearest of 16 levels, times the largest absolute value of its block of 64. The
scales of the blocks are stored in eight bits themselves (the paper's double quantisation), so that a weight
takes 4.13 bits. Here they are whole numbers times a scale for every 256 blocks, around their mean, where
the paper has 8-bit floats: scales lie close together, and even steps keep them to a 254th of the widest
distance from the mean.

The same weights give the same bits on every machine. Codes are laid out as in other implementations: two in
a byte, the first in its upper half.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from fde.errors import InputError

# What files say of a base model that was quantised like this.
NAME = "nf4"
BLOCK, GROUP = 64, 256
# As the paper's appendix E has them: an exact zero, and equally likely steps to either side.
LEVELS = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
    -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
# Weights that are quantised at a time: of a large matrix only these are there in fp32.
_AT_ONCE = 1 << 22


class Quantised(NamedTuple):
    """A matrix in four bits; all tensors on its device.

    Attributes:
        codes: Two weights a byte, uint8 ``[blocks * 32]``; the last block is filled up with zeros.
        scales: Of the blocks, int8 ``[blocks]``: steps from the mean.
        steps: The size of a step for each group of blocks, fp32 ``[groups]``; ``mean`` of all, fp32 ``[]``.
    """

    codes: Tensor
    scales: Tensor
    steps: Tensor
    mean: Tensor


def quantise(weight: Tensor) -> Quantised:
    """A matrix's weights in four bits.

    Raises:
        InputError: when they are not all numbers.
    """
    flat = weight.detach().reshape(-1)
    parts = [_blocks(part) for part in flat.split(_AT_ONCE)]
    codes = torch.cat([codes for codes, _ in parts])
    return Quantised(codes, *compress(torch.cat([largest for _, largest in parts])))


def _blocks(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Codes, and each block's largest absolute value in fp32, of weights ``[n]``."""
    missing = -flat.numel() % BLOCK
    blocks = torch.nn.functional.pad(flat.float(), (0, missing)).view(-1, BLOCK)
    largest = blocks.abs().amax(1)
    if not bool(torch.isfinite(largest).all()):
        raise InputError("Weights that are infinite or not a number cannot be quantised.")
    # A block of zeros has no scale: its weights are the level 0.
    shares = blocks / largest.where(largest > 0, 1.0)[:, None]
    levels = torch.tensor(LEVELS, device=flat.device)
    codes = torch.bucketize(shares, (levels[1:] + levels[:-1]) / 2, out_int32=True).to(torch.uint8)
    first, second = codes.view(-1, 2).unbind(1)
    return first * 16 + second, largest


def compress(largest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The blocks' scales in eight bits: ``scales``, ``steps`` and ``mean`` of :class:`Quantised`."""
    # In fp64, where the order in which cores add up does not show.
    mean = largest.double().mean().float()
    groups = torch.nn.functional.pad(largest - mean, (0, -largest.numel() % GROUP)).view(-1, GROUP)
    steps = groups.abs().amax(1) / 127
    scales = (groups / steps.where(steps > 0, 1.0)[:, None]).round().to(torch.int8)
    return scales.view(-1)[: largest.numel()].clone(), steps, mean


def restored(scales: Tensor, steps: Tensor, mean: Tensor) -> Tensor:
    """The inverse of :func:`compress` as far as it has one, fp32 ``[blocks]``."""
    return scales * steps.repeat_interleave(GROUP)[: scales.numel()] + mean


def expand(found: Quantised, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """The weights that the four bits stand for."""
    return levels_of(found.codes, restored(*found[1:]), dtype)[: torch.Size(shape).numel()].view(shape)


def levels_of(codes: Tensor, largest: Tensor, dtype: torch.dtype) -> Tensor:
    """Each code's level times its block's scale, ``[blocks * 64]``."""
    pairs = _pairs(dtype, codes.device).index_select(0, codes.int())
    return pairs.view(dtype).view(-1, BLOCK).mul_(largest[:, None]).view(-1)


@lru_cache(maxsize=8)
def _pairs(dtype: torch.dtype, device: torch.device) -> Tensor:
    """For every byte its two levels side by side, as one number of twice the size, ``[256]``.

    One look-up finds two weights, three times as fast on a CPU as a table with two columns.
    """
    with torch.inference_mode(False):
        levels = torch.tensor(LEVELS, dtype=dtype, device=device)
        wide = {2: torch.int32, 4: torch.int64}[dtype.itemsize]
        return torch.cartesian_prod(levels, levels).contiguous().view(wide).view(-1)
