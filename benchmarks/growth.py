"""How time and memory grow with words, neurons and concepts: curves and their exponents.

Each point is a process of its own. The exponent is the slope of log seconds on log n over the
curve's points, with the 95 % interval of the regression; of memory likewise.

*words*: extraction into a file, streamed scores, and streamed top words, of the training split of
CoNLL-2003, repeated where it has too few. What streaming reads is a file that ours wrote, so the
model's time is in *extraction* alone. *neurons*: scores and top words of a matrix in memory, where
MiniLM's neurons stand side by side repeatedly, up to the number that SmolLM2 has. *concepts*:
selectivity of all neurons, in memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.inputs import ACTIVATIONS, concept_columns, first_words
from benchmarks.measure import MEASURED, Work, in_own_process
from plasticity_utils.data.corpus import Corpus, load_corpus
from plasticity_utils.models.activations import word_activations
from plasticity_utils.models.load import load_model
from plasticity_utils.neurons.scores import probeless, selectivity
from plasticity_utils.neurons.streaming import (
    StoredActivations,
    passes_needed,
    stream_scores,
    stream_top_words,
)
from plasticity_utils.neurons.words import highest_activating_words

MAX_BYTES = 2**27
N_CONCEPTS, TOP = 20, 10
FILE, LEAST = "full.npy", 0.01
POINTS: dict[str, dict[str, Any]] = {
    "full": {
        "stored": 203_621,
        "extraction": [5_000, 15_000, 50_000],
        "words": [5_000, 15_000, 50_000, 150_000, 500_000],
        "neurons": [2_688, 5_376, 10_752, 17_856],
        "concepts": [1, 2, 5, 10, 20, 40],
        "fixed_words": [5_000, 20_000],
    },
    "small": {
        "stored": 600,
        "extraction": [200, 400],
        "words": [200, 400, 1_200],
        "neurons": [2_688, 3_000, 4_000],
        "concepts": [1, 2, 4],
        "fixed_words": [400, 600],
    },
}


@dataclass(frozen=True)
class Repeated:
    """The first words of a file of activations, from the beginning again where it has too few."""

    stored: StoredActivations
    n_words: int

    @property
    def shape(self) -> tuple[int, int]:
        """Words and neurons."""
        return self.n_words, self.stored.shape[1]

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield rows and their activations."""
        start, n_stored = 0, self.stored.shape[0]
        while start < self.n_words:
            for rows, X in self.stored:
                own = start + rows
                n_own = int((own < self.n_words).sum())
                if not n_own:
                    break
                yield own[:n_own], X[:n_own]
            start += n_stored


def extraction(folder: Path, words: int, model: str) -> Work:
    """Write the activations of so many words into a file."""
    corpus = _corpus(words)

    def run() -> None:
        word_activations(*load_model(model), corpus.sentences, out=folder / FILE)

    return Work(run, lambda _: {"n": corpus.n_words})


def scores(folder: Path, shared: str, words: int) -> Work:
    """Score all neurons for twenty concepts in two passes."""
    batches, corpus = _batches(shared, words)
    _, columns = concept_columns(corpus, N_CONCEPTS)

    def keep(found: Any) -> dict[str, Any]:
        bound = found.selectivity_bound
        return {"n": corpus.n_words, "n_bins": found.n_bins, "greatest_bound": float(bound.max())}

    return Work(lambda: stream_scores(batches, columns, MAX_BYTES), keep)


def top_words(folder: Path, shared: str, words: int) -> Work:
    """List the words of all neurons in as many passes as the cap asks for."""
    batches, corpus = _batches(shared, words)
    own = corpus.words
    facts = {
        "n": corpus.n_words,
        "n_types": len(set(own)),
        "passes": passes_needed(own, batches.shape[1], max_bytes=MAX_BYTES),
    }
    return Work(lambda: stream_top_words(batches, own, TOP, max_bytes=MAX_BYTES), lambda _: facts)


