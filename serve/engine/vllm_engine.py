"""vLLM as an engine for rollouts, in this process. The same on a CPU and on CUDA.

A choice is one request: the row's tokens go in, one token comes out and is thrown away, and the logits it
would have been drawn from are read (:mod:`serve.engine.vllm_tap`). So draws, grammar and trees of samples
are the agent's, as with the local engine, log-probabilities are those among the allowed tokens, and tokens
that are forced cost no forward of their own. What a row has in common with earlier ones, its own past first
of all, vLLM finds in its prefix cache.

An adapter is loaded under its name, which has the digest of its weights, from a folder of its own: vLLM's
cache is keyed by both, so that nothing an older version computed is ever found again.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fde import models
from fde.errors import InputError, MissingError, WorkError
from serve.engine import adapter as adapters
from serve.engine.adapter import Tuned
from serve.engine.interface import among
from serve.engine.token_rows import TokenRows
from serve.grammar import Grammar
from serve.vllm_server import LORA_RANKS, importable, on_cpu

# Requests that are computed together, tokens of one forward, and tokens that the cache holds.
_ROWS, _FLAT, _CACHE_TOKENS = 64, 2048, 64 * 768
# Tokens of a piece of cache that rows can share. Less than a whole piece is computed again for each choice;
# vLLM's kernels for CPUs want multiples of 32, its own default there is 128.
_CPU_BLOCK = 32
# vLLM refuses to start where less than this share of a GPU is free; its cache has a size of its own here.
_GPU_SHARE = 0.05
# What the environment of a process must have, from its start, in which vLLM is to compute on a CPU: threads
# that wait by spinning take the cores from the trainer's.
ENVIRON = {"OMP_WAIT_POLICY": "PASSIVE"}
# What is repeated of what vLLM says.
_SAID = 500
_HINT = "Make rollouts with the local engine instead: --engine local"


class VllmEngine(TokenRows):
    """A running vLLM of this process, which has one only. See :class:`serve.engine.interface.Engine`.

    Args:
        llm: A ``vllm.LLM`` with :class:`serve.engine.vllm_tap.Tap` in it.
        capacity: Tokens its cache holds.
    """

    def __init__(self, llm: Any, tokenizer: Any, *, capacity: int, name: str) -> None:
        from serve.engine.vllm_tap import caught

        super().__init__(capacity)
        config = llm.llm_engine.model_config
        self.name = name
        self.tokenizer = tokenizer
        self.grammar = Grammar(tokenizer, config.get_vocab_size())
        self.max_tokens = int(config.max_model_len)
        self.adapter: str | None = None
        self._llm = llm
        self._caught = caught
        self._caught.counters = self.counters
        self._free: Tensor | None = None
        self._numbers = itertools.count(1)
        self._loaded: tuple[Any, Tuned] | None = None
        self._files = tempfile.TemporaryDirectory(prefix="fde-adapters-")

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        dtype: str = "auto",
        max_rank: int = 16,
        cache_tokens: int = _CACHE_TOKENS,
    ) -> VllmEngine:
        """Start vLLM on a base model, by its name or folder.

        Args:
            dtype: ``float32``, ``bfloat16``, or ``auto``: bfloat16 on a GPU, fp32 on a CPU.
            max_rank: Of adapters that will be used.
            cache_tokens: Tokens whose keys and values fit into the cache, which is reserved at once. A row
                may have half of them.

        Raises:
            MissingError: vLLM is not installed, or there is no such model.
            InputError: the rank is larger than vLLM's largest, or the model's files cannot be read.
            WorkError: vLLM does not start with this model.
        """
        if not importable():
            raise MissingError("vLLM is not installed in this environment.", _HINT)
        rank = next((rank for rank in LORA_RANKS if rank >= max_rank), None)
        if rank is None:
            raise InputError(
                f"LoRA rank {max_rank} is too large: vLLM takes at most {LORA_RANKS[-1]}.", _HINT
            )
        folder = models.model_path(model)
        kind = dtype if dtype != "auto" else ("float32" if on_cpu() else "bfloat16")
        able, each = _limits(folder, 4 if kind == "float32" else 2)
        _prepare()
        try:
            from transformers import AutoTokenizer
            from vllm import LLM

            from serve.engine.vllm_tap import Tap

            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            llm = LLM(
                model=str(folder),
                skip_tokenizer_init=True,  # ids go in and come out, and nothing is encoded again
                generation_config="vllm",
                load_format="safetensors",
                dtype=kind,
                max_model_len=min(able, cache_tokens // 2),
                max_num_seqs=_ROWS,
                max_num_batched_tokens=_FLAT,
                enable_chunked_prefill=True,
                enable_prefix_caching=True,
                kv_cache_memory_bytes=cache_tokens * each,
                gpu_memory_utilization=_GPU_SHARE,
                enable_lora=True,
                max_lora_rank=rank,
                max_loras=1,
                max_cpu_loras=2,
                logits_processors=[Tap],
                async_scheduling=False,
                enforce_eager=on_cpu(),
                seed=0,
                **({"block_size": _CPU_BLOCK} if on_cpu() else {}),
            )
        except Exception as error:  # whatever it is, it is vLLM's, and has many names
            said = " ".join(str(error).split())[:_SAID]
            raise WorkError(
                f"vLLM does not start with {model}: {type(error).__name__}: {said}", _HINT
            ) from error
        return cls(llm, tokenizer, capacity=cache_tokens, name=str(model))

    @property
    def on_cpu(self) -> bool:
        """Whether vLLM's build is the one for CPUs."""
        return on_cpu()

    def _log_probs(self, rows: Sequence[list[int]], allowed: Sequence[tuple[int, ...]]) -> list[Tensor]:
        logits = self._logits(rows)
        return among(
            allowed,
            lambda owners, ids: logits[owners, ids],
            lambda chunk: logits[chunk],
            lambda: self._free_tokens(logits.device),
            logits.device,
        )

    def _logits(self, rows: Sequence[list[int]]) -> Tensor:
        """What vLLM finds for the token after each row, ``[rows, vocabulary]`` in fp32.

        Raises:
            WorkError: when it did not compute one.
        """
        from vllm import SamplingParams

        from serve.engine.vllm_tap import ITEM

        params = [
            SamplingParams(max_tokens=1, temperature=0.0, detokenize=False, extra_args={ITEM: item})
            for item in range(len(rows))
        ]
        prompts = [{"prompt_token_ids": list(row)} for row in rows]
        lora = self._loaded[0] if self._loaded else None
        try:
            self._llm.generate(prompts, params, use_tqdm=False, lora_request=lora)
            logits = self._caught.take(len(rows))
        except Exception as error:  # whatever it is, it is vLLM's, and has many names
            raise WorkError(f"vLLM failed: {type(error).__name__}: {error}", _HINT) from error
        return logits[:, : self.grammar.vocabulary]

    def _free_tokens(self, device: torch.device) -> Tensor:
        if self._free is None:
            self._free = self.grammar.free_tokens().to(device)
        return self._free

    # Adapters

    def use_adapter(self, name: str, weights: Tuned) -> None:
        """Compute with an adapter from now on, under a name that no other weights may have.

        Raises:
            WorkError: when vLLM does not take it.
        """
        from vllm.lora.request import LoRARequest

        number = next(self._numbers)
        folder = Path(self._files.name) / str(number)
        folder.mkdir()
        for file, content in adapters.files_of(weights, base_model=self.name).items():
            (folder / file).write_bytes(content)
        lora = LoRARequest(name, number, str(folder))
        engine = self._llm.llm_engine
        try:
            taken = engine.add_lora(lora) and number in engine.list_loras()
        except Exception as error:  # whatever it is, it is vLLM's, and has many names
            raise WorkError(f"vLLM does not take the adapter {name}: {error}", _HINT) from error
        if not taken:
            raise WorkError(f"vLLM does not take the adapter {name}, and does not say why.", _HINT)
        # What vLLM was given, read from the files that it read.
        self._loaded, before = (lora, adapters.read(folder)), self._loaded
        self.adapter = name
        if before is not None:
            engine.remove_lora(before[0].lora_int_id)
            shutil.rmtree(before[0].lora_path, ignore_errors=True)

    def adapter_in_use(self) -> Tuned | None:
        """The adapter as vLLM read it; None while it computes with the base model."""
        return self._loaded[1] if self._loaded else None


def _prepare() -> None:
    """Settings that vLLM reads when it is imported or started."""
    os.environ.update(
        {
            # In this process, where the tap's logits can be read; the first runner is the one with taps.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_USE_V2_MODEL_RUNNER": "0",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_LOGGING_LEVEL": "WARNING",
        }
    )
    os.environ.pop("VLLM_CPU_KVCACHE_SPACE", None)  # it would override the cache's size


def _limits(folder: Path, bytes_each: int) -> tuple[int, int]:
    """Tokens a conversation of the model may have, and bytes of cache one takes."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config = config.get("text_config", config)
        heads = int(config["num_attention_heads"])
        size = int(config.get("head_dim") or config["hidden_size"] // heads)
        each = 2 * int(config["num_hidden_layers"]) * int(config.get("num_key_value_heads") or heads) * size
        return int(config.get("max_position_embeddings") or 1 << 20), each * bytes_each
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"The model in {folder} cannot be read: {error}", "See: fde model list") from error
