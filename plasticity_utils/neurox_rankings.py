"""Rankings by NeuroX's linear probe.

Which neurons carry a concept? The *probe* answers jointly: a logistic regression on all neurons at
once, with NeuroX 1.0.9's regularisers (L1: few neurons; L2: groups that share the work; both:
elastic net), and neurons ranked by the size of their weight for the concept (Dalvi et al. 2019,
"What Is One Grain of Sand in the Desert?").

Caveats. A probe finds what is *readable*, not what the model reads; of neurons that carry the same
signal L1 keeps one; and a high weight may only repair another neuron. NeuroX's
``interpretation.utils.create_tensors`` fails under NumPy >= 1.24 (``np.int``): X and y are built
without it. NeuroX trains on the first CUDA device where there is one. The field's single-neuron
baselines, which NeuroX 1.0.9 does not have, are in `baselines`.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from jaxtyping import Bool, Float
from neurox.interpretation import linear_probe, metrics
from neurox.interpretation import utils as neurox_utils
from neurox.interpretation.linear_probe import LinearProbe

from plasticity_utils.baselines import (
    check_words,
    gaussian_scores,
    iou_scores,
    is_constant,
    mean_select_scores,
)
from plasticity_utils.errors import InputError
from plasticity_utils.progress import bar

__all__ = [
    "gaussian_scores",
    "iou_scores",
    "mean_select_scores",
    "probe_metrics",
    "probe_scores",
    "train_probe",
]

CONCEPT = 1  # the concept's class index; 0 is the rest
BATCH_WORDS = 32  # NeuroX's own default
NEUROX_EPOCHS = 10
LEAST_STEPS = 2000  # NeuroX's Adam moves a weight by at most about 0.001 a step


def train_probe(
    X: Float[np.ndarray, "word neuron"],
    is_concept: Bool[np.ndarray, " word"],
    l1: float = 0.001,
    l2: float = 0.001,
    epochs: int | None = None,
    seed: int = 0,
) -> LinearProbe:
    """Train NeuroX's logistic regression to tell the concept's words from the rest.

    NeuroX takes batches in the order of the corpus and initialises from torch's global generator.
    Here the words are shuffled first and the initialisation is drawn under ``seed``; the global
    generators are left as they were.

    Parameters
    ----------
    X : np.ndarray
        Activations, ``[n_words, n_neurons]``, usually standardised: the regularisers compare
        weights, and a weight is only comparable between neurons of the same spread.
    is_concept : np.ndarray
        True for the concept's words, ``[n_words]``.
    l1, l2 : float
        Weights of the L1 and the L2 penalty, at least 0; one of them 0 leaves lasso or ridge.
        NeuroX's L2 is the norm, not its square.
    epochs : int, optional
        Passes over the words, at least 1. Without it NeuroX's 10, or more where the words are so
        few that 10 would leave the probe near its random initial weights: 2,000 steps at least.
    seed : int
        Decides the order of the words and the initial weights.

    Returns
    -------
    LinearProbe
        NeuroX's probe; class 1 is the concept, class 0 the rest.

    Raises
    ------
    InputError
        Words of one class only, shapes that differ, values that are not finite, a negative or
        infinite penalty, fewer than one epoch, or a negative seed.

    References
    ----------
    Dalvi et al. 2019, "What Is One Grain of Sand in the Desert?", AAAI.
    """
    check_words(X, is_concept)
    batches = -(-len(X) // BATCH_WORDS)
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
        return linear_probe.train_logistic_regression_probe(
            inputs,
            labels,
            lambda_l1=l1,
            lambda_l2=l2,
            num_epochs=epochs,
            batch_size=BATCH_WORDS,
        )


def probe_scores(
    X: Float[np.ndarray, "word neuron"],
    is_concept: Bool[np.ndarray, " word"],
    l1: float = 0.001,
    l2: float = 0.001,
    epochs: int | None = None,
    seed: int = 0,
) -> Float[np.ndarray, " neuron"]:
    """Score each neuron by its weight for the concept in NeuroX's linear probe.

    The score is the absolute weight of the concept's class on standardised activations: on raw ones
    wide neurons would get small weights. Decreasing score is the order of NeuroX's
    ``get_top_neurons`` for the concept; its ``get_neuron_ordering`` leaves the order within each
    hundredth of the weight mass arbitrary, and agrees between those cut-offs.

    Parameters
    ----------
    X : np.ndarray
        Activations, ``[n_words, n_neurons]``, usually the output of
        ``activations.word_activations``.
    is_concept : np.ndarray
        True for the concept's words, ``[n_words]``.
    l1, l2, epochs, seed
        As in ``train_probe``.

    Returns
    -------
    np.ndarray
        Scores, ``[n_neurons]``, at least 0; 0 for a neuron that does not vary.

    Raises
    ------
    InputError
        As ``train_probe``.
    """
    check_words(X, is_concept)
    probe = train_probe(_standardise(X, X), is_concept, l1, l2, epochs, seed)
    weights = np.abs(probe.linear.weight.detach().cpu().numpy()[CONCEPT]).astype(np.float64)
    weights[is_constant(X)] = 0.0  # its input is always 0: what is left is the initial weight
    return weights


def probe_metrics(
    X: Float[np.ndarray, "word neuron"],
    is_concept: Bool[np.ndarray, " word"],
    X_held_out: Float[np.ndarray, "held_out neuron"],
    is_concept_held_out: Bool[np.ndarray, " held_out"],
    l1: float = 0.001,
    l2: float = 0.001,
    epochs: int | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Train NeuroX's probe on one set of words and report its metrics on another.

    Parameters
    ----------
    X, is_concept : np.ndarray
        Words to train on, ``[n_words, n_neurons]`` and ``[n_words]``.
    X_held_out, is_concept_held_out : np.ndarray
        Words to report on, of the same neurons; standardised by the *training* words.
    l1, l2, epochs, seed
        As in ``train_probe``.

    Returns
    -------
    dict of str to float
        ``accuracy`` and ``f1`` of the concept (NeuroX's metrics), and ``majority``, the accuracy
        of always giving the commoner class: most words are no locations, so accuracy means little
        without it. All in [0, 1].

    Raises
    ------
    InputError
        As ``train_probe``, for either set, and where the sets differ in their neurons.
    """
    check_words(X, is_concept)
    check_words(X_held_out, is_concept_held_out)
    if X.shape[1] != X_held_out.shape[1]:
        raise InputError(
            f"the held-out words have {X_held_out.shape[1]} neurons, "
            f"the training words {X.shape[1]}; they must be the same neurons"
        )
    probe = train_probe(_standardise(X, X), is_concept, l1, l2, epochs, seed)
    labels = is_concept_held_out.astype(np.int64)
    with _neurox_bar("evaluating NeuroX's probe", -(-len(labels) // BATCH_WORDS)):
        overall, predicted = linear_probe.evaluate_probe(
            probe,
            _standardise(X_held_out, X),
            labels,
            return_predictions=True,
            batch_size=BATCH_WORDS,
            metric="accuracy",
        )
    classes = np.array([label for _, label, _ in predicted])
    commoner = np.full_like(labels, round(float(labels.mean())))
    return {
        "accuracy": float(overall["__OVERALL__"]),
        "f1": float(metrics.f1(classes, labels)),
        "majority": float(metrics.accuracy(commoner, labels)),
    }


def _standardise(X: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Z-score by the reference words; a neuron constant there becomes 0."""
    mean = reference.mean(axis=0, dtype=np.float64)
    spread = np.where(is_constant(reference), np.inf, reference.std(axis=0, dtype=np.float64))
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
        patch.object(neurox_utils, "get_progress_bar", lambda: counted),
        redirect_stdout(io.StringIO()),
    ):
        yield
