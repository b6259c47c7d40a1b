"""The stages of a forcing: a model described before, and after a training confined to a group.

They lie beside the stages of the run whose concept is forced, and use them: the base model, the
rankings, and where the training is the same one, the run's own retraining of the whole model and of
the head. Like those they are made once and resume where they were interrupted.

The head is frozen in all groups but `head`. It would read the concept again from other neurons as
soon as it may, and then no neuron need take on anything. So F1 can only come back through what the
chosen neurons say to a head that has not changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.activations import word_activations
from plasticity_utils.concepts import members
from plasticity_utils.confine import confine
from plasticity_utils.forced_groups import ForcingConfig, Target
from plasticity_utils.layernorm import LayerNormRemoval
from plasticity_utils.measuring import score
from plasticity_utils.models import load_model, n_levels, width
from plasticity_utils.plans import RemovalPlan, plan_settings, removed
from plasticity_utils.pruning import Removal
from plasticity_utils.questions.polysemanticity import (
    inventory,
    inventory_selectivity,
    thresholds,
)
from plasticity_utils.saliency import deviations, effect_sizes, layer_unit
from plasticity_utils.stage_files import save_tables
from plasticity_utils.stages import Stages
from plasticity_utils.training import Schedule, fine_tune, tag_sentences, train_only_head


@dataclass(frozen=True)
class ForcingStages(Stages):
    """The stages of a forcing, in the folder of the run's own and on top of them.

    Attributes
    ----------
    forcing : ForcingConfig
        Its `run` is the `config`.
    """

    forcing: ForcingConfig = field(kw_only=True)

    def before(self, plan: RemovalPlan) -> Path:
        """Describe base and just removed: `metrics_*`, `neurons_*` and `tau.parquet`."""
        return self._cached("forced-before", self._shared(plan), partial(self._make_before, plan))

    def forced(self, target: Target, plan: RemovalPlan) -> Path:
        """Train on with plasticity confined to a target: `metrics` and `neurons`, at the end."""
        chosen = RemovalPlan(target.neurons, plan.rest, plan.positions)
        settings = {
            **self._shared(plan),
            "target": target.name if target.name in ("all", "head") else plan_settings(chosen),
            "regrow": target.name == "removed",
            "head": self.forcing.head and target.name not in ("all", "head"),
            "share": self.forcing.share,
            "schedule": asdict(self._forced_schedule(target)),
        }
        make = partial(self._make_forced, target, plan)
        return self._cached(f"forced-{target.name}", settings, make)

    def _shared(self, plan: RemovalPlan) -> dict[str, Any]:
        sizes = self.config.sizes
        return {
            "base": self._base_settings,
            "removal": plan_settings(plan),
            "entities": self.forcing.entities,
            "sentences": [sizes.measuring, sizes.scoring],
        }

    def _forced_schedule(self, target: Target) -> Schedule:
        schedule = replace(self._retraining(target.name), epochs=1)
        factor = 1.0 if target.name in ("all", "head") else self.forcing.rate_factor
        return replace(schedule, learning_rate=factor * schedule.learning_rate)

    def _make_before(self, plan: RemovalPlan, part: Path) -> None:
        model, tokenizer = self._load_base()
        scoring = tag_sentences(model, tokenizer, self.sentences.scoring)
        measuring = self.sentences.measuring
        X = word_activations(model, tokenizer, measuring.sentences)
        types = inventory(measuring.word_labels(), measuring.word_labels(), least_share=1.0)
        tau = pd.DataFrame({"entity": types.names, "tau": thresholds(X, types, self.config.seed)})
        deviation = deviations(X)
        found = {
            "tau": tau,
            "metrics_base": score(model, scoring),
            "neurons_base": self._describe(X, width(model), deviation).assign(deviation=deviation),
        }
        with removed(model, plan):
            X = word_activations(model, tokenizer, measuring.sentences)
            found["metrics_removed"] = score(model, scoring)
        found["neurons_removed"] = self._describe(X, width(model), deviation)
        save_tables(found, part)

    def _make_forced(self, target: Target, plan: RemovalPlan, part: Path) -> None:
        base = pd.read_parquet(self.before(plan) / "neurons_base.parquet")
        finished = self._finished(target, plan)
        if finished is None:
            model, tokenizer = self._load_base()
        else:
            model, tokenizer = load_model(str(finished / "model"))
        scoring = tag_sentences(model, tokenizer, self.sentences.scoring)
        with self._plastic(model, target, plan) as removal:
            if finished is None:
                self._train(model, tokenizer, target, removal, part)
            X = word_activations(model, tokenizer, self.sentences.measuring.sentences)
            metrics = score(model, scoring)
            gain = np.ones((n_levels(model), width(model)))
            gain[tuple(plan.neurons.T)] = 0
            if removal is not None:
                gain[tuple(target.neurons.T)] = removal.gains()
        neurons = self._describe(X, width(model), base["deviation"].to_numpy())
        neurons["gain"] = gain.ravel()
        save_tables({"metrics": metrics, "neurons": neurons}, part)
        shutil.rmtree(part / "checkpoints", ignore_errors=True)

    def _finished(self, target: Target, plan: RemovalPlan) -> Path | None:
        """The run's own training of the whole model or of the head, where it is the same one."""
        whole = {"all": "concept", "head": "head"}
        same = self.forcing.share == 1 and self.config.retrain_epochs == 1
        if target.name not in whole or not same:
            return None
        return self.retrained(whole[target.name], plan)

    @contextmanager
    def _plastic(
        self, model: PreTrainedModel, target: Target, plan: RemovalPlan
    ) -> Iterator[Removal | LayerNormRemoval | None]:
        """Remove the concept's neurons and confine training; gives gains that may grow."""
        own = {tuple(pair) for pair in target.neurons.tolist()}
        regrown = target.name == "removed"
        gone = [pair for pair in plan.neurons.tolist() if not (regrown and tuple(pair) in own)]
        with ExitStack() as stack:
            if target.name == "head":
                train_only_head(model)
            elif target.name != "all":
                stack.enter_context(confine(model, target.neurons, self.forcing.head))
            stay = replace(plan, neurons=np.array(gone, dtype=np.int64).reshape(-1, 2))
            stack.enter_context(removed(model, stay))
            grow = replace(plan, neurons=target.neurons)
            yield stack.enter_context(removed(model, grow, regrow=True)) if regrown else None

    def _train(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        target: Target,
        removal: Removal | LayerNormRemoval | None,
        part: Path,
    ) -> None:
        train = self.sentences.train
        train = train.first(max(1, round(self.forcing.share * len(train))))
        # A snapshot at the end, which nobody looks at, keeps what an interruption would lose.
        fine_tune(
            model, tag_sentences(model, tokenizer, train), self._forced_schedule(target),
            part / "checkpoints", snapshot_epochs=(1.0,),
            gates=removal.parameters() if removal else (),
        )  # fmt: skip

    def _describe(self, X: np.ndarray, d_model: int, deviation: np.ndarray) -> pd.DataFrame:
        """Selectivity within entity words, and effect, of every neuron for both concepts."""
        measuring = self.sentences.measuring
        types = inventory(measuring.word_labels(), measuring.word_labels(), least_share=1.0)
        sigma = inventory_selectivity(X, types)
        table = pd.DataFrame(layer_unit(range(X.shape[1]), d_model), columns=["layer", "unit"])
        for role, entity in zip(("concept", "host"), self.forcing.entities, strict=True):
            table[f"sigma_{role}"] = sigma[:, types.names.index(entity)]
            table[f"effect_{role}"] = effect_sizes(X, members(measuring, entity), deviation)
        return table
