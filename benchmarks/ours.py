"""Ours: the same pieces of work as in `peers`, through the package's public functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.inputs import ACTIVATIONS, concept_columns, first_sentences, first_words, layers
from benchmarks.measure import Work
from benchmarks.peers import TOP
from benchmarks.sizes import EXTRACTION_TOKENS
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.record import Run
from plasticity_utils.experiment.run import run_experiment
from plasticity_utils.models.activations import word_activations
from plasticity_utils.models.load import load_model
from plasticity_utils.neurons.probes import fit_discriminants
from plasticity_utils.neurons.scores import probeless, selectivity
from plasticity_utils.neurons.words import highest_activating_words


def activations(folder: Path, sentences: int, model: str) -> Work:
    """Extract into a file `.npy`, which is ready where it lies."""
    corpus, path = first_sentences(sentences), folder / "kept.npy"

    def run() -> int:
        loaded, tokenizer = load_model(model)
        word_activations(loaded, tokenizer, corpus.sentences, EXTRACTION_TOKENS, path)
        return sum(weights.nbytes for weights in loaded.parameters())

    def keep(weights_bytes: int) -> dict[str, Any]:
        file_mb = path.stat().st_size / 2**20
        return {"n_words": corpus.n_words, "file_mb": file_mb, "weights_mb": weights_bytes / 2**20}

    return Work(run, keep)


def top_words(folder: Path, shared: str, words: int) -> Work:
    """List the words of all neurons in one call, as NeuroX scores them."""
    X, own = np.load(Path(shared) / ACTIVATIONS), first_words(words).words

    def run() -> pd.DataFrame:
        return highest_activating_words(X, own, range(X.shape[1]), TOP, signed=False)

    def keep(table: pd.DataFrame) -> dict[str, Any]:
        table.to_parquet(folder / "kept.parquet")
        return {"n_neurons": X.shape[1]}

    return Work(run, keep)


def scores(folder: Path, shared: str, words: int, concepts: int) -> Work:
    """Score all neurons for all concepts: probeless one by one, selectivity in one ranking."""
    X = np.load(Path(shared) / ACTIVATIONS)
    names, columns = concept_columns(first_words(words), concepts)

    def run() -> tuple[np.ndarray, np.ndarray]:
        distance = np.stack([probeless(X, member) for member in columns.T], axis=1)
        return distance, selectivity(X, columns)

    def keep(found: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
        for name, values in zip(("probeless", "selectivity"), found, strict=True):
            np.save(folder / f"{name}.npy", values)
        return {"concepts": names}

    return Work(run, keep)


def probes(folder: Path, shared: str, words: int, concepts: int, units: int) -> Work:
    """Fit the probes of each layer, and read the words with them."""
    X = np.load(Path(shared) / ACTIVATIONS)
    _, columns = concept_columns(first_words(words), concepts)

    def read(layer: np.ndarray) -> np.ndarray:
        return fit_discriminants(layer, columns).predict(layer)

    def keep(found: list[np.ndarray]) -> dict[str, Any]:
        np.save(folder / "kept.npy", np.stack(found))
        return {"n_layers": len(found)}

    return Work(lambda: [read(layer) for layer in layers(X, units)], keep)


def whole_run(folder: Path, scale: str, model: str, seed: int = 0) -> Work:
    """Run the experiment in a results folder of its own."""
    config = RunConfig(model=model, scale=scale, seed=seed, results_dir=str(folder / "runs"))

    def keep(run: Run) -> dict[str, Any]:
        end = run.metrics[(run.metrics["stage"] == "end") & (run.metrics["entity"] == "overall")]
        return {
            "stages": run.facts["seconds"],
            "f1_end": end.set_index("condition")["entity_f1"].round(4).to_dict(),
        }

    return Work(lambda: run_experiment(config), keep)
