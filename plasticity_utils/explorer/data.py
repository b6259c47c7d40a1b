"""A finished run opened for looking at: tables at hand, words and models when they are asked for.

The explorer must answer at once, so what is slow is done once: the table of neurons is cut by
condition, activations are opened as files on disk in which one neuron's words lie together, and a
model that has read a sentence is kept. A run whose models are gone still has its tables; then
`missing` says in words what cannot be shown. Tables of one neuron or layer are plain functions
below; σ of an entity type is against *all* other words, as in the run's tables, so that much of it
is "entity or not", which the types share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd
from jaxtyping import Float, Num
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.data.concepts import ENTITIES
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.replay import activations_at, model_at
from plasticity_utils.experiment.run import Run
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.models.activations import word_activations
from plasticity_utils.names import EPOCH_TITLES, STAGES
from plasticity_utils.neurons.inventory import inventory
from plasticity_utils.neurons.scores import selectivity
from plasticity_utils.neurons.words import highest_activating_words

REST = "O"
CLASSES = (*ENTITIES, REST)
_BINS = 40
PARTS_OF_SPEECH = 8
CONTEXT = 12  # words shown on each side of the word for which a sentence is shown
ORDERS = ("|σ|", "rise of |σ|", "|effect|", "activation", "unit")


@dataclass(frozen=True)
class Selected:
    """What is looked at: a neuron of a layer, under a condition, at base, removed or end."""

    condition: str
    stage: str
    layer: int
    unit: int


class RunData:
    """One run, read once; InputError if it has no table of all neurons or is of no entity type.

    `tables` is `run.neurons` by condition; `missing` says why there are no activations and models.
    """

    def __init__(self, run: Run) -> None:
        concept = run.config.concept_info
        if not run.config.is_usual:
            raise InputError(
                f"this view shows runs about entity types of conll2003, and {concept.title} is "
                "none; its neurons are in `run.neurons` and on the page's cards"
            )
        self.run = run
        # What is the same is computed once.
        self._alike = Stages(run.config).alike
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
        """The measuring part, whose words the activations are of."""
        # It does not depend on the seed, so that seeds share it.
        return _measuring_half(replace(self.run.config, seed=0, results_dir=""))

    @cached_property
    def words(self) -> list[str]:
        """All words of the measuring part, in order."""
        return self.corpus.words

    @cached_property
    def classes(self) -> list[str]:
        """Entity type of each word, `O` for none."""
        return word_classes(self.corpus)

    @cached_property
    def inventory(self) -> pd.DataFrame:
        """Which words belong to which concept: see `concept_inventory`."""
        return concept_inventory(self.corpus)

    def history(self, at: Selected) -> pd.DataFrame:
        """The neuron through all stages: see `neuron_history`."""
        return neuron_history(self.tables[at.condition], at.layer, at.unit)

    def layer(self, at: Selected) -> pd.DataFrame:
        """All neurons of its layer: see `layer_neurons`."""
        return layer_neurons(self.tables[at.condition], at.stage, at.layer)

    def activations(self, at: Selected) -> Float[np.ndarray, " word"]:
        """The neuron's activation on every word measured; InputError without models."""
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
            snapshots = dict(zip(history["stage"], history["snapshot"], strict=True))
            for stage in STAGES:
                of_stage = Selected(at.condition, stage, at.layer, at.unit)
                sigma = concept_selectivity(self.activations(of_stage), self.inventory)
                computed[snapshots[stage]] = sigma
        return selectivity_profile(history, computed)

    def respond(self, at: Selected, words: tuple[str, ...]) -> pd.DataFrame:
        """What the neuron does on the words of a sentence in all three models, whatever the stage.

        One row a stage and word: stage, word, activation, z (as in the base model). InputError if
        the models are not kept, or the sentence is empty or too long for them.
        """
        base = self.activations(Selected(at.condition, "base", at.layer, at.unit))
        column = at.layer * self.d_model + at.unit
        parts = []
        for stage in STAGES:
            activation = self._last_read(*self._alike(at.condition, stage), words)[:, column]
            z = deviation_scores(activation, base)
            part = {"stage": stage, "word": words, "activation": activation, "z": z}
            parts.append(pd.DataFrame(part))
        return pd.concat(parts, ignore_index=True)

    def is_open(self, condition: str) -> bool:
        """Tell whether the activations of a condition are at hand."""
        return all(self._alike(condition, stage) in self._rows for stage in STAGES)

    def has_models(self, condition: str) -> bool:
        """Tell whether the models of a condition are loaded."""
        return all(self._alike(condition, stage) in self._models for stage in STAGES)

    def load_activations(self, condition: str) -> None:
        """Open, or compute and keep, the activations of a condition at all three stages."""
        for stage in STAGES:
            self._all_activations(condition, stage)

    def _all_activations(self, condition: str, stage: str) -> np.ndarray:
        if self.missing:
            raise InputError(self.missing)
        key = self._alike(condition, stage)
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


