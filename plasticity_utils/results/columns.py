"""What a column of a kept table holds: its unit or range and its meaning, said once.

A column means the same in every table that has it; where one table means another thing by a name,
that table says so itself. A name with a star stands for several: `selectivity_*` for one column an
entity type. `dictionary` has the tables; the book's page of columns is made from both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """A unit or range, and a meaning."""

    unit: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """What a row of a table is, its columns, and which of them mean another thing in it."""

    row: str
    names: str
    own: Mapping[str, Column] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, Column]:
        """Every column, in order, with what it holds."""
        return {name: self.own.get(name) or _usual(name) for name in self.names.split()}


def _usual(name: str) -> Column:
    return COLUMNS.get(name) or COLUMNS[f"*_{name.rpartition('_')[2]}"]


COLUMNS = {
    # Which model, and when
    "condition": Column("name", "the protocol: what is removed, and how the model trains on"),
    "stage": Column("name", "`base`, `removed` (just after the removal), `retraining`, `end`"),
    "epoch": Column("epochs", "of retraining; −1 is the base model, 0 just after the removal"),
    "layer": Column("0 to L", "0: the embedding output; l: the residual stream after block l"),
    "unit": Column("0 to d − 1", "place of the neuron in its layer"),
    "entity": Column("name", "a type of the tags, the concept, or `overall`: all types together"),
    "draw": Column("number", "which of the random draws; 0 where nothing is drawn"),
    "dose": Column("0 to 1", "share of all neurons that is removed"),
    "again": Column(
        "name",
        "what is removed again: `nothing`, the `same` neurons, the `new top` by a new ranking "
        "(`refitted`: a new eraser), or `random` ones",
    ),
    "units": Column("name", "`all`, or `kept`: those that neither `targeted` nor it removed"),
    # Scores of tags
    "precision": Column("0 to 1", "share of the tagged entities that are right, type and bounds"),
    "recall": Column("0 to 1", "share of the gold entities that are found"),
    "entity_f1": Column(
        "0 to 1",
        "F1 of entities, as seqeval; of words where tags are plain; ends: 95 %, bootstrap over "
        "sentences",
    ),
    "*_low": Column("as the value", "lower end of its interval"),
    "*_high": Column("as the value", "upper end of its interval"),
    "n_gold": Column("entities", "that there are to find; words where tags are plain"),
    # Scores of words by a linear probe
    "word_precision": Column("0 to 1", "share of the words read as the type that are of it"),
    "word_recall": Column("0 to 1", "share of the type's words that are read as it"),
    "word_f1": Column("0 to 1", "F1 of words, by a linear probe of the layer"),
    # What single neurons do
    "removed": Column("true, false", "whether the condition, at this stage, removed the neuron"),
    "gain": Column("0 to 1", "0: removed; 1: as it was; between: grown back in part"),
    "probeless": Column("activation", "distance of the means of the concept's and other words"),
    "selectivity": Column("−1 to 1", "σ: how well the neuron tells the concept from other words"),
    "selectivity_*": Column("−1 to 1", "σ of each entity type, against all other words"),
    "ranking_selectivity": Column("−1 to 1", "σ on the sentences that rank neurons"),
    "effect": Column("deviations", "concept's mean less the others', in deviations of the base"),
    "rank": Column("0 to N − 1", "place among all neurons, 0 the best"),
    "rank_saliency": Column("0 to 1", "1 − rank / (N − 1)"),
    "words": Column("words", "the highest-activating, joined by ·"),
    "words_low": Column("words", "the lowest-activating, joined by ·"),
    "selectivity_base": Column("−1 to 1", "σ for the concept in the base model"),
    "selectivity_end": Column("−1 to 1", "σ for the concept after retraining"),
    "words_base": Column("words", "at the neuron's end for the concept, in the base"),
    "words_removed": Column("words", "the same, just after the removal"),
    "words_end": Column("words", "the same, after retraining"),
    # Counts and tests
    "n_neurons": Column("neurons", "that the row is a number of"),
    "n_removed": Column("neurons", "that are removed"),
    "n_kept": Column("neurons", "that neither `targeted` nor the condition removed"),
    "n_words": Column("words", "that the row is a number of"),
    "difference": Column("as the value", "the value less the expected one"),
    "p": Column("0 to 1", "p value, two-sided"),
    "p_adjusted": Column("0 to 1", "p value, corrected for the rows of the table"),
    "low": Column("as the value", "lower end of its 95 % interval"),
    "high": Column("as the value", "upper end of its 95 % interval"),
}

# Of the tables of several files.
SCORES = "precision recall entity_f1 entity_f1_low entity_f1_high n_gold"
OF_PROBES = {
    "alignment": Column(
        "name",
        "`base`: the probe on its own model, the ceiling; `none`; `procrustes`; "
        "`shuffled`: aligned to wrong words, the floor",
    ),
    "word_f1": Column("0 to 1", "F1 of the concept's words, by a probe of the base"),
    "balanced_accuracy": Column("0 to 1", "mean recall of concept and other words"),
}
