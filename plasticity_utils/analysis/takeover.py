"""Whom did the concept move in with?

Neurons that were kept gain selectivity for the concept. Did they serve another entity type before,
a part of speech, or nothing? A share alone says little: if most neurons of the layers that gain
serve PER, most of the gain will be theirs. So each share stands beside its *layer-matched
expectation*, what it would be if within each layer it made no difference what a neuron had served,
and beside a permutation test of just that. Each neuron has one role, its strongest, so that shares
sum to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf
from jaxtyping import Bool, Float, Int, Shaped
from statsmodels.stats.multitest import multipletests

from plasticity_utils.analysis.polysemanticity import strongest_concept
from plasticity_utils.analysis.snapshots import RunSnapshots
from plasticity_utils.data.concepts import ENTITIES, members
from plasticity_utils.errors import InputError
from plasticity_utils.names import BASE, NOTHING
from plasticity_utils.neurons.words import embed_words, highest_activating_words

N_PERMUTATIONS = 1999
TOP_WORDS = 10
_COMPARED = ("targeted", "random")
ERRORS = ("HC3", "layer")
_COLUMNS = ("gain", "gain_none", "similarity", "base", "layer")
# Penn Treebank tags by their beginning; the longer one first.
WORD_CLASSES = {"NNP": "proper nouns", "NN": "nouns", "VB": "verbs", "CD": "numbers"}
OTHER_WORDS, PUNCTUATION = "other words", "punctuation"


def gained(
    base: Float[np.ndarray, "neuron concept"],
    end: Float[np.ndarray, "neuron concept"],
    none: Float[np.ndarray, "neuron concept"] | None = None,
) -> Float[np.ndarray, "neuron concept"]:
    """Rise of |σ| from the base, or from the end of `none` where that is given; 0 where it fell."""
    start = np.abs(base) if none is None else np.abs(none)
    return np.maximum(0, np.abs(end) - start)


def migration_matrix(
    gains: Float[np.ndarray, "neuron target"],
    targets: Sequence[str],
    roles: Shaped[np.ndarray, " neuron"],
    layers: Int[np.ndarray, " neuron"],
    kept: Bool[np.ndarray, " neuron"],
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Share of the gain for each target concept that fell to kept neurons of each former role.

    Roles best come from the ranking part, so that noise in the base is not counted as a gain. Gives
    target, role, share, expected (layer-matched), difference, p (two-sided, roles shuffled within
    layer), p_adjusted (Benjamini–Hochberg over the whole table), n_neurons.
    """
    gains, roles, layers = gains[kept], roles[kept], layers[kept]
    names = np.unique(roles.astype(str))
    has_role = (roles.astype(str)[:, None] == names).astype(np.float64)
    totals = gains.sum(axis=0)
    if not (totals > 0).all():
        missing = [name for name, total in zip(targets, totals, strict=True) if total <= 0]
        raise InputError(f"no kept neuron gained selectivity for {', '.join(missing)}")
    weights = gains / totals
    share = weights.T @ has_role
    expected = weights.T @ _layer_mean(has_role, layers)
    distance = np.abs(share - expected)
    rng = np.random.default_rng(seed)
    as_far = np.zeros_like(share)
    for _ in range(n_permutations):
        shuffled = weights.T @ has_role[_shuffle_within(layers, rng)]
        # The tolerance: sums in another order may differ in the last digit.
        as_far += np.abs(shuffled - expected) >= distance - 1e-12
    p = (1 + as_far) / (1 + n_permutations)
    table = pd.DataFrame(
        {
            "target": np.repeat(list(targets), names.size),
            "role": np.tile(names, len(targets)),
            "share": share.ravel(),
            "expected": expected.ravel(),
            "difference": (share - expected).ravel(),
            "p": p.ravel(),
        }
    )
    table["p_adjusted"] = multipletests(table["p"], method="fdr_bh")[1]
    return table.assign(n_neurons=np.tile(has_role.sum(axis=0).astype(int), len(targets)))


