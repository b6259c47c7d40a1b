"""The audit of a removal: did it take the concept, or hide it?

A run of the whole experiment measures every neuron; an audit asks one question and spends its time
on that. What did the removal take from the concept, and what from the others? What do readers of
the frozen model still find, beside the same readers on the base model and on the pretrained body,
which was never taught the task? And how soon does the concept come back under each protocol, beside
a model that never knew it?

Stages are shared with runs: an audit of settings that were run trains no base model again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score
from transformers import PreTrainedModel

from plasticity_utils import files
from plasticity_utils.data.corpus import Corpus, kinds_of
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.presets import REGIMES
from plasticity_utils.experiment.run import Run
from plasticity_utils.experiment.run_names import run_name
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.experiment.store import made_now, save_tables
from plasticity_utils.models.load import label_ids
from plasticity_utils.registry import label, readers, users_errors
from plasticity_utils.removal.interface import Intervention, in_force
from plasticity_utils.training.evaluate import entity_scores
from plasticity_utils.training.protocols import FIRST_TIME, NONE, Relearning
from plasticity_utils.training.readers import (
    ALIKE,
    FrozenHead,
    control_task,
    states_to_read,
    tags_of_sentences,
)
from plasticity_utils.training.train import (
    TaggedSentences,
    fine_tune,
    likeliest,
    steps_until,
    tag_logits,
    tag_sentences,
    train_only,
)

# Without these nothing is judged; others are asked for by name.
PROTOCOLS = ("targeted", "random", "masked")
# Just after the removal, then often while things happen fast; the end is the schedule's own.
STEPS, EPOCHS = (0, 4, 8, 16, 32, 64, 128), (0.25, 0.5, 1.0)
# What the readers read: the base model whole, cut, and cut at random; and the pretrained body.
BODIES = ("base", "removed", "control", "pretrained", "pretrained_removed")
READERS, EVERY_LAYER = ("linear", "perceptron"), ("linear",)
# Bodies on which the same readers are given a task that can only be remembered.
CONTROLLED = ("base", "removed")
# What further readers read, by a command of their own: they are slow.
FURTHER_BODIES = ("base", "removed", "pretrained_removed")
# All layers side by side are many times as wide, and a reader of them as slow.
READER_SENTENCES, EVERY_LAYER_SENTENCES = 5000, 600


@dataclass(frozen=True)
class Audit(Run):
    """A finished audit: a folder of tables and the settings that made them.

    Attributes
    ----------
    path : Path
        Folder with `config.json`, `returns.parquet`, `readings.parquet`, and the base model's F1.
    """

    @cached_property
    def returns(self) -> pd.DataFrame:
        """F1 by step of training: condition, step, epoch, and the columns of `tag_scores`."""
        return self.table("returns")

    @cached_property
    def readings(self) -> pd.DataFrame:
        """What readers find: body, reader, place, n_fitted, and the columns of `tag_scores`."""
        return self.table("readings")

    @cached_property
    def control_task(self) -> pd.DataFrame:
        """The columns of `readings`, where each form of a word has a tag of another form."""
        return self.table("control_task")


def audit(concept: str = "locations", removal: str = "", **settings: Any) -> Audit:
    """Ask of a removal whether it took a concept or hid it, or do what is left of that.

    Parameters
    ----------
    concept : str
        An entity type.
    removal : str
        A name of the registry `removals`, or `FILE.py:NAME`; empty for the regime's own.
    **settings
        Further settings of `RunConfig`: model, scale, seed, dose, protocols …

    Returns
    -------
    Audit
        With its tables on disk. An audit that was interrupted and is repeated gives the same.

    Raises
    ------
    InputError
        For a setting that is not allowed, and a concept that is no entity type.
    """
    return run_audit(RunConfig(concept, removal=removal, **settings))


@users_errors()
def run_audit(config: RunConfig) -> Audit:
    """Make the audit of a configuration, or what is left of it."""
    config = with_protocols(config)
    if not config.concept_info.is_entity:
        raise InputError(
            f"{config.concept_info.title!r} is no entity type, so no tag of it can come back"
        )
    stages = AuditStages(config)
    stages.check()
    settings = stages.audit_settings(config.conditions, BODIES)
    settings |= {"control_task": CONTROLLED, "alike": ALIKE}
    folder = files.cached(config.results, audit_name(config), settings, partial(_make, stages))
    return Audit(folder)


@users_errors()
def read_further(audit: Audit, names: Sequence[str] = ()) -> Path:
    """Let further readers read the bodies of an audit: the table `further_readings`, in its folder.

    `names` are of the registry `readers`, or `FILE.py:NAME`; without any, all of the registry. Each
    reads the last layer on all training sentences, and every layer on a part of them; what the
    table `readings` has is not fitted again.
    """
    chosen = list(dict.fromkeys(names)) or readers.names()
    for name in chosen:
        readers.get(name)
    if "doses" in audit.facts:
        raise InputError(f"{audit.path.name!r} is a reading curve; needed: an audit")
    stages = AuditStages(audit.config)
    stages.check()
    if not any(stages.left_to_read(chosen)):
        raise InputError(
            f"all that {', '.join(chosen)} can read is in the audit already; needed: a reader that "
            "is not among its own"
        )
    folders = {body: stages.further_readings(chosen, body) for body in FURTHER_BODIES}
    path = audit.path / "further_readings.parquet"
    with files.whole(path) as file:
        _stacked(folders, "further_readings", "body").to_parquet(file, index=False)
    # The code of now may be later than the audit's.
    files.write_json(path.with_suffix(".json"), made_now())
    return path


def with_protocols(config: RunConfig) -> RunConfig:
    """Give settings the protocols of an audit where they name none."""
    return replace(config, protocols=config.protocols or ",".join(PROTOCOLS))


def audit_name(config: RunConfig) -> str:
    """Name of an audit's folder; the usual protocols are not in it."""
    is_usual = with_protocols(config) == with_protocols(replace(config, protocols=""))
    return f"audit-{run_name(replace(config, protocols='') if is_usual else config)}"


