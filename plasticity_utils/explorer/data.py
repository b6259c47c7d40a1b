"""What the explorer looks at: a finished run, or a model on its own with some text.

The explorer must answer at once, so what is slow is done once: the table of neurons is cut by
condition, activations lie with one neuron's words together, and a model that has read a sentence is
kept. A run whose models are gone still has its tables; then `missing` says in words what cannot be
shown. A model on its own has one condition and one stage, and nothing is kept on disk.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import softmax
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.data.concepts import members
from plasticity_utils.data.corpus import Corpus, kinds_of
from plasticity_utils.data.schemes import OUTSIDE, convert, recognise
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.record import Run
from plasticity_utils.experiment.replay import activations_at, model_at
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.explorer.tables import (
    concept_inventory,
    concept_selectivity,
    described_neurons,
    deviation_scores,
    layer_neurons,
    neuron_history,
    selectivity_profile,
    strongest_neurons,
    types_in,
    word_classes,
)
from plasticity_utils.models.activations import by_neuron, word_activations
from plasticity_utils.models.load import count_layers, encode_for, head, label_ids, width
from plasticity_utils.names import STAGES
from plasticity_utils.removal.patch import patch_layers
from plasticity_utils.results.groups import run_group
from plasticity_utils.training.train import TaggedSentences, label_tokens, tag_logits

Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]
AS_IT_IS = "as it is"  # the condition of a model that is of no run
_UNNAMED = "LABEL_"  # what transformers calls the labels of a head that nobody trained


@dataclass(frozen=True)
class Selected:
    """What is looked at: a neuron of a layer, under a condition, at base, removed or end."""

    condition: str
    stage: str
    layer: int
    unit: int


@dataclass(frozen=True)
class Scaled:
    """A neuron whose distance from its mean is multiplied: 0 switches it off."""

    layer: int
    unit: int
    factor: float


class Opened(ABC):
    """What is looked at; what a run and a model on its own have in common.

    `label` is the concept's, empty where none is known; `tables` describe all neurons, by
    condition; `missing` says why there are no activations and models; `command` opens it again.
    """

    label: str
    stages: tuple[str, ...]
    tables: dict[str, pd.DataFrame]
    missing: str
    command: str
    runs: dict[int, Run]

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], np.ndarray] = {}
        self._models: dict[tuple[str, str], Loaded] = {}
        # Choosing another neuron does not run the models over the same sentence again.
        self._last_read = lru_cache(maxsize=2 * len(STAGES))(self._read)
        self._moments = lru_cache(maxsize=4)(self._moments_of)

    @property
    @abstractmethod
    def corpus(self) -> Corpus:
        """The sentences whose words the activations are of."""

    @abstractmethod
    def _alike(self, condition: str, stage: str) -> tuple[str, str]:
        """Return the first condition and stage whose neurons are the same."""

    @abstractmethod
    def _make_rows(self, condition: str, stage: str) -> np.ndarray:
        """Activations of every neuron, in float16, [n_neurons, n_words]."""

    @abstractmethod
    def _make_model(self, condition: str, stage: str) -> Loaded:
        """The model at a stage, with what is removed from it in force."""

    @cached_property
    def n_layers(self) -> int:
        """Layers, the embedding output among them."""
        return int(next(iter(self.tables.values()))["layer"].max()) + 1

    @cached_property
    def d_model(self) -> int:
        """Neurons in a layer."""
        return int(next(iter(self.tables.values()))["unit"].max()) + 1

    @property
    def n_neurons(self) -> int:
        """Neurons of the model."""
        return self.n_layers * self.d_model

    @cached_property
    def types(self) -> list[str]:
        """Types of words for which there is σ; the concept of one's own is among them."""
        return types_in(next(iter(self.tables.values())))

    @cached_property
    def words(self) -> list[str]:
        """All words that the activations are of, in order."""
        return self.corpus.words

    @cached_property
    def classes(self) -> list[str]:
        """Type of each word, `other` for none."""
        return word_classes(self.corpus)

    @cached_property
    def inventory(self) -> pd.DataFrame:
        """Which words belong to which concept: see `concept_inventory`."""
        return concept_inventory(self.corpus)

    def first(self) -> Selected:
        """Begin with the neuron that the concept's words excite most selectively at the end.

        Without a concept, with the one of the last layer that a word excites most.
        """
        condition, stage = next(iter(self.tables)), self.stages[-1]
        rows = self.tables[condition]
        rows = rows[rows["stage"] == stage]
        if not self.label:
            at = Selected(condition, stage, self.n_layers - 1, 0)
            return Selected(condition, stage, at.layer, int(self.computed("peak z", at).argmax()))
        best = rows.sort_values("selectivity").iloc[-1]
        return Selected(condition, stage, int(best["layer"]), int(best["unit"]))

    def check(self, at: Selected) -> None:
        """Raise InputError for a condition, stage or neuron that there is not."""
        for name, value, allowed in (("condition", at.condition, self.tables),
                                     ("stage", at.stage, self.stages)):  # fmt: skip
            if value not in list(allowed):
                raise InputError(f"unknown {name} {value!r}; allowed: {', '.join(allowed)}")
        self.history(at)

    def line(self, at: Selected, **view: Any) -> str:
        """Return the line of Python that opens this neuron, and a view if one is asked for."""
        place = self.place(at) | view
        return f"pu.explore({self.command}, {', '.join(f'{n}={v!r}' for n, v in place.items())})"

    def place(self, at: Selected) -> dict[str, Any]:
        """Name a neuron as `explore` takes it; of a model alone, its layer and unit."""
        return {
            name: value
            for name, value in asdict(at).items()
            if len(self.stages) > 1 or name in ("layer", "unit")
        }

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

    def computed(self, order: str, at: Selected) -> Float[np.ndarray, " unit"]:
        """Work out what an order of `tables.COMPUTED` sorts the neuron's layer by."""
        rows = self._of_layer(at.condition, at.stage, at.layer)
        if order == "activation":
            return rows[:, members(self.corpus, self.label)].mean(axis=1, dtype=np.float64)
        spread = rows.std(axis=1, dtype=np.float64)
        away = rows.max(axis=1) - rows.mean(axis=1, dtype=np.float64)
        return np.divide(away, spread, out=np.zeros_like(spread), where=spread > 0)

    def profile(self, at: Selected) -> pd.DataFrame:
        """σ of the neuron for every concept through the stages: see `selectivity_profile`."""
        history = self.history(at)
        computed = {}
        if not self.missing and not self.inventory.empty:
            snapshots = dict(zip(history["stage"], history["snapshot"], strict=True))
            for stage in self.stages:
                of_stage = Selected(at.condition, stage, at.layer, at.unit)
                sigma = concept_selectivity(self.activations(of_stage), self.inventory)
                computed[snapshots[stage]] = sigma
        return selectivity_profile(history, computed)

    def respond(self, at: Selected, words: tuple[str, ...], factor: float = 1.0) -> pd.DataFrame:
        """What the neuron does on the words of a sentence at every stage, and the model's tags.

        One row a stage and word: stage, word, activation, z (as in the base model), tag (empty for
        none), share (its probability); and with the neuron scaled by `factor`: tag_now, share_now
        (the probability of `tag`). InputError if the models are not kept, or the sentence is empty
        or too long for them.
        """
        base = self.activations(Selected(at.condition, "base", at.layer, at.unit))
        column = at.layer * self.d_model + at.unit
        scaled = None if factor == 1 else Scaled(at.layer, at.unit, factor)
        parts = []
        for stage in self.stages:
            key, has_tags = self._alike(at.condition, stage), self.has_tags(at)
            activation, shares = self._last_read(*key, words)
            now = shares if scaled is None else self._last_read(*key, words, scaled)[1]
            likeliest = np.arange(len(words)), shares.argmax(axis=1)
            part = {
                "stage": stage,
                "word": words,
                "activation": activation[:, column],
                "z": deviation_scores(activation[:, column], base),
                "tag": self._tags(key, shares, has_tags),
                "share": shares[likeliest],
                "tag_now": self._tags(key, now, has_tags),
                "share_now": now[likeliest],
            }
            parts.append(pd.DataFrame(part))
        return pd.concat(parts, ignore_index=True)

    def strongest(self, at: Selected, words: tuple[str, ...], place: int) -> pd.DataFrame:
        """List the neurons that go highest on one word of a sentence, in this stage's model."""
        activation, _ = self._last_read(*self._alike(at.condition, at.stage), words)
        mean, spread = self._moments(*self._alike(at.condition, "base"))
        away = activation[place] - mean
        z = np.divide(away, spread, out=np.zeros_like(spread), where=spread > 0)
        return strongest_neurons(z, self.d_model)

    def has_tags(self, at: Selected) -> bool:
        """Tell whether the model's head was trained: its labels have names."""
        labels = label_ids(self._model(*self._alike(at.condition, at.stage))[0])
        return not all(label.startswith(_UNNAMED) for label in labels)

    def head_reads(self, at: Selected) -> pd.DataFrame:
        """What a standard deviation of the neuron adds to each tag's logit: tag, weight.

        No rows for a neuron below the last layer, which the head does not read, and for a head that
        nobody trained.
        """
        model, _ = self._model(*self._alike(at.condition, at.stage))
        names = label_ids(model)
        if at.layer < self.n_layers - 1 or not self.has_tags(at):
            return pd.DataFrame(columns=["tag", "weight"])
        column = head(model).weight[:, at.unit].detach().float().cpu().numpy()
        spread = self.activations(at).std(dtype=np.float64)
        rows = [(tag, spread * float(column[i])) for tag, i in names.items()]
        return pd.DataFrame(rows, columns=["tag", "weight"])

    def is_open(self, condition: str) -> bool:
        """Tell whether the activations of a condition are at hand."""
        return all(self._alike(condition, stage) in self._rows for stage in self.stages)

    def has_models(self, condition: str) -> bool:
        """Tell whether the models of a condition are loaded."""
        return all(self._alike(condition, stage) in self._models for stage in self.stages)

    def load_activations(self, condition: str) -> None:
        """Open, or compute and keep, the activations of a condition at all stages."""
        for stage in self.stages:
            self._all_activations(condition, stage)

    def _all_activations(self, condition: str, stage: str) -> np.ndarray:
        if self.missing:
            raise InputError(self.missing)
        key = self._alike(condition, stage)
        if key not in self._rows:
            self._rows[key] = self._make_rows(*key)
        return self._rows[key]

    def _of_layer(self, condition: str, stage: str, layer: int) -> np.ndarray:
        units = slice(layer * self.d_model, (layer + 1) * self.d_model)
        return self._all_activations(condition, stage)[units]

    def _moments_of(self, condition: str, stage: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of every neuron over the words, a layer at a time."""
        layers = [self._of_layer(condition, stage, layer) for layer in range(self.n_layers)]
        mean = [rows.mean(axis=1, dtype=np.float64) for rows in layers]
        spread = [rows.std(axis=1, dtype=np.float64) for rows in layers]
        return np.concatenate(mean), np.concatenate(spread)

    def _model(self, condition: str, stage: str) -> Loaded:
        if self.missing:
            raise InputError(self.missing)
        key = condition, stage
        if key not in self._models:
            self._models[key] = self._make_model(condition, stage)
        return self._models[key]

    def _read(
        self, condition: str, stage: str, words: tuple[str, ...], scaled: Scaled | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Activations [n_words, n_neurons] and the probability of each tag [n_words, n_tags]."""
        model, tokenizer = self._model(condition, stage)
        with ExitStack() as stack:
            if scaled is not None:
                base = Selected(condition, "base", scaled.layer, scaled.unit)
                mean = float(self.activations(base).mean(dtype=np.float64))
                stack.enter_context(
                    patch_layers(model, {scaled.layer: _scaling(scaled.unit, mean, scaled.factor)})
                )
            X = word_activations(model, tokenizer, [list(words)])
            encoded = encode_for(model, tokenizer, [list(words)])
            data = TaggedSentences(encoded, [label_tokens(model, e) for e in encoded], tags=[])
            return X, softmax(tag_logits(model, data)[0].astype(np.float64), axis=1)

    def _tags(self, key: tuple[str, str], shares: np.ndarray, has_tags: bool) -> list[str]:
        """Type of each word's tag; empty for outside, and for a head that nobody trained."""
        if not has_tags:
            return [""] * len(shares)
        ids = label_ids(self._model(*key)[0])
        # One that was trained elsewhere may have labels of any scheme.
        tags = dict(zip(ids.values(), convert(list(ids), recognise([list(ids)])), strict=True))
        kinds = [next(iter(kinds_of(tags[i]))) for i in shares.argmax(axis=1).tolist()]
        return ["" if kind == OUTSIDE else kind for kind in kinds]


def _scaling(unit: int, mean: float, factor: float) -> Any:
    """Return a function of a layer's state that scales one neuron about its mean."""

    def scaled(state: Tensor) -> Tensor:
        changed = state.clone()
        changed[..., unit] = mean + factor * (state[..., unit] - mean)
        return changed

    return scaled


class RunData(Opened):
    """One run, read once; InputError if it has no table of all neurons."""

    stages = STAGES

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run, self.label = run, run.config.label
        # What is the same is computed once.
        self._same = Stages(run.config).alike
        self.tables = {
            str(name): rows for name, rows in run.neurons.groupby("condition", sort=False)
        }
        self.runs = {each.config.seed: each for each in run_group(run).runs}
        self.command = f"pu.load_run({str(run.path)!r})"
        self.missing = self._why_missing()
        self._open = ExitStack()

    @cached_property
    def corpus(self) -> Corpus:
        """The measuring part, whose words the activations are of."""
        return load_sentences(self.run.config).measuring

    def _alike(self, condition: str, stage: str) -> tuple[str, str]:
        return self._same(condition, stage)

    def _make_rows(self, condition: str, stage: str) -> np.ndarray:
        return activations_at(self.run, condition, stage)

    def _make_model(self, condition: str, stage: str) -> Loaded:
        return self._open.enter_context(model_at(self.run, condition, stage))

    def _why_missing(self) -> str:
        """Look for the base model; the stages of a run are kept, or thrown away, together."""
        try:
            Stages(self.run.config, only_finished=True).base()
        except InputError as error:
            return f"The models of this run are not kept here: {error}"
        return ""


class ModelData(Opened):
    """A model with whatever is in force on it, and sentences; `label` is of the sentences' types.

    `command` is what `explore` was called with.
    """

    stages = ("base",)
    missing = ""

    def __init__(self, loaded: Loaded, corpus: Corpus, label: str, command: str) -> None:
        super().__init__()
        self._loaded, self._corpus, self.label, self.command = loaded, corpus, label, command
        self.runs, model = {}, loaded[0]
        layers, d_model = range(count_layers(model)), width(model)
        rows = self._all_activations(AS_IT_IS, "base")
        X = (rows[i * d_model : (i + 1) * d_model].T.astype(np.float32) for i in layers)
        self.tables = {AS_IT_IS: described_neurons(X, corpus, label)}

    @property
    def corpus(self) -> Corpus:
        """The sentences that were given."""
        return self._corpus

    def _alike(self, condition: str, stage: str) -> tuple[str, str]:
        return AS_IT_IS, "base"

    def _make_rows(self, condition: str, stage: str) -> np.ndarray:
        X = word_activations(*self._loaded, self.corpus.sentences)
        return by_neuron(X)

    def _make_model(self, condition: str, stage: str) -> Loaded:
        return self._loaded
