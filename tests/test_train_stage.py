"""Training by the functions behind the commands, from a built environment to a published run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from envgen_forms import appointment
from serve_tiny import make_model
from train_forms import forms

from fde.engagement import Engagement
from fde.errors import InputError
from train.record import Point
from train.rl import train_rl
from train.sft import train_sft

pytestmark = pytest.mark.usefixtures("tracked")
NAME = appointment(0).workflow


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture
def built(tmp_path: Path, base: Path) -> Engagement:
    return forms(tmp_path / "client", base, NAME)


def test_a_stage_is_trained_once_and_the_next_goes_on_from_it(built: Engagement) -> None:
    few: dict[str, Any] = {"rank": 2, "dev_times": 0, "max_actions": 3}
    learn = partial(
        train_sft, built, name="form", workflow=NAME, demonstrations="program", count=2, updates=2, **few
    )
    first = learn()
    assert first.finished and built.latest("sft-form").id == first.id
    points: list[Point] = []
    assert learn(on_point=points.append).id == first.id and not points
    second = train_rl(
        built, name="form", workflow=NAME, start="sft-form", iterations=1, groups=2, samples=2,
        on_point=points.append, **few,
    )  # fmt: skip
    assert second.finished and len(points) == 1
    assert built.latest("rl-form").inputs["start"] == f"sft-form/{first.id}"


def test_what_does_not_fit_is_refused(built: Engagement, monkeypatch: pytest.MonkeyPatch) -> None:
    little = psutil.virtual_memory()._replace(available=1)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    for train in (train_sft, train_rl):
        with pytest.raises(InputError, match="would take about"):
            train(built, name="form", workflow=NAME)