def tag_scores(
    data: TaggedSentences,
    predicted: list[list[str]],
    probabilities: np.ndarray | None,
    tags: list[str],
) -> pd.DataFrame:
    """Entity F1, and beside it how well the words of a type are told without any threshold.

    Returns the columns of `entity_scores` and average_precision (in [0, 1], of a type's tags over
    all words; missing for `overall`, and where there are no probabilities).
    """
    table = entity_scores(data.tags, predicted, data.types).assign(average_precision=np.nan)
    if probabilities is None:
        return table
    words = np.array([min(kinds_of(tag)) for sentence in data.tags for tag in sentence])
    types = np.array([min(kinds_of(tag)) for tag in tags])
    for row, entity in enumerate(table["entity"]):
        if entity in types and (words == entity).any():
            chance = probabilities[:, types == entity].sum(axis=1)
            table.loc[row, "average_precision"] = average_precision_score(words == entity, chance)
    return table


@dataclass(frozen=True)
class AuditStages(Stages):
    """The stages of an audit; each method returns a sealed folder."""

    @cached_property
    def chosen_dose(self) -> float:
        """The share of neurons that is removed; 0 where a removal takes no neurons."""
        return super().chosen_dose if self.config.chosen.takes_neurons else 0.0

    @property
    def _methods(self) -> list[str]:
        # The dose–response has the paper's half as a point beside it.
        return list({self.config.preset.ranking: None, REGIMES["half"].ranking: None})

    def _curve_parts(self) -> dict[str, tuple[Corpus, Corpus | None]]:
        return {"dose": super()._curve_parts()["dose"]}

    @property
    def _draws(self) -> int:
        return 0

    def audit_settings(self, conditions: Iterable[str], bodies: Iterable[str]) -> dict[str, Any]:
        """Everything that what is trained and what is read depend on."""
        return {
            "returns": {name: self._returns_settings(name) for name in conditions},
            "readings": {body: self._readings_settings(body) for body in bodies},
            "concept": self._concept_key,
        }

    def returned(self, condition: str) -> Path:
        """Train on under a condition and score it by step: `returns.parquet`; no model is kept."""
        make = partial(self._make_returned, condition)
        return self._cached(f"returned-{condition}", self._returns_settings(condition), make)

    def readings(self, body: str) -> Path:
        """Fit readers on a frozen body: `readings.parquet`."""
        make = partial(self._make_readings, body)
        return self._cached("readings", self._readings_settings(body), make)

    def control_task(self, body: str) -> Path:
        """Fit the readers of a frozen body on tags dealt out by form: `control_task.parquet`."""
        make = partial(self._make_control_task, body)
        settings = {**self._readings_settings(body), "alike": ALIKE}
        return self._cached("control-task", settings, make)

    def further_readings(self, names: Sequence[str], body: str) -> Path:
        """Fit readers by name on a frozen body, where `readings` has not: `further_readings`."""
        settings = self._readings_settings(body)
        settings |= {"readers": [readers.key(name) for name in names], "further": True}
        make = partial(self._make_further, names, body)
        return self._cached("further-readings", settings, make)

    def _returns_settings(self, condition: str) -> dict[str, Any]:
        return {
            "base": self._base_settings,
            "sentences": self.config.sizes.scoring,
            "removal": self._key_of(self.in_force(condition)),
            **self._retraining_settings(condition),
            **self._reported_settings,
            "steps": STEPS,
        }

    def _readings_settings(self, body: str) -> dict[str, Any]:
        return {
            "base": self._base_settings,
            "sentences": [READER_SENTENCES, EVERY_LAYER_SENTENCES, self.config.sizes.scoring],
            "removal": self._key_of(self._in_body(body)),
            "pretrained": body.startswith("pretrained"),
            "readers": [*READERS, *EVERY_LAYER],
            **self._reported_settings,
        }

    def _in_body(self, body: str) -> Intervention | None:
        if body == "control":
            return self.control
        return self.removal if body.endswith("removed") else None

    def _make_returned(self, condition: str, part: Path) -> None:
        protocol, intervention = self._protocol(condition), self.in_force(condition)
        model, tokenizer = self._load_untrained(protocol)
        train, scoring = self._tagged(protocol, model, tokenizer)
        schedule = self._retraining(protocol)
        per_epoch = steps_until(1.0, train, schedule)
        ends = {steps_until(epoch, train, schedule) for epoch in (*EPOCHS, float(schedule.epochs))}
        steps = sorted({*ends, *(step for step in STEPS if step < max(ends))})

        def take(step: int) -> None:
            path = part / f"step-{step}.parquet"
            if not path.is_file():
                table = _model_scores(model, scoring)
                with files.whole(path) as file:
                    table.assign(step=step, epoch=step / per_epoch).to_parquet(file, index=False)

        with in_force(model, intervention) as held:
            train_only(model, protocol.trains(model))
            gates = [gain for gain in held.parameters() if gain.requires_grad]
            fine_tune(
                model, train, schedule, part / "checkpoints", gates=gates,
                at_steps={step: partial(take, step) for step in steps},
            )  # fmt: skip
        tables = [pd.read_parquet(part / f"step-{step}.parquet") for step in steps]
        save_tables({"returns": pd.concat(tables, ignore_index=True)}, part)
        shutil.rmtree(part / "checkpoints")
        for step in steps:
            (part / f"step-{step}.parquet").unlink()

    def _make_readings(self, body: str, part: Path) -> None:
        model, train, scoring = self._opened(body, self._read_parts)
        is_base = not body.startswith("pretrained")
        heads = {"head": False, "bias": True} if is_base else {"head": False}
        with in_force(model, self._in_body(body)):
            seed = self.config.seed
            own = {name: FrozenHead.of(model, bias, seed) for name, bias in heads.items()}
            found = self._read(
                model, train, scoring, own | self._new(READERS), self._new(EVERY_LAYER)
            )
            if is_base:
                as_is = _model_scores(model, scoring).assign(reader="own_head")
                found = pd.concat([as_is, found], ignore_index=True)
        found = found.fillna({"place": "last layer", "n_fitted": 0}).astype({"n_fitted": int})
        save_tables({"readings": found}, part)

    def _make_control_task(self, body: str, part: Path) -> None:
        parts = control_task(*self._read_parts, self.config.seed)
        model, train, scoring = self._opened(body, parts)
        with in_force(model, self._in_body(body)):
            found = self._read(model, train, scoring, self._new(READERS), self._new(EVERY_LAYER))
        save_tables({"control_task": found}, part)

    def _make_further(self, names: Sequence[str], body: str, part: Path) -> None:
        last_layer, every_layer = self.left_to_read(names)
        parts = self.sentences.train, self.sentences.scoring
        model, train, scoring = self._opened(body, parts)
        with in_force(model, self._in_body(body)):
            # Of the model's own head `readings` has what it finds from fewer sentences.
            own = {"head": FrozenHead.of(model, seed=self.config.seed)} if self._has_more else {}
            found = self._read(
                model, train, scoring, own | self._new(last_layer), self._new(every_layer)
            )
        save_tables({"further_readings": found}, part)

    def left_to_read(self, names: Sequence[str]) -> tuple[list[str], list[str]]:
        """Readers of the last layer, and of every layer, whose fit `readings` does not have."""
        last_layer = [name for name in names if self._has_more or name not in READERS]
        return last_layer, [name for name in names if name not in EVERY_LAYER]

    @property
    def _has_more(self) -> bool:
        """Whether there are more sentences than the usual readers are fitted on."""
        return len(self.sentences.train) > READER_SENTENCES

    def _opened(
        self, body: str, parts: tuple[Corpus, Corpus]
    ) -> tuple[PreTrainedModel, TaggedSentences, TaggedSentences]:
        """The model of a body with nothing in force, and the sentences to fit and to score on."""
        protocol = FIRST_TIME if body.startswith("pretrained") else NONE
        model, tokenizer = self._load_untrained(protocol)
        train, scoring = (tag_sentences(model, tokenizer, each) for each in parts)
        return model, train, scoring

    def _new(self, names: Iterable[str]) -> dict[str, Any]:
        return {label(name): readers.get(name)(self.config.seed) for name in names}

    @property
    def _read_parts(self) -> tuple[Corpus, Corpus]:
        """What readers are fitted on, and what they are scored on."""
        return self.sentences.train.first(READER_SENTENCES), self.sentences.scoring

    def _read(
        self,
        model: PreTrainedModel,
        train: TaggedSentences,
        scoring: TaggedSentences,
        last_layer: Mapping[str, Any],
        every_layer: Mapping[str, Any],
    ) -> pd.DataFrame:
        """Fit readers of the last layer, and of every layer on a part of the sentences."""
        seen = states_to_read(model, train, EVERY_LAYER_SENTENCES)
        read = states_to_read(model, scoring, len(scoring.tags))
        tags = train.tags, train.tags[:EVERY_LAYER_SENTENCES]
        tables = []
        for place, fitted, X, own_tags, states in zip(
            ("last layer", "every layer"), (last_layer, every_layer), seen, tags, read, strict=True
        ):
            for name, reader in fitted.items():
                reader.fit(X, np.concatenate(own_tags))
                table = _reader_scores(reader, states, scoring)
                row = {"reader": name, "place": place, "n_fitted": len(own_tags)}
                tables.append(table.assign(**row))
        return pd.concat(tables, ignore_index=True)

    def _tagged(
        self, protocol: Relearning, model: PreTrainedModel, tokenizer: Any
    ) -> tuple[TaggedSentences, TaggedSentences]:
        """What a protocol trains on, and what it is scored on."""
        chosen = (
            protocol.sees(self.sentences.train, self.config.label),
            protocol.scored_on(self.sentences.scoring, self.config.label),
        )
        train, scoring = (tag_sentences(model, tokenizer, corpus) for corpus in chosen)
        return train, scoring


