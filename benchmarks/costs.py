"""On paper: what the whole grid costs for larger models, and what breaks first.

Operations are counted (`flops`) and divided by a card's rate times the fraction of the matrix rate
that our training reaches here. **That fraction is the weakest link:** it was measured on a
processor with a small model. A card may reach more, since a large model's products are larger, or
less, since its rate is a thousand times higher while batches of sentences stay short. The work on
neurons is done on the processor and is extrapolated linearly from the measured curve. Prices and
the figures of the card are assumptions, marked as such; nothing here was run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
from transformers import AutoConfig

from benchmarks.flops import Shape, forward_flops, shape_of, training_flops
from benchmarks.step_counts import StepCounts
from plasticity_utils.data.corpus import ENTITY_LABELS

GB = 1e9
ANALYSIS_CURVE = "scores and words by neurons"
# Weights, their gradients and Adam's two moments in float32.
TRAINING_BYTES, WEIGHT_BYTES = 16, 4
# Kept for the backward pass in bfloat16, for a token, block and unit, without the attention map
# (Korthikanti et al. 2022, "Reducing Activation Recomputation in Large Transformer Models", eq. 1).
ACTIVATION_BYTES = 34
TRAINED_MODELS = 3  # `concept`, `random` and `head`; `none` is shared
# The published configurations: GPT-2's and Llama 2 7B's are the libraries' defaults.
MODELS: dict[str, dict[str, Any]] = {
    "GPT-2": {"model_type": "gpt2"},
    "1 B (Llama 3.2)": {
        "model_type": "llama", "num_hidden_layers": 16, "hidden_size": 2048,
        "intermediate_size": 8192, "num_attention_heads": 32, "num_key_value_heads": 8,
        "vocab_size": 128_256,
    },
    "7 B (Llama 2)": {"model_type": "llama"},
}  # fmt: skip


@dataclass(frozen=True)
class Card:
    """An accelerator, as assumed.

    Attributes
    ----------
    flops : float
        Peak rate in bfloat16 without sparsity, a second: the vendor's data sheet.
    memory : float
        Bytes.
    euros : float
        A card and hour.
    """

    name: str
    flops: float
    memory: float
    euros: float


# NVIDIA's data sheet of the H100 SXM. The price is assumed: about what clouds asked in 2025.
H100 = Card("H100", 989e12, 80e9, 2.5)


@dataclass(frozen=True)
class Grid:
    """The runs of a study: every concept under every regime with every seed."""

    concepts: int = 4
    regimes: int = 3
    seeds: int = 3

    @property
    def cells(self) -> int:
        """Runs that can go side by side once their base models are there."""
        return self.concepts * self.regimes * self.seeds


@dataclass(frozen=True)
class Rates:
    """What was measured here and is carried over.

    Attributes
    ----------
    fraction : float
        Of the matrix rate that training reaches, in (0, 1].
    analysis_seconds : float
        To score one neuron on one word for all concepts and list its words.
    sentence_tokens : float
        Mean sub-words of a sentence.
    """

    fraction: float
    analysis_seconds: float
    sentence_tokens: float


@cache
def shape_of_model(name: str) -> Shape:
    """Count on one of `MODELS`, with a head of as many tags as a run has."""
    return shape_of(AutoConfig.for_model(**MODELS[name], num_labels=len(ENTITY_LABELS)))


def measured_rates(found: dict[str, Any]) -> Rates:
    """Take what is carried over from a file of measurements.

    Parameters
    ----------
    found : dict
        From `report.latest_benchmark`, with its limit and growth.
    """
    training = found["limit"]["training"]
    last = found["growth"]["curves"][ANALYSIS_CURVE]["points"][-1]
    seconds = last["seconds"] / (last["n"] * last["words"])
    return Rates(training["fraction"], seconds, training["sentence_tokens"])


def base_flops(shape: Shape, steps: StepCounts, sentence_tokens: float) -> float:
    """Operations for one seed's base model, and for training it on with nothing removed."""
    epochs = steps.base_epochs + steps.head_epochs
    return epochs * steps.train * sentence_tokens * training_flops(shape, sentence_tokens)


