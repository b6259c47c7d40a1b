"""The peers: NeuroX 1.0.9, scikit-learn neuron by neuron, and the Trainer with its defaults.

Each function prepares one piece of work (inputs are read and modules imported before the clock) and
says what is kept of it for the check that both sides agree. NeuroX is called as its documentation
does; nothing of it is changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from neurox.analysis.corpus import get_top_words
from neurox.data.extraction.transformers_extractor import extract_representations
from neurox.data.loader import load_activations
from neurox.interpretation import probeless as neurox_probeless
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from benchmarks.inputs import (
    ACTIVATIONS,
    concept_columns,
    first_sentences,
    first_words,
    layers,
    sampled_neurons,
)
from benchmarks.measure import Work
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.models.load import load_model

TOP = 10


def activations(folder: Path, sentences: int, model: str) -> Work:
    """Extract to JSON and load it again, as one must before any analysis."""
    text, path = folder / "sentences.txt", folder / "activations.json"
    corpus = first_sentences(sentences)
    text.write_text("".join(f"{' '.join(words)}\n" for words in corpus.sentences))
    name = _model_folder(folder, model)

    def run() -> list[np.ndarray]:
        extract_representations(
            name, str(text), str(path), aggregation="average", output_type="json"
        )
        return load_activations(str(path))[0]

    def keep(by_sentence: list[np.ndarray]) -> dict[str, Any]:
        file_mb = path.stat().st_size / 2**20
        path.unlink()
        np.save(folder / "kept.npy", np.concatenate(by_sentence).astype(np.float32))
        return {"n_words": corpus.n_words, "file_mb": file_mb}

    return Work(run, keep)


def top_words(folder: Path, shared: str, words: int, neurons: int | None) -> Work:
    """Call `get_top_words` for one neuron after another."""
    corpus, by_sentence = _by_sentence(shared, words)
    chosen = sampled_neurons(by_sentence[0].shape[1], neurons)
    tokens = {"source": corpus.sentences}

    def run() -> list[list[tuple[str, float]]]:
        return [get_top_words(tokens, by_sentence, neuron, TOP) for neuron in chosen.tolist()]

    def keep(found: list[list[tuple[str, float]]]) -> dict[str, Any]:
        rows = zip(chosen.tolist(), found, strict=True)
        top = {str(neuron): [[w, float(s)] for w, s in words] for neuron, words in rows}
        return {
            "n_neurons": len(chosen),
            "scale": by_sentence[0].shape[1] / len(chosen),
            "top": top,
        }

    return Work(run, keep)


def probeless(folder: Path, shared: str, words: int, concepts: int) -> Work:
    """Score all neurons for one concept after another, each against the rest."""
    X = np.load(Path(shared) / ACTIVATIONS)
    _, columns = concept_columns(first_words(words), concepts)

    def run() -> list[np.ndarray]:
        scores = []
        for member in columns.T.astype(int):
            # What `get_neuron_ordering_for_tag` does, which returns the order without the scores.
            _, means = neurox_probeless._get_mean_vectors(X, member)
            scores.append(neurox_probeless._get_tag_wise_ranking(means, 1)[0])
        return scores

    def keep(scores: list[np.ndarray]) -> dict[str, Any]:
        np.save(folder / "kept.npy", np.stack(scores, axis=1))
        return {"n_concepts": columns.shape[1], "n_neurons": X.shape[1]}

    return Work(run, keep)


def probes(folder: Path, shared: str, words: int, concepts: int, units: int) -> Work:
    """Fit scikit-learn's discriminant for each layer and concept, and read the words with it."""
    X = np.load(Path(shared) / ACTIVATIONS)
    _, columns = concept_columns(first_words(words), concepts)

    def read(layer: np.ndarray) -> list[np.ndarray]:
        scaled = StandardScaler().fit_transform(layer)
        shrinkage = ledoit_wolf(scaled)[1]
        probe = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
        return [probe.fit(scaled, member).predict(scaled) for member in columns.T]

    def keep(found: list[list[np.ndarray]]) -> dict[str, Any]:
        np.save(folder / "kept.npy", np.array(found).transpose(0, 2, 1))
        return {"n_layers": len(found)}

    return Work(lambda: [read(layer) for layer in layers(X, units)], keep)


def auroc(folder: Path, shared: str, words: int, concepts: int, neurons: int | None) -> Work:
    """Call `roc_auc_score` for each neuron and concept."""
    X = np.load(Path(shared) / ACTIVATIONS)
    _, columns = concept_columns(first_words(words), concepts)
    chosen = sampled_neurons(X.shape[1], neurons)

    def run() -> np.ndarray:
        return np.array(
            [[roc_auc_score(member, X[:, neuron]) for member in columns.T] for neuron in chosen]
        )

    def keep(areas: np.ndarray) -> dict[str, Any]:
        np.save(folder / "kept.npy", 2 * areas - 1)
        return {"neurons": chosen.tolist(), "scale": X.shape[1] / len(chosen)}

    return Work(run, keep)


def _by_sentence(shared: str, words: int) -> tuple[Corpus, list[np.ndarray]]:
    """Activations as NeuroX's loader gives them from JSON: a float64 array for each sentence."""
    corpus = first_words(words)
    X = np.load(Path(shared) / ACTIVATIONS, mmap_mode="r")
    ends = np.cumsum([len(sentence) for sentence in corpus.sentences])
    return corpus, [part.astype(np.float64) for part in np.split(X, ends[:-1])]


def _model_folder(folder: Path, model: str) -> str:
    """A folder of the model that `transformers` can load by itself."""
    target = folder / "model"
    loaded, tokenizer = load_model(model)
    loaded.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return str(target)
