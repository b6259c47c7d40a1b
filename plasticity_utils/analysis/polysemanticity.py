"""How many concepts does a neuron serve, are those that share one alike, and do they crowd?

The *inventory* holds the entity types and the frequent parts of speech. All entity types share the
direction "entity or not", which makes half of all neurons look polysemantic; so an entity type is
contrasted within entity words (LOC against the other entities), a part of speech against all words.
A neuron serves a concept where |σ| > τ, τ being 0.4 or what shuffled labels reach, whichever is
larger. The count depends on τ; the entropy of the |σ| profile does not, and stands beside it.
Shuffling treats words as independent. Words repeat and keep company, so the shuffled level is a
lower bound; the 0.4 is there for that.

In *superposition* a layer holds more features than it has room for, so their directions overlap
(Elhage et al. 2022, "Toy Models of Superposition"). *Interference* is the mean |cos| between the
directions of the inventory's concepts; *feature dimensionality*, D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)²,
is the share of a dimension that feature i has to itself: 1 where it is orthogonal to all others, ½
for each of an antipodal pair. A direction is the difference of class means, whitened, since a few
wide units would otherwise stand for the whole layer. Concepts that share words, or exclude each
other, overlap for that reason alone; the same words with the activations shuffled show how much.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped
from scipy.stats import entropy, permutation_test
from sklearn.covariance import ledoit_wolf
from sklearn.preprocessing import StandardScaler
from statsmodels.stats.multitest import multipletests

from plasticity_utils.analysis.snapshots import SNAPSHOTS, RunSnapshots, Snapshot
from plasticity_utils.data.concepts import ENTITIES
from plasticity_utils.errors import InputError
from plasticity_utils.names import BASE, NOTHING
from plasticity_utils.neurons.inventory import Inventory
from plasticity_utils.neurons.scores import layer_unit
from plasticity_utils.neurons.words import embed_words

QUANTITIES = ("n_concepts", "entropy")
FUNCTIONS = (*QUANTITIES, "polysemantic", "took_on", "lost", "took_on_concept")
COMPARED = ("targeted", "random")
SCOPES = ("all", "entity types", "parts of speech")
SIGNS = ("same", "any")
SHARING_SNAPSHOTS: tuple[Snapshot, ...] = (BASE, *((name, "end") for name in (*COMPARED, "none")))


def neuron_polysemanticity(
    sigma: Float[np.ndarray, "neuron concept"], tau: Float[np.ndarray, " concept"], d_model: int
) -> pd.DataFrame:
    """How many concepts each neuron serves, and how evenly: layer, unit, n_concepts, entropy.

    τ is that of the base, for every later stage too. The entropy is that of the |σ| profile over
    its largest possible value: 0 for one concept only, 1 for all alike, NaN for a neuron that does
    not vary.
    """
    table = pd.DataFrame(layer_unit(range(len(sigma)), d_model), columns=["layer", "unit"])
    table["n_concepts"] = (np.abs(sigma) > tau).sum(axis=1)
    with np.errstate(invalid="ignore"):
        table["entropy"] = entropy(np.abs(sigma), axis=1) / np.log(sigma.shape[1])
    return table


def change_beyond_none(
    base: pd.DataFrame,
    end: pd.DataFrame,
    none: pd.DataFrame,
    kept: Bool[np.ndarray, " neuron"],
    quantities: Sequence[str] = QUANTITIES,
) -> pd.DataFrame:
    """Mean change of polysemanticity over kept neurons, and that of training with nothing removed.

    The three tables are of `neuron_polysemanticity`: the base, the end of a condition, the end of
    `none`. Gives layer, quantity, base (mean there), change, change_none, beyond_none, n_neurons.
    """
    parts = []
    for quantity in quantities:
        change = pd.DataFrame(
            {
                "layer": base["layer"],
                "base": base[quantity],
                "change": end[quantity] - base[quantity],
                "change_none": none[quantity] - base[quantity],
            }
        )
        grouped = change[kept].dropna().groupby("layer")
        part = grouped.mean().assign(n_neurons=grouped.size()).reset_index()
        part["beyond_none"] = part["change"] - part["change_none"]
        parts.append(part.assign(quantity=quantity))
    order = ["layer", "quantity", "base", "change", "change_none", "beyond_none", "n_neurons"]
    return pd.concat(parts, ignore_index=True)[order]


def strongest_concept(
    sigma: Float[np.ndarray, "neuron concept"],
    tau: Float[np.ndarray, " concept"],
    names: Sequence[str],
) -> Shaped[np.ndarray, " neuron"]:
    """Name the concept that each neuron serves best, that of the largest |σ| / τ, or `nothing`."""
    excess = np.abs(sigma) / tau
    best = np.array(names, dtype=object)[excess.argmax(axis=1)]
    return np.where(excess.max(axis=1) > 1, best, NOTHING)


def similarity_of_sharers(
    serves: Bool[np.ndarray, "neuron concept"],
    similarity: Float[np.ndarray, "concept concept"],
) -> dict[str, float]:
    """Are concepts that share a neuron more alike than others (question 5)?

    The null shuffles which concept is which in the similarities (Mantel 1967), so that a concept
    with many neurons keeps them; all orders are tried where there are no more than 9,999.
    Two types contrasted with each other share neurons by construction: look at parts of speech and
    types apart too, or at one sign of σ at a time.

    Gives shared (mean similarity over the pairs that share, each weighted by the neurons it
    shares), expected (under shuffling), difference, z (difference in standard deviations of the
    null), p (two-sided), n_pairs (neuron by pair).
    """
    together = serves.astype(np.float64).T @ serves
    np.fill_diagonal(together, 0)
    if not together.any():
        raise InputError("no neuron serves two concepts; there are no pairs to compare")

    def mean_similarity(order: np.ndarray) -> float:
        index = order.astype(int)
        return float(np.sum(together * similarity[np.ix_(index, index)]) / together.sum())

    result = permutation_test(
        (np.arange(len(similarity)),),
        mean_similarity,
        permutation_type="pairings",
        vectorized=False,
        n_resamples=9999,
        rng=np.random.default_rng(0),
    )
    null = result.null_distribution
    difference = result.statistic - null.mean()
    return {
        "shared": float(result.statistic),
        "expected": float(null.mean()),
        "difference": float(difference),
        "z": float(difference / null.std()) if null.std() > 0 else float("nan"),
        "p": float(result.pvalue),
        "n_pairs": float(together.sum() / 2),
    }


def concept_similarity(
    words: list[str], members: Bool[np.ndarray, "word concept"]
) -> Float[np.ndarray, "concept concept"]:
    """Mean cosine of the word types of each two concepts, as the sentence transformer embeds them.

    A word that two concepts have in common counts like any other.
    """
    spelled = np.array(words, dtype=object)
    embed_words(words)  # All at once, in full batches; what follows finds them again.
    types = [list(dict.fromkeys(spelled[inside])) for inside in members.T]
    means = np.stack([embed_words(own).mean(axis=0, dtype=np.float64) for own in types])
    return means @ means.T


def interference(directions: Float[np.ndarray, "concept unit"]) -> float:
    """Mean |cos| between all pairs of directions, in [0, 1]."""
    unit = _unit(directions)
    if len(unit) < 2:
        raise InputError(f"{len(unit)} direction; at least two are needed to interfere")
    pairs = np.triu_indices(len(unit), k=1)
    return float(np.abs(unit @ unit.T)[pairs].mean())


def feature_dimensionality(
    directions: Float[np.ndarray, "concept unit"],
) -> Float[np.ndarray, " concept"]:
    """D_i of each direction (see the module), in (0, 1]; lengths count."""
    overlaps = (_unit(directions) @ directions.T) ** 2
    return np.sum(directions**2, axis=1) / overlaps.sum(axis=1)


def layer_superposition(
    X: Float[np.ndarray, "word neuron"], concepts: Inventory, d_model: int, seed: int = 0
) -> pd.DataFrame:
    """Interference and feature dimensionality of the inventory on its own words, layer by layer.

    Gives layer, interference, dimensionality (mean over concepts), each also with `_shuffled` (the
    words' activations in another order), n_concepts.
    """
    order = np.random.default_rng(seed).permutation(len(X))
    rows = []
    for layer in range(X.shape[1] // d_model):
        white = _whiten(X[:, layer * d_model : (layer + 1) * d_model])
        row: list[float] = [layer]
        true, shuffled = (
            np.stack(
                [
                    _difference(view, *columns)
                    for columns in zip(concepts.members.T, concepts.among.T, strict=True)
                ]
            )
            for view in (white, white[order])
        )
        row += [interference(true), interference(shuffled)]
        row += [float(feature_dimensionality(view).mean()) for view in (true, shuffled)]
        rows.append([*row, len(concepts.names)])
    names = ["layer", "interference", "interference_shuffled"]
    names += ["dimensionality", "dimensionality_shuffled", "n_concepts"]
    return pd.DataFrame(rows, columns=names).astype({"layer": int})


def polysemanticity_table(snapshots: RunSnapshots) -> pd.DataFrame:
    """Change of what kept neurons serve, beyond training on with nothing removed (question 2).

    A neuron serves a concept of the inventory where |σ| > τ. `took_on`, `lost` and
    `took_on_concept` are 0 in the base by definition.
    """
    base, none = _functions(snapshots, BASE), _functions(snapshots, ("none", "end"))
    parts = []
    for condition in COMPARED:
        end, kept = _functions(snapshots, (condition, "end")), snapshots.kept(condition)
        by_layer = change_beyond_none(base, end, none, kept, FUNCTIONS)
        whole = change_beyond_none(base.assign(layer=0), end, none, kept, FUNCTIONS)
        # One type of column, whether the layer is known or not.
        whole = whole.assign(layer=pd.array([pd.NA] * len(whole), dtype="Int64"))
        parts += [part.assign(condition=condition) for part in (by_layer, whole)]
    table = pd.concat([part.astype({"layer": "Int64"}) for part in parts], ignore_index=True)
    return table[["condition", *table.columns.drop("condition")]]


def sharing_table(snapshots: RunSnapshots) -> pd.DataFrame:
    """Are concepts that share a neuron more alike than shuffled pairs (question 5)?

    Of `any` sign, two concepts that exclude each other share neurons by construction. A scope in
    which no neuron serves two concepts has no row.
    """
    names = snapshots.concepts.names
    similarity = concept_similarity(snapshots.measuring.words, snapshots.concepts.members)
    rows = []
    for condition, stage in SHARING_SNAPSHOTS:
        kept = snapshots.kept(condition)
        sigma = snapshots.sigma((condition, stage))[kept]
        for scope in SCOPES:
            inside = _of_scope(names, scope)
            for sign in SIGNS:
                serves = _serving(sigma[:, inside], snapshots.tau[inside], sign)
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


def superposition_table(snapshots: RunSnapshots) -> pd.DataFrame:
    """Interference and dimensionality at every snapshot, by layer (question 6)."""
    parts = []
    for condition, stage in SNAPSHOTS:
        found = layer_superposition(
            snapshots.activations((condition, stage)),
            snapshots.concepts,
            snapshots.d_model,
            snapshots.run.config.seed,
        )
        found.insert(0, "condition", condition)
        found.insert(1, "stage", stage)
        parts.append(found)
    return pd.concat(parts, ignore_index=True)


def _functions(snapshots: RunSnapshots, snapshot: Snapshot) -> pd.DataFrame:
    """What each neuron serves, and what of that it did not serve in the base."""
    sigma, tau = snapshots.sigma(snapshot), snapshots.tau
    table = neuron_polysemanticity(sigma, tau, snapshots.d_model)
    serves, served = np.abs(sigma) > tau, np.abs(snapshots.sigma(BASE)) > tau
    own = snapshots.concepts.names.index(snapshots.run.config.label)
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


def _whiten(X: np.ndarray) -> np.ndarray:
    scaled = StandardScaler().fit_transform(X.astype(np.float64))
    # The eigenvalues are positive: shrinkage pulls them towards their mean.
    values, vectors = np.linalg.eigh(ledoit_wolf(scaled)[0])
    return scaled @ (vectors / np.sqrt(values)) @ vectors.T


def _difference(white: np.ndarray, members: np.ndarray, among: np.ndarray) -> np.ndarray:
    return white[members].mean(axis=0) - white[among & ~members].mean(axis=0)


def _unit(directions: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    if not (lengths > 0).all():
        raise InputError(f"direction {int(lengths.argmin())} has no length")
    return directions / lengths
