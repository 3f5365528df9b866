"""Rollouts by vLLM: the local engine's draws and log-probabilities, with the adapter or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_train_workers import Hearing, order, rollout_workers
from train_mini import RL, probe_of, run_rl
from vllm_worker import Both, local, save, toy_tasks

from fde.errors import InputError, MissingError, WorkError
from serve.engine.adapter import AdapterWeights
from serve.engine.local import LocalEngine
from serve.engine.vllm_engine import ENVIRON, VllmEngine
from serve.engine.vllm_remote import ADDRESS, KEY, VllmServerEngine, address, requests_for
from serve.episodes import Group
from serve.prompt import Prompt
from serve.vllm_server import VllmOptions, VllmServer, importable
from train.algorithms import choose
from train.algorithms.choose import settled
from train.lora import Lora
from train.record import Point
from train.settings import RlConfig
from train.starts import Start
from train.workers import wire
from train.workers.crew import Crew, Version
from train.workers.order import Order, carry_out
from train.workers.process import ProcessLink
from train.workers.recipe import Recipe

pytestmark = pytest.mark.usefixtures("tracked")
here = pytest.mark.skipif(not importable(), reason="vLLM is not installed here")

# Two engines' fp32 along different kernels.
CLOSE = 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """While this file is there, the worker's vLLM leaves adapters out."""
    return tmp_path_factory.mktemp("spoiled") / "now"


