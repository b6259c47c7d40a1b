"""The field's baselines: mean-select, IoU and the Gaussian probe, and NeuroX's linear probe.

Would a simpler score have found the same neurons? The first three look at each neuron by itself and
are not in NeuroX 1.0.9, so they stand here, after later versions of NeuroX and the papers named in
each docstring; Fan et al. (2023, "Evaluating Neuron Interpretation Methods of NLP Models") compare
such methods and find that they share over 60 % of their top neurons.

Caveat: none of the three knows what other neurons carry, so a hundred copies of one signal take the
first hundred places. A neuron that does not vary tells nothing and gets the lowest score.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from jaxtyping import Bool, Float

from plasticity_utils.errors import InputError
from plasticity_utils.neurons.scores import check_binary, each_alone
from plasticity_utils.optional import needed
from plasticity_utils.progress import bar

_BLOCK = 256  # neurons at a time, which bounds the memory


def is_constant(X: np.ndarray) -> np.ndarray:
    """Tell which neurons do not vary, ``[n_neurons]``."""
    # Not by the standard deviation: the mean of equal numbers may differ from them by rounding.
    return X.max(axis=0) == X.min(axis=0)


@each_alone
def mean_select_scores(
    X: Float[np.ndarray, "word neuron"], is_concept: Bool[np.ndarray, " word"]
) -> Float[np.ndarray, " neuron"]:
    """Score each neuron by the difference of its class means as a share of its range, in [0, 1].

    |mean_c − mean_r| / (max − min): the mean-based score of later NeuroX, not in 1.0.9
    (``selectivity_probe``, which refers to Na et al. 2019, "Discovery of Natural Language Concepts
    in Individual Units of CNNs"). Unlike the AUROC that this project calls selectivity it hangs on
    the two most extreme words: one outlier stretches the range.
    """
    check_binary(X, is_concept)
    difference = np.abs(
        X[is_concept].mean(axis=0, dtype=np.float64) - X[~is_concept].mean(axis=0, dtype=np.float64)
    )
    width = X.max(axis=0).astype(np.float64) - X.min(axis=0)
    return np.divide(difference, width, out=np.zeros_like(difference), where=width > 0)


@each_alone
def iou_scores(
    X: Float[np.ndarray, "word neuron"], is_concept: Bool[np.ndarray, " word"]
) -> Float[np.ndarray, " neuron"]:
    """Score each neuron by the average precision with which high activation finds the concept.

    Mu & Andreas (2020, "Compositional Explanations of Neurons") threshold a neuron and take the
    intersection over union with the concept's words. Later NeuroX (``iou_probe``; not in 1.0.9)
    replaces the threshold by average precision over all thresholds, and so do we. It is one-sided:
    a neuron that falls silent on the concept scores low, however well it tells it apart.
    """
    check_binary(X, is_concept)
    return _without_constant(X, average_precisions(X, is_concept[:, None])[:, 0], lowest=0.0)


def gaussian_scores(
    X: Float[np.ndarray, "word neuron"], is_concept: Bool[np.ndarray, " word"]
) -> Float[np.ndarray, " neuron"]:
    """Score each neuron by what a Gaussian for each class tells about the class.

    Torroba Hennigen et al. (2020, "Intrinsic Probing through Dimension Selection"): fit one
    Gaussian per class and measure the information about the class. They add neurons one by one to a
    multivariate Gaussian; this is the first step, each neuron by itself, on the words that it was
    fitted to. The score is the mean gain in log-likelihood of a word's class over the prior, in
    nats. Each class's variance is shrunk by one pseudo-word of the neuron's overall variance, so
    that a class of one word has a width. A neuron of a skewed class can fall below 0: its Gaussians
    are worse than knowing only how frequent the concept is.
    """
    check_binary(X, is_concept)
    gains = _by_blocks(lambda block: _gaussian_gain(block, is_concept), X)
    lowest = min(0.0, float(gains[~is_constant(X)].min(initial=0.0)))
    return _without_constant(X, gains, lowest=float(np.nextafter(lowest, -np.inf)))


def average_precisions(
    X: Float[np.ndarray, "word neuron"], concepts: Bool[np.ndarray, "word concept"]
) -> Float[np.ndarray, "neuron concept"]:
    """Average precision of each neuron for each concept; equal activations are taken in together.

    One order of a neuron's words serves all concepts.
    """
    return _by_blocks(lambda block: _average_precision(block, concepts), X)


def _average_precision(X: np.ndarray, concepts: np.ndarray) -> np.ndarray:
    n_words = len(X)
    rows = np.ascontiguousarray(-X.T)
    order = np.argsort(rows, axis=1)
    values = np.take_along_axis(rows, order, axis=1)
    is_last = np.ones(rows.shape, dtype=bool)
    is_last[:, :-1] = values[:, :-1] != values[:, 1:]
    last_of_tie = np.where(is_last, np.arange(n_words), n_words)
    last_of_tie = np.minimum.accumulate(last_of_tie[:, ::-1], axis=1)[:, ::-1]
    found = np.empty((X.shape[1], concepts.shape[1]))
    for column, inside in enumerate(concepts.T):
        hits = inside[order]
        precision = hits.cumsum(axis=1) / np.arange(1, n_words + 1)
        at_tie = np.take_along_axis(precision, last_of_tie, axis=1)
        found[:, column] = (at_tie * hits).sum(axis=1) / inside.sum()
    return found


def _gaussian_gain(X: np.ndarray, is_concept: np.ndarray) -> np.ndarray:
    X = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0)
    joint = []
    for members in (~is_concept, is_concept):
        mean = X[members].mean(axis=0)
        # After standardising, the overall variance (the pseudo-word's) is 1.
        variance = (((X[members] - mean) ** 2).sum(axis=0) + 1.0) / (members.sum() + 1)
        density = -0.5 * ((X - mean) ** 2 / variance + np.log(2 * np.pi * variance))
        joint.append(density + np.log(members.mean()))
    of_own_class = np.where(is_concept[:, None], joint[1], joint[0]) - np.logaddexp(*joint)
    share = is_concept.mean()
    prior = share * np.log(share) + (1 - share) * np.log(1 - share)
    return of_own_class.mean(axis=0) - prior


def _by_blocks(score: Callable[[np.ndarray], np.ndarray], X: np.ndarray) -> np.ndarray:
    starts = range(0, X.shape[1], _BLOCK)
    return np.concatenate([score(X[:, s : s + _BLOCK].astype(np.float64)) for s in starts])


def _without_constant(X: np.ndarray, scores: np.ndarray, lowest: float) -> np.ndarray:
    return np.where(is_constant(X), lowest, scores)


_CONCEPT = 1  # the concept's class index; 0 is the rest
_BATCH_WORDS = 32  # NeuroX's own default
NEUROX_EPOCHS = 10
LEAST_STEPS = 2000  # NeuroX's Adam moves a weight by at most about 0.001 a step


def train_probe(
    X: Float[np.ndarray, "word neuron"],
    is_concept: Bool[np.ndarray, " word"],
    l1: float = 0.001,
    l2: float = 0.001,
    epochs: int | None = None,
    seed: int = 0,
) -> Any:
    """Train NeuroX's logistic regression to tell the concept's words from the rest.

    NeuroX takes batches in the order of the corpus and initialises from torch's global generator.
    Here the words are shuffled first and the initialisation is drawn under ``seed``; the global
    generators are left as they were.

    References
    ----------
    Dalvi et al. 2019, "What Is One Grain of Sand in the Desert?", AAAI.
    """
    check_binary(X, is_concept)
    batches = -(-len(X) // _BATCH_WORDS)
    if epochs is None:
        epochs = max(NEUROX_EPOCHS, -(-LEAST_STEPS // batches))
    _check_settings(l1, l2, epochs, seed)
    order = np.random.default_rng(seed).permutation(len(X))
    inputs = X[order].astype(np.float32, copy=False)
    labels = is_concept[order].astype(np.int64)
    with (
        _neurox_bar("training NeuroX's probe", epochs * batches),
        torch.random.fork_rng(devices=[]),
    ):
        # torch.manual_seed would also reseed the accelerators, which fork_rng does not guard here.
        torch.default_generator.manual_seed(seed)
        return _neurox("linear_probe").train_logistic_regression_probe(
            inputs,
            labels,
            lambda_l1=l1,
            lambda_l2=l2,
            num_epochs=epochs,
            batch_size=_BATCH_WORDS,
        )


def probe_scores(
    X: Float[np.ndarray, "word neuron"],
    is_concept: Bool[np.ndarray, " word"],
    l1: float = 0.001,
    l2: float = 0.001,
    epochs: int | None = None,
    seed: int = 0,
) -> Float[np.ndarray, " neuron"]:
    """Score each neuron by its weight for the concept in NeuroX's linear probe (`train_probe`).

    The score is the absolute weight of the concept's class on standardised activations: on raw ones
    wide neurons would get small weights. Decreasing score is the order of NeuroX's
    ``get_top_neurons`` for the concept; its ``get_neuron_ordering`` leaves the order within each
    hundredth of the weight mass arbitrary, and agrees between those cut-offs.
    """
    check_binary(X, is_concept)
    probe = train_probe(_standardise(X), is_concept, l1, l2, epochs, seed)
    weights = np.abs(probe.linear.weight.detach().cpu().numpy()[_CONCEPT]).astype(np.float64)
    weights[is_constant(X)] = 0.0  # its input is always 0: what is left is the initial weight
    return weights


def _neurox(module: str) -> Any:
    return needed(f"neurox.interpretation.{module}", "the ranking 'probe'")


def _standardise(X: np.ndarray) -> np.ndarray:
    """Z-score over the words; a neuron that does not vary becomes 0."""
    mean = X.mean(axis=0, dtype=np.float64)
    spread = np.where(is_constant(X), np.inf, X.std(axis=0, dtype=np.float64))
    return ((X - mean) / spread).astype(np.float32)


def _check_settings(l1: float, l2: float, epochs: int, seed: int) -> None:
    for name, value in (("l1", l1), ("l2", l2)):
        if not 0 <= value < float("inf"):
            raise InputError(f"{name} = {value}: a penalty is a finite number, at least 0")
    if epochs < 1:
        raise InputError(f"epochs = {epochs}: at least 1")
    if seed < 0:
        raise InputError(f"seed = {seed}: at least 0")


@contextmanager
def _neurox_bar(desc: str, total: int) -> Iterator[None]:
    """Put our progress bar in the place of NeuroX's and drop its prints.

    In a notebook NeuroX draws a widget for every epoch, which is dead on the rendered page.
    """
    steps = bar(desc=desc, total=total)

    def counted(batches: Iterable[Any], desc: str = "") -> Iterator[Any]:
        for batch in batches:
            yield batch
            steps.update()

    with (
        steps,
        patch.object(_neurox("utils"), "get_progress_bar", lambda: counted),
        redirect_stdout(io.StringIO()),
    ):
        yield
