"""Readers of a frozen network: a linear one at its best, and one that is not linear.

The condition `head` trains the linear head as long as the whole model would be trained. Two
objections to it: it may not have converged, and a reader that is not linear may find more. So
readers are fitted anew on the frozen states that the head reads: logistic regression until it
converges, and a perceptron with a hidden layer. A probe without a control of itself says little
(Hewitt & Liang 2019), so both also read the whole base model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Shaped
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import PreTrainedModel

from plasticity_utils.models.activations import inference_batches, inputs
from plasticity_utils.models.layers import layers_of
from plasticity_utils.models.load import head
from plasticity_utils.progress import bar
from plasticity_utils.registry import label, readers
from plasticity_utils.training.evaluate import entity_scores
from plasticity_utils.training.train import EVALUATION_TOKENS, TaggedSentences

N_HIDDEN, N_WIDE = 256, 1024


@runtime_checkable
class Reader(Protocol):
    """Tells the tags of words from the states of a frozen network.

    What is registered is a function (or class) that gives a reader for a seed.
    """

    def fit(self, states: Float[np.ndarray, "word unit"], tags: Shaped[np.ndarray, " word"]) -> Any:
        """Learn the tags of words, [n_words], from their states, [n_words, d_model]."""
        ...

    def predict(self, states: Float[np.ndarray, "word unit"]) -> Shaped[np.ndarray, " word"]:
        """Tell the tag of each word, [n_words]."""
        ...


def linear(seed: int) -> Pipeline:
    """Logistic regression until it converges; nothing in it is random."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))


def perceptron(seed: int) -> Pipeline:
    """A perceptron with one hidden layer, stopped where a held-out tenth says so."""
    network = MLPClassifier(N_HIDDEN, early_stopping=True, random_state=seed)
    return make_pipeline(StandardScaler(), network)


def wide_perceptron(seed: int) -> Pipeline:
    """A perceptron with a hidden layer four times as wide, stopped in the same way."""
    network = MLPClassifier(N_WIDE, early_stopping=True, random_state=seed)
    return make_pipeline(StandardScaler(), network)


def label_states(
    model: PreTrainedModel, data: TaggedSentences, every_layer: bool = False
) -> Float[np.ndarray, "words d_model"]:
    """Give the hidden state from which the head reads each word's tag, in 32-bit floats.

    With `every_layer` those of all layers stand side by side: [n_words, n_layers · d_model].
    """
    seen: list[torch.Tensor] = []
    found = [np.empty(0)] * len(data.encoded)
    hooks = [head(model).register_forward_pre_hook(lambda _, read: seen.append(read[0]))]
    if every_layer:
        hooks = [
            layer.register_forward_hook(lambda _, read, out: seen.append(_first(out)))
            for layer in layers_of(model)
        ]
    was_training = model.training
    model.eval()
    try:
        lengths = [len(sentence.ids) for sentence in data.encoded]
        for batch in bar(inference_batches(lengths, EVALUATION_TOKENS), "states"):
            with torch.no_grad():
                model(**inputs(model, [data.encoded[i] for i in batch]))
            together = torch.cat(seen, dim=-1)
            seen.clear()
            for i, states in zip(batch, together, strict=True):
                found[i] = states[data.positions[i]].float().cpu().numpy()
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return np.concatenate(found)


def _first(output: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    return output if isinstance(output, torch.Tensor) else output[0]


def read_states(
    model: PreTrainedModel,
    train: TaggedSentences,
    scoring: TaggedSentences,
    names: Sequence[str],
    entities: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Fit readers on a frozen model's states and score them as the head is scored.

    Returns the columns of `entity_scores`, with reader and n_fitted (sentences).
    """
    states = [label_states(model, part) for part in (train, scoring)]
    tables = []
    for name in names:
        make: Callable[[int], Reader] = readers.get(name)
        reader = make(seed)
        reader.fit(states[0], np.concatenate(train.tags))
        scores = entity_scores(
            scoring.tags, tags_of_sentences(reader.predict(states[1]), scoring), entities
        )
        tables.append(scores.assign(reader=label(name), n_fitted=len(train.tags)))
    return pd.concat(tables)


def tags_of_sentences(tags: Shaped[np.ndarray, " word"], data: TaggedSentences) -> list[list[str]]:
    """Cut the tags of all words into those of each sentence."""
    given = np.asarray(tags).tolist()
    ends = np.cumsum([len(sentence) for sentence in data.tags])
    return [given[end - len(own) : end] for end, own in zip(ends, data.tags, strict=True)]
