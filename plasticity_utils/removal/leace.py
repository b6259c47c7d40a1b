"""Erase a concept from every hidden state, so that no linear reader finds it.

Removing neurons takes away places; what a linear head read there it may read elsewhere. LEACE
(Belrose et al. 2023, "LEACE: Perfect linear concept erasure in closed form"; package
`concept-erasure`) takes away directions: h' = h − A B (h − m), the least change after which the
classes of an *indicator* have equal means, so that no linear model of h' tells them better than by
guessing. Erasers are fitted layer by layer, each with those below in place, since a block can
rebuild what the layer below it lost. Then they stay, a fixed projection, while the model trains.

Only tokens of words are changed. Every token of a word counts in the fit and has the word's
indicator, since all of them are projected. The token that carries a word's label, which the head
reads, and its other tokens are two populations: means are made equal within each. Equal means of
all tokens together would leave the concept readable among the labelled ones.

Caveat: the guarantee holds for the words of the fit, and for a linear model that has to tell the
indicator's classes and no others. A head of many classes can do more: see `indicators`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from concept_erasure import LeaceFitter
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.data.concepts import members
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.data.schemes import OUTSIDE
from plasticity_utils.errors import InputError, shown
from plasticity_utils.models.activations import BATCH_TOKENS, inference_batches, inputs, pad
from plasticity_utils.models.load import (
    Encoded,
    count_layers,
    encode_for,
    label_position,
    width,
)
from plasticity_utils.names import INDICATORS
from plasticity_utils.progress import bar
from plasticity_utils.removal.interface import Intervention, Material, Removal
from plasticity_utils.removal.patch import Patch

# Of singular values that are correlations: below it is rounding, and so nothing to erase.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Erasers(Intervention):
    """Fitted erasers of all layers: h' = h − left · right · (h − mean).

    Attributes
    ----------
    left : float32 array, [n_layers, d_model, n_columns]
    right : float32 array, [n_layers, n_columns, d_model]
    mean : float32 array, [n_layers, d_model]
    """

    left: Float[np.ndarray, "layer unit column"]
    right: Float[np.ndarray, "layer column unit"]
    mean: Float[np.ndarray, "layer unit"]

    @property
    def ranks(self) -> list[int]:
        """Dimensions that are erased at each layer."""
        return self.left.any(axis=1).sum(axis=1).tolist()

    def applied(self, model: PreTrainedModel) -> Erasure:
        """Put them in force, at the tokens of words."""
        return erase(model, self)

    def facts(self) -> dict[str, Any]:
        """Return the dimensions erased at each layer."""
        return {"ranks": self.ranks}


@dataclass(frozen=True)
class Leace(Removal):
    """Erase the concept from every layer, so that no linear reader tells it; see this module.

    Attributes
    ----------
    indicator : {"concept", "bio", "types", "outside"}
        What is made unreadable: see `indicator_of`.
    """

    indicator: str = "concept"
    makes: ClassVar[type[Intervention]] = Erasers

    def fit(self, on: Material) -> Erasers:
        """Fit erasers on the words of the corpus."""
        classes = indicator_of(on.corpus, on.concept, self.indicator)
        return fit_erasers(on.model, on.tokenizer, on.corpus.sentences, classes)

    def control(self, fitted: Intervention, on: Material) -> Erasers:
        """Fit erasers of the same classes dealt out anew among the words."""
        classes = indicator_of(on.corpus, on.concept, self.indicator).shuffled(on.seed)
        return fit_erasers(on.model, on.tokenizer, on.corpus.sentences, classes)


class _Projection:
    """h' = h − left · right · (h − mean) at one layer; nothing in it trains."""

    def __init__(self, *eraser: np.ndarray):
        self.eraser = [torch.from_numpy(part) for part in eraser]

    def __call__(self, state: Tensor) -> Tensor:
        # In float32 whatever the precision of training: a rounded projection lets the concept by.
        with torch.autocast(state.device.type, enabled=False):
            left, right, mean = (part.to(state.device) for part in self.eraser)
            whole = state.float()
            return whole - (whole - mean) @ right.T @ left.T


