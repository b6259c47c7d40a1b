"""The folder behind the page on which a reader tries a sentence: a model, and what can be cut.

Can a reader see the experiment without a kernel? One model in 8 bits (`onnx_model`) stands for all
of it: each concept's neurons cut at growing doses, as many random ones, or the concept erased, are
arrays beside it, and so is a last layer trained anew for each of these on the frozen states. What 8
bits change is measured here on sentences that trained nothing, and printed on the page.

Caveat: such a last layer is the converged linear reader of `training.readers` on some thousand
sentences, and not the one that a run trains for as long as its whole model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from plasticity_utils import files
from plasticity_utils.book.onnx_model import (
    ERASER,
    ArraysInForce,
    Session,
    arrays_of,
    eight_bit,
    inputs_of,
    write_graph,
)
from plasticity_utils.charts.theme import ENTITY_COLOURS
from plasticity_utils.experiment.base_stages import BaseStages
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.presets import REGIMES, chosen_of
from plasticity_utils.experiment.record import Run
from plasticity_utils.experiment.stages import FITTING_SENTENCES
from plasticity_utils.experiment.store import provenance
from plasticity_utils.models.activations import word_activations
from plasticity_utils.models.load import count_layers, head, label_ids, load_model, width
from plasticity_utils.names import OVERALL
from plasticity_utils.neurons.inputs import flat_ids
from plasticity_utils.optional import check_extra
from plasticity_utils.progress import bar
from plasticity_utils.removal.interface import NO_NEURONS, Intervention, Material, in_force
from plasticity_utils.removal.neurons import top_neurons
from plasticity_utils.training.evaluate import entity_scores
from plasticity_utils.training.readers import label_states, linear
from plasticity_utils.training.steps import score
from plasticity_utils.training.train import TaggedSentences, tag_sentences

_CONCEPTS = ("locations", "persons", "organisations")
_DOSES = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2)
TRAINING_SENTENCES, CHECKED_SENTENCES = 1000, 500
# Share of the neurons that the page offers by name.
_NAMED = 0.005
RANKING = REGIMES["surgical"].ranking
TYPES = list(ENTITY_COLOURS)
_ENTITIES = [*TYPES, OVERALL]
# The score of a tag that the sentences of a fit lack.
NEVER = -1e4
TOKENS = ("cls", "sep", "unk")
_FILES = MODEL, ARRAYS, SETTINGS, VOCABULARY, TABLE, TAGS = (
    "model.onnx", "arrays.safetensors", "settings.json", "vocabulary.txt", "eight_bits.csv",
    "tags.npz",
)  # fmt: skip
# What is in force and which last layer reads, as the page's table has them.
_KINDS = {
    "nothing": "nothing",
    "concept": "a concept's neurons cut",
    "random": "random neurons cut",
    "erased": "a concept erased",
}
_READINGS = {"own": "the model's own", "trained": "trained again"}


@dataclass(frozen=True)
class Setting:
    """Something that a reader can put in force: of which concept, how, and how much of it."""

    concept: str
    kind: str
    dose: float
    made: Intervention | None


@dataclass(frozen=True)
class Reading:
    """A last layer: its scores are states · weightᵀ + bias, for the tags in the model's order."""

    weight: np.ndarray
    bias: np.ndarray

    def tags(self, states: np.ndarray) -> np.ndarray:
        """Number of the most likely tag of each word."""
        found: np.ndarray = (states @ self.weight.T + self.bias).argmax(axis=1)
        return found


def write_demonstration(run: Run, folder: Path) -> Path:
    """Write the page's folder from a finished run: its base model, all settings, and the check.

    Takes about twenty seconds a setting on a quiet core; what was trained is kept beside the run.
    """
    check_extra("demo", "the page of a sentence")
    demonstration = Demonstration(run)
    folder.mkdir(parents=True, exist_ok=True)
    # The files belong together: all take their places, or none does.
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as written:
        new = {name: written.enter_context(files.whole(folder / name)) for name in _FILES}
        whole = Path(scratch) / "whole.onnx"
        write_graph(demonstration.model, demonstration.n_columns, whole)
        eight_bit(whole, new[MODEL], demonstration.read())
        demonstration.look(Session(new[MODEL]))
        save_file(demonstration.arrays(), new[ARRAYS])
        np.savez_compressed(new[TAGS], **demonstration.tags)  # type: ignore[arg-type]
        _summary(demonstration.checked).to_csv(new[TABLE], index=False)
        vocabulary = demonstration.tokenizer.get_vocab()
        lines = sorted(vocabulary, key=lambda token: vocabulary[token])
        new[VOCABULARY].write_text("\n".join(lines) + "\n", encoding="utf-8")
        files.write_json(new[SETTINGS], demonstration.facts())
    return folder


