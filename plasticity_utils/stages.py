"""The stages of a run, each cached under the settings that it depends on.

fine-tune the base → measure it → rank its neurons → dose–response → measure it with neurons removed
→ retrain under a condition → reliance. A stage depends on settings and on other stages, never on
who asks: the base model is trained once for all concepts, and training on with nothing removed
once for all regimes. The stages before anything is removed are in `base_stages`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils import store
from plasticity_utils.activations import word_activations
from plasticity_utils.base_stages import BaseStages
from plasticity_utils.concepts import members
from plasticity_utils.dose import dose_response, save_table
from plasticity_utils.measuring import measure, score
from plasticity_utils.models import load_model, n_levels, width
from plasticity_utils.plans import (
    ErasurePlan,
    Plan,
    RemovalPlan,
    erasures_again,
    gains,
    neurons_again,
    plan_settings,
    removed,
    set_gains,
)
from plasticity_utils.saliency import rank_neurons
from plasticity_utils.stage_files import read_tables, save_model, save_tables
from plasticity_utils.training import Schedule, fine_tune, tag_sentences, train_only_head

HEAD_RATE = 2e-3


@dataclass(frozen=True)
class Stages(BaseStages):
    """All stages of one configuration; each method returns a sealed folder."""

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
            "retrained": store.seal_of(retrained)["settings"],
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
            "retraining": self._retraining_settings("concept"),
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
            tables = measure(model, tokenizer, self.sentences, scoring, deviation)
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
            if store.is_sound(folder):
                return
            folder.mkdir(parents=True, exist_ok=True)
            if condition == "head":
                # Below the head nothing is trained: neurons and probes are as just after removal.
                tables = {**read_tables(untrained), "metrics": score(model, scoring)}
            else:
                tables = measure(model, tokenizer, self.sentences, scoring, deviation)
            tables["metrics"] = with_own(tables["metrics"])
            tables["neurons"]["gain"] = gains(removal, plan, n_levels(model), width(model))
            save_tables(tables, folder)
            store.seal(folder)

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
            again = self._again(model, tokenizer, plan, own)
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
    ) -> Iterator[tuple[str, int, Plan]]:
        """What is removed at the end: the same, what would be removed now, random."""
        draws, seed = self.config.sizes.draws, self.config.seed
        if isinstance(plan, ErasurePlan):
            return erasures_again(model, tokenizer, plan, self._fitting, draws, seed)
        X = word_activations(model, tokenizer, self.sentences.ranking.sentences)
        is_concept = members(self.sentences.ranking, self.config.label)
        order = rank_neurons(X, is_concept, self.config.removal.ranking).order
        means = X.mean(axis=0, dtype=np.float64).reshape(n_levels(model), width(model))
        rest = means if self.config.removal.rest == "mean" else self.config.removal.rest
        gone = [] if own is None else own.neurons.tolist()
        same = RemovalPlan(plan.neurons, rest, plan.positions)
        return neurons_again(order, same, gone, means.shape, draws, seed)