def _layer_mean(has_role: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """Give every neuron the mix of roles of its layer."""
    mix = np.empty_like(has_role)
    for layer in np.unique(layers):
        mix[layers == layer] = has_role[layers == layer].mean(axis=0)
    return mix


def _shuffle_within(layers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an order of the neurons in which each stays in its layer."""
    order = np.empty(layers.size, dtype=np.int64)
    # Sorted by layer and then at random: the layers' places are filled in turn.
    order[np.argsort(layers, kind="stable")] = np.lexsort((rng.random(layers.size), layers))
    return order


def profile_similarity(
    sigma: Float[np.ndarray, "neuron concept"], target: int, tau: float
) -> Float[np.ndarray, " neuron"]:
    """How alike a neuron's σ profile is to that of the neurons that serve the target in the base.

    The target itself is left out of the profiles, so this is not base |σ| again.
    """
    serving = np.abs(sigma[:, target]) > tau
    if not serving.any():
        raise InputError(f"no neuron has |σ| > {tau} for concept {target}")
    profiles = np.abs(np.delete(sigma, target, axis=1))
    centre = profiles[serving].mean(axis=0)
    lengths = np.linalg.norm(profiles, axis=1) * np.linalg.norm(centre)
    dots = profiles @ centre
    return np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)


def words_similarity(
    top_words: Sequence[Sequence[str]], concept_words: Sequence[str], vectors: pd.DataFrame
) -> Float[np.ndarray, " neuron"]:
    """Mean cosine of each neuron's highest-activating words and the concept's words."""
    unit = vectors.div(np.linalg.norm(vectors, axis=1), axis=0)
    # The mean of all pairwise cosines is the product of the two mean unit vectors.
    nearness = unit @ unit.loc[list(concept_words)].mean()
    return np.array([nearness[list(words)].mean() if words else np.nan for words in top_words])


def regress_gain(neurons: pd.DataFrame, errors: str = "HC3") -> pd.DataFrame:
    """Regress the gain beyond `none` on base similarity, with base |σ| and layer held fixed.

    A row of `neurons` is a kept neuron: gain and gain_none (change of |σ| for the concept from the
    base, under the condition and under `none`), similarity, base (|σ| in the base), layer. Errors
    are robust to unequal variances, or clustered by layer (a handful of layers gives too narrow
    intervals; it shows if the answer hangs on one). Gives outcome (`beyond_none`, the answer;
    `gain` and `gain_none` beside it), term (`similarity`, `base`), effect (standardised), low and
    high (95 %), p, n_neurons.
    """
    if errors not in ERRORS:
        raise InputError(f"unknown errors {errors!r}; allowed: {', '.join(ERRORS)}")
    missing = [name for name in _COLUMNS if name not in neurons]
    if missing:
        raise InputError(f"missing columns {', '.join(missing)}; needed: {', '.join(_COLUMNS)}")
    data = neurons[list(_COLUMNS)].dropna()
    data = data.assign(beyond_none=data["gain"] - data["gain_none"])
    outcomes = ("beyond_none", "gain", "gain_none")
    constant = [name for name in (*outcomes, "similarity", "base") if not data[name].std() > 0]
    if constant:
        raise InputError(f"{', '.join(constant)} does not vary over these {len(data)} neurons")
    parts = [_fit(data, outcome, errors) for outcome in outcomes]
    return pd.concat(parts, ignore_index=True)


def _fit(data: pd.DataFrame, outcome: str, errors: str) -> pd.DataFrame:
    terms = ["similarity", "base"]
    scaled = data[[outcome, *terms]].apply(lambda column: (column - column.mean()) / column.std())
    scaled["layer"] = data["layer"]
    how = {"cov_type": "HC3"} if errors == "HC3" else _clusters(data["layer"])
    fit = smf.ols(f"{outcome} ~ {' + '.join(terms)} + C(layer)", scaled).fit(**how)
    interval = fit.conf_int()
    return pd.DataFrame(
        {
            "outcome": outcome,
            "term": terms,
            "effect": fit.params[terms].to_numpy(),
            "low": interval.loc[terms, 0].to_numpy(),
            "high": interval.loc[terms, 1].to_numpy(),
            "p": fit.pvalues[terms].to_numpy(),
            "n_neurons": len(data),
        }
    )


def _clusters(layer: pd.Series) -> dict[str, object]:
    groups = layer.astype("category").cat.codes.to_numpy()
    return {"cov_type": "cluster", "cov_kwds": {"groups": groups}, "use_t": True}


def role_of(concept: str) -> str:
    """Group a concept of the inventory: entity types as they are, tags into word classes."""
    if concept in ENTITIES or concept == NOTHING:
        return concept
    for beginning, word_class in WORD_CLASSES.items():
        if concept.startswith(beginning):
            return word_class
    return OTHER_WORDS if concept[:1].isalpha() else PUNCTUATION


def migration_table(snapshots: RunSnapshots) -> pd.DataFrame:
    """Which neurons gained selectivity for an entity type beyond `none` (question 7)?

    The run's own type comes first. A neuron's role is what it served best in the base. `p_adjusted`
    is over one condition's table.
    """
    names = snapshots.concepts.names
    served = strongest_concept(snapshots.sigma_ranking, snapshots.tau, names)
    roles = np.array([role_of(name) for name in served], dtype=object)
    label = snapshots.run.config.label
    targets = [label, *(name for name in names if name in ENTITIES and name != label)]
    columns = [names.index(name) for name in targets]
    none = snapshots.sigma(("none", "end"))[:, columns]
    parts = []
    for condition in _COMPARED:
        end, kept = snapshots.sigma((condition, "end"))[:, columns], snapshots.kept(condition)
        gains = gained(snapshots.sigma(BASE)[:, columns], end, none)
        some = gains[kept].sum(axis=0) > 0
        named = [name for name, gained_any in zip(targets, some, strict=True) if gained_any]
        found = migration_matrix(
            gains[:, some], named, roles, snapshots.layers, kept, seed=snapshots.run.config.seed
        )
        parts.append(found.assign(condition=condition))
    table = pd.concat(parts, ignore_index=True)
    return table[["condition", *table.columns.drop("condition")]]


def priming_table(snapshots: RunSnapshots) -> pd.DataFrame:
    """Do neurons gain more that stood near the concept before (question 9)?

    Near by σ profile (`profile`) or by words (`nearness_of_words`). A measure that is not defined
    here (no neuron serves the concept) has no rows.
    """
    own = snapshots.concepts.names.index(snapshots.run.config.label)
    picking = snapshots.sigma_ranking
    similarities = {}
    if (np.abs(picking[:, own]) > snapshots.tau[own]).any():
        similarities["profile"] = profile_similarity(picking, own, float(snapshots.tau[own]))
    similarities["words"] = nearness_of_words(snapshots)
    base, none = (np.abs(snapshots.sigma(at)[:, own]) for at in (BASE, ("none", "end")))
    parts = []
    for condition in _COMPARED:
        end = np.abs(snapshots.sigma((condition, "end"))[:, own])
        neurons = pd.DataFrame(
            {
                "gain": end - base,
                "gain_none": none - base,
                "base": np.abs(picking[:, own]),
                "layer": snapshots.layers,
            }
        )
        for measure, similarity in similarities.items():
            data = neurons.assign(similarity=similarity)[snapshots.kept(condition)]
            for errors in ERRORS:
                place = {"condition": condition, "similarity": measure, "errors": errors}
                parts.append(regress_gain(data, errors).assign(**place))
    table = pd.concat(parts, ignore_index=True)
    first = ["condition", "similarity", "errors"]
    return table[[*first, *table.columns.drop(first)]]


def nearness_of_words(snapshots: RunSnapshots) -> Float[np.ndarray, " neuron"]:
    """How near each neuron's highest-activating words are to the concept's, in the base.

    The concept's own words are left out of the neuron's, so this is not base |σ| again. Of a
    neuron's two ends the nearer one counts: it may take the concept on with either sign.
    """
    ranking = snapshots.sentences.ranking
    inside = members(ranking, snapshots.run.config.label)
    words = np.array(ranking.words, dtype=object)
    X = snapshots.ranking_activations
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
