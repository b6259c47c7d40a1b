"""A finished run opened for looking at: tables at hand, words and models when they are asked for.

The explorer must answer at once, so what is slow is done once: the table of neurons is cut by
condition, activations are opened as files on disk in which one neuron's words lie together, and a
model that has read a sentence is kept. A run whose models are gone still has its tables; then
`missing` says in words what cannot be shown.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd
from jaxtyping import Float
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.replay import activations_at, model_at
from plasticity_utils.experiment.run import Run
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.explorer import views
from plasticity_utils.models.activations import word_activations
from plasticity_utils.names import STAGES


@dataclass(frozen=True)
class Selected:
    """What is looked at: a neuron of a model.

    Attributes
    ----------
    condition : {"targeted", "random", "none", "head"}
    stage : {"base", "removed", "end"}
    layer, unit : int
    """

    condition: str
    stage: str
    layer: int
    unit: int


class RunData:
    """One run, read once.

    Parameters
    ----------
    run : Run
        With its table of all neurons.

    Attributes
    ----------
    tables : dict of str to DataFrame
        `run.neurons` by condition.
    n_layers, d_model, n_neurons : int
        Layers, the embedding output included, units in each, and all units.
    missing : str
        Why there are no activations and no models; empty where there are.

    Raises
    ------
    InputError
        If the run has no table of all neurons, or is about a concept that is no entity type.
    """

    def __init__(self, run: Run) -> None:
        if not run.config.about.is_entity:
            raise InputError(
                f"this view shows runs about entity types, and {run.config.about.title} is none; "
                "its neurons are in `run.neurons` and on the page's cards"
            )
        self.run = run
        self.tables = {
            str(name): rows for name, rows in run.neurons.groupby("condition", sort=False)
        }
        self.n_layers = int(run.neurons["layer"].max()) + 1
        self.d_model = int(run.neurons["unit"].max()) + 1
        self.n_neurons = self.n_layers * self.d_model
        self.missing = self._why_missing()
        self._rows: dict[tuple[str, str], np.ndarray] = {}
        self._open = ExitStack()
        self._models: dict[tuple[str, str], tuple[PreTrainedModel, PreTrainedTokenizerBase]] = {}
        # One sentence under a condition: choosing another neuron does not run the models again.
        self._last_read = lru_cache(maxsize=4)(self._read)

    @cached_property
    def corpus(self) -> Corpus:
        """The measuring half, whose words the activations are of."""
        # It does not depend on the seed, so that seeds share it.
        return _measuring_half(replace(self.run.config, seed=0, results_dir=""))

    @cached_property
    def words(self) -> list[str]:
        """All words of the measuring half, in order."""
        return self.corpus.words

    @cached_property
    def classes(self) -> list[str]:
        """Entity type of each word, `O` for none."""
        return views.word_classes(self.corpus)

    @cached_property
    def inventory(self) -> pd.DataFrame:
        """Which words belong to which concept: see `concept_inventory`."""
        return views.concept_inventory(self.corpus)

    def history(self, at: Selected) -> pd.DataFrame:
        """The neuron through all stages: see `neuron_history`."""
        return views.neuron_history(self.tables[at.condition], at.layer, at.unit)

    def layer(self, at: Selected) -> pd.DataFrame:
        """All neurons of its layer: see `layer_neurons`."""
        return views.layer_neurons(self.tables[at.condition], at.stage, at.layer)

    def activations(self, at: Selected) -> Float[np.ndarray, " word"]:
        """The neuron's activation on every word of the measuring half, [n_words].

        Raises
        ------
        InputError
            If the run's models are not kept.
        """
        row = at.layer * self.d_model + at.unit
        return np.asarray(self._all_activations(at.condition, at.stage)[row], dtype=np.float32)

    def concept_activation(self, at: Selected) -> Float[np.ndarray, " unit"]:
        """Mean activation of each unit of the layer on the concept's words, [d_model]."""
        rows = self._all_activations(at.condition, at.stage)
        units = slice(at.layer * self.d_model, (at.layer + 1) * self.d_model)
        inside = np.array(self.classes) == self.run.config.label
        return rows[units][:, inside].mean(axis=1, dtype=np.float64)

    def profile(self, at: Selected) -> pd.DataFrame:
        """σ of the neuron for every concept through the stages: see `selectivity_profile`."""
        history = self.history(at)
        computed = {}
        if not self.missing:
            moments = dict(zip(history["stage"], history["moment"], strict=True))
            for stage in STAGES:
                of_stage = Selected(at.condition, stage, at.layer, at.unit)
                sigma = views.concept_selectivity(self.activations(of_stage), self.inventory)
                computed[moments[stage]] = sigma
        return views.selectivity_profile(history, computed)

    def respond(self, at: Selected, words: tuple[str, ...]) -> pd.DataFrame:
        """What the neuron does on the words of a sentence in all three models.

        Parameters
        ----------
        at : Selected
            Its stage does not matter.
        words : tuple of str

        Returns
        -------
        DataFrame
            One row a stage and word: stage, word, activation, z (distance from the mean that the
            neuron has in the base model, in standard deviations of the base model; 0 if it does not
            vary there).

        Raises
        ------
        InputError
            If the models are not kept, or the sentence is empty or too long for them.
        """
        base = self.activations(Selected(at.condition, "base", at.layer, at.unit))
        spread = base.std(dtype=np.float64) if np.ptp(base) > 0 else np.inf
        column = at.layer * self.d_model + at.unit
        parts = []
        for stage in STAGES:
            activation = self._last_read(*_same_neurons(at.condition, stage), words)[:, column]
            z = (activation - base.mean(dtype=np.float64)) / spread
            part = {"stage": stage, "word": words, "activation": activation, "z": z}
            parts.append(pd.DataFrame(part))
        return pd.concat(parts, ignore_index=True)

    def is_open(self, condition: str) -> bool:
        """Tell whether the activations of a condition are at hand."""
        return all(_same_neurons(condition, stage) in self._rows for stage in STAGES)

    def has_models(self, condition: str) -> bool:
        """Tell whether the models of a condition are loaded."""
        return all(_same_neurons(condition, stage) in self._models for stage in STAGES)

    def load_activations(self, condition: str) -> None:
        """Open, or compute and keep, the activations of a condition at all three stages."""
        for stage in STAGES:
            self._all_activations(condition, stage)

    def _all_activations(self, condition: str, stage: str) -> np.ndarray:
        if self.missing:
            raise InputError(self.missing)
        key = _same_neurons(condition, stage)
        if key not in self._rows:
            self._rows[key] = activations_at(self.run, *key)
        return self._rows[key]

    def _model(self, condition: str, stage: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        if self.missing:
            raise InputError(self.missing)
        key = condition, stage
        if key not in self._models:
            self._models[key] = self._open.enter_context(model_at(self.run, condition, stage))
        return self._models[key]

    def _read(self, condition: str, stage: str, words: tuple[str, ...]) -> np.ndarray:
        model, tokenizer = self._model(condition, stage)
        return word_activations(model, tokenizer, [list(words)])

    def _why_missing(self) -> str:
        """Look for the base model; the stages of a run are kept, or thrown away, together."""
        try:
            Stages(self.run.config, only_finished=True).base()
        except InputError as error:
            return f"The models of this run are not kept here: {error}"
        return ""


@lru_cache(maxsize=2)
def _measuring_half(config: RunConfig) -> Corpus:
    return load_sentences(config).measuring


def _same_neurons(condition: str, stage: str) -> tuple[str, str]:
    """Give the condition and stage whose neurons are the same, so that none is computed twice.

    All conditions share the base; `none` removes nothing; `head` trains nothing below the head.
    """
    if stage == "base" or (condition, stage) == ("none", "removed"):
        return "none", "base"
    return ("targeted", "removed") if condition == "head" else (condition, stage)
