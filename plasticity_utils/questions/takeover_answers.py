"""Which neurons of a run took over: whom the concept moved in with, and were they near it before?

Questions 7 and 9 of the book. Each function takes the moments of one run and returns a short
table, for the condition `concept` and, as its control, for `random`. What neurons were in the base
is read off the ranking half and what they gained off the measuring half, so that noise of the base
counts as neither a gain nor a loss.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from plasticity_utils.concepts import ENTITIES, members
from plasticity_utils.questions.migration import gained, migration_matrix
from plasticity_utils.questions.moments import BASE, Moments
from plasticity_utils.questions.polysemanticity import NOTHING, strongest_concept
from plasticity_utils.questions.priming import (
    ERRORS,
    priming,
    profile_similarity,
    words_similarity,
)
from plasticity_utils.words import embed_words, highest_activating_words

COMPARED = ("concept", "random")
# Penn Treebank tags by their beginning; the longer one first.
WORD_CLASSES = {"NNP": "proper nouns", "NN": "nouns", "VB": "verbs", "CD": "numbers"}
OTHER_WORDS, PUNCTUATION = "other words", "punctuation"
ROLES = (*ENTITIES, *WORD_CLASSES.values(), OTHER_WORDS, PUNCTUATION, NOTHING)
TOP_WORDS = 10


def role_of(concept: str) -> str:
    """Group a concept of the inventory: entity types as they are, tags into word classes.

    Parameters
    ----------
    concept : str
        An entity type, a Penn Treebank tag, or `nothing`.

    Returns
    -------
    str
        One of `ROLES`.
    """
    if concept in ENTITIES or concept == NOTHING:
        return concept
    for beginning, word_class in WORD_CLASSES.items():
        if concept.startswith(beginning):
            return word_class
    return OTHER_WORDS if concept[:1].isalpha() else PUNCTUATION


def migration_answer(moments: Moments) -> pd.DataFrame:
    """Which neurons gained selectivity for an entity type beyond `none` (question 7)?

    Parameters
    ----------
    moments : Moments

    Returns
    -------
    DataFrame
        condition (`concept`, `random`) and the columns of `migration_matrix`: targets are the
        entity types, the run's own first; roles are those of `ROLES` that occur, each neuron having
        the one that it served best in the base. p_adjusted is over one condition's table.
    """
    names = moments.concepts.names
    served = strongest_concept(moments.sigma_picking, moments.tau, names)
    roles = np.array([role_of(name) for name in served], dtype=object)
    label = moments.run.config.label
    targets = [label, *(name for name in names if name in ENTITIES and name != label)]
    columns = [names.index(name) for name in targets]
    none = moments.sigma(("none", "end"))[:, columns]
    parts = []
    for condition in COMPARED:
        end, kept = moments.sigma((condition, "end"))[:, columns], moments.kept(condition)
        gains = gained(moments.sigma(BASE)[:, columns], end, none)
        some = gains[kept].sum(axis=0) > 0
        named = [name for name, gained_any in zip(targets, some, strict=True) if gained_any]
        found = migration_matrix(
            gains[:, some], named, roles, moments.layers, kept, seed=moments.run.config.seed
        )
        parts.append(found.assign(condition=condition))
    table = pd.concat(parts, ignore_index=True)
    return table[["condition", *table.columns.drop("condition")]]


def priming_answer(moments: Moments) -> pd.DataFrame:
    """Do neurons gain more that stood near the concept before (question 9)?

    Parameters
    ----------
    moments : Moments

    Returns
    -------
    DataFrame
        condition (`concept`, `random`), similarity (`profile`: of the σ profile to that of neurons
        that serve the concept; `words`: of the neuron's highest-activating words, the concept's own
        left out, to the concept's words, at the neuron's nearer end), errors, and the columns of
        `priming.priming`. A measure that is not defined here (no neuron serves the concept) has no
        rows.
    """
    own = moments.concepts.names.index(moments.run.config.label)
    picking = moments.sigma_picking
    similarities = {}
    if (np.abs(picking[:, own]) > moments.tau[own]).any():
        similarities["profile"] = profile_similarity(picking, own, float(moments.tau[own]))
    similarities["words"] = nearness_of_words(moments)
    base, none = (np.abs(moments.sigma(at)[:, own]) for at in (BASE, ("none", "end")))
    parts = []
    for condition in COMPARED:
        end = np.abs(moments.sigma((condition, "end"))[:, own])
        neurons = pd.DataFrame(
            {
                "gain": end - base,
                "gain_none": none - base,
                "base": np.abs(picking[:, own]),
                "layer": moments.layers,
            }
        )
        for measure, similarity in similarities.items():
            data = neurons.assign(similarity=similarity)[moments.kept(condition)]
            for errors in ERRORS:
                place = {"condition": condition, "similarity": measure, "errors": errors}
                parts.append(priming(data, errors).assign(**place))
    table = pd.concat(parts, ignore_index=True)
    first = ["condition", "similarity", "errors"]
    return table[[*first, *table.columns.drop(first)]]


def nearness_of_words(moments: Moments) -> Float[np.ndarray, " neuron"]:
    """How near each neuron's highest-activating words are to the concept's, in the base.

    The concept's own words are left out of the neuron's, so this is not base |σ| again. Of a
    neuron's two ends the nearer one counts: it may take the concept on with either sign.

    Parameters
    ----------
    moments : Moments

    Returns
    -------
    float array, [n_neurons]; NaN for a neuron without words
    """
    ranking = moments.sentences.ranking
    inside = members(ranking, moments.run.config.label)
    words = np.array(ranking.words, dtype=object)
    X = moments.ranking_activations
    top = highest_activating_words(
        X[~inside], words[~inside].tolist(), np.arange(X.shape[1]), TOP_WORDS
    )
    concept_words = list(dict.fromkeys(words[inside]))
    spelled = list(dict.fromkeys([*top["word"], *concept_words]))
    vectors = pd.DataFrame(embed_words(spelled), index=spelled)
    ends = []
    for end in ("positive", "negative"):
        lists = top[top["end"] == end].groupby("neuron")["word"].agg(list)
        of_neuron = [lists.get(neuron, []) for neuron in range(X.shape[1])]
        ends.append(words_similarity(of_neuron, concept_words, vectors))
    return np.fmax(*ends)
