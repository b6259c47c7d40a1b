"""What becomes of the kept neurons of a run: functions taken on, concepts shared, room in a layer.

Questions 2, 5 and 6 of the book. Each function takes the moments of one run and returns a short
table. Change is given beyond `none`, for the condition `concept` and, as its control, for `random`;
both leave out the concept's own neurons, so that the same neurons are compared.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from statsmodels.stats.multitest import multipletests

from plasticity_utils.concepts import ENTITIES
from plasticity_utils.questions.moments import BASE, MOMENTS, Moment, Moments
from plasticity_utils.questions.polysemanticity import (
    QUANTITIES,
    change_beyond_none,
    neuron_polysemanticity,
    similarity_of_sharers,
)
from plasticity_utils.questions.superposition import superposition_by_layer
from plasticity_utils.words import embed_words

COMPARED = ("concept", "random")
FUNCTIONS = (*QUANTITIES, "polysemantic", "took_on", "lost", "took_on_concept")
SCOPES = ("all", "entity types", "parts of speech")
SIGNS = ("same", "any")
SHARING_MOMENTS: tuple[Moment, ...] = (BASE, *((name, "end") for name in (*COMPARED, "none")))


def polysemanticity_answer(moments: Moments) -> pd.DataFrame:
    """Change of what kept neurons serve, beyond training on with nothing removed (question 2).

    Parameters
    ----------
    moments : Moments

    Returns
    -------
    DataFrame
        condition (`concept`, `random`), layer (missing: the whole model), quantity, base (its mean
        over kept neurons in the base), change and change_none (base to end), beyond_none, n
        (neurons). Quantities: `n_concepts` (of the inventory, |σ| > τ), `entropy` (0–1, of the |σ|
        profile), and shares of neurons: `polysemantic` (at least two concepts), `took_on` (serves
        one that it did not serve in the base), `lost` (serves one less), `took_on_concept` (the
        run's own). The last three are 0 in the base by definition.
    """
    base, none = _functions(moments, BASE), _functions(moments, ("none", "end"))
    parts = []
    for condition in COMPARED:
        end, kept = _functions(moments, (condition, "end")), moments.kept(condition)
        by_layer = change_beyond_none(base, end, none, kept, FUNCTIONS)
        whole = change_beyond_none(base.assign(layer=0), end, none, kept, FUNCTIONS)
        # One type of column, whether the layer is known or not.
        whole = whole.assign(layer=pd.array([pd.NA] * len(whole), dtype="Int64"))
        parts += [part.assign(condition=condition) for part in (by_layer, whole)]
    table = pd.concat([part.astype({"layer": "Int64"}) for part in parts], ignore_index=True)
    return table[["condition", *table.columns.drop("condition")]]


def sharing_answer(moments: Moments) -> pd.DataFrame:
    """Are concepts that share a neuron more alike than shuffled pairs (question 5)?

    Parameters
    ----------
    moments : Moments

    Returns
    -------
    DataFrame
        condition, stage (base, and the end of `concept`, `random`, `none`), scope (`all` concepts
        of the inventory, `entity types` or `parts of speech` apart), sign (`same`: only neurons
        with σ of one sign for both; `any`: two concepts that exclude each other then share neurons
        by construction), the columns of `similarity_of_sharers`, low and high (difference ± 1.96
        standard deviations of the shuffled null), p_adjusted (Holm over the table). A scope in
        which no neuron serves two concepts has no row.
    """
    names = moments.concepts.names
    similarity = concept_similarity(moments.measuring.words, moments.concepts.members)
    rows = []
    for condition, stage in SHARING_MOMENTS:
        kept = moments.kept(condition)
        sigma = moments.sigma((condition, stage))[kept]
        for scope in SCOPES:
            inside = _of_scope(names, scope)
            for sign in SIGNS:
                serves = _serving(sigma[:, inside], moments.tau[inside], sign)
                # Of two concepts there is one pair, which has no other to be compared with.
                if inside.sum() < 3 or not (serves.sum(axis=1) > 1).any():
                    continue
                found = similarity_of_sharers(serves, similarity[np.ix_(inside, inside)])
                place = {"condition": condition, "stage": stage, "scope": scope, "sign": sign}
                rows.append({**place, **found})
    names_of_columns = ["condition", "stage", "scope", "sign", "shared", "expected", "difference"]
    table = pd.DataFrame(rows, columns=[*names_of_columns, "z", "p", "n_pairs"])
    margin = 1.96 * (table["difference"] / table["z"]).abs()
    table = table.assign(low=table["difference"] - margin, high=table["difference"] + margin)
    adjusted = multipletests(table["p"], method="holm")[1] if len(table) else []
    return table.assign(p_adjusted=adjusted)


def superposition_answer(moments: Moments) -> pd.DataFrame:
    """Interference and feature dimensionality by layer at every moment (question 6).

    Parameters
    ----------
    moments : Moments

    Returns
    -------
    DataFrame
        condition, stage, and the columns of `superposition_by_layer`.
    """
    parts = []
    for condition, stage in MOMENTS:
        found = superposition_by_layer(
            moments.activations((condition, stage)),
            moments.concepts,
            moments.d_model,
            moments.run.config.seed,
        )
        found.insert(0, "condition", condition)
        found.insert(1, "stage", stage)
        parts.append(found)
    return pd.concat(parts, ignore_index=True)


def concept_similarity(
    words: list[str], members: Bool[np.ndarray, "word concept"]
) -> Float[np.ndarray, "concept concept"]:
    """Mean cosine of the word types of each two concepts, as a pre-trained model embeds them.

    Parameters
    ----------
    words : list of str, [n_words]
    members : bool array, [n_words, n_concepts]
        `Inventory.members`; each concept has at least one word.

    Returns
    -------
    float array, [n_concepts, n_concepts], symmetric
        As `word_similarity`: a word that two concepts have in common counts like any other.
    """
    spelled = np.array(words, dtype=object)
    embed_words(words)  # All at once, in full batches; what follows finds them again.
    types = [list(dict.fromkeys(spelled[inside])) for inside in members.T]
    means = np.stack([embed_words(own).mean(axis=0, dtype=np.float64) for own in types])
    return means @ means.T


def _functions(moments: Moments, moment: Moment) -> pd.DataFrame:
    """What each neuron serves, and what of that it did not serve in the base."""
    sigma, tau = moments.sigma(moment), moments.tau
    table = neuron_polysemanticity(sigma, tau, moments.d_model)
    serves, served = np.abs(sigma) > tau, np.abs(moments.sigma(BASE)) > tau
    own = moments.concepts.names.index(moments.run.config.label)
    shares = {
        "polysemantic": table["n_concepts"] > 1,
        "took_on": (serves & ~served).any(axis=1),
        "lost": (served & ~serves).any(axis=1),
        "took_on_concept": (serves & ~served)[:, own],
    }
    return table.assign(**{name: np.asarray(is_so, float) for name, is_so in shares.items()})


def _of_scope(names: tuple[str, ...], scope: str) -> np.ndarray:
    of_entity = np.isin(names, ENTITIES)
    return {"all": of_entity | True, "entity types": of_entity, "parts of speech": ~of_entity}[
        scope
    ]


def _serving(sigma: np.ndarray, tau: np.ndarray, sign: str) -> np.ndarray:
    if sign == "any":
        return np.abs(sigma) > tau
    # The two ends of a neuron as if they were two neurons.
    return np.concatenate([sigma > tau, sigma < -tau])
