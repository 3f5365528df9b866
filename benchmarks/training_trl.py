"""TRL's GRPO on the same trajectories, and driving the same environment."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.training_tasks import SAMPLES, Work
from envgen.session import Task

RANK = 16
_MAX_LINE = 48

Rollout = Callable[[Sequence[Any], Any], dict[str, Any]]


def available() -> bool:
    """Whether TRL is installed."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    try:
        import datasets  # noqa: F401
        import trl  # noqa: F401
    except ImportError:
        return False
    return True


def update_seconds(
    model: str, groups: Sequence[Sequence[Any]], layers: Sequence[str], before: Callable[[int], None]
) -> list[float]:
    """Seconds of each of TRL's GRPO updates on given trajectories, one update a group.

    Args:
        layers: Paths of the linear layers that have LoRA.
        before: Is called before each update, with its number.
    """
    turn = iter(groups)

    def rollout(prompts: Sequence[Any], trainer: Any) -> dict[str, Any]:
        lines = next(turn)
        first = min(line.decisions[0].offset for line in lines)
        chosen = [{decision.offset for decision in line.decisions} for line in lines]
        return {
            "prompt_ids": [list(line.tokens[:first]) for line in lines],
            "completion_ids": [list(line.tokens[first:]) for line in lines],
            "logprobs": [[-0.5] * (len(line.tokens) - first) for line in lines],
            "env_mask": [
                [int(place in mine) for place in range(first, len(line.tokens))]
                for line, mine in zip(lines, chosen, strict=True)
            ],
        }

    def reward(prompts: Any, completions: Any, **_: Any) -> list[float]:
        return [float(index % 2) for index in range(SAMPLES)]

    return _seconds(model, rollout, reward, len(groups), before, layers=layers)


def iteration_seconds(
    model: str,
    work: Work,
    iterations: Sequence[Sequence[Task]],
    layers: Sequence[str],
    before: Callable[[int], None],
) -> list[float]:
    """Seconds of each iteration of TRL's GRPO: samples of all groups by its rollout interface, one update.

    The model is shown the same conversation, and held to the same grammar, as by ours; all samples are
    generated as one batch, turn by turn, as TRL's own loop of tool calls does.
    """
    turn = iter(iterations)

    def rollout(prompts: Sequence[Any], trainer: Any) -> dict[str, Any]:
        return _episodes(trainer, work, next(turn))

    def reward(prompts: Any, completions: Any, score: Sequence[float], **_: Any) -> list[float]:
        return list(score)

    size, steps = len(iterations[0]), len(iterations)
    return _seconds(model, rollout, reward, steps, before, layers=layers, size=size, adapter=work.adapter)


def _seconds(
    model: str,
    rollout: Rollout,
    reward: Callable[..., list[float]],
    steps: int,
    before: Callable[[int], None],
    *,
    layers: Sequence[str],
    size: int = 1,
    adapter: Path | None = None,
) -> list[float]:
    """Seconds of each of TRL's steps: the rollouts of ``size`` groups, and one update on them."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from fde.models import model_path

    folder = model_path(model)
    seconds: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            before(len(seconds))
            self.began = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            seconds.append(time.perf_counter() - self.began)

    base: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if adapter is not None:
        peft: Any = PeftModel.from_pretrained(base, adapter, is_trainable=True)
    else:
        lora = LoraConfig(
            r=RANK, lora_alpha=2 * RANK, target_modules=list(layers), task_type="CAUSAL_LM"
        )  # fmt: skip
        peft = get_peft_model(base, lora)
    with tempfile.TemporaryDirectory(prefix="fde-bench-") as scratch:
        # Its defaults save gradient memory by computing every forward twice: here there is memory enough.
        config = GRPOConfig(
            output_dir=scratch, per_device_train_batch_size=SAMPLES, num_generations=SAMPLES, beta=0.0,
            gradient_accumulation_steps=size, max_steps=steps, loss_type="dr_grpo", report_to=[],
            logging_strategy="no", save_strategy="no", use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(), gradient_checkpointing=False, disable_tqdm=True,
            max_completion_length=4096,
        )  # fmt: skip
        trainer = GRPOTrainer(
            model=peft,
            processing_class=AutoTokenizer.from_pretrained(folder),
            args=config,
            train_dataset=Dataset.from_list([{"prompt": "x"}] * 64),
            reward_funcs=reward,
            rollout_func=rollout,
            callbacks=[Clock()],
        )
        with contextlib.redirect_stdout(sys.stderr):  # where it tells its figures
            trainer.train()
    if len(seconds) != steps:
        raise RuntimeError(f"TRL made {len(seconds)} steps, not {steps}")
    return seconds


class _Sample:
    """One episode as TRL sees it: a prompt, and what follows with a mask of the model's own tokens."""

    def __init__(self, grammar: Any, prompt: Any, work: Work, task: Task) -> None:
        from serve.prompt import opening

        self.grammar, self.prompt, self.most = grammar, prompt, work.max_actions
        self.session = work.session(task)
        view = self.session.reset(task)
        self.page, self.potential = view.page, view.potential
        self.first = prompt.shared_tokens() + prompt.first_tokens(opening(task.instruction, view.text))
        self.said: list[int] = []
        self.mask: list[int] = []
        self.seen: Counter[tuple[Any, str]] = Counter()
        self.done = False
        self.begin_line()

    def begin_line(self) -> None:
        from serve.grammar import Cursor

        self.cursor = Cursor(self.grammar, self.grammar.trie(self.page))

    def take(self, tokens: Sequence[int]) -> None:
        """Append the line that was generated and act on it."""
        from ingest.action import Action
        from serve.agent import STUCK_AFTER

        for token in tokens:
            if self.cursor.finished:
                break
            self.cursor.take(token)
            self.said.append(token)
            self.mask.append(1)
        if not self.cursor.finished:
            self.done = True  # cut off in the middle of a line
            return
        line = self.cursor.line()
        self.seen[self.page, line] += 1
        view = self.session.step(Action.parse(line))
        self.potential = view.potential
        stuck = self.seen[self.page, line] >= STUCK_AFTER
        self.done = view.finished or stuck or self.seen.total() >= self.most
        if self.done:
            return
        told = self.prompt.next_tokens(view.text) if view.text else []
        self.said += told
        self.mask += [0] * len(told)
        self.page = view.page
        self.begin_line()

    def score(self) -> float:
        """Success; of a scene by itself, the milestones reached."""
        value = self.session.score().value
        return float((self.potential or 0.0) if value is None else value)


