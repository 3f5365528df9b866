"""TRL's GRPO on the same trajectories, and driving the same environment."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.training_tasks import SAMPLES, Form, make_task

RANK = 16
MAX_ACTIONS = 8
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


def update_rate(model: str, groups: Sequence[Sequence[Any]]) -> float:
    """Tokens of trajectory per second of TRL's GRPO updates on given trajectories, one update a group."""
    turn = iter([groups[0], *groups])  # the first update warms up

    def rollout(prompts: Sequence[Any], trainer: Any) -> dict[str, Any]:
        lines = next(turn)
        first = lines[0].decisions[0].offset
        said = [list(line.tokens[first:]) for line in lines]
        return {
            "prompt_ids": [list(line.tokens[:first]) for line in lines],
            "completion_ids": said,
            "logprobs": [[-0.5] * len(tokens) for tokens in said],
        }

    seconds = _seconds(model, rollout, lambda **_: [float(i % 2) for i in range(SAMPLES)], len(groups) + 1)
    return sum(len(line.tokens) for lines in groups for line in lines) / sum(seconds[1:])


def iteration_seconds(model: str, seeds: Sequence[int]) -> list[float]:
    """Seconds of each iteration of TRL's GRPO: eight samples of a form by its rollout interface, one update.

    The model is shown the same conversation, and held to the same grammar, as by ours; all samples of a
    group are generated as one batch, turn by turn.
    """
    turn = iter([seeds[0], *seeds])

    def rollout(prompts: Sequence[Any], trainer: Any) -> dict[str, Any]:
        return _episodes(trainer, next(turn))

    def reward(score: Sequence[float], **_: Any) -> list[float]:
        return list(score)

    return _seconds(model, rollout, reward, len(seeds) + 1)[1:]


def _seconds(model: str, rollout: Rollout, reward: Callable[..., list[float]], steps: int) -> list[float]:
    """Seconds of each of TRL's steps, rollout and update."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from fde.models import model_path

    folder = model_path(model)
    seconds: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            seconds.append(time.perf_counter() - self.began)

    def reward_func(prompts: Any, completions: Any, **named: Any) -> list[float]:
        return reward(**named)

    with tempfile.TemporaryDirectory(prefix="fde-bench-") as scratch:
        config = GRPOConfig(
            output_dir=scratch, per_device_train_batch_size=SAMPLES, num_generations=SAMPLES, beta=0.0,
            max_steps=steps, loss_type="dr_grpo", report_to=[], logging_strategy="no",
            save_strategy="no", use_cpu=not torch.cuda.is_available(), bf16=torch.cuda.is_available(),
            gradient_checkpointing=False, disable_tqdm=True, max_completion_length=1024,
        )  # fmt: skip
        trainer = GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
            processing_class=AutoTokenizer.from_pretrained(folder),
            args=config,
            train_dataset=Dataset.from_list([{"prompt": "x"}] * 64),
            reward_funcs=reward_func,
            peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear"),
            rollout_func=rollout,
            callbacks=[Clock()],
        )
        trainer.train()
    return seconds


class _Sample:
    """One episode as TRL sees it: a prompt, and what follows with a mask of the model's own tokens."""

    def __init__(self, grammar: Any, prompt: Any, seed: int) -> None:
        from serve.prompt import opening

        self.grammar, self.prompt, self.session = grammar, prompt, Form(seed)
        task = make_task(seed)
        view = self.session.reset(task)
        self.page = view.page
        self.first = prompt.shared_tokens() + prompt.first_tokens(opening(task.instruction, view.text))
        self.said: list[int] = []
        self.mask: list[int] = []
        self.actions = 0
        self.done = False
        self.begin_line()

    def begin_line(self) -> None:
        from serve.grammar import Cursor

        self.cursor = Cursor(self.grammar, self.grammar.trie(self.page))

    def take(self, tokens: Sequence[int]) -> None:
        """Append the line that was generated and act on it."""
        from ingest.action import Action

        for token in tokens:
            if self.cursor.finished:
                break
            self.cursor.take(token)
            self.said.append(token)
            self.mask.append(1)
        if not self.cursor.finished:
            self.done = True  # cut off in the middle of a line
            return
        self.actions += 1
        view = self.session.step(Action.parse(self.cursor.line()))
        self.done = view.finished or self.actions >= MAX_ACTIONS
        if self.done:
            return
        told = self.prompt.next_tokens(view.text) if view.text else []
        self.said += told
        self.mask += [0] * len(told)
        self.page = view.page
        self.begin_line()


def _episodes(trainer: Any, seed: int) -> dict[str, Any]:
    """The samples of one form, generated turn by turn with transformers."""
    import torch
    from transformers import GenerationConfig

    from serve.grammar import Grammar
    from serve.prompt import Prompt

    tokenizer = trainer.processing_class
    model = trainer.accelerator.unwrap_model(trainer.model)
    device = next(model.parameters()).device
    grammar, prompt = Grammar(tokenizer, int(model.config.vocab_size)), Prompt(tokenizer)
    free = grammar.free_tokens().nonzero()[:, 0].tolist()
    samples = [_Sample(grammar, prompt, seed) for _ in range(SAMPLES)]
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
        cursors = [sample.cursor.copy() for sample in active]

        def possible(row: int, so_far: Any, cursors: Any = cursors, longest: int = longest) -> list[int]:
            cursor = cursors[row]
            for token in so_far[longest + len(cursor.tokens) :].tolist():
                if not cursor.finished:
                    cursor.take(token)
            if cursor.finished:
                return [grammar.newline]
            return free if cursor.free else list(cursor.allowed())

        with torch.no_grad():
            out = model.generate(
                input_ids=ids.to(device), attention_mask=mask.to(device), generation_config=how,
                prefix_allowed_tokens_fn=possible,
            )  # fmt: skip
        for sample, tokens in zip(active, out[:, longest:].tolist(), strict=True):
            sample.take(tokens)
    return {
        "prompt_ids": [sample.first for sample in samples],
        "completion_ids": [sample.said for sample in samples],
        "logprobs": [[-0.5] * len(sample.said) for sample in samples],
        "env_mask": [sample.mask for sample in samples],
        "score": [sample.session.score().value for sample in samples],
    }