class Erasure(Patch):
    """Erasers in force until `undo`; made by `erase`. They hold no parameters."""

    def __init__(self, model: PreTrainedModel, erasers: Erasers):
        parts = zip(erasers.left, erasers.right, erasers.mean, strict=True)
        super().__init__(
            model, {layer: _Projection(*part) for layer, part in enumerate(parts)}, "words"
        )


def fit_erasers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sequence[str]],
    indicator: Indicator,
) -> Erasers:
    """Fit an eraser at every layer, each with those below in place.

    What is removed from the model stays removed. The sentences run once through the model for every
    layer; the indicator is of their words.
    """
    n_words = sum(len(sentence) for sentence in sentences)
    if len(indicator.classes) != n_words:
        raise InputError(f"the indicator has {len(indicator.classes)} words, sentences {n_words}")
    encoded = encode_for(model, tokenizer, sentences)
    first_word = np.cumsum([0, *(len(sentence) for sentence in sentences)])
    words = [
        np.where(np.array(sentence.word_of_token) < 0, -1, first + np.array(sentence.word_of_token))
        for sentence, first in zip(encoded, first_word, strict=False)
    ]
    targets = _targets(encoded, words, indicator, label_position(model) == "last")
    # A class has a column for each of the two populations of tokens.
    erasers = no_erasers(model, 2 * indicator.classes.shape[1])
    was_training = model.training
    model.eval()
    try:
        for layer in bar(range(count_layers(model)), "erasers"):
            fitter = _fitted(model, targets, erasers, layer)
            found = fitter.eraser
            erasers.left[layer] = found.proj_left.cpu().numpy()
            erasers.right[layer] = found.proj_right.cpu().numpy()
            erasers.mean[layer] = fitter.mean_x.cpu().numpy()
    finally:
        model.train(was_training)
    return erasers


def erase(model: PreTrainedModel, erasers: Erasers) -> Erasure:
    """Put erasers in force, at the tokens of words, until `undo` or the context's end.

    On the model on which they were fitted, or what further training made of it. Gradients flow
    through the projection; the erasers stay as they are.
    """
    expected, found = (count_layers(model), width(model)), erasers.mean.shape
    if found != expected:
        raise InputError(f"erasers of shape {found} (layers, units); the model has {expected}")
    return Erasure(model, erasers)


class _Reached(Exception):  # noqa: N818 - no error: a forward pass that has gone far enough
    """The layer that is being fitted: what lies above need not run."""


@dataclass(frozen=True)
class _Targets:
    """Sentences; for each its tokens that count, [n_tokens], and their classes."""

    encoded: list[Encoded]
    counts: list[Tensor]
    classes: list[Tensor]


def _targets(
    encoded: list[Encoded], words: list[np.ndarray], indicator: Indicator, last: bool
) -> _Targets:
    """Carry the indicator of words over to their tokens.

    `words` has the id of each token's word, −1 where it belongs to none. Each population's mean is
    taken off its own columns, so that what is erased is no difference between the two.
    """
    flat = np.concatenate(words)
    counts = (flat >= 0) & indicator.counts[flat]
    # Special tokens open and close a sentence, so no word is neighbour to itself in another one.
    is_labelled = carries_label(flat, last)
    columns = []
    for population in (counts & is_labelled, counts & ~is_labelled):
        own = indicator.classes[flat] * population[:, None]
        share = own.sum(axis=0) / max(population.sum(), 1)
        columns.append(own - share * population[:, None])
    table = np.concatenate(columns, axis=1)
    # Classes of like scale, rare ones too, so that one tolerance does for all.
    spread = table[counts].std(axis=0)
    table /= np.where(spread > 0, spread, 1)
    cuts = np.cumsum([len(row) for row in words])[:-1]
    return _Targets(
        encoded,
        [torch.from_numpy(part) for part in np.split(counts, cuts)],
        [torch.from_numpy(part) for part in np.split(table, cuts)],
    )


