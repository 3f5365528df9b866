"""What goes wrong silently: told in the iteration in which it shows.

An alarm is a sentence that says what was seen and what to do. It does not stop the run;
what makes further training pointless is an error (see :mod:`train.rl`).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from envgen.statistics import wilson
from train.record import Point

# From here on there is little left to learn, and equal samples and low entropy are what is wanted.
SOLVED = 0.98
_NEARLY = 0.9
# Entropy below this share of what it was in the beginning: the policy has stopped to try things.
_COLLAPSED = 0.1
_BEGINNING = 2
_MOSTLY = 0.5
_NO_GRADIENT = 1e-9


def alarms(curve: Sequence[Point]) -> tuple[str, ...]:
    """What is alarming about the latest point of a learning curve.

    Args:
        curve: All points so far, the latest last.
    """
    found = [
        check(curve) for check in (_equal_rewards, _no_gradient, _at_the_bounds, _entropy_collapse, _dev_fell)
    ]
    return (*(text for text in found if text is not None), *forgetting(curve))


def forgetting(curve: Sequence[Point]) -> tuple[str, ...]:
    """The workflows that the start had learned are done less well, by more than chance explains.

    Args:
        curve: All points so far; the first measures the start.
    """
    first, now = curve[0], curve[-1]
    if first.retained is None or now.retained is None:
        return ()
    judged = now.retained_judged or 0
    interval = wilson(round(now.retained * judged), judged)
    if interval is None or first.retained <= interval[1]:
        return ()
    return (
        f"Success on the workflows that the start had learned fell from {first.retained:.0%} to "
        f"{now.retained:.0%}: what is new displaces them. Go over them in supervised training (--set "
        "rehearse=0.25), or train this workflow from the base model: each may have an adapter of its own.",
    )


def _equal_rewards(curve: Sequence[Point]) -> str | None:
    now = curve[-1]
    if now.teaching != 0.0 or now.reward is None or now.reward >= SOLVED:
        return None
    return (
        f"All samples of every group fared the same (mean reward {now.reward:.2f}): nothing was learned. "
        "Start from an adapter that sometimes succeeds, or look at the verifier: fde envgen gate"
    )


def _no_gradient(curve: Sequence[Point]) -> str | None:
    now = curve[-1]
    if now.norm is None or now.norm > _NO_GRADIENT:
        return None
    return "The gradient is zero: no update changed the adapter. Look at teaching and clipped."


def _at_the_bounds(curve: Sequence[Point]) -> str | None:
    now = curve[-1]
    if now.clipped is None or now.clipped <= _MOSTLY:
        return None
    return (
        f"{now.clipped:.0%} of the decisions were at the bounds of their ratio: the updates are too long "
        "for them. Lower rate or epochs."
    )


def _entropy_collapse(curve: Sequence[Point]) -> str | None:
    known = [point.entropy for point in curve if point.entropy is not None]
    now = curve[-1]
    if now.entropy is None or len(known) <= _BEGINNING or (now.reward or 0.0) >= _NEARLY:
        return None
    at_first = fmean(known[:_BEGINNING])
    if now.entropy >= _COLLAPSED * at_first:
        return None
    reward = "unknown" if now.reward is None else f"{now.reward:.2f}"
    return (
        f"Entropy fell from {at_first:.3g} to {now.entropy:.3g} at a mean reward of {reward}: the policy has "
        "stopped to try other choices. Lower rate, or raise clip_high."
    )


def fallen(curve: Sequence[Point]) -> tuple[Point, Point] | None:
    """The best point before and the latest, where dev success fell by more than chance explains."""
    now = curve[-1]
    measured = [point for point in curve[:-1] if point.dev_success is not None]
    if now.dev_success is None or not measured:
        return None
    best = max(measured, key=lambda point: point.dev_success or 0.0)
    judged = now.dev_judged or 0
    interval = wilson(round(now.dev_success * judged), judged)
    assert best.dev_success is not None
    return None if interval is None or best.dev_success <= interval[1] else (best, now)


def _dev_fell(curve: Sequence[Point]) -> str | None:
    """Success on dev tasks falls, perhaps while the reward in training rises: the run ends with the best."""
    pair = fallen(curve)
    if pair is None:
        return None
    best, now = pair
    fell = f"dev success fell from {best.dev_success:.0%} (step {best.step}) to {now.dev_success:.0%}"
    if best.reward is None or now.reward is None or now.reward <= best.reward:
        return (
            f"{fell[0].upper()}{fell[1:]}: the policy loses what it could do. Start from an adapter that "
            "succeeds more often, or lower rate or max_kl."
        )
    return (
        f"Reward rose from {best.reward:.2f} to {now.reward:.2f} while {fell}: the policy may have learned "
        "to please the reward instead of doing the task. Look at: fde train show STAGE --samples"
    )
