"""What readers of a frozen body find: the stages of an audit in which nothing is trained on.

The bodies are the base model whole, without the concept, and without its matched counterpart; and
the pretrained body, which was never taught the task.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils import files
from plasticity_utils.data.corpus import Corpus, kinds_of
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.experiment.store import save_tables
from plasticity_utils.models.load import label_ids
from plasticity_utils.names import HEAD_RATE
from plasticity_utils.progress import bar
from plasticity_utils.registry import label, readers
from plasticity_utils.removal.interface import Intervention, in_force
from plasticity_utils.training.evaluate import entity_scores
from plasticity_utils.training.protocols import FIRST_TIME, NONE
from plasticity_utils.training.readers import (
    ALIKE,
    FrozenHead,
    control_task,
    label_states,
    new_reader,
    states_to_read,
    told_chances,
    told_tags,
)
from plasticity_utils.training.train import (
    TaggedSentences,
    likeliest,
    tag_logits,
    tag_sentences,
)

# What the readers read: the base model whole, cut, and cut at random; and the pretrained body.
BODIES = ("base", "removed", "control", "pretrained", "pretrained_removed")
READERS, EVERY_LAYER = ("linear", "perceptron"), ("linear",)
# Bodies on which the same readers are given a task that can only be remembered.
CONTROLLED = ("base", "removed")
# What is cut once more and read again: the cut model trained on whole, and as it was before that.
CUT_AGAIN = ("retrained", "removed")
# What further readers read, by a command of their own: they are slow.
FURTHER_BODIES = ("base", "removed", "pretrained_removed")
# All layers side by side are many times as wide, and a reader of them as slow.
READER_SENTENCES, EVERY_LAYER_SENTENCES = 5000, 600
# Rates at which the model's own head is trained until it converges: a tenth of what `head` trains
# at, a third, the same, and three times as much.
HEAD_RATES = tuple(factor * HEAD_RATE for factor in (0.1, 1 / 3, 1, 3))


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
class ReadingStages(Stages):
    """The stages that read a body; each method returns a sealed folder."""

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

    def heads(self, body: str) -> Path:
        """Train the model's own head on a frozen body at several rates: `heads.parquet`."""
        settings = {**self._readings_settings(body), "rates": HEAD_RATES}
        return self._cached("heads", settings, partial(self._make_heads, body))

    def second_cut(self, body: str) -> Path:
        """Cut once more, of `CUT_AGAIN`, and fit the readers again: `second_cut.parquet`."""
        # What is cut again follows from the base, the removal and how it was chosen.
        settings = self._readings_settings("removed")
        if body == "retrained":
            settings["retrained"] = files.seal_of(self.retrained("targeted"))["settings"]
        return self._cached("second-cut", settings, partial(self._make_second_cut, body))

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

    def _make_readings(self, body: str, part: Path) -> None:
        model, train, scoring = self._opened(body, self._read_parts)
        with in_force(model, self._in_body(body)):
            found = self._usual(model, train, scoring, not body.startswith("pretrained"))
        save_tables({"readings": found}, part)

    def _make_second_cut(self, body: str, part: Path) -> None:
        def reader(
            model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
        ) -> Callable[[], pd.DataFrame]:
            train, scoring = (tag_sentences(model, tokenizer, each) for each in self._read_parts)
            return partial(self._usual, model, train, scoring, taught=True)

        # What is cut already changes nothing when it is cut again.
        found = self._cut_again("targeted", body == "retrained", 1, reader, part, ["same"])
        save_tables({"second_cut": found.drop(columns="draw")}, part)

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

    def _make_heads(self, body: str, part: Path) -> None:
        model, train, scoring = self._opened(body, (self.sentences.train, self.sentences.scoring))
        tables = []
        with in_force(model, self._in_body(body)):
            fitted, scored = (label_states(model, data) for data in (train, scoring))
            tried = list(itertools.product(HEAD_RATES, ("own", "fresh")))
            for rate, start in bar(tried, "heads"):
                reader = FrozenHead.of(
                    model, seed=self.config.seed, rates=[rate], starts=[start == "fresh"]
                )
                reader.fit(fitted, np.concatenate(train.tags))
                found = _found("head", reader, scored, scoring, label_ids(model))
                tables.append(found.assign(rate=rate, start=start))
        save_tables({"heads": pd.concat(tables, ignore_index=True)}, part)

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
        return {label(name): new_reader(name, self.config.seed) for name in names}

    @property
    def _read_parts(self) -> tuple[Corpus, Corpus]:
        """What readers are fitted on, and what they are scored on."""
        return self.sentences.train.first(READER_SENTENCES), self.sentences.scoring

    def _usual(
        self, model: PreTrainedModel, train: TaggedSentences, scoring: TaggedSentences, taught: bool
    ) -> pd.DataFrame:
        """What the usual readers find, and what a model that was taught the task says itself."""
        heads = {"head": False, "bias": True} if taught else {"head": False}
        own = {name: FrozenHead.of(model, bias, self.config.seed) for name, bias in heads.items()}
        found = self._read(model, train, scoring, own | self._new(READERS), self._new(EVERY_LAYER))
        if taught:
            as_is = model_scores(model, scoring).assign(reader="own_head")
            found = pd.concat([as_is, found], ignore_index=True)
        return found.fillna({"place": "last layer", "n_fitted": 0}).astype({"n_fitted": int})

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
                table = _found(name, reader, states, scoring, label_ids(model))
                row = {"reader": name, "place": place, "n_fitted": len(own_tags)}
                tables.append(table.assign(**row))
        return pd.concat(tables, ignore_index=True)


def _found(
    name: str, reader: Any, states: np.ndarray, data: TaggedSentences, tags: Collection[str]
) -> pd.DataFrame:
    """What a fitted reader finds: the columns of `tag_scores`."""
    told = told_tags(name, reader, states, data, tags)
    return tag_scores(data, told, *told_chances(name, reader, states))


def model_scores(model: PreTrainedModel, data: TaggedSentences) -> pd.DataFrame:
    """The columns of `tag_scores`, of a model as it is."""
    logits = tag_logits(model, data)
    whole = np.concatenate(logits).astype(np.float64)
    whole = np.exp(whole - whole.max(axis=1, keepdims=True))
    probabilities = whole / whole.sum(axis=1, keepdims=True)
    names = sorted(label_ids(model), key=label_ids(model).__getitem__)
    return tag_scores(data, likeliest(model, logits), probabilities, names)