def neurons(folder: Path, shared: str, words: int, n: int) -> Work:
    """Score so many neurons for twenty concepts and list their words, in memory."""
    corpus = first_words(words)
    base = np.load(Path(shared) / ACTIVATIONS, mmap_mode="r")[: corpus.n_words]
    X = np.ascontiguousarray(np.tile(base, -(-n // base.shape[1]))[:, :n])
    _, columns = concept_columns(corpus, N_CONCEPTS)

    def run() -> None:
        selectivity(X, columns)
        probeless(X, columns[:, 0])
        highest_activating_words(X, corpus.words, range(n), TOP)

    return Work(run, lambda _: {"n": n, "words": corpus.n_words})


def concepts(folder: Path, shared: str, words: int, n: int) -> Work:
    """Score all neurons for so many concepts, in memory."""
    corpus = first_words(words)
    X = np.load(Path(shared) / ACTIVATIONS)[: corpus.n_words]
    names, columns = concept_columns(corpus, n)
    return Work(lambda: selectivity(X, columns), lambda _: {"n": len(names)})


def measure(size: str, folder: Path, model: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Measure one curve after another; each is yielded when it is done."""
    points = POINTS[size]
    stored, few = folder / "stored", folder / "few"
    on_file, most = {"shared": str(stored)}, points["fixed_words"][1]
    if not (stored / FILE).is_file():
        in_own_process("growth:extraction", stored, words=points["stored"], model=model)
    whole = json.loads((stored / MEASURED).read_text())
    if not (few / ACTIVATIONS).is_file():
        in_own_process("inputs:activations", few, words=most, model=model)
    few_words = {"shared": str(few), "words": points["fixed_words"][0]}
    many_words = {"shared": str(few), "words": most}
    curves: dict[str, tuple[str, list[dict[str, Any]]]] = {
        "extraction by words": ("extraction", [{"words": n, "model": model}
                                               for n in points["extraction"]]),
        "scores by words": ("scores", [{**on_file, "words": n} for n in points["words"]]),
        "top words by words": ("top_words", [{**on_file, "words": n} for n in points["words"]]),
        "scores and words by neurons": ("neurons", [{**few_words, "n": n}
                                                    for n in points["neurons"]]),
        "selectivity by concepts": ("concepts", [{**many_words, "n": n}
                                                 for n in points["concepts"]]),
    }  # fmt: skip
    for name, (function, settings) in curves.items():
        measured = [in_own_process(f"growth:{function}", folder / "work", **s) for s in settings]
        # The file that the others read is the last point of extraction.
        yield name, curve([*measured, whole] if function == "extraction" else measured)


def curve(points: list[dict[str, Any]]) -> dict[str, Any]:
    """A curve's points with the exponents of its time and its memory."""
    n = [point["n"] for point in points]
    return {
        "points": points,
        "seconds_exponent": exponent(n, [point["seconds"] for point in points]),
        "memory_exponent": exponent(n, [point["rise_mb"] for point in points]),
    }


def exponent(n: list[int], values: list[float]) -> dict[str, float]:
    """Slope of log value on log n, and its 95 % interval; less than `LEAST` counts as that."""
    fit = stats.linregress(np.log(n), np.log(np.maximum(values, LEAST)))
    half = stats.t.ppf(0.975, len(n) - 2) * fit.stderr if len(n) > 2 else float("nan")
    slope = float(fit.slope)
    return {"slope": slope, "low": slope - half, "high": slope + half}


def _corpus(words: int, stored: int | None = None) -> Corpus:
    """So many words at least of those that are stored, from the beginning again where they end."""
    corpus = load_corpus("conll2003") if stored is None else first_words(stored)
    times = -(-words // corpus.n_words)
    corpus = corpus.select([i for _ in range(times) for i in range(len(corpus))])
    so_far = np.cumsum([len(sentence) for sentence in corpus.sentences])
    return corpus.first(int(np.searchsorted(so_far, words)) + 1)


def _batches(shared: str, words: int) -> tuple[Repeated, Corpus]:
    stored = StoredActivations(Path(shared) / FILE)
    corpus = _corpus(words, stored.shape[0])
    return Repeated(stored, corpus.n_words), corpus
