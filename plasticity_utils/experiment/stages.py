"""The stages of a run, each cached under the settings that it depends on.

fine-tune the base → measure it → rank its neurons → dose–response → fit the removal and its control
→ measure with it in force → retrain under each protocol → remove again. A stage depends on settings
and on other stages, never on who asks: the base model is trained once for all concepts, and
training on with nothing removed once for all removals.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils import files
from plasticity_utils.data.concepts import with_words
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError, shown
from plasticity_utils.experiment.base_stages import BaseStages, save_model
from plasticity_utils.experiment.dose import pick_dose, score_doses
from plasticity_utils.experiment.measure import measure, score_tagged
from plasticity_utils.experiment.store import read_tables, save_table, save_tables
from plasticity_utils.models.load import count_layers, load_model, width
from plasticity_utils.registry import protocols, removals
from plasticity_utils.removal.below import StatesBelow
from plasticity_utils.removal.interface import (
    NO_NEURONS,
    InForce,
    Intervention,
    Material,
    Removal,
    check_made,
    given_again,
    in_force,
)
from plasticity_utils.training.protocols import NONE, Relearning, check_protocol
from plasticity_utils.training.schedule import Schedule
from plasticity_utils.training.train import (
    TaggedSentences,
    fine_tune,
    tag_sentences,
    train_only,
)

# On which removals are fitted: erasers run them through the model once a layer.
FITTING_SENTENCES = 4000
SOME_DOSE = 0.01  # where a removal is only tried


@dataclass(frozen=True)
class Stages(BaseStages):
    """All stages of one configuration; each method returns a sealed folder."""

    def check(self) -> None:
        """Refuse sentences that are too long, and a removal that this kind of model does not have.

        The removal and the protocols see the untrained model.
        """
        remover = self.config.chosen.make(SOME_DOSE)
        if getattr(remover, "by_tags", False) and not self.config.concept_info.is_entity:
            raise InputError(
                f"removal {self.config.chosen.name!r} trains a model to forget tags, and "
                f"{self.config.concept_info.title!r} is none; allowed: an entity type"
            )
        model, tokenizer = load_model(self.config.model, self.sentences.labels)
        self._check_sentences(model, tokenizer)
        if isinstance(remover, Removal):
            remover.check(model)
        corpora = {"sees": self.sentences.train, "scored_on": self.sentences.scoring}
        for name in self.config.conditions:
            check_protocol(name, self._protocol(name), model, corpora, self.config.label)

    @cached_property
    def chosen_dose(self) -> float:
        """The share of neurons that is removed, picked on the dose part unless it was set.

        Where a removal takes no neurons it only says how many count as top.
        """
        curve = pd.read_parquet(self.dose() / "dose.parquet")
        return self.config.preset.dose or pick_dose(curve, self.config.label)

    @cached_property
    def removal(self) -> Intervention:
        """What was fitted for the concept."""
        return self._load_fitted(control=False)

    @cached_property
    def control(self) -> Intervention:
        """The matched counterpart of `removal`."""
        return self._load_fitted(control=True)

    @property
    def removed_again(self) -> list[str]:
        """Conditions at whose end the concept is taken out once more."""
        return [name for name in self.config.conditions if self._protocol(name).removed_again]

    def in_force(self, condition: str) -> Intervention | None:
        """What a condition keeps in force; None for nothing."""
        kept = self._protocol(condition).in_force
        if kept == "nothing":
            return None
        return self.control if kept == "control" else self.removal

    def alike(self, condition: str, stage: str) -> tuple[str, str]:
        """Return the first condition and stage whose neurons are the same: most share the base."""
        protocol = self._protocol(condition)
        if stage == "end" and not protocol.only_reads:
            return condition, stage
        stage = "base" if stage == "base" or protocol.in_force == "nothing" else "removed"

        def model_of(name: str) -> tuple[str, str]:
            protocol = self._protocol(name)
            return protocol.start, "nothing" if stage == "base" else protocol.in_force

        same = model_of(condition)
        return next(name for name in self.config.conditions if model_of(name) == same), stage

    def dose(self) -> Path:
        """Dose–response without retraining: `dose.parquet`."""
        sizes = self.config.sizes
        settings = {
            **self._picking_settings,
            "curve": self.config.curve.key(),
            "sentences": [sizes.dose, sizes.curve],
            "draws": self._draws,
            "seed": self.config.seed,
        }
        return self._cached("dose", settings, self._make_dose)

    @property
    def _draws(self) -> int:
        """Random draws at each dose."""
        return self.config.sizes.draws

    def _curve_parts(self) -> dict[str, tuple[Corpus, Corpus | None]]:
        """The parts that the dose–response is drawn on, and those of a concept of one's own."""
        found = self.sentences
        return {
            "dose": (found.dose, found.custom_dose),
            "scoring": (found.curve, found.custom_curve),
        }

    def fitted(self, control: bool = False) -> Path:
        """Fit the removal on the base, or make its control: see `Intervention.save`."""
        settings = {
            **self._picking_settings,
            "removal": self.config.chosen.key(),
            "dose": self.chosen_dose,
            "sentences": FITTING_SENTENCES,
            "control": control,
            "seed": self.config.seed,
        }
        if getattr(self._remover, "by_tags", False):
            settings |= {"dose_part": self.config.sizes.dose, "made_with": vars(self._remover)}
        return self._cached("fitted", settings, partial(self._make_fitted, control))

    def measured(self, condition: str | None = None) -> Path:
        """Measure the untrained model of a condition, or the whole base: `measure`'s tables."""
        return self._measured(condition, None if condition is None else self.in_force(condition))

    def whole(self, condition: str) -> Path:
        """Measure the model of a condition with nothing in force yet."""
        return self._measured(condition, None)

    def _measured(self, condition: str | None, intervention: Intervention | None) -> Path:
        protocol = NONE if condition is None else self._protocol(condition)
        settings = {**self._measuring_settings, "removal": self._key_of(intervention)}
        if condition is not None and not protocol.measures_as_usual:
            settings["protocol"] = self._protocol_key(condition)
            settings["concept"] = self._concept_key
        make = partial(self._make_measured, protocol, intervention)
        return self._cached("measured", settings, make)

    def retrained(self, condition: str) -> Path:
        """Train on under a condition: `model/`, `gains.npy`, and `snapshots/<epoch>/` tables."""
        settings = {
            **self._measuring_settings,
            "removal": self._key_of(self.in_force(condition)),
            **self._retraining_settings(condition),
        }
        make = partial(self._make_retrained, condition)
        return self._cached(f"retrained-{condition}", settings, make)

    def reliance(self, condition: str) -> Path:
        """Take the concept out once more at the end: `reliance.parquet`."""
        retrained = self.retrained(condition)
        settings = {
            **self._picking_settings,
            "retrained": files.seal_of(retrained)["settings"],
            "again": self._key_of(self.removal),
            "removal": self.config.chosen.key(),
            "sentences": self.config.sizes.curve,
            "draws": self.config.sizes.draws,
            "seed": self.config.seed,
        }
        make = partial(self._make_reliance, condition)
        return self._cached(f"reliance-{condition}", settings, make)

    @property
    def training_settings(self) -> dict[str, Any]:
        """Everything that the trainings of a run depend on."""
        return {
            "base": self._base_settings,
            "retraining": {n: self._retraining_settings(n) for n in self.config.conditions},
        }

    @property
    def _measuring_settings(self) -> dict[str, Any]:
        sizes = self.config.sizes
        # What is measured of a model does not depend on which of the entity types is removed.
        own: dict[str, Any] = {}
        if not self.config.concept_info.is_entity:
            own["concept"] = self._concept_key
        return {
            "base": self._base_settings,
            "sentences": [sizes.ranking, sizes.measuring, sizes.scoring],
            **own,
            **self._reported_settings,
        }

    @property
    def _reported_settings(self) -> dict[str, Any]:
        """The types that are reported: a rare one is among them only where it is the concept."""
        if self.config.task.is_usual:
            return {}
        return {"types": list(self.sentences.scoring.reported)}

    def _retraining_settings(self, condition: str) -> dict[str, Any]:
        protocol = self._protocol(condition)
        settings: dict[str, Any] = {
            "protocol": self._protocol_key(condition),
            "schedule": asdict(self._retraining(protocol)),
            "snapshots": self.config.snapshots,
        }
        if protocol.knows_concept:
            settings["concept"] = self._concept_key
        if self.config.restarts > 1:
            settings["restarts"] = self.config.restarts
        return settings

    def _key_of(self, intervention: Intervention | None) -> dict[str, Any] | None:
        if intervention is None:
            return None
        return {"by": removals.key(self.config.chosen.name), **intervention.key()}

    def _protocol_key(self, condition: str) -> str:
        return protocols.key(self.config.conditions[condition])

    def _protocol(self, condition: str) -> Relearning:
        found = self.config.conditions
        if condition not in found:
            raise InputError(f"unknown condition {condition!r}; allowed: {', '.join(found)}")
        protocol: Relearning = protocols.get(found[condition])
        return protocol

    @cached_property
    def _remover(self) -> Removal:
        return self.config.chosen.make(self.chosen_dose)

    def _load_fitted(self, control: bool) -> Intervention:
        loaded: Intervention = self._remover.makes.load(self.fitted(control))
        return loaded

    def _retraining(self, protocol: Relearning) -> Schedule:
        schedule = self.config.schedule(self.config.retrain_epochs)
        return replace(schedule, learning_rate=protocol.learning_rate or schedule.learning_rate)

    def load(
        self, condition: str, trained: bool
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, np.ndarray | None]:
        """Load the model of a condition, before its training or after, and gains that grew back.

        Nothing is in force in it yet.
        """
        if not trained:
            return *self._load_untrained(self._protocol(condition)), None
        folder = self.retrained(condition)
        return *load_model(str(folder / "model")), np.load(folder / "gains.npy")

    def _load_untrained(
        self, protocol: Relearning
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        if protocol.start == "pretrained":
            return load_model(self.config.model, self.sentences.labels, self.config.seed)
        made = self.masked() if protocol.start == "masked" else self.base()
        return load_model(str(made / "model"))

    def _material(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        gone: Intervention | None = None,
        part: Path | None = None,
    ) -> Material:
        """What a removal is fitted on: the base; with a folder, a model that was trained on."""
        corpus = self.sentences.train.first(FITTING_SENTENCES)
        if self.config.concept_info.words:
            corpus = with_words(corpus, self.config.concept_info)

        def rank(method: str) -> pd.DataFrame:
            if part is not None:
                return self._ranked(model, tokenizer, [method], part)
            return pd.read_parquet(self.ranking() / "ranking.parquet")

        @cache
        def dose_part() -> tuple[TaggedSentences, Callable[[pd.DataFrame], pd.DataFrame]]:
            tagged = tag_sentences(model, tokenizer, self.sentences.dose)
            return tagged, self._scorer(model, tokenizer, self.sentences.custom_dose)

        def score() -> pd.DataFrame:
            tagged, with_custom = dose_part()
            return with_custom(score_tagged(model, tagged))

        neurons = NO_NEURONS if gone is None else gone.neurons
        return Material(
            model, tokenizer, corpus, self.config.label, self.config.seed, rank, neurons, score
        )

    def _make_fitted(self, control: bool, part: Path) -> None:
        on, remover = self._material(*self._load_base()), self._remover
        made = remover.control(self.removal, on.drawn(0)) if control else remover.fit(on)
        check_made(made, on.model)
        if not isinstance(made, remover.makes):
            raise InputError(
                f"removal {self.config.chosen.name!r} gives {shown(made)}; its `makes` says: "
                f"{remover.makes.__name__}"
            )
        made.save(part)

    def _make_measured(
        self, protocol: Relearning, intervention: Intervention | None, part: Path
    ) -> None:
        model, tokenizer = self._load_untrained(protocol)
        # Effects are in units of the whole base model's spread, so it is measured first.
        is_base = intervention is None and protocol.measures_as_usual
        deviation = None if is_base else self._base_deviation()
        scoring = protocol.scored_on(self.sentences.scoring, self.config.label)
        tagged = tag_sentences(model, tokenizer, scoring)
        with_custom = self._scorer(model, tokenizer, self.sentences.custom_scoring)
        with in_force(model, intervention):
            tables = measure(model, tokenizer, self.sentences, tagged, deviation, part)
            tables["metrics"] = with_custom(tables["metrics"])
        save_tables(tables, part)

    def _base_deviation(self) -> np.ndarray:
        neurons = pd.read_parquet(self.measured() / "neurons.parquet")
        return neurons["deviation"].to_numpy(dtype=np.float64)

    def _make_dose(self, part: Path) -> None:
        model, tokenizer = self._load_base()
        on = self._material(model, tokenizer)
        scorers, below = {}, StatesBelow(model)
        for name, (corpus, own) in self._curve_parts().items():
            tagged = tag_sentences(model, tokenizer, corpus)
            with_custom = self._scorer(model, tokenizer, own)
            scorers[name] = partial(_scored, with_custom, below, tagged)
        table = score_doses(on, scorers, self.config.curve, self._draws, part)
        save_table(table, part / "dose.parquet")

    def _make_retrained(self, condition: str, part: Path) -> None:
        protocol, intervention = self._protocol(condition), self.in_force(condition)
        untrained, deviation = self.measured(condition), self._base_deviation()
        model, tokenizer = self._load_untrained(protocol)
        train, scoring = (
            tag_sentences(model, tokenizer, choose(corpus, self.config.label))
            for choose, corpus in (
                (protocol.sees, self.sentences.train),
                (protocol.scored_on, self.sentences.scoring),
            )
        )
        with_custom = self._scorer(model, tokenizer, self.sentences.custom_scoring)

        def take_snapshot(epoch: float) -> None:
            folder = part / "snapshots" / f"{epoch:g}"
            if files.is_sound(folder):
                return
            folder.mkdir(parents=True, exist_ok=True)
            if body_trains:
                tables = measure(model, tokenizer, self.sentences, scoring, deviation, part)
            else:
                # Neurons and probes are as just after the removal.
                tables = {**read_tables(untrained), "metrics": score_tagged(model, scoring)}
            tables["metrics"] = with_custom(tables["metrics"])
            tables["neurons"]["gain"] = _all_gains(model, intervention, held)
            save_tables(tables, folder)
            files.seal(folder)

        with in_force(model, intervention) as held:
            train_only(model, protocol.trains(model))
            gates = [gain for gain in held.parameters() if gain.requires_grad]
            body_trains = bool(gates) or any(p.requires_grad for p in model.base_model.parameters())
            fine_tune(
                model, train, self._retraining(protocol),
                part / "checkpoints", self.config.snapshots[1:], take_snapshot,
                gates, self.config.restarts,
            )  # fmt: skip
            np.save(part / "gains.npy", held.gains())
        save_model(model, tokenizer, part)

    def _make_reliance(self, condition: str, part: Path) -> None:
        def scorer(
            model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
        ) -> Callable[[], pd.DataFrame]:
            tagged = tag_sentences(model, tokenizer, self.sentences.curve)
            with_custom = self._scorer(model, tokenizer, self.sentences.custom_curve)
            return partial(_scored, with_custom, StatesBelow(model), tagged)

        draws = self.config.sizes.draws
        save_table(self._cut_again(condition, True, draws, scorer, part), part / "reliance.parquet")

    def _cut_again(
        self,
        condition: str,
        trained: bool,
        draws: int,
        scorer: Callable[[PreTrainedModel, PreTrainedTokenizerBase], Callable[[], pd.DataFrame]],
        part: Path,
        leave_out: Collection[str] = (),
    ) -> pd.DataFrame:
        """Score the model of a condition, as it is and with what its removal takes once more."""
        intervention = self.in_force(condition)
        model, tokenizer, gains = self.load(condition, trained)
        with in_force(model, intervention) as held:
            if gains is not None:
                held.set_gains(gains)
            on = self._material(model, tokenizer, intervention, part)
            again = self._remover.again(self.removal, on, draws)
            score = scorer(model, tokenizer)
            tables = [score().assign(again="nothing", draw=0, n_removed=0)]
            for name, draw, cut in given_again(again, model):
                if name not in leave_out:
                    with in_force(model, cut):
                        table = score()
                    tables.append(table.assign(again=name, draw=draw, n_removed=len(cut.neurons)))
        return pd.concat(tables, ignore_index=True)


def _scored(
    with_custom: Callable[[pd.DataFrame], pd.DataFrame],
    below: StatesBelow,
    data: TaggedSentences,
) -> pd.DataFrame:
    with below:
        return with_custom(score_tagged(below.model, data))


def _all_gains(
    model: PreTrainedModel, intervention: Intervention | None, held: InForce
) -> np.ndarray:
    """Gain of every neuron in flat order: 1, or that of a removed neuron."""
    table = np.ones((count_layers(model), width(model)), dtype=np.float32)
    if intervention is not None:
        table[tuple(intervention.neurons.T)] = held.gains()
    return table.ravel()
