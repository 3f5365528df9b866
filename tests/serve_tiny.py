"""A tiny random Llama with a byte tokenizer, adapters for it, and an engagement that trained them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fde.artifacts import digest, digest_file
from fde.engagement import Engagement, Run
from fde.models import BASE_KEY
from serve.engine.adapter import CONFIG_FILE, WEIGHTS_FILE
from serve.engine.full import FullWeights, full_files

RANK = 4
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_model(folder: Path, *, layers: int = 2, width: int = 64) -> Path:
    """Save a random model (64-wide heads, as vLLM's kernels want) and its tokenizer."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({character: i for i, character in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=TEMPLATE
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 64),
        num_key_value_heads=max(1, width // 64),
        head_dim=64,
        max_position_embeddings=512,
        initializer_range=0.2,
        eos_token_id=fast.eos_token_id,
        bos_token_id=None,
        pad_token_id=fast.pad_token_id,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_adapter(
    folder: Path, base: Path, *, strength: float, seed: int = 1, quantized: str | None = None
) -> Path:
    """Save a peft LoRA of the query and value projections; ``strength`` 0 has no effect."""
    config = json.loads((base / "config.json").read_text())
    width, heads = config["hidden_size"], config["num_attention_heads"] * config["head_dim"]
    chance = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        for name in ("q_proj", "v_proj"):
            path = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            tensors[f"{path}.lora_A.weight"] = torch.randn(RANK, width, generator=chance)
            tensors[f"{path}.lora_B.weight"] = strength * torch.randn(heads, RANK, generator=chance)
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {BASE_KEY: quantized} if quantized else {"format": "pt"}
    save_file(tensors, folder / "adapter_model.safetensors", metadata=metadata)
    (folder / "adapter_config.json").write_text(
        json.dumps(
            {
                "peft_type": "LORA",
                "task_type": "CAUSAL_LM",
                "base_model_name_or_path": str(base),
                "r": RANK,
                "lora_alpha": 2 * RANK,
                "lora_dropout": 0.0,
                "target_modules": ["q_proj", "v_proj"],
                "bias": "none",
            }
        )
    )
    return folder


def make_tuned(folder: Path, base: Path, *, strength: float, seed: int = 1) -> Path:
    """Save weights of the last layer that were tuned themselves."""
    chance = torch.Generator().manual_seed(seed)
    layer = json.loads((base / "config.json").read_text())["num_hidden_layers"] - 1
    tensors = {
        name: tensor + strength * tensor.std(correction=0) * torch.randn(tensor.shape, generator=chance)
        for name, tensor in load_file(base / "model.safetensors").items()
        if f".layers.{layer}." in name and "norm" not in name
    }
    names = (CONFIG_FILE, WEIGHTS_FILE)
    folder.mkdir(parents=True, exist_ok=True)
    weights = FullWeights(tensors)
    for name, content in full_files(weights, base_model=str(base), layers=[layer], names=names).items():
        (folder / name).write_bytes(content)
    return folder


def make_engagement(root: Path, base: Path, extra: str = "") -> Engagement:
    return Engagement.create(root, f'[engagement]\nname = "Tiny"\n[model]\nbase = "{base}"\n{extra}')


def train(
    engagement: Engagement,
    stage: str,
    base: Path,
    *,
    strength: float,
    seed: int = 1,
    tuned: bool = False,
    quantized: str | None = None,
) -> Run:
    """A finished run of a training stage, as training leaves it.

    Args:
        tuned: All weights of a layer.
        quantized: An adapter to the base model in so many bits.
    """
    weights = digest({"model.safetensors": digest_file(base / "model.safetensors")})
    run = engagement.run(
        stage, inputs={"model": weights}, config={"model": "tiny", "strength": strength}, seed=seed
    )
    with engagement.working(run):
        folder = run.path / "adapter"
        if tuned:
            made = make_tuned(folder, base, strength=strength, seed=seed)
        else:
            made = make_adapter(folder, base, strength=strength, seed=seed, quantized=quantized)
        name = f"{stage.split('-', 1)[1]}@{digest_file(made / WEIGHTS_FILE)}"
        run.write_json("result.json", {"base": str(base), "adapter": name})
        run.finish()
    return run
