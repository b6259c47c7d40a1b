"""The stages before anything is removed, each cached under the settings that it depends on.

fine-tune the base → rank its neurons, fit a probe, fit erasers. A stage depends on settings and on
other stages, never on who asks: the base model is trained once for all concepts. What is removed
and trained on afterwards is in `stages`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils import processes, store
from plasticity_utils.activations import word_activations
from plasticity_utils.concepts import members
from plasticity_utils.config import RunConfig
from plasticity_utils.corpus import ENTITY_LABELS, Corpus
from plasticity_utils.dose import save_table
from plasticity_utils.erasure import Erasers, Fitting
from plasticity_utils.errors import InputError
from plasticity_utils.measuring import Sentences, load_sentences, score
from plasticity_utils.models import load_model, width
from plasticity_utils.own_probe import OwnProbe, fit_own_probe, last_level, scorer_of
from plasticity_utils.plans import ErasurePlan, draw_seed
from plasticity_utils.precision import training_precision
from plasticity_utils.provenance import provenance
from plasticity_utils.saliency import RANKING_METHODS, layer_unit, rank_neurons
from plasticity_utils.stage_files import model_fingerprint, save_model
from plasticity_utils.training import Schedule, fine_tune, tag_sentences

CHECKED_SENTENCES = 20
# They run through the model once a level: thirty-one times in SmolLM2.
ERASING_SENTENCES = 4000


@dataclass(frozen=True)
class BaseStages:
    """The base model of one configuration and what is found in it; methods return sealed folders.

    Attributes
    ----------
    config : RunConfig
    only_finished : bool
        Make nothing: a stage that is not there is an InputError.
    """

    config: RunConfig
    only_finished: bool = False

    @cached_property
    def sentences(self) -> Sentences:
        """Sentences of the run, by purpose."""
        return load_sentences(self.config)

    def base(self) -> Path:
        """Fine-tune the base model; `model/` and `scores.parquet` (validation, test)."""
        return self._cached("base", self._base_settings, self._make_base)

    def ranking(self) -> Path:
        """Rank all neurons by every method on the ranking half: `ranking.parquet`."""
        settings = {
            "base": self._base_settings,
            "concept": self._concept_key,
            "ranking": self.config.sizes.ranking,
            "methods": list(RANKING_METHODS),
        }
        return self._cached("ranking", settings, self._make_ranking)

    def probe(self) -> Path:
        """Fit the probe of a concept that is no entity type, on the base model: `probe.npz`."""
        settings = {
            "base": self._base_settings,
            "concept": self._concept_key,
            "ranking": self.config.sizes.ranking,
        }
        return self._cached("probe", settings, self._make_probe)

    def erasers(self, shuffled: bool = False) -> Path:
        """Fit erasers on training words of the base: `erasers.safetensors`.

        With `shuffled`, on labels dealt out anew, for the condition `random`.
        """
        seed = draw_seed(self.config.seed, 0) if shuffled else None
        settings = {
            "base": self._base_settings,
            "concept": self.config.label,
            "sentences": ERASING_SENTENCES,
            "indicator": self.config.indicator,
            "passes": self.config.passes,
            "shuffled": seed,
        }
        return self._cached("erasers", settings, partial(self._make_erasers, seed))

    def erasure_plan(self, shuffled: bool = False) -> ErasurePlan:
        """Read `erasers` as a plan; they are fitted where they are not there yet."""
        return ErasurePlan(Erasers.load(self.erasers(shuffled) / "erasers.safetensors"))

    @property
    def _base_settings(self) -> dict[str, Any]:
        n_processes = processes.count()
        return {
            "model": model_fingerprint(self.config.model),
            "train": self.config.sizes.train,
            "validation": self.config.sizes.validation,
            "schedule": asdict(self._schedule(self.config.sizes.base_epochs)),
            "precision": training_precision(),
            **({"processes": n_processes} if n_processes > 1 else {}),
        }

    @property
    def _concept_key(self) -> str:
        # The tag of one's own concept says too little: two word lists share it.
        about = self.config.about
        return about.label if about.is_entity else about.name

    def _schedule(self, epochs: int) -> Schedule:
        batch_tokens = self.config.sizes.batch_tokens
        return Schedule(epochs, self.config.learning_rate, batch_tokens, self.config.seed)

    def _cached(self, stage: str, settings: dict[str, Any], make: Any) -> Path:
        folder = store.folder_of(self.config.results / "stages", stage, settings)
        if self.only_finished:
            if not store.is_sound(folder):
                raise InputError(f"{str(folder)!r} is not there; `plasticity run` makes it again")
            return folder
        return store.cached(self.config.results / "stages", stage, settings, make, provenance())

    def _make_base(self, part: Path) -> None:
        model, tokenizer = load_model(self.config.model, ENTITY_LABELS, self.config.seed)
        # Weights that are not finite show here, in a second, and not after the training.
        word_activations(model, tokenizer, self.sentences.train.first(CHECKED_SENTENCES).sentences)
        data = tag_sentences(model, tokenizer, self.sentences.train)
        schedule = self._schedule(self.config.sizes.base_epochs)
        fine_tune(model, data, schedule, part / "checkpoints")
        splits = {"validation": self.sentences.validation, "test": self.sentences.test}
        scores = [
            score(model, tag_sentences(model, tokenizer, corpus)).assign(split=split)
            for split, corpus in splits.items()
        ]
        save_table(pd.concat(scores, ignore_index=True), part / "scores.parquet")
        save_model(model, tokenizer, part)

    def _make_ranking(self, part: Path) -> None:
        model, tokenizer = self._load_base()
        X = word_activations(model, tokenizer, self.sentences.ranking.sentences)
        table = pd.DataFrame(layer_unit(range(X.shape[1]), width(model)), columns=["layer", "unit"])
        table["mean"] = X.mean(axis=0, dtype=np.float64)
        is_concept = members(self.sentences.ranking, self.config.label)
        for method in RANKING_METHODS:
            ranking = rank_neurons(X, is_concept, method)
            table[f"score_{method}"] = ranking.scores
            table[f"rank_{method}"] = ranking.ranks
        save_table(table, part / "ranking.parquet")

    def _make_probe(self, part: Path) -> None:
        model, tokenizer = self._load_base()
        X = last_level(model, tokenizer, self.sentences.ranking)
        fit_own_probe(X, members(self.sentences.ranking, self.config.label)).save(part)

    def _scorer(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, corpus: Corpus | None
    ) -> Callable[[pd.DataFrame], pd.DataFrame]:
        """Add a concept of one's own to a table of `entity_scores`; an entity type is in it."""
        if corpus is None:
            return lambda table: table
        return scorer_of(OwnProbe.load(self.probe()), model, tokenizer, corpus, self.config.label)

    def _make_erasers(self, shuffled: int | None, part: Path) -> None:
        model, tokenizer = self._load_base()
        self._fitting.fit(model, tokenizer, shuffled).save(part / "erasers.safetensors")

    @property
    def _fitting(self) -> Fitting:
        corpus, config = self.sentences.train.first(ERASING_SENTENCES), self.config
        return Fitting(corpus, config.label, config.indicator, config.passes)

    def _load_base(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        return load_model(str(self.base() / "model"))