def _model_scores(model: PreTrainedModel, data: TaggedSentences) -> pd.DataFrame:
    logits = tag_logits(model, data)
    whole = np.concatenate(logits).astype(np.float64)
    whole = np.exp(whole - whole.max(axis=1, keepdims=True))
    probabilities = whole / whole.sum(axis=1, keepdims=True)
    names = sorted(label_ids(model), key=label_ids(model).__getitem__)
    return tag_scores(data, likeliest(model, logits), probabilities, names)


def _reader_scores(reader: Any, states: np.ndarray, data: TaggedSentences) -> pd.DataFrame:
    gives = hasattr(reader, "predict_proba")
    probabilities = np.asarray(reader.predict_proba(states)) if gives else None
    predicted = tags_of_sentences(reader.predict(states), data)
    names = [str(name) for name in reader.classes_] if gives else []
    return tag_scores(data, predicted, probabilities, names)


def _make(stages: AuditStages, part: Path) -> None:
    config = stages.config
    readings = {body: stages.readings(body) for body in BODIES}
    controlled = {body: stages.control_task(body) for body in CONTROLLED}
    returns = {name: stages.returned(name) for name in config.conditions}
    frames = {
        "readings": _stacked(readings, "readings", "body"),
        "control_task": _stacked(controlled, "control_task", "body"),
        "returns": _stacked(returns, "returns", "condition"),
        "base": pd.read_parquet(stages.base() / "scores.parquet"),
    }
    if config.chosen.takes_neurons:
        frames["dose"] = pd.read_parquet(stages.dose() / "dose.parquet")
    save_tables(frames, part)
    own = {"dose": stages.chosen_dose, "n_removed": len(stages.removal.neurons)}
    write_facts(stages, stages.used, {**own, **stages.removal.facts()}, part)


def write_facts(
    stages: AuditStages, used: Iterable[Path], own: Mapping[str, Any], part: Path
) -> None:
    """Write what tables were made with: `config.json`."""
    config = stages.config
    facts = {
        "settings": config.settings(),
        "concept_info": asdict(config.concept_info),
        "sizes": asdict(config.sizes),
        **own,
        "n_train_sentences": len(stages.sentences.train),
        "seconds": {folder.name: files.seal_of(folder)["seconds"] for folder in sorted(used)},
        **made_now(),
    }
    files.write_json(part / "config.json", facts)


def _stacked(folders: Mapping[str, Path], table: str, column: str) -> pd.DataFrame:
    parts = [
        pd.read_parquet(folder / f"{table}.parquet").assign(**{column: name})
        for name, folder in folders.items()
    ]
    return pd.concat(parts, ignore_index=True)