def carries_label(words: np.ndarray, last: bool) -> np.ndarray:
    """Tell which tokens are the first, or the last, of those of their word (or of no word)."""
    return np.diff(words, append=-2) != 0 if last else np.diff(words, prepend=-2) != 0


@torch.no_grad()
def _fitted(model: PreTrainedModel, targets: _Targets, erasers: Erasers, layer: int) -> LeaceFitter:
    """Gather one layer's statistics, with the erasers so far in force."""
    # Its bound on the trace mixes in a projection under which class means are no longer equal.
    fitter = LeaceFitter(
        width(model), erasers.left.shape[-1], dtype=torch.float64, device=model.device,
        constrain_cov_trace=False, svd_tol=TOLERANCE,
    )  # fmt: skip
    for batch, states in states_at(model, targets.encoded, erasers, layer):
        counts = pad([targets.counts[i].tolist() for i in batch], False)
        x = states[counts.to(model.device)].double()
        z = torch.cat([targets.classes[i][targets.counts[i]] for i in batch])
        fitter.update(x, z.to(model.device))
    return fitter


@torch.no_grad()
def states_at(
    model: PreTrainedModel, encoded: Sequence[Encoded], erasers: Erasers, layer: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield which sentences, and their states at a layer, with the erasers so far in force."""
    reached: list[Tensor] = []

    def stop(state: Tensor) -> Tensor:
        reached.append(state)
        raise _Reached

    lengths = [len(sentence.ids) for sentence in encoded]
    with erase(model, erasers), Patch(model, {layer: stop}, "all"):
        for batch in inference_batches(lengths, BATCH_TOKENS):
            with suppress(_Reached):
                model(**inputs(model, [encoded[i] for i in batch]))
            yield batch, reached.pop()


def no_erasers(model: PreTrainedModel, n_columns: int) -> Erasers:
    """Erasers that change nothing, to be filled layer by layer."""
    n_layers, d_model = count_layers(model), width(model)
    return Erasers(
        np.zeros((n_layers, d_model, n_columns), np.float32),
        np.zeros((n_layers, n_columns, d_model), np.float32),
        np.zeros((n_layers, d_model), np.float32),
    )


@dataclass(frozen=True)
class Indicator:
    """What erasers must make unreadable, word by word.

    Attributes
    ----------
    classes : float array, [n_words, n_columns]
        A column is 1 for the words of a class and 0 for others.
    counts : bool array, [n_words]
        Which words take part in the fit.
    """

    classes: Float[np.ndarray, "word column"]
    counts: Bool[np.ndarray, " word"]

    def shuffled(self, seed: int) -> Indicator:
        """Deal the classes out anew among the words that count: the control for an erasure."""
        classes = self.classes.copy()
        order = np.random.default_rng(seed).permutation(int(self.counts.sum()))
        classes[self.counts] = self.classes[self.counts][order]
        return Indicator(classes, self.counts)


def indicator_of(corpus: Corpus, label: str, indicator: str) -> Indicator:
    """Say which classes erasers shall make unreadable.

    `concept`: words of the concept against all others. `bio`: its B- and its I-tag, each against
    the rest. `types`: every tag a class, which erases the other entity types too. `outside`: its B-
    and its I-tag, each against words of no entity; words of other entities do not count. InputError
    for another indicator, or if no word is of the concept.
    """
    if indicator not in INDICATORS:
        raise InputError(f"unknown indicator {shown(indicator)}; allowed: {', '.join(INDICATORS)}")
    inside = members(corpus, label)
    tags = np.array(corpus.word_labels())
    counts = inside | (tags == OUTSIDE) if indicator == "outside" else np.ones_like(inside)
    if indicator == "concept":
        return Indicator(inside[:, None].astype(np.float64), counts)
    own = tags != OUTSIDE if indicator == "types" else inside
    columns = [tags == tag for tag in np.unique(tags[own])]
    return Indicator(np.stack(columns, axis=1).astype(np.float64), counts)
