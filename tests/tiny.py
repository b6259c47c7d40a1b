"""Tiny random models and tokenizers: for mechanisms, they say nothing about language."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

WIDTH, BLOCKS, VOCABULARY, LABELS = 16, 3, 40, 5
SPECIAL_IDS = [0, 1, 2]
_COMMON = {
    "vocab_size": VOCABULARY,
    "num_labels": LABELS,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_LLAMA_LIKE = {
    "hidden_size": WIDTH,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}
_BERT_LIKE = {
    "hidden_size": WIDTH,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}
SHAPES = {
    "bert": _BERT_LIKE,
    "roberta": _BERT_LIKE,
    "camembert": _BERT_LIKE,
    "xlm-roberta": _BERT_LIKE,
    "distilbert": {
        "dim": WIDTH, "n_layers": BLOCKS, "n_heads": 2, "hidden_dim": 32,
        "max_position_embeddings": 64,
    },
    "gpt2": {"n_embd": WIDTH, "n_layer": BLOCKS, "n_head": 2, "n_positions": 64},
    "llama": _LLAMA_LIKE,
    "mistral": _LLAMA_LIKE,
    "qwen2": _LLAMA_LIKE,
    "qwen3": _LLAMA_LIKE,
}  # fmt: skip


def make_tiny_model(family: str, seed: int = 0, **changes) -> PreTrainedModel:
    config = AutoConfig.for_model(family, **{**_COMMON, **SHAPES[family], **changes})
    config.special_token_ids = SPECIAL_IDS
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForTokenClassification.from_config(config)
        # Larger than the usual 0.02, and biases too, so that no wrong value is near a right one.
        for parameter in model.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model.eval()


def make_tiny_tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    vocabulary = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "##s", *dict.fromkeys(words)]
    backend = Tokenizer(
        models.WordPiece({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        unk_token="[UNK]",
    )  # fmt: skip


def make_tiny_batch() -> dict[str, torch.Tensor]:
    ids = torch.tensor([[1, 5, 6, 7, 8, 9, 2], [1, 10, 11, 12, 2, 0, 0]])
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def save_tiny(folder: Path, words: list[str]) -> None:
    """Save a tiny BERT and its tokenizer in the Hub's format."""
    make_tiny_model("bert").save_pretrained(folder)
    make_tiny_tokenizer(words).save_pretrained(folder)
