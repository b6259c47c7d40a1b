"""What every column of every kept table holds: its unit or range and its meaning, said once.

A column means the same in every table that has it; where one table means another thing by a name,
that table says so itself. A name with a star stands for several: `selectivity_*` for one column an
entity type. The book's page of columns is made from this file.
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

_SCORES = "precision recall entity_f1 entity_f1_low entity_f1_high n_gold"
_WORDS = "words_base words_removed words_end"
_SHUFFLED = "the same of activations in another order: what chance gives"

RUN_TABLES = {
    "metrics": Table(
        "a condition, stage, epoch and type", f"condition stage epoch entity {_SCORES}"
    ),
    "neurons": Table(
        "a neuron at a stage of a condition; not published",
        "condition stage epoch layer unit removed gain probeless selectivity effect "
        "ranking_selectivity rank rank_saliency selectivity_* words words_low",
    ),
    "layers": Table(
        "a layer and type at a stage of a condition",
        "condition stage epoch layer entity n_kept n_removed selectivity share "
        "rank_saliency removal_only word_precision word_recall word_f1 n_words",
        {
            "selectivity": Column("0 to 1", "mean |σ| of the kept neurons"),
            "share": Column("0 to 1", "of the total |σ| of kept neurons, that of this layer"),
            "rank_saliency": Column("0 to 1", "mean over all neurons; of the concept alone"),
            "removal_only": Column("0 to 1", "rank saliency that removal alone would leave here"),
            "n_words": Column("words", "of the type, that the probe was scored on"),
        },
    ),
    "dose": Table(
        "a dose, draw, part and type, without retraining",
        f"regime dose n_removed condition draw part entity {_SCORES}",
        {
            "regime": Column("name", "`curve`: growing doses; `half`: the paper's one"),
            "part": Column("name", "sentences that pick the dose, or that give its scores"),
            "condition": Column("name", "`base`, `targeted`, or `random`"),
        },
    ),
    "reliance": Table(
        "a condition at its end, with neurons removed once more, and a type",
        f"condition again draw n_removed entity {_SCORES}",
        {
            "again": Column(
                "name",
                "what is removed again: `nothing`, the `same` neurons, the `new top` by a new "
                "ranking (`refitted`: a new eraser), or `random` ones",
            )
        },
    ),
    "ranking": Table(
        "a neuron of the base model; not published",
        "layer unit mean score_* rank_*",
        {
            "mean": Column("activation", "its mean on the ranking sentences"),
            "score_*": Column("as the method", "its score by each ranking"),
            "rank_*": Column("0 to N − 1", "its place by each ranking, 0 the best"),
        },
    ),
    "base": Table(
        "a split and type, of the base model",
        f"split entity {_SCORES}",
        {"split": Column("name", "`validation` or `test`")},
    ),
}

_OF_PROBES = {
    "alignment": Column(
        "name",
        "`base`: the probe on its own model, the ceiling; `none`; `procrustes`; "
        "`shuffled`: aligned to wrong words, the floor",
    ),
    "word_f1": Column("0 to 1", "F1 of the concept's words, by a probe of the base"),
    "balanced_accuracy": Column("0 to 1", "mean recall of concept and other words"),
}
DERIVED_TABLES = {
    "kept_gain": Table(
        "a condition, type and layer",
        "condition entity layer gain gain_low gain_high n_neurons",
        {
            "gain": Column("−1 to 1", "mean rise of |σ| of kept neurons, ± 1.96 standard errors"),
        },
    ),
    "turnover": Table(
        "a condition",
        "condition n_kept n_top jaccard jaccard_by_chance spearman",
        {
            "n_top": Column("neurons", "of the kept ones that count as top: as many as the dose"),
            "jaccard": Column("0 to 1", "overlap of the top neurons of base and end"),
            "jaccard_by_chance": Column("0 to 1", "overlap of as many drawn at random"),
            "spearman": Column("−1 to 1", "rank correlation of |σ|, base and end"),
        },
    ),
    "regrowth": Table(
        "a condition and epoch",
        "condition epoch gain gain_low gain_high effect n_neurons",
        {
            "gain": Column("0 to 1", "median over removed neurons; ends: 5th and 95th percentile"),
            "effect": Column("share", "median size of the effect, of that in the base"),
        },
    ),
    "removed_neurons": Table(
        "a removed neuron, the most selective first",
        f"layer unit selectivity_base selectivity_end effect_end gain {_WORDS}",
        {"effect_end": Column("deviations", "as `effect` of `neurons`, after retraining")},
    ),
    "newly_salient": Table(
        "a kept neuron whose |σ| rose most, picked on the ranking sentences",
        f"layer unit selectivity_base selectivity_end rise_under_none {_WORDS}",
        {"rise_under_none": Column("−1 to 1", "rise of its |σ| with nothing removed")},
    ),
    "neuron_changes": Table(
        "a neuron under `targeted`: all removed and newly salient ones, and some of the kept",
        "layer unit selectivity_base selectivity_end kind words",
        {
            "kind": Column("name", "`kept`, `removed`, or `newly salient`"),
            "words": Column("words", "the highest-activating at the end; in the base if removed"),
        },
    ),
    "method_overlap": Table(
        "a ranking",
        "method *",
        {
            "method": Column("name", "a ranking"),
            "*": Column("0 to 1", "share of the row's top neurons that are this ranking's too"),
        },
    ),
    "card_neurons": Table(
        "a neuron that has a card",
        "layer unit kind place n_types low high",
        {
            "kind": Column("name", "`removed`, `newly salient`, or `polysemantic`"),
            "place": Column("number", "1 is the foremost of its kind"),
            "n_types": Column("types", "that it serves at the end, told from the other entities"),
            "low": Column("activation", "where its histogram begins"),
            "high": Column("activation", "where its histogram ends"),
        },
    ),
    "card_stages": Table(
        "such a neuron at a stage of `targeted` or `none`",
        "condition stage epoch layer unit gain selectivity_*",
    ),
    "card_words": Table(
        "such a neuron at a stage of `targeted`", "stage layer unit words words_low"
    ),
    "card_histograms": Table(
        "such a neuron, stage of `targeted` and class of words",
        "stage layer unit entity n_words share",
        {
            "entity": Column("name", "a type, the concept, or `other`"),
            "share": Column("20 shares", "of the class's words in each bin, from low to high"),
        },
    ),
    "representation": Table(
        "a condition, stage, choice of units and layer",
        "condition stage units layer cka cka_debiased n_words",
        {
            "cka": Column("0 to 1", "linear CKA of the concept's words, against the base"),
            "cka_debiased": Column("to 1", "the same, corrected for the number of words"),
        },
    ),
    "transfer": Table(
        "a condition, stage, choice of units, layer and alignment",
        "condition stage units layer alignment word_f1 balanced_accuracy n_words",
        _OF_PROBES,
    ),
    "subconcepts": Table(
        "a condition, layer, part before and part after",
        "condition layer base end removed n_neurons",
        {
            "base": Column("name", "the part of the concept carried before, or `nothing`"),
            "end": Column("name", "the part carried at the end, or `nothing`"),
            "removed": Column("true, false", "whether `targeted` or the condition removed them"),
        },
    ),
    "subconcept_parts": Table(
        "a part of the concept",
        "part n_words n_names shown compared by_chance silhouette silhouette_reference",
        {
            "part": Column("name", "such as a continent, or a cluster's central words"),
            "n_names": Column("names", "different ones"),
            "shown": Column("words", "its most frequent names, or most central words"),
            "compared": Column("true, false", "whether it has 30 words"),
            "by_chance": Column("neurons", "that would carry it if names were shuffled"),
            "silhouette": Column("−1 to 1", "of the clusters; missing where parts are known"),
            "silhouette_reference": Column("−1 to 1", "greatest of words without clusters"),
        },
    ),
    "subconcept_neurons": Table(
        "a kept neuron that came to carry a part",
        "part layer unit base sigma_base sigma_end",
        {
            "part": Column("name", "carried at the end"),
            "base": Column("name", "the part carried before, or `nothing`"),
            "sigma_base": Column("−1 to 1", "σ for the part carried before"),
            "sigma_end": Column("−1 to 1", "σ for the part carried at the end"),
        },
    ),
    "polysemanticity": Table(
        "a condition, layer and quantity",
        "condition layer quantity base change change_none beyond_none n_neurons",
        {
            "layer": Column("0 to L", "missing: the whole model"),
            "quantity": Column(
                "name",
                "`n_concepts` served; `entropy` of the |σ| profile (0 to 1); or the share of "
                "neurons that are `polysemantic` (two concepts), `took_on` a concept, `lost` one, "
                "or `took_on_concept`: the run's own",
            ),
            "base": Column("as the quantity", "its mean over kept neurons in the base"),
            "change": Column("as the quantity", "from base to end"),
            "change_none": Column("as the quantity", "the same with nothing removed"),
            "beyond_none": Column("as the quantity", "`change` less `change_none`"),
        },
    ),
    "sharing": Table(
        "a condition, stage, scope and sign",
        "condition stage scope sign shared expected difference z p n_pairs low high p_adjusted",
        {
            "scope": Column("name", "`all` concepts, `entity types`, or `parts of speech`"),
            "sign": Column("name", "`same`: only neurons with σ of one sign for both; or `any`"),
            "shared": Column("−1 to 1", "mean similarity of concepts that share a neuron"),
            "expected": Column("−1 to 1", "of the same pairs, with concepts shuffled"),
            "z": Column("deviations", "the difference, in deviations under shuffling"),
            "n_pairs": Column("pairs", "of a neuron and two concepts that it serves"),
            "low": Column("−2 to 2", "the difference less 1.96 deviations under shuffling"),
            "high": Column("−2 to 2", "the difference and 1.96 deviations under shuffling"),
        },
    ),
    "superposition": Table(
        "a condition, stage and layer",
        "condition stage layer interference interference_shuffled dimensionality "
        "dimensionality_shuffled n_concepts",
        {
            "interference": Column("0 to 1", "how far directions of concepts point alike"),
            "interference_shuffled": Column("0 to 1", _SHUFFLED),
            "dimensionality": Column("0 to 1", "mean share of a dimension that a concept has"),
            "dimensionality_shuffled": Column("0 to 1", _SHUFFLED),
            "n_concepts": Column("concepts", "of the inventory"),
        },
    ),
    "migration": Table(
        "a condition, target and role",
        "condition target role share expected difference p p_adjusted n_neurons",
        {
            "target": Column("name", "entity type for which neurons gained σ beyond `none`"),
            "role": Column("name", "what they served best before: a type, a word class, nothing"),
            "share": Column("0 to 1", "of the gain, that of neurons with this role"),
            "expected": Column("0 to 1", "if within a layer the role made no difference"),
            "n_neurons": Column("neurons", "with this role"),
        },
    ),
    "priming": Table(
        "a condition, similarity, kind of errors, outcome and term of a regression",
        "condition similarity errors outcome term effect low high p n_neurons",
        {
            "similarity": Column("name", "to the concept's neurons before: `profile` or `words`"),
            "errors": Column("name", "`HC3`, or clustered by `layer`"),
            "outcome": Column("name", "gain of |σ|: `beyond_none`; `gain` and `gain_none`"),
            "term": Column("name", "`similarity`, or `base`: |σ| before"),
            "effect": Column("deviations", "of the outcome, for one deviation of the term"),
        },
    ),
    "mistakes_removal": Table(
        "a mistake of the public code, made or not, and a type",
        f"mistake made n_removed first_layer_share entity {_SCORES}",
        {
            "mistake": Column("number", "as the page on the paper counts them"),
            "made": Column("true, false", "whether the mistake was made"),
            "first_layer_share": Column("0 to 1", "share of these neurons that lie in layer 0"),
        },
    ),
    "mistakes_profile": Table(
        "a layer",
        "layer meant made",
        {
            "meant": Column("0 to 1", "rank saliency that the right removal alone would leave"),
            "made": Column("0 to 1", "the same of the removal in the wrong layer"),
        },
    ),
    "mistakes_averaging": Table(
        "a layer",
        "layer rise rise_unequal dropped",
        {
            "rise": Column("−1 to 1", "of mean rank saliency, base to end, over all neurons"),
            "rise_unequal": Column("−1 to 1", "the same, averaged as in the public code"),
            "dropped": Column("0 to 1", "share of neurons that this leaves out at the end"),
        },
    ),
}

COMMAND_TABLES = {
    "indicators": Table(
        "an indicator, snapshot and type",
        f"indicator n_dimensions snapshot entity {_SCORES}",
        {
            "indicator": Column("name", "what the eraser is to hide"),
            "n_dimensions": Column("dimensions", "erased, in all layers together"),
            "snapshot": Column("name", "`removed`, or `head`: the head alone trained on"),
        },
    ),
    "readers": Table(
        "a condition, reader and type",
        f"condition reader n_fitted entity {_SCORES}",
        {
            "condition": Column("name", "`none`: base; `targeted`, `random`: just removed"),
            "reader": Column("name", "fitted anew on the frozen last layer"),
            "n_fitted": Column("sentences", "that the reader was fitted on"),
        },
    ),
}

_CHANCE = Column(
    "0 to 1", "of the type's tags over all words: how well they are told without a threshold"
)
_CURVE_DOSE = Column("0 to 1", "of a reading curve alone: share of all neurons that is taken")
_ASKED = "concept kind ranking"
_OF_FEATURES = {
    "concept": Column("name", "`locations`, `persons` or `organisations`"),
    "kind": Column(
        "name",
        "`feature` of the sparse autoencoder; `random feature`: of a random encoder of which as "
        "many fire; `neuron` of any layer; `last-layer neuron`",
    ),
    "ranking": Column("name", "`selectivity`: by |σ|; or `average precision`, at the better end"),
}
_READING = {
    "body": Column(
        "name",
        "`base`, `removed`, `control` (its counterpart in force), `pretrained` (never "
        "taught the task), `pretrained_removed`",
    ),
    "reader": Column("name", "`own_head`: the model as it is; others are fitted anew"),
    "place": Column("name", "what is read: the last layer, or every layer side by side"),
    "n_fitted": Column("sentences", "that the reader was fitted on; 0 of `own_head`"),
    "average_precision": _CHANCE,
}
AUDIT_TABLES = {
    "returns": Table(
        "a protocol, step and type",
        f"condition dose step epoch entity {_SCORES} average_precision",
        {
            "step": Column("steps", "of training; 0 is just after the removal"),
            "epoch": Column("epochs", "the same in epochs"),
            "average_precision": _CHANCE,
            "dose": _CURVE_DOSE,
        },
    ),
    "readings": Table(
        "a frozen body, reader and type",
        f"body dose reader place n_fitted entity {_SCORES} average_precision",
        {**_READING, "dose": _CURVE_DOSE},
    ),
    "control_task": Table(
        "a frozen body, reader and type, where each form of a word has the tag of another form",
        f"body reader place n_fitted entity {_SCORES} average_precision",
        _READING,
    ),
    "further_readings": Table(
        "a frozen body, further reader and type; `plasticity readers` adds it",
        f"body reader place n_fitted entity {_SCORES} average_precision",
        _READING,
    ),
    "other_bases": Table(
        "another base, choice of units, layer and alignment; `plasticity bases` adds it",
        "other units layer alignment word_f1 balanced_accuracy n_words",
        {"other": Column("name", "the base of another seed, or `pretrained`"), **_OF_PROBES},
    ),
    "example": Table(
        "a stage and word",
        "stage position word tag",
        {
            "stage": Column(
                "name",
                "`gold`: the corpus's own tags; the model's at `base`, `removed`, and when `head` "
                "or `targeted` has trained",
            ),
            "position": Column("number", "of the word in its sentence, from 0"),
            "word": Column("text", "of one sentence of the scoring part"),
            "tag": Column("name", "in IOB2"),
        },
    ),
    "features": Table(
        "a concept, kind, ranking and number of them",
        f"{_ASKED} n_read average_precision word_precision word_recall word_f1 n_words by_chance",
        {
            **_OF_FEATURES,
            "n_read": Column("number", "of the best of the ranking that a linear reader reads"),
            "average_precision": Column("0 to 1", "of the reader, over words that ranked nothing"),
            "word_precision": Column("0 to 1", "at the threshold that the ranking's words set"),
            "word_recall": Column("0 to 1", "at the same threshold"),
            "word_f1": Column("0 to 1", "at the same threshold"),
            "n_words": Column("words", "of the concept, among those that are scored"),
            "by_chance": Column("0 to 1", "average precision of chance: the concept's share"),
        },
    ),
    "feature_words": Table(
        "one of the three best of a concept, kind and ranking",
        f"{_ASKED} place layer unit selectivity words",
        {
            **_OF_FEATURES,
            "place": Column("number", "1 is the best"),
            "layer": Column("0 to L", "that it is in; of a feature, that it is read off"),
            "unit": Column("number", "place of the neuron in its layer, or number of the feature"),
            "selectivity": Column("−1 to 1", "σ on the words that rank"),
            "words": Column("words", "of those that are scored, that it answers to most"),
        },
    ),
}

_GROUP = {
    "target": Column("name", "neurons that training is confined to, or `all`, or `head`"),
    "dose": Column("0 to 1", "their share of all neurons; 1 for `all`, 0 for `head`"),
}
FORCING_TABLES = {
    "forced": Table(
        "a group of neurons, dose and type",
        "target dose n_neurons entity n_gold entity_f1_base entity_f1_removed entity_f1_end "
        "entity_f1_end_low entity_f1_end_high regained",
        {
            **_GROUP,
            "entity_f1_base": Column("0 to 1", "F1 before the removal"),
            "entity_f1_removed": Column("0 to 1", "F1 just after it"),
            "entity_f1_end": Column("0 to 1", "F1 after training; ends as of `entity_f1`"),
            "regained": Column("share", "of the loss; missing where nothing was lost"),
        },
    ),
    "carriers": Table(
        "a group of neurons and dose",
        "target dose n_neurons overlap n_both_* rise rise_low rise_high n_same_* rise_same "
        "rise_same_low rise_same_high gain effect_concept effect_host",
        {
            **_GROUP,
            "overlap": Column("neurons", "that the draw has in common with the removed ones"),
            "n_both_*": Column("neurons", "that carry both concepts, at each stage"),
            "n_same_*": Column("neurons", "the same, with σ of one sign for both"),
            "rise": Column("−1 to 1", "of the share of `n_both` since the removal, ± 1.96 errors"),
            "rise_same": Column("−1 to 1", "the same of `n_same`"),
            "gain": Column("0 to 1", "median at the end"),
            "effect_concept": Column("deviations", "median size at the end, of the concept"),
            "effect_host": Column("deviations", "median size at the end, of the host"),
        },
    ),
}

GROUPS = {
    "Of every run": RUN_TABLES,
    "Worked out when a run is published": DERIVED_TABLES,
    "Added by a command": COMMAND_TABLES,
    "Of a forcing": FORCING_TABLES,
    "Of an audit": AUDIT_TABLES,
}
EVERY_TABLE = {name: table for tables in GROUPS.values() for name, table in tables.items()}
