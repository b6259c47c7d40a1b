"""How near the machine's limit training and extraction come, and where the rest of the time goes.

The limit is the rate at which this machine multiplies matrices, measured in the same process, in
float32 and bfloat16, at the sizes that the model uses and at 1024³. The operations of the model are
counted (`flops`), for real tokens only: padding counts as loss. A profile by kind of operation says
where the rest goes.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.flops import Shape, forward_flops, shape_of, training_flops
from benchmarks.measure import Work
from benchmarks.sizes import EXTRACTION_TOKENS
from plasticity_utils.data.corpus import ENTITY_LABELS
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.hardware import training_precision
from plasticity_utils.models.activations import ActivationStream
from plasticity_utils.models.load import load_model
from plasticity_utils.training.train import Schedule, TaggedSentences, fine_tune, tag_sentences

SECONDS_EACH = 0.5
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# By the beginning of an operation's name; the first that fits.
KINDS = {
    "matrix products": ("aten::addmm", "aten::mm", "aten::bmm", "mkldnn", "aten::mkldnn",
                        "aten::linear", "aten::matmul"),
    "attention": ("aten::_scaled_dot_product", "aten::scaled_dot_product", "aten::_softmax",
                  "aten::softmax", "aten::baddbmm"),
    "layer norm": ("aten::native_layer_norm", "aten::layer_norm"),
    "activation function": ("aten::gelu", "aten::silu", "aten::tanh"),
    "dropout": ("aten::native_dropout", "aten::dropout", "aten::bernoulli"),
    "optimizer": ("aten::_fused_adam", "Optimizer", "aten::_foreach", "aten::linalg_vector_norm"),
    "copies and casts": ("aten::copy_", "aten::_to_copy", "aten::to", "aten::clone", "aten::cat",
                         "aten::contiguous", "aten::index", "aten::fill_", "aten::zero_",
                         "aten::index_add"),
    "embedding": ("aten::embedding",),
}  # fmt: skip
OTHER, OUTSIDE = "other operations", "outside torch: batches and Python"


def everything(folder: Path, sentences: int, model: str) -> Work:
    """Prepare to measure the rates, both fractions and both profiles."""
    return Work(lambda: _everything(folder, sentences, model), lambda facts: facts)


def matrix_rates(sizes: list[tuple[int, int, int]], seconds: float = SECONDS_EACH) -> list[dict]:
    """GFLOP/s of products [n, k] · [k, m], the best of many, for each size and number type."""
    rows = []
    for n, k, m in sizes:
        for name, dtype in TYPES.items():
            x, weights = torch.randn(n, k).to(dtype), torch.randn(m, k).to(dtype)
            best = best_seconds(partial(torch.nn.functional.linear, x, weights), seconds)
            rate = 2 * n * k * m / best / 1e9
            rows.append({"n": n, "k": k, "m": m, "precision": name, "gflops": rate})
    return rows


def best_seconds(call: Callable[[], object], seconds: float) -> float:
    """The shortest of the times that a call takes, repeated for a while."""
    call()
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best


def model_rate(rates: list[dict], shape: Shape, precision: str) -> float:
    """GFLOP/s of a model that did nothing but its products, each at its own measured rate."""
    own = {(r["k"], r["m"]): r["gflops"] for r in rates if r["precision"] == precision}
    flops = [(count * k * m, own[k, m]) for k, m, count in shape.products]
    return sum(n for n, _ in flops) / sum(n / rate for n, rate in flops)


def shares(events: Any, wall_s: float) -> list[dict[str, Any]]:
    """Seconds and share of the wall by kind of operation; what is left is outside torch."""
    seconds: dict[str, float] = defaultdict(float)
    for event in events:
        seconds[kind_of(event.key)] += event.self_cpu_time_total / 1e6
    seconds[OUTSIDE] = max(0.0, wall_s - sum(seconds.values()))
    whole = sum(seconds.values())
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    return [{"part": part, "seconds": s, "share": s / whole} for part, s in ordered]


def kind_of(operation: str) -> str:
    """The kind of an operation's name."""
    for kind, beginnings in KINDS.items():
        if operation.startswith(beginnings):
            return kind
    return OTHER


def _everything(folder: Path, n_sentences: int, model: str) -> dict[str, Any]:
    config = RunConfig(model=model, scale="quick")
    corpus = load_sentences(config).train.first(n_sentences)
    trained, tokenizer = load_model(model, ENTITY_LABELS, 0)
    shape, data = shape_of(trained.config), tag_sentences(trained, tokenizer, corpus)
    batch_tokens = config.sizes.batch_tokens
    sizes = [(batch_tokens, k, m) for k, m, _ in shape.products]
    rates = matrix_rates([*sizes, (1024, 1024, 1024)])
    stream = ActivationStream(trained, tokenizer, corpus.sentences, EXTRACTION_TOKENS)
    schedule = Schedule(1, config.rate, batch_tokens, 0)

    def extract(name: str) -> None:
        for _ in stream:
            pass

    def train(name: str) -> None:
        fine_tune(trained, data, schedule, folder / name)

    works: dict[str, tuple[Callable[[str], None], Callable[..., float], str]] = {
        "extraction": (extract, forward_flops, "fp32"),
        "training": (train, training_flops, training_precision()),
    }
    facts: dict[str, Any] = {"rates": rates, "shape": vars(shape)}
    for name, (work, count, precision) in works.items():
        work("warm")
        started = time.perf_counter()
        work("timed")
        seconds = time.perf_counter() - started
        facts[name] = _fraction(data, shape, count, seconds, rates, precision)
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            started = time.perf_counter()
            work("profiled")
            wall = time.perf_counter() - started
        facts[name]["profile"] = shares(profiled.key_averages(), wall)
    return facts


def _fraction(
    data: TaggedSentences,
    shape: Shape,
    count: Callable[..., float],
    seconds: float,
    rates: list[dict],
    precision: str,
) -> dict[str, Any]:
    lengths = [len(sentence.ids) for sentence in data.encoded]
    flops = sum(n * count(shape, n) for n in lengths)
    reached = flops / seconds / 1e9
    facts = {
        "tokens_per_s": sum(lengths) / seconds,
        "sentence_tokens": sum(lengths) / len(lengths),
        "flops_per_token": flops / sum(lengths),
        "gflops": reached,
        "precision": precision,
    }
    for name in TYPES:
        cube = next(r for r in rates if r["n"] == r["k"] == 1024 and r["precision"] == name)
        facts[f"fraction_{name}"] = reached / model_rate(rates, shape, name)
        facts[f"fraction_{name}_1024"] = reached / cube["gflops"]
    facts["fraction"] = facts[f"fraction_{precision}"]
    return facts