def _episodes(trainer: Any, work: Work, tasks: Sequence[Task]) -> dict[str, Any]:
    """The samples of each task, generated turn by turn with transformers."""
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    from serve.grammar import Grammar
    from serve.prompt import Prompt

    tokenizer = trainer.processing_class
    model = trainer.accelerator.unwrap_model(trainer.model)
    device = next(model.parameters()).device
    grammar, prompt = Grammar(tokenizer, int(model.config.vocab_size)), Prompt(tokenizer)
    samples = [_Sample(grammar, prompt, work, task) for task in tasks for _ in range(SAMPLES)]
    how = GenerationConfig(
        max_new_tokens=_MAX_LINE, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
        eos_token_id=grammar.newline, pad_token_id=tokenizer.pad_token_id or 0,
    )  # fmt: skip
    while active := [sample for sample in samples if not sample.done]:
        contexts = [sample.first + sample.said for sample in active]
        longest = max(map(len, contexts))
        ids = torch.zeros(len(active), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for index, context in enumerate(contexts):
            ids[index, longest - len(context) :] = torch.tensor(context)
            mask[index, longest - len(context) :] = 1
        allowed = _Allowed(grammar, [sample.cursor.copy() for sample in active], longest)
        with torch.no_grad():
            out = model.generate(
                input_ids=ids.to(device), attention_mask=mask.to(device), generation_config=how,
                logits_processor=LogitsProcessorList([allowed]),
            )  # fmt: skip
        for sample, tokens in zip(active, out[:, longest:].tolist(), strict=True):
            sample.take(tokens)
    return {
        "prompt_ids": [sample.first for sample in samples],
        "completion_ids": [sample.said for sample in samples],
        "logprobs": [[-0.5] * len(sample.said) for sample in samples],
        "env_mask": [sample.mask for sample in samples],
        "score": [sample.score() for sample in samples],
    }


class _Allowed:
    """Leaves transformers' generation what the grammar allows in each row. A logits processor."""

    def __init__(self, grammar: Any, cursors: Sequence[Any], fed: int) -> None:
        self.grammar, self.cursors, self.fed = grammar, cursors, fed
        self.free = grammar.free_tokens()

    def __call__(self, ids: Any, scores: Any) -> Any:
        import torch

        possible = torch.zeros_like(scores, dtype=torch.bool)
        new = ids[:, self.fed :].tolist()
        self.fed = ids.shape[1]
        for row, (cursor, tokens) in enumerate(zip(self.cursors, new, strict=True)):
            for token in tokens:
                if not cursor.finished:
                    cursor.take(token)
            if cursor.finished:
                possible[row, self.grammar.newline] = True
            elif cursor.free:
                possible[row] = self.free.to(scores.device)
            else:
                possible[row, list(cursor.allowed())] = True
        return scores.masked_fill(~possible, float("-inf"))
