"""Works that the experiment does not do twice: the same with and without what is saved.

Of the dose–response and of the rows of word embeddings both sides are the package's own code, and
one does without the saving: every pass runs the whole model; every step clears and updates all
rows. A head on a frozen body, and the F1 to which a training is timed, stand beside the Trainer's,
the start of the command line beside papermill's.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from benchmarks.measure import Work
from benchmarks.training import begin, facts_of
from plasticity_utils.experiment import stages
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.names import OVERALL
from plasticity_utils.removal.below import StatesBelow
from plasticity_utils.training import train as training
from plasticity_utils.training.evaluate import entity_scores
from plasticity_utils.training.readers import FrozenHead, label_states, tags_of_sentences
from plasticity_utils.training.train import Schedule, fine_tune, tag_sentences

SOME_SENTENCES = 20


class WholePasses(StatesBelow):
    """The same, but every pass runs the whole model."""

    def _forward(self, *args: Any, **options: Any) -> Any:
        return self._own(*args, **options)


def base(folder: Path, scale: str, model: str) -> Work:
    """Train the base model whose dose–response is drawn, and rank its neurons."""
    own = Stages(_config(folder, scale, model))
    return Work(lambda: (own.base(), own.ranking()), lambda _: {})


def dose(folder: Path, shared: str, scale: str, model: str, whole: bool = False) -> Work:
    """Draw the dose–response of a base model that is there: the table is kept."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    shutil.copytree(Path(shared) / "runs", folder / "runs")
    own = Stages(_config(folder, scale, model))
    below = WholePasses if whole else StatesBelow

    def run() -> Path:
        with patch.object(stages, "StatesBelow", below):
            return own.dose()

    def keep(made: Path) -> dict[str, Any]:
        shutil.copy2(made / "dose.parquet", folder / "kept.parquet")
        return {"n_rows": len(pd.read_parquet(folder / "kept.parquet"))}

    return Work(run, keep)


def rows_in_use(folder: Path, model: str, train: int, seed: int, all_rows: bool = False) -> Work:
    """Train an epoch, on the rows of the word embeddings in use or on all: weights are kept."""
    config, trained, tokenizer, (corpus, _) = begin(model, train, SOME_SENTENCES, seed)
    data = tag_sentences(trained, tokenizer, corpus)
    schedule = Schedule(1, config.rate, config.sizes.batch_tokens, seed)
    used = (lambda *_: None) if all_rows else training.used_rows

    def run() -> None:
        with patch.object(training, "used_rows", used):
            fine_tune(trained, data, schedule, folder / "checkpoints")

    def keep(_: None) -> dict[str, Any]:
        weights = [p.detach().cpu().numpy().ravel() for p in trained.parameters()]
        np.save(folder / "kept.npy", np.concatenate(weights)[:, None])
        return {}

    return Work(run, keep)


def frozen_head(folder: Path, model: str, train: int, scored: int, seed: int) -> Work:
    """Train the head alone until it converges, on states that are computed once."""
    _, loaded, tokenizer, corpora = begin(model, train, scored, seed)
    data, scoring = (tag_sentences(loaded, tokenizer, corpus) for corpus in corpora)

    def run() -> FrozenHead:
        own = FrozenHead.of(loaded, seed=seed)
        return own.fit(label_states(loaded, data), np.concatenate(data.tags))

    def keep(found: FrozenHead) -> dict[str, Any]:
        tags = tags_of_sentences(found.predict(label_states(loaded, scoring)), scoring)
        table = entity_scores(scoring.tags, tags, scoring.types).set_index("entity")
        return {"f1": float(table.loc[OVERALL, "entity_f1"])}

    return Work(run, keep)


def start(folder: Path, module: str) -> Work:
    """Show the help of a command line, in a process of its own."""
    command = [sys.executable, "-m", module, "--help"]
    return Work(
        lambda: subprocess.run(command, check=True, capture_output=True).stdout,
        lambda text: {"n_characters": len(text)},
    )


def until_f1(
    folder: Path, model: str, train: int, epochs: int, scored: int, seed: int, goal: float
) -> Work:
    """Train until a snapshot has an F1, looked at every quarter of an epoch; looking is not timed.

    The seconds that count are in `seconds_to_goal`; infinite where it is never reached.
    """
    config, trained, tokenizer, corpora = begin(model, train, scored, seed)
    data, scoring = (tag_sentences(trained, tokenizer, corpus) for corpus in corpora)
    schedule = Schedule(epochs, config.rate, config.sizes.batch_tokens, seed)
    looks = [quarter / 4 for quarter in range(1, 4 * epochs + 1)]
    reached: list[float] = []
    looking = 0.0
    started = 0.0

    def look(_: float) -> None:
        nonlocal looking
        began = time.perf_counter()
        if not reached and facts_of(trained, scoring, 0, None)["f1"] >= goal:
            reached.append(began - started - looking)
        looking += time.perf_counter() - began

    def run() -> None:
        nonlocal started
        started = time.perf_counter()
        fine_tune(trained, data, schedule, folder / "checkpoints", looks, look)

    return Work(run, lambda _: {"seconds_to_goal": (reached or [float("inf")])[0]})


def _config(folder: Path, scale: str, model: str) -> RunConfig:
    return RunConfig(model=model, scale=scale, results_dir=str(folder / "runs"))
