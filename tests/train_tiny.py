"""A tiny random model with a tokenizer of its own, for tests that need a model and no knowledge."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from serve.engine.local import LocalEngine
from serve.engine.quantised import quantise_layers

# Many small matrices: a second thread costs more than it gives.
torch.set_num_threads(1)

TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
_CORPUS = [
    'click link "INV-20431"\nclick button "Search"\nfill searchbox "Search": INV-12345\ndone\n',
    'select combobox "Cost centre": CC-110\nselect combobox "Approver": Head of finance\n',
    'textbox "PO number": PO-71234\nTask: Code and route invoice\n'
    "# Inbox\nVendor: Amount: Category: Contract\n",
] * 4


def tokenizer() -> Any:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<|start|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_CORPUS, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|end|>")
    fast.chat_template = TEMPLATE
    return fast


def model(seed: int = 0, *, layers: int = 3, kv_heads: int = 2, width: int = 64, **extra: Any) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=448,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        initializer_range=0.08,
        **extra,
    )
    return LlamaForCausalLM(config).eval()


def engine(seed: int = 0, *, split: int = 0, nf4: bool = False, **shape: Any) -> LocalEngine:
    made = model(seed, **shape)
    if nf4:
        quantise_layers(made)
    return LocalEngine(made, tokenizer(), split=split, name="tiny")