def word_classes(corpus: Corpus) -> list[str]:
    """Give the entity type of each word, `O` for a word of none."""
    return [tag[2:] if tag[1:2] == "-" else REST for tag in corpus.word_labels("entity")]


def concept_inventory(corpus: Corpus, n_parts: int = PARTS_OF_SPEECH) -> pd.DataFrame:
    """Tell which words belong to which concept, a column a concept: see `inventory`."""
    labels = (corpus.word_labels("entity"), corpus.word_labels("pos"))
    found = inventory(*labels, most=n_parts)
    return pd.DataFrame(found.members, columns=list(found.names))


def neuron_history(neurons: pd.DataFrame, layer: int, unit: int) -> pd.DataFrame:
    """Give one neuron's rows of a condition, a row a stage, in the order of training.

    `snapshot` is added: `base`, `removed`, then the epochs of retraining, the last with
    stage `end`. InputError, naming what there is, if there is no such neuron.
    """
    rows = neurons[(neurons["layer"] == layer) & (neurons["unit"] == unit)]
    if rows.empty:
        raise InputError(
            f"no neuron {unit} in layer {layer}; layers run from 0 to {neurons['layer'].max()}, "
            f"units from 0 to {neurons['unit'].max()}"
        )
    rows = rows.sort_values("epoch").reset_index(drop=True)
    snapshots = [EPOCH_TITLES.get(epoch, f"{epoch:g}") for epoch in rows["epoch"]]
    return rows.assign(snapshot=snapshots)


def layer_neurons(neurons: pd.DataFrame, stage: str, layer: int) -> pd.DataFrame:
    """Describe the neurons of a layer at a stage beside what they were in the base model.

    One row a unit: unit, removed (at any stage), sigma_base, sigma (of the concept), rise (of |σ|),
    effect (base standard deviations), gain (1, or of a removed neuron).
    """
    own = neurons[neurons["layer"] == layer]
    at = {name: own[own["stage"] == name].set_index("unit") for name in ("base", stage, "end")}
    table = pd.DataFrame(
        {
            "removed": at["end"]["removed"],
            "sigma_base": at["base"]["selectivity"],
            "sigma": at[stage]["selectivity"],
            "effect": at[stage]["effect"],
            "gain": at[stage]["gain"],
        }
    )
    table["rise"] = table["sigma"].abs() - table["sigma_base"].abs()
    return table.reset_index()


def sorted_neurons(
    layer: pd.DataFrame, order: str, activation: Float[np.ndarray, " unit"] | None = None
) -> pd.DataFrame:
    """Sort the neurons of a layer, the greatest first (`unit` counts up), with `value` as column.

    `activation` is what the order of this name sorts by; InputError for an unknown order.
    """
    if order not in ORDERS:
        raise InputError(f"unknown order {order!r}; allowed: {', '.join(ORDERS)}")
    values = {
        "|σ|": layer["sigma"].abs(),
        "rise of |σ|": layer["rise"],
        "|effect|": layer["effect"].abs(),
        "activation": np.nan if activation is None else activation,
        "unit": layer["unit"],
    }
    table = layer.assign(value=values[order])
    return table.sort_values("value", ascending=order == "unit", kind="stable")


def activation_histogram(
    activations: Float[np.ndarray, " word"], classes: Sequence[str]
) -> pd.DataFrame:
    """Count how a neuron's activations spread within each class of words.

    class, low, high (edges of the bin), share (of the class's words), n (words of the class).
    """
    edges = np.histogram_bin_edges(activations.astype(np.float64), _BINS)
    of_word = np.array(classes)
    parts = []
    for name in CLASSES:
        inside = activations[of_word == name]
        if inside.size:
            share = np.histogram(inside, edges)[0] / inside.size
            part = {"class": name, "low": edges[:-1], "high": edges[1:], "share": share}
            parts.append(pd.DataFrame({**part, "n": inside.size}))
    return pd.concat(parts, ignore_index=True)