class Demonstration:
    """A finished run's base model, and what the page can put in force on it.

    Attributes
    ----------
    settings : list of Setting
        The first is the whole model.
    readings : list of Reading
        A last layer trained anew for each setting; the whole model's is its own.
    checked : DataFrame
        A row for each setting (its number) and last layer: n_words, same (words with the same tag
        from the 8-bit model), F1 of every entity type, eight_bits (overall F1 of that model).
    tags : dict of array
        Tags of the checked words by this model, for each such row, as `setting-reading`.
    """

    def __init__(self, run: Run):
        self.config = RunConfig(
            model=run.config.model, scale=run.config.scale, seed=run.config.seed,
            results_dir=str(run.path.parent),
        )  # fmt: skip
        stages = BaseStages(self.config, only_finished=True)
        self.base, self.sentences = stages.base(), stages.sentences
        self.model, self.tokenizer = load_model(str(self.base / "model"))
        self.ranked = {
            name: pd.read_parquet(BaseStages(self._config(name)).ranking() / "ranking.parquet")
            for name in _CONCEPTS
        }
        self.settings = [Setting(_CONCEPTS[0], "nothing", 0.0, None)]
        for concept in bar(_CONCEPTS, "concepts"):
            self.settings += self._settings_of(concept)
        self.readings: list[Reading] = []
        self.checked = pd.DataFrame()
        self.tags: dict[str, np.ndarray] = {}

    @property
    def erasers(self) -> list[Any]:
        """One for each concept."""
        return [setting.made for setting in self.settings if setting.kind == "erased"]

    @property
    def n_columns(self) -> int:
        """Of every eraser: the indicators have as many classes."""
        return int(self.erasers[0].left.shape[-1])

    def read(self) -> Iterator[ArraysInForce]:
        """Sentences that last layers are trained on, for the graph: whole, or a concept erased."""
        train = self.sentences.train.first(TRAINING_SENTENCES)
        encoded = tag_sentences(self.model, self.tokenizer, train).encoded
        in_force = [arrays_of(self.model, made, self.n_columns) for made in (None, *self.erasers)]
        for sentence, arrays in zip(encoded, cycle(in_force), strict=False):
            yield {**inputs_of(sentence), **arrays}

    def look(self, session: Session) -> None:
        """Train a last layer for every setting, and compare the 8-bit model with this one."""
        layer = head(self.model)
        own = Reading(layer.weight.detach().numpy(), layer.bias.detach().numpy())
        train, check = (
            tag_sentences(self.model, self.tokenizer, corpus)
            for corpus in (
                self.sentences.train.first(TRAINING_SENTENCES),
                self.sentences.scoring.first(CHECKED_SENTENCES),
            )
        )
        rows: list[dict[str, Any]] = []
        for number, setting in enumerate(bar(self.settings, "settings")):
            with in_force(self.model, setting.made):
                states = label_states(self.model, check)
            in_graph = arrays_of(self.model, setting.made, self.n_columns)
            rounded = _read_by_graph(session, check, in_graph)
            trained = own if setting.made is None else self._trained(setting.made, train)
            self.readings.append(trained)
            for name, reading in {"own": own, "trained": trained}.items():
                tags = reading.tags(states), reading.tags(rounded)
                self.tags[f"{number}-{name}"] = tags[0].astype(np.uint8)
                named = {"setting": number, "kind": setting.kind, "reading": name}
                rows.append({**named, **self._compared(*tags, check)})
        self.checked = pd.DataFrame(rows)

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays beside the model: what neurons rest at, erasers, last layers."""
        X = word_activations(self.model, self.tokenizer, self.sentences.ranking.sentences)
        shape = count_layers(self.model), width(self.model)
        found = {
            "rest": self.ranked[_CONCEPTS[0]]["mean"].to_numpy().reshape(shape),
            "deviation": X.std(axis=0, dtype=np.float64).reshape(shape),
            "weight": np.stack([reading.weight for reading in self.readings]),
            "bias": np.stack([reading.bias for reading in self.readings]),
            **{name: np.stack([getattr(each, name) for each in self.erasers]) for name in ERASER},
        }
        return {name: np.ascontiguousarray(each, np.float32) for name, each in found.items()}

    def facts(self) -> dict[str, Any]:
        """Say what the page must know beside the arrays."""
        d_model = width(self.model)
        f1 = {
            (row.setting, row.reading): {name: round(getattr(row, name), 3) for name in _ENTITIES}
            for row in self.checked.itertuples()
        }
        return {
            "model": {name: getattr(self.config, name) for name in ("model", "scale", "seed")},
            "tags": list(label_ids(self.model)),
            "sentences": CHECKED_SENTENCES,
            "layers": count_layers(self.model),
            "units": d_model,
            "tokens": {role: getattr(self.tokenizer, f"{role}_token_id") for role in TOKENS},
            "colours": ENTITY_COLOURS,
            "concepts": {
                name: {
                    "label": self._config(name).label,
                    "neurons": top_neurons(ranked, RANKING, _NAMED).tolist(),
                }
                for name, ranked in self.ranked.items()
            },
            "settings": [
                {
                    "concept": setting.concept,
                    "kind": setting.kind,
                    "dose": setting.dose,
                    "neurons": flat_ids(_neurons(setting), d_model).tolist(),
                    "f1": {name: f1[number, name] for name in _READINGS},
                }
                for number, setting in enumerate(self.settings)
            ],
        }

    def _config(self, concept: str) -> RunConfig:
        return replace(self.config, concept=concept)

    def _settings_of(self, concept: str) -> list[Setting]:
        on = Material(
            self.model, self.tokenizer, self.sentences.train.first(FITTING_SENTENCES),
            self._config(concept).label, self.config.seed, lambda _: self.ranked[concept],
            NO_NEURONS, lambda: score(self.model, self.tokenizer, self.sentences.dose),
        )  # fmt: skip
        made = []
        for dose in _DOSES:
            cut = chosen_of(REGIMES["surgical"]).make(dose)
            found = cut.fit(on)
            drawn = cut.control(found, on.drawn(0))
            made += [
                Setting(concept, "concept", dose, found),
                Setting(concept, "random", dose, drawn),
            ]
        erasers = chosen_of(REGIMES["erase"]).make(0).fit(on)
        return [*made, Setting(concept, "erased", 0.0, erasers)]

    def _trained(self, made: Intervention, train: TaggedSentences) -> Reading:
        """A last layer trained with something in force; kept beside the run's stages."""
        settings = {
            "base": files.seal_of(self.base)["settings"],
            "in_force": made.key(),
            "sentences": TRAINING_SENTENCES,
        }
        make = partial(self._make_trained, made, train)
        folder = files.cached(
            self.config.results / "stages", "last-layer", settings, make, provenance()
        )
        with np.load(folder / "reading.npz") as found:
            return Reading(found["weight"], found["bias"])

    def _make_trained(self, made: Intervention, train: TaggedSentences, part: Path) -> None:
        with in_force(self.model, made):
            states = label_states(self.model, train)
        scaler, fitted = linear(self.config.seed).fit(states, np.concatenate(train.tags))
        names = label_ids(self.model)
        weight = np.zeros((len(names), states.shape[1]))
        bias = np.full(len(names), NEVER)
        own = [names[tag] for tag in fitted.classes_]
        # The reader takes states in units of their spread, the page's last layer as they are.
        weight[own] = fitted.coef_ / scaler.scale_
        bias[own] = fitted.intercept_ - weight[own] @ scaler.mean_
        np.savez(part / "reading.npz", weight=weight, bias=bias)

    def _compared(
        self, python: np.ndarray, eight_bits: np.ndarray, check: TaggedSentences
    ) -> dict[str, Any]:
        names = np.array(list(label_ids(self.model)))
        ends = np.cumsum([len(tags) for tags in check.tags])[:-1]
        scores, rounded = (
            entity_scores(
                check.tags, [t.tolist() for t in np.split(names[found], ends)], TYPES
            ).set_index("entity")["entity_f1"]
            for found in (python, eight_bits)
        )
        same = int((python == eight_bits).sum())
        return {"n_words": len(python), "same": same, "eight_bits": rounded[OVERALL], **scores}