def cell_flops(shape: Shape, steps: StepCounts, sentence_tokens: float) -> float:
    """Operations of one run that finds its base model: retraining, tags and activations."""
    forward = forward_flops(shape, sentence_tokens)
    # `concept` and `random` train all weights; `head` needs a forward pass only.
    trained = 2 * steps.head_epochs * steps.train * training_flops(shape, sentence_tokens)
    read = (steps.head_epochs * steps.train + steps.tagged + steps.extracted) * forward
    return sentence_tokens * (trained + read)


def training_memory(shape: Shape, batch_tokens: int) -> int:
    """Bytes on the card while all weights train."""
    activations = ACTIVATION_BYTES * batch_tokens * shape.d_model * shape.n_blocks
    return TRAINING_BYTES * shape.n_parameters + activations


def analysis_hours(shape: Shape, steps: StepCounts, rates: Rates) -> float:
    """Hours of one run's work on neurons, on a processor like the measured one."""
    once = rates.analysis_seconds * shape.n_neurons * steps.n_words
    return steps.measured * once / 3600


def grid_cost(
    shape: Shape,
    steps: StepCounts,
    rates: Rates,
    n_cards: int,
    batch_tokens: int,
    card: Card = H100,
    grid: Grid = Grid(),
) -> dict[str, float | str]:
    """Hours, memory, disk and euros of the whole grid.

    A run takes as many cards as its training needs memory; runs go side by side, bases first. All
    cards are paid for until the last run ends.

    Parameters
    ----------
    shape : Shape
    steps : StepCounts
        Of one run at the full scale.
    rates : Rates
    n_cards, batch_tokens : int
    card : Card
    grid : Grid

    Returns
    -------
    dict
        parameters, neurons, cards_a_run, hours (NaN if a run does not fit), analysis_share (of a
        run's hours), memory_gb (of a run's training, on all its cards), matrix_gb (activations of
        the measuring part), disk_gb (weights kept), euros, breaks_first.
    """
    memory = training_memory(shape, batch_tokens)
    cards_a_run = math.ceil(memory / card.memory)
    side_by_side = n_cards // cards_a_run
    speed = card.flops * rates.fraction * cards_a_run * 3600
    analysis = analysis_hours(shape, steps, rates)
    run = cell_flops(shape, steps, rates.sentence_tokens) / speed + analysis
    base = base_flops(shape, steps, rates.sentence_tokens) / speed
    hours = float("nan")
    if side_by_side:
        rounds = math.ceil(grid.cells / side_by_side), math.ceil(grid.seeds / side_by_side)
        hours = rounds[0] * run + rounds[1] * base
    kept = grid.cells * TRAINED_MODELS + grid.seeds * 2
    return {
        "parameters": float(shape.n_parameters),
        "neurons": float(shape.n_neurons),
        "cards_a_run": float(cards_a_run),
        "hours": hours,
        "analysis_share": analysis / run,
        "memory_gb": memory / GB,
        "matrix_gb": 4 * shape.n_neurons * steps.n_words / GB,
        "disk_gb": kept * WEIGHT_BYTES * shape.n_parameters / GB,
        "euros": hours * n_cards * card.euros,
        "breaks_first": breaks_first(cards_a_run, n_cards, analysis / run, side_by_side, grid),
    }


def breaks_first(
    cards_a_run: int, n_cards: int, analysis_share: float, side_by_side: int, grid: Grid
) -> str:
    """Name what stops or slows the grid first: what does not fit, then what most hours go to."""
    if cards_a_run > n_cards:
        return "memory of the card: training does not fit"
    if cards_a_run > 1:
        return f"memory of the card: a run needs {cards_a_run}, and this package splits no model"
    if analysis_share > 0.5:
        return "the processor: work on neurons takes most of the hours"
    if side_by_side > grid.cells:
        return "too few runs: cards stand idle"
    return "nothing: training takes most of the hours"


def cost_table(
    steps: StepCounts,
    rates: Rates,
    batch_tokens: int,
    n_cards: Sequence[int] = (1, 64),
    card: Card = H100,
) -> pd.DataFrame:
    """Cost of the grid for each model of `MODELS` on so many cards: model, cards, `grid_cost`."""
    return pd.DataFrame(
        [
            {"model": name, "cards": n, **grid_cost(shape, steps, rates, n, batch_tokens, card)}
            for name in MODELS
            for shape in [shape_of_model(name)]
            for n in n_cards
        ]
    )