def both_ends(
    activations: Float[np.ndarray, " word"], words: list[str], k: int = 10
) -> pd.DataFrame:
    """List the words that excite a neuron most and those that silence it most, if it varies."""
    # At the smallest scale few words occur twice; there single occurrences count.
    least = 2 if len(set(words)) < len(words) / 2 else 1
    return highest_activating_words(activations[:, None], words, [0], k, min_count=least)


def deviation_scores(
    activations: Float[np.ndarray, " word"], base: Float[np.ndarray, " of_base"] | None = None
) -> Float[np.ndarray, " word"]:
    """Distance of each activation from the mean over `base`, or over themselves, in its deviations.

    0 where the neuron does not vary there.
    """
    base = activations if base is None else base
    spread = base.std(dtype=np.float64) if np.ptp(base) > 0 else np.inf
    return (activations - base.mean(dtype=np.float64)) / spread


def words_in_sentences(
    activations: Float[np.ndarray, " word"], corpus: Corpus, k: int = 4
) -> pd.DataFrame:
    """Give the k sentences in which a neuron goes furthest up, and furthest down, if it varies.

    One row a word: end (`highest`, `lowest`), place (0 = strongest), sentence (its index), word,
    class, z, peak (the word for which the sentence is shown). Long ones are cut around the peak.
    """
    z = deviation_scores(activations)
    lengths = [len(sentence) for sentence in corpus.sentences]
    sentence_of = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum([0, *lengths])
    classes, words, parts = word_classes(corpus), corpus.words, []
    for end, sign in (("highest", 1), ("lowest", -1)):
        order = np.argsort(-sign * z, kind="stable")
        order = order[sign * z[order] > 0]
        _, earliest = np.unique(sentence_of[order], return_index=True)
        for place, peak in enumerate(order[np.sort(earliest)[:k]]):
            sentence = int(sentence_of[peak])
            shown = range(
                max(first[sentence], peak - CONTEXT), min(first[sentence + 1], peak + CONTEXT + 1)
            )
            part = {
                "word": [words[i] for i in shown],
                "class": [classes[i] for i in shown],
                "z": z[list(shown)],
                "peak": [i == peak for i in shown],
            }
            parts.append(pd.DataFrame(part).assign(end=end, place=place, sentence=sentence))
    names = ["end", "place", "sentence", "word", "class", "z", "peak"]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)


def concept_selectivity(
    activations: Num[np.ndarray, " word"], inventory: pd.DataFrame
) -> pd.Series:
    """σ of one neuron for every concept of the inventory, by the concept's name."""
    values = activations.astype(np.float32)[:, None]
    sigma = selectivity(values, inventory.to_numpy(dtype=bool))[0]
    return pd.Series(sigma, index=inventory.columns)


def selectivity_profile(history: pd.DataFrame, computed: Mapping[str, pd.Series]) -> pd.DataFrame:
    """σ of one neuron for every concept through the stages of a run.

    `computed` holds, by snapshot, what `concept_selectivity` gives where activations are kept. A
    row a concept and snapshot: concept, kind (`entity type`, `part of speech`), snapshot,
    selectivity.
    """
    snapshots = history["snapshot"].tolist()
    known = {
        entity: history[f"selectivity_{entity}"].tolist()
        for entity in ENTITIES
        if f"selectivity_{entity}" in history
    }
    kinds = dict.fromkeys(known, "entity type")
    rest = [concept for sigma in computed.values() for concept in sigma.index]
    for concept in dict.fromkeys(rest):
        if concept not in known:
            kinds[concept] = "part of speech"
            known[concept] = [
                computed[snapshot].get(concept, np.nan) if snapshot in computed else np.nan
                for snapshot in snapshots
            ]
    rows = [
        (concept, kinds[concept], snapshot, float(value))
        for concept, values in known.items()
        for snapshot, value in zip(snapshots, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["concept", "kind", "snapshot", "selectivity"])