def _summary(checked: pd.DataFrame) -> pd.DataFrame:
    """What 8 bits change, for a reader: a row for each way of taking a concept and last layer."""
    rows = []
    for (kind, reading), own in checked.groupby(["kind", "reading"], sort=False):
        if kind == "nothing" and reading == "trained":
            continue
        shares = own["same"] / own["n_words"]
        rows.append(
            {
                "In force": _KINDS[kind],
                "Last layer": _READINGS[reading],
                "Settings": len(own),
                "Words": f"{own['n_words'].sum():,}",
                "Same tag": _percent(own["same"].sum() / own["n_words"].sum()),
                "Lowest": _percent(shares.min()),
                "F1 in Python": f"{own[OVERALL].mean():.3f}",
                "F1 here": f"{own['eight_bits'].mean():.3f}",
            }
        )
    return pd.DataFrame(rows)


def _percent(share: float) -> str:
    """Two decimals: with fewer, a share close to all would read as all."""
    return f"{100 * share:.2f}\N{NO-BREAK SPACE}%"


def _neurons(setting: Setting) -> np.ndarray:
    return NO_NEURONS if setting.made is None else setting.made.neurons


def _read_by_graph(session: Session, data: TaggedSentences, in_graph: ArraysInForce) -> np.ndarray:
    """The state that stands for each word's tag, [n_words, d_model], by a written graph."""
    found = [
        session.states(encoded, in_graph)[-1][places]
        for encoded, places in zip(data.encoded, data.positions, strict=True)
    ]
    return np.concatenate(found)
