"""A finished run's models brought back, and what their neurons did on every word.

The tables of a run say how a neuron responds on average. To look at single words, or to try a
sentence of one's own, one needs the model itself: the base, the base with neurons removed, or the
one that was trained on. All three are kept beside the run; nothing here trains.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils import files
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.record import Run
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.experiment.store import provenance
from plasticity_utils.models.activations import by_neuron, word_activations
from plasticity_utils.names import STAGES
from plasticity_utils.removal.interface import in_force
from plasticity_utils.removal.patch import Change

_PARTS = ("measuring", "ranking")


@contextmanager
def model_at(
    run: Run, condition: str, stage: str
) -> Iterator[tuple[PreTrainedModel, PreTrainedTokenizerBase]]:
    """Bring back the model of one condition at one stage, with what is removed from it.

    The removal ends with the context. InputError for an unknown condition or stage, or if the run's
    models are not kept here.
    """
    _check(stage)
    stages = Stages(run.config, only_finished=True)
    intervention = None if stage == "base" else stages.in_force(condition)
    model, tokenizer, gains = stages.load(condition, trained=stage == "end")
    with in_force(model, intervention) as held:
        if gains is not None:
            held.set_gains(gains)
        yield model.eval(), tokenizer


class _BroughtBack(Change):
    """A run's model with what the run had removed, in force until `undo`."""

    def __init__(self, run: Run, condition: str, stage: str):
        self._context = ExitStack()
        self.model, self.tokenizer = self._context.enter_context(model_at(run, condition, stage))
        super().__init__(self.model)

    def undo(self) -> None:
        super().undo()
        self._context.close()


def brought_back(
    run: Run, condition: str, stage: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Bring back a model as `model_at` does, without a context: see `Run.model`."""
    held = _BroughtBack(run, condition, stage)
    return held.model, held.tokenizer


def activations_at(run: Run, condition: str, stage: str, part: str = "measuring") -> np.ndarray:
    """Activation of every neuron on every word of one part of the test split, kept beside the run.

    A float16 array on disk, [n_layers * d_model, n_words]: a neuron's words lie together, in the
    order of `load_sentences`. The first call takes about a minute at full scale. InputError as
    `model_at`.
    """
    _check(stage)
    if part not in _PARTS:
        raise InputError(f"unknown part {part!r}; allowed: {', '.join(_PARTS)}")
    condition, stage = Stages(run.config).alike(condition, stage)
    if not (run.path / files.SEAL).is_file():
        raise InputError(
            f"the models of {run.path.name!r} are not kept here; `plasticity run` makes them again"
        )
    settings = {
        "run": files.seal_of(run.path)["settings"],
        "condition": condition,
        "stage": stage,
        "part": part,
    }
    make = partial(_make_activations, run, condition, stage, part)
    stages = run.config.results / "stages"
    folder = files.cached(stages, "activations", settings, make, provenance())
    return np.load(folder / "activations.npy", mmap_mode="r")


def _make_activations(run: Run, condition: str, stage: str, part: str, folder: Path) -> None:
    sentences = getattr(Stages(run.config).sentences, part).sentences
    with model_at(run, condition, stage) as (model, tokenizer):
        X = word_activations(model, tokenizer, sentences)
    np.save(folder / "activations.npy", by_neuron(X))


def _check(stage: str) -> None:
    if stage not in STAGES:
        raise InputError(f"unknown stage {stage!r}; allowed: {', '.join(STAGES)}")
