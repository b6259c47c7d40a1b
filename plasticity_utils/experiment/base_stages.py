"""The stages of a run before anything is removed: fine-tune the base model and rank its neurons.

Each is cached under the settings that it depends on, never under who asks: the base model is
trained once for all concepts.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils import files, hardware
from plasticity_utils.data.concepts import members, without_tags
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.measure import rank_stored, score_tagged
from plasticity_utils.experiment.splits import Sentences, load_sentences
from plasticity_utils.experiment.store import provenance, save_table
from plasticity_utils.hardware import training_precision
from plasticity_utils.models.activations import stored_activations, word_activations
from plasticity_utils.models.load import encode_for, load_model
from plasticity_utils.models.locate import model_fingerprint
from plasticity_utils.neurons.scores import layer_unit
from plasticity_utils.progress import quiet_transformers
from plasticity_utils.registry import label, protocols, rankings, removals
from plasticity_utils.training.evaluate import (
    CustomProbe,
    fit_custom_probe,
    last_layer,
    scorer_of,
)
from plasticity_utils.training.train import fine_tune, tag_sentences

_CHECKED_SENTENCES = 20


@dataclass(frozen=True)
class BaseStages:
    """The stages of one configuration that know of no removal; each returns a sealed folder.

    Attributes
    ----------
    config : RunConfig
    only_finished : bool
        Make nothing: a stage that is not there is an InputError.
    used : set of Path
        The folders that were returned so far.
    """

    config: RunConfig
    only_finished: bool = False
    used: set[Path] = field(default_factory=set, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.only_finished:
            return
        config = self.config
        named = {removals: [config.chosen.name], rankings: [config.preset.ranking]}
        for registry, names in {**named, protocols: config.conditions.values()}.items():
            for name in names:
                registry.check_label(name)

    @cached_property
    def sentences(self) -> Sentences:
        """Sentences of the run, by purpose."""
        return load_sentences(self.config)

    def _check_sentences(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        """Refuse sentences that the model cannot read, whatever they are for."""
        for name, part in vars(self.sentences).items():
            if not isinstance(part, Corpus):
                continue
            try:
                encode_for(model, tokenizer, part.sentences)
            except InputError as error:
                raise InputError(f"{name} part of {part.name}: {error}") from None

    def base(self) -> Path:
        """Fine-tune the base model; `model/` and `scores.parquet` (validation, test)."""
        make = partial(self._make_base, lambda corpus: corpus)
        return self._cached("base", self._base_settings, make)

    def masked(self) -> Path:
        """Fine-tune a model that never knows the concept, whose tags are O: as `base`."""
        if not self.config.concept_info.is_entity:
            raise InputError(
                f"{self.config.concept_info.title!r} is no entity type, so no tag of it can be "
                "masked"
            )
        make = partial(self._make_base, lambda corpus: without_tags(corpus, self.config.label))
        settings = {**self._base_settings, "masked": self._concept_key}
        return self._cached("masked", settings, make)

    def ranking(self) -> Path:
        """Rank all neurons by every method on the ranking part: `ranking.parquet`."""
        methods = [rankings.key(name) for name in self._methods]
        settings = {**self._picking_settings, "methods": methods}
        return self._cached("ranking", settings, self._make_ranking)

    @property
    def _methods(self) -> list[str]:
        """By which methods neurons are ranked."""
        return self.config.rankings

    def probe(self) -> Path:
        """Fit the probe of a concept that is no entity type, on the base model: `probe.npz`."""
        return self._cached("probe", self._picking_settings, self._make_probe)

    @property
    def _base_settings(self) -> dict[str, Any]:
        n_processes = hardware.count()
        return {
            "model": model_fingerprint(self.config.model),
            "precision": training_precision(),
            **self.config.teaching,
            **({"processes": n_processes} if n_processes > 1 else {}),
        }

    @property
    def _picking_settings(self) -> dict[str, Any]:
        return {
            "base": self._base_settings,
            "concept": self._concept_key,
            "ranking": self.config.sizes.ranking,
        }

    @property
    def _concept_key(self) -> str:
        # The tag of one's own concept says too little: two word lists share it.
        info = self.config.concept_info
        return info.label if info.is_entity else info.name

    def _cached(self, stage: str, settings: dict[str, Any], make: Any) -> Path:
        root = self.config.results / "stages"
        folder = files.folder_of(root, stage, settings)
        if not self.only_finished:
            folder = files.cached(root, stage, settings, make, provenance())
        elif not files.is_sound(folder):
            raise InputError(f"{str(folder)!r} is not there; `plasticity run` makes it again")
        self.used.add(folder)
        return folder

    def _load_base(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        return load_model(str(self.base() / "model"))

    def _scorer(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, corpus: Corpus | None
    ) -> Callable[[pd.DataFrame], pd.DataFrame]:
        """Add a concept of one's own to a table of `entity_scores`; an entity type is in it."""
        if corpus is None:
            return lambda table: table
        return scorer_of(
            CustomProbe.load(self.probe()), model, tokenizer, corpus, self.config.label
        )

    def _make_base(self, taught: Callable[[Corpus], Corpus], part: Path) -> None:
        model, tokenizer = load_model(self.config.model, self.sentences.labels, self.config.seed)
        # Weights that are not finite show here, in a second, and not after the training.
        word_activations(model, tokenizer, self.sentences.train.first(_CHECKED_SENTENCES).sentences)
        self._check_sentences(model, tokenizer)
        splits = {"validation": self.sentences.validation, "test": self.sentences.test}
        tagged = {name: tag_sentences(model, tokenizer, part) for name, part in splits.items()}
        data = tag_sentences(model, tokenizer, taught(self.sentences.train))
        schedule = self.config.schedule(self.config.sizes.base_epochs)
        fine_tune(model, data, schedule, part / "checkpoints")
        scores = [score_tagged(model, data).assign(split=split) for split, data in tagged.items()]
        save_table(pd.concat(scores, ignore_index=True), part / "scores.parquet")
        save_model(model, tokenizer, part)

    def _make_ranking(self, part: Path) -> None:
        model, tokenizer = self._load_base()
        table = self._ranked(model, tokenizer, self._methods, part)
        save_table(table, part / "ranking.parquet")

    def _ranked(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        methods: Sequence[str],
        part: Path,
    ) -> pd.DataFrame:
        """Rank a model's neurons, as it is, by each method on the ranking part."""
        ranking = self.sentences.ranking
        is_concept = members(ranking, self.config.label)
        with stored_activations(model, tokenizer, ranking.sentences, part) as stored:
            means = [X.mean(axis=0, dtype=np.float64) for _, X in stored.by_neurons()]
            places = layer_unit(range(stored.n_neurons), stored.d_model)
            table = pd.DataFrame(places, columns=["layer", "unit"])
            table["mean"] = np.concatenate(means)
            for method in methods:
                found = rank_stored(stored, is_concept, method)
                table[f"score_{label(method)}"] = found.scores
                table[f"rank_{label(method)}"] = found.ranks
        return table

    def _make_probe(self, part: Path) -> None:
        model, tokenizer = self._load_base()
        X = last_layer(model, tokenizer, self.sentences.ranking)
        fit_custom_probe(X, members(self.sentences.ranking, self.config.label)).save(part)


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, part: Path) -> None:
    """Keep the trained weights (safetensors) and drop the checkpoints that led to them."""
    with quiet_transformers():
        # The class's own: what was removed is kept beside the model.
        PreTrainedModel.save_pretrained(model, part / "model")
    tokenizer.save_pretrained(part / "model")
    shutil.rmtree(part / "checkpoints")
