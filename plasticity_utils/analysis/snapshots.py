"""The snapshots that the questions compare: base, just removed, the end of each condition.

Every question compares what neurons do on the same words at two snapshots, so what several of them
need is worked out once here: activations (kept as float16 beside the run, not published), which
neurons were removed, the inventory of concepts, its thresholds in the base, and each neuron's
selectivity for every concept of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from plasticity_utils.data.concepts import ENTITIES, members
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.record import Run
from plasticity_utils.experiment.replay import activations_at
from plasticity_utils.experiment.splits import Sentences
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.names import BASE
from plasticity_utils.neurons.inventory import (
    Inventory,
    inventory,
    inventory_selectivity,
    thresholds,
)
from plasticity_utils.neurons.scores import flat_ids, layer_unit

Snapshot = tuple[str, str]
# Training on with nothing removed is what every change is compared with.
SNAPSHOTS: tuple[Snapshot, ...] = (
    BASE,
    ("targeted", "removed"),
    ("random", "removed"),
    ("targeted", "end"),
    ("random", "end"),
    ("none", "end"),
)


@dataclass(frozen=True)
class RunSnapshots:
    """A finished run whose models are still kept, at its snapshots.

    Attributes
    ----------
    run : Run
        From `run_experiment`; of an entity type, since the inventory tells entity types apart.
    """

    run: Run
    _sigma: dict[Snapshot, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        concept = self.run.config.concept_info
        if not self.run.config.is_usual:
            raise InputError(
                f"concept {concept.title!r} is no entity type of conll2003; the questions are "
                f"asked of {', '.join(ENTITIES)}"
            )

    @cached_property
    def sentences(self) -> Sentences:
        """Sentences of the run, by purpose."""
        return self._stages.sentences

    @property
    def measuring(self) -> Corpus:
        """The words on which everything is reported."""
        return self.sentences.measuring

    @cached_property
    def is_concept(self) -> Bool[np.ndarray, " word"]:
        """Which words of the measuring part belong to the run's concept."""
        return members(self.measuring, self.run.config.label)

    def activations(self, snapshot: Snapshot = BASE) -> Float32[np.ndarray, "word neuron"]:
        """Activations on the measuring part, [n_words, n_layers * d_model]."""
        return np.asarray(activations_at(self.run, *snapshot)).T.astype(np.float32)

    @cached_property
    def ranking_activations(self) -> Float32[np.ndarray, "word neuron"]:
        """Activations of the base on the ranking part, which picks neurons."""
        return np.asarray(activations_at(self.run, *BASE, "ranking")).T.astype(np.float32)

    def kept(self, condition: str = "targeted") -> Bool[np.ndarray, " neuron"]:
        """Tell which neurons neither `targeted` nor this condition removed, in flat order."""
        kept = np.ones(self.n_layers * self.d_model, dtype=bool)
        for name in {"targeted", condition}:
            intervention = self._stages.in_force(name)
            if intervention is not None:
                kept[flat_ids(intervention.neurons, self.d_model)] = False
        return kept

    @cached_property
    def layers(self) -> Int[np.ndarray, " neuron"]:
        """Layer of each neuron, in flat order."""
        places = layer_unit(range(self.n_layers * self.d_model), self.d_model)
        return np.asarray(places)[:, 0].astype(np.int64)

    @cached_property
    def concepts(self) -> Inventory:
        """Entity types and frequent parts of speech, on the measuring part."""
        return _inventory_of(self.measuring)

    @cached_property
    def tau(self) -> Float[np.ndarray, " concept"]:
        """|σ| from which a neuron serves a concept, from the base and for every snapshot."""
        return thresholds(self.activations(BASE), self.concepts, self.run.config.seed)

    def sigma(self, snapshot: Snapshot = BASE) -> Float[np.ndarray, "neuron concept"]:
        """Selectivity of every neuron for each concept of the inventory, on the measuring part."""
        if snapshot not in self._sigma:
            self._sigma[snapshot] = inventory_selectivity(self.activations(snapshot), self.concepts)
        return self._sigma[snapshot]

    @cached_property
    def sigma_ranking(self) -> Float[np.ndarray, "neuron concept"]:
        """Selectivity in the base on the ranking part, columns as in `concepts`.

        Roles are taken from here and gains from the measuring part, so that noise of the base is
        not counted as a gain. A part of speech too rare there has σ 0.
        """
        own = _inventory_of(self.sentences.ranking)
        sigma = inventory_selectivity(self.ranking_activations, own)
        found = dict(zip(own.names, sigma.T, strict=True))
        nothing = np.zeros(self.n_layers * self.d_model)
        return np.stack([found.get(name, nothing) for name in self.concepts.names], axis=1)

    @property
    def d_model(self) -> int:
        """Neurons of a layer."""
        return self._shape[1]

    @property
    def n_layers(self) -> int:
        """Layers, the embedding output included."""
        return self._shape[0]

    @cached_property
    def _shape(self) -> tuple[int, int]:
        layer, unit = self.run.ranking[["layer", "unit"]].max()
        return int(layer) + 1, int(unit) + 1

    @cached_property
    def _stages(self) -> Stages:
        return Stages(self.run.config, only_finished=True)


def _inventory_of(corpus: Corpus) -> Inventory:
    return inventory(corpus.word_labels("entity"), corpus.word_labels("pos"))
