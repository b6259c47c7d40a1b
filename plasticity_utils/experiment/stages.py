"""The stages of a run, each cached under the settings that it depends on.

fine-tune the base → measure it → rank its neurons → dose–response → measure it with neurons removed
→ retrain under a condition → reliance. A stage depends on settings and on other stages, never on
who asks: the base model is trained once for all concepts, and training on with nothing removed
once for all regimes. The stages before anything is removed are in `base_stages`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils import files, hardware
from plasticity_utils.data.concepts import members
from plasticity_utils.data.corpus import ENTITY_LABELS, Corpus
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.dose import dose_response, save_table
from plasticity_utils.experiment.measure import measure, rank_by_layer, score
from plasticity_utils.experiment.splits import Sentences, load_sentences
from plasticity_utils.experiment.store import (
    model_fingerprint,
    provenance,
    read_tables,
    save_model,
    save_tables,
)
from plasticity_utils.hardware import training_precision
from plasticity_utils.models.activations import word_activations
from plasticity_utils.models.load import load_model, n_levels, width
from plasticity_utils.models.streaming import activations_by_layer
from plasticity_utils.neurons.scores import RANKING_METHODS, layer_unit, rank_neurons
from plasticity_utils.removal.leace import Erasers, Fitting
from plasticity_utils.removal.plans import (
    ErasurePlan,
    Plan,
    RemovalPlan,
    draw_seed,
    erasures_again,
    gains,
    neurons_again,
    plan_settings,
    removed,
    set_gains,
)
from plasticity_utils.training.custom_probe import OwnProbe, fit_own_probe, last_level, scorer_of
from plasticity_utils.training.train import Schedule, fine_tune, tag_sentences, train_only_head

HEAD_RATE = 2e-3
# The names of columns and conditions have changed so often: what was made before is made again.
TABLE_NAMES = 2


CHECKED_SENTENCES = 20
# They run through the model once a level: thirty-one times in SmolLM2.
ERASING_SENTENCES = 4000


@dataclass(frozen=True)
class Stages:
    """All stages of one configuration; each method returns a sealed folder.

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
        n_processes = hardware.count()
        return {
            "tables": TABLE_NAMES,
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
        folder = files.folder_of(self.config.results / "stages", stage, settings)
        if self.only_finished:
            if not files.is_sound(folder):
                raise InputError(f"{str(folder)!r} is not there; `plasticity run` makes it again")
            return folder
        return files.cached(self.config.results / "stages", stage, settings, make, provenance())

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

    def measured(self, plan: Plan | None) -> Path:
        """Measure the untrained-on model, whole or with neurons removed: `measure`'s tables."""
        settings = {**self._measuring_settings, "removal": plan_settings(plan)}
        return self._cached("measured", settings, partial(self._make_measured, plan))

    def dose(self) -> Path:
        """Dose–response without retraining: `dose.parquet`."""
        sizes = self.config.sizes
        settings = {
            "base": self._base_settings,
            "concept": self._concept_key,
            "ranking": sizes.ranking,
            "regime": asdict(self.config.curve),
            "sentences": [sizes.dose, sizes.curve],
            "draws": sizes.draws,
            "seed": self.config.seed,
        }
        return self._cached("dose", settings, self._make_dose)

    def retrained(self, condition: str, plan: Plan | None) -> Path:
        """Train on under a condition: `model/`, `gains.npy`, and `snapshots/<epoch>/` tables."""
        settings = {
            **self._measuring_settings,
            "removal": plan_settings(plan),
            "regrow": self._regrows(condition) and plan is not None,
            "only_head": condition == "head",
            **self._retraining_settings(condition),
        }
        return self._cached(
            f"retrained-{condition}", settings, partial(self._make_retrained, condition, plan)
        )

    def reliance(self, condition: str, plan: Plan, own: Plan | None) -> Path:
        """Remove again at the end: the plan's neurons, new top ones, random: `reliance.parquet`.

        `own` is what was removed before the condition's training; None for `none`.
        """
        retrained = self.retrained(condition, own)
        settings = {
            "retrained": files.seal_of(retrained)["settings"],
            "again": plan_settings(plan),
            "population": "neurons not removed",
            "ranking_method": self.config.removal.ranking,
            "concept": self._concept_key,
            "sentences": [self.config.sizes.ranking, self.config.sizes.curve],
            "draws": self.config.sizes.draws,
            "seed": self.config.seed,
        }
        make = partial(self._make_reliance, retrained, plan, own)
        return self._cached(f"reliance-{condition}", settings, make)

    @property
    def training_settings(self) -> dict[str, Any]:
        """Everything that the trainings of a run depend on."""
        return {
            "base": self._base_settings,
            "retraining": self._retraining_settings("targeted"),
            "head": asdict(self._retraining("head")),
        }

    @property
    def _measuring_settings(self) -> dict[str, Any]:
        sizes = self.config.sizes
        # What is measured of a model does not depend on which of the entity types is removed.
        own = {} if self.config.about.is_entity else {"concept": self._concept_key}
        return {
            "base": self._base_settings,
            "sentences": [sizes.ranking, sizes.measuring, sizes.scoring],
            **own,
        }

    def _retraining(self, condition: str) -> Schedule:
        schedule = self._schedule(self.config.retrain_epochs)
        if condition != "head":
            return schedule
        # Adam moves a weight by at most the sum of its rates: at the whole model's rate a linear
        # layer by itself has not converged when the training ends, and what it could have read
        # would pass for relearned. The more so where the whole model's rate is low.
        return replace(schedule, learning_rate=HEAD_RATE)

    def _retraining_settings(self, condition: str) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "schedule": asdict(self._retraining(condition)),
            "snapshots": self.config.snapshots,
        }
        if self.config.restarts > 1:
            settings["restarts"] = self.config.restarts
        return settings

    def _regrows(self, condition: str) -> bool:
        # Gains are no part of the head: `head` trains nothing else.
        return self.config.regrow and condition != "head"

    def _make_measured(self, plan: Plan | None, part: Path) -> None:
        model, tokenizer = self._load_base()
        deviation = None if plan is None else self._base_deviation()
        scoring = tag_sentences(model, tokenizer, self.sentences.scoring)
        with_own = self._scorer(model, tokenizer, self.sentences.own_scoring)
        with removed(model, plan):
            tables = measure(model, tokenizer, self.sentences, scoring, deviation, part)
            tables["metrics"] = with_own(tables["metrics"])
        save_tables(tables, part)

    def _base_deviation(self) -> np.ndarray:
        neurons = pd.read_parquet(self.measured(None) / "neurons.parquet")
        return neurons["deviation"].to_numpy(dtype=np.float64)

    def _make_dose(self, part: Path) -> None:
        ranking = pd.read_parquet(self.ranking() / "ranking.parquet")
        model, tokenizer = self._load_base()
        dose, curve = (
            tag_sentences(model, tokenizer, corpus)
            for corpus in (self.sentences.dose, self.sentences.curve)
        )
        own = self.sentences.own_dose, self.sentences.own_curve
        own_dose, own_curve = (self._scorer(model, tokenizer, corpus) for corpus in own)
        table = dose_response(
            model, ranking, lambda: own_dose(score(model, dose)),
            lambda: own_curve(score(model, curve)),
            self.config.curve, self.config.sizes.draws, self.config.seed, part,
        )  # fmt: skip
        save_table(table, part / "dose.parquet")

    def _make_retrained(self, condition: str, plan: Plan | None, part: Path) -> None:
        untrained = self.measured(plan)
        model, tokenizer = self._load_base()
        if condition == "head":
            train_only_head(model)
        train = tag_sentences(model, tokenizer, self.sentences.train)
        scoring = tag_sentences(model, tokenizer, self.sentences.scoring)
        deviation = self._base_deviation()
        with_own = self._scorer(model, tokenizer, self.sentences.own_scoring)

        def take_snapshot(epoch: float) -> None:
            folder = part / "snapshots" / f"{epoch:g}"
            if files.is_sound(folder):
                return
            folder.mkdir(parents=True, exist_ok=True)
            if condition == "head":
                # Below the head nothing is trained: neurons and probes are as just after removal.
                tables = {**read_tables(untrained), "metrics": score(model, scoring)}
            else:
                tables = measure(model, tokenizer, self.sentences, scoring, deviation, part)
            tables["metrics"] = with_own(tables["metrics"])
            tables["neurons"]["gain"] = gains(removal, plan, n_levels(model), width(model))
            save_tables(tables, folder)
            files.seal(folder)

        with removed(model, plan, self._regrows(condition)) as removal:
            fine_tune(
                model, train, self._retraining(condition),
                part / "checkpoints", self.config.snapshots[1:], take_snapshot,
                removal.parameters() if removal else (), self.config.restarts,
            )  # fmt: skip
            np.save(part / "gains.npy", removal.gains() if removal else np.zeros(0))
        save_model(model, tokenizer, part)

    def _make_reliance(self, retrained: Path, plan: Plan, own: Plan | None, part: Path) -> None:
        model, tokenizer = load_model(str(retrained / "model"))
        curve = tag_sentences(model, tokenizer, self.sentences.curve)
        with_own = self._scorer(model, tokenizer, self.sentences.own_curve)
        with removed(model, own, self.config.regrow) as removal:
            set_gains(removal, np.load(retrained / "gains.npy"))
            again = self._again(model, tokenizer, plan, own, part)
            tables = [with_own(score(model, curve)).assign(again="nothing", draw=0, n_removed=0)]
            for name, draw, cut in again:
                with removed(model, cut):
                    table = with_own(score(model, curve))
                tables.append(table.assign(again=name, draw=draw, n_removed=len(cut.neurons)))
        save_table(pd.concat(tables, ignore_index=True), part / "reliance.parquet")

    def _again(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        plan: Plan,
        own: Plan | None,
        part: Path,
    ) -> Iterator[tuple[str, int, Plan]]:
        """What is removed at the end: the same, what would be removed now, random."""
        draws, seed = self.config.sizes.draws, self.config.seed
        if isinstance(plan, ErasurePlan):
            return erasures_again(model, tokenizer, plan, self._fitting, draws, seed)
        ranking, method = self.sentences.ranking, self.config.removal.ranking
        is_concept = members(ranking, self.config.label)
        with activations_by_layer(model, tokenizer, ranking.sentences, part) as layers:
            order = rank_by_layer(layers, is_concept, method).order
            means = np.stack([X.mean(axis=0, dtype=np.float64) for X in layers])
        rest = means if self.config.removal.rest == "mean" else self.config.removal.rest
        gone = [] if own is None else own.neurons.tolist()
        same = RemovalPlan(plan.neurons, rest, plan.positions)
        return neurons_again(order, same, gone, means.shape, draws, seed)
