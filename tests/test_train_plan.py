"""What a run is expected to take on given hardware: the arithmetic, and what the command says of it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import RunFde
from test_train_memory import pretend

from fde.errors import InputError
from train.memory import needed, shapes
from train.plan import GPUS, Plan, Workload, device_named, plan, plans, seconds, this_machine, together
from train.settings import RlConfig

H100 = GPUS["h100"]
SLOW = Workload(wait_s=0.2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return pretend(tmp_path / "model", layers=32, width=2048)


def test_the_time_of_updates_is_their_operations(folder: Path) -> None:
    model, config, work = shapes(folder), RlConfig(frozen=0.0, epochs=1), Workload(taught=1.0)
    tokens = config.groups * (work.prompt_tokens + config.samples * work.said_tokens)
    by_hand = 4 * sum(model.linear) * tokens / (989e12 * H100.trains)
    assert seconds(model, config, work, H100)[1] == pytest.approx(by_hand)
    half = replace(config, frozen=0.5)
    assert seconds(model, half, work, H100)[1] == pytest.approx(by_hand / 2)


def test_who_waits_for_the_environment_works_ahead(folder: Path) -> None:
    model = shapes(folder)
    quick, slow = (plan(model, RlConfig(), work, H100, 1) for work in (Workload(), SLOW))
    assert slow.staleness == 1 and slow.workers == 2 and slow.used == 1
    turns = slow.rollouts_s + slow.updates_s
    assert turns / 2 <= slow.iteration_s < turns / 1.5
    assert quick.limit != "the environment"


def test_more_devices_are_used_as_far_as_the_trainer_keeps_up(folder: Path) -> None:
    found = plans(shapes(folder), RlConfig(), Workload(), H100, [1, 2, 8, 64])
    rates = [1 / each.iteration_s for each in found]
    # A device more is not used for less than 5%.
    assert all(later > 0.95 * earlier for earlier, later in itertools.pairwise(rates))
    assert rates[2] > 1.5 * rates[0]
    assert all(each.used <= each.devices and each.fits for each in found)
    # What would only wait is left out.
    assert found[-1].used < 64
    large = plan(shapes(folder), RlConfig(groups=2048), Workload(), H100, 64)
    assert large.limit == "updates" and large.iteration_s == large.updates_s


def test_memory_is_that_of_the_check_before_a_run(folder: Path) -> None:
    model = shapes(folder)
    alone = plan(model, RlConfig(), Workload(), H100, 1)
    if not alone.workers:
        assert alone.trainer_bytes == sum(needed(model, RlConfig(), 2).values())
    ahead = plan(model, RlConfig(groups=64), SLOW, H100, 8)
    config = RlConfig(groups=64, staleness=1, workers=ahead.workers)
    assert ahead.worker_bytes * ahead.workers == needed(model, config, 2)["rollout workers"]


def test_what_fits_nowhere_is_said(tmp_path: Path) -> None:
    model = shapes(pretend(tmp_path / "huge", layers=120, width=16_384))
    found = plan(model, RlConfig(), Workload(), H100, 8)
    assert not found.fits and "does not fit" in found.text(H100)


def test_an_unknown_device_names_the_known_ones(folder: Path) -> None:
    with pytest.raises(InputError, match="Unknown device 'h1000'") as error:
        device_named("h1000")
    assert "h100, h200" in str(error.value.hint)
    with pytest.raises(InputError, match="0 devices"):
        plan(shapes(folder), RlConfig(), Workload(), H100, 0)


def test_the_peak_of_this_machine_is_measured_its_shares_are_not() -> None:
    here = this_machine()
    assert not here.measured and 1e7 < here.operations_s < 1e14 and here.bytes_s > 1e6 and here.gib > 0.5


def test_the_command_says_what_is_not_measured(fde: RunFde, folder: Path) -> None:
    told = fde("train", "plan", folder, "--device", "h100", "--wait", "0.2")
    assert told.code == 0 and "not measured" in told.out
    assert [line.split(":")[0] for line in told.out.splitlines()[:3]] == ["1 x h100", "8 x h100", "64 x h100"]
    plain = fde("train", "plan", folder, "--device", "h100", "--devices", "2", "--json").json
    assert set(plain["plans"][0]) == set(Plan.__dataclass_fields__)
    assert fde("train", "plan", folder, "--device", "h100", "--set", "staleness=1").code == 2
    assert fde("train", "plan", folder, "--device", "h100", "--devices", "0").code == 2


def test_what_does_not_fit_one_device_is_divided_among_several(tmp_path: Path) -> None:
    model = shapes(pretend(tmp_path / "large", layers=48, width=5120))
    config = RlConfig(tune="full", frozen=0.0)
    alone, *more = plans(model, config, Workload(), H100, [1, 8, 64])
    assert not alone.fits and "does not fit" in alone.text(H100)
    assert all(each.fits and each.trainers > 1 and each.workers == 0 for each in more)
    assert f"--devices {more[0].trainers}, the weights divided among them" in more[0].text(H100)
    found = needed(model, config, 2, more[0].trainers)
    assert more[0].trainer_bytes == sum(found.values()) <= 80 << 30


def test_devices_that_train_together_wait_for_their_link(folder: Path) -> None:
    model, config, work = shapes(folder), RlConfig(epochs=1, batch_tokens=100_000), Workload(taught=1.0)
    one, two = (together(model, config, work, H100, count) for count in (1, 2))
    tokens = config.groups * (work.prompt_tokens + config.samples * work.said_tokens)
    assert tokens < config.batch_tokens
    # One update: the upper half's layers, twice, of which each lacks a half.
    sent = 2 * 2 * sum(model.linear[16:]) / 2 / 450e9
    assert two[1] == pytest.approx(max(one[1] / 2, 3 * H100.forward_s) + sent)
    slow = replace(H100, link_bytes_s=H100.link_bytes_s / 100)
    assert together(model, config, work, slow, 2)[1] == pytest.approx(two[1] + 99 * sent)
