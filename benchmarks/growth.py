"""How time and memory grow with words, neurons and concepts: curves and their exponents.

Each point is a process of its own. The exponent is the slope of log seconds on log n over the
curve's points, with the 95 % interval of the regression; of memory likewise. Where
the model runs, the allocator gives back what is freed: the peak is what the work holds.

*words*: extraction into a file, and what a run measures at each snapshot (scores, top words and
probes, a part at a time), of the training split of CoNLL-2003, repeated where it has too few.
*neurons*: scores and top words of a matrix in memory, where MiniLM's neurons stand side by side
repeatedly, up to the number that SmolLM2 has. *concepts*: selectivity of all neurons, in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.inputs import ACTIVATIONS, concept_columns, first_words
from benchmarks.measure import Work, giving_back, in_own_process
from plasticity_utils.data.corpus import Corpus, load_corpus
from plasticity_utils.experiment.measure import measure_layers
from plasticity_utils.models.activations import word_activations
from plasticity_utils.models.load import load_model
from plasticity_utils.neurons.scores import probeless, selectivity
from plasticity_utils.neurons.words import highest_activating_words

N_CONCEPTS, TOP = 20, 10
FITTED_WORDS = 5_000
FILE, LEAST = "full.npy", 0.01
POINTS: dict[str, dict[str, Any]] = {
    "full": {
        "extraction": [5_000, 15_000, 50_000, 200_000],
        "words": [5_000, 15_000, 50_000, 150_000],
        "neurons": [2_688, 5_376, 10_752, 17_856],
        "concepts": [1, 2, 5, 10, 20, 40],
        "fixed_words": [5_000, 20_000],
    },
    "small": {
        "extraction": [200, 400],
        "words": [400, 1_200],
        "neurons": [2_688, 3_000, 4_000],
        "concepts": [1, 2, 4],
        "fixed_words": [400, 600],
    },
}


def extraction(folder: Path, words: int, model: str) -> Work:
    """Write the activations of so many words into a file."""
    corpus = _corpus(words)

    def run() -> None:
        word_activations(*load_model(model), corpus.sentences, out=folder / FILE)

    return Work(run, lambda _: {"n": corpus.n_words})


def measuring(folder: Path, words: int, model: str) -> Work:
    """Measure so many words as a run does at each snapshot; probes are fitted on a fixed few."""
    corpus, few = _corpus(words), first_words(FITTED_WORDS)

    def run() -> None:
        measure_layers(*load_model(model), corpus, few, folder=folder)

    return Work(run, lambda _: {"n": corpus.n_words})


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
    few, most = folder / "few", points["fixed_words"][1]
    if not (few / ACTIVATIONS).is_file():
        in_own_process("inputs:activations", few, words=most, model=model)
    few_words = {"shared": str(few), "words": points["fixed_words"][0]}
    many_words = {"shared": str(few), "words": most}
    curves: dict[str, tuple[str, list[dict[str, Any]]]] = {
        "extraction by words": ("extraction", [{"words": n, "model": model}
                                               for n in points["extraction"]]),
        "measuring by words": ("measuring", [{"words": n, "model": model}
                                             for n in points["words"]]),
        "scores and words by neurons": ("neurons", [{**few_words, "n": n}
                                                    for n in points["neurons"]]),
        "selectivity by concepts": ("concepts", [{**many_words, "n": n}
                                                 for n in points["concepts"]]),
    }  # fmt: skip
    for name, (function, settings) in curves.items():
        work = folder / "work"
        # What runs the model frees as much as it holds, in other sizes each time.
        measured = giving_back if "model" in settings[0] else in_own_process
        yield name, curve([measured(f"growth:{function}", work, **s) for s in settings])


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


def _corpus(words: int) -> Corpus:
    """So many words at least, from the beginning again where they end."""
    corpus = load_corpus("conll2003")
    times = -(-words // corpus.n_words)
    corpus = corpus.select([i for _ in range(times) for i in range(len(corpus))])
    so_far = np.cumsum([len(sentence) for sentence in corpus.sentences])
    return corpus.first(int(np.searchsorted(so_far, words)) + 1)
