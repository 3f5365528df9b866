"""Money, the verdict, and what would change it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from evaluate_made_up import ARMS, engagement_with_results

from evaluate.costs import TEMPLATE, CostInputs, Effort, arm_costs, frontier_per_task
from evaluate.results import compare, find_run
from evaluate.settings import settings
from fde.errors import InputError

INPUTS = CostInputs(
    tasks_per_month=1000,
    horizon_months=10,
    human_minutes_per_task=6,
    human_hourly_wage=60,
    human_error_rate=0.0,
    rework_minutes_per_error=10,
    review_minutes_per_task=0,
    machine_hourly_price=3.6,
    engineering_hourly_wage=100,
)


def test_costs_by_hand() -> None:
    found = arm_costs(INPUTS, Effort("rl", build_seconds=1000), success=0.9, machine_seconds=10)
    assert found.per_task == pytest.approx(0.01)  # 10 s at 3.60 an hour
    assert found.per_success == pytest.approx(0.01 + 0.1 * 10)  # a tenth is mended for 10
    assert found.one_off == pytest.approx(56 * 100 + 1.0)
    assert found.saving_per_task == pytest.approx(6 - 1.01)
    assert found.net == pytest.approx((4.99 * 1000 - 400) * 10 - 5601)
    assert found.break_even_tasks == pytest.approx(5601 / 4.99)
    assert found.break_even_months == pytest.approx(5601 / 4590)


def test_an_arm_that_costs_more_than_a_person_never_breaks_even() -> None:
    found = arm_costs(INPUTS, Effort("prompt"), success=0.0, machine_seconds=0)
    assert found.saving_per_task < 0
    assert found.break_even_tasks is None and found.break_even_months is None


def test_frontier_price_is_that_of_the_tokens() -> None:
    assert frontier_per_task(INPUTS, 1_000_000, 100_000) == pytest.approx(3.0 + 1.5)


def test_the_template_is_the_defaults(engagement) -> None:  # type: ignore[no-untyped-def]
    engagement.config_path.write_text('[engagement]\nname = "x"\n' + TEMPLATE)
    chosen = settings(engagement)
    assert chosen.costs == CostInputs()
    assert chosen.costs is not None and "tasks_per_month" in chosen.costs.model_fields_set


@pytest.mark.parametrize(
    "line, told",
    [
        ("tasks_per_month = 0", "tasks_per_month"),
        ('human_hourly_wage = "much"', "human_hourly_wage"),
        ("tasks_a_month = 5", "tasks_a_month"),
        ("engineering_hours = {magic = 4}", "magic"),
        ("ranges = {wrong = [1, 2]}", "wrong"),
        ("ranges = {tasks_per_month = [5, 2]}", "tasks_per_month"),
    ],
)
def test_wrong_inputs_are_named_with_their_line(engagement, line: str, told: str) -> None:  # type: ignore[no-untyped-def]
    engagement.config_path.write_text(f'[engagement]\nname = "x"\n\n[evaluate.costs]\n{line}\n')
    with pytest.raises(InputError, match=told) as raised:
        settings(engagement)
    assert "line 5" in str(raised.value)


def comparison(root: Path, n: int = 120, **changes: tuple[float, float]) -> dict:  # type: ignore[type-arg]
    arms = {
        name: (*arm[:3], *changes.get(name.replace("-", "_"), arm[3:5]), arm[5]) for name, arm in ARMS.items()
    }
    made = engagement_with_results(root, arms=arms, n=n, disturbed=n // 2)
    return compare(made, find_run(made))


def test_training_that_beats_everything_is_advised(tmp_path: Path) -> None:
    found = comparison(tmp_path / "e", replay=(0.5, 0.2))
    assert found["verdict"] == "train"
    assert found["decision"]["advised"] == "rl-main"
    low, high = found["decision"]["advantage"]["ci"]
    assert 0 < low < found["decision"]["advantage"]["value"] < high
    assert any("success of the trained arm fell" in change for change in found["decision"]["would_change"])


def test_a_replay_that_solves_it_means_not_to_train(tmp_path: Path) -> None:
    found = comparison(tmp_path / "e", replay=(1.1, 1.1))
    assert found["verdict"] == "don't train"
    assert found["decision"]["advised"] == "replay"
    assert "100%" in found["decision"]["headline"]
    assert found["decision"]["caveats"]  # its success holds by construction


def test_when_rl_is_no_better_than_fine_tuning_the_simpler_is_advised(tmp_path: Path) -> None:
    found = comparison(tmp_path / "e", replay=(0.5, 0.2), rl_main=(0.92, 0.85), sft_program=(0.915, 0.845))
    assert found["verdict"] == "train"
    assert found["decision"]["advised"] == "sft-program"


def test_too_few_tasks_are_undecided_and_say_how_many_would_do(tmp_path: Path) -> None:
    found = comparison(tmp_path / "e", n=8, replay=(0.80, 0.7), rl_main=(0.93, 0.85))
    assert found["verdict"] == "undecided"
    assert found["decision"]["tasks_needed"] > 12


def test_a_tie_with_the_replay_is_no_reason_to_train(tmp_path: Path) -> None:
    found = comparison(tmp_path / "e", replay=(1.1, 1.1), rl_main=(1.1, 1.1))
    assert found["verdict"] == "don't train" and found["decision"]["advised"] == "replay"
    low, high = found["decision"]["advantage"]["ci"]
    assert low < found["decision"]["advantage"]["value"] < high  # 180 equal tasks leave room


def test_when_every_arm_loses_money_nothing_is_automated(tmp_path: Path) -> None:
    bad = (0.05, 0.05)
    found = comparison(
        tmp_path / "e", replay=bad, sft_recordings=bad, sft_program=bad, rl_main=bad, few_shot=bad, rag=bad
    )
    assert found["verdict"] == "don't automate"
    assert found["decision"]["advised"] is None


def test_without_a_trained_arm_there_is_no_verdict(tmp_path: Path) -> None:
    arms = {name: arm for name, arm in ARMS.items() if arm[1] not in ("sft", "rl")}
    made = engagement_with_results(tmp_path / "e", arms=arms, live=0)
    found = compare(made, find_run(made))
    assert found["verdict"] == "undecided"
    assert found["comparisons"] == [] and found["sensitivity"] == []


def test_prices_are_read_anew(tmp_path: Path) -> None:
    made = engagement_with_results(tmp_path / "e")
    run = find_run(made)
    before = compare(made, run)
    made.config_path.write_text('[engagement]\nname = "x"\n[evaluate.costs]\nhuman_minutes_per_task = 0.1\n')
    after = compare(made, run)
    assert after["verdict"] == "don't automate" != before["verdict"]
    assert [arm["success"] for arm in after["arms"]] == [arm["success"] for arm in before["arms"]]
    assert after["costs"]["own"] == ["human_minutes_per_task"]


def test_a_policy_that_fails_on_the_real_application_is_not_advised(tmp_path: Path) -> None:
    made = engagement_with_results(
        tmp_path / "e", arms={**ARMS, "replay": (*ARMS["replay"][:3], 0.5, 0.2, 0.01)}, live=40
    )
    assert compare(made, find_run(made))["verdict"] == "train"
    path = next(made.stages.glob("evaluate/*/arms/rl-main.live.json"))
    arm = json.loads(path.read_text())
    for row in arm["rows"][:20]:
        row["value"] = 0.0
    path.write_text(json.dumps(arm))
    found = compare(made, find_run(made))
    assert found["verdict"] == "undecided" and "real application" in found["decision"]["headline"]