@pytest.fixture(scope="module")
def unknown(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that vLLM does not know; what the worker's vLLM says of it is in ``said``."""
    made = tmp_path_factory.mktemp("unknown")
    for file in folder.iterdir():
        (made / file.name).write_bytes(file.read_bytes())
    config = json.loads((made / "config.json").read_text())
    (made / "config.json").write_text(json.dumps({**config, "architectures": ["NoSuchModel"]}))
    return made


@pytest.fixture(scope="module")
def worker(folder: Path, spoiled: Path, unknown: Path) -> Iterator[ProcessLink]:
    """One start of vLLM for most tests."""
    settings = {
        "model": str(folder), "dtype": "float32", "by": "vllm", "max_rank": 8,
        "before": "vllm_worker:spoil_on_request",
    }  # fmt: skip
    environ = {**ENVIRON, "SPOILED_WHILE": str(spoiled), "UNKNOWN_MODEL": str(unknown)}
    recipe = Recipe("vllm_worker:for_worker", settings, environ)
    link = ProcessLink(recipe, 1, threads=1, stall_s=60)
    try:
        link.ready()
        yield link
    finally:
        link.close()


def trained(made: LocalEngine, seed: int, strength: float = 0.3) -> Lora:
    """An adapter with an effect, on all layers."""
    lora = Lora(made, rank=8, alpha=16.0, seed=seed)
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, b in lora.tensors.values():
            b.copy_(strength * torch.randn(b.shape, generator=chance))
    lora.merge()
    return lora


def told(link: ProcessLink, lora: Lora, name: str) -> dict[str, object]:
    """What the worker says when it is given the adapter as it is now."""
    made = lora.engine
    probe, _ = probe_of(made, lora)
    plain, tensors = wire.adapter_out(lora.weights())
    said, _ = link.ask({"ask": "adapter", "name": name, "weights": plain, "probe": probe.plain()}, tensors)
    assert said["digest"] == lora.digest()
    probe.compare("vLLM", said["log_probs"], probe.expected())
    return said


def alike(one: list[Group], other: list[Group]) -> float:
    """The largest difference in log-probability, of groups in which the same was drawn."""
    apart = 0.0
    for mine, theirs in zip(one, other, strict=True):
        assert [s.tokens for s in mine.segments] == [s.tokens for s in theirs.segments]
        assert [e.path for e in mine.episodes] == [e.path for e in theirs.episodes]
        assert [e.score for e in mine.episodes] == [e.score for e in theirs.episodes]
        for a, b in zip(mine.segments, theirs.segments, strict=True):
            for x, y in zip(a.decisions, b.decisions, strict=True):
                assert (x.offset, x.allowed, x.chosen) == (y.offset, y.allowed, y.chosen)
                apart = max(apart, abs(x.logprob - y.logprob), abs(x.entropy - y.entropy))
    return apart


def made_by(link: ProcessLink, wanted: Order) -> list[Group]:
    said, tensors = link.ask({"ask": "rollouts", "order": wanted.plain()})
    return wire.groups_in(said, tensors)


@pytest.mark.vllm
@here
def test_vllm_draws_what_the_local_engine_draws(worker: ProcessLink) -> None:
    """With two adapters one after the other, on pages with buttons, with choices and with free text."""
    made = local()
    prompt = Prompt(made.tokenizer)
    whole = tuple(Start(task, 0, True) for task in toy_tasks(3))
    portal = Order(1, whole, {}, 0.05, 4, 6, 7)
    found = []
    for seed in (1, 2):
        lora = trained(made, seed)
        told(worker, lora, f"tiny@{lora.digest()[:12]}")
        for wanted in (order(4), portal):
            groups = made_by(worker, wanted)
            assert alike(groups, carry_out(made, Both(), prompt, wanted)) < CLOSE
            found.append(groups)
    spoken = [d for group in found[1] for segment in group.segments for d in segment.decisions]
    assert any(not decision.allowed for decision in spoken)  # free text
    assert any(len(segment.samples) < 4 for group in found[1] for segment in group.segments)
    with pytest.raises(AssertionError):  # the adapters are not alike
        alike(found[1], found[3])


@pytest.mark.vllm
@here
def test_an_adapter_that_vllm_leaves_out_stops_the_run(worker: ProcessLink, spoiled: Path) -> None:
    """At the first version that has an effect; by the rollouts, where the probe was right."""
    made = local()
    lora = trained(made, 3, strength=0.0)
    probe, _ = probe_of(made, lora)

    def version(number: int) -> Version:
        kept = AdapterWeights(
            lora.rank, lora.alpha, lora.scale,
            {path: (a.detach().clone(), b.detach().clone()) for path, (a, b) in lora.tensors.items()},
        )  # fmt: skip
        return Version(number, f"tiny@{number}", kept.digest(), kept, probe.plain(), tuple(probe.expected()))

    def check(who: str, found: list[float], of: Version) -> None:
        probe.compare(who, found, of.expected)

    class Kept:
        """The shared worker, which outlives the crew."""

        ask = staticmethod(worker.ask)

        def ready(self) -> None: ...

        def end(self) -> None: ...

        def close(self) -> None: ...

    spoiled.touch()
    try:
        with Crew(lambda _: Kept(), 1, check) as crew:
            crew.publish(version(0))  # without effect: nobody can tell
            crew.give(replace(order(2), iteration=1), 1)
            crew.take(1, 1)
            with torch.no_grad():
                next(iter(lora.tensors.values()))[1].fill_(0.3)
            lora.merge()
            crew.publish(version(1))
            crew.give(replace(order(2), iteration=2), 1)
            with pytest.raises(WorkError, match="Rollout worker 1 and trainer disagree"):
                crew.take(2, 1)
    finally:
        spoiled.unlink()


@pytest.mark.vllm
@here
def test_a_model_that_vllm_does_not_know_is_named(worker: ProcessLink, unknown: Path) -> None:
    said = (unknown / "said").read_text()
    assert said.startswith(f"vLLM does not start with {unknown}: ") and "NoSuchModel" in said
    assert "--engine local" in said


@pytest.mark.vllm
@here
def test_a_run_with_vllm_learns_and_outlives_its_worker(
    tmp_path: Path, folder: Path, worker: ProcessLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that the tests above shared is the run's first, and is killed: starts take long."""
    started = [worker]

    def start(*args: Any, **named: Any) -> ProcessLink:
        return started.pop() if started else ProcessLink(*args, **named)

    def kill(point: Point) -> None:
        if point.step == 2:
            (mine,) = rollout_workers(os.getpid())
            mine.kill()

    monkeypatch.setattr("train.workers.supply.ProcessLink", start)
    monkeypatch.setattr(worker, "ready", lambda: None)  # it has been
    points = Hearing(kill)
    config = replace(RL, engine="vllm", iterations=10)
    recipe = Recipe("vllm_worker:for_worker", {"model": str(folder)})
    run = run_rl(tmp_path, config, points=points, recipe=recipe, model=local())
    told = [text for point in points for text in point.alarms if "made again" in text]
    assert len(told) == 1 and "was killed by the system or a person" in told[0]
    assert not started and [point.staleness for point in points] == [0.0] * len(points)
    gaps = [point.gap for point in points if point.gap is not None]
    assert gaps and max(gaps) < CLOSE
    assert json.loads((run.path / "result.json").read_text())["dev_success"] == 1.0
    assert not rollout_workers(os.getpid())


@pytest.mark.vllm
@here
def test_a_server_tells_what_the_local_engine_finds(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two adapters one after the other; free text relative to what the server tells of it. And a run."""
    made = local()
    prompt = Prompt(made.tokenizer)
    options = VllmOptions(dtype="float32", kv_cache_gib=1, max_rank=8)
    with contextlib.ExitStack() as closing:
        server = closing.enter_context(
            VllmServer(folder, served_name="tiny", log_path=tmp_path / "log", options=options)
        )
        server.start()
        key = server.headers["Authorization"].removeprefix("Bearer ")
        with pytest.raises(WorkError, match="refuses /v1/models: 401"):
            VllmServerEngine(folder, tmp_path, url=server.url, key="wrong")
        far = VllmServerEngine(folder, tmp_path, url=server.url, key=key)
        closing.callback(far.close)
        assert far.max_tokens == 4096
        for seed in (1, 2):
            lora = trained(made, seed)
            far.use_adapter(f"tiny@{lora.digest()[:12]}", lora.weights())
            used = far.adapter_in_use()
            assert used is not None and used.digest() == lora.digest()
            groups = carry_out(far, Both(), prompt, order(3))
            assert alike(groups, carry_out(made, Both(), prompt, order(3))) < CLOSE
            free_text_is_close(far, made)
        many = tuple(range(300, 440))  # more than are told at once
        row = made.tokenizer.encode("Press", add_special_tokens=False)
        one, other = (engine.look([(engine.row(), row)], [many]).log_probs[0] for engine in (far, made))
        assert torch.allclose(one, other, atol=CLOSE)
        monkeypatch.setenv(ADDRESS, server.url)
        monkeypatch.setenv(KEY, key)
        run_by_server(tmp_path, folder)
        server.stop()
        with pytest.raises(WorkError, match="does not answer") as lost:
            far.look([(far.row(), row)], [()])
        assert "--enable-lora" in str(lost.value.hint)


def run_by_server(tmp_path: Path, folder: Path) -> None:
    points: list[Point] = []
    recipe = Recipe("vllm_worker:for_worker", {"model": str(folder)})
    config = replace(RL, engine="vllm-server", iterations=4, dev_times=0)
    run = run_rl(tmp_path, config, points=points, recipe=recipe, model=local())
    gaps = [point.gap for point in points if point.gap is not None]
    assert len(points) == 4 and gaps and max(gaps) < CLOSE
    assert all((run.path / name).is_file() for name in run.manifest().outputs)
    assert not list((tmp_path / "client" / ".adapters").iterdir())


def free_text_is_close(far: VllmServerEngine, made: LocalEngine) -> None:
    """The server's log-probabilities of free text, against all of them."""
    row = made.tokenizer.encode('fill textbox "PO number":', add_special_tokens=False)
    found = far.look([(far.row(), row)], [()]).log_probs[0]
    whole = made.look([(made.row(), row)], [()]).log_probs[0][: len(found)]
    known = found.isfinite()
    assert 5 < int(known.sum()) <= 20
    assert bool((whole[known] > float("-inf")).all())
    # This model knows nothing: what is not free text has a share that is not small, and is only told in part.
    assert torch.allclose(found[known], whole[known], atol=0.2)
    assert torch.allclose(found[known].log_softmax(-1), whole[known].log_softmax(-1), atol=CLOSE)


def test_where_the_server_is_must_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)
    with pytest.raises(InputError, match="needs the server's address in FDE_VLLM_SERVER"):
        settled(RlConfig(engine="vllm-server"))
    monkeypatch.setenv(ADDRESS, "gpu-1:8000")
    with pytest.raises(InputError, match="it is 'gpu-1:8000'") as wrong:
        settled(RlConfig(engine="vllm-server"))
    assert "http://" in wrong.value.hint
    monkeypatch.setenv(ADDRESS, "http://gpu-1:8000/v1/")
    assert settled(RlConfig(engine="vllm-server")).correct and address() == "http://gpu-1:8000"


def test_tokens_are_asked_for_in_as_few_requests_as_may_be() -> None:
    allowed: list[tuple[int, ...]] = [
        tuple(range(100)),
        (),
        tuple(range(90, 120)),
        tuple(range(200, 500)),
        (7, 8),
    ]
    asked = list(requests_for(allowed))
    assert asked[0] == ([1], [])
    told: list[set[int]] = [set() for _ in allowed]
    for places, named in asked[1:]:
        assert len(named) <= 128 and len(set(places)) == len(places)
        for place in places:
            told[place].update(named)
    assert all(set(tokens) <= told[place] for place, tokens in enumerate(allowed))
    assert len(asked) == 5


def test_an_adapter_left_out_is_noticed_where_rounding_allows_for_more_than_it_does() -> None:
    made = local()
    lora = trained(made, 4, strength=1e-4)
    probe, _ = probe_of(made, lora)
    effect = float((torch.tensor(probe.expected()) - probe.base).abs().max())
    with torch.no_grad():
        for _, b in lora.tensors.values():
            b.mul_(1.5e-3 / effect)
    lora.merge()
    expected = probe.expected()
    base = probe.base.tolist()
    assert 1e-3 < max(abs(one - other) for one, other in zip(expected, base, strict=True)) < 2e-3
    with pytest.raises(WorkError, match="Somebody computes without the adapter"):
        probe.compare("Somebody", base, expected)
    probe.compare("Somebody", [each + 5e-5 for each in expected], expected)


def test_without_vllm_it_is_said_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "importable", lambda: False)
    with pytest.raises(MissingError, match="--engine vllm needs vLLM") as missing:
        settled(RlConfig(engine="vllm"))
    assert "--engine local" in missing.value.hint
    assert settled(RlConfig(engine="ray-vllm")).correct  # its nodes may have it


def test_a_rank_that_vllm_has_no_kernels_for_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.engine.vllm_engine.importable", lambda: True)
    with pytest.raises(InputError, match="rank 1000 is too large"):
        VllmEngine.load(folder, max_rank=1000)


def test_vllm_has_one_worker_by_default_and_corrects() -> None:
    assert RlConfig(engine="vllm").processes == 1 and RlConfig(engine="vllm", staleness=1).processes == 2
    assert RlConfig(engine="ray-vllm").on_cluster and not RlConfig(engine="vllm").on_cluster
    kinds = {
        engine: RlConfig(engine=engine).by for engine in ("local", "vllm", "vllm-server", "ray", "ray-vllm")
    }
    assert list(kinds.values()) == ["local", "vllm", "vllm-server", "local", "vllm"]
