"""The columns of the tables of an audit, of a forcing, and of features."""

from __future__ import annotations

from plasticity_utils.results.columns import OF_PROBES, SCORES, Column, Table

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
        f"condition dose step epoch entity {SCORES} average_precision",
        {
            "step": Column("steps", "of training; 0 is just after the removal"),
            "epoch": Column("epochs", "the same in epochs"),
            "average_precision": _CHANCE,
            "dose": _CURVE_DOSE,
        },
    ),
    "readings": Table(
        "a frozen body, reader and type",
        f"body dose reader place n_fitted entity {SCORES} average_precision",
        {**_READING, "dose": _CURVE_DOSE},
    ),
    "control_task": Table(
        "a frozen body, reader and type, where each form of a word has the tag of another form",
        f"body reader place n_fitted entity {SCORES} average_precision",
        _READING,
    ),
    "further_readings": Table(
        "a frozen body, further reader and type; `plasticity readers` adds it",
        f"body reader place n_fitted entity {SCORES} average_precision",
        _READING,
    ),
    "heads": Table(
        "a frozen body, learning rate, start and type; `plasticity readers --heads` adds it",
        f"body rate start entity {SCORES} average_precision",
        {
            "body": _READING["body"],
            "average_precision": _CHANCE,
            "rate": Column("number", "learning rate at which the last layer was trained"),
            "start": Column("name", "its weights before that: its `own`, or `fresh` ones"),
        },
    ),
    "second_cut": Table(
        "a body, second cut, reader and type; `plasticity readers --second-cut` adds it",
        f"body again n_removed reader place n_fitted entity {SCORES} average_precision",
        {
            **_READING,
            "body": Column("name", "the cut model trained on (`retrained`), or `removed`"),
        },
    ),
    "other_bases": Table(
        "another base, choice of units, layer and alignment; `plasticity bases` adds it",
        "other units layer alignment word_f1 balanced_accuracy n_words",
        {"other": Column("name", "the base of another seed, or `pretrained`"), **OF_PROBES},
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
